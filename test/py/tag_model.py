"""A small model of tag sets and tag queries in Python, written without a look at the C: sets are frozensets, queries are trees."""
import unicodedata

# Default_Ignorable_Code_Point of Unicode 15: what NFKC_Casefold takes away.
IGNORABLE = [(0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F),
             (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8),
             (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)]
WHITE = {0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000} | set(range(9, 14)) | set(range(0x2000, 0x200B))


def ignorable(c):
    return any(low <= ord(c) <= high for low, high in IGNORABLE)


def casefold_character(c):
    while True:
        folded = unicodedata.normalize("NFKC", "".join(unicodedata.normalize("NFKC", i.casefold()) for i in unicodedata.normalize("NFD", c) if not ignorable(i)))
        folded = "".join(i for i in folded if not ignorable(i))
        if folded == c:
            return folded
        c = folded


def nfkc_casefold(text):
    """As the standard defines it: every character on its own, then NFC."""
    return unicodedata.normalize("NFC", "".join(map(casefold_character, text)))


def fold(text):
    """The tag that a text folds to, or None when it is no tag."""
    if any(unicodedata.category(c) == "Cn" for c in text):
        return None
    folded = nfkc_casefold(text)
    words, word = [], ""
    for c in folded:
        if ord(c) in WHITE:
            if word:
                words.append(word)
            word = ""
        elif unicodedata.category(c) == "Cc":
            return None
        else:
            word += c
    if word:
        words.append(word)
    folded = " ".join(words)
    return folded if 0 < len(folded.encode()) <= 255 else None


def order(tags):
    return sorted(tags, key=lambda t: t.encode())


def matches(tree, tags):
    kind = tree[0]
    if kind == "tag":
        return fold(tree[1]) in tags
    if kind == "prefix":
        return any(t.startswith(fold(tree[1])) for t in tags) if tree[1] else bool(tags)
    if kind == "not":
        return not matches(tree[1], tags)
    if kind == "and":
        return all(matches(t, tags) for t in tree[1])
    return any(matches(t, tags) for t in tree[1])


def value(tags, namespace):
    found = [t for t in order(tags) if t.startswith(fold(namespace) + ":") and len(t) > len(fold(namespace)) + 1]
    return found[0].split(":", 1)[1] if found else None


def put(tags, tag):
    tag = fold(tag)
    return frozenset(t for t in tags if not t.startswith(tag.split(":")[0] + ":")) | {tag}

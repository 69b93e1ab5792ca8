#!/usr/bin/python3
"""Works the winners of a lucky draw out again from what was published, with Python's standard library alone.

    psql -At -c "SELECT shop.draw_export('spring')" > spring.jsonl
    python3 verify_draw.py spring.jsonl [PUBLISHED_SEED_HASH [PUBLISHED_ENTRIES_DIGEST]]

The hashes that were published before (the seed's when the draw opened, the entries' when it closed) are best given from one's own notes:
what stands in the file proves only that the file agrees with itself.
"""
import hashlib
import hmac
import json
import sys


def fail(why):
    print("FALSE: " + why)
    sys.exit(1)


def main():
    draw, prizes, entries, winners = None, [], [], []
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            {"draw": lambda: None, "prize": lambda: prizes.append(row), "entry": lambda: entries.append(row), "winner": lambda: winners.append(row)}[row["kind"]]()
            if row["kind"] == "draw":
                draw = row
    if draw is None or draw["version"] != 1:
        fail("not the export of a draw of version 1")
    if draw["seed"] is None:
        fail("the draw is not drawn yet")
    seed = bytes.fromhex(draw["seed"])
    if hashlib.sha256(seed).hexdigest() != draw["seed_hash"]:
        fail("the seed does not have the hash that was published")
    if len(sys.argv) > 2 and sys.argv[2].lower() != draw["seed_hash"]:
        fail("another seed hash was published when the draw opened")
    tickets = sorted(e["ticket"] for e in entries)
    if len(set(tickets)) != len(tickets) or len(tickets) != draw["entries"]:
        fail("a ticket stands twice, or entries are missing")
    digest = hashlib.sha256("".join(t + "\n" for t in tickets).encode("utf-8")).hexdigest()
    if digest != draw["entries_digest"]:
        fail("the entries are not those that were fixed when the draw closed")
    if len(sys.argv) > 3 and sys.argv[3].lower() != draw["entries_digest"]:
        fail("another digest of the entries was published when the draw closed")
    prefix = "crm-draw-1\n%s\n%s\n%s\n" % (draw["draw"], digest, draw["beacon"])
    ordered = sorted(entries, key=lambda e: (hmac.new(seed, (prefix + e["ticket"]).encode("utf-8"), hashlib.sha256).digest(), e["ticket"]))
    units = [p["seq"] for p in sorted(prizes, key=lambda p: p["seq"]) for _ in range(p["stock"])]
    wins, expected = {}, []
    for entry in ordered:
        if len(expected) == len(units):
            break
        if wins.get(entry["who"], 0) < draw["wins_per_customer"]:
            wins[entry["who"]] = wins.get(entry["who"], 0) + 1
            expected.append((len(expected) + 1, entry["ticket"], units[len(expected)]))
    told = sorted((w["place"], w["ticket"], w["seq"]) for w in winners)
    if told != expected:
        fail("the winners are others: place %d" % next(i + 1 for i in range(max(len(told), len(expected))) if told[i:i + 1] != expected[i:i + 1]))
    print("TRUE: %d entries, %d winners" % (len(entries), len(winners)))


main()

#!/usr/bin/python3
"""Checks a ledger of crm from outside, with the standard library alone; see doc/points-format.md.

verify_ledger.py entries FILE.csv         an export: COPY (SELECT * FROM shop.points_export ORDER BY 1, 2, 3) TO STDOUT CSV HEADER
verify_ledger.py proof FILE.json [ROOT]   what shop.points_proof() gave; ROOT is the root kept outside (hex)

Prints one line for each thing that is wrong and ends with status 1, or one line "ok".
"""
import csv
import hashlib
import json
import struct
import sys

INFINITY = 2**63 - 1
NOW = -(2**63)


def i64(value):
    return struct.pack(">q", int(value))


def text(value):
    if value is None:
        return b"\0"
    data = value.encode()
    return b"\1" + struct.pack(">I", len(data)) + data


def optional(value):
    return b"\0" if value is None else b"\1" + i64(value)


def encode(previous, e):
    return b"".join((
        b"\1", previous, i64(e["customer_id"]), text(e["program"]), i64(e["seq"]), text(e["kind"]), i64(e["points"]),
        text(e["source"]), text(e["reference"]), optional(e["reverses"]), optional(e["expires_at"]),
        optional(e["available_at"]), i64(e["occurred_at"]), i64(e["booked_at"]), i64(e["balance_after"]),
        optional(e["shortfall"]), bytes.fromhex(e["lots"]) if e["lots"] else b"\0\0\0\0", text(e["detail"]),
        b"\0" if e["note_hash"] is None else b"\1" + bytes.fromhex(e["note_hash"]), text(e["actor"])))


def lots(e):
    if not e["lots"]:
        return []
    data = bytes.fromhex(e["lots"])
    return [struct.unpack_from(">qqq", data, 4 + 24 * n) for n in range(struct.unpack_from(">I", data)[0])]


def movement(e):
    """What an entry adds to the points that can be spent."""
    points = int(e["points"])
    kind = e["kind"]
    waits = e["available_at"] is not None and int(e["available_at"]) > int(e["booked_at"])
    open_points = sum(remaining for remaining, _, available in lots(e) if available == NOW)
    if kind in ("earn", "mature"):
        return 0 if waits else points
    if kind in ("restore", "release", "transfer_in", "adjust"):
        return points
    if kind in ("redeem", "hold", "transfer_out"):
        return -points
    if kind == "expire":
        return -open_points
    if kind == "refund":
        owed = points - int(e["shortfall"] or 0) - sum(remaining for remaining, _, _ in lots(e))
        return -open_points - owed
    return 0


def check_entries(rows):
    account, seq, head, balance, booked, references, heads = None, 0, bytes(32), 0, NOW, set(), {}
    for row in rows:
        e = {k: (v if v != "" else None) for k, v in row.items()}
        key = (int(e["customer_id"]), e["program"])
        name = "customer %d, program %s, entry %s" % (key + (e["seq"],))
        if key != account:
            account, seq, head, balance, booked, references = key, 0, bytes(32), 0, NOW, set()
        if int(e["seq"]) != seq + 1:
            yield "%s: entry %d is missing" % (name, seq + 1)
        head_now = hashlib.sha256(encode(head, e)).digest()
        if head_now.hex() != e["hash"]:
            yield "%s: hash is not that of this entry after the one before" % name
        if int(e["balance_after"]) != balance + movement(e):
            yield "%s: balance_after is not the balance before plus the movement" % name
        if int(e["booked_at"]) < booked:
            yield "%s: booked before the entry before" % name
        reference = (e["kind"], e["source"], e["reference"])
        if e["reference"] is not None and reference in references:
            yield "%s: reference used twice" % name
        references.add(reference)
        seq, head, balance, booked = int(e["seq"]), bytes.fromhex(e["hash"]), int(e["balance_after"]), int(e["booked_at"])
        heads[key] = (seq, head)


def climb(leaf, index, size, path):
    """The root that a path leads to from a leaf, and what is wrong on the way."""
    node, last, wrong = hashlib.sha256(b"\0" + leaf).digest(), size - 1, []
    if not 0 <= index <= last:
        wrong.append("the leaf is not in the tree")
    for sibling in map(bytes.fromhex, path):
        if last == 0:
            return node, wrong + ["the path is too long"]
        if index & 1 or index == last:
            node = hashlib.sha256(b"\1" + sibling + node).digest()
            while not index & 1 and index:
                index, last = index >> 1, last >> 1
        else:
            node = hashlib.sha256(b"\1" + node + sibling).digest()
        index, last = index >> 1, last >> 1
    if last != 0:
        wrong.append("the path is too short")
    return node, wrong


def check_proof(proof, kept_root):
    program = proof["program"].encode()
    leaf = b"\1" + i64(proof["customer_id"]) + struct.pack(">I", len(program)) + program + i64(proof["seq"]) + bytes.fromhex(proof["head"])
    node, wrong = climb(leaf, proof["index"], proof["size"], proof["path"])
    yield from wrong
    # In a store over several nodes each part has a tree of its own, and the checkpoint's is over their roots.
    part = proof.get("part")
    if part is not None:
        node, wrong = climb(b"\3" + i64(part["place"]) + i64(proof["size"]) + node, part["place"], part["parts"], part["path"])
        yield from wrong
    if node.hex() != proof["tree_root"] or proof["tree_root"] != proof["chain"][0]["tree_root"]:
        yield "the path does not lead to the root of the tree"
    root, number = bytes.fromhex(proof["previous_root"]), proof["checkpoint"]
    for c in proof["chain"]:
        root = hashlib.sha256(b"\2" + root + bytes.fromhex(c["tree_root"]) + i64(c["checkpoint"]) + i64(c["taken_at"])
                              + i64(c["accounts"]) + i64(c["entries"]) + i64(c["changed"])).digest()
        if c["checkpoint"] != number or root.hex() != c["root"]:
            yield "checkpoint %d does not follow from the one before" % c["checkpoint"]
        number += 1
    if kept_root is not None and root.hex() != kept_root.removeprefix("\\x").lower():
        yield "the last root is not the one that was kept"


def main(arguments):
    if len(arguments) < 2 or arguments[0] not in ("entries", "proof"):
        print(__doc__, file=sys.stderr)
        return 2
    with open(arguments[1], newline="", encoding="utf-8") as file:
        if arguments[0] == "entries":
            findings = list(check_entries(csv.DictReader(file)))
        else:
            findings = list(check_proof(json.load(file), arguments[2] if len(arguments) > 2 else None))
    for finding in findings:
        print(finding)
    if not findings:
        print("ok")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Feeds every type that the extension has with damaged text and damaged messages, and asks of what is accepted that it survives both forms.

    type_fuzz.py DSN SEED SECONDS

Types and their columns are taken from the catalog. Messages arrive by COPY in binary, many rows a time; a row that is refused is
cut off and the rest sent again. Prints a line a type; ends with 1 when the server broke down, raised an internal error, or a value
did not survive.
"""
import io
import random
import struct
import sys
import time

import psycopg2
import psycopg2.errors

dsn, seed, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
rng = random.Random(seed)
SEEDS = {
    "tagset": ["{}", "{vip}", "{88vip,高频购买,\"a, b\",channel:tmall}"],
    "tagquery": ["vip & (channel:tmall | channel:jd) & !lifecycle:churned & 品类:*", "!a", "\"a b\":* | c"],
    "audience": ["{}", "{1,2,3}", "{1-70000,100000-100010,5000000000}", "{-9223372036854775808,9223372036854775807}"],
    "points_lots": ["{}", "{50}", "{100 until 2026-12-31T00:00:00Z, 20 from 2026-05-01T00:00:00Z until 2027-01-31T16:00:00Z, 50}"],
    "rfm": ["5-4-3", "1-1-1"],
    "rule": ["spend_12m >= 1500 or spend_total >= 2500", "tags @@ 'vip & !churned' and lifecycle in ('active', 'new')",
             "not (a between 1 and 2.5) and b like 'x%' and c is not null", "-a * (b + 3) / 2 < 7 and d is null", "anniversary(birth_date, 7)"],
    "purchase_months": ["{}", "{2025-01:1:62.5,2025-02:2:125}"],
    "sealed": [],
    "rfm_model": [],
}
MORE = {"rfm_model": "SELECT crm.rfm_fit(i, i, i::float8)::text FROM generate_series(1, 50) i"}
PIECES = ["", " ", "{", "}", "(", ")", ",", ":", "-", "'", "\"", "\\", "*", "&", "|", "!", "and", "or", "not", "in", "like", "between", "is null", "999999999999999999999",
          "-1", "0", "1e308", "NaN", "infinity", "from", "until", "2026-02-30T25:61:61Z", "\u200b", "Ａ", "é", "\U0001f600", "a" * 300, "(" * 200, "select 1", "pg_sleep(9)", "1::int", "::", ";", "--", "$1",
          "[1]", "null", "case when true then 1 end"]


def damaged_text(text):
    text = list(text)
    for _ in range(rng.randrange(4)):
        at = rng.randrange(len(text) + 1)
        kind = rng.randrange(4)
        if kind == 0 and text:
            del text[at:at + rng.randrange(1, 6)]
        elif kind == 1:
            text[at:at] = rng.choice(PIECES)
        elif kind == 2 and text:
            text[at:at + 1] = chr(rng.choice([rng.randrange(1, 128), rng.randrange(0x80, 0x3000), rng.randrange(0x1f300, 0x1f700)]))
        elif text:
            text[at:at] = text[rng.randrange(len(text)):][:8]
    return "".join(text)


def damaged_bytes(data):
    data = bytearray(data)
    for _ in range(rng.randrange(5)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif kind == 1 and data:
            data[at % len(data)] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
        elif kind == 2:
            del data[at:at + rng.randrange(1, 9)]
        elif kind == 3:
            data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 9)))
        else:
            data[at:at + 4] = struct.pack(">i", rng.choice([-1, 0, 1, 2 ** 31 - 1, -2 ** 31, 65536, 2 ** 24]))
    return bytes(data)


def copy_of(rows):
    out = io.BytesIO()
    out.write(b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0))
    for row in rows:
        out.write(struct.pack(">hi", 1, len(row)) + row)
    out.write(struct.pack(">h", -1))
    out.seek(0)
    return out


conn = psycopg2.connect(dsn)
conn.autocommit = True
cur = conn.cursor()
cur.execute("SET statement_timeout = '20s'; SET search_path = crm, pg_catalog; SET client_min_messages = error")
cur.execute("SELECT t.typname FROM pg_type t WHERE t.typnamespace = 'crm'::regnamespace AND t.typtype = 'b' AND t.typelem = 0 AND t.typreceive <> 0 ORDER BY 1")
types = [name for name, in cur.fetchall()]
unknown = [t for t in types if t not in SEEDS]
if unknown:
    print("no seeds for", unknown)
    sys.exit(1)
bad = []


def refused(error, what):
    if error.pgcode is None or error.pgcode.startswith("XX") or error.pgcode in ("57P01", "57P02", "57P03"):
        bad.append((what, error.pgcode, str(error)[:200]))
        print("BAD", what, error.pgcode, str(error)[:300], flush=True)
        if conn.closed:
            sys.exit(1)


for name in types:
    if name in MORE:
        cur.execute(MORE[name])
        SEEDS[name] = [text for text, in cur.fetchall()]
    if name == "sealed":
        try:
            cur.execute("SELECT seal('13812341234', 'contact.phone', '42')::text, seal('x', 'y')::text")
            SEEDS[name] = list(cur.fetchone())
        except psycopg2.Error:
            SEEDS[name] = ["x"]
    cur.execute(f"CREATE TEMP TABLE fuzz_{name} (v crm.{name})")
    sends = []
    for text in SEEDS[name]:
        try:
            cur.execute(f"SELECT crm.{name}_send(%s::crm.{name})", (text,))
            sends.append(bytes(cur.fetchone()[0]))
        except psycopg2.Error as error:
            refused(error, (name, text))
    sends = sends or [b"\0\0\0\1\0\0\0\0"]
    until = time.time() + seconds / len(types)
    texts = messages = accepted = 0
    while time.time() < until:
        for _ in range(40):
            text = damaged_text(rng.choice(SEEDS[name]))
            texts += 1
            try:
                cur.execute(f"SELECT v::text = v::text::crm.{name}::text, crm.{name}_send(v) FROM (SELECT %s::crm.{name} AS v OFFSET 0) s", (text.replace("\0", ""),))
                same, sent = cur.fetchone()
                accepted += 1
                if not same:
                    bad.append((name, text))
                    print("BAD", name, "does not survive its text:", repr(text), flush=True)
                if len(sends) < 500:
                    sends.append(bytes(sent))
            except psycopg2.Error as error:
                refused(error, (name, text))
        rows = [damaged_bytes(rng.choice(sends)) for _ in range(60)]
        cur.execute(f"TRUNCATE fuzz_{name}")
        while rows:
            try:
                cur.copy_expert(f"COPY fuzz_{name} FROM STDIN (FORMAT binary)", copy_of(rows))
                accepted += len(rows)
                messages += len(rows)
                rows = []
            except psycopg2.Error as error:
                refused(error, (name, rows[0].hex()))
                # The context names the line that was refused.
                line = (error.diag.context or "").partition("line ")[2].split(",")[0].split(":")[0]
                at = int(line) if line.isdigit() else 1
                messages += 1
                # What stood before it was accepted, but went with the statement.
                rows = rows[:at - 1] + rows[at:]
        try:
            cur.execute(f"SELECT count(*) FILTER (WHERE v::text IS DISTINCT FROM v::text::crm.{name}::text) FROM fuzz_{name}")
            lost, = cur.fetchone()
            if lost:
                cur.execute(f"SELECT encode(crm.{name}_send(v), 'hex'), v::text FROM fuzz_{name} WHERE v::text IS DISTINCT FROM v::text::crm.{name}::text LIMIT 1")
                bad.append((name, cur.fetchone()))
                print("BAD", name, "does not survive its text:", bad[-1], flush=True)
        except psycopg2.Error as error:
            refused(error, (name, "out"))
            bad.append((name, "what a message gave cannot be written and read: " + str(error)[:200]))
            print("BAD", bad[-1], flush=True)
    print(f"{name}: {texts} texts, {messages} messages, {accepted} accepted")
sys.exit(1 if bad else 0)

"""crm.audience against a model: Python's sets, and a reader and writer of the stored form written from its description.

    audience_model.py DSN SEED PAIRS HOSTILE CALLS
"""
import io
import random
import struct
import sys

import psycopg2

dsn, seed, pairs, hostile, calls = sys.argv[1], *map(int, sys.argv[2:6])
rng = random.Random(seed)
conn = psycopg2.connect(dsn)
conn.autocommit = True
cur = conn.cursor()
cur.execute("SET search_path = crm, public")
failures = 0


def check(good, what):
    global failures
    if not good:
        failures += 1
        print(f"seed {seed}: {what}"[:2000])


def text(ids):
    """ids as the documented text form, ranges included"""
    parts, ids = [], sorted(ids)
    i = 0
    while i < len(ids):
        j = i
        while j + 1 < len(ids) and ids[j + 1] == ids[j] + 1:
            j += 1
        if j - i >= 2:
            parts.append(f"{ids[i]}-{ids[j]}")
        else:
            parts.extend(map(str, ids[i:j + 1]))
        i = j + 1
    return "{" + ",".join(parts) + "}"


def shape():
    """a set of one of the kinds that containers come in"""
    ids = set()
    for _ in range(rng.choice([0, 1, 1, 2, 3, 5])):
        base = rng.choice([0, 0, 65536, 2 ** 31, 2 ** 32 - 65536, 2 ** 32, -2 ** 32, -65536, 2 ** 63 - 65536, -2 ** 63,
                           7 * 2 ** 40])
        kind = rng.choices(range(7), [6, 1, 3, 1, 1, 4, 4])[0]
        if kind == 0:
            ids.update(base + rng.randrange(65536) for _ in range(rng.choice([1, 5, 300])))
        elif kind == 1:
            ids.update(base + v for v in rng.sample(range(65536), rng.choice([4095, 4096, 4097, 9000])))
        elif kind == 2:
            first = rng.randrange(65000)
            ids.update(range(base + first, base + rng.randrange(first, 65536) + 1))
        elif kind == 3:
            ids.update(range(base, base + 65536))
        elif kind == 4:
            step = rng.choice([2, 3, 15, 16, 17])
            ids.update(range(base, base + 65536, step))
        elif kind == 5:
            for _ in range(rng.randrange(1, 60)):
                first = rng.randrange(65536)
                ids.update(range(base + first, base + min(65536, first + rng.randrange(1, 400))))
        else:
            ids.update([base, base + 65535, base + rng.randrange(65536)])
    return ids


def encode(ids, runs):
    """the stored form; runs: 0 none, 1 where smaller, 2 everywhere"""
    halves = {}
    for i in ids:
        halves.setdefault(i >> 32, {}).setdefault(i >> 16 & 0xFFFF, []).append(i & 0xFFFF)
    directory, bodies = b"", b""
    for high in sorted(halves):
        heads, blobs, flags = [], [], []
        for key in sorted(halves[high]):
            values = sorted(halves[high][key])
            if len(values) > 4096:
                bits = bytearray(8192)
                for v in values:
                    bits[v >> 3] |= 1 << (v & 7)
                plain = bytes(bits)
            else:
                plain = struct.pack(f"<{len(values)}H", *values)
            spans = []
            for v in values:
                if spans and spans[-1][1] + 1 == v:
                    spans[-1][1] = v
                else:
                    spans.append([v, v])
            as_runs = struct.pack("<H", len(spans)) + b"".join(struct.pack("<HH", a, b - a) for a, b in spans)
            run = runs == 2 or runs == 1 and len(as_runs) < len(plain)
            heads.append(struct.pack("<HH", key, len(values) - 1))
            blobs.append(as_runs if run else plain)
            flags.append(run)
        n = len(heads)
        if any(flags):
            out = struct.pack("<I", 12347 | n - 1 << 16)
            out += bytes(sum(flags[k] << k - i for k in range(i, min(n, i + 8))) for i in range(0, n, 8))
        else:
            out = struct.pack("<II", 12346, n)
        out += b"".join(heads)
        if not any(flags) or n >= 4:
            at = len(out) + 4 * n
            for blob in blobs:
                out += struct.pack("<I", at)
                at += len(blob)
        bodies += out + b"".join(blobs)
        directory += struct.pack("<iI", high, len(bodies))
    return struct.pack("<B3xI", 1, len(halves)) + directory + bodies


def decode(data):
    """the ids of a stored form; raises ValueError or struct.error when it breaks a rule"""
    def need(good):
        if not good:
            raise ValueError
    version, a, b, c, parts = struct.unpack_from("<4BI", data)
    need(version == 1 and a == b == c == 0 and 8 + 8 * parts <= len(data))
    ids, start, before = [], 8 + 8 * parts, None
    first = start
    for p in range(parts):
        high, end = struct.unpack_from("<iI", data, 8 + 8 * p)
        need(before is None or high > before)
        before = high
        need(start <= first + end <= len(data))
        part, start = data[start:first + end], first + end
        cookie, = struct.unpack_from("<I", part)
        if cookie & 0xFFFF == 12347:
            n, at = (cookie >> 16) + 1, 4
            flags = part[at:at + (n + 7) // 8]
            at += (n + 7) // 8
            need(len(part) >= at and (n % 8 == 0 or flags[-1] >> n % 8 == 0))
        else:
            need(cookie == 12346)
            n, at, flags = struct.unpack_from("<I", part, 4)[0], 8, None
            need(1 <= n <= 65536)
        heads = [struct.unpack_from("<HH", part, at + 4 * i) for i in range(n)]
        need(all(heads[i][0] < heads[i + 1][0] for i in range(n - 1)))
        at += 4 * n
        offsets = None
        if flags is None or n >= 4:
            offsets = struct.unpack_from(f"<{n}I", part, at)
            at += 4 * n
        for i, (key, count) in enumerate(heads):
            count += 1
            need(offsets is None or offsets[i] == at)
            base = high << 32 | key << 16
            if flags is not None and flags[i >> 3] >> (i & 7) & 1:
                k, = struct.unpack_from("<H", part, at)
                spans = struct.unpack_from(f"<{2 * k}H", part, at + 2)
                at += 2 + 4 * k
                values = []
                for s in range(k):
                    need(not values or spans[2 * s] > values[-1] + 1)
                    need(spans[2 * s] + spans[2 * s + 1] < 65536)
                    values.extend(range(spans[2 * s], spans[2 * s] + spans[2 * s + 1] + 1))
            elif count <= 4096:
                values = struct.unpack_from(f"<{count}H", part, at)
                at += 2 * count
                need(all(values[j] < values[j + 1] for j in range(count - 1)))
            else:
                bits = int.from_bytes(part[at:at + 8192], "little")
                need(len(part) >= at + 8192)
                at += 8192
                values = [v for v in range(65536) if bits >> v & 1]
            need(len(values) == count)
            ids.extend(base + v for v in values)
        need(at == len(part))
    need(start == len(data))
    return ids


def copy_in(data):
    """one value through recv into table received"""
    message = b"PGCOPY\n\xff\r\n\0" + struct.pack(">II", 0, 0) + struct.pack(">hI", 1, len(data)) + data + b"\xff\xff"
    cur.copy_expert("COPY received FROM STDIN BINARY", io.BytesIO(message))


def copy_out(query):
    """the one value of a query as send writes it"""
    out = io.BytesIO()
    cur.copy_expert(f"COPY ({query}) TO STDOUT BINARY", out)
    data = out.getvalue()
    length, = struct.unpack_from(">i", data, 21)
    return data[25:25 + length]


def algebra():
    """every operator and function on random pairs"""
    before = None
    for n in range(pairs):
        a, b = shape(), shape()
        if rng.random() < 0.2:
            b = set(rng.sample(sorted(a), len(a) // 2))
        elif rng.random() < 0.1:
            b = a - {rng.choice(sorted(a))} if a else a
        some = sorted(a | b)
        probe = rng.choice([rng.choice(some) if some else 0, rng.randrange(-2 ** 63, 2 ** 63), rng.randrange(70000)])
        rank = rng.randrange(1, len(a) + 2)
        # A value that operators made, with containers in other forms than input makes them.
        cur.execute(
            """SELECT a | b, a & b, a - b, a # b, (a | b) - b, a @> %(p)s, %(p)s <@ b, a @> b, a <@ b, a && b, a = b, a <> b, a < b, a <= b,
                      a > b, a >= b, audience_cmp(a, b), cardinality(a), and_cardinality(a, b), or_cardinality(a, b),
                      minus_cardinality(a, b), crm.min(a), crm.max(a), rank(a, %(p)s), crm.select(a, %(r)s),
                      (a # b) # b = a, audience_hash((a # b) # b) = audience_hash(a), a,
                      ARRAY(SELECT members(a)) = a::bigint[], is_empty(a), sample(a, %(r)s, %(p)s), split(a, 0.4, %(p)s),
                      (SELECT audience_or_agg(x) FROM unnest(ARRAY[a, b]) x) = (a | b),
                      (SELECT audience_and_agg(x) FROM unnest(ARRAY[a, b]) x) = (a & b),
                      (SELECT audience_xor_agg(x) FROM unnest(ARRAY[a, b, b]) x) = a,
                      (SELECT audience_agg(x) FROM members(a) x) IS NOT DISTINCT FROM nullif(a, '{}')
               FROM (SELECT %(a)s::audience, %(b)s::audience) s(a, b)""",
            {"a": text(a), "b": text(b), "p": probe, "r": rank})
        got = cur.fetchone()
        order = sorted(a)
        cmp_lists = (sorted(a) > sorted(b)) - (sorted(a) < sorted(b))
        want = (text(a | b), text(a & b), text(a - b), text(a ^ b), text(a - b), probe in a, probe in b, a >= b, a <= b,
                bool(a & b), a == b, a != b, cmp_lists < 0, cmp_lists <= 0, cmp_lists > 0, cmp_lists >= 0, cmp_lists,
                len(a), len(a & b), len(a | b), len(a - b), order[0] if order else None, order[-1] if order else None,
                sum(i <= probe for i in a), order[rank - 1] if rank <= len(order) else None, True, True, text(a), True,
                not a, sample(a, rank, probe), split(a, 0.4, probe), True, True, True, True)
        for i, (g, w) in enumerate(zip(got, want)):
            check(g == w, f"pair {n}, column {i}: got {str(g)[:200]}, want {str(w)[:200]}; a {text(a)[:300]} b {text(b)[:300]}")
    return pairs * 36


def mix(x):
    x = x + 0x9E3779B97F4A7C15 & 2 ** 64 - 1
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 & 2 ** 64 - 1
    x = (x ^ x >> 27) * 0x94D049BB133111EB & 2 ** 64 - 1
    return x ^ x >> 31


def number(i, s):
    return mix(i & 2 ** 64 - 1 ^ mix(s & 2 ** 64 - 1))


def split(ids, fraction, s):
    return text(i for i in ids if number(i, s) < int(fraction * 2.0 ** 64))


def sample(ids, n, s):
    return text(sorted(ids, key=lambda i: (number(i, s), i))[:n])


def binary():
    """both ways, in every form of containers; then bytes changed at random, which must be read as the model reads them or refused"""
    cur.execute("CREATE TEMP TABLE received (a audience)")
    read = refused = 0
    for n in range(hostile):
        ids = shape()
        if len(ids) > 20000 and rng.random() < 0.8:
            ids = set(rng.sample(sorted(ids), 200))
        data = bytearray(encode(ids, rng.randrange(3)))
        mutations = 0 if rng.random() < 0.2 else rng.choice([1, 1, 1, 2, 5])
        for _ in range(mutations):
            kind = rng.randrange(6)
            # Most of a value is members; its heads are what a reader trusts.
            at = rng.randrange(min(len(data), rng.choice([16, 48, 10 ** 9]))) if data else 0
            if not data:
                break
            if kind == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                data[at] = rng.randrange(256)
            elif kind == 2:
                del data[at:]
            elif kind == 3:
                data[at:at] = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 5)))
            elif kind == 4:
                width = rng.choice([2, 4])
                data[at:at + width] = rng.choice([b"\xff" * width, b"\0" * width, b"\x01" + b"\0" * (width - 1)])
            else:
                other = rng.randrange(len(data))
                data[at:at + 4], data[other:other + 4] = data[other:other + 4], data[at:at + 4]
        data = bytes(data)
        try:
            want = decode(data)
        except (ValueError, struct.error, IndexError):
            want = None
        try:
            cur.execute("TRUNCATE received")
            copy_in(data)
            got = True
        except psycopg2.Error as e:
            got = False
            check(e.pgcode == "22P03", f"case {n}: {e.pgcode} {e}")
        check(got == (want is not None), f"case {n}: model {'reads' if want is not None else 'refuses'} {data[:200].hex()}")
        if got and want is not None:
            read += 1
            cur.execute("SELECT a::text, cardinality(a) FROM received")
            check(cur.fetchone() == (text(want), len(want)), f"case {n}: read otherwise")
            check(copy_out("SELECT a FROM received") == data, f"case {n}: written otherwise")
            check(sorted(decode(copy_out("SELECT (a - '{1}') | '{1}' FROM received"))) == sorted(set(want) | {1}), f"case {n}: operators")
        else:
            refused += 1
    print(f"binary: {read} read, {refused} refused")
    check(read > hostile / 10 and refused > hostile / 10, "too few of a kind")
    return hostile


def memory():
    """calls by the million, among them failing ones, leave the process as large as it was"""
    def size():
        cur.execute("SELECT pg_backend_pid()")
        with open(f"/proc/{cur.fetchone()[0]}/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))

    def run(n):
        cur.execute("""SELECT count(audience(ARRAY[i, i + 70000, i * 4294967296])), count(('{1-9,' || i || '-' || i + 5000 || '}')::audience | '{7}'),
                              count(sample('{1-1000}', i %% 50, i)) FROM generate_series(1, %s) i""", (n // 4,))
        cur.execute("SELECT audience_agg(i), audience_or_agg(audience(ARRAY[i, i + 65536 * (i %% 50)])) FROM generate_series(1, %s) i", (n // 8,))
        cur.execute("SELECT count(*) FROM (SELECT audience_agg(i) FROM generate_series(1, %s) i GROUP BY i / 4) s", (n // 4,))
        cur.execute("SELECT members('{1-100000}'::audience) LIMIT 10")
        cur.execute("""DO $$
            BEGIN
                FOR i IN 1 .. %s LOOP
                    BEGIN
                        PERFORM ('{1-100000,' || i || ',200000,300000,x}')::audience;
                    EXCEPTION WHEN invalid_text_representation THEN
                    END;
                    IF i %% 20 = 0 THEN
                        BEGIN
                            PERFORM crm.audience_agg(n / (n - 400) + n * 65536), crm.audience_or_agg(crm.audience(ARRAY[n]))
                            FROM generate_series(1, 500) n;
                        EXCEPTION WHEN division_by_zero THEN
                        END;
                    END IF;
                END LOOP;
            END $$""" % (n // 50))
    run(calls // 10)
    before = size()
    run(calls)
    after = size()
    print(f"memory: {before} kB before, {after} kB after {calls} calls")
    check(after - before < 16384, f"grew from {before} to {after} kB")
    return calls


print(f"seed {seed}")
total = algebra() + binary() + memory()
print(f"{total} cases, {failures} failures")
sys.exit(failures > 0)

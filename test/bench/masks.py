"""Masks against regexp_replace, sealed values against pgcrypto and OpenSSL's own loop, by the CPU time of the backend."""
import os
import re
import subprocess
import tempfile
import time

import psycopg2

N = max(20000, int(1000000 * float(os.environ.get("CRM_BENCH_SCALE", "1"))))
connection = psycopg2.connect(dbname=os.environ.get("PGDATABASE", "postgres"))
connection.autocommit = True
cursor = connection.cursor()
TICK = os.sysconf("SC_CLK_TCK")


def run(query, *args):
    cursor.execute(query, args or None)
    return cursor.fetchall() if cursor.description else None


def cpu(query, times=3):
    """Least CPU seconds of the backend in so many runs."""
    pid = connection.get_backend_pid()
    best = None
    for _ in range(times):
        spent = []
        for step in range(2):
            with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            spent.append((int(fields[11]) + int(fields[12])) / TICK)
            if step == 0:
                run(query)
        best = min(best or 1e9, spent[1] - spent[0])
    return best


def net(expression, table, base):
    """CPU seconds that an expression takes, without those of reading the column."""
    return max(cpu(f"SELECT count({expression}) FROM {table}") - base, 0.005)


def client(query):
    """Seconds of so many look-ups over the wire, as an application makes them."""
    cursor.execute(f"PREPARE q(text) AS {query}")
    best = 1e9
    for _ in range(3):
        start = time.monotonic()
        for i in range(1, 3001):
            cursor.execute("EXECUTE q(%s)", ("138" + str(1 + i * 7919 % N).zfill(8),))
            cursor.fetchall()
        best = min(best, time.monotonic() - start)
    cursor.execute("DEALLOCATE q")
    return best


MASKS = [
    ("mask_phone(v)", "'138' || lpad(i::text, 8, '0')", r"^(\d{3})\d{4}(\d{4})$", r"\1****\2"),
    ("mask_email(v)", "'user' || i || '@example.com'", r"^(..)[^@]*(@.*)$", r"\1****\2"),
    ("mask_id_number(v)", "'11010519491231' || lpad((i % 10000)::text, 4, '0')", r"^(.).*(..)$", r"\1***************\2"),
    ("mask_bank_card(v)", "'622202' || lpad(i::text, 13, '0')", r"^(\d{6})\d*(\d{4})$", r"\1*********\2"),
    ("mask_name(v)", "'John Smith' || repeat('a', i % 5)", r"^(.)\S* (.)\S*$", r"\1*** \2***"),
    ("mask_name(v)", "'张三' || substr('丰风峰锋', i % 4 + 1, 1)", r"^(.).*$", r"\1**"),
    ("mask_plate(v)", "'京A' || lpad((i % 100000)::text, 5, '0')", r"^(..).*(.)$", r"\1****\2"),
    ("mask_address(v)", "'北京市海淀区马连洼街道' || i || '号'", r"^(.*?[市省])(.*?[区县市]).*$", r"\1\2****"),
    ("mask_ip(v)", "'192.168.1.' || i % 256", r"\.\d+$", ".0"),
    ("mask_partial(v, 3, 4)", "'138' || lpad(i::text, 8, '0')", r"^(.{3}).*(.{4})$", r"\1****\2"),
    ("mask_all(v)", "'secret' || i", r"^.*$", "****"),
    ("mask_text(v)", "'call 138' || lpad(i::text, 8, '0') || ' now'", r"(1[3-9]\d)\d{4}(\d{4})", r"\1****\2"),
]


def prepare():
    run("DROP EXTENSION IF EXISTS crm CASCADE")
    run("CREATE EXTENSION crm")
    run("CREATE EXTENSION IF NOT EXISTS pgcrypto")
    run("SET jit = off")
    run("SET max_parallel_workers_per_gather = 0")


def masks():
    print(f"### Masks, {N} values, CPU of one backend\n")
    print("| mask | value | million/s | regexp_replace, million/s | ratio |")
    print("|---|---|---:|---:|---:|")
    for mask, value, pattern, to in MASKS:
        run("DROP TABLE IF EXISTS b")
        run(f"CREATE UNLOGGED TABLE b AS SELECT {value} AS v FROM generate_series(1, {N}) i")
        run("VACUUM ANALYZE b")
        base = cpu("SELECT count(v) FROM b")
        ours = net("crm." + mask, "b", base)
        # The regular expression takes long: a tenth of the rows tells as much.
        run("DROP TABLE IF EXISTS b_part")
        run("CREATE UNLOGGED TABLE b_part AS SELECT v FROM b TABLESAMPLE system (10)")
        run("VACUUM ANALYZE b_part")
        part = run("SELECT count(*) FROM b_part")[0][0] or 1
        theirs = net(f"regexp_replace(v, '{pattern}', '{to}')", "b_part", cpu("SELECT count(v) FROM b_part"))
        ours_rate, theirs_rate = N / ours / 1e6, part / theirs / 1e6
        sample = run("SELECT v FROM b LIMIT 1")[0][0]
        print(f"| {mask} | {sample} | {ours_rate:.1f} | {theirs_rate:.2f} | {ours_rate / theirs_rate:.0f} |")

    run("DROP TABLE IF EXISTS b, b_part, person")
    run(f"""CREATE UNLOGGED TABLE person AS SELECT i AS id, '张三' || substr('丰风峰锋', i % 4 + 1, 1) AS name, '138' || lpad(i::text, 8, '0') AS phone,
        'user' || i || '@example.com' AS email FROM generate_series(1, {N}) i""")
    run("VACUUM ANALYZE person")
    plain = cpu("COPY (SELECT id, name, phone, email FROM person) TO '/dev/null'")
    masked = cpu("COPY (SELECT id, crm.mask_name(name), crm.mask_phone(phone), crm.mask_email(email) FROM person) TO '/dev/null'")
    print(f"\nCOPY of three masked columns: {masked / max(plain, 0.01):.2f} times the CPU of the plain columns.")


def sealed():
    folder = tempfile.mkdtemp()
    ring = os.path.join(folder, "keyring")
    with os.fdopen(os.open(ring, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
        for purpose in ("enc", "index", "pseudonym"):
            file.write(f"{purpose} 1 active {os.urandom(32).hex()}\n")
    run("SELECT crm.library_version()")
    run("ALTER SYSTEM SET crm.keyring_file = %s", ring)
    run("SELECT pg_reload_conf()")
    run("SELECT pg_sleep(1)")
    run("CREATE UNLOGGED TABLE shut AS SELECT id, phone, crm.seal(phone, 'person.phone', id::text) AS v, encrypt_iv(phone::bytea, decode(repeat('ab', 32), 'hex'), decode(repeat('cd', 16), 'hex'), 'aes') AS c FROM person")
    run("VACUUM ANALYZE shut")
    base = cpu("SELECT count(phone) FROM shut")
    key, iv = "decode(repeat('ab', 32), 'hex')", "decode(repeat('cd', 16), 'hex')"
    rates = {
        "seal": N / net("crm.seal(phone, 'person.phone', 'row')", "shut", base),
        "unseal": N / net("crm.unseal(v)", "shut", base),
        "mask_phone of sealed": N / net("crm.mask_phone(v)", "shut", base),
        "blind_index": N / net("crm.blind_index(phone, 'person.phone')", "shut", base),
        "pgcrypto encrypt_iv": N / net(f"encrypt_iv(phone::bytea, {key}, {iv}, 'aes')", "shut", base),
        "pgcrypto decrypt_iv": N / net(f"decrypt_iv(c, {key}, {iv}, 'aes')", "shut", base),
    }
    try:
        speed = subprocess.run(["openssl", "speed", "-aead", "-evp", "aes-256-gcm", "-bytes", "11", "-seconds", "1"],
                               capture_output=True, text=True, check=True).stdout
        rates["openssl speed -aead, 11 bytes"] = float(re.search(r"([\d.]+)k\s*$", speed.strip()).group(1)) * 1000 / 11
    except (OSError, subprocess.CalledProcessError, AttributeError):
        print("\nskipped: no openssl speed")
    print("\n### Sealed values of 11 bytes, CPU of one backend\n")
    print("| operation | thousand/s |\n|---|---:|")
    for name, rate in rates.items():
        print(f"| {name} | {rate / 1000:.0f} |")

    run("ALTER TABLE shut ADD COLUMN blind bytea")
    run("UPDATE shut SET blind = crm.blind_index(phone, 'person.phone')")
    run("CREATE INDEX ON shut (phone)")
    run("CREATE INDEX ON shut (blind)")
    run("VACUUM ANALYZE shut")

    run("""CREATE OR REPLACE FUNCTION look_up(by_blind boolean, n int, of bigint) RETURNS bigint LANGUAGE plpgsql AS $$
    DECLARE found bigint := 0; hit bigint; p text;
    BEGIN
        FOR i IN 1..n LOOP
            p := '138' || lpad((1 + i::bigint * 7919 % of)::text, 8, '0');
            IF by_blind THEN SELECT id INTO hit FROM shut WHERE blind = crm.blind_index(p, 'person.phone');
            ELSE SELECT id INTO hit FROM shut WHERE phone = p; END IF;
            found := found + (hit IS NOT NULL)::int;
        END LOOP;
        RETURN found;
    END $$""")
    looks = N // 10
    ratio = cpu(f"SELECT look_up(true, {looks}, {N})") / max(cpu(f"SELECT look_up(false, {looks}, {N})"), 0.01)
    print(f"\nLook-up by blind index inside PL/pgSQL: {ratio:.2f} times the CPU of one by a plain index.")
    ratio = client("SELECT id FROM shut WHERE blind = crm.blind_index($1, 'person.phone')") / client("SELECT id FROM shut WHERE phone = $1")
    print(f"Over the wire: {ratio:.2f} times the time.")
    run("ALTER SYSTEM RESET crm.keyring_file")
    run("SELECT pg_reload_conf()")


if __name__ == "__main__":
    prepare()
    masks()
    sealed()

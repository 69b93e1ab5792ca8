"""Every type out and in again as text and in binary, verbs and errors, with psycopg 3."""
import psycopg
from psycopg.adapt import Dumper, Loader
from psycopg.pq import Format

from common import Count, DSN, VALUES, verbs_and_errors

count = Count()
with psycopg.connect(DSN, prepare_threshold=None, autocommit=True) as connection:
    texts, binaries = [], []
    for name, text in VALUES:
        there, = connection.execute(f"SELECT %s::text::crm.{name}::text", (text,)).fetchone()
        back, = connection.execute(f"SELECT %s::crm.{name}", (there,)).fetchone()
        texts.append((f"{name} {there} {back}", back == there))

        oid = connection.execute("SELECT %s::regtype::oid", (f"crm.{name}",)).fetchone()[0]
        # What comes out is kept as it came, and goes in as a value of that type.
        raw = type(name, (bytes,), {})
        connection.adapters.register_loader(oid, type("L", (Loader,), {"format": Format.BINARY, "load": lambda self, data, raw=raw: raw(data)}))
        connection.adapters.register_dumper(raw, type("D", (Dumper,), {"format": Format.BINARY, "oid": oid, "dump": lambda self, value: bytes(value)}))
        out, = connection.execute(f"SELECT %s::text::crm.{name}", (text,), binary=True).fetchone()
        again, = connection.execute("SELECT %b", (out,), binary=True).fetchone()
        told, = connection.execute("SELECT %b::text", (out,)).fetchone()
        binaries.append((f"{name} {out!r} {again!r} {told}", type(out) is raw and out == again and told == there))
    count.add("text", texts)
    count.add("binary", binaries)
    verbs_and_errors(count, connection.cursor(), psycopg.Error, lambda error: (error.sqlstate, error.diag.message_hint))
count.close(psycopg.__version__)

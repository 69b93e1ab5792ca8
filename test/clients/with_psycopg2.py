"""Every type out and in again as text, verbs and errors, with psycopg 2, which has no binary form."""
import psycopg2

from common import Count, DSN, VALUES, verbs_and_errors

count = Count()
connection = psycopg2.connect(DSN)
connection.autocommit = True
cursor = connection.cursor()
texts = []
for name, text in VALUES:
    cursor.execute(f"SELECT %s::text::crm.{name}", (text,))
    there, = cursor.fetchone()
    cursor.execute(f"SELECT %s::crm.{name}", (there,))
    back, = cursor.fetchone()
    texts.append((f"{name} {there} {back}", isinstance(there, str) and back == there))
count.add("text", texts)
count.rows.append("binary none")
verbs_and_errors(count, cursor, psycopg2.Error, lambda error: (error.pgcode, error.diag.message_hint))
count.close(psycopg2.__version__.split()[0])

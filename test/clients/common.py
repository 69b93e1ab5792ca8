"""What the two Python programs beside this one do alike: the values to send, the tables of verbs and errors, and the count of what held."""
import os
import sys

DSN = os.environ["DSN"]
VALUES = [line.rstrip("\n").split("\t") for line in open(os.environ["VALUES"], encoding="utf-8")]

# One row each, in this order, of one customer; what they answer.
VERBS = [
    ("SELECT seq, balance_after FROM shop.earn(%s, 100, 'client', 'a')", (1, 100)),
    ("SELECT seq, balance_after FROM shop.earn(%s, 100, 'client', 'a')", (1, 100)),
    ("SELECT seq, balance_after FROM shop.redeem(%s, 30, 'client', 'b')", (2, 70)),
    ("SELECT h.seq, c.seq FROM shop.hold(%s, 20, 'client', 'c') h, LATERAL shop.capture(h.customer_id, 'c') c", (3, 4)),
    ("SELECT count(*), max(p.amount)::text FROM shop.purchase p WHERE p.customer_id = %s", (1, "12.3400")),
]
ERRORS = [
    ("SELECT shop.redeem(%s, 1000, 'client', 'd')", "CP001"),
    ("SELECT shop.earn(%s, 7, 'client', 'a')", "CP002"),
    ("SELECT shop.earn(-%s, 7, 'client', 'a')", "23503"),
    ("SELECT ('{' || %s)::crm.tagset", "22P02"),
]


class Count:
    def __init__(self):
        self.rows, self.failed = [], False

    def add(self, name, results):
        """results: (what, held) of each check"""
        for what, held in results:
            if not held:
                print(f"{name}: {what}", file=sys.stderr)
                self.failed = True
        self.rows.append(f"{name} {sum(held for _, held in results)} of {len(results)}")

    def close(self, version):
        print(f"version {version}")
        print("\n".join(self.rows))
        sys.exit(self.failed)


def verbs_and_errors(count, cursor, failure, state_of):
    """Runs the tables with a cursor of a connection in autocommit; failure: the driver's exception, state_of: its SQLSTATE and hint"""
    cursor.execute("INSERT INTO shop.customer DEFAULT VALUES RETURNING customer_id")
    customer, = cursor.fetchone()
    cursor.execute("INSERT INTO shop.purchase (customer_id, order_no, amount, status) VALUES (%s, %s, 12.34, 'paid')", (customer, f"client {customer}"))
    results = []
    for verb, wanted in VERBS:
        cursor.execute(verb, (customer,))
        got = cursor.fetchone()
        results.append((f"{verb}: {got}", tuple(got) == wanted))
    cursor.execute("UPDATE shop.customer SET tags = tags OPERATOR(crm.+) %s::text WHERE customer_id = %s RETURNING tags::text", ("vip", customer))
    results.append(("tags", cursor.fetchone() == ("{vip}",)))
    count.add("verbs", results)
    results = []
    for statement, wanted in ERRORS:
        try:
            cursor.execute(statement, (customer,))
            results.append((f"{statement} is not refused", False))
        except failure as error:
            state, hint = state_of(error)
            results.append((f"{statement}: {state} {hint}", state == wanted and (bool(hint) or not wanted.startswith("C"))))
    count.add("errors", results)

"""A shop of many customers and orders to measure on, and the clocks to measure with."""
import os
import time

import psycopg2


class Shop:
    """Store shop with the textbook's preset in the database that the environment names."""

    def __init__(self):
        db = psycopg2.connect("")
        db.autocommit = True
        self.sql = db.cursor()
        self.backend = self.run("SELECT pg_backend_pid()")[0]
        self.orders_so_far = 0
        self.run("SET jit = off")
        # One core each, so that the times of the processor compare.
        self.run("SET max_parallel_workers_per_gather = 0")
        self.run("SET client_min_messages = warning")
        self.run("CREATE EXTENSION IF NOT EXISTS crm")
        self.run("SELECT crm.create_store('shop')")
        self.run("SELECT shop.install_preset('textbook')")
        self.run("SELECT setseed(0.5)")

    def run(self, text, *values):
        self.sql.execute(text, values or None)
        return self.sql.fetchone() if self.sql.description else None

    def processor(self):
        """Seconds of processor time that this session's backend has used."""
        with open(f"/proc/{self.backend}/schedstat") as stat:
            return int(stat.read().split()[0]) / 1e9

    def timed(self, text, *values):
        """Seconds that a statement takes, on the wall and of the processor."""
        start, used = time.perf_counter(), self.processor()
        self.run(text, *values)
        return time.perf_counter() - start, self.processor() - used

    def customers(self, count):
        self.run(f"INSERT INTO shop.customer (joined_at) SELECT now() - interval '3 years' FROM generate_series(1, {count})")

    def orders(self, count, customers, since, until, skew=2):
        """Orders in the order of their moments; a few customers buy much, most little. History, so that nothing is judged at once."""
        # What is measured is not the order path: many orders are loaded without its triggers, and the summaries counted from them.
        direct = count >= customers // 5
        if direct:
            self.sql.execute("""SELECT quote_ident(tgname), CASE tgenabled WHEN 'A' THEN 'ALWAYS' WHEN 'R' THEN 'REPLICA' ELSE '' END
                                FROM pg_trigger WHERE tgrelid = 'shop.purchase'::regclass AND tgenabled <> 'D'""")
            triggers = self.sql.fetchall()
            self.run("ALTER TABLE shop.purchase DISABLE TRIGGER ALL")
        self.run(f"""INSERT INTO shop.purchase (customer_id, order_no, amount, paid_at, history)
                     SELECT 1 + floor(power(random(), {skew}) * {customers})::bigint, 'o' || {self.orders_so_far} + i,
                            round((10 + random() * random() * 600)::numeric, 2),
                            {since} + i::double precision / {count} * ({until} - {since}), true
                     FROM generate_series(1, {count}) i""")
        self.orders_so_far += count
        if direct:
            for name, state in triggers:
                self.run(f"ALTER TABLE shop.purchase ENABLE {state} TRIGGER {name}")
            self.run("""UPDATE shop.customer_summary s
                        SET order_count = t.order_count, spend_total = t.spend_total, refunded_total = t.refunded_total, discount_total = t.discount_total,
                            cost_total = t.cost_total, first_order_at = t.first_order_at, last_order_at = t.last_order_at, months = t.months
                        FROM shop.purchase_total t WHERE t.customer_id = s.customer_id AND t.order_count <> s.order_count""")
            self.run("VACUUM ANALYZE shop.purchase")
            self.run("VACUUM ANALYZE shop.customer_summary")

    def check(self):
        """The summaries are those of the orders."""
        if self.run("SELECT count(*) FROM shop.recount_customers()")[0]:
            raise SystemExit("the summaries are not those of the orders")


def scaled(full, least):
    return max(least, int(full * float(os.environ.get("CRM_BENCH_SCALE", "1"))))

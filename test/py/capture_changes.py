"""10,000 mixed changes of an application's own table; the store follows exactly.

usage: capture_changes.py DSN CHANGES SEED PER_ROW
"""
import random
import sys

import psycopg2

dsn, changes, seed, per_row = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1"
rnd = random.Random(seed)
connection = psycopg2.connect(dsn)
connection.autocommit = True
cursor = connection.cursor()
words = {"待付款": "pending", "已付款": "paid", "已发货": "shipped", "交易成功": "completed", "交易关闭": "cancelled", "已退款": "refunded"}
cursor.execute("""
    CREATE TABLE app_orders (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, buyer text, sn text UNIQUE, paid_fen bigint, refund_fen bigint,
                             paid timestamp, st text, mobile text, stock integer);
    SELECT crm.create_store('follow')""")


def order(i):
    fen = rnd.randint(0, 100000)
    return ("b%d" % rnd.randint(1, 300), "sn%d" % i, fen, rnd.choice([0, 0, 0, fen, rnd.randint(0, fen)]),
            "2025-%02d-%02d 12:00" % (rnd.randint(1, 12), rnd.randint(1, 28)) if rnd.random() < 0.9 else None,
            rnd.choice(list(words)), rnd.choice([None, "138%08d" % rnd.randint(0, 99999999)]))


INSERT = "INSERT INTO app_orders (buyer, sn, paid_fen, refund_fen, paid, st, mobile) VALUES (%s, %s, %s, %s, %s, %s, %s)"
for i in range(500):
    cursor.execute(INSERT, order(i))
mapping = """{"customer":"buyer", "order_no":"sn", "amount":{"column":"paid_fen","scale":0.01}, "refunded":{"column":"refund_fen","scale":0.01},
    "paid_at":"paid", "ordered_at":"paid", "phone":"mobile", "status":{"column":"st","map":{%s}}, "channel":{"value":"mall"}}""" % ", ".join(
    '"%s":"%s"' % w for w in words.items())
cursor.execute("SELECT crm.capture_orders('follow', 'app_orders', %s, per_row => %s)", (mapping, per_row))
assert cursor.fetchone()[0] == 500

CHECK = """
    SELECT count(*) FROM (
        SELECT buyer, sn, round(paid_fen * 0.01, 4) AS amount, round(refund_fen * 0.01, 4) AS refunded, paid AT TIME ZONE 'Asia/Shanghai' AS paid_at, st
        FROM app_orders) a
    FULL JOIN (SELECT i.external_id, p.order_no, p.amount, p.refunded, p.paid_at, p.status
               FROM follow.purchase p JOIN follow.identity i USING (customer_id)) p ON p.order_no = a.sn
    WHERE (a.buyer, a.amount, a.refunded, a.paid_at, (%s::jsonb ->> a.st)) IS DISTINCT FROM (p.external_id, p.amount, p.refunded, p.paid_at, p.status)"""
n, i, made = 500, 0, 0
while made < changes:
    kind = rnd.randint(0, 9)
    if kind <= 2:
        n += 1
        cursor.execute(INSERT, order(n))
    elif kind == 3:
        rows = [order(n + k + 1) for k in range(20)]
        n += 20
        cursor.execute(INSERT + ", (%s, %s, %s, %s, %s, %s, %s)" * 19, [v for r in rows for v in r])
    elif kind == 4:
        cursor.execute("UPDATE app_orders SET st = %s WHERE id %% 97 = %s", (rnd.choice(list(words)), rnd.randint(0, 96)))
    elif kind == 5:
        cursor.execute("UPDATE app_orders SET refund_fen = floor(paid_fen * %s), stock = 1 WHERE id %% 97 = %s", (rnd.random(), rnd.randint(0, 96)))
    elif kind == 6:
        cursor.execute("UPDATE app_orders SET buyer = %s, mobile = NULL WHERE id %% 197 = %s", ("b%d" % rnd.randint(1, 400), rnd.randint(0, 196)))
    elif kind == 7:
        cursor.execute("UPDATE app_orders SET sn = 'x' || id || '-' || %s WHERE id %% 197 = %s", (i, rnd.randint(0, 196)))
    elif kind == 8:
        cursor.execute("DELETE FROM app_orders WHERE id %% 197 = %s", (rnd.randint(0, 196),))
    else:
        rows = [order(rnd.randint(1, n)) for k in range(5)]
        rows = list({r[1]: r for r in rows}.values())
        cursor.execute(INSERT + ", (%s, %s, %s, %s, %s, %s, %s)" * (len(rows) - 1) +
                       " ON CONFLICT (sn) DO UPDATE SET buyer = EXCLUDED.buyer, paid_fen = EXCLUDED.paid_fen, refund_fen = EXCLUDED.refund_fen, paid = EXCLUDED.paid",
                       [v for r in rows for v in r])
    made += cursor.rowcount
    i += 1
cursor.execute(CHECK, (str(words).replace("'", '"'),))
differ = cursor.fetchone()[0]
cursor.execute("SELECT count(*) FROM app_orders")
orders = cursor.fetchone()[0]
cursor.execute("SELECT count(*) FROM follow.recount_customers()")
recount = cursor.fetchone()[0]
print("changes %d in %d statements, orders %d, differing %d, recount %d" % (made, i, orders, differ, recount))
sys.exit(1 if differ or recount or orders < 100 else 0)

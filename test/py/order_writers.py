"""Writers at once: random inserts, updates, refunds, moves and deletes of orders, then a recount.

usage: order_writers.py DSN STORE WRITERS SECONDS SEED
Prints what was done; exit status 1 when an error was not one that a client has to expect.
"""
import random
import sys
import threading
import time

import psycopg2
from psycopg2 import errors

dsn, store, writers, seconds, seed = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5])
CUSTOMERS = 40
STATUSES = ["pending", "paid", "shipped", "completed", "cancelled", "refunded"]
# To be run again by the client; the second line is what the rules refuse.
RETRY = (errors.DeadlockDetected, errors.SerializationFailure)
REFUSED = (errors.CheckViolation, errors.ForeignKeyViolation)
done, deadlocks, conflicts, refused, bad = [0] * writers, [0] * writers, [0] * writers, [0] * writers, []


def moment(rnd):
    return "2025-%02d-%02d %02d:00+08" % (rnd.randint(1, 12), rnd.randint(1, 28), rnd.randint(0, 23))


def statements(rnd, me, n):
    """One transaction: a list of (sql, arguments)."""
    customer = rnd.randint(1, CUSTOMERS)
    kind = rnd.randint(0, 9)
    if kind <= 2:
        return [("INSERT INTO purchase (customer_id, order_no, status, amount, discount, cost, paid_at) VALUES (%s, %s, %s, %s, 1, 2, %s)",
                 (customer, "%d-%d" % (me, n), rnd.choice(STATUSES), rnd.randint(0, 99999) / 100, moment(rnd)))]
    if kind == 3:
        return [("""INSERT INTO purchase (customer_id, order_no, amount, paid_at)
                    SELECT 1 + (g * 7 + %s) %% 40, %s || g, g, %s::timestamptz + g * interval '9 days' FROM generate_series(1, 10) g""",
                 (customer, "%d-%d-" % (me, n), moment(rnd)))]
    if kind == 4:
        return [("UPDATE purchase SET status = %s WHERE customer_id = %s AND order_no LIKE %s", (rnd.choice(STATUSES), customer, "%%%d" % rnd.randint(0, 9)))]
    if kind == 5:
        return [("UPDATE purchase SET paid_at = %s, amount = amount + 1 WHERE customer_id BETWEEN %s AND %s AND order_no LIKE %s",
                 (moment(rnd), customer, customer + 3, "%%%d" % rnd.randint(10, 99)))]
    if kind == 6:
        return [("UPDATE purchase SET customer_id = %s WHERE customer_id = %s AND order_no LIKE %s", (rnd.randint(1, CUSTOMERS), customer, "%%%d" % rnd.randint(10, 99)))]
    if kind == 7:
        return [("""INSERT INTO purchase_refund (customer_id, channel, order_no, refund_no, amount)
                    SELECT customer_id, channel, order_no, %s, round((amount - refunded) / 2, 4) FROM purchase
                    WHERE customer_id = %s AND amount - refunded > 1 ORDER BY order_no DESC LIMIT 2""", ("r%d-%d" % (me, n), customer))]
    if kind == 8:
        return [("DELETE FROM purchase WHERE customer_id = %s AND order_no LIKE %s", (customer, "%%%d" % rnd.randint(0, 99))),
                ("DELETE FROM purchase_refund WHERE customer_id = %s AND refund_no LIKE %s", (customer, "%%%d" % rnd.randint(0, 99)))]
    return [("""INSERT INTO purchase (customer_id, order_no, amount, paid_at) SELECT customer_id, order_no, amount, %s FROM purchase
                WHERE customer_id IN (%s, %s) AND order_no LIKE %s
                ON CONFLICT (channel, order_no) DO UPDATE SET paid_at = EXCLUDED.paid_at, status = 'paid'""",
             (moment(rnd), customer, rnd.randint(1, CUSTOMERS), "%%%d" % rnd.randint(0, 99)))]


def work(me):
    rnd = random.Random(seed * 1000 + me)
    connection = psycopg2.connect(dsn)
    level = "REPEATABLE READ" if me % 5 == 4 else "READ COMMITTED"
    cursor = connection.cursor()
    cursor.execute("SET search_path = %s, crm" % store)
    cursor.execute("SET deadlock_timeout = '200ms'")
    connection.commit()
    connection.set_session(isolation_level=level)
    n = 0
    while time.time() < end and not bad:
        n += 1
        transaction = statements(rnd, me, n)
        if rnd.random() < 0.1:
            transaction += statements(rnd, me, -n)
        for attempt in range(200):
            try:
                for sql, arguments in transaction:
                    cursor.execute(sql, arguments)
                if rnd.random() < 0.05:
                    connection.rollback()
                else:
                    connection.commit()
                done[me] += 1
                break
            except RETRY as error:
                connection.rollback()
                if isinstance(error, errors.DeadlockDetected):
                    deadlocks[me] += 1
                else:
                    conflicts[me] += 1
                time.sleep(rnd.random() * 0.02 * min(attempt + 1, 10))
            except REFUSED:
                connection.rollback()
                refused[me] += 1
                break
            except Exception as error:
                connection.rollback()
                bad.append(repr(error))
                break
        else:
            bad.append("still refused after 200 attempts")
    connection.close()


main = psycopg2.connect(dsn)
main.autocommit = True
cursor = main.cursor()
cursor.execute("INSERT INTO %s.customer SELECT FROM generate_series(1, %d)" % (store, CUSTOMERS + 4))
end = time.time() + seconds
threads = [threading.Thread(target=work, args=(i,)) for i in range(writers)]
for t in threads:
    t.start()
for t in threads:
    t.join()
cursor.execute("SELECT count(*), count(order_at), count(*) FILTER (WHERE refunded > 0) FROM %s.purchase" % store)
print("transactions %d, run again after deadlocks %d and conflicts %d, refused by a rule %d; orders, counting, with refunds: %s"
      % (sum(done), sum(deadlocks), sum(conflicts), sum(refused), cursor.fetchone()))
cursor.execute("SELECT * FROM %s.recount_customers()" % store)
differences = cursor.fetchall()
cursor.execute("""SELECT count(*) FROM (SELECT channel, order_no, sum(amount) AS r FROM %s.purchase_refund GROUP BY 1, 2) f
                  FULL JOIN %s.purchase p USING (channel, order_no) WHERE coalesce(f.r, 0) <> coalesce(p.refunded, -1)""" % (store, store))
unmatched = cursor.fetchone()[0]
print("differences %d, orders whose refunds differ %d" % (len(differences), unmatched))
for row in differences[:10]:
    print(row)
for error in bad[:10]:
    print("error: " + error)
sys.exit(1 if differences or unmatched or bad or sum(done) < writers else 0)

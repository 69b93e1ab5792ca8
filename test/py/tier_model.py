#!/usr/bin/python3
"""Random changes of orders, old and new, against a model of the tiers' rules: every change of tier must be the one the model makes.

The model: an order judges its customer at its own moment, and so does every order after it, once more; nobody is judged
before the moment of the tier that is held. A condition on the sum or the number of all orders lifts by the order that
crosses it, or who never had the tier. A cycle that is over ends before an order lifts. What shrinks takes a tier back when
neither its own moment, nor that of the last order of the cycle, nor today qualifies for what the tier rests on.

Usage: tier_model.py CONNECTION STORE SEED STATEMENTS. Prints what differs; the last line counts."""
import calendar
import datetime
import random
import sys
from decimal import Decimal

import psycopg2

store, statements = sys.argv[2], int(sys.argv[4])
rnd = random.Random(sys.argv[3])
CUSTOMERS = max(20, statements // 12)  # they come into play a few at a time
UTC = datetime.timezone.utc
db = psycopg2.connect(sys.argv[1])
sql = db.cursor()
sql.execute(f"SET search_path = {store}, crm; SET timezone = 'UTC'")
sql.execute("SELECT tier, seq FROM tier ORDER BY seq")
SEQ = dict(sql.fetchall())
NAME = {v: k for k, v in SEQ.items()}
BASE = min(NAME)
sql.execute("SELECT seq, column_name, threshold, lifetime FROM tier_condition ORDER BY seq DESC, n")
CONDITIONS = sql.fetchall()
sql.execute("SELECT seq, (rule_threshold(keep)).threshold FROM tier WHERE keep IS NOT NULL")
KEEP = dict(sql.fetchall())
sql.execute("INSERT INTO customer (customer_id, joined_at) SELECT i, now() - interval '5 years' FROM generate_series(1, %s) i", (CUSTOMERS,))
db.commit()


def add_months(at, months):
    month = at.month - 1 + months
    year, month = at.year + month // 12, month % 12 + 1
    return at.replace(year=year, month=month, day=min(at.day, calendar.monthrange(year, month)[1]))


def cycle_end(at):
    return add_months(at.replace(hour=0, minute=0, second=0, microsecond=0), 12)


class Customer:
    def __init__(self):
        self.orders = {}
        self.tier, self.since, self.end, self.peak, self.rests_on = BASE, None, None, BASE, None
        self.changes = []

    def counted(self):
        return sorted((o for o in self.orders.values() if o.counts()), key=lambda o: o.at)

    def figures(self, at):
        upto = [o for o in self.counted() if o.at <= at]
        return {"spend_total": sum(o.net() for o in upto), "order_count": len(upto),
                "spend_12m": sum(o.net() for o in upto if o.at > add_months(at, -12))}

    def condition(self, held, peak, now, before):
        for c in CONDITIONS:
            seq, column, threshold, lifetime = c
            if seq > held and now[column] >= threshold and (not lifetime or seq > peak or before[column] < threshold):
                return c
        return None

    def around(self, at, spend, count):
        now = self.figures(at)
        return now, {**now, "spend_total": now["spend_total"] - spend, "order_count": now["order_count"] - count}

    def write(self, to, reason, at, value, threshold, condition=None):
        before = (self.tier, self.since, self.end, self.peak, self.rests_on)
        self.changes.append((NAME[self.tier], NAME[to], reason, at, value, threshold, before, condition))

    def judge(self, at, spend, count):
        now, before = self.around(at, spend, count)
        if not self.condition(-1000, -1000, now, before):
            return
        if self.since and self.since > at:
            at = self.since
            now, before = self.around(at, spend, count)
        if self.end and self.end <= at:
            if not self.condition(-1000, self.peak, now, before):
                return
            while self.end and self.end <= at:
                self.end_cycle()
        c = self.condition(self.tier, self.peak, now, before)
        if c:
            seq, column, threshold, _ = c
            self.write(seq, "upgrade", at, now[column], threshold, c)
            self.tier, self.since, self.end, self.peak, self.rests_on = seq, at, cycle_end(at), max(self.peak, seq), len(self.changes)

    def end_cycle(self):
        at = self.end
        spend = self.figures(at)["spend_12m"]
        self.rests_on = None
        if spend >= KEEP[self.tier]:
            self.end = cycle_end(at)
            return
        to = max([s for s in KEEP if s < self.tier and spend >= KEEP[s]], default=BASE)
        self.write(to, "period_end", at, spend, KEEP[self.tier])
        self.tier, self.since, self.end = to, at, None if to == BASE else cycle_end(at)

    def grown(self, moments):
        """Orders grew: {moment: [spend, orders]}."""
        late = [m for m in moments if self.since and m < self.since]
        begin = min(moments)
        if late:
            begin = self.since
            self.judge(begin, sum(moments[m][0] for m in late), sum(moments[m][1] for m in late))
        for at in sorted({o.at for o in self.counted() if (o.at > begin if late else o.at >= begin)}):
            here = [o for o in self.counted() if o.at == at]
            self.judge(at, *(moments.get(at) or (sum(o.net() for o in here), len(here))))

    def shrunk(self, now):
        rests = self.rests_on is not None
        while rests and self.end and self.end <= now:
            self.end_cycle()
        while self.rests_on is not None:
            at = max(now, self.since)
            from_tier, _, _, rest_at, _, threshold, before, rest = self.changes[self.rests_on - 1]
            last = [o.at for o in self.counted() if rest_at < o.at < self.end]
            moments = [rest_at, max(rest_at, at)] + last[-1:]
            best = max([c[0] for c in CONDITIONS if SEQ[from_tier] < c[0] <= self.tier and (not c[3] or c == rest or c[0] > before[3])
                        and any(self.figures(m)[c[1]] >= c[2] for m in moments)], default=None)
            if best is not None and best >= self.tier:
                return
            to = SEQ[from_tier] if best is None else best
            self.write(to, "refund", at, self.figures(rest_at)[rest[1]], threshold)
            self.tier, self.since, self.peak = to, at, max(before[3], to)
            if best is None:
                self.end, self.rests_on = before[2] and max(before[2], at), before[4]


class Order:
    def __init__(self, at, amount, status):
        self.at, self.amount, self.status, self.refunded = at, amount, status, Decimal(0)

    def counts(self):
        return self.status == "paid" and self.amount > self.refunded

    def net(self):
        return self.amount - self.refunded if self.counts() else Decimal(0)


customers = {i: Customer() for i in range(1, CUSTOMERS + 1)}
started = datetime.datetime.now(UTC).replace(microsecond=0)
number = 0
done = 0


def moment(c):
    orders = customers[c].orders.values()
    if c % 2 == 0 and rnd.random() < 0.8:
        # A customer whose orders come as they are made.
        last = max((o.at for o in orders), default=started - datetime.timedelta(days=1200))
        return min(last + datetime.timedelta(minutes=int(rnd.random() * 150 * 1440)), started)
    days = rnd.choice([rnd.random() * 3, rnd.random() * 365, 365 + rnd.random() * 3 - 1.5, rnd.random() * 900])
    return started - datetime.timedelta(minutes=int(days * 1440) + 1)


def amount():
    return Decimal(str(round(rnd.choice([rnd.random() * 100, rnd.random() * 700, rnd.choice([500, 800, 300]), rnd.random() * 3000]), 2))) + 1


def playing():
    first = 1 + done * (CUSTOMERS - 10) // statements
    return range(first, first + 10)


def pick():
    holders = [c for c in playing() if customers[c].orders]
    c = rnd.choice(holders)
    return c, rnd.choice(sorted(customers[c].orders))


def step():
    """Does one statement in the database and in the model."""
    global number
    shrunk, grown = set(), {}
    kind = rnd.random()

    def change(c, order, **what):
        before, counted, at = order.net(), order.counts(), order.at
        for k, v in what.items():
            setattr(order, k, v)
        if counted and order.net() < before:
            shrunk.add(c)
        if order.counts() and (not counted or order.net() > before):
            spend, count = grown.setdefault(c, {}).get(order.at, (0, 0))
            grown[c][order.at] = (spend + order.net() - before, count + (0 if counted else 1))

    if kind < 0.45 or not any(customers[c].orders for c in playing()):
        rows = []
        same = None
        for _ in range(rnd.choice([1, 1, 1, 2, 5])):
            number += 1
            c = rnd.choice(playing()) if not rows or rnd.random() < 0.5 else rows[0][0]
            at = same if same and rnd.random() < 0.4 else moment(c)
            same = at
            o = Order(at, Decimal(0), "paid")
            customers[c].orders[f"o{number}"] = o
            final, status = amount(), rnd.choice(["paid", "paid", "paid", "pending"])
            o.status = "pending"
            change(c, o, amount=final, status=status)
            rows.append((c, f"o{number}", final, o.at, status))
        statement = sql.mogrify("INSERT INTO purchase (customer_id, order_no, amount, paid_at, status) VALUES " + ", ".join(["%s"] * len(rows)), rows)
    elif kind < 0.65:
        c, no = pick()
        o = customers[c].orders[no]
        final = o.refunded + amount()
        statement = sql.mogrify("UPDATE purchase SET amount = %s WHERE customer_id = %s AND order_no = %s", (final, c, no))
        change(c, o, amount=final)
    elif kind < 0.75:
        c, no = pick()
        status = rnd.choice(["paid", "pending", "cancelled"])
        statement = sql.mogrify("UPDATE purchase SET status = %s WHERE customer_id = %s AND order_no = %s", (status, c, no))
        change(c, customers[c].orders[no], status=status)
    elif kind < 0.85:
        c, no = pick()
        o = customers[c].orders[no]
        if o.status != "paid":
            return
        refunded = o.refunded + round((o.amount - o.refunded) * Decimal(rnd.choice(["0.5", "1", "0.9"])), 2)
        statement = sql.mogrify("UPDATE purchase SET refunded = %s WHERE customer_id = %s AND order_no = %s", (refunded, c, no))
        change(c, o, refunded=refunded)
    elif kind < 0.92:
        c, no = pick()
        statement = sql.mogrify("DELETE FROM purchase WHERE customer_id = %s AND order_no = %s", (c, no))
        change(c, customers[c].orders[no], status="cancelled")
        del customers[c].orders[no]
    else:
        c, no = pick()
        other = rnd.choice([x for x in playing() if x != c])
        statement = sql.mogrify("UPDATE purchase SET customer_id = %s WHERE customer_id = %s AND order_no = %s", (other, c, no))
        o = customers[c].orders.pop(no)
        copy = Order(o.at, o.amount, "pending")
        copy.refunded = o.refunded
        status = o.status
        change(c, o, status="cancelled")
        customers[other].orders[no] = copy
        change(other, copy, status=status)
    sql.execute(statement)
    sql.execute("SELECT now()")
    now = sql.fetchone()[0]
    for c in sorted(shrunk | set(grown)):
        if c in shrunk:
            customers[c].shrunk(now)
        if c in grown:
            customers[c].grown(grown[c])
    check(shrunk | set(grown), statement)
    db.commit()


wrong = 0


def check(ids, statement):
    global wrong
    sql.execute("SELECT customer_id, from_tier, to_tier, reason, at, value, threshold FROM tier_change WHERE customer_id = ANY (%s) ORDER BY customer_id, change_no", (list(ids),))
    found = {c: [] for c in ids}
    for c, *row in sql.fetchall():
        found[c].append(tuple(row))
    sql.execute("SELECT customer_id, tier, since, period_end, peak, rests_on FROM tier_member WHERE customer_id = ANY (%s)", (list(ids),))
    members = {c: tuple(row) for c, *row in sql.fetchall()}
    for c in ids:
        m = customers[c]
        expected = [x[:6] for x in m.changes]
        if found[c] != expected or (expected and members.get(c) != (NAME[m.tier], m.since, m.end, m.peak, m.rests_on)):
            wrong += 1
            if wrong <= 3:
                print("after", statement.decode())
                print("  customer", c, [(str(o.at), str(o.net())) for o in m.counted()])
                n = next((i for i in range(min(len(expected), len(found[c]))) if expected[i] != found[c][i]), min(len(expected), len(found[c])))
                print("  expected", n, [[str(v) for v in x] for x in expected[n:]], [str(v) for v in (m.tier, m.since, m.end, m.peak, m.rests_on)])
                print("  found   ", n, [[str(v) for v in x] for x in found[c][n:]], [str(v) for v in members.get(c, ())])
            if wrong == 3:
                raise SystemExit("3 differences")


for done in range(statements):
    step()
changes = [x for c in customers.values() for x in c.changes]
later = 0
sql.execute("SELECT now()")
now = sql.fetchone()[0]
for c, m in customers.items():
    # Whoever qualifies today, and whose cycle is not over, has been lifted at once.
    figures = m.figures(now)
    if not (m.end and m.end <= now) and m.condition(m.tier, m.peak, figures, figures):
        later += 1
        print("left for later:", c, figures, NAME[m.tier], m.peak)
print(f"{wrong} differ, {later} are left for later; {len(changes)} changes of tier: "
      + ", ".join(f"{sum(x[2] == r for x in changes)} {r}" for r in ("upgrade", "refund", "period_end")))
raise SystemExit(wrong + later > 0 or not changes)

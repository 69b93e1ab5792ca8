#!/usr/bin/python3
"""Simulation of a points ledger against a model written from doc/points.md alone: one seed, one virtual clock.

points_model.py DSN SEED OPERATIONS [CUSTOMERS]
Operations are posted by the verbs and, in batches, by post_points. After each its result is compared, at the end every entry, balance and lot. Prints the seed; ends with 1 on a difference.
"""
import datetime
import random
import re
import sys

import psycopg2

EPOCH = datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc)
NEVER = 10**12
PROGRAMS = {"strict": False, "debt": True}


class Refused(Exception):
    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Account:
    def __init__(self, debt):
        self.debt = debt
        self.available = self.pending = self.held = 0
        self.lots = {}  # (expires, since): points; since is -1 once they can be spent, NEVER until they mature
        self.holds = {}  # seq of the hold: [points, due, lots]
        self.booked = -1
        self.entries = []
        self.keys = {}

    def put(self, points, expires, since=-1):
        if points:
            self.lots[expires, since] = self.lots.get((expires, since), 0) + points

    def deposit(self, points, expires):
        paid = min(points, max(0, -self.available))
        self.put(points - paid, expires)
        self.available += points

    def take(self, points, taken):
        for key in sorted(k for k in self.lots if k[1] == -1):
            part = min(points, self.lots[key])
            if part:
                taken[key] = taken.get(key, 0) + part
                points -= part
                self.remove(key, part)
        return points

    def remove(self, key, part):
        self.lots[key] -= part
        if not self.lots[key]:
            del self.lots[key]

    def add(self, kind, points, occurred, source, reference, **rest):
        self.booked = max(self.booked, occurred)
        entry = dict(seq=len(self.entries) + 1, kind=kind, points=points, occurred=occurred, booked=self.booked, source=source, reference=reference,
                     balance=self.available, reverses=None, expires=None, since=None, shortfall=None, lots={})
        entry.update(rest)
        self.entries.append(entry)
        if reference is not None:
            self.keys[kind, source, reference] = entry
        return entry

    def lapse(self, until):
        while True:
            moments = [e for e, _ in self.lots if e < NEVER] + [s for _, s in self.lots if -1 < s < NEVER] + [h[1] for h in self.holds.values() if h[1] < NEVER]
            if not moments or min(moments) > until:
                return
            due = min(moments)
            ripe = {k: p for k, p in self.lots.items() if -1 < k[1] <= due}
            overdue = [s for s, h in sorted(self.holds.items()) if h[1] <= due]
            if ripe:
                for (expires, since), points in sorted(ripe.items()):
                    del self.lots[expires, since]
                    self.pending -= points
                for (expires, since), points in sorted(ripe.items()):
                    self.deposit(points, expires)
                self.add("mature", sum(ripe.values()), due, "lapse", None, since=due, lots=ripe)
            elif overdue:
                self.give_back(overdue[0], due, "lapse", None)
            else:
                gone = {k: p for k, p in self.lots.items() if k[0] <= due}
                for key, points in gone.items():
                    del self.lots[key]
                    if key[1] == -1:
                        self.available -= points
                    else:
                        self.pending -= points
                self.add("expire", sum(gone.values()), due, "lapse", None, lots=gone)

    def give_back(self, seq, occurred, source, reference):
        points, _, lots = self.holds.pop(seq)
        for (expires, _), part in sorted(lots.items()):
            self.deposit(part, expires)
        self.held -= points
        return self.add("release", points, occurred, source, reference, reverses=seq, lots=lots)

    def reversed(self, seq, kind, before=None):
        return sum(e["points"] for e in self.entries if e["reverses"] == seq and e["kind"] == kind and (before is None or e["seq"] < before))

    def target(self, kinds, source, reference):
        for kind in kinds:
            if (kind, source, reference) in self.keys:
                return self.keys[kind, source, reference]
        raise Refused("CP009")

    def post(self, op):
        """Apply an operation; gives the entry and whether it was there before."""
        kind, points, at, source, reference = op["kind"], op.get("points"), op["at"], op["source"], op["reference"]
        target = None
        if "target" in op:
            target = self.target(op["target_kinds"], source, op["target"])
        old = self.keys.get((kind, source, reference))
        if old:
            expected = points
            if points is None and target:
                if kind in ("capture", "release"):
                    expected = target["points"]
                elif kind in ("refund", "restore"):
                    first = self.entries[old["reverses"] - 1]
                    expected = first["points"] - self.reversed(first["seq"], kind, old["seq"])
                else:
                    expected = old["points"]
            for given, stored in ((expected, old["points"]), (op.get("expires"), old["expires"]), (op.get("since"), old["since"])):
                if given is not None and given != stored:
                    raise Refused("CP002")
            if target and target["seq"] != old["reverses"]:
                raise Refused("CP002")
            return old, True
        now = max(at, self.booked)
        self.lapse(now)
        entry = getattr(self, kind)(op, points, at, now, target)
        self.lapse(self.booked)
        return entry, False

    def earn(self, op, points, at, now, _):
        expires = op.get("expires")
        since = op.get("since")
        if since is not None and since > now:
            self.put(points, NEVER if expires is None else expires, since)
            self.pending += points
        else:
            self.deposit(points, NEVER if expires is None else expires)
        return self.add("earn", points, at, op["source"], op["reference"], expires=expires, since=since)

    def redeem(self, op, points, at, now, _, kind="redeem"):
        if self.available < points:
            raise Refused("CP001")
        taken = {}
        self.take(points, taken)
        self.available -= points
        return self.add(kind, points, at, op["source"], op["reference"], lots=taken)

    def hold(self, op, points, at, now, _):
        due = op.get("expires")
        if due is not None and due <= now:
            raise Refused("CP004")
        entry = self.redeem(op, points, at, now, _, "hold")
        entry["expires"] = due
        self.held += points
        self.holds[entry["seq"]] = [points, NEVER if due is None else due, dict(entry["lots"])]
        return entry

    def resolve(self, target):
        if target["seq"] in self.holds:
            return self.holds[target["seq"]]
        overdue = target["expires"] is not None and target["expires"] <= self.booked
        raise Refused("CP004" if overdue else "CP003")

    def capture(self, op, points, at, now, target):
        hold = self.resolve(target)
        points = hold[0] if points is None else points
        if points > hold[0]:
            raise Refused("CP001")
        taken, left = {}, points
        for key in sorted(hold[2]):
            part = min(left, hold[2][key])
            if part:
                taken[key] = part
                left -= part
                hold[2][key] -= part
        hold[2] = {k: p for k, p in hold[2].items() if p}
        hold[0] -= points
        self.held -= points
        entry = self.add("capture", points, at, op["source"], op["reference"], reverses=target["seq"], lots=taken)
        if hold[0]:
            self.give_back(target["seq"], at, "capture", None)
        else:
            del self.holds[target["seq"]]
        return entry

    def release(self, op, _, at, now, target):
        self.resolve(target)
        return self.give_back(target["seq"], at, op["source"], op["reference"])

    def since(self, earn):
        matured = [e for e in self.entries if e["kind"] == "mature" and e["reverses"] == earn["seq"]]
        since = (matured[-1] if matured else earn)["since"]
        return -1 if since is None else since

    def refund(self, op, points, at, now, target):
        left = target["points"] - self.reversed(target["seq"], "refund")
        points = left if points is None else points
        if left <= 0 or points > left:
            raise Refused("CP001")
        expires = NEVER if target["expires"] is None else target["expires"]
        since = self.since(target)
        key = (expires, since if since > now else -1)
        own = min(points, self.lots.get(key, 0))
        taken = {}
        if own:
            taken[key] = own
            self.remove(key, own)
        if key[1] != -1:
            self.pending -= own
        else:
            self.available -= own
        missing = points - own
        rest = self.take(missing, taken)
        self.available -= missing - rest
        shortfall = None
        if rest and self.debt:
            self.available -= rest
        elif rest:
            shortfall = rest
        return self.add("refund", points, at, op["source"], op["reference"], reverses=target["seq"], shortfall=shortfall, lots=taken)

    def restore(self, op, points, at, now, target):
        skip = self.reversed(target["seq"], "restore")
        left = target["points"] - skip
        points = left if points is None else points
        if left <= 0 or points > left:
            raise Refused("CP001")
        back, wanted = {}, points
        for key in sorted(target["lots"], reverse=True):
            part = target["lots"][key]
            skipped = min(skip, part)
            skip -= skipped
            part = min(wanted, part - skipped)
            wanted -= part
            if part:
                back[key] = part
        for (expires, _), part in sorted(back.items()):
            self.deposit(part, expires)
        return self.add("restore", points, at, op["source"], op["reference"], reverses=target["seq"], lots=back)

    def mature(self, op, _, at, now, target):
        since = self.since(target)
        if since <= now:
            raise Refused("CP003")
        expires = NEVER if target["expires"] is None else target["expires"]
        part = min(target["points"] - self.reversed(target["seq"], "refund"), self.lots.get((expires, since), 0))
        if part <= 0:
            raise Refused("CP001")
        self.remove((expires, since), part)
        later = op.get("since")
        if later is not None and later > now:
            self.put(part, expires, later)
        else:
            self.pending -= part
            self.deposit(part, expires)
        return self.add("mature", part, at, op["source"], op["reference"], reverses=target["seq"], since=later, lots={(expires, since): part})

    def adjust(self, op, points, at, now, _):
        taken = {}
        if points > 0:
            self.deposit(points, NEVER if op.get("expires") is None else op["expires"])
        else:
            if self.available < -points and not self.debt:
                raise Refused("CP001")
            self.take(-points, taken)
            self.available += points
        return self.add("adjust", points, at, op["source"], op["reference"], expires=op.get("expires"), lots=taken)

    def transfer_in(self, op, points, at, now, _):
        for (expires, _), part in sorted(op["lots"].items()):
            self.deposit(part, expires)
        return self.add("transfer_in", points, at, op["source"], op["reference"], lots=op["lots"])


def moment(t):
    return None if t is None else "infinity" if t >= NEVER else (EPOCH + datetime.timedelta(seconds=t)).isoformat()


LOT = re.compile(r"(\d+)(?: from ([^ ,}]+))?(?: until ([^ ,}]+))?")


def seconds(text):
    if text == "infinity":
        return NEVER
    return round((datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) - EPOCH).total_seconds())


def read_lots(text):
    return {(NEVER if until is None or until == "" else seconds(until), -1 if not since else seconds(since)): int(points)
            for points, since, until in LOT.findall(text or "")}


SQL = {
    "earn": ("points", "source", "reference", "expires_at", "available_at"), "redeem": ("points", "source", "reference"),
    "hold": ("points", "source", "reference", "expires_at"), "capture": ("hold_reference", "points", "source"),
    "release": ("hold_reference", "source"), "refund": ("earn_reference", "points", "source", "reference"),
    "restore": ("redeem_reference", "points", "source", "reference"), "mature": ("earn_reference", "source", "reference", "available_at"),
    "adjust": ("points", "source", "reference", "reason", "expires_at"), "transfer": ("to_customer_id", "points", "source", "reference"),
}
COLUMNS = ("seq, kind, points, balance_after, reverses, shortfall, lots::text, source, reference, extract(epoch FROM occurred_at)::bigint, extract(epoch FROM booked_at)::bigint,"
           " CASE WHEN expires_at = 'infinity' THEN NULL ELSE extract(epoch FROM expires_at)::bigint END, extract(epoch FROM nullif(available_at, 'infinity'))::bigint, available_at = 'infinity'")
START = int(EPOCH.timestamp())


def as_model(row):
    seq, kind, points, balance, reverses, shortfall, lots, source, reference, occurred, booked, expires, since, waits = row
    return dict(seq=seq, kind=kind, points=points, balance=balance, reverses=reverses, shortfall=shortfall, lots=read_lots(lots), source=source, reference=reference,
                occurred=occurred - START, booked=booked - START, expires=None if expires is None else expires - START,
                since=NEVER if waits else None if since is None else since - START)


class Simulation:
    def __init__(self, dsn, seed, customers):
        self.rng = random.Random(seed)
        self.connection = psycopg2.connect(dsn)
        self.connection.autocommit = True
        self.cursor = self.connection.cursor()
        self.cursor.execute("SET timezone = 'UTC'")
        self.customers = customers
        self.accounts = {(c, p): Account(d) for c in range(1, customers + 1) for p, d in PROGRAMS.items()}
        self.clock = 0
        self.count = 0
        self.counts = {}

    def reference(self):
        self.count += 1
        return "r%d" % self.count

    def make(self, account):
        rng = self.rng
        self.clock += rng.choice((0, 0, 1, 7, 60, 600, 5000))
        at = max(0, self.clock - rng.choice((0, 0, 0, 0, 30, 5000)))
        later = lambda: rng.choice((None, None, at + rng.randint(1, 20000), at + 3000, (at // 10000 + 2) * 10000))
        kind = rng.choices(("earn", "redeem", "hold", "capture", "release", "refund", "restore", "mature", "adjust", "transfer"), (8, 5, 3, 3, 2, 3, 3, 2, 1, 2))[0]
        op = dict(kind=kind, at=at, source=rng.choice("ab"), reference=self.reference(), points=rng.randint(1, 120))
        kinds = {"capture": ("hold",), "release": ("hold",), "refund": ("earn",), "restore": ("redeem", "capture"), "mature": ("earn",)}.get(kind)
        if kinds:
            chosen = [e for e in account.entries[-60:] if e["kind"] in kinds and e["reference"] is not None]
            if chosen and rng.random() < 0.98:
                target = rng.choice(chosen)
                op["source"], op["target"] = target["source"], target["reference"]
            else:
                op["target"] = "none"
            op["target_kinds"] = kinds
            if kind in ("release", "mature") or rng.random() < 0.4:
                op["points"] = None
            if kind in ("capture", "release") or rng.random() < 0.3:
                op["reference"] = op["target"]
        if kind == "earn":
            op["expires"] = later()
            op["since"] = rng.choice((None, None, None, NEVER, at + rng.randint(1, 9000)))
        elif kind == "hold":
            op["expires"] = later()
        elif kind == "mature":
            op["since"] = rng.choice((None, None, at + rng.randint(1, 5000)))
        elif kind == "adjust":
            op["points"] *= rng.choice((1, -1))
            op["expires"] = later() if op["points"] > 0 else None
        if op.get("expires") is None and kind in ("earn", "hold", "adjust"):
            op.pop("expires", None)
        if op.get("since") is None:
            op.pop("since", None)
        return op

    def call(self, customer, program, op, to):
        verb = "transfer" if op["kind"] == "transfer" else op["kind"]
        values = {"points": op.get("points"), "source": op["source"], "reference": op["reference"], "expires_at": moment(op.get("expires")),
                  "available_at": moment(op.get("since")), "reason": "simulated", "to_customer_id": to}
        for name in ("hold_reference", "earn_reference", "redeem_reference"):
            values[name] = op.get("target")
        names = SQL[verb]
        self.cursor.execute("SELECT %s FROM shop.%s(%%s, %s, program => %%s, as_of => %%s)" % (COLUMNS, verb, ", ".join("%s => %%s" % n for n in names)),
                            [customer] + [values[n] for n in names] + [program, moment(op["at"])])
        return as_model(self.cursor.fetchone())

    def model(self, customer, program, op, to):
        account = self.accounts[customer, program]
        if op["kind"] != "transfer":
            return account.post(op)[0]
        out = dict(op, kind="transfer_out")
        account.transfer_out = lambda o, points, at, now, target: account.redeem(o, points, at, now, target, "transfer_out")
        entry, old = account.post(out)
        if not old:
            self.accounts[to, program].post(dict(op, kind="transfer_in", lots=dict(entry["lots"])))
        return entry

    def step(self, number):
        customer, program = self.rng.randint(1, self.customers), self.rng.choice(list(PROGRAMS))
        account = self.accounts[customer, program]
        to = customer % self.customers + 1
        if account.entries and self.rng.random() < 0.08:
            op = dict(self.rng.choice(self.history.get((customer, program)) or [self.make(account)]))
            if self.rng.random() < 0.3 and op.get("points") is not None:
                op["points"] += 1 if op["points"] > 0 else -1
            op["at"] = self.clock
        else:
            op = self.make(account)
        before = len(account.entries)
        snapshot = self.save({(customer, program), (to, program)})
        try:
            expected = self.model(customer, program, op, to)
            self.history.setdefault((customer, program), []).append(op)
            del self.history[customer, program][:-20]
        except Refused as refused:
            expected = refused.code
            self.load(snapshot)
        try:
            got = self.call(customer, program, op, to)
        except psycopg2.Error as e:
            got = e.pgcode
        name = expected if isinstance(expected, str) else op["kind"] + (" again" if expected["seq"] <= before else "")
        self.counts[name] = self.counts.get(name, 0) + 1
        if got != expected:
            print("operation %d: customer %d, program %s, %s\nmodel:  %s\nledger: %s" % (number, customer, program, op, expected, got))
            return False
        return True

    def movement(self):
        """A movement of a batch: what it reverses is named by its reference or by seq."""
        customer, program = self.rng.randint(1, self.customers), self.rng.choice(list(PROGRAMS))
        account = self.accounts[customer, program]
        op = self.make(account)
        while op["kind"] == "transfer":
            op = self.make(account)
        if op.get("target") == "none":
            op["reference"] = "none"
        return customer, program, op

    def batch(self, number):
        """Movements posted in one call, all or none or row by row; many of them new earnings, which large batches take a shorter way for."""
        size, atomic, plain = self.rng.choice((3, 20, 60, 120)), self.rng.random() < 0.5, self.rng.random() < 0.6
        repeats = self.rng.choice((0, 0, 0.05))
        movements = []
        while len(movements) < size:
            if movements and self.rng.random() < repeats:
                customer, program, op = self.rng.choice(movements)
                earlier = self.history.get((customer, program))
                if earlier and self.rng.random() < 0.7:
                    op = self.rng.choice(earlier)
                op = dict(op, at=self.clock)
                if op["kind"] == "transfer":
                    continue
                if self.rng.random() < 0.2 and op.get("points") is not None:
                    op["points"] += 1 if op["points"] > 0 else -1
            else:
                customer, program, op = self.movement()
                if plain and op["kind"] not in ("earn", "mature") and self.rng.random() < 0.97:
                    op = dict(kind="earn", at=op["at"], source=op["source"], reference=self.reference(), points=self.rng.randint(1, 120))
            movements.append((customer, program, op))
        # The model applies them one after the other; a refusal among all or none undoes what was before it.
        start = self.save({(c, p) for c, p, _ in movements})
        expected, rows = [], []
        for customer, program, op in movements:
            account = self.accounts[customer, program]
            snapshot = self.save({(customer, program)})
            target = next((account.keys[k, op["source"], op["target"]] for k in op.get("target_kinds", ()) if (k, op["source"], op["target"]) in account.keys), None)
            rows += [customer, op["kind"], op.get("points"), op["source"], op["reference"], program, moment(op.get("expires")), moment(op.get("since")),
                     target["seq"] if target and op["reference"] != op["target"] else None, moment(op["at"])]
            try:
                entry, old = account.post(op)
                expected.append(("repeated" if old else "posted", entry["seq"], entry["balance"], None))
                self.history.setdefault((customer, program), []).append(op)
                del self.history[customer, program][:-20]
            except Refused as refused:
                self.load(snapshot)
                if refused.code != "CP002":
                    account.lapse(max(op["at"], account.booked))
                expected.append(("refused", None, None, refused.code))
                if atomic:
                    self.load(start)
                    expected = refused.code
                    break
        rows += [v for customer, program, op in movements[len(rows) // 10:] for v in
                 (customer, op["kind"], op.get("points"), op["source"], op["reference"], program, moment(op.get("expires")), moment(op.get("since")), None, moment(op["at"]))]
        row = "ROW(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, NULL)::crm.points_movement"
        try:
            self.cursor.execute("SELECT status, seq, balance_after, sqlstate FROM shop.post_points(ARRAY[%s], %%s) ORDER BY ordinal" % ", ".join([row] * size), rows + [atomic])
            got = self.cursor.fetchall()
        except psycopg2.Error as e:
            got = e.pgcode
        for result in expected if isinstance(expected, list) else [("batch", None, None, expected)]:
            name = "%s %s" % ("batch" if result[0] == "batch" else "in a batch:", result[3] or result[0])
            self.counts[name] = self.counts.get(name, 0) + 1
        if got != expected:
            first = next((n for n in range(size) if isinstance(got, str) or isinstance(expected, str) or got[n] != expected[n]), 0)
            print("batch at operation %d: movement %d of %d, %s, %s\nmodel:  %s\nledger: %s" % (
                number, first + 1, size, "atomic" if atomic else "row by row", movements[first],
                expected if isinstance(expected, str) else expected[first], got if isinstance(got, str) else got[first]))
            return 0
        return size

    def save(self, keys):
        # A refusal leaves everything as it was: what lapsed before it is undone with the transaction.
        import copy
        return [(key, copy.deepcopy({k: v for k, v in vars(self.accounts[key]).items() if k not in ("entries", "keys", "transfer_out")}), len(self.accounts[key].entries))
                for key in keys]

    def load(self, snapshot):
        for key, state, count in snapshot:
            account = self.accounts[key]
            vars(account).update(state)
            for entry in account.entries[count:]:
                account.keys.pop((entry["kind"], entry["source"], entry["reference"]), None)
            del account.entries[count:]

    def run(self, operations):
        self.history = {}
        self.cursor.execute("INSERT INTO shop.customer (customer_id) SELECT generate_series(1, %s)", (self.customers,))
        for program, debt in PROGRAMS.items():
            self.cursor.execute("INSERT INTO shop.points_program (program, debt_allowed) VALUES (%s, %s)", (program, debt))
        number = 0
        while number < operations:
            done = self.batch(number) if self.rng.random() < 0.01 else int(self.step(number))
            if not done:
                return False
            number += done
        entries = 0
        for (customer, program), account in self.accounts.items():
            self.cursor.execute("SELECT %s FROM shop.points_entry WHERE customer_id = %%s AND program = %%s ORDER BY seq" % COLUMNS, (customer, program))
            stored = [as_model(row) for row in self.cursor.fetchall()]
            entries += len(stored)
            for a, b in zip(stored, account.entries):
                if a != b:
                    print("customer %d, program %s\nmodel:  %s\nledger: %s" % (customer, program, b, a))
                    return False
            self.cursor.execute("SELECT available, pending, held, lots::text FROM shop.points_account WHERE customer_id = %s AND program = %s", (customer, program))
            row = self.cursor.fetchone() or (0, 0, 0, "{}")
            if len(stored) != len(account.entries) or row[:3] != (account.available, account.pending, account.held) or read_lots(row[3]) != account.lots:
                print("customer %d, program %s: model %s, ledger %s" % (customer, program, vars(account), row))
                return False
        self.cursor.execute("SELECT * FROM shop.points_verify()")
        findings = self.cursor.fetchall()
        print("%d operations, %d entries, %d findings: %s" % (operations, entries, len(findings), ", ".join("%s %d" % i for i in sorted(self.counts.items()))))
        return not findings


if __name__ == "__main__":
    print("seed %s" % sys.argv[2])
    sys.exit(0 if Simulation(sys.argv[1], sys.argv[2], int(sys.argv[4]) if len(sys.argv) > 4 else 6).run(int(sys.argv[3])) else 1)

#!/usr/bin/python3
"""BG/NBD of a million customers: bgnbd_fit against NumPy and SciPy, and the speed of predictions."""
import io
import os
import sys
import time

import psycopg2

try:
    import numpy as np
    from scipy.optimize import minimize
    from scipy.special import gammaln, psi
except ImportError:
    sys.exit("skipped: python3-numpy and python3-scipy are missing")

N = int(1000000 * float(os.environ.get("CRM_BENCH_SCALE", "1")))
rng = np.random.default_rng(7)


def world(n):
    """Histories in weeks, by whole days, of customers who buy by Poisson and leave after a purchase by chance."""
    age = rng.integers(28, 540, n).astype(float)
    rate = rng.gamma(0.6, 1 / 5.0, n) / 7
    leave = rng.beta(0.8, 2.5, n)
    x = np.zeros(n, dtype=int)
    last = np.zeros(n)
    now = np.zeros(n)
    alive = np.arange(n)
    while len(alive):
        now[alive] = np.floor(now[alive] + rng.exponential(1, len(alive)) / rate[alive]) + 1
        alive = alive[now[alive] <= age[alive]]
        x[alive] += 1
        last[alive] = now[alive]
        alive = alive[rng.random(len(alive)) >= leave[alive]]
    return x.astype(float), last / 7, age / 7


def terms(logs, x, t_x, t):
    r, alpha, a, b = np.exp(logs)
    repeat = x > 0
    a3 = -(r + x) * np.log(alpha + t)
    odds = np.where(repeat, np.log(a) - np.log(np.where(repeat, b + x - 1, 1)) + (r + x) * np.log((alpha + t) / (alpha + t_x)), -np.inf)
    value = (gammaln(r + x) - gammaln(r) + r * np.log(alpha) + gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
             + a3 + np.logaddexp(0, odds))
    return value, odds, repeat


def loss(logs, x, t_x, t, n):
    return -np.dot(n, terms(logs, x, t_x, t)[0]) / n.sum()


def loss_and_gradient(logs, x, t_x, t, n):
    r, alpha, a, b = np.exp(logs)
    value, odds, repeat = terms(logs, x, t_x, t)
    left = np.where(repeat, 1 / (1 + np.exp(-odds)), 0)
    log_t, log_t_x = np.log(alpha + t), np.log(alpha + t_x)
    digamma_abx = psi(a + b + x)
    gradient = np.array([
        np.dot(n, psi(r + x) - psi(r) + np.log(alpha) - (1 - left) * log_t - left * log_t_x) * r,
        np.dot(n, r / alpha - (r + x) * ((1 - left) / (alpha + t) + left / (alpha + t_x))) * alpha,
        np.dot(n, psi(a + b) - digamma_abx + left / a) * a,
        np.dot(n, psi(a + b) + psi(b + x) - psi(b) - digamma_abx - left / np.where(repeat, b + x - 1, 1)) * b])
    return -np.dot(n, value) / n.sum(), -gradient / n.sum()


def timed(call, times):
    best = None
    for _ in range(times):
        start = time.perf_counter()
        result = call()
        took = time.perf_counter() - start
        best = took if best is None else min(best, took)
    return best, result


db = psycopg2.connect("")
db.autocommit = True
sql = db.cursor()


def query(q):
    sql.execute(q)
    return sql.fetchone()


def load(x, t_x, t):
    """The histories in a table of the database."""
    sql.execute("CREATE EXTENSION IF NOT EXISTS crm")
    sql.execute("CREATE TABLE history (x bigint, t_x double precision, t double precision)")
    text = io.StringIO()
    np.savetxt(text, np.column_stack([x, t_x, t]), fmt=["%d", "%.17g", "%.17g"])
    text.seek(0)
    sql.copy_from(text, "history", sep=" ")
    sql.execute("VACUUM ANALYZE history")
    sql.execute("SET jit = off")
    sql.execute("SET max_parallel_workers_per_gather = 0")


def grouped(x, t_x, t):
    rows, n = np.unique(np.column_stack([x, t_x, t]), axis=0, return_counts=True)
    return minimize(loss_and_gradient, np.zeros(4), (rows[:, 0], rows[:, 1], rows[:, 2], n.astype(float)), "L-BFGS-B", jac=True, options={"ftol": 1e-13})


def main():
    x, t_x, t = world(N)
    ones = np.ones(N)
    load(x, t_x, t)
    crm, ours = timed(lambda: query("SELECT (f).r, (f).alpha, (f).a, (f).b, (f).log_likelihood, (f).fit ->> 'converged' FROM "
                                    "(SELECT crm.bgnbd_fit(x, t_x, t) AS f FROM history OFFSET 0) q"), 3)
    analytic, theirs = timed(lambda: minimize(loss_and_gradient, np.zeros(4), (x, t_x, t, ones), "L-BFGS-B", jac=True, options={"ftol": 1e-13}), 1)
    unique, theirs_grouped = timed(lambda: grouped(x, t_x, t), 1)
    finite, _ = timed(lambda: minimize(loss, np.zeros(4), (x, t_x, t, ones), "L-BFGS-B", options={"ftol": 1e-13}), 1)
    kinds = query("SELECT count(*) FROM (SELECT DISTINCT x, t_x, t FROM history) q")[0]

    print(f"\nBG/NBD fitted to {N} customers ({kinds} different histories), one core; the data of the others is in memory already\n")
    print("| | s | ratio | log likelihood |")
    print("|---|---|---|---|")
    print(f"| crm.bgnbd_fit | {crm:.2f} | 1 | {ours[4]:.3f} |")
    print(f"| SciPy L-BFGS-B, analytic gradient | {analytic:.2f} | {analytic / crm:.1f} | {-theirs.fun * N:.3f} |")
    print(f"| the same over the different histories (numpy.unique) | {unique:.2f} | {unique / crm:.1f} | {-theirs_grouped.fun * N:.3f} |")
    print(f"| SciPy L-BFGS-B, finite differences | {finite:.2f} | {finite / crm:.1f} | |")
    print(f"\nparameters r, alpha, a, b: {', '.join(f'{p:.5f}' for p in ours[:4])} (made with 0.6, 5, 0.8, 2.5; whole days); SciPy {', '.join(f'{p:.5f}' for p in np.exp(theirs.x))}\n")

    model = "ROW({},{},{},{},NULL,NULL,NULL)::crm.bgnbd".format(*ours[:4])
    predictions = [
        ("reading the table", "SELECT sum(x + t_x + t) FROM history"),
        ("p_alive", f"SELECT sum(crm.p_alive({model}, x, t_x, t)) FROM history"),
        ("p_alive and expected_purchases of 52 weeks", f"SELECT sum(crm.p_alive({model}, x, t_x, t)), sum(crm.expected_purchases({model}, 52, x, t_x, t)) FROM history"),
        ("clv of 12 months", f"SELECT sum(crm.clv({model}, ROW(6.25, 3.74, 15.44, NULL, NULL, NULL)::crm.gamma_gamma, x, t_x, t, 30)) FROM history"),
    ]
    print("| prediction, one core | s | customers a second |")
    print("|---|---|---|")
    for name, q in predictions:
        took, _ = timed(lambda: query(q), 3)
        print(f"| {name} | {took:.2f} | {N / took:,.0f} |")
    others, _ = timed(lambda: query("SELECT (f).log_likelihood FROM (SELECT crm.pareto_nbd_fit(x, t_x, t) AS f FROM history OFFSET 0) q"), 1)
    print(f"\npareto_nbd_fit of the same customers: {others:.1f} s\n")
    if abs(ours[4] + theirs.fun * N) > 1e-6 * abs(ours[4]) or ours[5] != "true":
        sys.exit("the likelihoods differ")


if __name__ == "__main__":
    main()

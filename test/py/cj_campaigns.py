#!/usr/bin/python3
"""Counts the campaigns of the Complete Journey data from its CSV files alone, a line a campaign, for comparison with what the store says.

    cj_campaigns.py FOLDER

campaign|households|redemptions|redeeming households|buyers|revenue|others|others who bought
Buyers are households of the campaign with a basket between its first and last day; others are all households of the sample that it left out.
"""
import csv
import datetime
import gzip
import sys
from collections import defaultdict
from decimal import Decimal


def rows(path):
    with (gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8")) as file:
        yield from csv.DictReader(file)


def main():
    folder = sys.argv[1]
    households = defaultdict(set)
    for row in rows(f"{folder}/cj_campaigns.csv"):
        households[row["campaign_id"]].add(row["household_id"])
    redeemed = defaultdict(list)
    for row in rows(f"{folder}/cj_coupon_redemptions.csv"):
        redeemed[row["campaign_id"]].append(row["household_id"])
    baskets = {}
    for row in rows(f"{folder}/cj_transactions_sample.csv.gz"):
        key = (row["household_id"], row["basket_id"])
        at = datetime.datetime.fromisoformat(row["transaction_timestamp"])
        amount = Decimal(row["sales_value"])
        old = baskets.get(key)
        baskets[key] = (min(at, old[0]), old[1] + amount) if old else (at, amount)
    everybody = {key[0] for key in baskets}
    for row in sorted(rows(f"{folder}/cj_campaign_descriptions.csv"), key=lambda row: int(row["campaign_id"])):
        campaign = row["campaign_id"]
        start = datetime.datetime.fromisoformat(row["start_date"])
        end = datetime.datetime.fromisoformat(row["end_date"]) + datetime.timedelta(days=1)
        spent = defaultdict(Decimal)
        bought = set()
        for (household, _), (at, amount) in baskets.items():
            if start <= at < end:
                spent[household] += max(amount, Decimal(0))
                bought.add(household)
        inside = households[campaign]
        others = everybody - inside
        # A household redeems only what it was sent.
        took = [household for household in redeemed[campaign] if household in inside]
        print("|".join(map(str, (campaign, len(inside), len(took), len(set(took)), len(bought & inside),
                                 f"{sum((spent[household] for household in bought & inside), Decimal(0)):.2f}", len(others), len(bought & others)))))


main()

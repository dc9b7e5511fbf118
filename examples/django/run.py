#!/usr/bin/env python3
"""Runs the site as two processes on one store, kills the leading applier while orders come in, and
checks that nothing was lost, doubled or oversold.

    run.py                two servers (--servers) and two appliers, one of which is killed
    run.py --assist       servers and no applier: who writes leads meanwhile
    run.py --lambda       functions, frozen between their requests, and no applier

It needs Django and the package sluice-efs in this Python.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

import sluice
from sluice import _command

from serving import SITE, Failure, Function, Refusal, Server, until

STOCK = 10_000
PRODUCTS = ["bolt", "nut", "washer"]


class Site:
    """The store, its appliers, and the servers that serve it."""

    def __init__(self, directory, assists):
        self.store = os.path.join(directory, "shop")
        self.environment = {**os.environ, "SHOP_STORE": self.store}
        if assists:
            self.environment["SHOP_ASSIST"] = "1"
        self.appliers = []
        self.servers = []
        self.logs = []

    def sluice(self, *arguments):
        done = subprocess.run([_command.path(), *arguments], capture_output=True, text=True)
        if done.returncode != 0:
            raise Failure(f"sluice {arguments[0]}: {done.stderr or done.stdout}")
        return done.stdout

    def manage(self, *arguments):
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=SITE, env=self.environment, capture_output=True, text=True,
        )
        if done.returncode != 0:
            raise Failure(f"manage.py {arguments[0]}:\n{done.stderr}")
        return done.stdout

    def apply(self, holder):
        self.appliers.append(
            subprocess.Popen(
                [_command.path(), "apply", self.store, "--holder", holder, "--ttl", "3"],
                stderr=subprocess.DEVNULL,
            )
        )

    def serve(self, kind, number):
        log = os.path.join(os.path.dirname(self.store), f"server-{number}.log")
        self.logs.append(log)
        self.servers.append(kind(self.environment, log))

    def tell(self):
        """Prints how the servers' logs end."""
        for log in self.logs:
            with open(log, errors="replace") as lines:
                print(f"{log}:", *lines.readlines()[-40:], sep="\n  ", file=sys.stderr)

    def leader(self):
        return json.loads(self.sluice("status", self.store, "--json"))["applier"]["holder"]

    def stop(self):
        for server in self.servers:
            server.stop()
        for applier in self.appliers:
            applier.terminate()
            applier.wait()


def order(servers, reference, chance, seen):
    """Sends one order until it is placed, each time to any of the servers, as a customer does."""
    body = {
        "reference": reference,
        "customer": f"customer {chance.randrange(5)}",
        "lines": {name: chance.randrange(1, 4) for name in chance.sample(PRODUCTS, 2)},
    }
    for _ in range(20):
        try:
            answer = chance.choice(servers).send("/orders", body)
            seen.append((reference, body["lines"], answer["placed"]))
            return
        except Refusal:
            # Not placed, or not known to be: the reference makes it safe to send it again.
            time.sleep(chance.random() / 2)
    raise Failure(f"order {reference} was refused 20 times")


def customers(servers, number, orders, seen, failures):
    """So many customers at a time, each with so many orders; a thread for each."""

    def one(customer):
        chance = random.Random(customer)
        try:
            for count in range(orders):
                order(servers, f"{customer}-{count}", chance, seen)
        except Exception as failure:
            failures.append(failure)

    threads = [threading.Thread(target=one, args=(each,)) for each in range(number)]
    for thread in threads:
        thread.start()
    return threads


def check(site, seen):
    """Holds what the customers were told against the database; returns what was looked at."""
    connection = sluice.connect(site.store)
    placed = dict(connection.execute("SELECT reference, id FROM orders_order").fetchall())
    if sorted(placed) != sorted(reference for reference, _, _ in seen):
        raise Failure(f"{len(seen)} orders were confirmed and {len(placed)} are there")
    for reference, lines, _ in seen:
        rows = connection.execute(
            "SELECT name, quantity FROM orders_orderline JOIN orders_product p ON p.id = product_id "
            "WHERE order_id = ?",
            [placed[reference]],
        ).fetchall()
        if dict(rows) != lines or len(rows) != len(lines):
            raise Failure(f"order {reference} is {rows} and was to be {lines}")
    for name, stock in connection.execute("SELECT name, stock FROM orders_product").fetchall():
        sold = sum(lines.get(name, 0) for _, lines, _ in seen)
        if stock + sold != STOCK:
            raise Failure(f"{STOCK} of {name} were there, {sold} are sold, and {stock} are left")
    connection.close()
    site.sluice("verify", site.store)
    return len(placed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--assist", action="store_true", help="no applier: who writes leads meanwhile")
    parser.add_argument("--lambda", dest="functions", action="store_true", help="as functions of AWS Lambda")
    parser.add_argument("--servers", type=int, default=2)
    parser.add_argument("--customers", type=int, default=6)
    parser.add_argument("--orders", type=int, default=25, help="of each customer")
    options = parser.parse_args()
    assists = options.assist or options.functions
    seen, failures = [], []
    with tempfile.TemporaryDirectory(prefix="shop-") as directory:
        site = Site(directory, assists)
        try:
            site.sluice("init", site.store)
            if not assists:
                site.apply("first")
                site.apply("second")
            site.manage("migrate", "--verbosity", "0")
            site.manage("stock", str(STOCK), *PRODUCTS)
            for number in range(options.servers):
                site.serve(Function if options.functions else Server, number)
            threads = customers(site.servers, options.customers, options.orders, seen, failures)
            if not assists:
                total = options.customers * options.orders
                until(lambda: len(seen) > total // 3 or failures, 300, "no orders come in")
                leading = site.leader()
                site.appliers[["first", "second"].index(leading)].send_signal(signal.SIGKILL)
                print(f"killed the applier {leading} after {len(seen)} orders")
            for thread in threads:
                thread.join()
            if failures:
                raise failures[0]
            orders = check(site, seen)
        except Exception:
            site.tell()
            raise
        finally:
            site.stop()
    print(f"{orders} orders, each placed once, and nothing of the stock lost")


if __name__ == "__main__":
    try:
        main()
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")

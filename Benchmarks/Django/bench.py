#!/usr/bin/env python3
"""A Django site's writes on a store, against the same with django_sqlite_efs: a lock in DynamoDB around each.

    bench.py                    on the local disk, and what the extension costs there
    bench.py --guests ADDRESS   as the hook of Tests/nfs/testbed.sh: on two hosts, over NFS

`run` starts it. Both sides take turns within each round, so that other work on the machine meets both; the
table has medians of the rounds' ratios.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from hosts import PATIENCE_S, Failure, Guests, ThisMachine
from table import Table

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CLIENT = ROOT / ".build/bench-django/bin/python"
PEERS = ROOT / ".build/venv/bin/python"
SLUICE = next(ROOT.glob(".build/bench-django/lib/python3*/site-packages/sluice/native/sluice"))
LOCK_PORT = 8123
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none", "AWS_DEFAULT_REGION": "eu-west-1"
}


class Workers:
    """The processes of the site, half of them on each host."""

    def __init__(self, place, count):
        environment = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": f"http://{place.address}:{LOCK_PORT}",
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        self._all = []
        self._ahead = [place.ahead(host + 1) for host in range(place.hosts)]
        for number in range(count):
            host = number % place.hosts + 1
            seen, folder = place.place(host, f"worker-{number}")
            place.start(
                host,
                [str(CLIENT), str(HERE / "worker.py"), seen, f"{place.shared}/store",
                 f"{place.shared}/site.sqlite3"],
                environment,
            )
            self._all.append({"folder": folder, "asked": 0, "ahead": self._ahead[host - 1]})

    def order(self, count, warming_s=0.0, **order):
        """What the first so many of them answer to this."""
        begin = time.time() + warming_s
        for worker in self._all[:count]:
            text = json.dumps({**order, "begin": begin + worker["ahead"]})
            new = worker["folder"] / "order.new"
            new.write_text(text)
            new.rename(worker["folder"] / f"order-{worker['asked']}.json")
        return [self._answer(worker) for worker in self._all[:count]]

    def _answer(self, worker):
        path = worker["folder"] / f"answer-{worker['asked']}.json"
        deadline = time.monotonic() + PATIENCE_S
        while not path.exists():
            if time.monotonic() > deadline:
                raise Failure(f"a worker did not answer; see the log beside {worker['folder']}")
            time.sleep(0.02)
        worker["asked"] += 1
        return json.loads(path.read_text())


def measured(workers, count, seconds, work, alias):
    answers = workers.order(
        count, warming_s=1.0 if count == 1 else 4.0, do="measure", work=work, alias=alias, seconds=seconds
    )
    latencies = sorted(each for answer in answers for each in answer["latencies"])
    failures = {}
    for answer in answers:
        for what, number in answer["failures"].items():
            failures[what] = failures.get(what, 0) + number
    return {
        # Where nobody came to an end, the whole time is a bound from below.
        "p50": statistics.median(latencies) if latencies else seconds,
        # Who has the lock or is next takes it again; the others' waiting shows here.
        "p95": latencies[int(len(latencies) * 0.95)] if latencies else seconds,
        "rate": len(latencies) / seconds,
        "modified": sum(answer["modified"] for answer in answers),
        "failed": sum(number for what, number in failures.items() if not what.startswith("warming")),
        "failures": failures,
    }


def compare(place, options, table):
    """The rows against the lock: one process, and many."""
    workers = Workers(place, options.processes)
    for alias in ("sluice", "lock"):
        workers.order(1, do="prepare", alias=alias)
    modified = {"sluice": 0, "lock": 0}
    for work in ("write", "modify"):
        for count in (1, options.processes):
            rounds = []
            for number in range(options.rounds):
                aliases = ("lock", "sluice") if number % 2 == 0 else ("sluice", "lock")
                rounds.append(
                    {alias: measured(workers, count, options.seconds, work, alias) for alias in aliases}
                )
                for alias, found in rounds[-1].items():
                    modified[alias] += found["modified"]
            table.add_rounds(place.name, work, count, rounds)
    if place.hosts == 1:
        compare_assisted(workers, place, options, table)
    for alias, expected in modified.items():
        (found,) = workers.order(1, do="balance", alias=alias)
        table.add_sum(place.name, alias, expected, found)


def compare_assisted(workers, place, options, table):
    """Without any applier, against a store that has one."""
    place.run(1, [str(SLUICE), "init", f"{place.shared}/store-assist"])
    workers.order(1, do="prepare", alias="assist")
    rounds = [
        {
            alias: measured(workers, options.processes, options.seconds, "write", alias)
            for alias in ("sluice", "assist")
        }
        for _ in range(options.rounds)
    ]
    table.add_assisted(place.name, options.processes, rounds)


def with_lock_table(address, body):
    """Does that while what stands for DynamoDB has the table."""
    server = subprocess.Popen(
        [str(PEERS), str(HERE / "lock_table.py"), address, str(LOCK_PORT)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    create = """
import boto3, time
for attempt in range(100):
    try:
        boto3.client("dynamodb").create_table(
            TableName="locks", BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}])
        break
    except Exception:
        time.sleep(0.2)
else:
    raise
"""
    try:
        subprocess.run(
            [str(CLIENT), "-c", create], check=True,
            env={**os.environ, **CREDENTIALS, "AWS_ENDPOINT_URL": f"http://{address}:{LOCK_PORT}"},
        )
        body()
    finally:
        server.kill()
        server.wait()


def on_this_machine(options, table):
    import extension

    parent = options.directory or ROOT / ".build"
    with tempfile.TemporaryDirectory(prefix="bench-django-", dir=parent) as folder:
        place = ThisMachine(folder)
        store = f"{folder}/store"
        subprocess.run([str(SLUICE), "init", store], check=True, stdout=subprocess.DEVNULL)
        applier = subprocess.Popen([str(SLUICE), "apply", store], stderr=subprocess.DEVNULL)
        try:
            with_lock_table(place.address, lambda: compare(place, options, table))
            extension.measure(str(CLIENT), str(SLUICE), store, folder, options.rounds, table)
        finally:
            place.stop()
            applier.kill()
            applier.wait()


def on_guests(options, table):
    place = Guests(f"NFS ({options.name}), 3 ms", options.guests)
    try:
        place.run(1, [str(SLUICE), "init", "/mnt/efs/store"])
        # On both hosts, as it is recommended, and with hints from all.
        for host in (1, 2):
            place.start(
                host, [str(SLUICE), "apply", "/mnt/efs/store", "--hints", f"10.77.0.1{host}:7400"], {}
            )
        with_lock_table(options.guests, lambda: compare(place, options, table))
        trip = place.run(1, [str(CLIENT), str(HERE / "trip.py"), "/mnt/efs/trip"])
        table.add_trips(place.name, float(trip))
    finally:
        place.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--guests", metavar="ADDRESS", help="of the host that the guests can reach")
    parser.add_argument("--name", default="", help="of the server, for the table")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of each measurement")
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--directory", help="where files are made; not in memory")
    options = parser.parse_args()
    table = Table()
    try:
        (on_guests if options.guests else on_this_machine)(options, table)
    except Failure as failure:
        sys.exit(f"bench-django: {failure}")
    print(table.text(), f"load {os.getloadavg()[0]:.1f} at the end", sep="\n", flush=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Transactions that read, change and write, by many processes with three SQLite libraries on one store, while
workers and appliers are killed, and stopped for longer than a turn or a lease. Nothing may be lost, or seen twice.

    stress.py EXTENSION COMMAND --minutes 10       all of it, on this machine
    stress.py … --part prepare|play|judge          its parts, for several hosts on one store
"""

import argparse
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile

import judge
import play

SCHEMA = """
CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
CREATE TABLE counter(n INTEGER NOT NULL);
INSERT INTO counter VALUES (0);
CREATE TABLE ledger(worker TEXT NOT NULL, number INTEGER NOT NULL, position INTEGER NOT NULL);
CREATE INDEX ledger_position ON ledger(position);
CREATE TRIGGER raised AFTER INSERT ON ledger BEGIN UPDATE counter SET n = NEW.position; END;
CREATE TABLE bulk(content BLOB);
WITH RECURSIVE r(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM r LIMIT 20) INSERT INTO account SELECT i, 1000 FROM r;
"""


# Planted by hand into what is judged, which must see it.
SABOTAGE = {
    "lost": "DELETE FROM ledger WHERE position = (SELECT max(position) / 2 FROM ledger)",
    "twice": "INSERT INTO ledger SELECT * FROM ledger ORDER BY position DESC LIMIT 1",
    "overwritten": "UPDATE ledger SET position = position - 1 WHERE position = (SELECT max(position) FROM ledger)",
    "money": "UPDATE account SET balance = balance + 1 WHERE id = 1",
}


def run(options, *arguments, **named):
    return subprocess.run([options.command, *arguments], check=True, stdout=subprocess.PIPE, **named)


def prepare(options):
    """The store, with its tables."""
    with tempfile.TemporaryDirectory() as folder:
        database = f"{folder}/first.sqlite"
        connection = sqlite3.connect(database)
        connection.executescript(SCHEMA)
        connection.close()
        run(options, "init", options.store, "--from", database)


def plant(fault, database):
    connection = sqlite3.connect(database)
    # The trigger would raise the counter along with it.
    connection.executescript(f"DROP TRIGGER raised; {fault}")
    connection.close()


def judged(options, folders):
    """What is there, as a restored file, and against the diaries; returns an exit status."""
    database = f"{folders[0]}/final.sqlite"
    if not os.path.exists(database):
        # What somebody died over may be durable, and not done yet.
        run(options, "apply", "--drain", options.store, stderr=subprocess.DEVNULL)
        run(options, "restore", options.store, "--into", database)
        verified = subprocess.run([options.command, "verify", options.store], stdout=subprocess.DEVNULL)
        if verified.returncode:
            print(f"FAILED: sluice verify ended with {verified.returncode}")
            return 1
    if options.sabotage:
        # In a copy: what was restored on another host is judged again by whoever looks into a failure.
        sabotaged = shutil.copyfile(database, f"{folders[0]}/sabotaged.sqlite")
        plant(SABOTAGE[options.sabotage], sabotaged)
        database = sabotaged
    found = judge.problems(database, folders)
    for problem in found[:20]:
        print("FAILED:", problem)
    if len(found) > 20:
        print(f"… and {len(found) - 20} more")
    return 1 if found else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("extension")
    parser.add_argument("command")
    parser.add_argument("--minutes", type=float, default=1)
    parser.add_argument("--pause", type=float, default=1, help="seconds between two that are killed or stopped")
    parser.add_argument("--seed", default="1", help="what is done to whom, and when")
    parser.add_argument("--store", help="where the store is, or is to be")
    parser.add_argument("--host", default="here", help="a name, without '-'")
    parser.add_argument("--part", choices=["prepare", "play", "judge"])
    parser.add_argument("--folder", action="append", default=[], help="with diaries; judge takes several")
    parser.add_argument("--sabotage", choices=sorted(SABOTAGE), help="breaks what is judged: it must fail")
    options = parser.parse_args()
    # So that whoever ends this ends the processes, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if options.part == "prepare":
        return prepare(options)
    if options.part == "play":
        os.makedirs(options.folder[0], exist_ok=True)
        return play.main(options, options.folder[0])
    if options.part == "judge":
        return judged(options, options.folder)
    folder = tempfile.mkdtemp(prefix="sluice-stress-", dir=options.folder[0] if options.folder else None)
    options.store = options.store or f"{folder}/store"
    diaries = f"{folder}/diaries"
    os.mkdir(diaries)
    prepare(options)
    play.main(options, diaries)
    status = judged(options, [diaries])
    if status:
        print(f"(all of it is in {folder}; the seed was {options.seed})")
    else:
        shutil.rmtree(folder)
        print("nothing was lost, and nothing seen twice")
    return status


if __name__ == "__main__":
    sys.exit(main())

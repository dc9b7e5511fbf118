"""Holds what all were told against what is there."""

import collections
import json
import pathlib
import sqlite3

from play import WORKERS

# What must have happened in a run, or it has shown nothing.
EVENTS = ("worker killed", "worker paused", "applier killed", "applier paused")


class Diaries:
    """What the workers have written down."""

    def __init__(self, folders):
        self.attempts = {}
        self.wrong = []
        self.counts = collections.Counter()
        self.committed = collections.Counter()
        for folder in map(pathlib.Path, folders):
            for path in sorted(folder.glob("*-*-*-*")):
                self._read(path)

    def _read(self, path):
        module = path.name.split("-")[1]
        for line in path.read_text().splitlines():
            what, *rest = line.split(" ", 2)
            if what == "wrong":
                self.wrong.append(f"{path.name}: {line}")
            if what in ("try", "done", "refused", "unknown"):
                # One that was killed has said how it ended of all but its last attempt.
                self.attempts[path.name, int(rest[0])] = "unknown" if what == "try" else what
                if what == "done" and int(rest[1]):
                    self.attempts[path.name, int(rest[0])] = f"done {rest[1]}"
                if what == "done":
                    self.committed[module] += 1
            if what != "try":
                self.counts[what] += 1


def problems(database, folders):
    """What is not as it was promised; prints what happened."""
    diaries = Diaries(folders)
    found = list(diaries.wrong)
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    rows = connection.execute("SELECT worker, number, position FROM ledger").fetchall()
    there = {(worker, number): position for worker, number, position in rows}
    if len(there) != len(rows):
        found.append(f"{len(rows) - len(there)} attempts are in the ledger twice")
    for attempt, how in diaries.attempts.items():
        position = there.get(attempt)
        if how.startswith("done") and position is None:
            found.append(f"{attempt} was reported as committed, and is not there")
        elif how.startswith("done ") and position != int(how.split()[1]):
            found.append(f"{attempt} was committed as {how}, and is at {position}")
        elif how == "refused" and position is not None:
            found.append(f"{attempt} was refused, and is there at {position}")
    found += [f"{attempt} is there, and nobody has tried it" for attempt in there if attempt not in diaries.attempts]
    positions = sorted(there.values())
    if positions != list(range(1, len(positions) + 1)):
        found.append(f"the {len(positions)} positions are not 1, 2, 3, …: an update was lost, or seen twice")
    (counter,) = connection.execute("SELECT n FROM counter").fetchone()
    if counter != len(positions):
        found.append(f"the counter is {counter}, and {len(positions)} have raised it")
    (total,) = connection.execute("SELECT sum(balance) FROM account").fetchone()
    if total != 20_000:
        found.append(f"the accounts have {total}")
    (answer,) = connection.execute("PRAGMA integrity_check").fetchone()
    if answer != "ok":
        found.append(f"integrity_check: {answer}")
    connection.close()
    found += _events(folders, diaries)
    unknown = [attempt for attempt, how in diaries.attempts.items() if how == "unknown"]
    print(
        f"{len(positions)} commits; {diaries.counts['refused']} refused, {len(unknown)} with an unknown "
        f"outcome ({sum(attempt in there for attempt in unknown)} of them are there); by library: "
        + ", ".join(f"{module} {number}" for module, number in sorted(diaries.committed.items()))
    )
    return found


def _events(folders, diaries):
    """A run in which something did not happen has shown nothing of it."""
    events, found = collections.Counter(), []
    for folder in map(pathlib.Path, folders):
        told = json.loads((folder / "events.json").read_text())
        events.update(told["events"])
        found += told["problems"]
    found += [f"no {what}: let it run longer" for what in EVENTS if not events[what]]
    for module in {module for module, kind in WORKERS if kind != "reads"}:
        if not diaries.committed[module]:
            found.append(f"nothing was committed through {module}")
    return found

"""Holds what all were told against what is there."""

import collections
import json
import pathlib
import sqlite3

from play import WORKERS

# What must have happened in a run, or it has shown nothing.
EVENTS = ("worker killed", "worker paused", "applier killed", "applier paused")

# After so many workers that were killed, one was killed between its attempt and the answer: all but the readers are
# there nearly all the time. After so many that were paused, which takes eight minutes, one has lost its turn: of the
# first runs one had 2 COMMITs that were refused for it in two minutes, and others 20 to 30 in one.
KILLED_FOR_UNKNOWN = 10
PAUSED_FOR_EXPIRED = 100

# Kinds of worker that take the turn as they begin, and may lose it before their COMMIT.
HOLD_TURN = ("turn", "spills")

# Readers wait for nobody. One look in so many may fail.
READS_FOR_UNREAD = 100


class Diaries:
    """What the workers have written down."""

    def __init__(self, folders):
        self.attempts = {}
        self.wrong = []
        self.refused = 0
        # Of these, COMMITs of transactions that began with the turn: it ended before, and somebody else has committed.
        self.expired = 0
        self.read = collections.Counter()
        self.unread = []
        self.committed = collections.Counter()
        # Through the queue, and known as done.
        self.queued = 0
        self.queue_done = 0
        for folder in map(pathlib.Path, folders):
            for path in sorted(folder.glob("*-*-*-*")):
                self._read(path)

    def _read(self, path):
        host, module, kind, _ = path.name.split("-")
        if kind == "reads":
            # So that one that has read nothing is counted, too.
            self.read[host, module, kind] += 0
        for line in path.read_text().splitlines():
            what, *rest = line.split(" ", 2)
            if what == "wrong":
                self.wrong.append(f"{path.name}: {line}")
            if what in ("try", "done", "refused", "unknown", "durable"):
                # One that was killed has said how it ended of all but its last attempt.
                self.attempts[path.name, int(rest[0])] = "unknown" if what == "try" else what
                self.queued += kind == "queue" and what == "try"
                if what == "done" and int(rest[1]):
                    self.attempts[path.name, int(rest[0])] = f"done {rest[1]}"
                if what == "done":
                    self.committed[module] += 1
                    self.queue_done += kind == "queue"
            if what == "refused":
                self.refused += 1
                self.expired += kind in HOLD_TURN and rest[1].startswith("COMMIT")
            if what == "read":
                self.read[host, module, kind] += 1
            if what == "unread":
                self.unread.append(f"{path.name}: {line}")


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
        elif how == "durable" and position is None:
            found.append(f"{attempt} was reported as durable, and has not been done")
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
    unknown = [attempt for attempt, how in diaries.attempts.items() if how == "unknown"]
    found += _events(folders, diaries, len(unknown))
    found += _reads(diaries)
    print(
        f"{len(positions)} commits; {diaries.refused} refused, {diaries.expired} of them after their turn had ended; "
        f"{len(unknown)} with an unknown outcome ({sum(attempt in there for attempt in unknown)} of them are there); "
        "by library: " + ", ".join(f"{module} {number}" for module, number in sorted(diaries.committed.items()))
        + f"; of {diaries.queued} through the queue {diaries.queue_done} were told as done"
        + f"; {sum(diaries.read.values())} reads, {len(diaries.unread)} failed"
    )
    return found


def _reads(diaries):
    """Each reader has read, and hardly ever in vain."""
    found = [f"{'-'.join(reader)} has read nothing" for reader, number in sorted(diaries.read.items()) if not number]
    if not any(kind == "reads" for _, _, kind in diaries.read):
        found.append("there was no reader")
    if len(diaries.unread) * READS_FOR_UNREAD > sum(diaries.read.values()):
        found.append(f"{len(diaries.unread)} reads failed, and {sum(diaries.read.values())} did not")
        found += diaries.unread[:5]
    return found


def _events(folders, diaries, unknown):
    """A run in which something did not happen has shown nothing of it."""
    events, found = collections.Counter(), []
    for folder in map(pathlib.Path, folders):
        told = json.loads((folder / "events.json").read_text())
        events.update(told["events"])
        found += told["problems"]
    found += [f"no {what}: let it run longer" for what in EVENTS if not events[what]]
    if not diaries.refused:
        found.append("nothing was refused, though those without the turn are overtaken all the time")
    if not unknown and events["worker killed"] >= KILLED_FOR_UNKNOWN:
        found.append(f"{events['worker killed']} workers were killed, and none of them in an attempt")
    if not diaries.expired and events["worker paused"] >= PAUSED_FOR_EXPIRED:
        found.append(f"{events['worker paused']} workers were paused, and nobody has lost the turn")
    if not diaries.queue_done:
        found.append("nothing was done through the queue")
    for module in {module for module, kind in WORKERS if kind != "reads"}:
        if not diaries.committed[module]:
            found.append(f"nothing was committed through {module}")
    return found

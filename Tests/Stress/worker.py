"""`worker.py EXTENSION STORE DIARY MODULE KIND SECONDS`: one process that reads, changes and writes, again and again.

Every attempt has a number of its own. The diary has a line before it (`try N`) and one when it is known how it
ended: `done N POSITION`, `refused N` (nothing of it may be there), `unknown N` (all of it or nothing is); of what goes
through the queue also `durable N` (it is done by now, or will be).
A look at one state is a line `read`, or `unread …` where it failed. What it saw that cannot be is a line `wrong …`.
"""

import importlib
import json
import os
import random
import sys
import time

EXTENSION, STORE, DIARY, MODULE, KIND = sys.argv[1:6]
END = time.monotonic() + float(sys.argv[6])
ACCOUNTS, MONEY = 20, 20_000
NAME = os.path.basename(DIARY)
# A submit that ends with one of these has put nothing into the journal.
NOT_SUBMITTED = ("notSubmitted", "backlogFull", "busy")

diary = os.open(DIARY, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
chance = random.Random(NAME)


def note(*words):
    """At once, so that it is there when this process is killed."""
    os.write(diary, (" ".join(map(str, words)) + "\n").encode())


class Python:
    """The module `sqlite3`, or one with its interface: a SQLite library of its own."""

    def __init__(self, module):
        module = importlib.import_module(module)
        loader = module.connect(":memory:")
        loader.enable_load_extension(True)
        loader.load_extension(EXTENSION)
        self.Error = module.Error
        self._connection = module.connect(
            f"file:{STORE}?vfs=sluice", uri=True, isolation_level=None, timeout=30
        )

    def execute(self, sql, *values):
        return self._connection.execute(sql, values).fetchall()


class APSW:
    """The module `apsw`, with the newest library."""

    def __init__(self, _):
        import apsw

        loader = apsw.Connection(":memory:")
        loader.enable_load_extension(True)
        loader.load_extension(EXTENSION)
        self.Error = apsw.Error
        self._connection = apsw.Connection(
            f"file:{STORE}?vfs=sluice", flags=apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE
        )
        self._connection.set_busy_timeout(30_000)

    def execute(self, sql, *values):
        return list(self._connection.cursor().execute(sql, values))


def ledger_entry(database, number, begin):
    """A transaction that writes what it has computed from what it has read; returns its position."""
    database.execute(begin)
    position = database.execute("SELECT n FROM counter")[0][0] + 1
    giver, taker = chance.sample(range(ACCOUNTS), 2)
    amount = chance.randrange(1, 10)
    if chance.random() < 0.2:
        time.sleep(chance.random() / 20)
    for account, change in ((giver, -amount), (taker, amount)):
        balance = database.execute("SELECT balance FROM account WHERE id = ?", account)[0][0]
        database.execute("UPDATE account SET balance = ? WHERE id = ?", balance + change, account)
    if chance.random() < 0.2:
        take_back(database)
    database.execute("INSERT INTO ledger VALUES (?, ?, ?)", NAME, number, position)
    return position


def take_back(database):
    """Writes more than the cache holds, and takes it back."""
    database.execute("SAVEPOINT much")
    database.execute(
        "WITH RECURSIVE r(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM r LIMIT 60) "
        "INSERT INTO bulk SELECT randomblob(900) FROM r"
    )
    database.execute("ROLLBACK TO much")
    database.execute("RELEASE much")


def attempt(database, number):
    """One transaction, and what became of it."""
    note("try", number)
    committing = KIND == "alone"
    try:
        if KIND == "alone":
            # A single statement: it reads the counter by itself, and a trigger raises it.
            database.execute(
                "INSERT INTO ledger SELECT ?, ?, n + 1 FROM counter", NAME, number
            )
            note("done", number, 0)
            return
        begin = "BEGIN" if KIND == "late" else "BEGIN IMMEDIATE"
        position = ledger_entry(database, number, begin)
        committing = True
        database.execute("COMMIT")
    except database.Error as error:
        # Of a COMMIT only a conflict, and a turn that did not come, say that nothing was done.
        locked = "locked" in str(error) or "BUSY" in str(error).upper()
        step = "COMMIT" if committing else "before"
        code = getattr(error, "sqlite_errorcode", getattr(error, "extendedresult", ""))
        note("unknown" if committing and not locked else "refused", number, step, code, repr(error)[:100])
        roll_back(database)
        time.sleep(chance.random() / 20)
        return
    note("done", number, position)
    look(database, position)


def queue(database, number):
    """A single statement as a batch: it takes no turn, and is done once, however often it is submitted."""
    key = f"{NAME} {number}"
    batch = {
        "statements": [["INSERT INTO ledger SELECT ?, ?, n + 1 FROM counter", [NAME, number]]],
        "id": key, **({"wait": "durable"} if chance.random() < 0.3 else {"timeout_ms": 30_000}),
    }
    note("try", number)
    submit = "PRAGMA sluice_submit('{}')".format(json.dumps(batch).replace("'", "''"))
    answer = None
    for repeat in range(5):
        try:
            answer = json.loads(database.execute(submit)[0][0])
        except database.Error as error:
            code = str(error).split(":")[0]
            if code in NOT_SUBMITTED and repeat == 0:
                return note("refused", number, "submit", code)
            if code not in (*NOT_SUBMITTED, "outcomeUnknown"):
                note("wrong", f"submit {number}: {error!r}")
            # Who does not know what became of it submits it again.
            time.sleep(chance.random())
            continue
        # So does now and then who knows.
        if chance.random() < 0.9:
            break
    if answer is None:
        return note("unknown", number, "submit")
    if answer["status"] == "durable":
        note("durable", number)
        answer = json.loads(database.execute(f"PRAGMA sluice_outcome('{key}')")[0][0]) or answer
    if answer["status"] not in ("applied", "duplicate", "durable"):
        note("wrong", f"submit {number}: {answer}")
    if answer["status"] in ("applied", "duplicate"):
        note("done", number, 0)
        look(database, 0)


def roll_back(database):
    try:
        database.execute("ROLLBACK")
    except database.Error:
        # SQLite has done it by itself.
        pass


def look(database, at_least):
    """A read in one state: the money adds up, and what this process was told before is there."""
    global seen
    try:
        database.execute("BEGIN")
        (total, count), (position,) = (
            database.execute("SELECT sum(balance), count(*) FROM account")[0],
            database.execute("SELECT n FROM counter")[0],
        )
        last = database.execute("SELECT coalesce(max(position), 0), count(*) FROM ledger")[0]
        database.execute("COMMIT")
    except database.Error as error:
        note("unread", repr(error)[:100])
        roll_back(database)
        return
    note("read")
    if (total, count) != (MONEY, ACCOUNTS):
        note("wrong", f"the accounts have {total}, not {MONEY}")
    if last != (position, position):
        note("wrong", f"the counter is {position}, the ledger has {last[1]} entries up to {last[0]}")
    if position < max(seen, at_least):
        note("wrong", f"the counter was {max(seen, at_least)} and is {position}")
    seen = position


seen = 0
database = (APSW if MODULE == "apsw" else Python)(MODULE)
if KIND == "spills":
    database.execute("PRAGMA cache_size = 5")
number = 0
while time.monotonic() < END:
    if KIND == "reads":
        look(database, 0)
        time.sleep(0.02)
        continue
    number += 1
    (queue if KIND == "queue" else attempt)(database, number)
note("end")

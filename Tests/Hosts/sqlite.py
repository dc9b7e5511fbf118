"""The module `sqlite3`, or another with its interface, named in `MODULE`."""

import importlib
import os
import sys

extension, store, batch, plain = sys.argv[1:]
sqlite = importlib.import_module(os.environ.get("MODULE", "sqlite3"))


def open_store(path):
    return sqlite.connect(f"file:{path}?vfs=sluice", uri=True, isolation_level=None)


def first(connection, sql):
    print(connection.execute(sql).fetchall()[0][0])


def refused(body):
    try:
        body()
    except sqlite.Error as error:
        print(error)


loader = sqlite.connect(":memory:")
loader.enable_load_extension(True)
loader.load_extension(extension)
connection = open_store(store)
first(connection, "SELECT count(*) FROM item")
first(connection, f"PRAGMA sluice_submit('{batch}')")
first(connection, "SELECT count(*) FROM item")
first(connection, "INSERT INTO item VALUES ('nut') RETURNING name")
refused(lambda: connection.execute("INSERT INTO item VALUES ('nut')"))
other = open_store(store)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM item").fetchone()
other.execute("INSERT INTO item VALUES ('pin')")
refused(lambda: connection.execute("INSERT INTO item VALUES ('no')"))
connection.execute("ROLLBACK")
first(connection, f"PRAGMA sluice_submit('{batch}')")
connection.execute("ATTACH ? AS plain", [plain])
first(connection, "SELECT n FROM plain.t")
refused(lambda: open_store(store + "x"))
first(connection, "SELECT count(*) FROM item")

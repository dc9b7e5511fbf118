import re
import sys

import apsw

extension, store, batch, plain = sys.argv[1:]


def open_store(path):
    flags = apsw.SQLITE_OPEN_URI | apsw.SQLITE_OPEN_READWRITE
    return apsw.Connection(f"file:{path}?vfs=sluice", flags=flags)


def first(connection, sql):
    print(connection.cursor().execute(sql).fetchall()[0][0])


def refused(body):
    try:
        body()
    except apsw.Error as error:
        print(re.sub(r"^\w+Error: ", "", str(error)))


loader = apsw.Connection(":memory:")
loader.enable_load_extension(True)
loader.load_extension(extension)
connection = open_store(store)
first(connection, "SELECT count(*) FROM item")
first(connection, f"PRAGMA sluice_submit('{batch}')")
first(connection, "SELECT count(*) FROM item")
first(connection, "INSERT INTO item VALUES ('nut') RETURNING name")
refused(lambda: connection.cursor().execute("INSERT INTO item VALUES ('nut')"))
other = open_store(store)
connection.cursor().execute("BEGIN")
connection.cursor().execute("SELECT count(*) FROM item").fetchall()
other.cursor().execute("INSERT INTO item VALUES ('pin')")
refused(lambda: connection.cursor().execute("INSERT INTO item VALUES ('no')"))
connection.cursor().execute("ROLLBACK")
first(connection, f"PRAGMA sluice_submit('{batch}')")
connection.cursor().execute("ATTACH ? AS plain", [plain])
first(connection, "SELECT n FROM plain.t")
refused(lambda: open_store(store + "x"))
first(connection, "SELECT count(*) FROM item")

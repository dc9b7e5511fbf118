"""What becomes of transactions that may not be, or are too slow: refused with a word, and nothing wrong is committed."""

import os
import subprocess
import unittest

from test_hosts import COMMAND, StoreCase


class RefusedTests(StoreCase):
    def another(self, *options):
        store = f"{self.directory}/other"
        self.command("init", store, *options)
        applier = subprocess.Popen([COMMAND, "apply", store], stderr=subprocess.DEVNULL)
        self.addCleanup(applier.wait)
        self.addCleanup(applier.terminate)
        return store

    def test_a_store_that_takes_no_transactions_says_so(self):
        store = self.another("--transactions", "none")
        self.command("submit", store, "CREATE TABLE item(name)")
        printed = self.python("""
            load()
            c = connect(path=sys.argv[3])
            print(error(lambda: c.execute("INSERT INTO item VALUES ('no')")))
            print(one(c, "PRAGMA sluice_error"))
            c.execute("BEGIN")
            one(c, "SELECT count(*) FROM item")
            # Without the turn it is told at COMMIT.
            c.execute("INSERT INTO item VALUES ('no')")
            print(error(lambda: c.execute("COMMIT")))
            print(one(c, "PRAGMA sluice_error"))
            submit(c, statements=[["INSERT INTO item VALUES ('batch')"]])
            print(one(c, "SELECT group_concat(name) FROM item"))
        """, store).splitlines()
        self.assertEqual(printed[0], "attempt to write a readonly database")
        self.assertIn("the turn was not granted: its writer may not commit interactive transactions here", printed[1])
        self.assertEqual(printed[2], "access permission denied")
        self.assertIn("may not commit interactive transactions here", printed[3])
        self.assertEqual(printed[4], "batch")
        self.command("verify", store)

    def test_another_page_size_is_refused(self):
        printed = self.python("""
            load()
            c = connect()
            c.execute("INSERT INTO item VALUES ('kept')")
            c.execute("PRAGMA page_size = 8192")
            for sql in ["VACUUM", "PRAGMA incremental_vacuum", "PRAGMA auto_vacuum = FULL"]:
                print(error(lambda: c.execute(sql)))
            print(error(lambda: c.execute("VACUUM")), one(c, "PRAGMA sluice_error"))
            print(one(c, "PRAGMA page_size"), one(c, "SELECT name FROM item"), one(c, "PRAGMA integrity_check"))
            c.execute("INSERT INTO item VALUES ('more')")
        """).splitlines()
        self.assertEqual(printed[:3], ["access permission denied", "None", "None"])
        self.assertIn("a connection cannot VACUUM a store; use `sluice compact", printed[3])
        self.assertEqual(printed[4], "4096 kept ok")
        self.command("verify", self.store)

    def test_the_page_size_changes_under_open_connections(self):
        printed = self.python("""
            load()
            c, other = connect(), connect()
            c.execute("INSERT INTO item VALUES ('first')")
            for size in [512, 65536, 4096]:
                other.execute("BEGIN")
                one(other, "SELECT count(*) FROM item")
                other.execute("INSERT INTO item VALUES ('lost')")
                submit(c, statements=[[f"PRAGMA page_size = {size}"], ["VACUUM"]])
                one(c, "SELECT count(*) FROM item")
                print(error(lambda: other.execute("COMMIT")))
                other.execute(f"INSERT INTO item VALUES ('{size}')")
                print(one(other, "PRAGMA page_size"), one(c, "PRAGMA page_size"))
                print(one(c, "SELECT group_concat(name) FROM item"), one(other, "PRAGMA integrity_check"))
        """).splitlines()
        self.assertEqual(printed, [
            "database is locked", "512 512", "first,512 ok",
            "database is locked", "65536 65536", "first,512,65536 ok",
            "database is locked", "4096 4096", "first,512,65536,4096 ok"])
        self.command("verify", self.store)

    def test_what_is_larger_than_memory_is_committed(self):
        printed = self.python("""
            load()
            c = connect()
            c.execute("PRAGMA busy_timeout = 50000")
            c.execute("BEGIN IMMEDIATE")
            for _ in range(18): c.execute("INSERT INTO item VALUES (randomblob(4000000))")
            # 280 MB that compress to little.
            for _ in range(70): c.execute("INSERT INTO item VALUES (randomblob(20) || zeroblob(4000000))")
            c.execute("COMMIT")
            print(one(c, "SELECT sum(length(CAST(name AS BLOB))) FROM item"))
            status = open("/proc/self/status").read().split()
            print(int(status[status.index("VmHWM:") + 1]))
            c.execute("INSERT INTO item VALUES ('small')")
        """).splitlines()
        self.assertEqual(printed[0], str(88 * 4000000 + 70 * 20))
        # Python and SQLite take some 30 MB of it.
        self.assertLess(int(printed[1]), 150_000)
        self.assertIn("89", self.command("query", self.store, "SELECT count(*) FROM item"))
        self.command("verify", self.store)

    def test_what_the_local_disk_has_no_room_for_is_refused_and_all_goes_on(self):
        printed = self.python("""
            import resource
            load()
            c = connect()
            resource.setrlimit(resource.RLIMIT_FSIZE, (8 << 20, resource.RLIM_INFINITY))
            def fill():
                c.execute("BEGIN IMMEDIATE")
                for _ in range(8): c.execute("INSERT INTO item VALUES (randomblob(4000000))")
                c.execute("COMMIT")
            print(error(fill))
            if c.in_transaction: c.execute("ROLLBACK")
            print(one(c, "SELECT count(*) FROM item"))
            c.execute("INSERT INTO item VALUES ('small')")
        """).splitlines()
        self.assertIn(printed[0], ["disk I/O error", "database or disk is full"])
        self.assertEqual(printed[1], "0")
        self.assertIn("small", self.command("query", self.store, "SELECT name FROM item"))

    def test_a_path_that_is_no_utf8(self):
        directory = os.fsencode(self.directory)
        os.symlink(self.store, directory + b"/\xff")
        os.mkdir(directory + b"/\xff\xff")
        os.rename(self.plain, directory + b"/\xff.sqlite")
        printed = self.python("""
            load()
            import ctypes
            # A link to a store may have any name.
            connect(path=sys.argv[3] + "/%FF").execute("INSERT INTO item VALUES ('by a link')")
            print(error(lambda: connect(path=sys.argv[3] + "/%FF%FF")))
            library = ctypes.CDLL(extension)
            library.sluice_error.restype = ctypes.c_char_p
            print(library.sluice_error().decode())
            # What is no store is the library's own file system's, whatever its name.
            c = connect()
            c.execute(f"ATTACH 'file:{sys.argv[3]}/%FF.sqlite' AS plain")
            c.execute("INSERT INTO plain.t VALUES (8)")
            print(c.execute("SELECT n FROM plain.t").fetchall())
            print(one(c, "SELECT name FROM item"))
        """, self.directory)
        self.assertEqual(
            printed,
            "unable to open database file\na store has a path, and that is UTF-8; make a link to it that is\n"
            "[(7,), (8,)]\nby a link\n")

    def test_a_child_of_a_transaction_commits_nothing(self):
        printed = self.python("""
            load()
            c = connect()
            c.execute("BEGIN IMMEDIATE")
            c.execute("INSERT INTO item VALUES ('parent')")
            child = os.fork()
            if child == 0:
                print(error(lambda: c.execute("INSERT INTO item VALUES ('child')")))
                print(error(lambda: c.execute("COMMIT")))
                print(one(c, "PRAGMA sluice_error"))
                c.close()
                sys.stdout.flush()
                os._exit(0)
            print(os.waitpid(child, 0)[1])
            # The turn is still the parent's.
            c.execute("COMMIT")
            print(one(c, "SELECT group_concat(name) FROM item"))
        """).splitlines()
        self.assertEqual(printed[1], "disk I/O error")
        self.assertIn("before the process forked", printed[2])
        self.assertEqual(printed[3:], ["0", "parent"])

    def test_of_two_stores_in_one_transaction_neither_is_written(self):
        printed = self.python("""
            load()
            c = sqlite3.connect("file::memory:", uri=True, isolation_level=None)
            c.execute("CREATE TABLE m(x)")
            for name, path in [("a", store), ("b", sys.argv[3])]:
                c.execute(f"ATTACH 'file:{path}?vfs=sluice' AS {name}")
            c.execute("BEGIN")
            c.execute("INSERT INTO m VALUES (1)")
            c.execute("INSERT INTO a.item VALUES ('no')")
            c.execute("CREATE TABLE b.t(x)")
            print(error(lambda: c.execute("COMMIT")))
            if c.in_transaction: c.execute("ROLLBACK")
            print(one(c, "SELECT count(*) FROM a.item"), one(c, "SELECT count(*) FROM b.sqlite_schema WHERE name = 't'"))
            c.execute("INSERT INTO a.item VALUES ('yes')")
        """, self.another())
        self.assertEqual(printed, "SQL logic error\n0 0\n")


class ReasonTests(StoreCase):
    """Why a statement met "database is locked"."""

    def test_who_has_the_turn_and_since_when(self):
        printed = self.python("""
            load()
            c, other = connect(), connect()
            other.execute("PRAGMA busy_timeout = 300")
            c.execute("BEGIN IMMEDIATE")
            # Each is a sign of life of who has the turn.
            one(c, "PRAGMA cache_size")
            print(error(lambda: other.execute("INSERT INTO item VALUES ('locked')")))
            one(c, "PRAGMA cache_size")
            print(one(other, "PRAGMA sluice_error"))
            # It is told once, and of each connection.
            print([one(other, "PRAGMA sluice_error"), one(c, "PRAGMA sluice_error")])
            one(c, "PRAGMA cache_size")
            error(lambda: other.execute("INSERT INTO item VALUES ('locked')"))
            c.execute("COMMIT")
            other.execute("PRAGMA busy_timeout = 20000")
            other.execute("INSERT INTO item VALUES ('done')")
            print([one(other, "PRAGMA sluice_error")])
        """).splitlines()
        self.assertEqual(printed[0], "database is locked")
        self.assertRegex(
            printed[1],
            r"did not come within the busy timeout: writer [0-9a-f-]{36} has it since 20\S+Z, for \d+ ms, as turn \d+;")
        self.assertEqual(printed[2:], ["['', '']", "['']"])

    def test_that_nobody_leads(self):
        self.applier.terminate()
        self.applier.wait()
        printed = self.python("""
            load()
            c = connect()
            c.execute("PRAGMA busy_timeout = 300")
            print(error(lambda: c.execute("INSERT INTO item VALUES ('locked')")))
            print(one(c, "PRAGMA sluice_error"))
        """).splitlines()
        self.assertEqual(printed[0], "database is locked")
        self.assertRegex(printed[1], r"nobody leads since 20\S+Z, when the applier stopped in order; start `sluice apply`")

    def test_what_came_in_between(self):
        printed = self.python("""
            load()
            c, other = connect(), connect()
            c.execute("BEGIN")
            one(c, "SELECT count(*) FROM item")
            read = int(one(c, "PRAGMA sluice_txid"))
            other.execute("INSERT INTO item VALUES ('first')")
            print(error(lambda: c.execute("INSERT INTO item VALUES ('late')")))
            # The turn is a batch, too.
            print(f"behind batch {read}, and batches {read + 1} to {read + 2} came" in one(c, "PRAGMA sluice_error"))
            c.execute("ROLLBACK")
            c.execute("INSERT INTO item VALUES ('again')")
        """).splitlines()
        self.assertEqual(printed, ["database is locked", "True"])


class SlowTests(StoreCase):
    """Signs of life are the pages that a transaction reads and writes: who computes for long gives none."""

    SLOW = """
        load()
        c, other = connect(), connect()
        c.execute("BEGIN IMMEDIATE")
        c.execute("INSERT INTO item VALUES ('slow')")
        {work}
        began = time.monotonic()
        {meanwhile}
        print(error(lambda: c.execute("COMMIT")), c.in_transaction)
        print(one(c, "SELECT group_concat(name) FROM item"))
        c.execute("INSERT INTO item VALUES ('next')")
        print(one(other, "SELECT group_concat(name) FROM item"))
    """
    SLEEP = "import time; time.sleep(3)"
    COMPUTE = (
        "import time; one(c, 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000000)"
        " SELECT sum(i) FROM n')"
    )

    def slow(self, work, meanwhile):
        return self.python(self.SLOW.format(work=work, meanwhile=meanwhile)).splitlines()

    def test_who_is_overtaken_is_refused(self):
        for work in self.SLEEP, self.COMPUTE:
            with self.subTest(work):
                self.command("submit", self.store, "DELETE FROM item")
                printed = self.slow(work, "other.execute(\"INSERT INTO item VALUES ('quick')\")")
                self.assertEqual(printed, ["database is locked False", "quick", "quick,next"])
        self.command("verify", self.store)

    def test_who_is_not_commits_though_the_turn_has_ended(self):
        self.assertEqual(self.slow(self.SLEEP, "pass"), ["None False", "slow", "slow,next"])

    def test_others_wait_for_the_turns_time_and_no_longer(self):
        printed = self.python("""
            import time
            load()
            c, other = connect(), connect()
            c.execute("BEGIN IMMEDIATE")
            began = time.monotonic()
            other.execute("INSERT INTO item VALUES ('quick')")
            print(1.5 < time.monotonic() - began < 20)
            print(error(lambda: c.execute("INSERT INTO item VALUES ('late')")))
            print(error(lambda: c.execute("COMMIT")))
            print(one(other, "SELECT group_concat(name) FROM item"))
        """)
        self.assertEqual(printed, "True\nNone\ndatabase is locked\nquick\n")


if __name__ == "__main__":
    unittest.main()

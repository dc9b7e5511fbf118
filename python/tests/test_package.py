"""The package as it was installed, on stores with an applier of their own."""

import asyncio
import datetime
import doctest
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
import unittest
from concurrent import futures
from typing import Any

import sluice
from sluice import _command
from unreadable import unreadable

README = pathlib.Path(__file__).parent.parent / "README.md"


class StoreCase(unittest.TestCase):
    """A store of its own for each test, with an applier."""

    def setUp(self) -> None:
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        self.store = os.path.join(self.directory.name, "a store?#%")
        subprocess.run([_command.path(), "init", self.store], check=True, stdout=subprocess.DEVNULL)
        self.applier: "subprocess.Popen[bytes] | None" = None
        self.apply()
        self.addCleanup(self.stop)

    def apply(self) -> None:
        self.applier = subprocess.Popen(
            [_command.path(), "apply", self.store], stderr=subprocess.DEVNULL
        )

    def stop(self) -> None:
        if self.applier is not None:
            self.applier.terminate()
            self.applier.wait()
            self.applier = None

    def writer(self) -> sluice.Writer:
        writer = sluice.Writer(self.store)
        self.addCleanup(writer.close)
        return writer

    def connect(self, **parameters: object) -> sqlite3.Connection:
        connection = sluice.connect(self.store, **parameters)  # type: ignore[arg-type]
        self.addCleanup(connection.close)
        return connection


class WritingTests(StoreCase):
    def test_values_come_back_as_they_were(self) -> None:
        values = [None, True, -(1 << 63), 1.0, 1e300, "a'b\0\u00e9\U0001f600", b"\0\xff", ""]
        writer = self.writer()
        writer.submit("CREATE TABLE t(v)")
        for value in values:
            row = writer.submit(
                "INSERT INTO t VALUES (?) RETURNING v, typeof(v)", [value], results=True
            ).rows
            expected = sqlite3.connect(":memory:").execute("SELECT ?1, typeof(?1)", [value])
            self.assertEqual(row, expected.fetchall())
        kept = [row[0] for row in self.connect().execute("SELECT v FROM t ORDER BY rowid")]
        self.assertEqual(kept, values)

    def test_what_is_no_value_is_refused_before_anything_is_sent(self) -> None:
        writer = self.writer()
        refused: list[tuple[Any, type[Exception]]] = [
            (1 << 63, OverflowError), (float("inf"), ValueError), ([], TypeError)
        ]
        for value, kind in refused:
            with self.assertRaises(kind):
                writer.submit("SELECT ?", [value])
        with self.assertRaises(TypeError):
            writer.submit("SELECT ?, ?", "ab")

    def test_a_rejection_says_why_and_leaves_nothing(self) -> None:
        writer = self.writer()
        writer.submit("CREATE TABLE t(v UNIQUE)")
        with self.assertRaises(sluice.Rejected) as rejected:
            writer.submit([("INSERT INTO t VALUES (1)",), ("INSERT INTO t VALUES (1)",)])
        self.assertEqual(rejected.exception.code, "SQLITE_CONSTRAINT_UNIQUE")
        self.assertEqual(rejected.exception.txid, 2)
        with self.assertRaises(sluice.Rejected) as rejected:
            writer.submit("INSERT INTO t VALUES (2)", guards=["SELECT 0"], key="k")
        self.assertEqual(rejected.exception.code, "guardFailed")
        with self.assertRaises(sluice.Rejected):
            writer.outcome("k")
        self.assertEqual(self.connect().execute("SELECT * FROM t").fetchall(), [])

    def test_what_has_no_outcome_in_time_is_durable(self) -> None:
        writer = self.writer()
        writer.submit("CREATE TABLE t(v)")
        self.stop()
        with self.assertRaises(sluice.Timeout) as late:
            writer.submit("INSERT INTO t VALUES (1)", key="late", timeout=0.05)
        self.assertEqual(late.exception.key, "late")
        self.assertIsNone(writer.outcome("late"))
        self.apply()
        # The repeat waits for the first, and is told what became of it.
        repeat = writer.submit("INSERT INTO t VALUES (1)", key="late")
        self.assertEqual((repeat.status, repeat.txid), ("duplicate", 2))
        first = writer.outcome("late")
        assert first is not None
        self.assertEqual((first.status, first.txid), ("applied", 2))
        self.assertEqual(self.connect().execute("SELECT count(*) FROM t").fetchone(), (1,))

    def test_a_look_that_fails_says_nothing_of_the_batch(self) -> None:
        writer = self.writer()
        writer.submit("CREATE TABLE t(v)")
        assert self.applier is not None
        self.addCleanup(self.applier.send_signal, signal.SIGCONT)
        self.applier.send_signal(signal.SIGSTOP)

        def journal() -> "list[bytes]":
            return [path.read_bytes() for path in pathlib.Path(self.store, "journal").glob("*.seg")]

        before = journal()
        with futures.ThreadPoolExecutor() as pool:
            waiting = pool.submit(writer.submit, "INSERT INTO t VALUES (1)")
            while journal() == before and not waiting.done():
                time.sleep(0.01)
            with unreadable(self.store):
                error = waiting.exception(timeout=60)
        self.assertIsInstance(error, sluice.OutcomeUnknown)
        self.assertIn("the batch is in the journal", str(error))
        self.applier.send_signal(signal.SIGCONT)
        writer.submit("SELECT 1")
        self.assertEqual(self.connect().execute("SELECT count(*) FROM t").fetchone(), (1,))

    def test_a_batch_that_is_none_is_not_submitted(self) -> None:
        writer = self.writer()
        with self.assertRaises(sluice.NotSubmitted) as refused:
            writer.submit("SELECT 1", key="k" * 1000)
        self.assertEqual(refused.exception.code, "limit")

    def test_threads_and_tasks_share_a_writer(self) -> None:
        writer = self.writer()
        writer.submit("CREATE TABLE t(v)")
        threads = [
            threading.Thread(target=writer.submit, args=("INSERT INTO t VALUES (?)", [i]))
            for i in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        async def tasks() -> None:
            await asyncio.gather(
                *(writer.submit_async("INSERT INTO t VALUES (?)", [i]) for i in range(20, 40))
            )

        asyncio.run(tasks())
        self.assertEqual(
            self.connect().execute("SELECT count(*), sum(v) FROM t").fetchone(), (40, 780)
        )

    def test_a_child_goes_on_by_itself(self) -> None:
        writer = self.writer()
        writer.submit("CREATE TABLE t(v)")
        child = os.fork()
        if child == 0:
            code = 1
            try:
                writer.submit("INSERT INTO t VALUES ('child')")
                code = 0
            finally:
                os._exit(code)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        writer.submit("INSERT INTO t VALUES ('parent')")
        rows = self.connect().execute("SELECT v FROM t").fetchall()
        self.assertEqual(rows, [("child",), ("parent",)])


class ReadingTests(StoreCase):
    def test_freshness_and_the_past(self) -> None:
        writer = self.writer()
        writer.submit("CREATE TABLE t(v)")
        self.connect().execute("SELECT count(*) FROM t").fetchone()
        # Within its bound it is what the process read last.
        stale = self.connect(max_staleness=1000)
        self.assertEqual(stale.execute("SELECT count(*) FROM t").fetchone(), (0,))
        before = datetime.datetime.now(datetime.timezone.utc)
        # What is committed in the same millisecond is no later.
        time.sleep(0.01)
        last = writer.submit("INSERT INTO t VALUES (1)")
        assert last.txid is not None
        self.assertEqual(stale.execute("SELECT count(*) FROM t").fetchone(), (0,))
        latest = self.connect(at_least=last.txid, timeout=5)
        self.assertEqual(latest.execute("SELECT count(*) FROM t").fetchone(), (1,))
        past = self.connect(txid=1)
        self.assertEqual(past.execute("SELECT count(*) FROM t").fetchone(), (0,))
        then = self.connect(at=before)
        self.assertEqual(then.execute("SELECT count(*) FROM t").fetchone(), (0,))

    def test_what_is_no_store_is_said(self) -> None:
        with self.assertRaises(sluice.StoreError) as missing:
            sluice.connect(self.store + "x")
        self.assertIn("no store at", str(missing.exception))
        with self.assertRaises(sluice.StoreError) as foreign:
            sluice.connect(self.directory.name)
        self.assertIn("no store here", str(foreign.exception))
        with self.assertRaises(sluice.StoreError) as mistaken:
            sluice.connect(self.store, at="noon")
        self.assertIn("RFC 3339", str(mistaken.exception))
        with self.assertRaises(ValueError):
            sluice.connect(self.store, at=datetime.datetime(2026, 1, 1))

    def test_a_child_is_refused_its_parents_connection(self) -> None:
        connection = self.connect()
        connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
            except sqlite3.OperationalError:
                fresh = sluice.connect(self.store)
                fresh.execute("SELECT 1 FROM sqlite_schema").fetchall()
                code = 0
            finally:
                os._exit(code)
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        connection.execute("SELECT 1 FROM sqlite_schema").fetchall()


class ConnectionTests(StoreCase):
    def test_a_python_that_loads_no_extensions(self) -> None:
        self.writer().submit("CREATE TABLE item(name)")
        program = """
            import sqlite3, sys, types
            from sluice import _load
            class Bare(sqlite3.Connection):
                @property
                def enable_load_extension(self): raise AttributeError
            connect = lambda name: sqlite3.connect(name, factory=Bare)
            _load.sqlite3 = types.SimpleNamespace(connect=connect)
            _load.load()
            import sluice
            with sluice.connect(sys.argv[1]) as connection:
                connection.execute("INSERT INTO item VALUES ('bolt')")
            print(connection.execute("SELECT count(*) FROM item").fetchone()[0])
            # What begins each connection was taken back: it does so once.
            sqlite3.connect(":memory:").close()
        """
        run = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program), self.store],
            capture_output=True, text=True, timeout=60,
        )
        self.assertEqual((run.stdout, run.stderr), ("1\n", ""))

    def test_transactions_where_no_applier_runs(self) -> None:
        self.writer().submit("CREATE TABLE item(name)")
        self.stop()
        connection = self.connect(assist=True)
        connection.execute("PRAGMA busy_timeout = 30000")
        for name in ["a", "b"]:
            with connection:
                connection.execute("INSERT INTO item VALUES (?)", [name])
        self.assertEqual(connection.execute("SELECT count(*) FROM item").fetchone(), (2,))
        # Nobody leads when the statement has returned, and this process has no child.
        with self.assertRaises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)


class DocumentTests(StoreCase):
    def test_the_examples_are_true(self) -> None:
        result = doctest.testfile(
            str(README), module_relative=False, globs={"store": self.store}
        )
        self.assertGreater(result.attempted, 10)
        self.assertEqual(result.failed, 0)


class WheelTests(unittest.TestCase):
    def test_it_needs_no_newer_c_library_than_its_name_says(self) -> None:
        for path in [sluice.library(), _command.path()]:
            minors = re.findall(rb"\0GLIBC_2\.(\d+)", pathlib.Path(path).read_bytes())
            self.assertTrue(minors, path)
            self.assertLessEqual(max(map(int, minors)), 34, path)

    def test_it_brings_the_command(self) -> None:
        # As it is called by a user whose PATH has this environment.
        command = pathlib.Path(sys.executable).with_name("sluice")
        answer = subprocess.run([command, "--help"], capture_output=True, text=True)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertIn("submit", answer.stdout)


if __name__ == "__main__":
    unittest.main()

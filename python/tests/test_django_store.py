"""`sluice.django` and what only a store can show: moving to one, test stores, and the promises of a COMMIT."""

import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
import unittest
from typing import Any, Callable

from sluice import _command
from sluice.django import appliers, stores

TESTS = pathlib.Path(__file__).parent


class DirectoryCase(unittest.TestCase):
    def setUp(self) -> None:
        # An applier that ends may still make names in it.
        directory = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name)
        self.store = str(self.directory / "a store?#%")

    def python(
        self, *arguments: str, settings: str = "", text: "str | None" = None, **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        """A process of its own, in a project whose settings are these, with `text` as its input."""
        (self.directory / "project_settings.py").write_text(textwrap.dedent(settings))
        paths = [str(self.directory), str(TESTS), os.environ.get("PYTHONPATH", "")]
        return subprocess.run(
            [sys.executable, "-B", *arguments],
            cwd=self.directory,
            input="" if text is None else text,
            capture_output=True,
            text=True,
            env={
                **os.environ,
                "DJANGO_SETTINGS_MODULE": "project_settings",
                "PYTHONPATH": os.pathsep.join(filter(None, paths)),
                **environment,
            },
        )

    def content(self, store: str, sql: str) -> "list[tuple[Any, ...]]":
        """What a query of the store's content gives."""
        file = self.directory / "content.sqlite"
        file.unlink(missing_ok=True)
        subprocess.run(
            [_command.path(), "restore", store, "--into", str(file)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        connection = sqlite3.connect(file)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()


class MoveTests(DirectoryCase):
    """`python -m sluice.django move`, with the settings of a site on django_sqlite_efs."""

    def setUp(self) -> None:
        super().setUp()
        self.file = self.directory / "site.sqlite3"
        self.write("CREATE TABLE t(v)", "INSERT INTO t VALUES (1)")

    def write(self, *statements: str) -> None:
        connection = sqlite3.connect(self.file)
        for sql in statements:
            connection.execute(sql)
        connection.commit()
        connection.close()

    def move(
        self, *arguments: str, engine: str = "django_sqlite_efs", more: str = "", **environment: str
    ) -> "subprocess.CompletedProcess[str]":
        settings = f"""
            DATABASES = {{"default": {{
                "ENGINE": {engine!r},
                "NAME": {str(self.file)!r},
                "OPTIONS": {{"timeout": 20}},
            }}}}
            """
        return self.python(
            "-m", "sluice.django", "move", self.store, *arguments,
            settings=textwrap.dedent(settings) + more, **environment,
        )

    def lease(self) -> str:
        described = json.loads((pathlib.Path(self.store) / "store.json").read_text())
        return str(described["lease"])

    def lock_item(self, expires_in: object) -> None:
        """What stands for boto3, with an item that expires then."""
        (self.directory / "boto3.py").write_text(
            textwrap.dedent(f"""
                import decimal, time

                class Table:
                    def __init__(self, name):
                        assert name == "locks"

                    def get_item(self, Key, ConsistentRead):
                        assert Key == {{"pk": "database#" + {str(self.file)!r}}} and ConsistentRead
                        return {{"Item": {{"expires_at": decimal.Decimal(time.time() + {expires_in})}}}}

                def resource(name):
                    class Resource:
                        pass
                    Resource.Table = Table
                    return Resource
            """)
        )

    def test_one_command_makes_the_store_and_says_what_to_write(self) -> None:
        done = self.move()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.content(self.store, "SELECT v FROM t"), [(1,)])
        self.assertEqual(self.lease(), "file")
        for part in ["'ENGINE': 'sluice.django'", repr(self.store), "{'timeout': 20}"]:
            self.assertIn(part, done.stdout)

    def test_only_settings_that_are_there_are_to_be_removed(self) -> None:
        three = "Remove SQLITE_LOCK_EXPIRATION, SQLITE_LOCK_MAX_ATTEMPTS and SQLITE_LOCK_DYNAMODB_TABLE.\n"
        for engine, named, advice in [
            ("django.db.backends.sqlite3", {}, None),
            ("django_sqlite_efs", {"SQLITE_LOCK_MAX_ATTEMPTS": "3"}, "Remove SQLITE_LOCK_MAX_ATTEMPTS.\n"),
            (
                "django_sqlite_efs",
                {name: "locks" for name in re.findall(r"SQLITE_\w+", three)},
                three,
            ),
        ]:
            with self.subTest(engine, **named):
                done = self.move("--no-lock-check", engine=engine, **named)
                self.assertEqual(done.returncode, 0, done.stderr)
                if advice is None:
                    self.assertNotIn("SQLITE_LOCK", done.stdout)
                else:
                    self.assertIn(advice, done.stdout)
            self.store += "2"

    def test_the_lock_table_serves_as_the_leases(self) -> None:
        done = self.move(more='SQLITE_LOCK_DYNAMODB_TABLE = "locks"\nSQLITE_LOCK_EXPIRATION = 30\n')
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.lease(), "dynamodb:locks")
        self.assertIn("nobody has looked", done.stderr)

    def test_the_environment_and_the_command_line_name_the_table_too(self) -> None:
        self.assertEqual(self.move(SQLITE_LOCK_DYNAMODB_TABLE="locks").returncode, 0)
        self.assertEqual(self.lease(), "dynamodb:locks")
        self.store += "2"
        self.assertEqual(self.move("--lock-table", "other").returncode, 0)
        self.assertEqual(self.lease(), "dynamodb:other")

    def test_a_held_lock_says_that_the_site_runs(self) -> None:
        self.lock_item(expires_in=20)
        done = self.move(SQLITE_LOCK_DYNAMODB_TABLE="locks")
        self.assertEqual(done.returncode, 75)
        self.assertIn("stop the site", done.stderr)
        self.assertFalse(os.path.exists(self.store))
        self.lock_item(expires_in="unknown")
        done = self.move(SQLITE_LOCK_DYNAMODB_TABLE="locks")
        self.assertEqual(done.returncode, 75)
        self.assertIn("--no-lock-check", done.stderr)
        # One that has run out is what somebody left who died.
        self.lock_item(expires_in=-1)
        self.assertEqual(self.move(SQLITE_LOCK_DYNAMODB_TABLE="locks").returncode, 0)
        self.store += "2"
        self.lock_item(expires_in=20)
        done = self.move("--no-lock-check", SQLITE_LOCK_DYNAMODB_TABLE="locks")
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_file_that_changes_meanwhile_is_no_success(self) -> None:
        # A command that writes into the file once the store is made, as a site does that runs on.
        (self.directory / "sitecustomize.py").write_text(
            textwrap.dedent(f"""
                import sqlite3, subprocess

                real = subprocess.run

                def run(*arguments, **named):
                    done = real(*arguments, **named)
                    connection = sqlite3.connect({str(self.file)!r})
                    connection.execute("INSERT INTO t VALUES (2)")
                    connection.commit()
                    connection.close()
                    return done

                subprocess.run = run
            """)
        )
        done = self.move()
        self.assertEqual(done.returncode, 75, done.stdout)
        self.assertIn("has changed while it was copied", done.stderr)

    def test_a_transaction_under_way_is_waited_for(self) -> None:
        writer = sqlite3.connect(self.file, isolation_level=None)
        self.addCleanup(writer.close)
        writer.execute("BEGIN EXCLUSIVE")
        done = self.move("--timeout", "0.2")
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse(os.path.exists(self.store))

    def test_what_a_dead_writer_left_is_rolled_back_first(self) -> None:
        crash = """
            import os, sqlite3, sys
            connection = sqlite3.connect(sys.argv[1], isolation_level=None)
            connection.execute("PRAGMA cache_size=1")
            connection.execute("BEGIN")
            connection.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n LIMIT 5000) "
                "INSERT INTO t SELECT printf('%0500d', i) FROM n"
            )
            os._exit(0)
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(crash), str(self.file)], check=True)
        self.assertTrue(os.path.exists(f"{self.file}-journal"))
        self.assertEqual(self.move().returncode, 0)
        self.assertEqual(self.content(self.store, "SELECT v FROM t"), [(1,)])

    def test_what_cannot_be_moved_is_said(self) -> None:
        for arguments, engine, words in [
            ([], "django.db.backends.postgresql", "dumpdata"),
            (["--database", "other"], "django_sqlite_efs", "DATABASES has no 'other'"),
            (["--from", "/nowhere"], "django_sqlite_efs", "there is no file"),
        ]:
            done = self.move(*arguments, engine=engine)
            self.assertIn(done.returncode, (64, 66))
            self.assertIn(words, done.stderr)
        self.assertEqual(self.move().returncode, 0)
        again = self.move()
        self.assertNotEqual(again.returncode, 0)
        done = self.move("--from", self.store)
        self.assertIn("is a store already", done.stderr)


class StoreTests(DirectoryCase):
    """The stores of a test run."""

    def test_a_copy_is_a_store_of_its_own(self) -> None:
        stores.make(self.store)
        self.addCleanup(appliers.stop, self.store)
        appliers.start(self.store)
        submit = [_command.path(), "submit", self.store]
        subprocess.run([*submit, "CREATE TABLE t(v)"], check=True, stdout=subprocess.DEVNULL)
        clone = self.store + "_1"
        stores.copy(self.store, clone)
        subprocess.run([*submit, "INSERT INTO t VALUES (1)"], check=True, stdout=subprocess.DEVNULL)
        self.assertEqual(self.content(self.store, "SELECT count(*) FROM t"), [(1,)])
        self.assertEqual(self.content(clone, "SELECT count(*) FROM t"), [(0,)])
        stores.remove(self.store)
        self.assertFalse(os.path.exists(self.store))

    def applier(self) -> str:
        """What `status` says of it."""
        status = subprocess.run(
            [_command.path(), "status", self.store, "--json"], capture_output=True, text=True
        )
        return str(json.loads(status.stdout)["applier"]["state"])

    def until(self, state: str) -> None:
        deadline = time.monotonic() + 30
        while self.applier() != state:
            self.assertLess(time.monotonic(), deadline, f"it is {self.applier()}")
            time.sleep(0.05)

    def test_an_applier_gives_the_lease_back_when_it_is_stopped(self) -> None:
        stores.make(self.store)
        appliers.start(self.store)
        self.until("active")
        appliers.stop(self.store)
        self.assertEqual(self.applier(), "released")

    def test_it_ends_with_its_process_however_that_ends(self) -> None:
        stores.make(self.store)
        owner = subprocess.Popen(
            [sys.executable, "-c", "import sys, time; from sluice.django import appliers; "
             "appliers.start(sys.argv[1]); time.sleep(60)", self.store]
        )
        try:
            self.until("active")
        finally:
            owner.kill()
            owner.wait()
        self.until("released")

    def test_nothing_but_a_store_is_removed(self) -> None:
        os.mkdir(self.store)
        pathlib.Path(self.store, "kept").touch()
        with self.assertRaises(OSError):
            stores.remove(self.store)
        self.assertTrue(os.path.exists(os.path.join(self.store, "kept")))

    def test_why_one_cannot_be_made_is_said(self) -> None:
        os.mkdir(self.store)
        pathlib.Path(self.store, "kept").touch()
        with self.assertRaisesRegex(OSError, "empty"):
            stores.make(self.store)


class Player:
    """One of the processes of a site."""

    def __init__(self, store: str, **options: Any) -> None:
        paths = [str(TESTS), os.environ.get("PYTHONPATH", "")]
        self.process = subprocess.Popen(
            [sys.executable, "-B", str(TESTS / "django_player.py"), store, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )

    def begin(self, code: str) -> None:
        """Has it execute this, and does not wait."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(textwrap.dedent(code)) + "\n")
        self.process.stdin.flush()

    def end(self) -> "dict[str, Any]":
        """Its answer to what was begun."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"it ended with {self.process.wait()}")
        answer: "dict[str, Any]" = json.loads(line)
        return answer

    def tries(self, code: str) -> "dict[str, Any]":
        self.begin(code)
        return self.end()

    def does(self, code: str) -> Any:
        """Executes this, which must succeed; returns what it names `result`."""
        answer = self.tries(code)
        if "error" in answer:
            raise AssertionError(answer["trace"])
        return answer["result"]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def leave(self) -> None:
        self.process.kill()
        self.process.communicate()


ENTER = "block = transaction.atomic(); block.__enter__(); a = Account.objects.get(name='a')"
SAVE = "a.balance += 1; a.save()"
LEAVE = "block.__exit__(None, None, None)"
DEPOSIT = """
    with transaction.atomic():
        account = Account.objects.get(name='a')
        account.balance += 10
        account.save()
"""


class SiteCase(DirectoryCase):
    """A store with an applier and an account, and processes that play a site on it."""

    def setUp(self) -> None:
        super().setUp()
        stores.make(self.store)
        self.addCleanup(appliers.stop, self.store)
        appliers.start(self.store)
        self.first = self.player()
        made = self.first.tries(
            "from django.core.management import call_command\n"
            "call_command('migrate', verbosity=0)\n"
            "Account.objects.create(name='a')"
        )
        self.assertNotIn("error", made, made.get("trace"))
        self.second = self.player()

    def player(self, **options: Any) -> Player:
        player = Player(self.store, **options)
        self.addCleanup(player.leave)
        return player

    def balance(self) -> Any:
        return self.player().does("result = Account.objects.get(name='a').balance")

    def seconds(self, body: Callable[[], object]) -> float:
        start = time.monotonic()
        body()
        return time.monotonic() - start


class ReplacedTests(SiteCase):
    """What django_sqlite_efs does wrong, one after the other."""

    def test_a_commit_after_the_turn_has_gone_is_refused(self) -> None:
        self.first.does(ENTER)
        self.first.does(SAVE)
        # It waits until the first, which says nothing any more, has lost its turn.
        self.second.does(DEPOSIT)
        refused = self.first.tries(LEAVE)
        self.assertEqual(refused["error"], "TransactionConflict")
        # Which commits came in between.
        self.assertRegex(refused["message"], r"(batch|batches) \d+.* came in between")
        self.assertEqual(self.balance(), 10)
        self.first.does(DEPOSIT)
        self.assertEqual(self.balance(), 20)

    def test_a_statement_whose_rows_are_read_later_commits_in_its_turn_or_not_at_all(self) -> None:
        # Through the queue, and by the turn.
        for player in [self.first, self.player(queue=False)]:
            name = f"r{player.process.pid}"
            player.does(
                f"""
                cursor = connection.cursor()
                cursor.execute(
                    'INSERT INTO "django_site_account" (name, balance, notes) '
                    "VALUES ('{name}', 0, '{{}}') "
                    'RETURNING "django_site_account"."id"'
                )
                """
            )
            self.second.does(DEPOSIT)
            answer = player.tries("result = cursor.fetchone()[0]; cursor.close()")
            rows = self.second.does(f"result = Account.objects.filter(name='{name}').count()")
            if "error" in answer:
                self.assertEqual((answer["error"], rows), ("TransactionConflict", 0))
            else:
                self.assertEqual(rows, 1)

    def test_no_turn_is_taken_anew_within_a_transaction_that_has_read(self) -> None:
        self.first.does(ENTER)
        self.second.does(DEPOSIT)
        answers = [self.first.tries(SAVE), self.first.tries(LEAVE)]
        self.assertIn("TransactionConflict", [answer.get("error") for answer in answers])
        self.assertEqual(self.balance(), 10)

    def test_who_was_stopped_in_mid_transaction_is_refused_too(self) -> None:
        self.first.does(ENTER)
        self.first.does(SAVE)
        self.first.signal(signal.SIGSTOP)
        self.second.does(DEPOSIT)
        self.first.signal(signal.SIGCONT)
        self.assertEqual(self.first.tries(LEAVE)["error"], "TransactionConflict")
        self.assertEqual(self.balance(), 10)

    def drain(self) -> None:
        """What lies in the journal has its outcome afterwards, and nothing else is done."""
        subprocess.run(
            [_command.path(), "apply", "--drain", self.store], check=True, capture_output=True
        )

    def test_what_is_reported_as_failed_is_not_there(self) -> None:
        impatient = self.player(timeout=1)
        appliers.stop(self.store)
        # It waits for the turn in vain.
        answer = impatient.tries(DEPOSIT)
        self.assertIn(answer.get("error"), ["OperationalError", "TransactionConflict"])
        self.assertIn("nobody leads since", answer["message"])
        # Nor does it come later.
        self.drain()
        appliers.start(self.store)
        self.assertEqual(self.balance(), 0)
        # The applier leads.
        self.second.does('Account.objects.update(balance=0)')
        impatient.does(ENTER)
        impatient.does(SAVE)
        self.second.does(DEPOSIT)
        self.assertEqual(impatient.tries(LEAVE).get("error"), "TransactionConflict")
        appliers.stop(self.store)
        self.drain()
        self.assertEqual(self.balance(), 10)

    def test_what_is_unknown_is_known_when_an_applier_has_run(self) -> None:
        self.first.does(ENTER)
        self.first.does(SAVE)
        appliers.stop(self.store)
        self.assertEqual(self.first.tries(LEAVE).get("error"), "OutcomeUnknown")
        self.assertEqual(self.balance(), 0)
        # Nobody has committed since, so it is done.
        self.drain()
        self.assertEqual(self.balance(), 1)
        # That is all that ever comes of it.
        appliers.start(self.store)
        self.second.does(DEPOSIT)
        self.assertEqual(self.balance(), 11)

    def test_who_dies_in_a_transaction_costs_the_others_a_moment(self) -> None:
        self.first.does(ENTER)
        self.first.does(SAVE)
        self.first.signal(signal.SIGKILL)
        # A turn without a sign ends after two seconds, and the timeout is 20.
        self.assertLess(self.seconds(lambda: self.second.does(DEPOSIT)), 18)
        self.assertEqual(self.balance(), 10)

    def test_a_statement_by_itself_keeps_nothing(self) -> None:
        # Through the queue, and by the turn.
        for player in [self.first, self.player(queue=False)]:
            took = []
            for _ in range(3):
                failed = player.tries("Account.objects.create(name='a')")
                self.assertEqual(failed["error"], "IntegrityError")
                took.append(self.seconds(lambda: self.second.does(DEPOSIT)))
            # A turn that is kept ends after two seconds. One of these may meet a busy machine.
            self.assertLess(min(took), 2)
        took = []
        for _ in range(3):
            self.first.does("connection.cursor().execute('PRAGMA user_version = 7')")
            self.first.does("rows = Account.objects.raw('SELECT * FROM django_site_account'); iter(rows)")
            took.append(self.seconds(lambda: self.second.does(DEPOSIT)))
        self.assertLess(min(took), 2)

    def test_a_write_waits_for_its_timeout_and_not_for_three_seconds(self) -> None:
        self.first.does(ENTER)
        self.second.begin(DEPOSIT)
        end = time.monotonic() + 3.5
        while time.monotonic() < end:
            self.first.does("Account.objects.count(); " + SAVE)
            time.sleep(0.2)
        # Whether the first has kept its turn for so long or not, the second comes to its own.
        self.first.tries(LEAVE)
        self.assertEqual(self.second.end().get("error"), None)

    def test_there_is_no_journal_for_others_to_roll_back(self) -> None:
        self.first.does("connection.cursor().execute('PRAGMA cache_size = 1')")
        self.first.does(ENTER)
        self.first.does(
            "Account.objects.bulk_create("
            "Account(name=str(i), notes={'x': 'y' * 500}) for i in range(5000))"
        )
        names = [str(path) for path in pathlib.Path(self.store).rglob("*")]
        self.assertFalse([name for name in names if name.endswith(("-journal", "-wal"))])
        self.assertEqual(self.second.does("result = Account.objects.count()"), 1)
        self.first.signal(signal.SIGKILL)
        self.second.does(DEPOSIT)
        self.assertEqual(self.second.does("result = Account.objects.count()"), 1)
        subprocess.run([_command.path(), "verify", self.store], check=True, capture_output=True)


class TurnTests(SiteCase):
    def test_read_modify_write_in_four_processes_adds_up(self) -> None:
        players = [self.player() for _ in range(4)]
        for player in players:
            player.begin(
                """
                for _ in range(25):
                    with transaction.atomic():
                        account = Account.objects.get(name='a')
                        account.balance += 1
                        account.save()
                        Entry.objects.create(account=account, amount=1)
                        account, _ = Account.objects.get_or_create(name='b')
                """
            )
        for player in players:
            answer = player.end()
            self.assertNotIn("error", answer, answer.get("trace"))
        self.assertEqual(self.balance(), 100)
        self.assertEqual(self.first.does("result = Entry.objects.count()"), 100)

    def test_single_statements_of_four_processes_wait_for_each_other(self) -> None:
        # Each takes the turn for itself. Without, whoever comes second meets a conflict.
        players = [self.player(queue=False) for _ in range(4)]
        for player in players:
            player.begin(
                """
                account = Account.objects.get(name='a')
                for _ in range(25):
                    Entry.objects.create(account=account, amount=1)
                """
            )
        for player in players:
            answer = player.end()
            self.assertNotIn("error", answer, answer.get("trace"))
        self.assertEqual(self.first.does("result = Entry.objects.count()"), 100)

    def test_a_get_request_waits_for_nobody(self) -> None:
        self.second.does("result = Client().get('/balance').status_code")
        took = []
        for _ in range(3):
            self.first.does(ENTER)
            took.append(self.seconds(lambda: self.second.does("Client().get('/balance')")))
            self.first.does(SAVE)
            self.first.does(LEAVE)
        self.assertLess(min(took), 1)

    def test_retry_comes_through(self) -> None:
        players = [self.player(transaction_mode="DEFERRED") for _ in range(3)]
        for player in players:
            player.begin(
                """
                @sluice.django.retry(attempts=50)
                def deposit():
                    account = Account.objects.get(name='a')
                    account.balance += 1
                    account.save()
                for _ in range(10):
                    deposit()
                """
            )
        for player in players:
            answer = player.end()
            self.assertNotIn("error", answer, answer.get("trace"))
        self.assertEqual(self.balance(), 30)

    def test_a_hook_runs_when_it_is_committed_and_savepoints_go_back(self) -> None:
        seen = self.first.does(
            """
            result = []
            with transaction.atomic():
                transaction.on_commit(lambda: result.append(Account.objects.count()))
                Account.objects.create(name='b')
                try:
                    with transaction.atomic():
                        Account.objects.create(name='c')
                        Account.objects.create(name='a')
                except Exception as error:
                    result.append(type(error).__name__)
            """
        )
        self.assertEqual(seen, ["IntegrityError", 2])

    def test_a_write_beside_an_iterator_meets_no_conflict(self) -> None:
        self.first.does("Account.objects.bulk_create(Account(name=str(i)) for i in range(200))")
        self.first.does("rows = Account.objects.iterator(chunk_size=2); row = next(rows)")
        self.second.does(DEPOSIT)
        self.first.does("row.balance = 5; row.save(); result = len(list(rows))")

    def test_without_an_applier_who_writes_leads(self) -> None:
        appliers.stop(self.store)
        assisted = self.player(assist=True)
        assisted.does("result = Client().post('/deposit').status_code")
        self.assertEqual(self.balance(), 1)
        status = subprocess.run(
            [_command.path(), "status", self.store, "--json"], capture_output=True, text=True
        )
        self.assertEqual(json.loads(status.stdout)["applier"]["state"], "released")


class TestStoreTests(DirectoryCase):
    """`manage.py test` on stores."""

    SETTINGS = """
        import pathlib
        SECRET_KEY = "for tests alone"
        INSTALLED_APPS = ["django_site"]
        DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
        DATABASES = {{"default": {{
            "ENGINE": "sluice.django", "NAME": {store!r},
            "TEST": {{"NAME": {test!r} and pathlib.Path({test!r})}},
        }}}}
    """
    CASES = """
        import os
        from django.db import connection
        from django.test import TestCase
        from django_site.models import Account

        class {name}(TestCase):
            @classmethod
            def setUpTestData(cls):
                Account.objects.create(name="a")

            def test_it_has_its_own(self):
                Account.objects.create(name="b")
                self.assertEqual(Account.objects.count(), 2)
                with open({log!r}, "a") as log:
                    print(connection.settings_dict["NAME"], file=log)

            def test_nothing_is_left_of_the_other(self):
                self.assertEqual(Account.objects.count(), 1)
    """

    def run_tests(self, *arguments: str, test: "str | None") -> "set[str]":
        """The databases in which the tests ran."""
        log = self.directory / "log"
        log.write_text("")
        for name in ["One", "Two"]:
            (self.directory / f"test_{name.lower()}.py").write_text(
                textwrap.dedent(self.CASES.format(name=name, log=str(log)))
            )
        done = self.python(
            "-m", "django", "test", "--noinput", *arguments,
            settings=self.SETTINGS.format(store=self.store, test=test),
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return set(log.read_text().split("\n")) - {""}

    def test_they_are_in_memory_unless_a_store_is_named(self) -> None:
        (name,) = self.run_tests(test=None)
        self.assertIn("mode=memory", name)

    def test_a_store_is_made_and_removed(self) -> None:
        test = str(self.directory / "test-store")
        self.assertEqual(self.run_tests(test=test), {test})
        self.assertFalse(os.path.exists(test))

    def test_one_is_kept_and_used_again(self) -> None:
        test = str(self.directory / "test-store")
        for _ in range(2):
            self.assertEqual(self.run_tests("--keepdb", test=test), {test})
            self.assertTrue(os.path.exists(test))

    def test_its_applier_stays_where_it_is_not_removed(self) -> None:
        # Django's own tests of its creation do this in mid-run, and with --keepdb it is so, too.
        test = str(self.directory / "test-store")
        done = self.python(
            "-c",
            textwrap.dedent("""
                import django
                django.setup()
                from unittest import mock
                from django.db import connection
                from django_site.models import Account
                name = connection.settings_dict["NAME"]
                connection.creation.create_test_db(verbosity=0)
                test = connection.settings_dict["NAME"]
                with mock.patch.object(connection.creation, "_destroy_test_db"):
                    connection.creation.destroy_test_db(name, verbosity=0)
                connection.settings_dict.update(NAME=test, OPTIONS={"timeout": 5})
                Account.objects.create(name="written")
                connection.creation.destroy_test_db(name, verbosity=0)
            """),
            settings=self.SETTINGS.format(store=self.store, test=test),
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertFalse(os.path.exists(test))

    def test_workers_have_clones(self) -> None:
        test = str(self.directory / "test-store")
        self.assertEqual(
            self.run_tests("--parallel", "2", test=test), {f"{test}_1", f"{test}_2"}
        )
        self.assertEqual(list(self.directory.glob("test-store*")), [])


if __name__ == "__main__":
    unittest.main()

"""`sluice.django`, on a plain file in place of a store: all of it but the extension.

What only a store can show is in `test_django_store`, `test_django_commands` and `test_django_queue`.
"""

import os
import pathlib
import sqlite3
import sys
import tempfile
import threading
import unittest
from contextlib import contextmanager
from typing import Any, Callable, Iterator
from unittest import mock

import django
from django.conf import settings

_directory = tempfile.TemporaryDirectory()
FILE = os.path.join(_directory.name, "a site?#%.sqlite3")

settings.configure(
    DATABASES={
        "default": {"ENGINE": "django_file", "NAME": FILE, "OPTIONS": {"timeout": 5}},
        "memory": {
            "ENGINE": "sluice.django",
            "NAME": "file:memorydb_memory?mode=memory&cache=shared",
        },
        "options": {
            "ENGINE": "django_file",
            "NAME": pathlib.Path(FILE),
            "OPTIONS": {
                "transaction_mode": "deferred",
                "init_command": "PRAGMA cache_size=-77; ;PRAGMA temp_store=2",
                "init_commands": "never run",
            },
        },
    },
    INSTALLED_APPS=["django_site"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    ROOT_URLCONF="django_site.urls",
    ALLOWED_HOSTS=["*"],
    SECRET_KEY="for tests alone",
    USE_TZ=True,
)
django.setup()

import sluice.django
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.db import OperationalError, connection, connections, transaction
from django.db.utils import InterfaceError
from django.test import Client
from django.core.checks import CheckMessage
from sluice.django import OutcomeUnknown, TransactionConflict, appliers, asking, assist, checks, statement

from django_site.models import Account, Entry


def setUpModule() -> None:
    call_command("migrate", verbosity=0)
    # In this mode SQLite itself answers SQLITE_BUSY_SNAPSHOT, as a store does.
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode=WAL")


def tearDownModule() -> None:
    connections.close_all()
    _directory.cleanup()


class SiteCase(unittest.TestCase):
    def setUp(self) -> None:
        Account.objects.all().delete()
        self.account = Account.objects.create(name="a", notes={"tags": ["x"]})
        self.addCleanup(connections.close_all)

    @contextmanager
    def statements(self, alias: str = "default") -> Iterator["list[str]"]:
        """What SQLite executes meanwhile."""
        seen: "list[str]" = []
        connections[alias].ensure_connection()
        connections[alias].connection.set_trace_callback(seen.append)
        try:
            yield seen
        finally:
            if connections[alias].connection is not None:
                connections[alias].connection.set_trace_callback(None)

    @staticmethod
    def elsewhere(sql: str) -> None:
        """Somebody else commits."""
        other = sqlite3.connect(FILE)
        other.execute(sql)
        other.commit()
        other.close()


class BeginningTests(SiteCase):
    def begins(self, body: Callable[[], object], alias: str = "default") -> "list[str]":
        with self.statements(alias) as seen:
            body()
        return [sql for sql in seen if sql.startswith(("BEGIN", "SAVEPOINT"))]

    def test_an_atomic_block_takes_the_turn_and_one_within_it_is_a_savepoint(self) -> None:
        def body() -> None:
            with transaction.atomic():
                with transaction.atomic():
                    pass

        begun = self.begins(body)
        self.assertEqual(begun[0], "BEGIN IMMEDIATE")
        self.assertEqual(len(begun), 2)
        self.assertTrue(begun[1].startswith("SAVEPOINT"))

    def test_a_statement_alone_has_no_begin(self) -> None:
        self.assertEqual(self.begins(lambda: Account.objects.update(balance=1)), [])

    def test_without_autocommit_too_a_write_takes_the_turn_first(self) -> None:
        def body() -> None:
            transaction.set_autocommit(False)
            try:
                Account.objects.update(balance=1)
                transaction.rollback()
            finally:
                transaction.set_autocommit(True)

        self.assertEqual(self.begins(body), ["BEGIN IMMEDIATE"])

    def test_the_mode_can_be_chosen_for_a_database_and_for_a_block(self) -> None:
        def plain() -> None:
            with transaction.atomic("options"):
                pass

        def chosen() -> None:
            with sluice.django.immediate("options"):
                pass

        @sluice.django.snapshot("default")
        def reads() -> None:
            pass

        self.assertEqual(self.begins(plain, "options"), ["BEGIN DEFERRED"])
        self.assertEqual(self.begins(chosen, "options"), ["BEGIN IMMEDIATE"])
        self.assertEqual(self.begins(reads), ["BEGIN DEFERRED"])
        # The choice was for that block.
        self.assertEqual(self.begins(plain, "options"), ["BEGIN DEFERRED"])

    def test_in_memory_all_is_as_djangos_own(self) -> None:
        def body() -> None:
            with transaction.atomic("memory"), sluice.django.snapshot("memory"):
                pass
            with sluice.django.immediate("memory"):
                pass

        begun = self.begins(body, "memory")
        self.assertEqual([begun[0], begun[-1]], ["BEGIN", "BEGIN"])

    def test_a_mode_that_is_none_is_refused(self) -> None:
        from django.core.exceptions import ImproperlyConfigured

        with mock.patch.dict(connections["options"].settings_dict["OPTIONS"], transaction_mode="x"):
            with self.assertRaisesRegex(ImproperlyConfigured, "IMMEDIATE"):
                connections["options"].get_connection_params()

    def test_commands_of_options_are_run(self) -> None:
        with connections["options"].cursor() as cursor:
            self.assertEqual(cursor.execute("PRAGMA cache_size").fetchone(), (-77,))
            self.assertEqual(cursor.execute("PRAGMA temp_store").fetchone(), (2,))

    def test_asking_for_json_takes_no_turn(self) -> None:
        connection.features.__dict__.pop("supports_json_field", None)
        self.assertEqual(self.begins(lambda: connection.features.supports_json_field), [])
        self.assertTrue(connection.features.supports_json_field)


class RequestTests(SiteCase):
    """Under ATOMIC_REQUESTS, which the tests turn on for the default database."""

    def setUp(self) -> None:
        super().setUp()
        patch = mock.patch.dict(connections["default"].settings_dict, ATOMIC_REQUESTS=True)
        patch.start()
        self.addCleanup(patch.stop)

    def request(self, method: str, url: str) -> "tuple[str, list[str]]":
        with self.statements() as seen:
            # Else Django closes the connection behind the request.
            with mock.patch.object(connections["default"], "close_if_unusable_or_obsolete"):
                answer = getattr(Client(), method)(url)
        return answer.content.decode(), [sql for sql in seen if sql.startswith("BEGIN")]

    def test_a_request_that_reads_takes_no_turn(self) -> None:
        self.assertEqual(self.request("get", "/balance"), ("0", ["BEGIN DEFERRED"]))
        self.assertEqual(self.request("head", "/balance")[1], ["BEGIN DEFERRED"])
        self.assertEqual(self.request("options", "/balance")[1], ["BEGIN DEFERRED"])

    def test_any_other_takes_it_as_it_begins(self) -> None:
        for method in ["post", "put", "patch", "delete"]:
            self.assertEqual(self.request(method, "/deposit")[1], ["BEGIN IMMEDIATE"])

    def test_what_comes_after_the_request_takes_it_again(self) -> None:
        self.request("get", "/balance")
        with self.statements() as seen:
            with transaction.atomic():
                pass
        self.assertEqual(seen[0], "BEGIN IMMEDIATE")

    def test_a_get_that_writes_says_so(self) -> None:
        self.assertEqual(self.request("get", "/deposit-by-get"), ("1", ["BEGIN IMMEDIATE"]))
        with self.assertRaisesRegex(
            transaction.TransactionManagementError, "non_atomic_requests"
        ):
            self.request("get", "/nested")

    def test_a_get_that_writes_all_the_same_is_never_wrong(self) -> None:
        self.assertEqual(self.request("get", "/deposit")[0], "1")

        def meanwhile(execute: Any, sql: str, *rest: Any) -> Any:
            if sql.startswith("UPDATE"):
                self.elsewhere("UPDATE django_site_account SET balance = 100")
            return execute(sql, *rest)

        with connection.execute_wrapper(meanwhile):
            with self.assertRaises(TransactionConflict):
                self.request("get", "/deposit")
        self.account.refresh_from_db()
        self.assertEqual(self.account.balance, 100)

    def begin(self) -> str:
        """How a block begins now."""
        with self.statements() as seen, transaction.atomic():
            pass
        return seen[0]

    def test_threads_have_requests_of_their_own(self) -> None:
        thread = threading.Thread(
            target=request_started.send, args=[None], kwargs={"environ": {"REQUEST_METHOD": "GET"}}
        )
        thread.start()
        thread.join()
        self.assertEqual(self.begin(), "BEGIN IMMEDIATE")

    def test_the_requests_block_is_its_first(self) -> None:
        with mock.patch.object(connections["default"], "close_if_unusable_or_obsolete"):
            # As ASGI tells it.
            request_started.send(None, scope={"method": "GET"})
            self.assertEqual(self.begin(), "BEGIN DEFERRED")
            self.assertEqual(self.begin(), "BEGIN IMMEDIATE")
            # One that has opened none leaves nothing to what comes after it.
            request_started.send(None, environ={"REQUEST_METHOD": "HEAD"})
            request_finished.send(None)
            self.assertEqual(self.begin(), "BEGIN IMMEDIATE")


class ConflictTests(SiteCase):
    def read_then_write(self, hook: Callable[[], object]) -> None:
        """Somebody else commits between the two."""
        with sluice.django.snapshot():
            transaction.on_commit(hook)
            account = Account.objects.get(name="a")
            self.elsewhere("UPDATE django_site_account SET balance = balance + 10")
            account.balance += 1
            account.save()

    def test_a_conflict_is_told_from_other_errors_and_leaves_a_usable_connection(self) -> None:
        done: "list[str]" = []
        with self.assertRaises(TransactionConflict) as conflict:
            self.read_then_write(lambda: done.append("hook"))
        self.assertIsInstance(conflict.exception, OperationalError)
        self.assertIsInstance(conflict.exception.__cause__, sqlite3.OperationalError)
        self.assertEqual(done, [])
        self.assertFalse(connection.in_atomic_block)
        self.account.refresh_from_db()
        self.assertEqual(self.account.balance, 10)
        Account.objects.update(balance=1)

    def test_retry_runs_the_whole_transaction_again(self) -> None:
        ran: "list[int]" = []
        hooks: "list[int]" = []

        @sluice.django.retry
        def deposit(amount: int) -> int:
            account = Account.objects.get(name="a")
            ran.append(account.balance)
            transaction.on_commit(lambda: hooks.append(account.balance))
            account.balance += amount
            account.save()
            if len(ran) < 3:
                raise TransactionConflict("planted")
            return account.balance

        self.assertEqual(deposit(5), 5)
        self.assertEqual((ran, hooks), ([0, 0, 0], [5]))
        self.assertEqual(deposit.__name__, "deposit")

    def test_retry_gives_up_with_the_last_conflict_and_with_any_other_error_at_once(self) -> None:
        ran: "list[int]" = []

        @sluice.django.retry(attempts=3)
        def never() -> None:
            ran.append(1)
            raise TransactionConflict("planted")

        @sluice.django.retry(attempts=3)
        def unknown() -> None:
            ran.append(2)
            raise OutcomeUnknown("planted")

        with self.assertRaises(TransactionConflict):
            never()
        with self.assertRaises(OutcomeUnknown):
            unknown()
        self.assertEqual(ran, [1, 1, 1, 2])
        with self.assertRaises(ValueError):
            sluice.django.retry(attempts=0)(never)

    def test_retry_is_the_outermost_block_or_nothing(self) -> None:
        with self.assertRaises(RuntimeError), transaction.atomic():
            sluice.django.retry(lambda: None)()

    def test_an_unknown_outcome_is_told_apart(self) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        # Before Python 3.11 the module tells no code, so each is taken for one.
        with self.assertRaises(OutcomeUnknown):
            with connection.wrap_database_errors:
                raise error
        if sys.version_info < (3, 11):
            self.skipTest("sqlite3 tells no codes before Python 3.11")
        error.sqlite_errorcode = 1034
        with self.assertRaises(OutcomeUnknown):
            with connection.wrap_database_errors:
                raise error
        error.sqlite_errorcode = 10
        with self.assertRaises(OperationalError) as other:
            with connection.wrap_database_errors:
                raise error
        self.assertNotIsInstance(other.exception, OutcomeUnknown)

    def test_the_extensions_own_sentence_is_in_the_message(self) -> None:
        connection.ensure_connection()
        answer = [("the store is full of eels",)]
        with mock.patch.object(asking, "rows", return_value=answer):
            with self.assertRaisesRegex(OperationalError, "^database or disk is full: the store is full"):
                with connection.wrap_database_errors:
                    raise sqlite3.OperationalError("database or disk is full")
            with self.assertRaisesRegex(OutcomeUnknown, "committed.*: the store is full"):
                with connection.wrap_database_errors:
                    raise sqlite3.OperationalError("disk I/O error")
            with self.assertRaisesRegex(OperationalError, "^no such table: t$"):
                with connection.wrap_database_errors:
                    raise sqlite3.OperationalError("no such table: t")

    def test_a_write_within_iterator_meets_no_conflict(self) -> None:
        Account.objects.bulk_create(Account(name=str(i)) for i in range(300))
        for account in Account.objects.iterator(chunk_size=10):
            if account.name == "7":
                self.elsewhere("UPDATE django_site_account SET balance = 1 WHERE name = '8'")
            Account.objects.filter(pk=account.pk).update(balance=2)
        self.assertEqual(Account.objects.filter(balance=2).count(), 301)


class SiteTests(SiteCase):
    def test_models_are_written_and_read(self) -> None:
        with transaction.atomic():
            Entry.objects.create(account=self.account, amount=3)
            try:
                with transaction.atomic():
                    Account.objects.create(name="a")
            except django.db.IntegrityError:
                pass
            locked = Account.objects.select_for_update().get(name="a")
            locked.balance += 3
            locked.save()
        self.assertEqual(Entry.objects.get().account.notes, {"tags": ["x"]})
        self.assertTrue(Account.objects.filter(notes__tags__0="x").exists())

    def test_data_is_dumped_and_loaded(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            fixture = os.path.join(directory, "site.json")
            call_command("dumpdata", "django_site", output=fixture, verbosity=0)
            Account.objects.all().delete()
            call_command("loaddata", fixture, verbosity=0)
        self.assertEqual(Account.objects.get().notes, {"tags": ["x"]})

    def test_sluices_own_tables_are_nobodys_models(self) -> None:
        import io

        self.elsewhere("CREATE TABLE IF NOT EXISTS _sluice_meta(x)")
        out = io.StringIO()
        call_command("inspectdb", stdout=out)
        self.assertIn("django_site_account", out.getvalue())
        self.assertNotIn("sluice", out.getvalue())

    def test_dbshell_is_the_shell_of_the_store(self) -> None:
        from sluice.django.client import DatabaseClient

        arguments, _ = DatabaseClient.settings_to_cmd_args_env({"NAME": pathlib.Path("/s")}, ["-json"])
        self.assertEqual(arguments[1:], ["shell", "/s", "-json"])


class SignTests(SiteCase):
    """What a statement finds in SQLite's cache is no sign of life, so the cursor gives one."""

    def signs(self, body: Callable[[], object]) -> int:
        with self.statements() as seen:
            body()
        return seen.count("PRAGMA sluice_txid")

    def test_a_transaction_that_works_gives_signs(self) -> None:
        times = [0.0]

        def body() -> None:
            with transaction.atomic():
                for _ in range(20):
                    times[0] += 0.1
                    Account.objects.create(name=f"{times[0]}")

        with mock.patch("time.monotonic", lambda: times[0]):
            self.assertIn(self.signs(body), [3, 4])

    def test_outside_of_transactions_there_are_none(self) -> None:
        connection.ensure_connection()
        connection.seen_at_work = -100.0
        self.assertEqual(self.signs(lambda: Account.objects.update(balance=1)), 0)


class AssistTests(SiteCase):
    """`OPTIONS = {"assist": True}`, with what would start and end appliers replaced."""

    def setUp(self) -> None:
        super().setUp()
        connections.close_all()
        for patch in [
            mock.patch.dict(connection.settings_dict["OPTIONS"], assist=True),
            mock.patch.dict(connection.settings_dict, ATOMIC_REQUESTS=True),
        ]:
            patch.start()
            self.addCleanup(patch.stop)
        self.seen: "list[str]" = []
        for name in ["start", "stop_all"]:
            replaced = mock.patch.object(
                appliers, name, side_effect=lambda *_, name=name: self.seen.append(name)
            )
            replaced.start()
            self.addCleanup(replaced.stop)

    def test_a_request_that_writes_leads_until_it_ends(self) -> None:
        connection.ensure_connection()
        Client().post("/deposit")
        self.assertEqual(self.seen[0], "start")
        self.assertEqual(self.seen[-1], "stop_all")

    def test_one_that_reads_does_not(self) -> None:
        connection.ensure_connection()
        Client().get("/balance")
        self.assertNotIn("start", self.seen)

    def test_the_last_request_of_several_gives_the_lease_back(self) -> None:
        connection.ensure_connection()
        for _ in range(2):
            request_started.send(None, environ={"REQUEST_METHOD": "POST"})
        request_finished.send(None)
        self.assertEqual(self.seen, [])
        request_finished.send(None)
        self.assertEqual(self.seen, ["stop_all"])

    def test_a_request_that_begins_as_the_last_one_ends_has_an_applier(self) -> None:
        connection.ensure_connection()
        is_ending, is_started = threading.Event(), threading.Event()

        def start(_: str) -> None:
            self.seen.append("start")
            is_started.set()

        def stop_all() -> None:
            is_ending.set()
            # Long enough for the other to start one now, if it may.
            is_started.wait(0.5)
            self.seen.append("stop_all")

        with mock.patch.multiple(appliers, start=start, stop_all=stop_all):
            request_started.send(None, environ={"REQUEST_METHOD": "POST"})
            last = threading.Thread(target=request_finished.send, args=(None,))
            last.start()
            self.assertTrue(is_ending.wait(10))
            Client().post("/deposit")
            last.join()
        self.assertEqual(self.seen[:2], ["stop_all", "start"])

    def write_beside_a_request(self, ends: Callable[[], None]) -> None:
        """A thread writes while the last request ends, and then `ends` its transaction."""
        has_written, may_end = threading.Event(), threading.Event()

        def write() -> None:
            transaction.set_autocommit(False)
            Account.objects.update(balance=1)
            has_written.set()
            may_end.wait(10)
            ends()
            connections.close_all()

        connection.ensure_connection()
        request_started.send(None, environ={"REQUEST_METHOD": "GET"})
        thread = threading.Thread(target=write)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(may_end.set)
        self.assertTrue(has_written.wait(10))
        request_finished.send(None)
        self.assertEqual(self.seen, ["start"])
        may_end.set()
        thread.join()
        self.assertEqual(self.seen, ["start", "stop_all"])

    def test_an_open_write_transaction_beside_the_last_request_keeps_the_applier(self) -> None:
        self.write_beside_a_request(transaction.commit)
        self.assertEqual(Account.objects.get().balance, 1)

    def test_until_it_is_rolled_back(self) -> None:
        self.write_beside_a_request(transaction.rollback)

    def test_or_its_connection_is_closed(self) -> None:
        self.write_beside_a_request(lambda: None)

    def test_who_writes_outside_of_requests_keeps_the_applier(self) -> None:
        Account.objects.update(balance=1)
        with transaction.atomic():
            Account.objects.update(balance=2)
        self.assertNotIn("stop_all", self.seen)

    def test_a_child_has_no_request_of_its_parents(self) -> None:
        connection.ensure_connection()
        request_started.send(None, environ={"REQUEST_METHOD": "POST"})
        self.addCleanup(request_finished.send, None)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                request_started.send(None, environ={"REQUEST_METHOD": "POST"})
                request_finished.send(None)
                code = 0 if self.seen == ["stop_all"] else 2
            finally:
                os._exit(code)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)

    def test_which_statements_may_take_the_turn(self) -> None:
        for sql in ["BEGIN IMMEDIATE", "begin exclusive", "INSERT INTO t", "WITH x AS (SELECT 1)",
                    "-- SELECT\nDELETE FROM t", "CREATE TABLE t(v)", "replace into t"]:
            self.assertTrue(assist.may_take_turn(sql), sql)
        for sql in ["BEGIN", "BEGIN DEFERRED", " select 1", "PRAGMA foreign_keys", "SAVEPOINT s", ""]:
            self.assertFalse(assist.may_take_turn(sql), sql)


class ForkTests(SiteCase):
    def in_child(self, body: Callable[[], object]) -> int:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                body()
                code = 0
            finally:
                os._exit(code)
        return os.WEXITSTATUS(os.waitpid(child, 0)[1])

    def test_a_child_opens_a_connection_of_its_own(self) -> None:
        parents = connection.connection
        self.assertIsNotNone(parents)

        def child() -> None:
            Account.objects.update(balance=7)
            assert connection.connection is not parents

        self.assertEqual(self.in_child(child), 0)
        self.assertIs(connection.connection, parents)
        self.account.refresh_from_db()
        self.assertEqual(self.account.balance, 7)

    def test_a_child_without_autocommit_opens_its_own_too(self) -> None:
        parents = connection.connection

        def child() -> None:
            transaction.set_autocommit(False)
            Account.objects.update(balance=7)
            assert connection.connection is not parents
            transaction.commit()

        self.assertEqual(self.in_child(child), 0)
        self.account.refresh_from_db()
        self.assertEqual(self.account.balance, 7)

    def test_opening_can_be_watched_as_djangos_own_tests_do(self) -> None:
        real = connection.ensure_connection
        base = "django.db.backends.base.base.BaseDatabaseWrapper.ensure_connection"
        connection.close()
        with mock.patch(base, side_effect=real) as opened:
            Account.objects.count()
        self.assertTrue(opened.called)

    def test_a_child_that_closes_leaves_its_parents_connection_alone(self) -> None:
        closed = mock.Mock()

        def child() -> None:
            real = connection.connection
            connection.connection = mock.Mock(wraps=real)
            connection.connection.close = closed
            connection.close()
            assert not closed.called
            Account.objects.count()

        Account.objects.count()
        self.assertEqual(self.in_child(child), 0)

    def test_a_child_of_an_open_transaction_is_refused_it(self) -> None:
        def child() -> None:
            try:
                Account.objects.count()
            except InterfaceError:
                return
            raise AssertionError("it ran outside of the transaction")

        with transaction.atomic():
            Account.objects.update(balance=1)
            self.assertEqual(self.in_child(child), 0)


class CheckTests(unittest.TestCase):
    """What settings are answered with."""

    def check(self, named: dict[str, Any], **database: Any) -> dict[str, CheckMessage]:
        values = {"ENGINE": "sluice.django", "NAME": "/nowhere", "OPTIONS": {}, **database}
        with mock.patch.dict(connections.settings, {"default": values}, clear=True):
            with mock.patch.multiple(settings, create=True, **named) if named else mock.MagicMock():
                return {str(message.id): message for message in checks.check_settings()}

    def store(self, lease: str) -> str:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = pathlib.Path(directory.name)
        (path / "store.json").write_text('{"sluice": 1, "lease": "%s"}' % lease)
        return str(path)

    def test_engine_and_name_are_enough(self) -> None:
        self.assertEqual(self.check({}, NAME=self.store("file")), {})

    def test_another_backends_settings_are_its_own_business(self) -> None:
        named = {"SQLITE_LOCK_EXPIRATION": 30}
        self.assertEqual(self.check(named, ENGINE="django_sqlite_efs"), {})

    def test_a_file_is_no_store(self) -> None:
        found = self.check({}, NAME=FILE)["sluice.E001"]
        self.assertIn("python -m sluice.django move", found.msg)

    def test_the_lock_table_is_understood_where_it_is_the_leases(self) -> None:
        named = {"SQLITE_LOCK_DYNAMODB_TABLE": "locks"}
        self.assertEqual(self.check(named, NAME=self.store("dynamodb:locks")), {})
        found = self.check(named, NAME=self.store("file"))["sluice.W003"]
        self.assertIn("--lease dynamodb:locks", found.hint or "")

    def test_what_has_no_effect_is_said_with_what_to_write(self) -> None:
        named = {"SQLITE_LOCK_EXPIRATION": 30, "SQLITE_LOCK_MAX_ATTEMPTS": 10}
        found = self.check(
            named, OPTIONS={"init_commands": "", "transaction_mode": "deferred", "timeout": 3}
        )
        self.assertEqual(
            sorted(found), ["sluice.W001", "sluice.W002", "sluice.W004", "sluice.W005"]
        )
        for message in found.values():
            self.assertTrue(message.hint)

    def test_the_environment_is_read_as_that_package_reads_it(self) -> None:
        with mock.patch.dict(os.environ, SQLITE_LOCK_EXPIRATION="30"):
            self.assertIn("sluice.W004", self.check({}))

    def test_manage_check_says_it(self) -> None:
        from django.core import checks as registry

        with mock.patch.dict(os.environ, SQLITE_LOCK_MAX_ATTEMPTS="3"):
            with mock.patch.dict(connections.settings["default"], ENGINE="sluice.django"):
                found = registry.run_checks()
        self.assertIn("sluice.W005", [message.id for message in found])


class StatementTests(unittest.TestCase):
    """Which statements may be executed elsewhere, by their text."""

    def test_those_that_do_the_same_anywhere(self) -> None:
        for query, returned in [
            ('INSERT INTO "t" ("a", "b") VALUES (%s, %s) RETURNING "t"."id"', "id"),
            ('INSERT INTO "t" ("id") VALUES (NULL)', None),
            (" update t SET (a, b) = (1, 2) WHERE a IN (1, 2) AND (b = 1 OR (b > -1));\n", None),
            ("INSERT INTO main.upper(a) VALUES (1) ON CONFLICT(a) DO UPDATE SET a = (1)", None),
            ("UPDATE t SET a = 'upper(x); -- it''s /* LIKE'", None),
            ('UPDATE "LIKE" SET "a->b" = [c;d], `-- e` = x\'00\'', None),
            ("DELETE FROM t WHERE EXISTS (SELECT 1 FROM u WHERE CAST(b AS TEXT) = 'x')", None),
        ]:
            with self.subTest(query):
                self.assertEqual(statement.parsed(query), statement.Statement(returned))

    def test_those_that_might_not(self) -> None:
        for query in (
            "SELECT 1",
            "WITH x(a) AS (SELECT 1) INSERT INTO t SELECT a FROM x",
            "DELETE FROM t; DELETE FROM u",
            # Calls.
            "UPDATE t SET a = upper(b)",
            'UPDATE t SET a = "upper" (b)',
            "UPDATE t SET a = [upper](b)",
            "UPDATE t SET a = `upper`(b)",
            "UPDATE t SET a = upper/**/(b)",
            "UPDATE t SET a = upper -- (\n(b)",
            "INSERT INTO t VALUES (last_insert_rowid())",
            "INSERT /* INTO */ INTO t VALUES (1)",
            "UPDATE t SET a = 'upper' (b)",
            "UPDATE t SET a = like(a, b)",
            "DELETE FROM t WHERE a LIKE 'x'",
            "DELETE FROM t WHERE a glob 'x'",
            "DELETE FROM t WHERE a REGEXP 'x'",
            "DELETE FROM t WHERE t MATCH 'x'",
            "UPDATE t SET a = a -> 'x'",
            "UPDATE t SET a = a->>'x'",
            "UPDATE t SET a = CURRENT_TIMESTAMP",
            "INSERT INTO t SELECT foreign_keys FROM pragma_foreign_keys",
            'INSERT INTO t SELECT foreign_keys FROM "pragma_foreign_keys"',
            # What stays of it where it fails.
            "INSERT OR FAIL INTO t VALUES (1)",
            "UPDATE OR ROLLBACK t SET a = 1",
            # Rows that only the connection can say what they are like.
            'INSERT INTO "t" ("a") VALUES (1) RETURNING "id"',
            'INSERT INTO "t" ("a") VALUES (1) RETURNING id',
            'INSERT INTO "t" ("a") VALUES (1) RETURNING "t"."id", "t"."a"',
            'INSERT INTO "t" ("a") VALUES (1) RETURNING "u"."id"',
            'INSERT INTO "t" ("a") VALUES (1) RETURNING "t"."id [date]"',
            'INSERT INTO "t" ("a") SELECT 1 RETURNING "t"."id"',
            'INSERT "t" VALUES RETURNING "t"."id"',
            'UPDATE "t" SET a = 1 RETURNING "t"."id"',
            # What SQLite takes for no text.
            "UPDATE t SET a = 'b",
            "UPDATE t SET a = 1\0",
        ):
            with self.subTest(query):
                self.assertIsNone(statement.parsed(query))


if __name__ == "__main__":
    unittest.main()

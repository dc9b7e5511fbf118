"""`sluice.django`: single statements through the store's queue."""

import json
import pathlib
import signal
import subprocess
import sys
import time
import unittest
from typing import Any

from sluice import _command
from sluice.django import appliers

from test_django_store import DEPOSIT, Player, SiteCase
from unreadable import unreadable

ADD = "from django.db.models import F; Account.objects.update(balance=F('balance') + 1)"


class QueueCase(SiteCase):
    """Of each statement it can be said which way it went."""

    def last(self) -> "dict[str, Any]":
        """The history's last batch."""
        said = subprocess.run(
            [_command.path(), "log", self.store, "--json"], check=True, capture_output=True, text=True
        )
        entry: "dict[str, Any]" = json.loads(said.stdout.splitlines()[-1])
        return entry

    def went_by_turn(self, code: str, player: "Player | None" = None) -> bool:
        before = self.last()["txid"]
        (player or self.first).does(code)
        last = self.last()
        self.assertGreater(last["txid"], before)
        return bool(last.get("kind") == "transaction")


class QueueTests(QueueCase):
    """A statement by itself goes through the queue, and is what it would be on a file."""

    def test_it_returns_what_a_statement_returns(self) -> None:
        seen = self.first.does(
            """
            account = Account.objects.create(name='b \\u00fc 100%', notes={'x': [1, 2.5, None, "it's"]})
            found = Account.objects.get(pk=account.pk)
            result = [found.name, found.notes, Account.objects.filter(name='none').update(balance=1)]
            result.append(Account.objects.filter(balance=0).update(balance=7))
            cursor = connection.cursor()
            cursor.execute("DELETE FROM django_site_entry")
            result += [cursor.rowcount, cursor.description, cursor.fetchone()]
            """
        )
        self.assertEqual(
            seen, ["b \u00fc 100%", {"x": [1, 2.5, None, "it's"]}, 0, 2, 0, None, None]
        )
        self.assertFalse(self.went_by_turn("Account.objects.create(name='c', notes={'x': 1})"))

    def test_keys_are_returned_as_the_orm_asks_for_them(self) -> None:
        insert = (
            'INSERT OR IGNORE INTO "django_site_account" ("name", "balance", "notes") '
            "VALUES (%s, 0, '{}'), (%s, 0, '{}') RETURNING \"django_site_account\".\"id\""
        )
        self.first.does("cursor = connection.cursor()")
        self.assertFalse(self.went_by_turn(f"cursor.execute('''{insert}''', ['r', 's'])"))
        seen = self.first.does(
            """
            keys = [[account.pk] for account in Account.objects.order_by('pk')][-2:]
            result = [cursor.description[0][0], len(cursor.description), cursor.rowcount]
            result.append(cursor.lastrowid == keys[1][0])
            result += [list(map(list, rows)) == keys for rows in [cursor.fetchall()]]
            """
        )
        self.assertEqual(seen, ["id", 1, 2, True, True])
        seen = self.first.does(
            f"cursor.execute('''{insert}''', ['r', 's'])\n"
            "result = [cursor.description[0][0], cursor.fetchall(), cursor.rowcount]"
        )
        self.assertEqual(seen, ["id", [], 0])

    def test_other_rows_are_returned_by_the_connection_itself(self) -> None:
        self.first.does("cursor = connection.cursor()")
        for sql, names in [
            ("UPDATE django_site_account SET balance = 1 RETURNING *", ["id", "name", "balance", "notes"]),
            ("UPDATE django_site_account SET balance = 2 RETURNING balance + 1 AS more", ["more"]),
            ('UPDATE django_site_account SET balance = 3 RETURNING "django_site_account"."id"', ["id"]),
            ("INSERT INTO django_site_entry(account_id, amount) SELECT id, 1 FROM django_site_account "
             "RETURNING amount", ["amount"]),
        ]:
            with self.subTest(sql):
                code = f"cursor.execute({sql!r}); description = cursor.description; rows = cursor.fetchall()"
                self.assertTrue(self.went_by_turn(code))
                seen = self.first.does("result = [len(rows), [column[0] for column in description]]")
                self.assertEqual(seen, [1, names])

    def test_what_a_program_has_its_rows_made_of_changes_nothing(self) -> None:
        self.first.does(
            """
            connection.cursor().execute('CREATE TABLE tag("name" TEXT PRIMARY KEY)')
            connection.connection.row_factory = lambda cursor, row: {
                column[0]: value for column, value in zip(cursor.description, row)
            }
            cursor = connection.cursor()
            """
        )
        # `[date]` in a column's name is a converter's for the module `sqlite3`.
        insert = 'INSERT INTO "tag" ("name") VALUES (\'a [date] b\') RETURNING "tag"."name"'
        self.assertFalse(self.went_by_turn(f"cursor.execute('''{insert}''')"))
        self.assertEqual(self.first.does("result = cursor.fetchall()"), [{"name": "a [date] b"}])
        self.assertFalse(self.went_by_turn("cursor.execute('DELETE FROM tag')"))
        # The extension's reason, too, is asked for by a query.
        self.first.does("connection.connection.execute('PRAGMA query_only = ON')")
        refused = self.first.tries("cursor.execute('DELETE FROM tag')")
        self.assertEqual(refused["error"], "OperationalError")

    def test_the_last_rowid_is_known_to_sql_and_to_cursors(self) -> None:
        seen = self.first.does(
            """
            one = Account.objects.create(name='one')
            cursor = connection.cursor()
            cursor.execute('SELECT last_insert_rowid()')
            result = [cursor.fetchone()[0] == one.pk]
            cursor.execute('INSERT INTO django_site_entry(account_id, amount) VALUES (last_insert_rowid(), 5)')
            result.append(Entry.objects.get(amount=5).account_id == one.pk)
            two = Account.objects.create(name='two')
            other = connection.cursor()
            other.execute('UPDATE django_site_account SET balance = 3')
            result += [other.lastrowid == two.pk, other.rowcount]
            """
        )
        self.assertEqual(seen, [True, True, True, 3])

    def test_a_constraint_is_told_as_ever_and_bothers_nobody_else(self) -> None:
        refused = self.first.tries("Account.objects.create(name='a')")
        self.assertEqual(refused["error"], "IntegrityError")
        self.assertEqual(refused["message"], "UNIQUE constraint failed: django_site_account.name")
        code = self.first.does(
            """
            from django.db import IntegrityError
            try:
                Entry.objects.create(account_id=99, amount=1)
            except IntegrityError as error:
                result = [str(error), getattr(error.__cause__, "sqlite_errorname", None)]
            """
        )
        known = "SQLITE_CONSTRAINT_FOREIGNKEY" if sys.version_info >= (3, 11) else None
        self.assertEqual(code, ["FOREIGN KEY constraint failed", known])
        listed = subprocess.run(
            [_command.path(), "rejected", self.store], check=True, capture_output=True, text=True
        )
        self.assertEqual(listed.stdout, "")

    def test_what_is_to_stay_of_a_statement_that_fails_stays(self) -> None:
        self.first.does(
            "cursor = connection.cursor()\n"
            "cursor.execute('CREATE TABLE f(a UNIQUE ON CONFLICT FAIL, b UNIQUE)')"
        )
        for column, first in [("a", 1), ("b", 11)]:
            values = f"({first}), ({first + 1}), ({first}), ({first + 3})"
            how = "" if column == "a" else "OR FAIL "
            refused = self.first.tries(f"cursor.execute('INSERT {how}INTO f({column}) VALUES {values}')")
            self.assertEqual(refused["message"], f"UNIQUE constraint failed: f.{column}")
            seen = self.second.does(
                "cursor = connection.cursor()\n"
                f"cursor.execute('SELECT count({column}) FROM f')\n"
                "result = cursor.fetchone()[0]"
            )
            self.assertEqual(seen, 2)

    def test_values_are_adapted_as_the_module_does(self) -> None:
        seen = self.first.does(
            """
            import sqlite3
            class Sequence(list):
                def __bool__(self): raise ValueError("ambiguous")
            sqlite3.register_adapter(bool, lambda value: "yes" if value else "no")
            sqlite3.register_adapter(bytes, lambda value: "bytes")
            cursor = connection.cursor()
            cursor.execute('CREATE TABLE v(a, b, c)')
            cursor.execute('INSERT INTO v VALUES (%s, %s, %s)', Sequence([True, b'x', 2]))
            cursor.execute('SELECT * FROM v')
            result = cursor.fetchall()
            """
        )
        self.assertEqual(seen, [["yes", "bytes", 2]])

    def test_a_cursor_keeps_to_its_connection(self) -> None:
        self.first.does(
            """
            kept = connection.cursor()
            old, connection.connection = connection.connection, None
            connection.ensure_connection()
            kept.execute('BEGIN IMMEDIATE')
            kept.execute('UPDATE django_site_account SET balance = 99')
            kept.execute('ROLLBACK')
            old.close()
            """
        )
        self.assertEqual(self.balance(), 0)

    def test_a_cursor_that_is_closed_does_nothing(self) -> None:
        refused = self.first.tries(
            "cursor = connection.cursor(); cursor.close()\n"
            "cursor.execute('UPDATE django_site_account SET balance = 1')"
        )
        self.assertEqual(refused["error"], "ProgrammingError")
        self.assertEqual(self.balance(), 0)

    def test_statements_of_many_share_commits(self) -> None:
        players = [self.player() for _ in range(4)]
        for player in players:
            player.begin(
                "account = Account.objects.get(name='a')\n"
                "for _ in range(25): Entry.objects.create(account=account, amount=1)"
            )
        for player in players:
            answer = player.end()
            self.assertNotIn("error", answer, answer.get("trace"))
        self.assertEqual(self.first.does("result = Entry.objects.count()"), 100)
        self.assertEqual(self.last().get("statements", [[""]])[0][0][:6], "INSERT")


class TurnInsteadTests(QueueCase):
    """What the applier might do otherwise goes by the turn."""

    def test_statements_values_and_states(self) -> None:
        self.first.does("from django.db.models.functions import Upper; cursor = connection.cursor()")
        self.assertFalse(self.went_by_turn("Account.objects.update(balance=0)"))
        for code in (
            "Account.objects.update(name=Upper('name'))",
            "Account.objects.update(notes={'x': 'y' * 20_000})",
            "cursor.execute('UPDATE django_site_account SET balance = :n', {'n': 3})",
            "cursor.execute('UPDATE django_site_account SET balance = %s', [float('inf')])",
            "with connection.constraint_checks_disabled(): Account.objects.update(balance=1)",
            # Its rows are not fetched, so the connection's state is pinned.
            "cursor.execute('SELECT * FROM django_site_account, django_site_account AS b, "
            "django_site_account AS c'); Account.objects.update(balance=2)",
            "cursor.fetchall(); cursor.execute('CREATE TEMP TABLE django_site_entry(amount)');"
            "Account.objects.update(balance=4)",
        ):
            self.assertTrue(self.went_by_turn(code), code)
        self.first.does("cursor.execute('INSERT INTO django_site_entry VALUES (5)')")
        self.assertEqual(self.second.does("result = Entry.objects.count()"), 0)
        # Who gives up after half a second wants to know that nothing was done.
        for player in [self.player(queue=False), self.player(timeout=0.9)]:
            self.assertTrue(self.went_by_turn(ADD, player))

    def test_settings_count_however_they_were_made(self) -> None:
        for setting in (
            "connection.cursor().execute('PRAGMA recursive_triggers = ON')",
            "connection.cursor().execute('/* so */ PRAGMA recursive_triggers = ON')",
            "connection.connection.execute('PRAGMA reverse_unordered_selects = ON')",
            "connection.connection.executescript('; PRAGMA ignore_check_constraints = ON;')",
            "connection.connection.execute('PRAGMA case_sensitive_like = ON')",
        ):
            with self.subTest(setting):
                player = self.player()
                player.does(f"connection.ensure_connection(); {setting}")
                self.assertTrue(self.went_by_turn(ADD, player))
        on = self.player(init_command="PRAGMA recursive_triggers = ON")
        self.assertTrue(self.went_by_turn(ADD, on))
        on.does("connection.connection.execute('PRAGMA recursive_triggers = OFF')")
        self.assertFalse(self.went_by_turn(ADD, on))

    def test_who_may_only_query_writes_nothing(self) -> None:
        self.first.does("connection.cursor().execute('PRAGMA query_only = ON')")
        refused = self.first.tries("Account.objects.create(name='no')")
        self.assertEqual(refused["error"], "OperationalError")
        self.assertIn("attempt to write a readonly database", refused["message"])
        self.assertEqual(self.second.does("result = Account.objects.count()"), 1)

    def test_functions_of_the_connection_are_called(self) -> None:
        self.first.does(
            """
            connection.ensure_connection()
            # Quietly, so that a look at LIKE does not tell.
            connection.connection.create_function(
                'like', 2, lambda pattern, text: pattern == 'mine' or pattern.lower() == text.lower())
            connection.connection.create_function('upper', 1, lambda text: 'my ' + text)
            cursor = connection.cursor()
            """
        )
        for change, name in [
            ("name = 'x' WHERE name LIKE 'mine'", "x"),
            ("name = \"upper\"(name)", "my x"),
            ("name = [upper] (name)", "my my x"),
            ("name = upper/* ( */(name)", "my my my x"),
        ]:
            update = f"UPDATE django_site_account SET {change}"
            self.first.does(f"cursor.execute({update!r})")
            self.assertEqual(self.second.does("result = Account.objects.get().name"), name)


class StoppedApplierCase(QueueCase):
    """The applier is the test's own, so that it can be stopped in mid-work."""

    def setUp(self) -> None:
        super().setUp()
        appliers.stop(self.store)
        self.applier = subprocess.Popen(
            [_command.path(), "apply", self.store], stderr=subprocess.DEVNULL
        )
        self.addCleanup(self.applier.wait)
        self.addCleanup(self.applier.terminate)
        self.addCleanup(self.applier.send_signal, signal.SIGCONT)
        self.second.does(DEPOSIT)

    def journal(self) -> "list[bytes]":
        return [path.read_bytes() for path in pathlib.Path(self.store, "journal").glob("*.seg")]

    def begin_while_stopped(self, code: str) -> None:
        """Begins it, and returns when it is in the journal; nobody applies it."""
        self.first.does("Account.objects.count()")
        self.applier.send_signal(signal.SIGSTOP)
        before = self.journal()
        self.first.begin(code)
        deadline = time.monotonic() + 30
        while self.journal() == before:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)


class UnknownOutcomeTests(StoppedApplierCase):
    """A statement is done once, or not at all, whatever happens while it waits."""

    def test_a_look_that_fails_says_nothing_of_the_statement(self) -> None:
        self.begin_while_stopped(ADD)
        with unreadable(self.store):
            answer = self.first.end()
        self.assertEqual(answer.get("error"), "OutcomeUnknown", answer.get("trace"))
        self.applier.send_signal(signal.SIGCONT)
        self.second.does(DEPOSIT)
        self.assertEqual(self.balance(), 21)

    def test_a_statement_that_is_interrupted_is_not_executed_again(self) -> None:
        self.begin_while_stopped(
            # SQLite forgets it where nothing else is under way.
            "half = connection.cursor(); half.execute('VALUES (1), (2)'); half.fetchone()\n"
            "import threading\n"
            "threading.Timer(1, connection.connection.interrupt).start()\n" + ADD
        )
        # The wait goes on; SQLite notices afterwards.
        time.sleep(2)
        self.applier.send_signal(signal.SIGCONT)
        self.assertEqual(self.first.end().get("error"), "OutcomeUnknown")
        self.second.does(DEPOSIT)
        self.assertEqual(self.balance(), 21)


class NoApplierTests(QueueCase):
    def test_what_nobody_executed_in_time_is_not_executed_later(self) -> None:
        impatient = self.player(timeout=1)
        impatient.does("Account.objects.count()")
        appliers.stop(self.store)
        answer = impatient.tries("Account.objects.create(name='late')")
        self.assertEqual(answer.get("error"), "OutcomeUnknown")
        appliers.start(self.store)
        self.second.does(DEPOSIT)
        self.assertEqual(self.second.does("result = Account.objects.filter(name='late').count()"), 0)

    def test_who_assists_has_an_applier_for_single_statements_too(self) -> None:
        appliers.stop(self.store)
        assisted = self.player(assist=True)
        self.assertFalse(self.went_by_turn("Account.objects.create(name='b')", assisted))
        self.assertEqual(self.second.does("result = Account.objects.count()"), 2)


if __name__ == "__main__":
    unittest.main()

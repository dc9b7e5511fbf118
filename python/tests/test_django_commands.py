"""`sluice.django`: what `manage.py` does with a database, on a store, as on a file."""

import json
import subprocess
import textwrap
import unittest

from sluice import _command
from sluice.django import appliers, stores

from test_django_store import DirectoryCase

ENTRIES = "SELECT account_id, amount FROM django_site_entry ORDER BY id"


class CommandCase(DirectoryCase):
    """A project on a store with an applier, and one on a file, both migrated."""

    def setUp(self) -> None:
        super().setUp()
        stores.make(self.store)
        self.addCleanup(appliers.stop, self.store)
        appliers.start(self.store)
        for on_file in [False, True]:
            self.manage("migrate", "--verbosity=0", on_file=on_file)

    def manage(
        self, *arguments: str, on_file: bool = False, text: "str | None" = None, ends: int = 0
    ) -> "subprocess.CompletedProcess[str]":
        """`manage.py …`, with `text` as its input, which ends with this status."""
        name = str(self.directory / "site.sqlite3") if on_file else self.store
        settings = f"""
            SECRET_KEY = "for tests alone"
            INSTALLED_APPS = ["django_site"]
            DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
            DATABASES = {{"default": {{
                "ENGINE": {"django.db.backends.sqlite3" if on_file else "sluice.django"!r},
                "NAME": {name!r},
            }}}}
        """
        done = self.python("-m", "django", *arguments, settings=settings, text=text)
        self.assertEqual(done.returncode, ends, done.stderr)
        return done

    def both(self, *arguments: str, text: "str | None" = None, ends: int = 0) -> str:
        """What it prints on a store, which is what it prints on a file."""
        store, file = (
            self.manage(*arguments, on_file=on_file, text=text, ends=ends).stdout
            for on_file in [False, True]
        )
        self.assertEqual(store, file)
        return store

    def kinds(self) -> "list[object]":
        """Of all batches so far, in their order."""
        said = subprocess.run(
            [_command.path(), "log", self.store, "--json"], check=True, capture_output=True, text=True
        )
        return [json.loads(line).get("kind") for line in said.stdout.splitlines()]


class FixtureTests(CommandCase):
    def fixture(self, name: str, *objects: "dict[str, object]") -> str:
        path = self.directory / name
        path.write_text(json.dumps(objects))
        return str(path)

    def account(self, key: int, name: str) -> "dict[str, object]":
        fields = {"name": name, "balance": key, "notes": {"tags": [name, None, 1.5]}}
        return {"model": "django_site.account", "pk": key, "fields": fields}

    def entry(self, key: int, account: int) -> "dict[str, object]":
        return {
            "model": "django_site.entry", "pk": key, "fields": {"account": account, "amount": key}
        }

    def test_loaddata_is_one_transaction_and_what_it_loaded_is_dumped(self) -> None:
        # An entry comes before its account: what refers to what is looked at in the end.
        objects = [self.entry(1, 7), self.account(7, "a \u00fc ' 100%")]
        objects += [self.entry(key, 7) for key in range(2, 400)]
        path = self.fixture("site.json", *objects)
        before = len(self.kinds())
        self.assertIn("Installed 400 object(s) from 1 fixture(s)", self.both("loaddata", path))
        self.assertEqual(self.kinds()[before:], ["turn", "transaction"])
        dumped = json.loads(self.both("dumpdata", "django_site"))
        self.assertCountEqual(dumped, objects)
        self.assertEqual(len(self.content(self.store, ENTRIES)), 399)

    def test_loaddata_from_input(self) -> None:
        text = json.dumps([self.account(3, "c")])
        self.both("loaddata", "--format=json", "-", text=text)
        self.assertEqual(self.content(self.store, "SELECT id FROM django_site_account"), [(3,)])

    def test_of_a_fixture_that_refers_to_nothing_nothing_is_loaded(self) -> None:
        path = self.fixture("broken.json", self.account(1, "a"), self.entry(1, 99))
        before = len(self.kinds())
        for on_file in [False, True]:
            done = self.manage("loaddata", path, on_file=on_file, ends=1)
            self.assertIn("has an invalid foreign key: django_site_entry.account_id", done.stderr)
        self.assertNotIn("transaction", self.kinds()[before:])
        self.assertEqual(self.content(self.store, "SELECT * FROM django_site_account"), [])


class InspectTests(CommandCase):
    def test_inspectdb_is_that_of_a_file(self) -> None:
        sql = (
            "CREATE TABLE tool(code TEXT PRIMARY KEY NOT NULL, weight REAL DEFAULT 1.5, made DATE,"
            " entry_id INTEGER REFERENCES django_site_entry(id), UNIQUE (weight, made)); "
            "CREATE VIEW tools AS SELECT code FROM tool;"
        )
        self.both("dbshell", text=sql)
        models = self.both("inspectdb", "--include-views")
        for part in ["class DjangoSiteAccount", "notes = models.JSONField()", "class Tools("]:
            self.assertIn(part, models)
        self.assertIn("entry = models.ForeignKey(DjangoSiteEntry, models.DO_NOTHING", models)
        self.assertNotIn("sluice", models)
        self.both("inspectdb", "tool")


class ShellTests(CommandCase):
    def test_it_reads_its_input_and_writes_to_the_store(self) -> None:
        text = """
            INSERT INTO django_site_account VALUES (1, 'a', 5, '{}');
            BEGIN;
            UPDATE django_site_account SET balance = balance + 1;
            INSERT INTO django_site_entry(account_id, amount) VALUES (1, 6);
            COMMIT;
            BEGIN;
            DELETE FROM django_site_entry;
            ROLLBACK;
            SELECT name, balance FROM django_site_account;
        """
        self.assertEqual(self.both("dbshell", text=textwrap.dedent(text)), "a|6\n")
        self.assertEqual(self.content(self.store, ENTRIES), [(1, 6)])

    def test_what_is_behind_two_dashes_is_the_shells(self) -> None:
        self.both("dbshell", text="INSERT INTO django_site_account VALUES (1, 'a', 5, '{}');")
        query = "SELECT id, name FROM django_site_account"
        for arguments in [("-json", query), ("-csv", "-header", query)]:
            self.both("dbshell", "--", *arguments)
        self.both("dbshell", "--", "-csv", text=query + ";")

    def test_an_error_in_its_input_is_its_status(self) -> None:
        text = "INSERT INTO django_site_entry(id) VALUES (1);\nSELECT 'on';\n"
        self.assertEqual(self.both("dbshell", text=text, ends=1), "on\n")
        self.assertEqual(self.both("dbshell", "--", "-bail", text=text, ends=1), "")


if __name__ == "__main__":
    unittest.main()

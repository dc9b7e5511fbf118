"""What the command does for programs with SQLite: its shell, and who may commit transactions."""

import os
import subprocess
import unittest

from test_hosts import COMMAND, EXTENSION, PATIENCE, StoreCase

NOBODY = 65534


class ShellTests(StoreCase):
    def shell(self, *arguments, given=None, **options):
        run = subprocess.run(
            [COMMAND, "shell", *arguments], input=given, capture_output=True, text=True, timeout=PATIENCE, **options
        )
        return run.returncode, run.stdout, run.stderr

    def test_it_reads_and_writes(self):
        sql = "INSERT INTO item VALUES ('bolt'); SELECT count(*) FROM item;"
        self.assertEqual(self.shell(self.store, sql), (0, "1\n", ""))
        script = "BEGIN; INSERT INTO item VALUES ('nut'); ROLLBACK; SELECT name FROM item;"
        self.assertEqual(self.shell(self.store, "-json", given=script), (0, '[{"name":"bolt"}]\n', ""))
        self.assertIn("bolt", self.command("query", self.store, "SELECT name FROM item"))

    def test_its_errors_are_the_status(self):
        code, printed, errors = self.shell(self.store, "INSERT INTO item VALUES ('a'), ('a')")
        self.assertEqual(printed, "")
        self.assertNotEqual(code, 0)
        self.assertIn("UNIQUE constraint failed: item.name", errors)

    def test_what_is_missing_is_said(self):
        code, _, errors = self.shell(f"{self.directory}/none", "SELECT 1")
        self.assertEqual(code, 66)
        self.assertIn("no store here", errors)
        code, _, errors = self.shell(
            self.store, "SELECT 1", env={**os.environ, "PATH": "/nowhere", "SLUICE_EXTENSION": EXTENSION})
        self.assertEqual(code, 74)
        self.assertIn("sqlite3 cannot be run", errors)
        alone = f"{self.directory}/sluice"
        os.link(COMMAND, alone) if os.stat(COMMAND).st_dev == os.stat(self.directory).st_dev else subprocess.run(
            ["cp", COMMAND, alone], check=True)
        run = subprocess.run(
            [alone, "shell", self.store], capture_output=True, text=True, timeout=PATIENCE,
            env={name: value for name, value in os.environ.items() if name != "SLUICE_EXTENSION"})
        self.assertEqual(run.returncode, 74)
        self.assertIn("put libsluice.so beside this command", run.stderr)


class RightsTests(StoreCase):
    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o755)

    def configure(self, transactions):
        """The next term goes by it."""
        self.applier.terminate()
        self.applier.wait()
        printed = self.command("config", self.store, "--transactions", transactions)
        self.assertIn(f"transactions {transactions}, before", printed)
        self.applier = subprocess.Popen([COMMAND, "apply", self.store], stderr=subprocess.DEVNULL)
        self.addCleanup(self.applier.wait)
        self.addCleanup(self.applier.terminate)

    def write(self, name, **who):
        program = """
import sqlite3, sys
extension, store, name = sys.argv[1:]
loader = sqlite3.connect(":memory:")
loader.enable_load_extension(True)
loader.load_extension(extension)
connection = sqlite3.connect(f"file:{store}?vfs=sluice", uri=True, isolation_level=None)
connection.execute("PRAGMA busy_timeout = 30000")
try:
    connection.execute("INSERT INTO item VALUES (?)", [name])
    print("done")
except sqlite3.Error as error:
    print(error)
"""
        run = subprocess.run(
            ["/usr/bin/python3", "-B", "-c", program, EXTENSION, self.store, name],
            capture_output=True, text=True, timeout=PATIENCE, cwd="/", **who)
        self.assertEqual(run.stderr, "")
        return run.stdout.strip()

    def test_config_takes_it_back_and_gives_it(self):
        self.assertEqual(self.write("before"), "done")
        self.configure("none")
        self.assertEqual(self.write("refused"), "attempt to write a readonly database")
        # Batches are as before.
        self.command("submit", self.store, "INSERT INTO item VALUES ('batch')")
        self.configure("all")
        self.assertEqual(self.write("after"), "done")
        self.assertIn("3", self.command("query", self.store, "SELECT count(*) FROM item"))

    def test_what_names_nobody_is_refused(self):
        for wrong in ["some", "uid:", "uid:x", "gid:1,,2"]:
            run = subprocess.run(
                [COMMAND, "config", self.store, "--transactions", wrong], capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(run.returncode, 64, wrong)

    @unittest.skipUnless(os.getuid() == 0, "only root can be two users")
    def test_users_are_told_apart_by_their_journal_files(self):
        self.configure(f"uid:{NOBODY}")
        refused = "attempt to write a readonly database"
        self.assertEqual(self.write("root's"), refused)
        self.assertEqual(self.write("nobody's", user=NOBODY, group=NOBODY, extra_groups=[]), "done")
        self.configure("uid:0,1")
        self.assertEqual(self.write("root's"), "done")
        self.assertEqual(self.write("refused", user=NOBODY, group=NOBODY, extra_groups=[]), refused)

    @unittest.skipUnless(os.getuid() == 0, "only root can be in two groups")
    def test_so_are_groups(self):
        # As it is made, all files in it have its own group.
        os.chmod(f"{self.store}/journal", 0o1777)
        self.configure(f"gid:{NOBODY},7")
        self.assertEqual(self.write("refused", user=NOBODY, group=NOBODY - 1, extra_groups=[]),
                         "attempt to write a readonly database")
        self.assertEqual(self.write("a", user=NOBODY, group=7, extra_groups=[]), "done")
        self.assertEqual(self.write("b", user=0, group=NOBODY, extra_groups=[]), "done")


if __name__ == "__main__":
    unittest.main()

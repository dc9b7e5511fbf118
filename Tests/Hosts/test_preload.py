"""`libsluice-preload.so`: programs that load no extension, and are not told of any, open stores."""

import os
import pathlib
import shutil
import sqlite3
import subprocess
import textwrap
import unittest

from test_hosts import EXTENSION, PATIENCE, StoreCase

STUB = str(pathlib.Path(EXTENSION).with_name("libsluice-preload.so"))


class PreloadTests(StoreCase):
    def setUp(self):
        super().setUp()
        self.uri = f"file:{self.store}?vfs=sluice"

    def preloaded(self, *command, stub=STUB, **environment):
        run = subprocess.run(
            command, env={**os.environ, "LD_PRELOAD": stub, **environment},
            capture_output=True, text=True, timeout=PATIENCE,
        )
        return run.stdout, run.stderr

    def python(self, program):
        return self.preloaded("/usr/bin/python3", "-c", textwrap.dedent(program))

    def test_the_sqlite3_command(self):
        sql = "INSERT INTO item VALUES ('bolt'); SELECT count(*) FROM item;"
        self.assertEqual(self.preloaded("sqlite3", "-batch", self.uri, sql), ("1\n", ""))
        self.assertEqual(
            self.preloaded("sqlite3", "-batch", self.plain, f"ATTACH '{self.uri}' AS s", "SELECT n, name FROM t, s.item"),
            ("7|bolt\n", ""))

    def test_debians_python(self):
        self.assertEqual(
            self.python(f"""
                import sqlite3
                for uri in True, False:
                    c = sqlite3.connect({self.uri!r}, uri=uri)
                    with c:
                        c.execute("INSERT INTO item VALUES (?)", [str(uri)])
                    print(c.execute("SELECT count(*) FROM item").fetchone())
                print(sqlite3.connect({self.plain!r}).execute("SELECT n FROM t").fetchone())
            """),
            ("(1,)\n(2,)\n(7,)\n", ""))

    def test_a_stores_name_is_a_uri_wherever_it_is_given(self):
        # Debian's SQLite takes every name that begins so for a URI. This one tells what it is asked.
        source = pathlib.Path(self.directory, "library.c")
        source.write_text("""
            #include <stdio.h>
            int sqlite3_open_v2(const char *name, void **connection, int flags, const char *vfs) {
              if (name[0] != ':') printf("%s %d\\n", name, flags);
              return 0;
            }
            int sqlite3_open(const char *name, void **connection) { return sqlite3_open_v2(name, connection, 6, 0); }
            void *sqlite3_vfs_find(const char *name) { return &sqlite3_open; }
            int sqlite3_auto_extension(void *entry) { return 0; }
            int sqlite3_cancel_auto_extension(void *entry) { return 0; }
            int sqlite3_close(void *connection) { return 0; }
        """)
        library = f"{self.directory}/libquoting.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
        main = pathlib.Path(self.directory, "main.c")
        main.write_text("""
            int sqlite3_open(const char *, void **);
            int sqlite3_open_v2(const char *, void **, int, const char *);
            int main(void) {
              void *connection;
              sqlite3_open("file:/s?vfs=sluice", &connection);
              sqlite3_open_v2("file:/s?vfs=sluice", &connection, 1, 0);
              sqlite3_open_v2("file:/s", &connection, 1, 0);
              sqlite3_open_v2("/s?vfs=sluice", &connection, 1, 0);
            }
        """)
        program = f"{self.directory}/main"
        subprocess.run(["gcc", "-o", program, main, library], check=True)
        self.assertEqual(
            self.preloaded(program),
            ("file:/s?vfs=sluice 70\nfile:/s?vfs=sluice 65\nfile:/s 1\n/s?vfs=sluice 1\n", ""))

    def test_php_data_objects(self):
        program = f"""
            $c = new PDO('sqlite:{self.uri}');
            $c->exec("INSERT INTO item VALUES ('php')");
            echo $c->query('SELECT name FROM item')->fetchColumn();
        """
        # PHP's extensions call their own libraries, whatever stands before these.
        self.assertIn("no such vfs", self.preloaded("php", "-r", program)[1])
        self.assertEqual(
            self.preloaded("php", "-r", program, SLUICE_SQLITE="libsqlite3.so.0"), ("php", ""))
        self.assertIn("libnone.so", self.preloaded("php", "-r", "", SLUICE_SQLITE="libnone.so")[1])

    def test_threads_that_open_at_once(self):
        self.assertEqual(
            self.python(f"""
                import os, sqlite3, threading
                def run():
                    c = sqlite3.connect({self.uri!r}, uri=True)
                    os.write(1, b"%d\\n" % c.execute("SELECT count(*) FROM item").fetchone())
                threads = [threading.Thread(target=run) for _ in range(8)]
                for thread in threads: thread.start()
                for thread in threads: thread.join()
            """),
            ("0\n" * 8, ""))

    def test_without_the_extension_plain_files_are_opened(self):
        stub = shutil.copy(STUB, self.directory)
        self.assertEqual(sqlite3.connect(self.plain).execute("SELECT n FROM t").fetchone(), (7,))
        printed, errors = self.preloaded("sqlite3", "-batch", self.plain, "SELECT n FROM t", stub=stub)
        self.assertEqual(printed, "7\n")
        self.assertIn("libsluice-preload.so: no store can be opened: ", errors)
        self.assertEqual(errors.count("\n"), 1)

    def test_who_has_no_sqlite_feels_nothing(self):
        self.assertEqual(self.preloaded("sh", "-c", "echo a"), ("a\n", ""))

    def test_it_shows_what_it_stands_before(self):
        run = subprocess.run(["nm", "-D", "--defined-only", STUB], check=True, capture_output=True, text=True)
        self.assertEqual(
            {line.split()[-1] for line in run.stdout.splitlines()}, {"sqlite3_open", "sqlite3_open_v2"})


if __name__ == "__main__":
    unittest.main()

"""`sluice.h` in programs in C: each case of `c_api.c`, and the example, with shared and with static SQLite."""

import os
import pathlib
import re
import shutil
import subprocess
import unittest

from test_hosts import COMMAND, EXTENSION, HERE, PATIENCE, StoreCase

ROOT = HERE.parents[1]
FOLDER = pathlib.Path(EXTENSION).parent
HEADER = ROOT / "Sources/CSluice/sluice.h"
STATIC = ["-l:libsqlite3.a", "-lm", "-lpthread"]


class CompiledCase(StoreCase):
    """Programs are linked with the extension as with any library."""

    def compiled(self, source, *libraries, compiler=("gcc", "-std=c99")):
        program = f"{self.directory}/program"
        run = subprocess.run(
            [*compiler, "-Wall", "-Wextra", "-Werror", "-o", program, str(source), f"-I{FOLDER}", f"-L{FOLDER}",
             f"-Wl,-rpath,{FOLDER}", "-lsluice", *(libraries or ["-lsqlite3"])],
            capture_output=True, text=True, timeout=PATIENCE,
        )
        self.assertEqual(run.returncode, 0, run.stderr)
        return program

    def end_applier(self):
        self.applier.terminate()
        self.applier.wait()

    def run_case(self, name, *libraries):
        program = self.compiled(HERE / "c_api.c", *libraries)
        run = subprocess.run(
            [program, name, self.store, COMMAND], capture_output=True, text=True, timeout=PATIENCE
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))


class InterfaceTests(CompiledCase):
    def test_values_go_and_come_back(self):
        self.run_case("values")

    def test_the_programs_sqlite_reads_and_writes(self):
        self.run_case("reading")

    def test_so_does_one_that_is_a_part_of_the_program(self):
        self.run_case("reading", *STATIC)

    def test_errors_are_codes_and_texts(self):
        self.run_case("errors")

    def test_a_child_opens_its_own(self):
        self.run_case("forks")

    def test_who_applies_gives_turns(self):
        self.end_applier()
        self.run_case("turns")

    def test_a_connection_sees_to_an_applier(self):
        self.end_applier()
        self.run_case("assisted")

    def test_threads_share_a_writer(self):
        self.run_case("threads")

    def test_the_status_of_a_store(self):
        self.run_case("status")

    def test_batches_are_applied_where_nobody_leads(self):
        self.end_applier()
        self.run_case("applying")

    def test_a_write_without_sqlite(self):
        source = pathlib.Path(self.directory, "write.c")
        source.write_text("""
            #include <sluice.h>
            int main(int count, char **words) {
              const char *json = "{\\"statements\\": [[\\"INSERT INTO item VALUES ('c')\\"]]}";
              size_t length = 0;
              sluice_writer *writer;
              sluice_batch *batch;
              while (json[length]) length++;
              if (sluice_writer_open(words[count - 1], &writer) || sluice_batch_parse(json, length, &batch)) return 1;
              int code = sluice_submit(writer, batch, NULL);
              sluice_batch_free(batch);
              sluice_writer_close(writer);
              return code;
            }
        """)
        program = self.compiled(source, "-Wl,-z,defs")
        self.assertNotIn("sqlite", subprocess.run(["ldd", program], capture_output=True, text=True).stdout)
        subprocess.run([program, self.store], check=True, timeout=PATIENCE)
        self.command("submit", self.store, "SELECT 1")
        self.assertIn("c", self.command("query", self.store, "SELECT name FROM item"))

    @unittest.skipUnless(shutil.which("g++"), "there is no C++ compiler")
    def test_the_header_is_for_c_plus_plus_too(self):
        source = pathlib.Path(self.directory, "a.cc")
        source.write_text(
            "#include <sqlite3.h>\n#include <sluice.h>\nint main() { sqlite3 *c; return sluice_open(\"\", 0, 1, &c) == 0; }"
        )
        self.compiled(source, compiler=("g++",))


class ExampleTests(CompiledCase):
    SOURCE = ROOT / "examples/c/orders.c"

    def printed(self):
        run = subprocess.run(
            [self.compiled(self.SOURCE), self.store], capture_output=True, text=True, timeout=PATIENCE,
            env={**os.environ, "PATH": f"{pathlib.Path(COMMAND).parent}:{os.environ['PATH']}"},
        )
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return run.stdout

    def setUp(self):
        super().setUp()
        # The example makes one of its own.
        self.command("submit", self.store, "DROP TABLE item")

    def test_with_an_applier(self):
        self.assertEqual(
            self.printed(), "applied: 0 changes\napplied: 1 changes\napplied: 1 changes\nbolt 101\n")

    def test_without(self):
        self.end_applier()
        self.assertEqual(
            self.printed(), "applied: 0 changes\napplied: 1 changes\napplied: 1 changes\nbolt 100\n")

    def test_it_is_built_as_it_says(self):
        line = "cc -o orders orders.c -lsluice -lsqlite3"
        self.assertIn(line, self.SOURCE.read_text())
        self.assertIn(line, HEADER.read_text())


class SymbolTests(unittest.TestCase):
    def test_what_is_declared_is_there_and_has_a_version(self):
        text = re.sub(r"/\*.*?\*/|static inline.*?\n}\n", "", HEADER.read_text(), flags=re.DOTALL)
        declared = set(re.findall(r"\b((?:sqlite3_)?sluice_\w+)\(", text))
        run = subprocess.run(
            ["nm", "--dynamic", "--defined-only", EXTENSION], check=True, capture_output=True, text=True
        )
        found = {line.split()[-1] for line in run.stdout.splitlines()}
        self.assertGreater(len(declared), 30)
        self.assertEqual(found - {"SLUICE_1.0"}, {f"{name}@@SLUICE_1.0" for name in declared})

    def test_the_header_lies_beside_the_library(self):
        self.assertEqual((FOLDER / "sluice.h").read_text(), HEADER.read_text())


if __name__ == "__main__":
    unittest.main()

"""sqlite-vec from PyPI as a store's extension: made, written, queried and executed again."""

import importlib.util
import pathlib
import subprocess
import tempfile
import unittest

from test_hosts import COMMAND, PATIENCE


class VectorTests(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        package = importlib.util.find_spec("sqlite_vec")
        self.extension = str(pathlib.Path(package.origin).parent / "vec0.so")

    def command(self, *arguments):
        run = subprocess.run(
            [COMMAND, *arguments], capture_output=True, text=True, timeout=PATIENCE
        )
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def nearest(self, store):
        query = "SELECT id FROM point WHERE place MATCH '[1, 2, 2]' AND k = 2 ORDER BY distance"
        return self.command("query", store, query, "--csv").split()[1:]

    def test_vectors_are_kept_found_and_replayed(self):
        store = f"{self.directory}/store"
        self.command("init", store, "--extension", self.extension)
        for sql in [
            "CREATE VIRTUAL TABLE point USING vec0(id INTEGER PRIMARY KEY, place FLOAT[3])",
            "INSERT INTO point VALUES (1, '[1, 2, 3]'), (2, '[9, 9, 9]'), (5, '[4, 4, 4]')",
            "DELETE FROM point WHERE id = 2",
        ]:
            self.command("submit", store, sql, "--wait", "durable")
        self.command("apply", store, "--drain")
        self.assertEqual(self.nearest(store), ["1", "5"])
        self.command("replay", store, "--into", f"{self.directory}/replayed.sqlite")


if __name__ == "__main__":
    unittest.main()

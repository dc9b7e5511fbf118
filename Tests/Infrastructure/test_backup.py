"""Backups into S3 and back, by the command lines that OPERATIONS has, with peers in S3's place."""

import datetime
import json
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import unittest

from documented import Shell, block
from peers import REGION, Peer

STORE = "/mnt/efs/orders/store"
BACKUP = block("Backup", f"sluice backup {STORE} --into /backup/orders")
STREAM, SYNC = block("Backup", "| aws s3 cp").splitlines()
BACK = block("Backup", "aws s3 sync s3://")
UNPACK = block("Backup", "| tar -xpf")
_, PLAIN, UPLOAD = block("Backing up and restoring there", "aws s3 cp").splitlines()
FROM_PLAIN = block("Backing up and restoring there", "--from orders.sqlite").strip()
ROWS = "SELECT count(*) AS n, sum(length(b)) AS bytes FROM t"


class Backups:
    """What holds with each peer."""

    @classmethod
    def setUpClass(cls):
        cls.peer = Peer(cls.name)
        cls.addClassCleanup(cls.peer.stop)
        cls.s3 = cls.peer.client("s3")

    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="sluice-backups-")
        self.addCleanup(place.cleanup)
        self.shell = Shell(place.name, self.peer)
        self.store = pathlib.Path(self.shell.local(STORE))
        for bucket in ("bucket", "my-backups"):
            self.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
            self.addCleanup(self.remove, bucket)
        self.run_line(f"mkdir /mnt/efs/orders && sluice init {STORE}")
        self.applier = None
        self.addCleanup(self.stop)
        self.start()
        self.submit("CREATE TABLE t(a INTEGER PRIMARY KEY, b)")
        for _ in range(3):
            self.submit("INSERT INTO t(b) VALUES (hex(randomblob(3000)))")
        self.run_line(f"sluice checkpoint {STORE}")
        self.submit("INSERT INTO t(b) VALUES (4)")

    # MARK: What a test does

    def remove(self, bucket):
        for one in self.s3.list_objects_v2(Bucket=bucket).get("Contents", []):
            self.s3.delete_object(Bucket=bucket, Key=one["Key"])
        self.s3.delete_bucket(Bucket=bucket)

    def start(self):
        self.applier = self.shell.start(f"sluice apply {STORE} --ttl 2", stderr=subprocess.DEVNULL)

    def stop(self):
        if self.applier:
            self.applier.send_signal(signal.SIGTERM)
            self.assertEqual(self.applier.wait(60), 0)
            self.applier = None

    def run_line(self, script):
        return self.shell.run(script)

    def submit(self, sql):
        return self.run_line(f'sluice submit {STORE} "{sql}"')

    def rows(self):
        return json.loads(self.run_line(f'sluice query {STORE} "{ROWS}" --json'))

    def keys(self, bucket="bucket"):
        return {one["Key"]: one["Size"] for one in self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])}

    def upload(self):
        """Backs up and uploads; returns what was uploaded."""
        self.run_line(BACKUP)
        # S3 has whole seconds, and what is as young as the object is uploaded again.
        time.sleep(1.1)
        return sorted(re.findall(r"upload: .* to s3://bucket/orders/(\S+)", self.run_line(SYNC)))

    def files(self, directory="/backup/orders"):
        """Each file of a copy with what is to be uploaded of it."""
        root = pathlib.Path(self.shell.local(directory))
        found = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in found}

    def move_away(self):
        """As before a store is put back: everything that uses it stands still."""
        self.stop()
        self.store.rename(self.store.with_name("old"))

    def is_a_store(self, rows):
        """What came back is one, with these rows, and goes on."""
        self.run_line(f"sluice verify {STORE} --replay")
        self.assertEqual(self.rows(), rows)
        for command in ("restore", "replay"):
            made = f"/var/tmp/{command}.sqlite"
            self.run_line(f"sluice {command} {STORE} --into {made}")
            self.assertEqual(json.loads(self.run_line(f"sqlite3 -json {made} '{ROWS}'"))[0], rows)
        self.assertEqual((self.store / "journal").stat().st_mode & 0o7777, 0o3777)
        self.assertFalse((self.store / "backup.json").exists())
        link = f"'file:{STORE}/current.sqlite?mode=ro&immutable=1'"
        self.run_line(f"sqlite3 {link} 'SELECT count(*) FROM t'")
        self.start()
        self.submit("INSERT INTO t(b) VALUES (5)")
        self.assertEqual(self.rows()["n"], rows["n"] + 1)
        self.run_line(f"sluice checkpoint {STORE}")
        self.stop()
        self.run_line(f"sluice verify {STORE} --replay")
        self.run_line(f"sluice status {STORE}")

    # MARK: Tests

    def test_a_copy_comes_back_as_a_store(self):
        self.run_line(BACKUP + SYNC)
        copied = self.files()
        self.assertEqual(self.keys(), {f"orders/{name}": len(content) for name, content in copied.items()})
        rows = self.rows()
        self.submit("INSERT INTO t(b) VALUES ('later than the copy')")
        self.move_away()
        self.run_line(BACK)
        copied.pop("backup.json")
        back = self.files(STORE)
        back.pop("current.sqlite", None)
        self.assertEqual(back, copied)
        self.is_a_store(rows)

    def test_again_it_uploads_what_is_new(self):
        self.upload()
        self.assertEqual(self.upload(), [])
        for is_behind_a_checkpoint in (False, False, True):
            before = self.files()
            if is_behind_a_checkpoint:
                self.run_line(f"sluice checkpoint {STORE}")
            self.submit("INSERT INTO t(b) VALUES (5)")
            uploaded, now = self.upload(), self.files()
            changed = {name for name, content in now.items() if before.get(name) != content}
            self.assertTrue(changed)
            self.assertLess(len(changed), len(now))
            self.assertEqual(uploaded, sorted(changed))
        rows = self.rows()
        self.move_away()
        self.run_line(BACK)
        self.is_a_store(rows)

    def test_an_archive_is_streamed_there_and_back(self):
        self.run_line(STREAM)
        self.assertEqual(list(self.keys()), ["orders-2026-11-28.tar.zst"])
        self.assertEqual(list(pathlib.Path(self.shell.local("/backup")).iterdir()), [])
        rows = self.rows()
        self.submit("INSERT INTO t(b) VALUES ('later than the copy')")
        self.move_away()
        self.run_line(UNPACK)
        self.is_a_store(rows)

    def test_an_archive_that_was_cut_off_is_no_store(self):
        self.run_line(STREAM)
        (key,) = self.keys()
        whole = self.s3.get_object(Bucket="bucket", Key=key)["Body"].read()
        plain = subprocess.run(["zstd", "-d"], input=whole, capture_output=True, check=True).stdout
        # In front of the last member.
        cut = subprocess.run(["zstd"], input=plain[: plain.rindex(b"store.json")], capture_output=True, check=True)
        self.s3.put_object(Bucket="bucket", Key=key, Body=cut.stdout)
        self.move_away()
        self.run_line(UNPACK)
        self.assertFalse((self.store / "store.json").exists())
        self.shell.run(f"sluice verify {STORE}", code=76)

    def test_a_plain_file_each_night(self):
        # There the store is the template's.
        self.run_line("ln -s orders/store /mnt/efs/store")
        self.run_line(f"{PLAIN}\n{UPLOAD}")
        today = datetime.datetime.now().date()
        self.assertIn(list(self.keys("my-backups"))[0], [
            f"orders-{day}.sqlite" for day in (today, today - datetime.timedelta(days=1))
        ])
        rows = self.rows()
        self.run_line("aws s3 cp --recursive s3://my-backups . && mv orders-*.sqlite orders.sqlite")
        self.run_line(FROM_PLAIN)
        query = f'sluice query /mnt/efs/store2 "{ROWS}" --json'
        self.assertEqual(json.loads(self.run_line(query)), rows)
        self.assertIn("lease        dynamodb:TABLE\n", self.run_line("sluice status /mnt/efs/store2"))


class Ministack(Backups, unittest.TestCase):
    name = "ministack"


class Moto(Backups, unittest.TestCase):
    name = "moto"


if __name__ == "__main__":
    unittest.main()

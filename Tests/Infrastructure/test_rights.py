"""What the access points' users can do to a store and to each other, tried with local users of their numbers.

The readers' file system cannot be written: EFS refuses ClientWrite to their role, here a mount does it.

All is tried twice: on a file system that keeps to setgid directories, and on one that gives a new file its maker's
group whatever its directory is. AWS does not say which of both EFS is.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

from template import properties

ROOT = pathlib.Path(__file__).resolve().parents[2]
SLUICE = os.environ.get("SLUICE", ROOT / ".build/debug/sluice")


def user(access_point):
    numbers = properties(access_point)["PosixUser"]
    extra = [int(group) for group in numbers.get("SecondaryGids", [])]
    return {"user": int(numbers["Uid"]), "group": int(numbers["Gid"]), "extra_groups": extra}


APPLIER, WRITER, READER = user("ApplierAccessPoint"), user("WriterAccessPoint"), user("ReaderAccessPoint")
# An access point of its own beside the first, as the template asks for: the appliers are in its group, too.
OTHER_WRITER = WRITER | {"user": WRITER["user"] + 1, "group": WRITER["group"] + 1}
APPLIER["extra_groups"].append(OTHER_WRITER["group"])
STRANGER = {"user": 5001, "group": 5001, "extra_groups": []}


class Rights:
    """What holds of both kinds of file system."""

    def setUp(self):
        self.place = pathlib.Path(tempfile.mkdtemp(prefix="sluice-points-"))
        self.addCleanup(shutil.rmtree, self.place)
        self.place.chmod(0o755)
        # As the first mount by an access point makes it.
        made = properties("ApplierAccessPoint")["RootDirectory"]["CreationInfo"]
        root = self.place / "sluice"
        root.mkdir()
        os.chown(root, int(made["OwnerUid"]), int(made["OwnerGid"]))
        root.chmod(int(made["Permissions"], 8))
        self.store = root / "store"
        self.sluice(APPLIER, "init", self.store)
        self.prepare_journal()
        self.sluice(WRITER, "submit", self.store, "CREATE TABLE t(a)", "--wait", "durable")
        self.sluice(APPLIER, "apply", self.store, "--drain")
        self.sluice(WRITER, "submit", self.store, "INSERT INTO t VALUES (1)", "--wait", "durable")
        self.segment = next(
            path for path in (self.store / "journal").glob("*.seg") if path.stat().st_uid == WRITER["user"]
        )
        self.assertEqual(self.segment.stat().st_gid, self.group_of_files)

    def run_as(self, who, *command):
        return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60, **who)

    def sluice(self, who, *arguments):
        end = self.run_as(who, SLUICE, *arguments)
        self.assertEqual(end.returncode, 0, end.stderr)
        return end.stdout

    def refused(self, who, *scripts):
        for script in scripts:
            end = self.run_as(who, "sh", "-c", script)
            self.assertNotEqual(end.returncode, 0, f"{who['user']}: {script}")
            self.assertNotIn("not found", end.stderr)

    def against_the_past(self):
        log = next((self.store / "log").glob("*.log"))
        checkpoint = next((self.store / "checkpoints").glob("*.sqlite"))
        return [
            script
            for path in (log, checkpoint, self.store / "store.json")
            for script in (
                f": > {path}", f"truncate -s 0 {path}", f"rm -f {path}", f"mv {path} {path}.x", f"chmod 777 {path}"
            )
        ] + [f"touch {self.store}/{folder}/x" for folder in ("log", "checkpoints", "journal/quarantine", "")]

    def test_the_applier_reads_and_marks_each_writers_segments(self):
        self.sluice(OTHER_WRITER, "submit", self.store, "INSERT INTO t VALUES (2)", "--wait", "durable")
        waiting = list((self.store / "journal").glob("*.seg"))
        owners = {segment.stat().st_uid for segment in waiting}
        self.assertEqual(owners, {WRITER["user"], OTHER_WRITER["user"]})
        for segment in waiting:
            end = self.run_as(APPLIER, "sh", "-c", f"test -r {segment} && test -w {segment}")
            self.assertEqual(end.returncode, 0, segment)
        self.sluice(APPLIER, "apply", self.store, "--drain")
        self.assertEqual(list((self.store / "journal").glob("*.seg")), [])

    def test_writers_against_each_other(self):
        before = self.segment.read_bytes()
        self.refused(
            OTHER_WRITER, f": > {self.segment}", f"cat {self.segment}", f"truncate -s 1T {self.segment}",
            f"rm -f {self.segment}", f"mv {self.segment} {self.segment}.x", f"ln {self.segment} {self.store}/journal/x",
            f"chmod 666 {self.segment}", f"chmod 777 {self.store}/journal",
        )
        self.assertEqual(self.segment.read_bytes(), before)
        self.sluice(OTHER_WRITER, "submit", self.store, "INSERT INTO t VALUES (2)", "--wait", "durable")
        self.sluice(APPLIER, "apply", self.store, "--drain")
        self.assertEqual(self.sluice(WRITER, "query", self.store, "SELECT sum(a) AS a FROM t", "--json"), '{"a": 3}\n')

    def test_those_who_share_an_access_point_are_one_user(self):
        self.assertEqual(self.run_as(WRITER, "sh", "-c", f": > {self.segment}").returncode, 0)

    def test_writers_against_log_and_checkpoints(self):
        self.refused(WRITER, *self.against_the_past())
        self.sluice(APPLIER, "apply", self.store, "--drain")

    def test_readers_against_all(self):
        before = self.run_as({}, "find", self.store, "-printf", "%P %s %T@ %m\n").stdout
        self.assertIn("log/", before)
        mount = f"mount --bind {self.place} {self.place} && mount -o remount,ro,bind {self.place} && exec \"$@\""
        extra = ",".join(map(str, READER["extra_groups"]))
        who = ["setpriv", "--reuid", READER["user"], "--regid", READER["group"]]
        who += ["--groups", extra] if extra else ["--clear-groups"]
        reader = ["unshare", "-m", "sh", "-c", mount, "sh", *who]
        rows = self.run_as({}, *reader, SLUICE, "query", self.store, "SELECT count(*) AS n FROM t", "--json")
        self.assertEqual((rows.returncode, rows.stdout), (0, '{"n": 0}\n'), rows.stderr)
        for script in self.against_the_past() + [
            f"touch {self.store}/journal/x", f"cat {self.segment}", f": > {self.segment}", f"rm -f {self.segment}"
        ]:
            end = self.run_as({}, *reader, "sh", "-c", script)
            self.assertNotEqual(end.returncode, 0, script)
        submit = self.run_as({}, *reader, SLUICE, "submit", self.store, "INSERT INTO t VALUES (3)", "--wait", "durable")
        self.assertEqual(submit.returncode, 75, submit.stderr)
        self.assertEqual(self.run_as({}, "find", self.store, "-printf", "%P %s %T@ %m\n").stdout, before)

    def test_who_is_not_in_the_group_does_not_get_in(self):
        self.refused(STRANGER, f"ls {self.store}", f"cat {self.store}/store.json")


@unittest.skipUnless(os.getuid() == 0, "only root can be other users")
class WhereADirectoryGivesItsGroup(Rights, unittest.TestCase):
    group_of_files = APPLIER["group"]

    def prepare_journal(self):
        self.assertEqual((self.store / "journal").stat().st_mode & 0o7777, 0o3777)


@unittest.skipUnless(os.getuid() == 0, "only root can be other users")
class WhereAFileHasItsMakersGroup(Rights, unittest.TestCase):
    group_of_files = WRITER["group"]

    def prepare_journal(self):
        """Without setgid a local file system does as one that knows none."""
        subprocess.run(["chmod", "g-s", self.store / "journal"], check=True)


if __name__ == "__main__":
    unittest.main()

"""What the template starts, started here: its tasks' command lines and its functions, with directories in place of the
file system, peers in place of AWS, and the rights that the template gives."""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import unittest

from documented import Shell, block
from functions import FunctionsTest, until
from peers import ROOT, Peer
from template import TEMPLATE, properties, resolved, statements
from test_rights import APPLIER, WRITER

# What a test has of its own in place of the file system and of what is not the host's.
DIRECTORIES = {"/mnt/efs", "/scratch"}
(ENTRYPOINT,) = re.findall(r"^ENTRYPOINT (\[.*\])$", (ROOT / "infra/Dockerfile").read_text(), re.MULTILINE)
IS_ROOT = os.getuid() == 0


class Tasks(unittest.TestCase):
    """The tasks' containers as processes of the access point's user, where that can be."""

    @classmethod
    def setUpClass(cls):
        cls.peer = Peer("ministack")
        cls.addClassCleanup(cls.peer.stop)
        table = properties("LeaseTable")
        made = cls.peer.client("dynamodb").create_table(
            TableName="orders-locks", **{
                name: table[name] for name in ("BillingMode", "AttributeDefinitions", "KeySchema")
            }
        )
        cls.table = {"LeaseTable": "orders-locks", "LeaseTable.Arn": made["TableDescription"]["TableArn"]}

    def setUp(self):
        place = tempfile.TemporaryDirectory(prefix="sluice-tasks-")
        self.addCleanup(place.cleanup)
        os.chmod(place.name, 0o755)
        self.shell = Shell(place.name)
        self.store = pathlib.Path(self.shell.local("/mnt/efs/store"))
        root = properties("ApplierAccessPoint")["RootDirectory"]["CreationInfo"]
        if IS_ROOT:
            os.chown(self.store.parent, int(root["OwnerUid"]), int(root["OwnerGid"]))
        self.store.parent.chmod(int(root["Permissions"], 8))
        self.started = []
        self.addCleanup(self.kill)

    # MARK: What a test does

    def kill(self):
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()

    def start(self, task, **variables):
        """A task's container: the entry point, its own or the image's, the command, the environment, the user."""
        (container,) = properties(task)["ContainerDefinitions"]
        self.assertEqual({mount["ContainerPath"] for mount in container["MountPoints"]}, DIRECTORIES)
        words = container.get("EntryPoint") or json.loads(ENTRYPOINT)
        words = resolved(words + container["Command"], **self.table)
        # An address of its own, on which any test may listen; that the command takes the template's say its own tests.
        words = ["127.0.0.1:0" if word == "auto:7400" else word for word in words]
        given = {one["Name"]: self.shell.local(resolved(one["Value"], **self.table)) for one in container["Environment"]}
        self.assertEqual(container["User"], f"{APPLIER['user']}:{APPLIER['group']}")
        process = subprocess.Popen(
            [str(self.shell.place / "bin/sluice") if word == "/usr/local/bin/sluice" else self.shell.local(word)
             for word in words],
            env=self.shell.variables | given | variables, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, **(APPLIER if IS_ROOT else {}),
        )
        self.started.append(process)
        return process

    def end(self, process, code=0):
        output, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, code, output + errors)
        return output, errors

    def init(self):
        """The id that is the parameter StoreId."""
        # The role has no right to the table before the id is known, and the task needs none.
        output, _ = self.end(self.start("InitTask"))
        return json.loads(output.splitlines()[-1])

    def rights(self, store, lease=statements("LeasePolicy")):
        """The environment of a process with the rights that the template gives an applier of this store."""
        return self.peer.user_with([resolved(one, StoreId=store, **self.table) for one in lease])

    def item(self, store):
        key = {"pk": {"S": f"sluice#{store}"}}
        found = self.peer.client("dynamodb").get_item(TableName=self.table["LeaseTable"], Key=key, ConsistentRead=True)
        return {name: next(iter(value.values())) for name, value in found.get("Item", {}).items()}

    def submit(self, sql):
        end = subprocess.run(
            [self.shell.place / "bin/sluice", "submit", self.store, sql], capture_output=True, text=True, timeout=120,
            **(WRITER if IS_ROOT else {}),
        )
        self.assertEqual(end.returncode, 0, end.stderr)
        return end.stdout

    def files(self):
        return {
            path.relative_to(self.store).as_posix(): (path.lstat().st_ino, path.lstat().st_mtime_ns, path.lstat().st_size)
            for path in self.store.rglob("*")
        }

    # MARK: Tests

    def test_the_store_is_made_and_says_its_id(self):
        made = self.init()
        self.assertEqual(made, json.loads((self.store / "store.json").read_text()))
        self.assertRegex(made["id"], f"^({TEMPLATE['Parameters']['StoreId']['AllowedPattern']})$")
        self.assertEqual(made["lease"], "dynamodb:orders-locks")

    def test_made_again_it_is_as_it_was_and_says_its_id_again(self):
        made, before = self.init(), self.files()
        output, errors = self.end(self.start("InitTask"))
        self.assertEqual(json.loads(output), made)
        self.assertIn("the directory is not empty", errors)
        self.assertEqual(self.files(), before)

    def test_where_no_store_is_made_the_task_fails(self):
        self.store.mkdir()
        (self.store / "x").touch()
        output, errors = self.end(self.start("InitTask"), code=1)
        self.assertEqual(output, "")
        self.assertIn("the directory is not empty", errors)

    def test_two_appliers_one_after_the_other(self):
        store = self.init()["id"]
        rights = self.rights(store)
        first = self.start("ApplierTask", **rights)
        until("its term", lambda: self.item(store).get("state") == "active")
        second = self.start("ApplierTask", **rights)
        self.assertEqual(self.submit("CREATE TABLE t(a)"), "applied 1: 0 changes\n")
        self.assertEqual(self.submit("INSERT INTO t VALUES (1)"), "applied 2: 1 change\n")
        until("the standby", lambda: self.stands_by(second))
        for applier, state in (first, "active"), (second, "released"):
            begun = time.monotonic()
            applier.send_signal(signal.SIGTERM)
            _, errors = self.end(applier)
            (container,) = properties("ApplierTask")["ContainerDefinitions"]
            self.assertLess(time.monotonic() - begun, container["StopTimeout"] / 4)
            said = [json.loads(line)["message"] for line in errors.splitlines()]
            self.assertIn("leading", said)
            self.assertIn("released", said)
            if applier is first:
                # The other goes on, without waiting for the lease to run out.
                self.assertEqual(self.submit("INSERT INTO t VALUES (2)"), "applied 3: 1 change\n")
                self.assertLess(time.monotonic() - begun, 10)
            self.assertEqual(self.item(store)["state"], state)
        self.assertEqual(self.item(store)["term"], "2")

    def stands_by(self, process):
        """It has its child with the store open, as a standby does."""
        return any(path.read_text() for path in pathlib.Path(f"/proc/{process.pid}/task").glob("*/children"))

    def test_an_applier_without_the_right_to_the_lease_ends_and_says_so(self):
        store = self.init()["id"]
        _, errors = self.end(self.start("ApplierTask", **self.rights(store, [])), code=74)
        self.assertIn("is denied", errors)
        self.assertEqual(self.item(store), {})


class DeployedFunctions(FunctionsTest):
    """The functions as the template makes them, invoked as OPERATIONS does it."""

    def setUp(self):
        super().setUp()
        place = tempfile.TemporaryDirectory(prefix="sluice-invoking-")
        self.addCleanup(place.cleanup)
        self.shell = Shell(place.name, self.peer)

    def deploy(self, name):
        values = {"AWS::StackName": "orders", "FunctionsBucket": "code", "FunctionsKey": "functions.zip"}
        function = properties(name)
        made = resolved({
            one: function[one] for one in ("FunctionName", "Runtime", "Handler", "Code", "Environment")
        }, **values)
        (store,) = made["Environment"]["Variables"].values()
        self.assertEqual(store, "/mnt/efs/store")
        made["Environment"]["Variables"] = {name: str(self.store) for name in made["Environment"]["Variables"]}
        self.aws.create_function(
            Role=self.role, Timeout=int(resolved(function["Timeout"])), MemorySize=function["MemorySize"], **made
        )

    def test_they_answer_as_operations_shows(self):
        self.deploy("WriterFunction")
        self.deploy("ReaderFunction")
        self.start_applier()
        self.sluice("submit", self.store, "CREATE TABLE item(name TEXT, stock INTEGER)")
        for name, stock in [("bolt", 99)] + [(f"nut {number}", 100) for number in range(9)]:
            self.sluice("submit", self.store, "INSERT INTO item VALUES (?, ?)", name, stock)
        shown = re.split(r"^\$ ", block("The functions", "aws lambda invoke"), flags=re.MULTILINE)[1:]
        self.assertEqual(len(shown), 2)
        for example in shown:
            command, answer = example.rstrip().rsplit("\n", 1)
            # What version 2 of the command has to be told is what version 1 does.
            said = self.shell.run(command.replace(" --cli-binary-format raw-in-base64-out", ""))
            # Behind the function's answer stands the command's own.
            found, _ = json.JSONDecoder().raw_decode(said)
            self.assertEqual(found, json.loads(answer), said)


if __name__ == "__main__":
    unittest.main()

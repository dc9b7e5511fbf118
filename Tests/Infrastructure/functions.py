"""The functions' zip in a peer of Lambda's, for tests.

The zip is $SLUICE_FUNCTIONS, as `make dist` makes it; without, one of the command that was built for the tests.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from documented import SLUICE
from peers import REGION, ROOT, Peer
from template import statements

sys.path.insert(0, str(ROOT / "infra"))

import dist  # noqa: E402


def until(what, condition, seconds=60):
    for _ in range(seconds * 50):
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come in {seconds} s")


class FunctionsTest(unittest.TestCase):
    """A test of functions, with a store of its own and none of the appliers that it starts left."""

    @classmethod
    def setUpClass(cls):
        place = tempfile.TemporaryDirectory(prefix="sluice-functions-")
        cls.addClassCleanup(place.cleanup)
        cls.place = pathlib.Path(place.name)
        archive = os.environ.get("SLUICE_FUNCTIONS")
        if not archive:
            archive = cls.place / "functions.zip"
            dist.functions(
                archive,
                [("bootstrap", dist.BOOTSTRAP.encode(), 0o755), ("sluice", SLUICE.read_bytes(), 0o755)],
            )
        cls.peer = Peer("ministack")
        cls.addClassCleanup(cls.peer.stop)
        cls.aws_of = cls.peer.client
        cls.aws = cls.peer.client("lambda")
        storage = cls.peer.client("s3")
        storage.create_bucket(Bucket="code", CreateBucketConfiguration={"LocationConstraint": REGION})
        storage.put_object(Bucket="code", Key="functions.zip", Body=pathlib.Path(archive).read_bytes())
        role = cls.peer.client("iam").create_role(RoleName="function", AssumeRolePolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}
            ]}
        ))
        cls.role = role["Role"]["Arn"]

    def setUp(self):
        self.store = self.place / self.id().rpartition(".")[2]
        self.appliers = []
        self.addCleanup(self.stop_appliers)
        self.sluice("init", self.store)

    # MARK: What a test does

    def elect_by_an_item(self):
        """The store made anew, with its lease in a table that the functions' role may use; returns what reads the item."""
        table = self.aws_of("dynamodb")
        name = self.store.name[-200:]
        made = table.create_table(
            TableName=name, BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        )
        # As the appliers' role in the template; the peer knows no leading keys.
        self.aws_of("iam").put_role_policy(RoleName="function", PolicyName="lease", PolicyDocument=json.dumps(
            {"Version": "2012-10-17", "Statement": [
                {"Effect": "Allow", "Action": statements("LeasePolicy")[0]["Action"],
                 "Resource": made["TableDescription"]["TableArn"]}
            ]}
        ))
        shutil.rmtree(self.store)
        self.sluice("init", self.store, "--lease", f"dynamodb:{name}")
        key = {"pk": {"S": "sluice#" + json.loads((self.store / "store.json").read_text())["id"]}}
        return lambda: table.get_item(TableName=name, Key=key, ConsistentRead=True).get("Item")

    def sluice(self, *arguments, code=0):
        end = subprocess.run([SLUICE, *map(str, arguments)], capture_output=True, text=True, timeout=120)
        if code is not None:
            self.assertEqual(end.returncode, code, end.stderr)
        return end.stdout

    def start_applier(self):
        self.appliers.append(subprocess.Popen([SLUICE, "apply", self.store, "--ttl", "2"], stderr=subprocess.DEVNULL))

    def stop_appliers(self, how=signal.SIGTERM):
        for applier in self.appliers:
            applier.send_signal(how)
            applier.wait()
        self.appliers = []

    def function(self, handler, timeout=30, **variables):
        """A function for this test's store, with environments of its own."""
        name = f"{self.store.name}-{handler}-{timeout}"[-64:]
        self.aws.create_function(
            FunctionName=name, Runtime="provided.al2023", Handler=handler, Timeout=timeout,
            Role=self.role, Code={"S3Bucket": "code", "S3Key": "functions.zip"},
            Environment={"Variables": {"SLUICE_STORE": str(self.store)} | variables},
        )
        return name

    def invoke(self, function, event):
        """The answer, and the kind of error if the invocation failed."""
        answer = self.aws.invoke(FunctionName=function, Payload=json.dumps(event).encode())
        return json.loads(answer["Payload"].read()), answer.get("FunctionError")

    def answered(self, function, event):
        answer, error = self.invoke(function, event)
        self.assertIsNone(error, answer)
        return answer

    def environments(self):
        """The processes that Lambda's peer runs for this test's store."""
        found = []
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
                variables = (process / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"lambda" in words and f"SLUICE_STORE={self.store}".encode() in variables:
                found.append(int(process.name))
        return found

    def segments(self):
        return list((self.store / "journal").glob("*.seg"))

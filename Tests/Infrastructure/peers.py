"""The peers that the template and the functions are tried on, as Tests/ElectionTests has them."""

import json
import pathlib
import subprocess
import sys
import uuid

import boto3
from botocore.config import Config

ROOT = pathlib.Path(__file__).resolve().parents[2]
REGION = "eu-central-1"


class Peer:
    """A process that stands for AWS, on a free loopback port; it ends with this one."""

    def __init__(self, name):
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, ROOT / "Tests/ElectionTests/Peers/peers.py", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        for line in self.process.stdout:
            if line.startswith('{"port'):
                self.url = f"http://127.0.0.1:{json.loads(line)['port']}"
                return
        raise AssertionError(f"{name} ended before it had a port, with {self.process.wait()}")

    def client(self, service):
        return boto3.client(
            service, endpoint_url=self.url, region_name=REGION,
            aws_access_key_id="test", aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, read_timeout=120),
        )

    def user_with(self, statements):
        """The environment of a process with credentials that may do what policy statements say, on ministack.

        Their conditions are left out: it gives a request none of the keys that those of a table ask for, and would deny
        what DynamoDB allows.
        """
        iam = self.client("iam")
        name = f"user-{uuid.uuid4()}"
        iam.create_user(UserName=name)
        allowed = [{key: value for key, value in one.items() if key != "Condition"} for one in statements]
        if allowed:
            policy = json.dumps({"Version": "2012-10-17", "Statement": allowed})
            iam.put_user_policy(UserName=name, PolicyName="rights", PolicyDocument=policy)
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return {
            "AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION, "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }

    def arrived(self):
        """How many requests of each operation of DynamoDB's have come until now."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith('{"arrived'):
                return json.loads(line)["arrived"]
        raise AssertionError(f"{self.name} ended with {self.process.wait()}")

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(20)

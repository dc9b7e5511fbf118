"""The peers that the template and the functions are tried on, as Tests/ElectionTests has them."""

import json
import pathlib
import subprocess
import sys

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

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(20)

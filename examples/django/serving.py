"""Two ways in which `run.py` has the site served: by a web server, and as a function of AWS Lambda."""

import base64
import json
import pathlib
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

SITE = pathlib.Path(__file__).resolve().parent


class Failure(Exception):
    """Something is not as it should be."""


class Refusal(Exception):
    """The site has not answered, or with an error; whether it has done anything is not known."""


def until(condition, seconds, otherwise):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failure(otherwise)
        time.sleep(0.05)


class Server:
    """Django's own web server."""

    def __init__(self, environment, log):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"],
                cwd=SITE, env=environment, stdout=output, stderr=output,
            )
        until(self._answers, 60, f"{self.address} does not answer; see {log}")

    def send(self, path, body=None):
        """The answer to a GET request, or to a POST with this body."""
        data = None if body is None else json.dumps(body).encode()
        try:
            with urllib.request.urlopen(self.address + path, data, timeout=60) as answer:
                return json.load(answer)
        except OSError as error:
            raise Refusal(str(error)) from error

    def _answers(self):
        try:
            return "products" in self.send("/products")
        except Refusal:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait()


class Function:
    """A process that serves one request at a time, and is frozen between them, as Lambda does."""

    def __init__(self, environment, log):
        self.turn = threading.Lock()
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, __file__],
                cwd=SITE, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=output, text=True,
            )
        self.process.send_signal(signal.SIGSTOP)

    def send(self, path, body=None):
        event = {
            "rawPath": path,
            "headers": {"host": "localhost", "content-type": "application/json"},
            "requestContext": {"http": {"method": "GET" if body is None else "POST"}},
            "body": None if body is None else json.dumps(body),
        }
        with self.turn:
            self.process.send_signal(signal.SIGCONT)
            try:
                self.process.stdin.write(json.dumps(event) + "\n")
                self.process.stdin.flush()
                line = self.process.stdout.readline()
            finally:
                self.process.send_signal(signal.SIGSTOP)
            self._has_no_child()
        answer = json.loads(line)
        if answer["statusCode"] >= 400:
            raise Refusal(f"status {answer['statusCode']}")
        return json.loads(base64.b64decode(answer["body"]))

    def _has_no_child(self):
        """An applier that is frozen with its function would hold the lease until it has run out."""
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        children = [each for task in tasks.iterdir() for each in (task / "children").read_text().split()]
        if children:
            raise Failure(f"a function was frozen with its children {', '.join(children)}")

    def stop(self):
        self.process.kill()
        self.process.communicate()


def _serve_input():
    """The process of a `Function`: an event a line, an answer a line."""
    from shop.function import handler

    for line in sys.stdin:
        print(json.dumps(handler(json.loads(line), None)), flush=True)


if __name__ == "__main__":
    _serve_input()

"""Where the processes run: on this machine, or in the two hosts of `Tests/nfs/testbed.sh`."""

import os
import pathlib
import shlex
import subprocess
import time

PATIENCE_S = 240


class Failure(Exception):
    """A measurement that came to no end."""


class ThisMachine:
    """Every host is this one; what is shared is a folder on its disk."""

    hosts = 1
    name = "local disk"

    def __init__(self, folder):
        self.shared = str(folder)
        self.folder = pathlib.Path(folder)
        self.address = "127.0.0.1"
        self._processes = []

    def place(self, host, name):
        """A folder for orders and answers: as the host sees it, and as this process does."""
        path = self.folder / name
        path.mkdir()
        return str(path), path

    def start(self, host, command, environment):
        log = open(self.folder / "log", "ab")
        self._processes.append(
            subprocess.Popen(
                command, env={**os.environ, **environment}, stdout=log, stderr=log,
                stdin=subprocess.DEVNULL,
            )
        )

    def run(self, host, command):
        """What it prints."""
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_S)
        return done.stdout

    def ahead(self, host):
        return 0.0

    def stop(self):
        for process in self._processes:
            process.kill()
            process.wait()


class Guests:
    """Two hosts under user-mode Linux that mount one NFS server; this process is the testbed's hook.

    `guest.sh` there carries out each script that appears in its folder `ask`.
    """

    hosts = 2

    def __init__(self, name, address):
        self.name = name
        self.run_folder = pathlib.Path(os.environ["RUN"])
        self.shared = "/mnt/efs"
        self.address = address
        self._asked = 0
        for host in (1, 2):
            (self.run_folder / f"g{host}" / "ask").mkdir(exist_ok=True)

    def place(self, host, name):
        path = self.run_folder / f"g{host}" / name
        path.mkdir()
        return f"/mnt/out/{name}", path

    def start(self, host, command, environment):
        words = [f"{key}={value}" for key, value in environment.items()]
        self._ask(host, f"env {shlex.join(words)} {shlex.join(command)} >>$OUT/log 2>&1 & true")

    def run(self, host, command):
        return self._ask(host, shlex.join(command))

    def ahead(self, host):
        """By how many seconds the guest's clock is ahead of this machine's."""
        before = time.time()
        guest = float(self._ask(host, "echo $EPOCHREALTIME"))
        return guest - (before + time.time()) / 2

    def stop(self):
        for host in (1, 2):
            (self.run_folder / f"g{host}" / "end").touch()

    def _ask(self, host, script):
        self._asked += 1
        ask = self.run_folder / f"g{host}" / "ask" / str(self._asked)
        ask.with_suffix(".new").write_text(script + "\n")
        ask.with_suffix(".new").rename(ask.with_suffix(".sh"))
        deadline = time.monotonic() + PATIENCE_S
        while not (status := ask.with_suffix(".rc")).exists():
            if time.monotonic() > deadline:
                raise Failure(f"host {host} did not answer: {script}")
            time.sleep(0.05)
        if (code := int(status.read_text() or 1)) != 0:
            raise Failure(f"host {host}, status {code}: {script}\n" + ask.with_suffix(".err").read_text())
        return ask.with_suffix(".out").read_text()

"""Appliers that die: what leads one of the stores in a folder is killed now and then, and started anew."""

from __future__ import annotations

import json
import os
import pathlib
import random
import signal
import subprocess
import threading

from sluice import _command

# How long a store is left without an applier, in seconds, after the one that leads was killed.
LEASE_S = 3


class Killer(threading.Thread):
    """Keeps a standby for each store in a folder, and kills the applier that leads one of them.

    The standby takes over as soon as the lease has run out; another one is started in its place.
    """

    def __init__(self, folder: pathlib.Path, interval: float) -> None:
        super().__init__(daemon=True)
        self.killed = 0
        self._folder = folder
        self._interval = interval
        self._ends = threading.Event()
        self._standbys: "dict[pathlib.Path, list[subprocess.Popen[bytes]]]" = {}

    def run(self) -> None:
        chance = random.Random(0)
        while not self._ends.wait(self._interval):
            stores = [store for store in self._folder.iterdir() if (store / "store.json").is_file()]
            for store in stores:
                self._keep_standby(store)
            for store in chance.sample(stores, len(stores)):
                leader = self._leader(store)
                if leader is not None:
                    os.kill(leader, signal.SIGKILL)
                    self.killed += 1
                    break

    def stop(self) -> None:
        self._ends.set()
        self.join()
        for standby in sum(self._standbys.values(), []):
            standby.kill()
            standby.wait()

    def _keep_standby(self, store: pathlib.Path) -> None:
        """One of the two appliers of a store may be the test run's own, so two of these always stand by."""
        living = [each for each in self._standbys.get(store, []) if each.poll() is None]
        while len(living) < 2:
            living.append(
                subprocess.Popen(
                    [_command.path(), "apply", str(store), "--ttl", str(LEASE_S)],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
        self._standbys[store] = living

    def _leader(self, store: pathlib.Path) -> "int | None":
        """The process that leads the store; None where none does, or that is not known."""
        status = subprocess.run(
            [_command.path(), "status", str(store), "--json"], capture_output=True, text=True
        )
        try:
            applier = json.loads(status.stdout)["applier"]
        except (ValueError, KeyError):
            # The tests make and remove stores meanwhile.
            return None
        if applier["state"] != "active":
            return None
        process = int(applier["holder"].rpartition(":")[2])
        try:
            arguments = pathlib.Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return None
        return process if os.fsencode(store) in arguments else None

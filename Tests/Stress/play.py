"""Who works on a store, and what is done to them: processes are killed, and stopped for longer than their time."""

import collections
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
# A turn lasts two seconds without a sign of life, and an applier's lease as long as it is told here.
LEASE_S = 3
TURN_PAUSE_S = (2.5, 4.0)
LEASE_PAUSE_S = (4.0, 6.0)
APPLIERS = 2
WORKERS = [
    ("sqlite3", "turn"), ("sqlite3", "alone"), ("pysqlite3", "turn"), ("pysqlite3", "spills"),
    ("apsw", "turn"), ("apsw", "late"), ("pysqlite3", "alone"), ("sqlite3", "reads"),
    ("sqlite3", "queue"), ("apsw", "queue"),
]


class Player:
    """The processes of one host."""

    def __init__(self, options, python, folder):
        self.options = options
        self.python = python
        self.folder = pathlib.Path(folder)
        self.chance = random.Random(f"{options.seed} {options.host}")
        self.events = collections.Counter()
        self.problems = []
        self.workers = {}
        self.appliers = []
        self._paused = []
        self._starts = 0
        self._end = time.monotonic() + 60 * options.minutes

    def play(self):
        """Until the time is over; afterwards all have gone on and ended by themselves."""
        for _ in range(APPLIERS):
            self._start_applier()
        for number in range(len(WORKERS)):
            self._start_worker(number)
        while time.monotonic() < self._end:
            self._rest(self.options.pause * self.chance.uniform(0.3, 1.7))
            self._disturb()
        self._go_on(everybody=True)
        self._await_workers()
        for applier in self.appliers:
            applier.terminate()
        for applier in self.appliers:
            applier.wait()

    def _rest(self, seconds):
        """So long nobody is hurt."""
        end = min(self._end, time.monotonic() + seconds)
        while time.monotonic() < end:
            time.sleep(0.1)
            self._go_on()
            self._start_again()

    def _start_applier(self):
        log = open(self.folder / "apply.log", "ab")
        self.appliers.append(
            subprocess.Popen(
                [self.options.command, "apply", self.options.store, "--ttl", str(LEASE_S)],
                stdout=log, stderr=log,
            )
        )

    def _start_worker(self, number):
        module, kind = WORKERS[number]
        self._starts += 1
        name = f"{self.options.host}-{module}-{kind}-{self._starts}"
        seconds = max(1.0, self._end - time.monotonic())
        log = open(self.folder / "workers.log", "ab")
        self.workers[number] = subprocess.Popen(
            [self.python, "-B", str(HERE / "worker.py"), self.options.extension, self.options.store,
             str(self.folder / name), module, kind, str(seconds)],
            stdout=log, stderr=log,
        )

    def _disturb(self):
        kind = self.chance.choice(["worker killed", "worker paused", "applier killed", "applier paused"])
        if self._paused and kind == "applier paused":
            # One at a time: with both stopped there is nothing to see.
            return
        if kind.startswith("worker"):
            victims = [each for each in self.workers.values() if each.poll() is None]
            pause = TURN_PAUSE_S
        else:
            victims = [each for each in self.appliers if each.poll() is None]
            pause = LEASE_PAUSE_S
        victims = [each for each in victims if all(each is not paused for paused, _ in self._paused)]
        if not victims:
            return
        victim = self.chance.choice(victims)
        self.events[kind] += 1
        if kind.endswith("killed"):
            victim.send_signal(signal.SIGKILL)
            victim.wait()
        else:
            victim.send_signal(signal.SIGSTOP)
            self._paused.append((victim, time.monotonic() + self.chance.uniform(*pause)))

    def _go_on(self, everybody=False):
        now = time.monotonic()
        for victim, until in self._paused[:]:
            if everybody or now >= until:
                victim.send_signal(signal.SIGCONT)
                self._paused.remove((victim, until))

    def _start_again(self):
        for applier in [each for each in self.appliers if each.poll() is not None]:
            # 74 is input or output: it has lost its lease while it stood still.
            if applier.returncode not in (0, 74, -signal.SIGKILL):
                self.problems.append(f"an applier ended with {applier.returncode}")
            self.appliers.remove(applier)
            self._start_applier()
        for number, worker in list(self.workers.items()):
            if worker.poll() is not None and time.monotonic() < self._end:
                self._judge_end(worker)
                self._start_worker(number)

    def _judge_end(self, worker):
        if worker.returncode not in (0, -signal.SIGKILL):
            self.problems.append(f"a worker ended with {worker.returncode}; see workers.log")

    def _await_workers(self):
        deadline = time.monotonic() + 120
        for worker in self.workers.values():
            try:
                worker.wait(max(1.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.problems.append(f"{worker.args[5]} came to no end")
                worker.kill()
                worker.wait()
            self._judge_end(worker)


def main(options, folder):
    """Plays, and leaves what happened in the folder."""
    player = Player(options, sys.executable, folder)
    try:
        player.play()
    finally:
        for process in [*player.workers.values(), *player.appliers]:
            if process.poll() is None:
                process.kill()
    text = json.dumps({"events": player.events, "problems": player.problems})
    pathlib.Path(folder, "events.json").write_text(text)
    print(f"{options.host}: {', '.join(f'{number} × {what}' for what, number in sorted(player.events.items()))}")
    return os.EX_OK

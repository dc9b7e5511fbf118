#!/usr/bin/env python3
"""Many stores on a few processes: what they take at rest, and how soon a killed one's stores are led again.

    Benchmarks/Stores/measure.py .build/release/sluice [--stores 1000] [--processes 4] [--ttl 10] [--directory DIR]

Makes the stores, starts the processes one after the other, waits until they lead about as many each, and
prints of each process: stores, memory (with its children, pages of the program that are shared counted once each),
threads, open files, and, over a time of rest, processor time and file operations a second. Then kills one,
and prints when the last of its stores is led again. What is more than was promised is told in a line `missed: …`, and
fails; the processes' logs are then kept.
"""
import argparse
import glob
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

MEMORY_MIB = 512
IDLE_PERCENT = 2.0
# Beyond the lease, until the last store of a killed process is led again.
TAKEOVER_S = 2
# In a segment: block 1 is the header.
HOLDER_AT = 4096 + 64
TICKS = os.sysconf("SC_CLK_TCK")


def children(pid):
    found = []
    for task in glob.glob(f"/proc/{pid}/task/*/children"):
        with open(task) as file:
            found += [int(word) for word in file.read().split()]
    return found


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_mib(pid):
    """Proportional set size of a process and its children."""
    total = 0
    for one in [pid] + children(pid):
        with open(f"/proc/{one}/smaps_rollup") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
    return total / 1024


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def holders(stores):
    """Who made each store's newest log segment, as its header names them: who leads it, or has led it last. A store
    without any segment is left out."""
    found = {}
    for store in stores:
        names = sorted(name for name in os.listdir(f"{store}/log") if name.endswith(".log"))
        if not names:
            continue
        with open(f"{store}/log/{names[-1]}", "rb") as file:
            file.seek(HOLDER_AT)
            # Counted text; a name of this program is shorter than the 128 bytes that take a second byte to count.
            (length,) = file.read(1)
            found[store] = file.read(length).decode()
    return found


def metric_sums(port):
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    sums = {}
    for line in text.splitlines():
        if line.startswith("sluice_") and not line.startswith("#"):
            name = line.split("{")[0].split(" ")[0]
            value = float(line.rsplit(" ", 1)[1])
            if value == value:
                sums[name] = sums.get(name, 0) + value
    return sums


class Process:
    def __init__(self, program, directory, logs, number, ttl, metrics):
        self.name = f"process-{number}"
        self.port = 19460 + number if metrics else None
        command = [program, "apply", "--all", directory, "--ttl", str(ttl), "--holder", self.name,
                   "--log-level", "warning"]
        if metrics:
            command += ["--metrics", f"127.0.0.1:{self.port}"]
        with open(f"{logs}/{self.name}.log", "w") as log:
            self.child = subprocess.Popen(command, stderr=log)

    @property
    def pid(self):
        return self.child.pid


def led(stores, processes):
    counts = {process.name: 0 for process in processes}
    for holder in holders(stores).values():
        if holder in counts:
            counts[holder] += 1
    return counts


def wait(what, limit, condition):
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > limit:
            sys.exit(f"missed: {what}: not within {limit} s")
        time.sleep(0.2)
    return time.monotonic() - began


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--stores", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--ttl", type=int, default=10)
    parser.add_argument("--rest", type=int, default=30, help="seconds of rest that are measured")
    parser.add_argument("--directory", help="where the stores are made; removed at the end")
    parser.add_argument("--metrics", action="store_true",
                        help="count file operations, which costs processor time")
    options = parser.parse_args()
    place = tempfile.mkdtemp(prefix="sluice-stores-", dir=options.directory)
    logs = tempfile.mkdtemp(prefix="sluice-stores-logs-")
    directory = f"{place}/stores"
    os.mkdir(directory)
    processes = []
    failed = True
    try:
        stores = [f"{directory}/{number:04}" for number in range(options.stores)]
        began = time.monotonic()
        for store in stores:
            subprocess.run([options.program, "init", store], check=True, stdout=subprocess.DEVNULL)
        print(f"{len(stores)} stores made in {time.monotonic() - began:.1f} s")
        failed = measure(options, directory, logs, stores, processes)
    finally:
        for process in processes:
            process.child.send_signal(signal.SIGTERM)
        for process in processes:
            process.child.wait()
        shutil.rmtree(place)
        if failed:
            print(f"(the processes' logs are in {logs})")
        else:
            shutil.rmtree(logs)
    sys.exit(1 if failed else 0)


def missed(what, figure, limit, unit):
    """Whether it is more than was promised; says so."""
    if figure <= limit:
        return False
    print(f"missed: {what} {figure:.2f} {unit}, {limit:g} {unit} were promised")
    return True


def measure(options, directory, logs, stores, processes):
    share = -(-len(stores) // options.processes)
    for number in range(options.processes):
        processes.append(Process(options.program, directory, logs, number, options.ttl, options.metrics))
    took = wait("all are led", 120, lambda: sum(led(stores, processes).values()) == len(stores))
    print(f"all are led after {took:.1f} s: {led(stores, processes)}")
    took = wait("they are shared evenly", 600,
                lambda: max(led(stores, processes).values()) <= share + share // 16)
    print(f"shared evenly after {took:.1f} s more: {led(stores, processes)}")
    time.sleep(options.ttl * 2 + 5)

    before = {p.name: processor_seconds(p.pid) for p in processes}
    sums = {p.name: metric_sums(p.port) for p in processes} if options.metrics else {}
    began = time.monotonic()
    time.sleep(options.rest)
    elapsed = time.monotonic() - began
    failed = False
    counts = led(stores, processes)
    for process in processes:
        idle = 100 * (processor_seconds(process.pid) - before[process.name]) / elapsed
        memory = memory_mib(process.pid)
        line = (f"{process.name}: {counts[process.name]} stores, {memory:.0f} MiB, "
                f"{threads(process.pid)} threads, {len(children(process.pid))} children, "
                f"{len(os.listdir(f'/proc/{process.pid}/fd'))} files, {idle:.2f} % of a core at rest")
        if options.metrics:
            after = metric_sums(process.port)
            operations = (after["sluice_file_operations_total"]
                          - sums[process.name]["sluice_file_operations_total"]) / elapsed
            line += f", {operations:.0f} file operations a second"
        print(line)
        failed |= missed(f"{process.name} takes", memory, MEMORY_MIB, "MiB")
        failed |= missed(f"{process.name} takes at rest", idle, IDLE_PERCENT, "% of a core")
    failed |= killed(options, stores, processes)
    return failed


def killed(options, stores, processes):
    victim = processes.pop()
    mine = [store for store, holder in holders(stores).items() if holder == victim.name]
    victim.child.kill()
    victim.child.wait()
    began = time.monotonic()

    def left():
        return [store for store, holder in holders(mine).items() if holder == victim.name]

    wait("the first is led again", 60, lambda: len(left()) < len(mine))
    first = time.monotonic() - began
    wait("all are led again", 120, lambda: not left())
    last = time.monotonic() - began
    print(f"{len(mine)} stores of a killed process: the first led again after {first:.1f} s, "
          f"the last after {last:.1f} s; {led(stores, processes)}")
    return missed("a killed process's last store is led again after", last, options.ttl + TAKEOVER_S, "s")


main()

#!/usr/bin/env python3
"""Many stores on a few processes: what they take at rest, and how soon a killed one's stores are led again.

    Benchmarks/Stores/measure.py .build/release/sluice [--stores 1000] [--processes 4] [--ttl 10] [--directory DIR]
        [--lease file|dynamodb] [--peer ministack|moto]

Makes the stores, starts the processes one after the other, waits until they lead about as many each, and
prints of each process: stores, memory (with its children, pages of the program that are shared counted once each),
threads, open files, and, over a time of rest, processor time and what it asks of the file server and of the table of
locks. Then kills one, and prints when the last of its stores is led again. What is more than was promised is told in a
line `missed: …`, and fails; the processes' logs are then kept.

With `--lease dynamodb` the stores are elected by items in a table of a peer of DynamoDB's on this host, from the
environment that `make test` makes (.build/venv). Its processor time is the host's, and none of the processes': it is
printed apart. What arrives there is counted there, and held against what the processes say that they have sent.
"""
import argparse
import glob
import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

MEMORY_MIB = 512
IDLE_PERCENT = 2.0
# 16 look after stores; the rest are hints, metrics, upkeep and what is kept ready. None is there for each store.
THREADS = 24
# Requests for which the first credentials have to be waited for do so on threads of their own.
THREADS_OF_TABLE = THREADS + 64
# What rounding, the ends of the time that is measured, and stores that change their leader may add to requests.
MARGIN = 1.25
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PYTHON = f"{ROOT}/.build/venv/bin/python"
# In a segment: block 1 is the header.
HOLDER_AT = 4096 + 64
TICKS = os.sysconf("SC_CLK_TCK")
TABLE = "sluice_lock_table_requests_total"


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


def metrics(port):
    """The sum of each metric, and of each with its label `operation`."""
    text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30).read().decode()
    sums = {}
    for line in text.splitlines():
        if not line.startswith("sluice_"):
            continue
        name, value = line.split("{")[0].split(" ")[0], float(line.rsplit(" ", 1)[1])
        operation = re.search('operation="([a-z]+)"', line)
        for key in {name, (name, operation[1]) if operation else name}:
            if value == value:
                sums[key] = sums.get(key, 0) + value
    return sums


class Peer:
    """What stands for DynamoDB, with a table of locks; it ends with this process."""

    TABLE = """
import boto3, sys
boto3.client("dynamodb", endpoint_url=sys.argv[1], region_name="eu-central-1", aws_access_key_id="test",
    aws_secret_access_key="test").create_table(TableName="locks", BillingMode="PAY_PER_REQUEST",
    AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
    KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}])
"""

    def __init__(self, kind):
        if not os.path.exists(PYTHON):
            sys.exit(f"{PYTHON} is missing: `make .build/venv/ready` makes it")
        self.child = subprocess.Popen(
            [PYTHON, f"{ROOT}/Tests/ElectionTests/Peers/peers.py", kind], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if os.geteuid() == 0:
            # Before all that is measured, and whatever else the host does: it is to answer as soon as it can.
            os.setpriority(os.PRIO_PROCESS, self.child.pid, -20)
        port = next(json.loads(line)["port"] for line in self.child.stdout if line.startswith('{"port'))
        url = f"http://127.0.0.1:{port}"
        subprocess.run([PYTHON, "-c", self.TABLE, url], check=True)
        self.variables = {
            "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL_DYNAMODB": url,
        }
        self.lines = queue.Queue()
        # It may say more, which nobody reads.
        threading.Thread(target=self.keep_lines, daemon=True).start()

    def keep_lines(self):
        for line in self.child.stdout:
            if line.startswith('{"arrived'):
                self.lines.put(json.loads(line))

    def arrived(self):
        """How many requests of each operation came to it until now; and its own processor time, in seconds."""
        self.child.stdin.write("\n")
        self.child.stdin.flush()
        answer = self.lines.get(timeout=60)
        return answer["arrived"], answer["processor"]

    def stop(self):
        self.child.stdin.close()
        self.child.wait()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    def __init__(self, program, directory, logs, number, ttl, peer):
        self.name = f"process-{number}"
        self.port = free_port()
        command = [program, "apply", "--all", directory, "--ttl", str(ttl), "--holder", self.name,
                   "--log-level", "warning", "--metrics", f"127.0.0.1:{self.port}"]
        with open(f"{logs}/{self.name}.log", "w") as log:
            self.child = subprocess.Popen(
                command, stderr=log, env=os.environ | (peer.variables if peer else {}))

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
    parser.add_argument("--takeover", type=float, default=2, help="seconds beyond the lease until the last store of a"
                        " killed process must be led again")
    parser.add_argument("--directory", help="where the stores are made; removed at the end")
    parser.add_argument("--lease", choices=["file", "dynamodb"], default="file")
    parser.add_argument("--peer", choices=["ministack", "moto"], default="ministack", help="what stands for DynamoDB")
    options = parser.parse_args()
    place = tempfile.mkdtemp(prefix="sluice-stores-", dir=options.directory)
    logs = tempfile.mkdtemp(prefix="sluice-stores-logs-")
    directory = f"{place}/stores"
    os.mkdir(directory)
    processes = []
    peer = Peer(options.peer) if options.lease == "dynamodb" else None
    failed = True
    try:
        stores = [f"{directory}/{number:04}" for number in range(options.stores)]
        began = time.monotonic()
        for store in stores:
            subprocess.run(
                [options.program, "init", store, "--lease", "dynamodb:locks" if peer else "file"], check=True,
                stdout=subprocess.DEVNULL)
        print(f"{len(stores)} stores made in {time.monotonic() - began:.1f} s")
        failed = measure(options, directory, logs, stores, processes, peer)
    finally:
        for process in processes:
            process.child.send_signal(signal.SIGTERM)
        for process in processes:
            process.child.wait()
        if peer:
            peer.stop()
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


def measure(options, directory, logs, stores, processes, peer):
    share = -(-len(stores) // options.processes)
    for number in range(options.processes):
        processes.append(Process(options.program, directory, logs, number, options.ttl, peer))
    took = wait("all are led", 120, lambda: sum(led(stores, processes).values()) == len(stores))
    print(f"all are led after {took:.1f} s: {led(stores, processes)}")
    took = wait("they are shared evenly", 600,
                lambda: max(led(stores, processes).values()) <= share + share // 16)
    print(f"shared evenly after {took:.1f} s more: {led(stores, processes)}")
    time.sleep(options.ttl * 2 + 5)

    before = {p.name: processor_seconds(p.pid) for p in processes}
    sums = {p.name: metrics(p.port) for p in processes}
    at_peer = peer and peer.arrived()
    began = time.monotonic()
    time.sleep(options.rest)
    elapsed = time.monotonic() - began
    failed = bool(peer) and arrived(processes, elapsed, sums, at_peer, peer.arrived())
    counts = led(stores, processes)
    for process in processes:
        idle = 100 * (processor_seconds(process.pid) - before[process.name]) / elapsed
        memory = memory_mib(process.pid)
        print(f"{process.name}: {counts[process.name]} stores, {memory:.0f} MiB, "
              f"{threads(process.pid)} threads, {len(children(process.pid))} children, "
              f"{len(os.listdir(f'/proc/{process.pid}/fd'))} files, {idle:.2f} % of a core at rest")
        failed |= missed(f"{process.name} takes", memory, MEMORY_MIB, "MiB")
        failed |= missed(f"{process.name} takes at rest", idle, IDLE_PERCENT, "% of a core")
        failed |= missed(f"{process.name} has", threads(process.pid), THREADS_OF_TABLE if peer else THREADS, "threads")
        failed |= asked(options, process.name, counts[process.name], len(stores), elapsed,
                        sums[process.name], metrics(process.port))
    failed |= killed(options, stores, processes)
    return failed


def arrived(processes, elapsed, sums, before, after):
    """What came to the table of locks, against what the processes say that they have sent; and what the peer takes."""
    requests = {name: (count - before[0].get(name, 0)) / elapsed for name, count in sorted(after[0].items())}
    requests = {name: count for name, count in requests.items() if count}
    sent = sum(metrics(process.port).get(TABLE, 0) - sums[process.name].get(TABLE, 0)
               for process in processes) / elapsed
    total = sum(requests.values())
    print(f"arrived at the table, a second: {total:.1f} ("
          + ", ".join(f"{count:.1f} {name}" for name, count in requests.items())
          + f"), {sent:.1f} were counted by who sent them; the table itself takes "
            f"{100 * (after[1] - before[1]) / elapsed:.0f} % of a core")
    # The processes were asked one after the other.
    return missed("at the table arrive, of each that was sent,", total / max(sent, 1e-9), 1.1, "requests")


def asked(options, name, leads, stores, elapsed, before, after):
    """What a process that leads so many stores, and stands by for the others, asks a second; against what
    docs/OPERATIONS says."""
    def rate(metric, *operations):
        keys = [(metric, operation) for operation in operations] or [metric]
        return sum(after.get(key, 0) - before.get(key, 0) for key in keys) / elapsed

    files, table = "sluice_file_operations_total", TABLE
    writes, reads, syncs = (rate(files, operation) for operation in ("write", "read", "sync"))
    others = rate(files) - writes - reads - syncs
    kinds = ", ".join(f"{rate(files, kind):.1f} {kind}" for kind in ("list", "open", "status", "link", "other"))
    line = (f"  asks the file server, a second: {writes:.1f} writes, as many syncs ({syncs:.1f}), {reads:.1f} reads, "
            f"{others:.1f} listings and the like ({kinds}); {rate('sluice_file_errors_total'):.1f} fail")
    stands = stores - leads
    # A beat in two fifths of the ttl, or in 30 s where the table elects; a look into the journal each 2 s.
    beat = 30 if options.lease == "dynamodb" else options.ttl * 2 / 5
    looks = 10 / 3 / options.ttl if options.lease == "file" else 2.5 / options.ttl
    # Now and then a few to prepare for each store, which may be in the time that is measured; and of the process:
    # its own file, and the directory.
    expected = leads * (2 / beat + 1 / 2) + stands * looks + stores * 3 / min(60, elapsed) + 4
    failed = missed(f"{name} asks the file server, a second,", writes + reads + others, expected * MARGIN, "times")
    if options.lease == "dynamodb":
        renewals, looks = rate(table, "update", "put"), rate(table, "read")
        line += (f"\n  asks the table, a second: {renewals:.1f} renewals, {looks:.1f} reads; "
                 f"{rate('sluice_lock_table_failures_total'):.1f} fail")
        # Who leads renews in half a ttl, and who stands by reads a little behind that.
        failed |= missed(f"{name} renews, a second,", renewals, (leads * 2 / options.ttl + 1) * MARGIN, "items")
        most = min(stands, stands * 2.2 / options.ttl) + 1
        failed |= missed(f"{name} reads, a second,", looks, most * MARGIN, "items")
    print(line)
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
    return missed("a killed process's last store is led again after", last, options.ttl + options.takeover, "s")


main()

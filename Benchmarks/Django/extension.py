"""What the extension costs a process: to load it, to read a row; and what a transaction takes in the journal."""

import json
import pathlib
import statistics
import struct
import subprocess

MOST_LOADING_S = 0.005
LEAST_LATEST, LEAST_PINNED = 0.4, 1
MOST_BYTES = 1024

_LOADING = """
import time, sqlite3
import sluice
sqlite3.connect(":memory:").close()
begun = time.monotonic()
sluice.load()
print(time.monotonic() - begun)
"""

# Each variant reads for a while, and they take turns.
_READING = """
import json, random, sqlite3, sys, time
import sluice
store, file, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
plain = sqlite3.connect(file, isolation_level=None)
latest = sluice.connect(store, isolation_level=None)
pinned = sluice.connect(store, isolation_level=None)
pinned.execute("BEGIN")
count = pinned.execute("SELECT count(*) FROM benched_entry").fetchone()[0]
chance = random.Random(1)

def reads(connection, seconds=0.5):
    done, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        for _ in range(50):
            connection.execute(
                "SELECT text FROM benched_entry WHERE id = ?", (chance.randrange(1, count),)
            ).fetchone()
        done += 50
    return done / seconds

found = {"latest": [], "pinned": [], "plain": []}
for connection in (plain, latest, pinned):
    reads(connection, 0.2)
for _ in range(rounds * 2):
    found["plain"].append(reads(plain))
    found["latest"].append(reads(latest))
    found["pinned"].append(reads(pinned))
print(json.dumps(found))
"""


def measure(python, command, store, folder, rounds, table):
    def output(program, *arguments):
        return subprocess.run(
            [python, "-c", program, *arguments], check=True, capture_output=True, text=True
        ).stdout

    loading = statistics.median(float(output(_LOADING)) for _ in range(5 * rounds))
    table.add(
        "local disk", "loading the extension", 1, "median", "", f"{loading * 1000:.1f} ms", "", "≤ 5 ms",
        loading <= MOST_LOADING_S,
    )
    # The store's own content, as plain SQLite has it.
    plain = f"{folder}/plain.sqlite"
    subprocess.run([command, "restore", store, "--into", plain], check=True, stdout=subprocess.DEVNULL)
    found = json.loads(output(_READING, store, plain, str(rounds)))
    for what, least in [("latest", LEAST_LATEST), ("pinned", LEAST_PINNED)]:
        ratio = statistics.median(
            ours / baseline for ours, baseline in zip(found[what], found["plain"])
        )
        table.add(
            "local disk", f"point read, {what}", 1, "reads/s, plain SQLite's in place of lock's",
            f"{statistics.median(found['plain']):.0f}", f"{statistics.median(found[what]):.0f}",
            f"{ratio:.2f}", f"≥ {least}", ratio >= least,
        )
    size = statistics.median(bytes_of_one_row(python, command, plain, f"{folder}/rows"))
    table.add(
        "local disk", "one row, autocommit, two indexes", 1, "bytes in the journal", "", f"{size:.0f}", "",
        f"≤ {MOST_BYTES}", size <= MOST_BYTES,
    )


_INSERTS = """
import sys
import sluice
connection = sluice.connect(sys.argv[1], isolation_level=None, timeout=30)
for number in range(100):
    connection.execute(
        "INSERT INTO benched_entry(author, text, created) VALUES (?, ?, datetime('now'))",
        (f"author {number % 50}", "z" * 200),
    )
print("done", flush=True)
# Its last segment is removed soon after its end.
sys.stdin.read()
"""


def bytes_of_one_row(python, command, content, store):
    """What such transactions take in the journal, on this content: those of 100 whose segment is still there."""
    subprocess.run([command, "init", store, "--from", content], check=True, stdout=subprocess.DEVNULL)
    applier = subprocess.Popen([command, "apply", store], stderr=subprocess.DEVNULL)
    try:
        with subprocess.Popen(
            [python, "-c", _INSERTS, store], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as writer:
            writer.stdout.readline()
            sizes = list(page_batches(pathlib.Path(store)))
            writer.stdin.close()
    finally:
        applier.kill()
        applier.wait()
    if not sizes:
        raise RuntimeError(f"no transaction was found in {store}/journal")
    return sizes


# FORMAT.md, Blocks to Batches.
_BLOCK = 4096
_HEADER = struct.Struct("<4sBBHqqQIIH6x")
_SECTION = struct.Struct("<HBxIqq")
_BATCHES = 1
_PAGES = 0x0F


def page_batches(store):
    """The bytes of each frame that has the pages of one transaction, without its padding to whole blocks."""
    for path in sorted(each for each in (store / "journal").iterdir() if each.is_file()):
        content = path.read_bytes()
        at = 2 * _BLOCK
        while at + _HEADER.size <= len(content):
            magic, _, _, header, length, *_, count, _, sections = _HEADER.unpack_from(content, at)
            if magic != b"SLF1":
                break
            if count == 1 and sections:
                section, codec, _, stored, _ = _SECTION.unpack_from(content, at + _HEADER.size)
                # The batches begin with a length, and a batch of pages with the field that has them.
                if section == _BATCHES and codec == 0 and content[at + header + 4] == _PAGES:
                    yield length
            at += -(-length // _BLOCK) * _BLOCK

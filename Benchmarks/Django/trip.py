"""`trip.py FILE`: makes the file, and prints the seconds that one request to its server takes, median of 200.

A read past the client's cache of a file that stays open is one request.
"""

import mmap
import os
import statistics
import sys
import time

BLOCK = 4096

file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
os.pwrite(file, b"x" * BLOCK, 0)
os.fsync(file)
os.close(file)
file = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECT)
block = mmap.mmap(-1, BLOCK)
taken = []
for _ in range(200):
    begun = time.monotonic()
    os.preadv(file, [block], 0)
    taken.append(time.monotonic() - begun)
print(statistics.median(taken))

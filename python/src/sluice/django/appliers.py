"""Appliers that a process runs for itself: for its test stores, or while it works on a request."""

from __future__ import annotations

import atexit
import os
import subprocess
import threading

from sluice import _command

# The shell ends the applier as soon as its own input ends, so when this process does, however it ends:
# nobody leads on behalf of somebody who was killed.
_WHILE_INPUT_LASTS = """
"$@" & applier=$!
while read -r line; do :; done
kill "$applier" 2>/dev/null
wait "$applier"
"""

_lock = threading.Lock()
_running: dict[str, subprocess.Popen[bytes]] = {}


def start(store: str) -> None:
    """Starts an applier of the store unless this process runs one; it ends with `stop` or the process."""
    with _lock:
        running = _running.get(store)
        if running is None or running.poll() is not None:
            _running[store] = subprocess.Popen(
                ["/bin/sh", "-c", _WHILE_INPUT_LASTS, "sh", _command.path(), "apply", store],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # A signal from the keyboard is for this process, which then ends its appliers in order.
                start_new_session=True,
            )


def stop(store: str) -> None:
    """Ends this process's applier of the store and waits until it has given the lease back."""
    with _lock:
        running = _running.pop(store, None)
        if running is not None:
            # Which closes its input.
            running.communicate()


def stop_all() -> None:
    for store in list(_running):
        stop(store)


def _forget_after_fork() -> None:
    """In a forked child: the appliers are its parent's."""
    global _lock
    # It may be held by a thread that the child does not have.
    _lock = threading.Lock()
    for running in _running.values():
        # While a child has the parent's end of the pipe open, too, its closing would go unseen.
        if running.stdin is not None:
            running.stdin.close()
        # It is no child of this process, which must not wait for it.
        running.returncode = 0
    _running.clear()


os.register_at_fork(after_in_child=_forget_after_fork)
atexit.register(stop_all)

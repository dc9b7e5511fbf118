"""`OPTIONS = {"assist": True}`: a site without any applier, whose processes lead while they write.

Before a statement that may write, the process starts an applier of its own; as the last of its requests
ends, it gives the lease back, before the process may be frozen (AWS Lambda) or end. Where somebody leads
already, that applier stands by, and costs its start.
"""

from __future__ import annotations

import os
import threading
from typing import Any

from django.core import signals
from django.db.backends.sqlite3.base import SQLiteCursorWrapper

from sluice.django import appliers

# How statements begin that never take the turn. All others are taken for writes: to be wrong then costs
# an applier that nobody needed.
_READING = frozenset(
    "COMMIT END EXPLAIN PRAGMA RELEASE ROLLBACK SAVEPOINT SELECT VALUES".split()
)
_READING_BEGIN = frozenset({"BEGIN", "BEGIN DEFERRED"})

# Held while an applier is started, and from the decision that none is needed until all have ended. So a
# statement finds one that goes on, or starts another; it never relies on one that is about to end.
_leading = threading.Lock()

# Of `_requests` alone, so that a request that only reads waits for no applier's end.
_lock = threading.Lock()
_requests = 0


class AssistedCursor(SQLiteCursorWrapper):
    """A cursor that sees to an applier before it writes."""

    def __init__(self, connection: Any, store: str) -> None:
        super().__init__(connection)
        self._store = store

    def execute(self, query: str, params: Any = None) -> Any:
        self._lead_before(query)
        return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        self._lead_before(query)
        return super().executemany(query, param_list)

    def _lead_before(self, query: str) -> None:
        if may_take_turn(query):
            with _leading:
                appliers.start(self._store)


def may_take_turn(query: str) -> bool:
    """Whether this statement may ask for the turn, by the words that it begins with."""
    words = query.upper().split(maxsplit=2)
    if not words:
        return False
    if words[0] == "BEGIN":
        return " ".join(words[:2]) not in _READING_BEGIN
    return words[0] not in _READING


def connect_signals() -> None:
    """Has Django tell of the end of each request; further calls do nothing."""
    for signal, receiver in [
        (signals.request_started, _started),
        (signals.request_finished, _finished),
    ]:
        signal.connect(receiver, weak=False, dispatch_uid=f"sluice.django.assist{receiver.__name__}")


def _started(**_: Any) -> None:
    global _requests
    with _lock:
        _requests += 1


def _finished(**_: Any) -> None:
    global _requests
    with _leading:
        with _lock:
            # The first request may have begun before this was imported.
            _requests = max(0, _requests - 1)
            is_last = _requests == 0
        if is_last:
            appliers.stop_all()


def _forget_after_fork() -> None:
    """In a forked child: the requests are its parent's, and so are the threads that may hold the locks."""
    global _leading, _lock, _requests
    _leading, _lock = threading.Lock(), threading.Lock()
    _requests = 0


os.register_at_fork(after_in_child=_forget_after_fork)

"""`OPTIONS = {"assist": True}`: a site without any applier, whose processes lead while they write.

Before a statement that may write, the process starts an applier of its own; as the last of its requests
ends, it gives the lease back, before the process may be frozen (AWS Lambda) or end. Where a thread beside
the requests is writing at that moment, the lease is given back as its transaction ends. Where somebody leads
already, that applier stands by, and costs its start.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core import signals

from sluice.django import appliers
from sluice.django.cursor import Connected, StoreCursor

# How statements begin that never take the turn. All others are taken for writes: to be wrong then costs
# an applier that nobody needed.
_READING = frozenset(
    "COMMIT END EXPLAIN PRAGMA RELEASE ROLLBACK SAVEPOINT SELECT VALUES".split()
)
_READING_BEGIN = frozenset({"BEGIN", "BEGIN DEFERRED"})

# Held while an applier is started, and from the decision that none is needed until all have ended. So a
# statement finds one that goes on, or starts another; it never relies on one that is about to end.
_leading = threading.Lock()

# Of what is below it, so that a request that only reads waits for no applier's end.
_lock = threading.Lock()
_requests = 0
# Connections with a statement under way that may write, or with a transaction open that has one.
_writing: weakref.WeakSet[Connected] = weakref.WeakSet()
# The last request ended while one of them was there.
_ends_with_them = False


class AssistedCursor(StoreCursor):
    """A cursor that sees to an applier before it writes."""

    def execute(self, query: str, params: Any = None) -> Any:
        with self._led(query):
            return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        with self._led(query):
            return super().executemany(query, param_list)

    @contextmanager
    def _led(self, query: str) -> Iterator[None]:
        if may_take_turn(query):
            with _leading:
                appliers.start(os.fspath(self._database.settings_dict["NAME"]))
                with _lock:
                    _writing.add(self._database)
        try:
            yield
        finally:
            settle(self._database)


def settle(database: Connected, *, is_closed: bool = False) -> None:
    """To be called when a statement, COMMIT or ROLLBACK is over, and when the connection is closed."""
    with _lock:
        if database not in _writing or not is_closed and database.connection.in_transaction:
            return
        _writing.discard(database)
        is_last = _ends_with_them and not _writing
    if is_last:
        _end_unless_needed()


def _end_unless_needed() -> None:
    global _ends_with_them
    with _leading:
        with _lock:
            is_needed = _requests > 0 or bool(_writing)
            _ends_with_them = bool(_writing)
        if not is_needed:
            appliers.stop_all()


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
    with _lock:
        # The first request may have begun before this was imported.
        _requests = max(0, _requests - 1)
        is_last = _requests == 0
    if is_last:
        _end_unless_needed()


def _forget_after_fork() -> None:
    """In a forked child: the requests are its parent's, and so are the threads that may hold the locks."""
    global _leading, _lock, _requests, _writing, _ends_with_them
    _leading, _lock = threading.Lock(), threading.Lock()
    _requests, _writing, _ends_with_them = 0, weakref.WeakSet(), False


os.register_at_fork(after_in_child=_forget_after_fork)

"""Which atomic block is that of a request which only reads, under ATOMIC_REQUESTS.

Django wraps a view in `transaction.atomic` without telling the backend, so it is recognised: it is the
first outermost block after `request_started`. A block that is taken for it by mistake is no less safe;
it takes the turn with its first write in place of its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from django.core import signals

# RFC 9110, 9.2.1: methods whose requests change nothing.
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


class _ReadingRequest:
    """A request with a safe method, and the databases on which its block has begun."""

    def __init__(self) -> None:
        self.begun: set[str] = set()


_request: ContextVar[_ReadingRequest | None] = ContextVar("sluice_reading_request", default=None)


def begins_block(alias: str) -> bool:
    """Whether the outermost block that begins now on this database is the reading request's own."""
    request = _request.get()
    if request is None or alias in request.begun:
        return False
    request.begun.add(alias)
    return True


def connect_signals() -> None:
    """Has Django tell of each request; further calls do nothing."""
    for signal, receiver in [
        (signals.request_started, _started),
        (signals.request_finished, _finished),
    ]:
        signal.connect(receiver, weak=False, dispatch_uid=f"sluice.django.{receiver.__name__}")


def _started(
    environ: Mapping[str, Any] | None = None, scope: Mapping[str, Any] | None = None, **_: Any
) -> None:
    # WSGI's name for the method, or ASGI's.
    method = (environ or {}).get("REQUEST_METHOD") or (scope or {}).get("method")
    _request.set(_ReadingRequest() if method in _SAFE_METHODS else None)


def _finished(**_: Any) -> None:
    _request.set(None)

"""A store, opened."""

from __future__ import annotations

import datetime
import os
import sqlite3
import urllib.parse
from typing import Any, Union

from sluice import _command, _load
from sluice._errors import StoreError

Path = Union[str, "os.PathLike[str]"]


def uri(
    store: Path,
    *,
    at_least: int | None = None,
    timeout: float | None = None,
    max_staleness: float | None = None,
    txid: int | None = None,
    at: datetime.datetime | str | None = None,
    assist: bool = False,
) -> str:
    """The URI that opens a store after `load()`; the parameters are those of `connect`."""
    parameters: dict[str, object] = {"vfs": "sluice"}
    if at_least is not None:
        parameters["at_least"] = int(at_least)
    if timeout is not None:
        parameters["timeout_ms"] = _milliseconds(timeout)
    if max_staleness is not None:
        parameters["max_staleness_ms"] = _milliseconds(max_staleness)
    if txid is not None:
        parameters["txid"] = int(txid)
    if at is not None:
        parameters["at"] = _timestamp(at)
    if assist:
        # The extension starts it.
        os.environ.setdefault("SLUICE_COMMAND", _command.path())
        parameters["assist"] = 1
    path = urllib.parse.quote(os.path.abspath(os.fspath(store)))
    return f"file:{path}?{urllib.parse.urlencode(parameters, quote_via=urllib.parse.quote)}"


def connect(
    store: Path,
    *,
    at_least: int | None = None,
    timeout: float | None = None,
    max_staleness: float | None = None,
    txid: int | None = None,
    at: datetime.datetime | str | None = None,
    assist: bool = False,
    **options: Any,
) -> sqlite3.Connection:
    """Opens a store. Each transaction sees one snapshot, and what it writes is committed at once or not at all.

    Without parameters that is everything that anybody had seen before the transaction began.
    `at_least` waits, up to `timeout` seconds (30), for the batch with this TxID; `max_staleness`
    (seconds) lets a snapshot be used again for so long, without any input or output; `txid` and
    `at` are the past, by number or by time. `options` are those of `sqlite3.connect`.

    A COMMIT that something else was committed before raises `sqlite3.OperationalError` ("database is
    locked"), and nothing of the transaction is done: run it again. One that begins with
    `BEGIN IMMEDIATE` waits for the turn before. What was opened with `txid` or `at` only reads.

    With `assist` this process applies what it writes where no applier runs: it starts one for each
    transaction, which has ended when that is over.

    Raises `StoreError` where there is no such store.
    """
    _load.load()
    name = uri(
        store,
        at_least=at_least,
        timeout=timeout,
        max_staleness=max_staleness,
        txid=txid,
        at=at,
        assist=assist,
    )
    if not os.path.isdir(store):
        raise StoreError("noSuchStore", f"there is no store at {os.fspath(store)}")
    try:
        connection: sqlite3.Connection = sqlite3.connect(name, uri=True, **options)
    except sqlite3.OperationalError as error:
        raise StoreError("cannotOpen", _load.last_error() or str(error)) from error
    return connection


def _milliseconds(seconds: float) -> int:
    if not 0 <= seconds < 1e12:
        raise ValueError(f"{seconds} s is no time to wait")
    return round(seconds * 1000)


def _timestamp(time: datetime.datetime | str) -> str:
    if isinstance(time, str):
        return time
    if time.tzinfo is None:
        raise ValueError("the time needs a time zone: datetime(…, tzinfo=timezone.utc)")
    text = time.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")

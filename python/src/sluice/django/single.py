"""Single statements in autocommit mode, as batches of the store's queue.

A transaction needs the turn before it reads, and its pages after that: two journeys to the applier, while
everybody else waits. A statement by itself that only writes needs one journey as a batch of SQL, and shares its commit with
what others write meanwhile. It is executed by the applier as it would be here, in a transaction of its own.

What the applier might do otherwise goes by the turn as ever: statements that call functions (Django defines some of
its own), several at once, those of a connection with temporary tables or settings of its own. So does what the applier
refuses, which has done nothing: then SQLite says here what is wrong with it.
"""

from __future__ import annotations

import dataclasses
import json
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from sluice import _errors, _outcome, _values
from sluice._values import Value
from sluice.django import asking

# The module `sqlite3` keeps the last 128 statements with their texts, and the text of a PRAGMA has the values: 2 MiB of a
# connection's memory at most. (A PRAGMA takes no parameters, and functions would have to be on each connection.)
_MOST_CHARACTERS = 1 << 14
_JULIAN_DAY_OF_EPOCH = 2440587.5
_DAY_S = 86400.0

# Errors after which the batch is not in the journal, and never will be.
_NOT_SUBMITTED = frozenset({"backlogFull", "busy", "invalid", "limit", "notSubmitted"})


@dataclasses.dataclass(frozen=True)
class Done:
    """What a statement has done."""

    rows: list[tuple[Value, ...]]
    """What it returned."""
    changes: int
    """Rows that it inserted, changed or deleted itself, without those of triggers."""
    last_row_id: int | None
    """None where it inserted nothing."""


def submit(
    connection: sqlite3.Connection, query: str, parameters: Sequence[Any], timeout_s: float
) -> Done | None:
    """Executes a statement in the applier; None where nothing was done and it is to be executed by the turn.

    It is done once or not at all: executed after `timeout_s` it would do nothing, by the applier's clock. Raises
    `sluice.OutcomeUnknown` where nobody knows whether it is done, and `sluice.StoreError` where the store fails.
    """
    try:
        values = [_values.encoded(_adapted(value)) for value in parameters]
        batch = json.dumps(_batch(query, values, timeout_s), allow_nan=False)
    except (TypeError, ValueError, OverflowError):
        # What SQLite says of such a value, it says itself.
        return None
    if len(batch) > _MOST_CHARACTERS:
        return None
    answer = _answer(connection, batch)
    if answer is None:
        return None
    try:
        outcome = _outcome.parsed(answer)
    except _errors.Rejected:
        return None
    if outcome.rows is None:
        raise _errors.OutcomeUnknown(
            "outcomeUnknown",
            f"no outcome within {timeout_s:g} s; the statement is in the journal, and does nothing if it is executed "
            "from now on, by the applier's clock; see `sluice status`",
        )
    *rows, (changes,) = outcome.rows
    return Done(rows, int(changes), outcome.last_row_id)  # type: ignore[arg-type]


def _answer(connection: sqlite3.Connection, batch: str) -> str | None:
    """None where the batch is certainly not in the journal."""
    quoted = batch.replace("'", "''")
    try:
        rows = asking.rows(connection, f"PRAGMA sluice_submit('{quoted}')")
    except sqlite3.Error as error:
        told = _errors.from_pragma(error)
        if isinstance(told, _errors.StoreError):
            if told.code in _NOT_SUBMITTED:
                return None
            raise told from error
        if str(error) == "interrupted":
            # SQLite notices that when the batch has been submitted.
            raise _errors.OutcomeUnknown(
                "outcomeUnknown", "interrupted while the outcome was waited for"
            ) from error
        # Of SQLite, before it asks the store.
        return None
    # A plain file has no queue.
    return rows[0][0] if rows else None


def _batch(query: str, values: list[object], timeout_s: float) -> dict[str, object]:
    # An applier that comes later finds the statement in the journal: nobody waits for it any more.
    deadline = _JULIAN_DAY_OF_EPOCH + (time.time() + timeout_s) / _DAY_S
    return {
        "statements": [[query, values], ["SELECT changes()"]],
        "guards": [["SELECT julianday('now') < ?", [deadline]]],
        "results": True,
        # Whoever executes it is told, and nobody else has to deal with it.
        "unlisted": True,
        "alone": True,
        "timeout_ms": round(timeout_s * 1000),
    }


def _adapted(value: Any) -> Any:
    """The value as the module `sqlite3` would bind it: with the adapters that are registered, for whatever type."""
    return sqlite3.adapt(value, sqlite3.PrepareProtocol, value)

"""Single statements in autocommit mode, as batches of the store's queue.

A transaction needs the turn before it reads, and its pages after that: two journeys to the applier, while
everybody else waits. A statement by itself that only writes needs one journey as a batch of SQL, and shares its commit with
what others write meanwhile. It is executed by the applier as it would be here, in a transaction of its own.

What the applier might do otherwise goes by the turn as ever: statements that call functions (Django defines some of
its own), several at once, those of a connection with temporary tables or settings of its own.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sqlite3
import time
from collections.abc import Sequence
from typing import Any

from sluice import _errors, _outcome, _values
from sluice._values import Value

_WRITES = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)
# A name before a parenthesis is a function, but for a table behind INTO and these words. Within a text it may be
# none; then the statement goes by the turn for nothing.
_TABLE = re.compile(r"\bINTO\s+\w+\s*\(", re.IGNORECASE)
_WORDS = """
    ALL AND AS BETWEEN BY CASE CAST CONFLICT ELSE EXISTS FROM IN IS JOIN LIKE NOT ON OR RETURNING SELECT SET THEN UNION
    USING VALUES WHEN WHERE
"""
_CALL = re.compile(rf"\b(?!(?:{'|'.join(_WORDS.split())})\b)[A-Za-z_]\w*\s*\(", re.IGNORECASE)
# The module `sqlite3` keeps the last 128 statements with their texts, and the text of a PRAGMA has the values.
_MOST_CHARACTERS = 1 << 18
_JULIAN_DAY_OF_EPOCH = 2440587.5
_DAY_S = 86400.0


@dataclasses.dataclass(frozen=True)
class Done:
    """What a statement has done."""

    rows: list[tuple[Value, ...]]
    """What it returned."""
    changes: int
    """Rows that it inserted, changed or deleted itself, without those of triggers."""
    last_row_id: int


def may_be_batch(query: str) -> bool:
    """Whether the statement, with `?` for its parameters, does the same wherever it is executed."""
    return (
        _WRITES.match(query) is not None
        and ";" not in query.rstrip().removesuffix(";")
        and _CALL.search(_TABLE.sub("", query)) is None
    )


def submit(
    connection: sqlite3.Connection, query: str, parameters: Sequence[Any], timeout_s: float
) -> Done | None:
    """Executes a statement in the applier; None where nothing was done and it is to be executed by the turn.

    It is done once or not at all: executed after `timeout_s` it would do nothing, by the applier's clock. Raises
    `sqlite3.IntegrityError`, and `sluice.OutcomeUnknown` where no outcome came in time.
    """
    try:
        values = [_values.encoded(_adapted(value)) for value in parameters]
        batch = json.dumps(_batch(query, values, timeout_s), allow_nan=False)
    except (TypeError, ValueError, OverflowError):
        # What SQLite says of such a value, it says itself.
        return None
    if len(batch) > _MOST_CHARACTERS:
        return None
    quoted = batch.replace("'", "''")
    try:
        row = connection.execute(f"PRAGMA sluice_submit('{quoted}')").fetchone()
    except sqlite3.Error as error:
        told = _errors.from_pragma(error)
        if isinstance(told, _errors.OutcomeUnknown):
            raise told from error
        return None
    if row is None:
        # A plain file has no queue.
        return None
    try:
        outcome = _outcome.parsed(row[0])
    except _errors.Rejected as rejection:
        if rejection.code.startswith("SQLITE_CONSTRAINT"):
            raise _integrity_error(rejection) from None
        return None
    if outcome.rows is None:
        raise _errors.OutcomeUnknown(
            "outcomeUnknown",
            f"no outcome within {timeout_s:g} s; the statement is in the journal, and does nothing if it is executed "
            "from now on, by the applier's clock; see `sluice status`",
        )
    *rows, (changes, last_row_id) = outcome.rows
    return Done(rows, int(changes), int(last_row_id))  # type: ignore[arg-type]


def _batch(query: str, values: list[object], timeout_s: float) -> dict[str, object]:
    # An applier that comes later finds the statement in the journal: nobody waits for it any more.
    deadline = _JULIAN_DAY_OF_EPOCH + (time.time() + timeout_s) / _DAY_S
    return {
        "statements": [[query, values], ["SELECT changes(), last_insert_rowid()"]],
        "guards": [["SELECT julianday('now') < ?", [deadline]]],
        "results": True,
        # Whoever executes it is told, and nobody else has to deal with it.
        "unlisted": True,
        "alone": True,
        "timeout_ms": round(timeout_s * 1000),
    }


def _adapted(value: Any) -> Any:
    """The value as the module `sqlite3` would bind it."""
    if value is None or type(value) in (int, float, str, bytes, bytearray, memoryview, bool):
        return value
    return sqlite3.adapt(value, sqlite3.PrepareProtocol, value)


def _integrity_error(rejection: _errors.Rejected) -> sqlite3.IntegrityError:
    """As SQLite raises it here: "UNIQUE constraint failed: …"."""
    text = str(rejection).removeprefix(f"{rejection.code}: ")
    error = sqlite3.IntegrityError(re.sub(r"^statement 1: ", "", text))
    code = getattr(sqlite3, rejection.code, None)
    if code is not None:
        error.sqlite_errorcode, error.sqlite_errorname = code, rejection.code
    return error

"""A cursor on a store: its statements keep the turn of the transaction that they are in, or need none."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import Any, Protocol

from django.db.backends.sqlite3.base import SQLiteCursorWrapper

from sluice.django import asking, single, statement

# How long a transaction that works leaves it at most. A turn without a sign ends after two seconds.
_PAUSE_S = 0.5

# What has a connection execute a statement otherwise than the applier would, or not at all. They are asked for each
# time, since nobody tells when one is set.
_SETTINGS = (
    "count_changes",
    "defer_foreign_keys",
    "ignore_check_constraints",
    "query_only",
    "recursive_triggers",
    "reverse_unordered_selects",
    "writable_schema",
)


class Connected(Protocol):
    """What is used here of the backend's connection."""

    settings_dict: dict[str, Any]
    connection: Any
    # When the open transaction was last seen at work, by the monotonic clock.
    seen_at_work: float
    # Whether statements in autocommit mode may be executed by the applier.
    queues: bool
    # How the applier judges foreign keys.
    checks_foreign_keys: bool
    timeout_s: float


class StoreCursor(SQLiteCursorWrapper):
    """A cursor that tells of a transaction at work, and submits a statement by itself as a batch.

    SQLite has what a transaction has read and written in its cache. What a statement finds there passes by
    the store, which tells from reads and writes, and from any PRAGMA, that the holder of the turn works.
    """

    def __init__(self, connection: Any, database: Connected) -> None:
        super().__init__(connection)
        self._database = database
        # What the last statement has done, where the applier executed it.
        self._done: single.Done | None = None
        self._returns = False

    def execute(self, query: str, params: Any = None) -> Any:
        self._done = None
        if self._is_submitted(query, params):
            return self
        self._give_sign()
        return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        self._done = None
        self._give_sign()
        return super().executemany(query, param_list)

    @property
    def rowcount(self) -> int:
        return super().rowcount if self._done is None else self._done.changes

    @property
    def lastrowid(self) -> int | None:
        # Without an insert it is the connection's last one, as SQLite has it.
        known = None if self._done is None else self._done.last_row_id
        return super().lastrowid if known is None else known

    @property
    def description(self) -> Any:
        return super().description if self._done is None or self._returns else None

    def _is_submitted(self, query: str, params: Any) -> bool:
        if not self._database.queues or self.connection.in_transaction:
            return False
        # Else the module begins a transaction by itself.
        if self.connection.isolation_level is not None or not _is_sequence(params):
            return False
        found = statement.parsed(query)
        if found is None or not self._sees_what_applier_sees():
            return False
        text = query if params is None else self.convert_query(query)
        values = () if params is None else params
        # What it had to hand out is over, as ever; and one that is closed is refused before anything is done.
        self._hold([], found.returned)
        done = single.submit(self.connection, text, values, self._database.timeout_s)
        if done is None:
            return False
        if done.rows:
            self._hold(done.rows, found.returned)
        self._done, self._returns = done, found.returned is not None
        return True

    def _sees_what_applier_sees(self) -> bool:
        try:
            return (
                self._asked("PRAGMA foreign_keys") == [(int(self._database.checks_foreign_keys),)]
                and not any(self._is_set(name) for name in _SETTINGS)
                # `PRAGMA case_sensitive_like` does not tell what it is.
                and self._asked("SELECT 'a' LIKE 'A'") == [(1,)]
                # A temporary table, or one that is attached, may be what the statement means.
                and len(self._asked("PRAGMA database_list")) == 1
            )
        except sqlite3.Error:
            # Its program does not let it ask.
            return False

    def _is_set(self, name: str) -> bool:
        return any(value for (value,) in self._asked(f"PRAGMA {name}"))

    def _asked(self, sql: str) -> list[tuple[Any, ...]]:
        return asking.rows(self.connection, sql)

    def _hold(self, rows: list[tuple[Any, ...]], returned: str | None) -> None:
        """Has `fetchone()` and the others hand out these rows, as SQLite would."""
        execute = super(SQLiteCursorWrapper, self).execute
        if not rows:
            execute(f'SELECT NULL AS "{returned}" WHERE 0')
            return
        places = ", ".join(["(?)"] * len(rows))
        execute(
            f'WITH r("{returned}") AS (VALUES {places}) SELECT "{returned}" FROM r',
            [value for row in rows for value in row],
        )

    def _give_sign(self) -> None:
        database, now = self._database, time.monotonic()
        if now - database.seen_at_work >= _PAUSE_S and self.connection.in_transaction:
            database.seen_at_work = now
            self._asked("PRAGMA sluice_txid")


def _is_sequence(params: Any) -> bool:
    """Whether it is read again, and by position, where the statement is executed by the turn after all."""
    return params is None or hasattr(params, "__getitem__") and not isinstance(params, Mapping)

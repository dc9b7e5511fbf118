"""A cursor on a store: its statements keep the turn of the transaction that they are in, or need none."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Protocol

from django.db.backends.sqlite3.base import SQLiteCursorWrapper

from sluice.django import single

# How long a transaction that works leaves it at most. A turn without a sign ends after two seconds.
_PAUSE_S = 0.5

# What makes a connection execute a statement otherwise than the applier would.
_SETTING = re.compile(
    r"\s*PRAGMA\s+(?:\w+\.)?(?:case_sensitive_like|defer_foreign_keys|ignore_check_constraints|recursive_triggers"
    r"|reverse_unordered_selects|writable_schema)\s*[=(]",
    re.IGNORECASE,
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

    def execute(self, query: str, params: Any = None) -> Any:
        self._done = None
        if is_setting(query):
            self._database.queues = False
        if self._may_be_batch(query, params) and self._is_submitted(query, params):
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
        return super().lastrowid if self._done is None else self._done.last_row_id or None

    @property
    def description(self) -> Any:
        return super().description if self._done is None or self._done.rows else None

    def _may_be_batch(self, query: str, params: Any) -> bool:
        database = self._database
        return (
            database.queues
            and not isinstance(params, Mapping)
            and single.may_be_batch(query)
            # Else the module begins a transaction by itself.
            and database.connection.isolation_level is None
            and not database.connection.in_transaction
            and self._sees_what_applier_sees()
        )

    def _sees_what_applier_sees(self) -> bool:
        connection = self._database.connection
        (checks,) = connection.execute("PRAGMA foreign_keys").fetchone()
        # A temporary table, or one that is attached, may be what the statement means.
        databases = connection.execute("PRAGMA database_list").fetchall()
        return bool(checks) == self._database.checks_foreign_keys and len(databases) == 1

    def _is_submitted(self, query: str, params: Any) -> bool:
        text = query if params is None else self.convert_query(query)
        done = single.submit(
            self._database.connection, text, params or (), self._database.timeout_s
        )
        if done is None:
            return False
        self._hold(done.rows)
        self._done = done
        return True

    def _hold(self, rows: list[tuple[Any, ...]]) -> None:
        """Has `fetchone()` and the others hand out these rows."""
        if not rows:
            super(SQLiteCursorWrapper, self).execute("SELECT NULL WHERE 0")
            return
        places = ", ".join(["(" + ", ".join("?" * len(rows[0])) + ")"] * len(rows))
        super(SQLiteCursorWrapper, self).execute(
            f"VALUES {places}", [value for row in rows for value in row]
        )

    def _give_sign(self) -> None:
        database, now = self._database, time.monotonic()
        if now - database.seen_at_work >= _PAUSE_S and database.connection.in_transaction:
            database.seen_at_work = now
            database.connection.execute("PRAGMA sluice_txid").close()


def is_setting(query: str) -> bool:
    """Whether the statement has the connection execute others otherwise than the applier would."""
    return _SETTING.match(query) is not None

"""A cursor on a store: its statements keep the turn of the transaction that they are in."""

from __future__ import annotations

import time
from typing import Any, Protocol

from django.db.backends.sqlite3.base import SQLiteCursorWrapper

# How long a transaction that works leaves it at most. A turn without a sign ends after two seconds.
_PAUSE_S = 0.5


class Connected(Protocol):
    """What is used here of the backend's connection."""

    settings_dict: dict[str, Any]
    connection: Any
    # When the open transaction was last seen at work, by the monotonic clock.
    seen_at_work: float


class StoreCursor(SQLiteCursorWrapper):
    """A cursor that tells of a transaction at work.

    SQLite has what a transaction has read and written in its cache. What a statement finds there passes by
    the store, which tells from reads and writes, and from any PRAGMA, that the holder of the turn works.
    """

    def __init__(self, connection: Any, database: Connected) -> None:
        super().__init__(connection)
        self._database = database

    def execute(self, query: str, params: Any = None) -> Any:
        self._give_sign()
        return super().execute(query, params)

    def executemany(self, query: str, param_list: Any) -> Any:
        self._give_sign()
        return super().executemany(query, param_list)

    def _give_sign(self) -> None:
        database, now = self._database, time.monotonic()
        if now - database.seen_at_work >= _PAUSE_S and database.connection.in_transaction:
            database.seen_at_work = now
            database.connection.execute("PRAGMA sluice_txid").close()

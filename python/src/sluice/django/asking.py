"""What the backend asks a connection for itself."""

from __future__ import annotations

import sqlite3
from typing import Any


def rows(connection: sqlite3.Connection, sql: str) -> list[tuple[Any, ...]]:
    """The rows as they are, whatever `row_factory` the program has set on the connection."""
    return sqlite3.Cursor(connection).execute(sql).fetchall()

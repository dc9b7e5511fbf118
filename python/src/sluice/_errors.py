"""What can go wrong. All are `sqlite3.OperationalError`, so that code for SQLite catches them."""

from __future__ import annotations

import sqlite3


class StoreError(sqlite3.OperationalError):
    """A store cannot be opened, or something else of it has failed.

    `code` is a word to act on, such as `noSuchStore`, `damaged` or `invalid`.
    """

    __module__ = "sluice"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Rejected(StoreError):
    """The batch was executed and nothing of it was done. Submit another under a new key.

    `code` is SQLite's name, such as `SQLITE_CONSTRAINT_UNIQUE`, or one such as `guardFailed`.
    """

    __module__ = "sluice"

    def __init__(self, code: str, message: str, txid: int) -> None:
        super().__init__(code, f"{code}: {message}")
        self.txid = txid


class NotSubmitted(StoreError):
    """The batch is certainly not in the journal. It can be submitted again."""

    __module__ = "sluice"


class OutcomeUnknown(StoreError):
    """The batch may or may not be in the journal; or it is, and what becomes of it cannot be read.

    Submitting it again under the same key does it once, whichever it was.
    """

    __module__ = "sluice"


class Timeout(StoreError):
    """No outcome came in time. The batch is durable, and is applied when an applier runs.

    Ask again with `Writer.outcome(key)`, or submit it again under the same key.
    """

    __module__ = "sluice"

    def __init__(self, message: str, key: str | None) -> None:
        super().__init__("timeout", message)
        self.key = key


_CLASSES = {
    "outcomeUnknown": OutcomeUnknown,
    "notSubmitted": NotSubmitted,
    "backlogFull": NotSubmitted,
    "limit": NotSubmitted,
    "invalid": NotSubmitted,
}


def from_pragma(error: sqlite3.Error) -> sqlite3.Error:
    """The error behind the text `code: message` of a PRAGMA; `error` where that is not its form."""
    code, colon, message = str(error).partition(": ")
    if not colon or not code.isalpha():
        return error
    return _CLASSES.get(code, StoreError)(code, message)

"""The errors of a COMMIT that a site may want to tell apart, as Django's own errors.

Both are `django.db.OperationalError`, so code that knows nothing of them goes on as before.
"""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Any

from django.db.utils import DatabaseErrorWrapper, OperationalError

import sluice
from sluice.django import asking

# SQLite's extended result codes. The module `sqlite3` names them from Python 3.11 on.
_BUSY_SNAPSHOT = 517
_IOERR_FSYNC = 1034

# What SQLite says where the store, and not the statement, is what has failed.
_OF_THE_STORE = frozenset(
    {
        "SQL logic error",
        "access permission denied",
        "attempt to write a readonly database",
        "database is locked",
        "database or disk is full",
        "disk I/O error",
    }
)


class TransactionConflict(OperationalError):
    """The database has changed since the transaction began. Nothing of it was done; run it again.

    `sluice.django.retry` does so. Before Python 3.11 the module `sqlite3` does not tell this from
    "database is locked" after the timeout, so that is a `TransactionConflict` there, too.
    """


class OutcomeUnknown(OperationalError):
    """The transaction may or may not be done: no outcome came in time.

    Read the database to find out which. To run it again blindly may do it twice. Before Python 3.11 the
    module `sqlite3` does not tell this from any other "disk I/O error", so that is one, too.
    """


class ErrorWrapper(DatabaseErrorWrapper):
    """Django's translation of driver errors, with the two above and what the extension says of them."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, sqlite3.OperationalError):
            told = self._known(error) or self._explained(error)
            if told is not None:
                self.wrapper.errors_occurred = True
                raise told.with_traceback(trace) from error
        super().__exit__(kind, error, trace)

    def _explained(self, error: sqlite3.OperationalError) -> OperationalError | None:
        """The error with the extension's own sentence, where it has one: SQLite tells a code only."""
        reason = self._reason() if str(error) in _OF_THE_STORE else None
        return OperationalError(f"{error}: {reason}") if reason else None

    def _known(self, error: sqlite3.OperationalError) -> OperationalError | None:
        if isinstance(error, sluice.OutcomeUnknown):
            return OutcomeUnknown(str(error))
        code: Any = getattr(error, "sqlite_errorcode", None)
        if code == _BUSY_SNAPSHOT or (code is None and str(error) == "database is locked"):
            text = (
                "the database has changed since the transaction began; nothing of it was done, run "
                "it again (sluice.django.retry does)"
            )
            reason = self._reason()
            return TransactionConflict(f"{text}: {reason}" if reason else text)
        if code == _IOERR_FSYNC or (code is None and str(error) == "disk I/O error"):
            text = (
                "it is not known whether the transaction was committed: no outcome came in time; "
                "read the database before you repeat it"
            )
            reason = self._reason() if code is None else None
            return OutcomeUnknown(f"{text}: {reason}" if reason else text)
        return None

    def _reason(self) -> str | None:
        """The extension's sentence of this connection's last failed call."""
        if self.wrapper.connection is None:
            return None
        try:
            rows = asking.rows(self.wrapper.connection, "PRAGMA sluice_error")
        except sqlite3.Error:
            return None
        return str(rows[0][0]) if rows and rows[0][0] else None

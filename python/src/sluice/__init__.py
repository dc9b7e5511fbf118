"""Sluice: one SQLite database on a shared network file system, written by many processes.

`connect` opens a store as a `sqlite3.Connection`; `Writer` submits batches to it.
"""

from sluice._connect import connect, uri
from sluice._errors import NotSubmitted, OutcomeUnknown, Rejected, StoreError, Timeout
from sluice._load import library, load
from sluice._outcome import Outcome
from sluice._values import Value
from sluice._writer import Statement, Writer

__all__ = [
    "NotSubmitted",
    "Outcome",
    "OutcomeUnknown",
    "Rejected",
    "Statement",
    "StoreError",
    "Timeout",
    "Value",
    "Writer",
    "connect",
    "library",
    "load",
    "uri",
]

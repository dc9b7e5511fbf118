"""How a transaction begins: SQLite's word after BEGIN, which decides when it takes the turn."""

from __future__ import annotations

from enum import Enum


class Mode(Enum):
    IMMEDIATE = "IMMEDIATE"
    """Takes the turn as it begins, so that nothing is committed between what it reads and writes."""
    EXCLUSIVE = "EXCLUSIVE"
    """As IMMEDIATE: readers of a store are never locked out."""
    DEFERRED = "DEFERRED"
    """Takes the turn with its first write; that is a conflict where what it has read is out of date."""

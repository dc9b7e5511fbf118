"""SQL values as JSON, in which batches are handed over."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any, Union

Value = Union[None, bool, int, float, str, bytes, bytearray, memoryview]
"""What a parameter can be."""


def encoded(value: Value) -> object:
    """A value as JSON has it: bytes in base64, and what SQLite has no value for refused."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (bool, int)):
        if not -(1 << 63) <= value < 1 << 63:
            raise OverflowError(f"{value} does not fit the 64 bits of an SQL integer")
        return int(value)
    if isinstance(value, float):
        if math.isinf(value):
            raise ValueError("a batch cannot hold an infinite number")
        # SQLite takes what is no number for NULL.
        return None if math.isnan(value) else value
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"base64": base64.b64encode(bytes(value)).decode("ascii")}
    raise TypeError(f"a {type(value).__name__} is no SQL value; convert it before")


def decoded(value: Any) -> Value:
    """A value of a result row."""
    if isinstance(value, Mapping):
        return base64.b64decode(value["base64"])
    result: Value = value
    return result

"""What became of a batch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sluice import _values
from sluice._errors import Rejected
from sluice._values import Value


@dataclass(frozen=True)
class Outcome:
    """What became of a batch that was not rejected.

    `status` is `applied`; or `duplicate`, and all else is of the first batch with the key; or
    `durable`, and nothing else is known yet.
    """

    status: str
    txid: int | None = None
    """The batch's place in the order of all batches."""
    changes: int | None = None
    """Rows inserted, changed or deleted, by triggers too."""
    last_row_id: int | None = None
    """The last rowid inserted; None where none was."""
    rows: list[tuple[Value, ...]] | None = None
    """What the statements returned, where the batch asked for it."""
    key: str | None = None


def parsed(text: str) -> Outcome:
    """The answer of a PRAGMA; raises `Rejected` where it is one."""
    answer: dict[str, Any] = json.loads(text)
    error = answer.get("error")
    if error is not None:
        raise Rejected(error["code"], error["message"], answer["txid"])
    rows = answer.get("rows")
    return Outcome(
        status=answer["status"],
        txid=answer.get("txid"),
        changes=answer.get("changes"),
        last_row_id=answer.get("lastRowID"),
        rows=None if rows is None else [tuple(map(_values.decoded, row)) for row in rows],
        key=answer.get("id"),
    )

"""Blocks that say whether they take the turn, and blocks that are run again after a conflict."""

from __future__ import annotations

import functools
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar, overload

from django.db import transaction

from sluice.django.errors import TransactionConflict
from sluice.django.mode import Mode

_Function = TypeVar("_Function", bound=Callable[..., Any])

# The pause before the second attempt, in seconds; it doubles with each, up to the longest.
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 1.0


class _Block(transaction.Atomic):
    """`transaction.atomic`, beginning in a mode of its own where it is the outermost block."""

    def __init__(self, using: str | None, mode: Mode, durable: bool = False) -> None:
        super().__init__(using, savepoint=True, durable=durable)
        self.mode = mode

    def __enter__(self) -> None:
        connection = transaction.get_connection(self.using)
        chosen = getattr(connection, "begin_in", None)
        if chosen is None:
            # The database of another backend, which has no turn to take.
            return super().__enter__()
        with chosen(self.mode):
            super().__enter__()


def immediate(using: str | None = None) -> transaction.Atomic:
    """`transaction.atomic(using)` that takes the turn as it begins, in a GET request, too.

    A context manager and a decorator. Within a block that has begun without the turn it raises
    `TransactionManagementError`, as what was read there may be out of date by then.
    """
    return _Block(using, Mode.IMMEDIATE)


def snapshot(using: str | None = None) -> transaction.Atomic:
    """`transaction.atomic(using)` that takes no turn: its queries see one state and hold up nobody.

    A context manager and a decorator. A write in it takes the turn then. It raises
    `TransactionConflict` where something was committed after the block's first query.
    """
    return _Block(using, Mode.DEFERRED)


@overload
def retry(function: _Function) -> _Function: ...


@overload
def retry(
    function: None = None, *, using: str | None = None, attempts: int = 10
) -> Callable[[_Function], _Function]: ...


def retry(
    function: Callable[..., Any] | None = None, *, using: str | None = None, attempts: int = 10
) -> Any:
    """Runs a function in an atomic block that takes the turn, and again after a `TransactionConflict`.

    A decorator: `@retry` or `@retry(using="orders", attempts=3)`. The function runs up to `attempts`
    times, so what it does beside the database belongs into `transaction.on_commit`. The last conflict
    is raised; every other error is raised at once, `OutcomeUnknown` as well. Within an atomic block
    it raises `RuntimeError`, since only the whole transaction can be run again.
    """
    if function is None:
        return functools.partial(retry, using=using, attempts=attempts)
    if attempts < 1:
        raise ValueError(f"attempts is {attempts}; a function that is to run needs 1")
    body = function

    @functools.wraps(body)
    def run(*arguments: Any, **named: Any) -> Any:
        pause = _FIRST_PAUSE
        for _ in range(attempts - 1):
            try:
                return once(*arguments, **named)
            except TransactionConflict:
                # At random, so that those who have met do not meet again.
                time.sleep(random.uniform(0, pause))
                pause = min(2 * pause, _LONGEST_PAUSE)
        return once(*arguments, **named)

    def once(*arguments: Any, **named: Any) -> Any:
        with _Block(using, Mode.IMMEDIATE, durable=True):
            return body(*arguments, **named)

    return run

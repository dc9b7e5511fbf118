"""A process's handle on a store's journal."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Union

from sluice import _errors, _outcome, _values
from sluice._connect import Path, connect
from sluice._errors import Timeout
from sluice._outcome import Outcome
from sluice._values import Value

Statement = Union[str, "tuple[str]", "tuple[str, Sequence[Value]]"]
"""SQL, alone or with the parameters that it is executed with."""


class Writer:
    """Submits batches to a store and learns what became of them.

    Any number of threads may use one; their batches go into the journal together. In a child that
    was forked it goes on under a name of its own.
    """

    def __init__(self, store: Path) -> None:
        self._store = os.fspath(store)
        self._lock = threading.Lock()
        self._idle: list[sqlite3.Connection] = []
        self._process = os.getpid()
        self._closed = False
        # Says now that there is no such store.
        self._idle.append(self._open())

    def submit(
        self,
        statements: str | Iterable[Statement],
        parameters: Sequence[Value] = (),
        *,
        key: str | None = None,
        guards: Iterable[Statement] = (),
        results: bool = False,
        wait: str = "applied",
        timeout: float = 30.0,
    ) -> Outcome:
        """Submits one batch: SQL with its parameters, or a list of such. It is done whole, or not at all.

        A batch with a `key` is applied once in 24 hours, however often it is submitted. `guards` are
        queries that must each return one true value. With `results` the outcome has the rows that the
        statements return. `wait="durable"` returns as soon as the batch cannot be lost.

        Raises `Rejected`; `Timeout` where no outcome came within `timeout` seconds, though the batch is
        durable; `NotSubmitted`; `OutcomeUnknown`.
        """
        if isinstance(statements, str):
            batch: dict[str, object] = {"statements": [_statement((statements, parameters))]}
        else:
            if len(parameters):
                raise TypeError("each statement of a list has its own parameters")
            batch = {"statements": [_statement(one) for one in statements]}
        conditions = [_statement(one) for one in guards]
        if conditions:
            batch["guards"] = conditions
        if key is not None:
            batch["id"] = key
        if results:
            batch["results"] = True
        if wait == "durable":
            batch["wait"] = wait
        elif wait == "applied":
            batch["timeout_ms"] = round(timeout * 1000)
        else:
            raise ValueError('wait is "applied" or "durable"')
        answer = self._ask("submit", json.dumps(batch, allow_nan=False))
        outcome = _outcome.parsed(answer)
        if outcome.status == "durable" and wait == "applied":
            raise Timeout(
                f"no outcome within {timeout:g} s; the batch is durable and will be applied when an "
                f"applier runs (see `sluice status {self._store}`)",
                key,
            )
        return outcome

    def outcome(self, key: str) -> Outcome | None:
        """What became of the first batch with this key; None where none was executed in 24 hours.

        Raises `Rejected` where it was rejected.
        """
        answer = self._ask("outcome", key)
        return None if answer == "null" else _outcome.parsed(answer)

    async def submit_async(
        self,
        statements: str | Iterable[Statement],
        parameters: Sequence[Value] = (),
        *,
        key: str | None = None,
        guards: Iterable[Statement] = (),
        results: bool = False,
        wait: str = "applied",
        timeout: float = 30.0,
    ) -> Outcome:
        """As `submit`, in a thread. To cancel it does not take the batch back."""
        return await asyncio.to_thread(
            self.submit,
            statements,
            parameters,
            key=key,
            guards=guards,
            results=results,
            wait=wait,
            timeout=timeout,
        )

    async def outcome_async(self, key: str) -> Outcome | None:
        """As `outcome`, in a thread."""
        return await asyncio.to_thread(self.outcome, key)

    def close(self) -> None:
        """Ends this process's part of the journal. What was submitted stays durable."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        if self._process == os.getpid():
            for connection in idle:
                connection.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        return connect(self._store, isolation_level=None, check_same_thread=False)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """A connection that nobody else uses meanwhile."""
        if self._process != os.getpid():
            # The lock may be held by a thread that this child does not have; the connections are its
            # parent's, and are left alone.
            self._lock = threading.Lock()
            self._process, self._inherited, self._idle = os.getpid(), self._idle, []
        with self._lock:
            if self._closed:
                raise ValueError("the writer is closed; open another one")
            connection = self._idle.pop() if self._idle else None
        connection = connection or self._open()
        try:
            yield connection
        finally:
            with self._lock:
                keeps = not self._closed
                if keeps:
                    self._idle.append(connection)
            if not keeps:
                connection.close()

    def _ask(self, pragma: str, argument: str) -> str:
        quoted = argument.replace("'", "''")
        with self._connection() as connection:
            try:
                row = connection.execute(f"PRAGMA sluice_{pragma}('{quoted}')").fetchone()
            except sqlite3.Error as error:
                raise _errors.from_pragma(error) from error
        return str(row[0])


def _statement(one: Statement) -> list[object]:
    if isinstance(one, str):
        return [one]
    sql, *rest = one
    if not isinstance(sql, str) or len(rest) > 1:
        raise TypeError("a statement is SQL, or (SQL, parameters)")
    parameters = rest[0] if rest else ()
    if isinstance(parameters, (str, bytes, bytearray, memoryview)):
        raise TypeError("parameters are a list or a tuple")
    return [sql, [_values.encoded(value) for value in parameters]]

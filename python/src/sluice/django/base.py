"""The connection: Django's own backend for SQLite, on a store in place of a file."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django
from django.core.exceptions import ImproperlyConfigured
from django.db.backends.sqlite3 import base
from django.db.transaction import TransactionManagementError
from django.db.utils import InterfaceError
from django.utils.functional import cached_property

import sluice
from sluice import _load
from sluice.django import assist, checks, requests
from sluice.django.client import DatabaseClient
from sluice.django.creation import DatabaseCreation
from sluice.django.cursor import StoreCursor
from sluice.django.errors import ErrorWrapper
from sluice.django.features import DatabaseFeatures
from sluice.django.introspection import DatabaseIntrospection
from sluice.django.mode import Mode

# How long a statement waits for the turn, in seconds, unless OPTIONS say so: long enough for another
# applier to take over from one that has died, which takes a lease of 10 seconds and a moment.
_TIMEOUT_S = 30.0
_LEAST_TIMEOUT_OF_QUEUE_S = 1.0

# From this version on Django's own backend knows `transaction_mode` and `init_command`.
_KNOWS_MODES = django.VERSION >= (5, 1)

checks.register()
requests.connect_signals()


class DatabaseWrapper(base.DatabaseWrapper):
    """A connection to a store, or, in tests, to Django's database in memory."""

    client_class = DatabaseClient
    creation_class = DatabaseCreation
    features_class = DatabaseFeatures
    introspection_class = DatabaseIntrospection

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._process = os.getpid()
        # The mode of the next outermost block, where it was chosen for that one.
        self._chosen: Mode | None = None
        # The mode in which the open block has begun; of no meaning where none is open.
        self._begun: Mode | None = None
        self._mode: Mode | None = None
        # Whether this process sees to an applier by itself.
        self._assists = False
        self.seen_at_work = 0.0
        self.queues = False
        self.checks_foreign_keys = True
        self.timeout_s = _TIMEOUT_S

    @cached_property
    def wrap_database_errors(self) -> ErrorWrapper:
        return ErrorWrapper(self)

    # Opening

    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()
        if not _KNOWS_MODES:
            self.transaction_mode = parameters.pop("transaction_mode", None)
            self.init_commands = parameters.pop("init_command", "").split(";")
        # Written by who followed the documentation of django_sqlite_efs, where it has no effect.
        parameters.pop("init_commands", None)
        self._assists = bool(parameters.pop("assist", False)) and not self.is_in_memory_db()
        if self._assists:
            assist.connect_signals()
        self.queues = bool(parameters.pop("queue", True)) and not self.is_in_memory_db()
        self._mode = self._configured_mode()
        if not self.is_in_memory_db():
            parameters["database"] = self.uri(os.fspath(self.settings_dict["NAME"]))
            self.timeout_s = float(parameters.setdefault("timeout", _TIMEOUT_S))
            # Who gives up so soon wants to know that nothing was done, which only the turn can say.
            self.queues = self.queues and self.timeout_s >= _LEAST_TIMEOUT_OF_QUEUE_S
        return parameters

    def uri(self, store: str) -> str:
        """What is opened for this NAME."""
        return sluice.uri(store)

    def get_new_connection(self, conn_params: dict[str, Any]) -> sqlite3.Connection:
        if not self.is_in_memory_db():
            self.prepare(os.fspath(self.settings_dict["NAME"]))
        try:
            connection: sqlite3.Connection = super().get_new_connection(conn_params)
        except sqlite3.OperationalError as error:
            raise self.explained(error) from error
        if not _KNOWS_MODES:
            for command in filter(None, map(str.strip, self.init_commands)):
                connection.execute(command)
        self._process = os.getpid()
        if self.queues:
            store = self.settings_dict["NAME"]
            self.checks_foreign_keys = checks.foreign_keys_are_checked(store)
        return connection

    def prepare(self, store: str) -> None:
        """What comes before opening; raises `sluice.StoreError` where there is no store."""
        mistake = checks.mistaken_name(store)
        if mistake:
            raise sluice.StoreError("noSuchStore", mistake)
        sluice.load()

    def explained(self, error: sqlite3.OperationalError) -> sqlite3.OperationalError:
        """An error of opening, with the extension's sentence, as SQLite tells a code only."""
        reason = "" if self.is_in_memory_db() else _load.last_error()
        return sluice.StoreError("cannotOpen", reason) if reason else error

    def _configured_mode(self) -> Mode | None:
        """The mode that OPTIONS name; for a store IMMEDIATE unless they do."""
        name = self.transaction_mode
        if name is None:
            return None if self.is_in_memory_db() else Mode.IMMEDIATE
        try:
            return Mode(name.upper())
        except ValueError:
            raise ImproperlyConfigured(
                f"settings.DATABASES[{self.alias!r}]['OPTIONS']['transaction_mode'] is {name!r}; "
                "write 'IMMEDIATE' (the default), 'DEFERRED' or 'EXCLUSIVE'"
            ) from None

    def create_cursor(self, name: str | None = None) -> Any:
        if self.is_in_memory_db():
            return super().create_cursor(name)
        kind = assist.AssistedCursor if self._assists else StoreCursor
        return self.connection.cursor(factory=lambda connection: kind(connection, self))

    # Transactions

    @contextmanager
    def begin_in(self, mode: Mode) -> Iterator[None]:
        """An outermost block that begins within it begins in this mode."""
        if self.in_atomic_block:
            if mode is Mode.IMMEDIATE and self._begun is Mode.DEFERRED:
                raise TransactionManagementError(
                    "the transaction has begun without the turn, and cannot be made to have taken it "
                    "first; let immediate() or retry() be its outermost block (a GET request under "
                    "ATOMIC_REQUESTS: decorate the view with transaction.non_atomic_requests)"
                )
            yield
            return
        self._chosen = mode
        try:
            yield
        finally:
            self._chosen = None

    def _start_transaction_under_autocommit(self) -> None:
        self._begun = self._mode_of_block()
        self.seen_at_work = time.monotonic()
        self.cursor().execute(f"BEGIN {self._begun.value}" if self._begun else "BEGIN")

    def _commit(self) -> None:
        try:
            super()._commit()
        finally:
            assist.settle(self)

    def _rollback(self) -> None:
        try:
            super()._rollback()
        finally:
            assist.settle(self)

    def _mode_of_block(self) -> Mode | None:
        if self._mode is None:
            return None
        if self._chosen is not None:
            return self._chosen
        if self.settings_dict["ATOMIC_REQUESTS"] and requests.begins_block(self.alias):
            return Mode.DEFERRED
        return self._mode

    def _set_autocommit(self, autocommit: bool) -> None:
        super()._set_autocommit(autocommit)
        if not autocommit and self._mode:
            # The module `sqlite3` then begins by itself, before the first INSERT, UPDATE or DELETE.
            self.connection.isolation_level = self._mode.value

    # Forks

    # Not `ensure_connection`, before which it would be simpler: tests replace that of Django's base class, and
    # call this class's from there.
    def _cursor(self, name: str | None = None) -> Any:
        self._leave_if_forked()
        return super()._cursor(name)

    def set_autocommit(self, *arguments: Any, **named: Any) -> None:
        self._leave_if_forked()
        super().set_autocommit(*arguments, **named)

    def _leave_if_forked(self) -> None:
        if self.connection is not None and self._process != os.getpid():
            self._leave_to_parent()

    def _close(self) -> None:
        if self.connection is not None and self._process != os.getpid():
            _inherited.append(self.connection)
            return
        try:
            super()._close()
        finally:
            assist.settle(self, is_closed=True)

    def _leave_to_parent(self) -> None:
        """In a child: the parent's connection is refused to it, so that it opens its own."""
        if self.is_in_memory_db():
            return
        if self.in_atomic_block:
            raise InterfaceError(
                "the process was forked within an atomic block; the transaction is its parent's. "
                "Fork outside of it"
            )
        _inherited.append(self.connection)
        self.connection: Any = None


# Connections of the parent, kept so that nothing closes them: that would act on the parent's behalf.
_inherited: list[sqlite3.Connection] = []

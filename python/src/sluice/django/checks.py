"""What settings say that a store cannot do, or need not be told any more, and what to write instead.

Most of it is for sites that come from django_sqlite_efs.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core import checks
from django.db import connections

ENGINE = "sluice.django"
LOCK_TABLE = "SQLITE_LOCK_DYNAMODB_TABLE"
_LOCK_EXPIRATION = "SQLITE_LOCK_EXPIRATION"
_LOCK_ATTEMPTS = "SQLITE_LOCK_MAX_ATTEMPTS"
LOCK_SETTINGS = (_LOCK_EXPIRATION, _LOCK_ATTEMPTS, LOCK_TABLE)


def register() -> None:
    """Has `manage.py check`, and all commands that check first, run these; once, however often called."""
    checks.register(check_settings)


def check_settings(app_configs: Any = None, **_: Any) -> list[checks.CheckMessage]:
    """The settings of each database that is a store, and those of django_sqlite_efs."""
    stores = {
        alias: values
        for alias, values in connections.settings.items()
        if values["ENGINE"] == ENGINE
    }
    found: list[checks.CheckMessage] = []
    for alias, values in stores.items():
        found += _check_database(alias, values)
    if stores:
        found += _check_lock_settings([str(values["NAME"]) for values in stores.values()])
    return found


def setting(name: str) -> str | None:
    """A setting of django_sqlite_efs, which reads Django's settings and then the environment."""
    value = getattr(settings, name, None)
    return str(value) if value is not None else os.environ.get(name)


def is_store(path: str | os.PathLike[str]) -> bool:
    return (pathlib.Path(path) / "store.json").is_file()


def mistaken_name(name: str) -> str | None:
    """Why this NAME is no store, and what to do; None where it is one."""
    path = pathlib.Path(name)
    if is_store(path):
        return None
    if path.is_file():
        return (
            f"{name} is a file, and NAME is to be a store. Stop the site, make a store of the file "
            f"by `python -m sluice.django move STORE --from {name}`, and write STORE as NAME"
        )
    return f"there is no store at {name}; make one by `sluice init {name}`"


def _check_database(alias: str, values: dict[str, Any]) -> Iterator[checks.CheckMessage]:
    name = str(values["NAME"])
    if pathlib.Path(name).is_file():
        yield checks.Error(mistaken_name(name) or "", obj=f"DATABASES[{alias!r}]", id="sluice.E001")
    options = values.get("OPTIONS", {})
    place = f"DATABASES[{alias!r}]['OPTIONS']"
    if str(options.get("transaction_mode", "")).upper() == "DEFERRED":
        yield checks.Warning(
            "A block that reads and then writes raises TransactionConflict whenever somebody else "
            "commits in between.",
            hint="Remove 'transaction_mode', and use sluice.django.snapshot() where only is read.",
            obj=place,
            id="sluice.W001",
        )
    if "init_commands" in options:
        yield checks.Warning(
            "'init_commands' has no effect.",
            hint="Write 'init_command', with `;` between several; remove what was for EFS: "
            "synchronous, cache_spill and mmap_size change nothing on a store.",
            obj=place,
            id="sluice.W002",
        )


def _check_lock_settings(stores: list[str]) -> Iterator[checks.CheckMessage]:
    table = setting(LOCK_TABLE)
    if table is not None:
        for store in stores:
            if _lease(store) not in (None, f"dynamodb:{table}"):
                yield checks.Warning(
                    f"{LOCK_TABLE} is not read, and {store} does not use the table {table}.",
                    hint=f"`sluice config {store} --lease dynamodb:{table}` has its appliers elect "
                    f"each other by an item in that table; or remove {LOCK_TABLE}.",
                    id="sluice.W003",
                )
    if setting(_LOCK_EXPIRATION) is not None:
        yield checks.Warning(
            f"{_LOCK_EXPIRATION} has no effect.",
            hint="Remove it: no lock runs out. Who dies in a transaction holds up the others for two "
            "seconds, and who is too slow has it refused.",
            id="sluice.W004",
        )
    if setting(_LOCK_ATTEMPTS) is not None:
        yield checks.Warning(
            f"{_LOCK_ATTEMPTS} has no effect.",
            hint="Remove it. OPTIONS['timeout'] is how many seconds a write waits for its turn "
            "(30 unless given).",
            id="sluice.W005",
        )


def _lease(store: str) -> str | None:
    """The lease that `store.json` names; None where there is no store to ask."""
    described = _described(store)
    return None if described is None else str(described.get("lease", "file"))


def foreign_keys_are_checked(store: str | os.PathLike[str]) -> bool:
    """Whether the applier executes batches with foreign keys on; they are, unless `store.json` says otherwise."""
    return bool((_described(store) or {}).get("foreignKeys", True))


def _described(store: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What `store.json` has; None where there is no store to ask."""
    try:
        described: dict[str, Any] = json.loads(
            (pathlib.Path(store) / "store.json").read_text("utf-8")
        )
    except (OSError, ValueError):
        return None
    return described

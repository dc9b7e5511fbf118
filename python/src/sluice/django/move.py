"""Moves a site from a file of SQLite, with django_sqlite_efs or without, to a store.

The file is left as it is. It must not change meanwhile, since what is written into it after the copy
would be missing in the store; that is looked at before and after.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

from sluice import _command
from sluice.django import checks

_DONE, _USAGE, _NO_FILE, _TRY_AGAIN = 0, 64, 66, 75

_REPLACED_ENGINE = "django_sqlite_efs"
_FILE_ENGINES = (_REPLACED_ENGINE, "django.db.backends.sqlite3", checks.ENGINE)

# Where the file header of SQLite counts the transactions that changed the database.
_CHANGE_COUNTER = slice(24, 28)


class _Refusal(Exception):
    """The move is not made; the text says why and what to do."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class _Site:
    """What the settings say of the database that is moved."""

    alias: str
    engine: str
    name: str
    file: pathlib.Path
    options: dict[str, Any]
    lock_table: str | None
    lock_settings: tuple[str, ...]
    """Those of django_sqlite_efs that are there, in Django's settings or in the environment."""


def main(arguments: list[str]) -> int:
    """The command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        site = _site(options)
        table = options.lock_table or site.lock_table
        if not options.unlooked:
            _refuse_held_lock(site, table)
        _copy(site.file, options.store, table, options.timeout)
    except _Refusal as refusal:
        print(f"sluice: {refusal}", file=sys.stderr)
        return refusal.status
    print(_advice(site, options.store, table))
    return _DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sluice.django",
        description="Moves a site's database from a file of SQLite to a store. Stop the site before.",
    )
    commands = parser.add_subparsers(required=True, metavar="move")
    move = commands.add_parser("move", help="make a store of the database in the settings")
    move.add_argument("store", metavar="STORE", help="the store to make, a new directory")
    move.add_argument("--settings", help="the settings module; DJANGO_SETTINGS_MODULE unless given")
    move.add_argument("--database", default="default", metavar="ALIAS", help="which of DATABASES")
    move.add_argument("--from", dest="file", help="the file, where it is not what NAME says")
    move.add_argument(
        "--lock-table",
        metavar="TABLE",
        help=f"elect appliers by an item in this table of DynamoDB; {checks.LOCK_TABLE} unless given",
    )
    move.add_argument(
        "--no-lock-check",
        dest="unlooked",
        action="store_true",
        help="do not look whether the old lock is held, which takes the right to GetItem",
    )
    move.add_argument(
        "--timeout", type=float, default=30.0, metavar="S", help="how long a locked file is waited for"
    )
    return parser


def _site(options: argparse.Namespace) -> _Site:
    if options.settings:
        os.environ["DJANGO_SETTINGS_MODULE"] = options.settings
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        raise _Refusal(_USAGE, "name the settings by --settings or DJANGO_SETTINGS_MODULE")
    # As manage.py, which lies beside the settings' package.
    sys.path.insert(0, os.getcwd())
    from django.conf import settings

    try:
        databases = settings.DATABASES
    except ImportError as error:
        raise _Refusal(_USAGE, f"the settings cannot be imported: {error}") from error
    values = databases.get(options.database)
    if values is None:
        raise _Refusal(_USAGE, f"DATABASES has no {options.database!r}; it has {', '.join(databases)}")
    engine = values.get("ENGINE", "")
    if engine not in _FILE_ENGINES:
        raise _Refusal(_USAGE, f"{engine} is no database in a file; move its content by dumpdata")
    file = pathlib.Path(options.file or values.get("NAME") or "")
    if checks.is_store(file):
        raise _Refusal(_USAGE, f"{file} is a store already; there is nothing to move")
    if not file.is_file():
        raise _Refusal(_NO_FILE, f"there is no file {file}; name it by --from")
    return _Site(
        alias=options.database,
        engine=engine,
        name=str(values.get("NAME")),
        file=file,
        options=values.get("OPTIONS") or {},
        lock_table=checks.setting(checks.LOCK_TABLE),
        lock_settings=tuple(name for name in checks.LOCK_SETTINGS if checks.setting(name) is not None),
    )


def _refuse_held_lock(site: _Site, table: str | None) -> None:
    """Looks whether somebody holds the lock of django_sqlite_efs, who then is about to write."""
    if table is None or site.engine != _REPLACED_ENGINE:
        return
    try:
        import boto3  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        print(
            "note: boto3 is not installed, so nobody has looked whether the old lock is held",
            file=sys.stderr,
        )
        return
    try:
        answer = boto3.resource("dynamodb").Table(table).get_item(
            Key={"pk": f"database#{site.name}"}, ConsistentRead=True
        )
    # Its classes are made at run time, from what AWS describes.
    except Exception as error:
        raise _Refusal(
            _TRY_AGAIN,
            f"the table {table} does not say whether the lock of {site.name} is held: {error}. With the "
            "site stopped for longer than the lock lasts, --no-lock-check does without",
        ) from error
    item = answer.get("Item")
    if item and float(item["expires_at"]) > time.time():
        seconds = float(item["expires_at"]) - time.time()
        raise _Refusal(
            _TRY_AGAIN,
            f"the lock of {site.name} is held in the table {table} for {seconds:.0f} s more: stop the "
            "site, and run this again when the lock has run out",
        )


def _copy(file: pathlib.Path, store: str, table: str | None, timeout: float) -> None:
    lease = [] if table is None else ["--lease", f"dynamodb:{table}"]
    # SQLite rolls back what a dead writer left as it opens the file, which changes the file; so what
    # is compared is read after that.
    _recover(file, timeout)
    before = _state(file)
    done = subprocess.run(
        [_command.path(), "init", store, "--from", str(file), "--timeout", f"{timeout:g}", *lease],
        stdout=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        # The command has said why.
        raise _Refusal(done.returncode, f"no store was made; {file} is as it was")
    if _state(file) != before:
        raise _Refusal(
            _TRY_AGAIN,
            f"{file} has changed while it was copied: the site still runs, and {store} lacks what it "
            f"has written. Stop the site, remove {store}, and run this again",
        )


def _recover(file: pathlib.Path, timeout: float) -> None:
    connection = sqlite3.connect(file, timeout=timeout)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise _Refusal(_TRY_AGAIN, f"{file} cannot be read: {error}") from error
    finally:
        connection.close()


def _state(file: pathlib.Path) -> tuple[bytes, int, int | None, int | None]:
    """What each transaction changes: the change counter, and the sizes of the file and what lies beside it."""
    with open(file, "rb") as content:
        counter = content.read(100)[_CHANGE_COUNTER]
    journal, log = (_size(f"{file}{suffix}") for suffix in ["-journal", "-wal"])
    return counter, os.path.getsize(file), journal, log


def _size(path: str) -> int | None:
    try:
        # An empty one is what is left of a transaction that is done.
        return os.path.getsize(path) or None
    except FileNotFoundError:
        return None


def _listed(names: tuple[str, ...]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _advice(site: _Site, store: str, table: str | None) -> str:
    lines = [
        f"{store} has the content of {site.file}, which is as it was.",
        "",
        "In the settings:",
        f"    DATABASES[{site.alias!r}] = {{",
        f"        'ENGINE': {checks.ENGINE!r},",
        f"        'NAME': {os.path.abspath(store)!r},",
        *([f"        'OPTIONS': {{'timeout': {site.options['timeout']!r}}},"]
          if "timeout" in site.options else []),
        "    }",
        *([f"Remove {_listed(site.lock_settings)}."] if site.lock_settings else []),
        f"Start an applier, better two: sluice apply {store}",
    ]
    if table is not None:
        lines += [
            f"Appliers elect each other in the table {table}. Their rights there: GetItem, PutItem and",
            "UpdateItem; the site itself needs none any more.",
        ]
    lines.append(f"Then start the site, and when you are content remove {site.file}.")
    return "\n".join(lines)

"""A store whose log cannot be read for a while."""

import os
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unreadable(store: str) -> Iterator[None]:
    """No applier may be at work meanwhile.

    Who has its files open keeps on reading where only the name has gone, so their content goes, too.
    """
    log = pathlib.Path(store, "log")
    away = log.with_name("log.away")
    kept = {path.name: path.read_bytes() for path in log.iterdir() if path.is_file()}
    log.rename(away)
    for name in kept:
        os.truncate(away / name, 0)
    try:
        yield
    finally:
        for name, content in kept.items():
            with open(away / name, "r+b") as file:
                file.write(content)
        away.rename(log)

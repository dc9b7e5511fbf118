"""Stores that a test run makes and removes."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile

from sluice import _command
from sluice.django import appliers, checks

def make(path: str, *arguments: str) -> None:
    """Makes a store; raises `OSError` with the command's own words where it cannot."""
    _run("init", path, *arguments)


def copy(source: str, target: str) -> None:
    """Makes a store with the content of another, as it is now; an id of its own, and no history."""
    with tempfile.TemporaryDirectory(prefix="sluice-clone-") as directory:
        file = os.path.join(directory, "content.sqlite")
        _run("restore", source, "--into", file)
        make(target, "--from", file)


def remove(path: str) -> None:
    """Removes a store and all that is in it; raises `OSError` for a directory that is none."""
    appliers.stop(path)
    if not checks.is_store(path):
        raise OSError(f"{path} is no store, so it is not removed")
    shutil.rmtree(path)


def _run(*arguments: str) -> None:
    done = subprocess.run(
        [_command.path(), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if done.returncode != 0:
        raise OSError(done.stderr.strip() or f"sluice {arguments[0]} ended with {done.returncode}")

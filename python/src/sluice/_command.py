"""The command `sluice`, which lies in this package."""

from __future__ import annotations

import os
import pathlib
import sys
from typing import NoReturn


def path() -> str:
    return str(pathlib.Path(__file__).with_name("native") / "sluice")


def main() -> NoReturn:
    os.execv(path(), ["sluice", *sys.argv[1:]])

"""`manage.py dbshell`: the command `sluice shell` on the store."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

from django.db.backends.sqlite3 import client

from sluice import _command


class DatabaseClient(client.DatabaseClient):
    executable_name = _command.path()

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        return [cls.executable_name, "shell", os.fspath(settings_dict["NAME"]), *parameters], None

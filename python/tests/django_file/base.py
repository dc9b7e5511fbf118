"""`sluice.django.base` on a plain file."""

import urllib.parse

from django.db.backends.sqlite3.creation import DatabaseCreation
from sluice.django import base


class DatabaseWrapper(base.DatabaseWrapper):
    creation_class = DatabaseCreation

    def uri(self, store: str) -> str:
        return f"file:{urllib.parse.quote(store)}"

    def prepare(self, store: str) -> None:
        pass

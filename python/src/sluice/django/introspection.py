"""The tables of a store, without those in which Sluice keeps its own records."""

from __future__ import annotations

from typing import Any

from django.db.backends.sqlite3 import introspection

_OWN_TABLES = "_sluice_"


class DatabaseIntrospection(introspection.DatabaseIntrospection):
    def get_table_list(self, cursor: Any) -> Any:
        tables = super().get_table_list(cursor)
        return [table for table in tables if not table.name.startswith(_OWN_TABLES)]

"""What Django may expect of a store: what it expects of SQLite, but for the following."""

from __future__ import annotations

from django.db.backends.sqlite3 import features
from django.db.utils import OperationalError
from django.utils.functional import cached_property


class DatabaseFeatures(features.DatabaseFeatures):
    # A query that is not read to its end keeps its snapshot, and a write beside it is a conflict as
    # soon as somebody else commits: `for row in rows.iterator(): row.save()` would fail at random. So
    # the rows are fetched before the first is handed out.
    can_use_chunked_reads = False

    @cached_property
    def supports_json_field(self) -> bool:
        # Django asks this within an atomic block, which would take the turn, and take a store without
        # an applier for one without JSON.
        with self.connection.cursor() as cursor:
            try:
                cursor.execute("""SELECT JSON('{"a": "b"}')""")
            except OperationalError:
                return False
        return True

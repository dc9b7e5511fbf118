"""A database backend for Django whose database is a store: `ENGINE = "sluice.django"`.

The names below are for a site's own code. Django itself imports `sluice.django.base`.
"""

from sluice.django.errors import OutcomeUnknown, TransactionConflict
from sluice.django.transaction import immediate, retry, snapshot

__all__ = ["OutcomeUnknown", "TransactionConflict", "immediate", "retry", "snapshot"]

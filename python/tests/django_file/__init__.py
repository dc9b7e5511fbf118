"""The backend `sluice.django` with a plain SQLite file in place of a store, for tests alone.

Everything but the extension runs as it does on a store, on a database whose behaviour is known.
"""

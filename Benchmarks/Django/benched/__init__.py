"""The tables that are written."""

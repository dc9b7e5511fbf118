"""Makes SQLite know the file system `sluice`, once a process and library."""

from __future__ import annotations

import ctypes
import os
import pathlib
import sqlite3
import threading

_LIBRARY = "SLUICE_LIBRARY"
_lock = threading.Lock()
_loaded = False


def library() -> str:
    """The path of the extension: the one in this package, or what `SLUICE_LIBRARY` names.

    For other programs: `sqlite3` loads it by `.load PATH`, other languages by their own call.
    """
    named = os.environ.get(_LIBRARY)
    return named or str(pathlib.Path(__file__).with_name("native") / "libsluice.so")


def load() -> None:
    """Makes the SQLite of the module `sqlite3` know `vfs=sluice`; further calls do nothing.

    `connect` and `Writer` call it. By itself it is for who names a store by URI, as in
    `sqlite3.connect("file:/mnt/efs/orders?vfs=sluice", uri=True)`.
    """
    global _loaded
    with _lock:
        if _loaded:
            return
        connection = sqlite3.connect(":memory:")
        try:
            if hasattr(connection, "enable_load_extension"):
                connection.enable_load_extension(True)
                connection.load_extension(library())
            else:
                _load_through_library()
        finally:
            connection.close()
        _loaded = True


def _load_through_library() -> None:
    """For a Python that was built without `enable_load_extension`.

    SQLite is then asked by its own C function, `sqlite3_auto_extension`, to begin each connection
    with the extension; one is enough.
    """
    import _sqlite3

    # A symbol is looked for in the module and in what it was linked with; where the module is a part
    # of the interpreter there is no file.
    sqlite = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
    try:
        begin, cancel = sqlite.sqlite3_auto_extension, sqlite.sqlite3_cancel_auto_extension
    except AttributeError:
        raise ImportError(
            "this Python can load no SQLite extension: it has no enable_load_extension, and "
            "hides SQLite's functions; use another one, or the package pysqlite3-binary"
        ) from None
    entry = ctypes.cast(ctypes.CDLL(library()).sqlite3_sluice_auto_init, ctypes.c_void_p)
    begin(entry)
    try:
        sqlite3.connect(":memory:").close()
    finally:
        cancel(entry)


def last_error() -> str:
    """Why the last call failed that did in this thread; empty where the extension knows of none."""
    function = ctypes.CDLL(library()).sluice_error
    function.restype = ctypes.c_char_p
    text: bytes | None = function()
    return (text or b"").decode("utf-8", "replace")

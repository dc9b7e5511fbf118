"""Whether a statement does the same wherever it is executed, as far as its text tells.

The text is read as SQLite reads it: `"upper" (x)` calls a function, and 'upper(x)' does not. To take a statement for
one that might do something else costs it a turn, and nothing more.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from typing import NamedTuple, Optional

_WRITES = re.compile(r"[ \t\n\f\r]*(?:INSERT|UPDATE|DELETE|REPLACE)\b", re.IGNORECASE)

_TOKEN = re.compile(
    r"""
    [ \t\n\f\r]+
    | (?P<quoted> " (?: [^"] | "" )* " | ` (?: [^`] | `` )* ` | \[ [^\]]* \] )
    | (?P<text> ' (?: [^'] | '' )* ' )
    | (?P<word> [A-Za-z_\x80-\U0010ffff] [A-Za-z_0-9$\x80-\U0010ffff]* )
    # Comments, JSON operators, which are functions of the connection, and what SQLite takes for no text.
    | (?P<refused> -- | /\* | -> | ["`'\[\0] )
    | (?P<sign> . )
    """,
    re.VERBOSE | re.DOTALL,
)

# Words before a parenthesis that call no function.
_WORDS = frozenset(
    """
    ALL AND AS BETWEEN CASE CAST ELSE EXISTS FROM IN IS JOIN NOT ON OR SELECT SET THEN UNION USING VALUES WHEN WHERE
    """.split()
)
# Operators and words that call a function, which the program may have replaced; and, behind OR, what is to stay of a
# statement that fails, or to go with it.
_SPECIAL = frozenset(
    "CURRENT_DATE CURRENT_TIME CURRENT_TIMESTAMP FAIL GLOB LIKE MATCH REGEXP ROLLBACK".split()
)


class _Token(NamedTuple):
    kind: str
    # Words in capitals.
    text: str


@dataclasses.dataclass(frozen=True)
class Statement:
    """One that may be a batch."""

    returned: Optional[str]
    """The one column that it returns, as the ORM asks for a new row's key."""


def parsed(query: str) -> Statement | None:
    """The statement, with `?` or `%s` for its parameters; None where it is to be executed by the turn."""
    return _parsed(query) if _WRITES.match(query) else None


@functools.lru_cache(maxsize=256)
def _parsed(query: str) -> Statement | None:
    tokens = [
        _Token(found.lastgroup, found[0].upper() if found.lastgroup == "word" else found[0])
        for found in _TOKEN.finditer(query)
        if found.lastgroup is not None
    ]
    if tokens[-1].text == ";":
        tokens.pop()
    if any(_is_special(tokens, i) for i in range(len(tokens))):
        return None
    if ("word", "RETURNING") not in tokens:
        return Statement(None)
    returned = _returned_key(tokens)
    return None if returned is None else Statement(returned)


def _is_special(tokens: list[_Token], i: int) -> bool:
    """Whether another place, or another moment, could make a difference to what is here."""
    kind, text = tokens[i]
    before = tokens[i - 1] if i else None
    if kind == "refused" or kind == "word" and text in _SPECIAL:
        return True
    if kind in ("word", "quoted"):
        # A table of the connection's own settings.
        return text.strip('"`[]').upper().startswith("PRAGMA_")
    if text == "(":
        return before is not None and _is_call(tokens, i - 1)
    return text == ";"


def _is_call(tokens: list[_Token], i: int) -> bool:
    """Whether the name here, which a parenthesis follows, is a function's."""
    kind, text = tokens[i]
    if kind == "sign":
        return False
    if kind == "word" and text in _WORDS:
        return False
    if i and kind == "word" and text == "CONFLICT" and tokens[i - 1].text == "ON":
        return False
    while i > 1 and tokens[i - 1].text == ".":
        i -= 2
    # A table's, with its columns.
    return i == 0 or tokens[i - 1] != ("word", "INTO")


def _returned_key(tokens: list[_Token]) -> str | None:
    """The column of `INSERT INTO "table" … VALUES … RETURNING "table"."column"`.

    For all else the connection that executes it decides what its rows are like, and how many they are.
    """
    at = tokens.index(_Token("word", "RETURNING"))
    words = [token.text for token in tokens if token.kind == "word"]
    tail = tokens[at + 1 :]
    if words[0] != "INSERT" or not {"INTO", "VALUES"} <= set(words) or "SELECT" in words:
        return None
    if len(tail) != 3:
        return None
    table, dot, column = tail
    into = tokens.index(_Token("word", "INTO"))
    if table.kind != "quoted" or dot.text != "." or column.kind != "quoted":
        return None
    if tokens[into + 1] != table or not re.fullmatch(r'"\w+"', column.text):
        return None
    return column.text.strip('"')

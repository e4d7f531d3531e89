"""Which tokens does DuckDB read? Its lexer, stricter and never looser.

Refused are dollar quotes, strings with a letter before them, `#1`, `?`, `$1`, numbers in other bases or with `_`,
comments within comments, operators that are not on the list or not parted by blanks where two could be one, and
characters that are neither letters nor digits outside quotes.
"""

from __future__ import annotations

import re
from typing import Final

from sandbox.sql.dialects.base import Scan, Unreadable
from sandbox.sql.dialects.duckdb_words import EACH
from sandbox.sql.dialects.scanning import scanned, stopped

_TOKEN: Final = re.compile(
    r"""[ \t\r\n]*+(?:
    ('[^']*(?:''[^']*)*')                                                          # 1 string
  | ("[^"]+(?:""[^"]*)*"|"(?:""[^"]*)+")                                           # 2 quoted name
  | ((?!))                                                                         # 3 no other strings
  | ((?![eEbBxXnNuU]&?')[^\W\d][\w$]*(?!["$]))                                     # 4 word
  | ((?:[0-9]+(?:\.(?!\.)[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w$]))          # 5 number
  | (:[A-Za-z_][A-Za-z0-9_]*(?![\w$(]|:(?!:)))                                     # 6 parameter
  | (--[^\n]*|/\*(?:(?!/\*|\*/).)*\*/)                                             # 7 comment
  | (::|[,()\[\].;]
    |(?:->>|->|\|\||!~~\*|!~~|!~|~~\*|~~|\^@|<<|>>|//|\*\*|@>|<@|&&|[~^%&|])(?![-~!@#^&|`?+*/%<>=])
    |(?:<=|>=|<>|!=|==|[*/<>=+])(?![~!@#^&|`?*/%<>=]|[-+][-~!@#^&|`?+*/%<>=])
    |-(?![-~!@#^&|`?*/%<>=]))                                                      # 8 operator
  | \Z)""",
    re.VERBOSE | re.DOTALL,
)
"""One match a token, blanks before it included."""


def scan(text: str, max_tokens: int) -> Scan:
    """Read the tokens of `text` as DuckDB's lexer does; comments become blanks."""
    return scanned(_TOKEN, text, max_tokens, _illegal)


_STOPS: Final = (
    ('""', "a name without a character"),
    ("'", "a string begins here and does not end"),
    ('"', "a name begins here and does not end"),
    ("/*", "a comment begins here that holds another or does not end"),
    *((letter + sign, "strings are written in plain single quotes here") for letter in "EBXNU" for sign in "'&"),
    ("$", "strings are written in single quotes here, and parameters `:name`"),
    ("?", "parameters are written `:name`"),
    ("#", "columns are written by their names"),
    ("{", "`{…}` makes a struct, which is not accepted; `json_object('name', value)` is, and columns by name"),
    (":=", "`name := value` is not accepted; arguments by their place are, and `json_object('name', value)`"),
    (":", "`:` begins no token here; parameters are written `:name`"),
    *((digit, "not a number that is accepted here; decimal digits without `_` are") for digit in ".0123456789"),
    *((sign, "an operator that is not accepted, or two without a blank between them") for sign in "-~!@^&|`+*/%<>="),
    ("", "a character that stands in no SQL token; names with such characters need double quotes"),
)
"""What stopped the lexer, by the characters that stand there."""


def _illegal(text: str, at: int) -> Unreadable:
    stop = stopped(text, at, _STOPS)
    if text.startswith(":", stop.start) and not text.startswith(":=", stop.start):
        before = text[max(stop.start - _LOOKED_BACK, 0) : stop.start]
        stop = next((Unreadable(stop.start, why) for opened, why in _BEFORE_COLON if opened.search(before)), stop)
    return stop


_LOOKED_BACK: Final = 200
"""Characters before a colon that are looked at, so that a long text costs no more."""
_BEFORE_COLON: Final = (
    (
        re.compile(r"(?i)\blambda\s[\w\s,()]*\Z"),
        f"`lambda …:` is not accepted; {EACH} is",
    ),
    (re.compile(r"\[[^\[\]:]*\Z"), "`[…:…]` is not accepted; `list_slice(a_list, 1, 2)` is"),
)
"""What a colon ends, by the text before it."""

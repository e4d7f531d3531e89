"""Which tokens does DuckDB read? Its lexer, stricter and never looser.

Refused are dollar quotes, strings with a letter before them, `#1`, `?`, `$1`, numbers in other bases or with `_`,
comments within comments, operators that are not on the list or not parted by blanks where two could be one, and
characters that are neither letters nor digits outside quotes.
"""

from __future__ import annotations

import re
from typing import Final

from sandbox.sql.dialects.base import WORD, Scan, Token, Unreadable, blanked

_TOKEN: Final = re.compile(
    r"""[ \t\r\n]*+(?:
    ('[^']*(?:''[^']*)*')                                                          # 1 string
  | ("[^"]+(?:""[^"]*)*"|"(?:""[^"]*)+")                                           # 2 quoted name
  | ((?!))                                                                         # 3 no other strings
  | ([^\W\d][\w$]*(?!["$]))                                                        # 4 word
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
_COMMENT: Final = 7
_OPERATOR: Final = 8
_PREFIXES: Final = frozenset({"E", "B", "X", "N", "U"})
"""Words that make a string something else when they touch it."""


def scan(text: str, max_tokens: int) -> Scan:
    """Read the tokens of `text` as DuckDB's lexer does; comments become blanks."""
    tokens: list[Token] = []
    comments: list[tuple[int, int]] = []
    at, length = 0, len(text)
    while at < length:
        match = _TOKEN.match(text, at)
        if match is None:
            raise _illegal(text, at)
        kind = match.lastindex
        if kind is None:
            break
        start, at = match.start(kind), match.end()
        if kind == _COMMENT:
            comments.append((start, at))
            continue
        key = text[start:at]
        if kind == WORD and key.isascii():
            key = key.upper()
        if kind == WORD and key in _PREFIXES and text[at : at + 2].lstrip("&")[:1] == "'":
            raise Unreadable(start, "strings are written in plain single quotes here")
        tokens.append(Token(kind if kind < _OPERATOR else kind - 1, start, at, key))
        if len(tokens) > max_tokens:
            raise Unreadable(start, f"more than {max_tokens} tokens; a shorter statement is accepted")
    return Scan(blanked(text, comments) if comments else text, tuple(tokens))


_STOPS: Final = (
    ('""', "a name without a character"),
    ("'", "a string begins here and does not end"),
    ('"', "a name begins here and does not end"),
    ("/*", "a comment begins here that holds another or does not end"),
    ("$", "strings are written in single quotes here, and parameters `:name`"),
    ("?", "parameters are written `:name`"),
    ("#", "columns are written by their names"),
    ("{", "`struct_pack(name := value)` and its kin are not accepted; columns by name are"),
    (":", "`:` begins no token here; parameters are written `:name`"),
    *((digit, "not a number that is accepted here; decimal digits without `_` are") for digit in ".0123456789"),
    *((sign, "an operator that is not accepted, or two without a blank between them") for sign in "-~!@^&|`+*/%<>="),
    ("", "a character that stands in no SQL token; names with such characters need double quotes"),
)
"""What stopped the lexer, by the characters that stand there."""


def _illegal(text: str, at: int) -> Unreadable:
    start = at + len(text[at:]) - len(text[at:].lstrip(" \t\r\n"))
    two = text[start : start + 2]
    return Unreadable(start, next(why for opening, why in _STOPS if two.startswith(opening)))

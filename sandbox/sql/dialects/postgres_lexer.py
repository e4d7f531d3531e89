"""Which tokens does PostgreSQL read? Its lexer (src/backend/parser/scan.l), stricter and never looser.

An operator is the longest run of operator characters that neither begins a comment nor, unless one of `~!@#^&|?%` and
the backtick is in it, ends in `+` or `-`; a run that is no operator of the list is refused. So are
`U&''`, `N''`, `$1`, numbers in other bases or with `_`, and characters that are neither letters nor digits outside
quotes, though PostgreSQL takes them for parts of names.
"""

from __future__ import annotations

import re
from typing import Final

from sandbox.sql.dialects.base import BLOB, OPERATOR, QUOTED, WORD, Scan, Token, Unreadable, blanked, words
from sandbox.sql.dialects.scanning import COMMENT, SIGN, stopped, too_many

_CHARACTERS: Final = r"(?!--|/\*)[-~!@#^&|`?+*/%<>=]"
_SPECIAL: Final = r"[~!@#^&|`?%]"
_TOKEN: Final = re.compile(
    rf"""[ \t\r\n]*+(?:
    ('[^']*(?:''[^']*)*')                                                          # 1 string
  | ("[^"]+(?:""[^"]*)*"|"(?:""[^"]*)+")                                           # 2 quoted name
  | ([eE]'[^'\\]*(?:(?:\\.|'')[^'\\]*)*'|[bB]'[01]*'|[xX]'[0-9a-fA-F]*'
    |\$(?:[^\W\d]\w*)?\$)                                                    # 3 escapes, bits, dollars
  | ((?![eEbBxXnN]'|[uU]&['"])[^\W\d][\w$]*)                                       # 4 word
  | ((?:[0-9]+(?:\.(?!\.)[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w$]))          # 5 number
  | (:[A-Za-z_][A-Za-z0-9_]*(?![\w$:(]))                                           # 6 parameter
  | (--[^\n]*|/\*)                                                                 # 7 comment
  | (::|[,()\[\].;]|:(?!=)
    |(?:{_CHARACTERS}){{0,8}}(?!--|/\*){_SPECIAL}(?:{_CHARACTERS}){{0,8}}
    |(?:{_CHARACTERS}){{0,8}}(?!/\*)[*/<>=]
    |[+-])                                                                         # 8 operator
  | \Z)""",
    re.VERBOSE | re.DOTALL,
)
"""One match a token, blanks before it included. A run of more than 17 operator characters comes in parts, none of which
is in the list."""

OPERATORS: Final = words(
    """
    + - * / % ^ @ < > = <= >= <> != || ~ ~* !~ !~* & | # << >> -> ->> #> #>> #- @> <@ ? ?| ?& @? @@ && -|- &< &> |/ ||/
    """
)
"""Operators of PostgreSQL on numbers, texts, times, arrays, JSON and ranges; none of them changes or reads more than
what it stands between."""
_FOREIGN: Final = {
    "~~": "`LIKE` is accepted",
    "~~*": "`ILIKE` is accepted",
    "!~~": "`NOT LIKE` is accepted",
    "!~~*": "`NOT ILIKE` is accepted",
    "==": "`=` is accepted",
    "<=>": "`IS NOT DISTINCT FROM` is accepted",
}
_ACCEPTED: Final = OPERATORS | {"::", "=>", *",()[].;:"}
_MAX_NAME_BYTES: Final = 63
"""PostgreSQL cuts longer names, so that two of them could become one."""
_NAMES: Final = (WORD, QUOTED)
_LONGER: Final = (COMMENT, BLOB)
_MAX_COMMENT_DEPTH: Final = 32


def scan(text: str, max_tokens: int) -> Scan:
    """Read the tokens of `text` as PostgreSQL's lexer does; comments become blanks."""
    tokens: list[Token] = []
    comments: list[tuple[int, int]] = []
    at = 0
    following = _TOKEN.scanner(text).match  # type: ignore[attr-defined]  # typeshed leaves it out
    while (match := following()) and (kind := match.lastindex):
        start, at = match.span(kind)
        if kind in _LONGER:
            at = _end_of(kind, text, start, at)
            following = _TOKEN.scanner(text, at).match  # type: ignore[attr-defined]
            if kind == COMMENT:
                comments.append((start, at))
                continue
        key = text[start:at]
        if kind == WORD and key.isascii():
            key = key.upper()
        if kind == SIGN:
            kind = OPERATOR
            if key not in _ACCEPTED:
                raise _no_operator(key, start)
        elif kind in _NAMES and at - start > _MAX_NAME_BYTES // 4:
            _check_name(key[1:-1].replace('""', '"') if kind == QUOTED else key, start)
        tokens.append(Token(kind, start, at, key))
        if len(tokens) > max_tokens:
            raise too_many(start, max_tokens)
    if match is None:
        raise stopped(text, at, _STOPS)
    return Scan(blanked(text, comments) if comments else text, tuple(tokens))


def _end_of(kind: int, text: str, start: int, at: int) -> int:
    """Find the end of what may be no single match: a comment, for those nest, and a string between dollars."""
    if kind == BLOB:
        return _dollars_end(text, start, at) if text[start] == "$" else at
    return _comment_end(text, start) if text[start] == "/" else at


def _no_operator(key: str, start: int) -> Unreadable:
    hint = _FOREIGN.get(key, "blanks between operators part them")
    return Unreadable(start, f"`{key}` is no operator that is accepted here; {hint}")


def _check_name(name: str, start: int) -> None:
    """Refuse a name that PostgreSQL would cut."""
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise Unreadable(start, f"a name of more than {_MAX_NAME_BYTES} bytes; a shorter one is accepted")


def _comment_end(text: str, start: int) -> int:
    """Find the end of a comment; comments nest."""
    depth, at = 1, start + 2
    while depth:
        opening, closing = text.find("/*", at), text.find("*/", at)
        if closing < 0:
            raise Unreadable(start, "a comment begins here and does not end")
        is_opening = 0 <= opening < closing
        depth += 1 if is_opening else -1
        at = (opening if is_opening else closing) + 2
        if depth > _MAX_COMMENT_DEPTH:
            raise Unreadable(start, f"comments more than {_MAX_COMMENT_DEPTH} deep in each other")
    return at


def _dollars_end(text: str, start: int, at: int) -> int:
    """Find the end of a string between dollars, whose opening ends at `at`."""
    closing = text.find(text[start:at], at)
    if closing < 0:
        raise Unreadable(start, "a string begins here and does not end")
    return closing + at - start


_NO_STRING: Final = "not a string that is accepted here; one in plain single quotes is"
_NO_NUMBER: Final = "not a number that is accepted here; decimal digits without `_` are"
_STOPS: Final = (
    ('""', "a name without a character"),
    ("'", "a string begins here and does not end"),
    ('"', "a name begins here and does not end"),
    ("$", "strings are written in single quotes here, and parameters `:name`"),
    *((opening, _NO_STRING) for opening in ("U&", "N'", "E'", "B'", "X'")),
    (":=", "an argument is named by `name => value` here"),
    (":", "`:` begins no token here; parameters are written `:name`"),
    *((digit, _NO_NUMBER) for digit in ".0123456789"),
    ("`", "names are quoted in double quotes"),
    ("", "a character that stands in no SQL token; names with such characters need double quotes"),
)
"""What stopped the lexer, by the characters that stand there."""

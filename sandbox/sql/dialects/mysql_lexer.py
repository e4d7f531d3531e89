r"""Which tokens does MariaDB read? Its lexer (sql/sql_lex.cc), stricter and never looser.

It holds for the session that the executor pins: text in utf8mb4, `"x"` a string, backslashes escaping, `||` for OR,
blanks before a parenthesis not ignored. Refused, though MariaDB takes them: executable comments wherever they stand,
variables, `:=`, `||`, `!`, introducers, `N'…'`, `\N`, `{d '…'}`, names that begin with a digit, end in a blank or hold
letters beyond ASCII in upper case, and characters that are neither letters nor digits outside quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sandbox.sql.dialects.base import NUMBER, OPERATOR, QUOTED, STRING, WORD, Scan, Token, Unreadable, blanked, words
from sandbox.sql.dialects.scanning import COMMENT, SIGN, stopped, too_many

_TOKEN: Final = re.compile(
    r"""[ \t\r\n]*+(?:
    ('[^'\\]*(?:(?:\\.|'')[^'\\]*)*'|"[^"\\]*(?:(?:\\.|"")[^"\\]*)*")          # 1 string
  | (`[^`]+`(?!`))                                                              # 2 quoted name
  | ([xX]'(?:[0-9a-fA-F]{2})*'|[bB]'[01]*'|0x[0-9a-fA-F]+(?![\w$])|0b[01]+(?![\w$]))  # 3 bytes or bits
  | ((?![xXbBnN]')[^\W\d][\w$]*)                                                # 4 word
  | ((?:[0-9]+(?:\.[0-9]*)?|(?<![\w$`])\.[0-9]+)(?:[eE][+-]?[0-9]+)?(?![\w$]))  # 5 number
  | (:[A-Za-z_][A-Za-z0-9_]*(?![\w$:(]))                                        # 6 parameter
  | (--(?=[ \t\r\n]|\Z)[^\n]*|\#[^\n]*|/\*[^*]*\*+(?:[^/*][^*]*\*+)*/)          # 7 comment
  | (<=>|<<|>>|<=|>=|<>|!=|&&|/(?!\*)|-(?![->])|\|(?!\|)|&(?!&)|[+*%<>=^~,.();])  # 8 operator
  | \Z)""",
    re.VERBOSE | re.DOTALL,
)
"""One match a token, blanks before it included."""
_EXECUTABLE: Final = re.compile(r"/\*[mM]?!")
_MAX_NAME: Final = 64
"""Characters of a name."""
_LAST_CHARACTER: Final = "\uffff"
"""Names are kept in three bytes a character."""

TIGHT: Final = words(
    """
    ADDDATE BIT_AND BIT_OR BIT_XOR CAST COUNT CUME_DIST CURDATE CURTIME DATE_ADD DATE_SUB DENSE_RANK EXTRACT
    FIRST_VALUE GROUP_CONCAT JSON_ARRAYAGG JSON_OBJECTAGG LAG LEAD MAX MEDIAN MID MIN NOW NTH_VALUE NTILE
    PERCENTILE_CONT PERCENTILE_DISC PERCENT_RANK POSITION RANK STD STDDEV STDDEV_POP STDDEV_SAMP SUBDATE SUBSTR
    SUBSTRING SUM TRIM VARIANCE VAR_POP VAR_SAMP
    """
)
"""Functions that are such only where the parenthesis follows at once (`sql_functions` of sql/lex.h)."""

_RESERVED: Final[Mapping[str, str]] = MappingProxyType(
    {
        "DISTINCTROW": "`DISTINCT` is accepted",
        "HIGH_PRIORITY": "it is left out",
        "SQL_BIG_RESULT": "it is left out",
        "SQL_CALC_FOUND_ROWS": "`count(*)` in a query of its own is accepted",
        "SQL_BUFFER_RESULT": "it is left out",
        "SQL_CACHE": "it is left out",
        "SQL_NO_CACHE": "it is left out",
        "SQL_SMALL_RESULT": "it is left out",
        "STRAIGHT_JOIN": "`JOIN` is accepted; the planner chooses the order",
        "FORCE": "the planner chooses indexes",
        "IGNORE": "the planner chooses indexes",
        "USE": "the planner chooses indexes",
    }
)
"""Words that steer how a statement runs, and what to write instead."""

_NAMELESS: Final = words(
    """
    ACCESSIBLE ADD ASENSITIVE BEFORE CASCADE CHANGE CHECK COLUMN CONDITION CONSTRAINT CONTINUE CURSOR DATABASES DECLARE
    DELAYED DESCRIBE DETERMINISTIC EACH ELSEIF ENCLOSED ESCAPED EXIT EXPLAIN FOREIGN FULLTEXT INDEX INOUT INSENSITIVE
    ITERATE KEY KEYS LEAVE LINEAR LINES LONG LOOP LOW_PRIORITY MAXVALUE MODIFIES OPTIONALLY OUT PORTION PRIMARY READ
    READS READ_WRITE REFERENCES RELEASE REQUIRE RESIGNAL RESTRICT RETURN SCHEMAS SENSITIVE SHOW SIGNAL SPATIAL SPECIFIC
    SQL SQLEXCEPTION SQLSTATE SQLWARNING SSL STARTING TABLE TERMINATED TO TRIGGER UNDO UNIQUE USAGE WHILE WRITE ZEROFILL
    """
)
"""Reserved words that no statement that reads holds: they are no names unless in backticks."""


def scan(text: str, max_tokens: int) -> Scan:
    """Read the tokens of `text` as MariaDB's lexer does; comments become blanks."""
    if found := _EXECUTABLE.search(text):
        raise Unreadable(found.start(), "comments that some servers execute are not accepted, not even in quotes")
    tokens: list[Token] = []
    comments: list[tuple[int, int]] = []
    at, length = 0, len(text)
    for match in iter(_TOKEN.scanner(text).match, None):  # type: ignore[attr-defined]  # typeshed leaves it out
        kind = match.lastindex
        at = match.end()
        if kind is None:
            break
        start = match.start(kind)
        if kind == COMMENT:
            comments.append((start, at))
            continue
        key = text[start:at]
        if kind == WORD and key.isascii():
            key = key.upper()
        token = Token(kind if kind < SIGN else kind - 1, start, at, key)
        if (
            kind <= QUOTED
            or key == "("
            or (kind == WORD and (key[0] == "_" or len(key) > _MAX_NAME or not key.isascii()))
        ):
            _check(token, tokens[-1] if tokens else _NOTHING)
        tokens.append(token)
        if len(tokens) > max_tokens:
            raise too_many(start, max_tokens)
    if at != length:
        raise stopped(text, at, _STOPS)
    if tokens and tokens[0].key in _READING and not _CHECKED.isdisjoint([token.key for token in tokens]):
        _check_words(tokens)
    return Scan(blanked(text, comments) if comments else text, tuple(tokens))


_NOTHING: Final = Token(NUMBER, 0, 0, "")


def _check_words(tokens: list[Token]) -> None:
    """Refuse, within one statement that reads, reserved words where they are no part of what is accepted."""
    before = _NOTHING
    for index, token in enumerate(tokens):
        key = token.key
        if key == ";":
            return
        if key in _CHECKED and token.kind == WORD and before.key != ".":
            if key == "BINARY":
                following = tokens[index + 1] if index + 1 < len(tokens) else _NOTHING
                if following.kind != OPERATOR and before.key not in _BEFORE_CHARSET:
                    raise Unreadable(token.start, "`CAST(… AS BINARY)` and `COLLATE utf8mb4_bin` are accepted")
            elif key in _RESERVED:
                raise Unreadable(token.start, f"`{key}` steers how a statement runs; {_RESERVED[key]}")
            else:
                raise Unreadable(token.start, f"`{key}` is a reserved word; as a name it stands in backticks")
        before = token


def _check(token: Token, before: Token) -> None:
    """Refuse what MariaDB reads in another way than it looks, given the token before it."""
    kind, start, _, key = token
    if kind == WORD:
        _check_name(start, key)
        if key[0] == "_" and key[1:] in CHARSETS:
            raise Unreadable(start, "a character set before a text is not accepted; `CONVERT(… USING …)` is")
    elif kind == QUOTED:
        _check_name(start, key[1:-1])
    elif kind == STRING:
        if before.kind == WORD and before.end == start and before.key[0] == "_":
            raise Unreadable(before.start, "a character set before a text is not accepted; `CONVERT(… USING …)` is")
        if before.key == "INTERVAL" and not _AMOUNT.fullmatch(key):
            raise Unreadable(start, "the unit stands behind the amount, such as `INTERVAL 1 DAY`")
    elif key == "(" and before.end != start and before.key in TIGHT and before.kind == WORD:
        raise Unreadable(before.start, f"`{before.key}` is a function only where `(` follows at once, without a blank")


_READING: Final = ("SELECT", "WITH", "VALUES", "(")
_CHECKED: Final = _NAMELESS.union(_RESERVED, ("BINARY",))
_BEFORE_CHARSET: Final = ("COLLATE", "USING", "SET")
_AMOUNT: Final = re.compile(r"""['"][-+0-9:. ]*['"]""")

CHARSETS: Final = words(
    """
    ARMSCII8 ASCII BIG5 BINARY CP1250 CP1251 CP1256 CP1257 CP850 CP852 CP866 CP932 DEC8 EUCJPMS EUCKR FILENAME GB2312
    GBK GEOSTD8 GREEK HEBREW HP8 KEYBCS2 KOI8R KOI8U LATIN1 LATIN2 LATIN5 LATIN7 MACCE MACROMAN SJIS SWE7 TIS620 UCS2
    UJIS UTF16 UTF16LE UTF32 UTF8 UTF8MB3 UTF8MB4
    """
)


def _check_name(start: int, name: str) -> None:
    """Refuse names that two readers compare or cut differently."""
    if len(name) > _MAX_NAME:
        raise Unreadable(start, f"a name of more than {_MAX_NAME} characters; a shorter one is accepted")
    if name[-1] == " " or max(name) > _LAST_CHARACTER:
        raise Unreadable(start, "a name that ends in a blank or holds a character that MariaDB keeps in no name")
    # WHY: MariaDB compares names without the case of every letter, the gate without that of ASCII letters alone.
    if not name.isascii() and any(not each.isascii() and each.lower() != each for each in name):
        raise Unreadable(start, "letters beyond ASCII are written in lower case in names")


_STOPS: Final = (
    ("``", "a name without a character, or with a backtick in it"),
    ("`", "a name begins here and does not end, or has a backtick in it"),
    ("'", "a string begins here and does not end"),
    ('"', "a string begins here and does not end"),
    ("/*", "a comment begins here and does not end"),
    ("--", "a comment begins with `--` and a blank; between two minus signs, too, a blank is accepted"),
    ("->", "JSON is read by `json_extract(…)` and `json_value(…)`"),
    ("||", "`||` means OR here; `OR` or `concat(…)` says which is meant"),
    ("!", "`NOT` is accepted"),
    ("::", "`CAST(… AS …)` is accepted"),
    (":=", "variables are not accepted"),
    ("@", "variables are not accepted; values are written into the statement"),
    ("\\", "`NULL` is accepted"),
    ("{", "`{` begins no token here; `DATE '…'` and `LEFT JOIN` are accepted"),
    *((opening, "not a string that is accepted here; one in plain quotes is") for opening in ("N'", "X'", "B'")),
    *((each, f"`{each}` begins no token here; parameters are written `:name`") for each in ":?$"),
    *(
        (each, "not a number or name that is accepted here; names that begin so stand in backticks")
        for each in ".0123456789"
    ),
    ("", "a character that stands in no SQL token; names with such characters stand in backticks"),
)
"""What stopped the lexer, by the characters that stand there."""

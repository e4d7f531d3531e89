"""How does the SQL fuzzer break a text, and find the least of it that still breaks something? By its tokens."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Final

from fuzz_sql_words import FORBIDDEN, HIDDEN, KINDS, Words

_TOKEN: Final = re.compile(
    r"""\s+ | '(?:[^']|'')*' | "(?:[^"]|"")*" | `[^`]*` | \[[A-Za-z_]\w*\] | --[^\n]* | /\*.*?\*/
    | \$\w*\$ | [\w.]*\d[\w.]* | \w+ | ::|\|\||<=|>=|<>|!=|->>|->|<<|>>|==|@>|<@ | .""",
    re.VERBOSE | re.DOTALL,
)
_KNOWN: Final = sorted({*KINDS, *(name for columns in KINDS.values() for name in columns), "vault", "token"})
_COLUMNS: Final = sorted({name for columns in KINDS.values() for name in columns})
_HIDDEN: Final = (*(name for names in HIDDEN.values() for name in names), "token", "rowid", "ctid")
_AROUND: Final = (
    *("SELECT * FROM ({}) AS x", "SELECT count(*) FROM ({}) AS x", "WITH x AS ({}) SELECT * FROM x", "({})"),
    *("SELECT * FROM products WHERE EXISTS ({})", "SELECT id FROM orders WHERE id IN ({})", "{} LIMIT 3"),
    *("{} UNION ALL {}", "SELECT ({})", "SELECT id, ({} LIMIT 1) FROM customers", "SELECT * FROM orders, ({}) AS z"),
)


def tokens(text: str) -> list[str]:
    """Take a text apart, blanks included; no text is refused."""
    return _TOKEN.findall(text) or [" "]


def mutant(text: str, others: Sequence[str], words: Words, chance: random.Random) -> str:
    """Return a text with some of its tokens changed, or joined with another."""
    parts = tokens(text)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 4))):
        _change(parts, others, words, chance)
    if chance.randrange(8) == 0:
        parts = [chance.choice(_AROUND).replace("{}", "".join(parts).rstrip("; "))]
    return "".join(parts)


def _change(parts: list[str], others: Sequence[str], words: Words, chance: random.Random) -> None:  # noqa: C901 - one a change
    if not parts:
        parts.append("SELECT 1")
    at = chance.randrange(len(parts))
    match chance.randrange(12):
        case 0:
            del parts[at : at + chance.choice((1, 1, 2, 4, 8))]
        case 1:
            parts.insert(at, chance.choice(words.odd))
        case 2:
            other = chance.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        case 3:
            other_parts = tokens(chance.choice(others))
            begin = chance.randrange(len(other_parts))
            parts[at : at + chance.choice((0, 1, 3))] = other_parts[begin : begin + chance.choice((1, 3, 7, 20))]
        case 4:
            parts[at:at] = parts[at : at + chance.choice((1, 2, 5))]
        case 5 | 6:
            _swap_name(parts, _HIDDEN if chance.randrange(2) else _COLUMNS, chance)
        case 7:
            _swap_name(parts, (*KINDS, *FORBIDDEN[:5]), chance)
        case 8 | 9:
            _requote(parts, words, chance)
        case 10:
            parts[at] += chance.choice(words.comments)
        case _:
            begin = chance.randrange(len(parts))
            cut = parts[begin:at] or parts
            parts[:] = ["(", *cut, ")"] if chance.randrange(2) else [*parts[:at], *tokens(chance.choice(others))]


def _places(parts: Sequence[str]) -> list[int]:
    return [at for at, part in enumerate(parts) if part.lower() in _KNOWN]


def _swap_name(parts: list[str], names: Sequence[str], chance: random.Random) -> None:
    places = _places(parts)
    if places:
        parts[chance.choice(places)] = chance.choice(names)


def _requote(parts: list[str], words: Words, chance: random.Random) -> None:
    places = _places(parts)
    if places:
        at = chance.choice(places)
        parts[at] = chance.choice(words.quotes).format(parts[at])


def decorated(text: str, words: Words, chance: random.Random) -> str:
    """Return the same statement in another dress: names quoted, comments between tokens, a semicolon at its end."""
    if chance.randrange(4):
        return text
    parts = tokens(text)
    for _ in range(chance.choice((1, 2, 4))):
        if chance.randrange(2):
            _requote(parts, words, chance)
        else:
            blanks = [at for at, part in enumerate(parts) if part.isspace()]
            if blanks:
                parts[chance.choice(blanks)] = chance.choice(words.comments)
    return "".join(parts) + chance.choice(("", "", ";", " "))


def shrunk(text: str, still: Callable[[str], bool], seconds: float) -> str:
    """Return the least text found within so many seconds of which `still` holds, by leaving out tokens."""
    end, parts = monotonic() + seconds, tokens(text)
    size = max(1, len(parts) // 2)
    while size:
        at, is_less = 0, False
        while at < len(parts) and monotonic() < end:
            fewer = parts[:at] + parts[at + size :]
            if fewer and still("".join(fewer)):
                parts, is_less = fewer, True
            else:
                at += size
        if monotonic() >= end:
            break
        if not is_less or size > 1:
            size //= 2
    return "".join(parts).strip()

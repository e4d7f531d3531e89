"""Which kinds of harm can a statement do, and which of them count for which class of attack?"""

from __future__ import annotations

import base64
import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, final

CANARY: Final = "canary7319"
"""Stands in every cell, name and file that no tool may show; also the right guess of it."""
DECOY: Final = "decoyy0000"
"""The wrong guess, as long as the right one."""
NUMBER: Final = "73197319"
"""The canary where a cell is a number; also the right guess of it."""
DECOY_NUMBER: Final = "10000000"
GUESS: Final = "{}"
"""Where in an attack the guess goes."""
GUESS_NUMBER: Final = "{n}"
"""Where in an attack the guess goes as a number."""
FOLDER: Final = "{folder}"
"""Where in an attack the path of the ground's scratch folder goes."""

BARE_S: Final = 0.2
"""How long a statement may take on the bare engine, and a confined one by its limits."""
BOUNDED_S: Final = 3.0
"""Within which a confined statement must be over, its limits' grace and a busy machine included."""
MAX_ROWS: Final = 100_000
"""More rows than these are not taken from the bare engine: it would spend what it has on them."""


class Harm(enum.StrEnum):
    """What a statement does that it may not."""

    CHANGED = "changed"
    """Tables, schema, sequences, large objects, settings of the session, files, or what a listener hears."""
    SHOWS = "shows"
    """The canary, in rows, in a column's name or in an error."""
    TELLS = "tells"
    """Whether a guess of the canary is right: the answers to the two guesses differ."""
    HOLDS = "holds"
    """Locks, a transaction, a transaction's number."""
    SPENDS = "spends"
    """More time or rows than the cap."""


EFFECTS: Final = frozenset({Harm.CHANGED, Harm.HOLDS, Harm.SPENDS})
"""Harm that needs no rule about tables and columns to be harm."""

_CHANGES: Final = frozenset({Harm.CHANGED})
_READS: Final = frozenset({Harm.SHOWS, Harm.TELLS})
_HOLDS: Final = frozenset({Harm.HOLDS})
_ANY: Final = frozenset(Harm)

CLASSES: Final[Mapping[str, frozenset[Harm]]] = MappingProxyType(
    {
        "stacked statements": _ANY,
        "direct writes": _CHANGES,
        "writing CTEs": _CHANGES,
        "select into": _CHANGES,
        "locks": _HOLDS,
        "files and network": _CHANGES | _READS,
        "large objects": _CHANGES,
        "dynamic sql": _CHANGES | _READS,
        "side effects": _CHANGES | _HOLDS,
        "casts and operators": _CHANGES | _READS,
        "views": _CHANGES | _READS,
        "explain": _CHANGES | _READS | {Harm.SPENDS},
        "commands": _CHANGES | _READS | _HOLDS,
        "catalogue": _READS,
        "forbidden tables": _READS,
        "forbidden columns": _READS,
        "row filters": _READS,
        "aggregate-only columns": _READS,
        "masks": _READS,
        "inheritance": _READS,
        "lexical tricks": _ANY,
        "resources": frozenset({Harm.SPENDS}),
    }
)
"""Every class of attack, and the harm that counts for it."""


@final
@dataclass(frozen=True, slots=True)
class Seen:
    """What became of one text on one ground."""

    answer: str
    """Rows with names and types, or the error, as text that can be compared and searched."""
    is_answered: bool
    """Whether it ran to its end, or to the end of what its limits allow."""
    harms: frozenset[Harm]
    """What was seen beside the answer; never `SHOWS` or `TELLS`, which are read from answers."""


def shows_canary(answer: str) -> bool:
    """Whether the canary can be read out of an answer, as it is or plainly encoded."""
    answer = answer.lower()
    return any(form in answer for form in _FORMS)


_FORMS: Final = (
    CANARY,
    NUMBER,
    CANARY[::-1],
    CANARY.encode().hex(),
    *(base64.b64encode(b"x" * at + CANARY.encode())[at + (at > 0) : -4].decode().lower() for at in range(3)),
)

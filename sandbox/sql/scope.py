"""What may a name mean here? Sources, scopes and common table expressions, as plain as resolving needs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

from sqlglot import exp

Origin: TypeAlias = "tuple[str, str] | None"
"""The (table, column) a name stands for; None for what is computed; `HIDDEN` for what is not shown; else `GUESSED`."""

HIDDEN: Final[Origin] = ("", "")
GUESSED: Final[Origin] = ("", "guessed")
"""Of something computed whose name the statement does not say: the gate may be mistaken in it."""

Output: TypeAlias = "list[tuple[str, Origin]]"
"""Output columns in order; an empty name is one we do not know."""

Columns: TypeAlias = Mapping[str, Origin]
"""By folded name."""


@final
@dataclass(slots=True)
class Source:
    """One thing in a FROM clause."""

    name: str
    """Folded alias or name; empty if it has none."""
    columns: Columns
    table: str = ""
    """The catalogue's name, if it is a table itself."""
    is_open: bool = False
    """Some of its columns have no name that we know (`count(*)` without an alias)."""
    cte_at: exp.Identifier | None = None
    """Where it is named, if it is a common table expression."""
    is_read: bool = False
    """A column of it has been named; if none is, its rows are only counted."""
    parts: Sequence[Source] = ()
    """What was joined in parentheses to make it; a `*` holds all their columns, those of one name too."""


@final
@dataclass(slots=True)
class Cte:
    """One common table expression."""

    node: exp.CTE
    env: Environment
    """What it sees."""
    outer: Scope | None
    """The SELECTs whose rows it sees."""
    columns: dict[str, Origin] | None = None
    """Known once its first branch is read, so that the other branches may refer to it."""
    is_open: bool = False
    is_begun: bool = False
    is_done: bool = False
    is_circular: bool = False
    """Whether it reads itself."""


@final
@dataclass(slots=True)
class Environment:
    """The common table expressions in sight."""

    ctes: dict[str, Cte]
    outer: Environment | None
    hides_outer: bool = False
    """The engine may not look further out from here."""

    def find(self, name: str) -> tuple[Cte | None, bool]:
        """Return the nearest of that name, and whether the engine may not see it from here."""
        env: Environment | None = self
        is_hidden = False
        while env is not None:
            if name in env.ctes:
                return env.ctes[name], is_hidden
            is_hidden = is_hidden or env.hides_outer
            env = env.outer
        return None, False


@final
@dataclass(slots=True)
class Scope:
    """One SELECT's names, and those of the SELECTs around it."""

    sources: list[Source]
    env: Environment | None
    outer: Scope | None
    aliases: frozenset[str] = field(default_factory=frozenset)
    """Output names, once the output is read."""
    sees_aliases: bool = True
    """Whether the clause being read sees them."""
    is_doubtful: bool = False
    """Whether the clause being read may see the SELECTs around in place of the sources: what it names there has to be
    allowed too."""
    is_correlated: bool = False
    """Whether something in it, however deep, names what is further out."""

    def reach(self, level: Scope | None) -> None:
        """Note that what stands here names something of `level`, which is this SELECT or one around it."""
        within: Scope | None = self
        while within is not None and within is not level:
            within.is_correlated = True
            within = within.outer


def computed(origin: Origin) -> Origin:
    """What becomes of a column's origin in the output of a query."""
    return origin if origin is HIDDEN or origin is GUESSED else None


def derived(output: Output, declared: list[str]) -> tuple[dict[str, Origin], bool]:
    """The columns of a query used as a table, the first of them renamed, and whether some have names we do not know."""
    columns: dict[str, Origin] = dict.fromkeys(declared, None)
    for name, origin in [item for item in output if item[1] is not HIDDEN][len(declared) :] if declared else output:
        if columns.get(name, HIDDEN) is HIDDEN:
            columns[name] = computed(origin)
    is_open = "" in columns
    columns.pop("", None)
    return columns, is_open

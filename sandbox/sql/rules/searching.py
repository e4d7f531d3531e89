"""Would one call search a long text for a long one? Where values have no bound, neither time nor a cancel ends it.

PostgreSQL and MariaDB look at their deadlines between rows, not within `strpos`, `translate`, `LIKE` or `@>`, whose
work is the product of two lengths. A needle that is short and written out keeps it in proportion to the other; else
both must be what is stored or written out, for what a statement makes itself may be as long as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from sqlglot import exp

from sandbox.reasons import Reason
from sandbox.sql.catalogue import folded
from sandbox.sql.parse import Parsed
from sandbox.sql.refusals import refused
from sandbox.sql.resolve import Resolved

RULE: Final = "sql/searching"

MAX_NEEDLE: Final = 64
"""Characters of a needle that may be looked for in anything."""

MAX_WRITTEN: Final = 1_000
"""Characters of one that may be looked for in what is stored."""

_SEARCHES: Final[Mapping[type[exp.Expr], tuple[str, str, str]]] = MappingProxyType(
    {
        exp.StrPosition: ("position", "substr", "this"),
        exp.Like: ("LIKE", "expression", "this"),
        exp.ILike: ("ILIKE", "expression", "this"),
        exp.ArrayContainsAll: ("@>", "expression", "this"),
        exp.ArrayContainedBy: ("<@", "this", "expression"),
        exp.JSONBContainsAnyTopKeys: ("?|", "expression", "this"),
        exp.JSONBContainsAllTopKeys: ("?&", "expression", "this"),
    }
)
"""What searches: how it is written, where the needle stands, and where what is searched."""

_BY_NAME: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "instr": (1, 0),
        "json_contains": (1, 0),
        "json_overlaps": (1, 0),
        "json_search": (2, 0),
        "jsonb_contained": (0, 1),
        "jsonb_contains": (1, 0),
        "jsonb_delete": (1, 0),
        "jsonb_exists_all": (1, 0),
        "jsonb_exists_any": (1, 0),
        "locate": (0, 1),
        "replace": (1, 0),
        "split_part": (1, 0),
        "string_to_array": (1, 0),
        "string_to_table": (1, 0),
        "strpos": (1, 0),
        "substring_index": (1, 0),
        "translate": (1, 0),
    }
)
"""The same of what is called by name, with the places of the arguments."""

_WRAPPERS: Final = (exp.Paren, exp.Cast, exp.Any, exp.All)
_NO_LONGER: Final = frozenset({"coalesce", "lower", "upper"})
"""Functions whose value is about as long as what they are given."""


class _Known(NamedTuple):
    is_stored: Callable[[exp.Column], bool]
    no_longer: frozenset[str]


class _Search(NamedTuple):
    construct: str
    needle: exp.Expr
    through: exp.Expr


def check(resolved: Resolved) -> None:
    """Refuse a search whose cost the statement itself could make as large as it likes."""
    if not resolved.parsed.lexed.dialect.has_unbounded_values:
        return
    searches = list(_searches(resolved.parsed))
    if not searches:
        return
    known = _Known(_stored(resolved.parsed.tree), _NO_LONGER | resolved.parsed.lexed.dialect.joining_functions)
    for search in searches:
        if _is_written(_uncased(search.needle), MAX_NEEDLE):
            continue
        if _is_plain(search.needle, known) and _is_plain(search.through, known):
            continue
        message = (
            f"what is looked for is a text of at most {MAX_NEEDLE} characters, written out, or both sides are columns"
            f" of tables or texts of at most {MAX_WRITTEN}"
        )
        text, start = resolved.parsed.lexed.text, _place(search)
        raise refused(Reason.SQL_NOT_SUPPORTED, RULE, message, text=text, start=start, construct=search.construct)


def _searches(parsed: Parsed) -> Iterator[_Search]:
    for construct, needle, through in _candidates(parsed):
        if isinstance(needle, exp.Expr) and isinstance(through, exp.Expr) and not _are_ranges(needle, through):
            yield _Search(construct, needle, through)


def _candidates(parsed: Parsed) -> Iterator[tuple[str, object, object]]:
    for kind, (construct, needle, through) in _SEARCHES.items():
        for node in parsed.nodes.get(kind, ()):
            yield construct, node.args.get(needle), node.args.get(through)
    for call in parsed.nodes.get(exp.Anonymous, ()):
        name = call.name.lower()
        if at := _BY_NAME.get(name):
            yield name, _argument(call, at[0]), _argument(call, at[1])
    for difference in parsed.nodes.get(exp.Sub, ()):
        if _takes_keys(difference, parsed.tree):
            yield "-", difference.expression, difference.this


def _uncased(node: exp.Expr) -> exp.Expr:
    """Return what `lower(…)` or `upper(…)` is given."""
    is_case = isinstance(node, exp.Anonymous) and node.name.lower() in ("lower", "upper") and len(node.expressions) == 1
    argument = node.expressions[0] if is_case else node
    return argument if isinstance(argument, exp.Expr) else node


def _argument(call: exp.Expr, place: int) -> exp.Expr | None:
    return call.expressions[place] if place < len(call.expressions) else None


def _are_ranges(*sides: exp.Expr) -> bool:
    """Whether one side is made a range, so that both are: what contains what is then told by bounds, in order."""
    return any(isinstance(side, exp.Anonymous) and side.name.lower().endswith("range") for side in sides)


def _takes_keys(node: exp.Expr, tree: exp.Expr) -> bool:
    """Whether it may be `jsonb - text[]`, which takes each key out by a search: the right side may be an array."""
    right = node.expression.unnest()
    if isinstance(right, exp.Cast):
        return right.to.is_type(exp.DataType.Type.ARRAY)
    if isinstance(right, (exp.Literal, exp.Interval)):
        return False
    return _has_array(tree if isinstance(right, exp.Column) else right)


def _has_array(tree: exp.Expr) -> bool:
    calls = tree.find_all(exp.Anonymous)
    return tree.find(exp.Array) is not None or any("array" in call.name.lower() for call in calls)


def _is_written(node: exp.Expr, most: int) -> bool:
    """Whether a value is written out, with at most so many characters in all."""
    node = _unwrapped(node)
    if isinstance(node, exp.Array):
        return all(isinstance(each, exp.Literal) for each in node.expressions) and (
            sum(len(each.name) + 1 for each in node.expressions) <= most
        )
    is_text = isinstance(node, (exp.Literal, exp.BitString, exp.HexString, exp.ByteString, exp.RawString))
    return isinstance(node, (exp.Null, exp.Boolean)) or (is_text and len(node.name) <= most)


def _is_plain(node: exp.Expr, known: _Known) -> bool:
    """Whether a value is stored, bound or written out, and nothing that the statement made longer."""
    node = _unwrapped(node)
    if isinstance(node, exp.Column):
        return known.is_stored(node)
    if isinstance(node, (exp.DPipe, exp.Coalesce)):
        return all(_is_plain(part, known) for part in node.iter_expressions())
    if isinstance(node, (exp.Placeholder, exp.Parameter)):
        return True
    if isinstance(node, exp.Anonymous):
        name = node.name.lower()
        return name == "claim" or (name in known.no_longer and all(_is_plain(each, known) for each in node.expressions))
    return _is_written(node, MAX_WRITTEN)


def _unwrapped(node: exp.Expr) -> exp.Expr:
    while isinstance(node, _WRAPPERS) and isinstance(node.this, exp.Expr):
        node = node.this
    return node


def _stored(tree: exp.Expr) -> Callable[[exp.Column], bool]:
    """Return what tells a column of a table from one that the statement makes."""
    named = {folded(cte.alias) for cte in tree.find_all(exp.CTE)}
    made = named | {folded(node.alias) for node in tree.find_all(exp.Subquery, exp.Lateral, exp.Values, exp.Unnest)}
    tables: set[str] = set()
    has_made = bool(named)
    for node in tree.find_all(exp.From, exp.Join, exp.Lateral):
        source = node.this
        if (
            isinstance(source, exp.Table)
            and isinstance(source.this, exp.Identifier)
            and folded(source.name) not in named
        ):
            tables.add(folded(source.alias_or_name))
        else:
            has_made = True
            if isinstance(source, exp.Expr):
                made.add(folded(source.alias_or_name))
    return lambda column: not has_made or (folded(column.table) in tables and folded(column.table) not in made)


def _place(search: _Search) -> int:
    """Return where the first name or text of a search stands."""
    starts = [each.meta.get("start") for side in (search.through, search.needle) for each in side.walk()]
    return int(min((start for start in starts if start is not None), default=0))

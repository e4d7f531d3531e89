"""What may the tool show, how much, how often? The keys `allow:` and `limits:`, before they are held to the target."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, cast, final, get_args

from sandbox.problems import Mark
from sandbox.reasons import quoted
from sandbox.specs.document import Shape, choice, entries_of, fields, found, integer, items, number, scalar, text
from sandbox.specs.findings import Findings, Rule, choices, suggestion
from sandbox.specs.yaml import Broken, Entry, Node, Scalar
from sandbox.toolspec import (
    DEFAULT_MAX_BYTES,
    DEFAULT_MAX_RESPONSE_BYTES,
    DEFAULT_MAX_ROWS,
    DEFAULT_SECONDS,
    MaskName,
    Rate,
    ToolLimits,
)

MASKS: Final[tuple[MaskName, ...]] = get_args(MaskName)
MAX_SECONDS: Final = 300.0
MAX_ROWS: Final = 100_000
MAX_CONCURRENCY: Final = 1_024
MESSAGE_ROOM: Final = 64 * 1024
"""Bytes of a reply that are not rows: columns, receipt, metadata."""

_ALLOW: Final = Shape("`allow`", ("tables",), ("tables",))
_TABLE: Final = Shape("a table's rules", ("columns", "row_filter", "mask", "aggregate_only"), ("columns",))
_LIMITS: Final = Shape("`limits`", ("seconds", "max_rows", "max_bytes", "max_response_bytes", "rate", "concurrency"))
MAX_RESPONSE_BYTES: Final = 4 * 1024 * 1024
"""JSON of 40 MiB came to 1.2 GB of objects, and held everybody up for five seconds."""
_SIZE: Final = re.compile(r"([1-9][0-9]{0,9})(|B|KiB|MiB)")
_FACTORS: Final = {"": 1, "B": 1, "KiB": 1024, "MiB": 1024**2}
_RATE: Final = re.compile(r"([1-9][0-9]{0,6})/(s|min|h|day)")
_LIKE_A_SIZE: Final = re.compile(r"([1-9][0-9]{0,9}) ?([km])(?:i?b)?", re.IGNORECASE)
_LIKE_A_RATE: Final = re.compile(r"([1-9][0-9]{0,6}) ?(?:/|per) ?(?:1 ?)?([a-z]+)", re.IGNORECASE)
_OTHER_WORDS: Final = {
    "s": ("s", "sec", "secs", "second", "seconds"),
    "min": ("m", "min", "mins", "minute", "minutes"),
    "h": ("h", "hr", "hrs", "hour", "hours"),
    "day": ("d", "day", "days"),
}
_PERIODS: Final = {"s": 1.0, "min": 60.0, "h": 3_600.0, "day": 86_400.0}


@final
@dataclass(frozen=True, slots=True)
class NamedColumn:
    """A column as the spec writes it."""

    name: str
    mark: Mark


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TableDraft:
    """One table's rules, not yet held to the catalogue."""

    name: str
    mark: Mark
    columns: tuple[NamedColumn, ...] | Literal["all"]
    row_filter: Scalar | None
    masks: Mapping[str, tuple[MaskName, Mark]]
    aggregate_only: tuple[NamedColumn, ...]


def read_allow(node: Node, findings: Findings) -> tuple[TableDraft, ...]:
    """Return the tables of `allow:`."""
    known = fields(node, _ALLOW, findings)
    if "tables" not in known:
        return ()
    tables = entries_of(known["tables"].node, "`tables`", findings)
    if not tables and not isinstance(known["tables"].node, (Scalar, Broken)):
        findings.add(Rule.VALUE, known["tables"].node.mark, "no table is named; at least one is accepted")
    return tuple(_table(entry, findings) for entry in tables)


def _table(entry: Entry, findings: Findings) -> TableDraft:
    known = fields(entry.node, _TABLE, findings)
    columns = _columns(known["columns"].node, findings) if "columns" in known else ()
    masks = _masks(known["mask"].node, columns, findings) if "mask" in known else MappingProxyType({})
    aggregate_only: tuple[NamedColumn, ...] = ()
    if "aggregate_only" in known:
        aggregate_only = _aggregate_only(known["aggregate_only"].node, columns, masks, findings)
    return TableDraft(
        name=entry.key,
        mark=entry.mark,
        columns=columns,
        row_filter=_row_filter(known["row_filter"].node, findings) if "row_filter" in known else None,
        masks=masks,
        aggregate_only=aggregate_only,
    )


def _columns(node: Node, findings: Findings) -> tuple[NamedColumn, ...] | Literal["all"]:
    if isinstance(node, Scalar) and node.value == "all":
        return "all"
    return _named(node, "a list of columns, or `all`", findings)


def _named(node: Node, accepted: str, findings: Findings) -> tuple[NamedColumn, ...]:
    named: dict[str, NamedColumn] = {}
    for item in items(node, accepted, findings, most=2_000):
        name = text(item, findings, most=1_000, accepted="a column's name")
        if name in named:
            findings.add(Rule.VALUE, item.mark, f"column {quoted(name)} stands here twice")
        elif name is not None:
            named[name] = NamedColumn(name, item.mark)
    return tuple(named.values())


def _row_filter(node: Node, findings: Findings) -> Scalar | None:
    if text(node, findings, most=4_000, accepted="a boolean SQL expression") is None or not isinstance(node, Scalar):
        return None
    return node


def _masks(
    node: Node, columns: tuple[NamedColumn, ...] | Literal["all"], findings: Findings
) -> Mapping[str, tuple[MaskName, Mark]]:
    masks: dict[str, tuple[MaskName, Mark]] = {}
    for entry in entries_of(node, "`mask`", findings):
        _check_listed(NamedColumn(entry.key, entry.mark), "masked", columns, findings)
        mask = _mask(entry.node, findings)
        if mask is not None:
            masks[entry.key] = (mask, entry.mark)
    return MappingProxyType(masks)


def _aggregate_only(
    node: Node,
    columns: tuple[NamedColumn, ...] | Literal["all"],
    masks: Mapping[str, tuple[MaskName, Mark]],
    findings: Findings,
) -> tuple[NamedColumn, ...]:
    named = _named(node, "a list of columns", findings)
    for column in named:
        _check_listed(column, "for aggregates alone", columns, findings)
        if column.name in masks:
            message = f"column {quoted(column.name)} is masked and for aggregates alone; one of them is accepted"
            findings.add(Rule.VALUE, column.mark, message)
    return named


def _check_listed(
    column: NamedColumn, what: str, columns: tuple[NamedColumn, ...] | Literal["all"], findings: Findings
) -> None:
    """Note a column of which more is said than that it is shown, and that is not shown; of `all`, the target tells."""
    if columns == "all":
        return
    listed = [each.name for each in columns]
    if column.name not in listed:
        message = f"column {quoted(column.name)} is {what} and not in `columns`{suggestion(column.name, listed)}"
        findings.add(Rule.UNKNOWN_COLUMN, column.mark, message)


def _mask(node: Node, findings: Findings) -> MaskName | None:
    if isinstance(node, Scalar) and node.value is None and not node.style:
        return "null"  # WHY: an author writes `name: null`, and YAML reads nothing
    return cast("MaskName | None", choice(node, MASKS, findings))


def read_limits(node: Node, findings: Findings, max_message_bytes: int) -> ToolLimits:
    """Return the bounds of `limits:`, the defaults where it says nothing."""
    known = fields(node, _LIMITS, findings)
    seconds = _number_at(known, "seconds", findings, least=0.01, most=MAX_SECONDS)
    max_rows = _integer_at(known, "max_rows", findings, MAX_ROWS)
    room = max(max_message_bytes - MESSAGE_ROOM, 1)
    max_bytes = _size_at(known, "max_bytes", findings, room, "so that a reply fits one message")
    response = _size_at(known, "max_response_bytes", findings, MAX_RESPONSE_BYTES, "for it is held in memory")
    return ToolLimits(
        seconds=DEFAULT_SECONDS if seconds is None else seconds,
        max_rows=DEFAULT_MAX_ROWS if max_rows is None else max_rows,
        max_bytes=DEFAULT_MAX_BYTES if max_bytes is None else max_bytes,
        max_response_bytes=DEFAULT_MAX_RESPONSE_BYTES if response is None else response,
        rate=_rate(known["rate"].node, findings) if "rate" in known else None,
        concurrency=_integer_at(known, "concurrency", findings, MAX_CONCURRENCY),
    )


def _integer_at(known: Mapping[str, Entry], key: str, findings: Findings, most: int) -> int | None:
    return integer(known[key].node, findings, least=1, most=most) if key in known else None


def _number_at(known: Mapping[str, Entry], key: str, findings: Findings, *, least: float, most: float) -> float | None:
    return number(known[key].node, findings, least=least, most=most) if key in known else None


def _size_at(known: Mapping[str, Entry], key: str, findings: Findings, most: int, why: str) -> int | None:
    return _size(known[key].node, findings, most, why) if key in known else None


def _size(node: Node, findings: Findings, most: int, why: str) -> int | None:
    accepted = f"a size such as `256KiB`, at most {most} bytes {why},"
    written = str(node.value) if isinstance(node, Scalar) and type(node.value) in {int, str} else ""
    match = _SIZE.fullmatch(written)
    size = int(match[1]) * _FACTORS[match[2]] if match else 0
    if not 0 < size <= most:
        if not isinstance(node, Broken):
            like = _LIKE_A_SIZE.fullmatch(written)
            hint = f"; did you mean {quoted(f'{like[1]}{like[2].upper()}iB')}?" if like else ""
            findings.add(Rule.VALUE, node.mark, f"{found(node)} stands here; {accepted} is accepted{hint}")
        return None
    return size


def _rate(node: Node, findings: Findings) -> Rate | None:
    periods = choices(f"30/{period}" for period in _PERIODS)
    written = scalar(node, f"a rate such as {periods}", findings, str)
    if not isinstance(written, str):
        return None
    match = _RATE.fullmatch(written)
    if match:
        return Rate(int(match[1]), _PERIODS[match[2]])
    message = f"{found(node)} stands here; a rate such as {periods} is accepted{_meant_rate(written)}"
    findings.add(Rule.VALUE, node.mark, message)
    return None


def _meant_rate(written: str) -> str:
    """Return the rate that was probably meant."""
    like = _LIKE_A_RATE.fullmatch(written)
    word = like[2].lower() if like else ""
    period = next((period for period, words in _OTHER_WORDS.items() if word in words), None)
    return f"; did you mean {quoted(f'{like[1]}/{period}')}?" if like and period else ""

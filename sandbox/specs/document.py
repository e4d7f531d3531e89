"""What does a node hold? Readers that take one typed value out of a node, or note what would be accepted there."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, final

from sandbox.problems import Mark
from sandbox.reasons import quoted
from sandbox.specs.findings import Findings, Rule, choices, suggestion
from sandbox.specs.yaml import Broken, Entries, Entry, Items, Node, Scalar

NOT_BUILT_KEYS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "labels": "leave it out",
        "max_cost": "leave it out; `seconds`, `max_rows` and `max_bytes` bound the tool",
        "control": "leave it out",
        "subject": "leave it out",
        "idempotent": "`request` of `kind: http` has it; a caller's `request_id` makes a call run once",
        "approval": "leave it out",
        "default": "leave it out; an argument left out of a call is NULL in the statement",
    }
)
"""Keys that the design names and this version does not honour, each with what to do instead."""

MAX_ARGUMENTS: Final = 64
_ARGUMENT_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@final
@dataclass(frozen=True, slots=True)
class Shape:
    """Which keys a mapping may have."""

    what: str
    """With its article, such as `a tool spec`."""
    keys: tuple[str, ...]
    required: tuple[str, ...] = ()


def found(node: Node) -> str:
    """Return what stands there, for the middle of a sentence."""
    match node:
        case Scalar(value=bool() as value):
            return "true" if value else "false"
        case Scalar(value=int() | float() as number):
            return f"the number {number}"
        case Scalar(value=str() as text):
            return f"the text {quoted(text)}"
        case Scalar():
            return "`null`"
        case Items():
            return "a list"
        case Entries() | Broken():
            return "a mapping"


def entries_of(node: Node, what: str, findings: Findings) -> tuple[Entry, ...]:
    """Return the entries of a mapping, or note that it is none."""
    match node:
        case Entries(entries=entries):
            return entries
        case Broken():
            return ()
        case _:
            findings.add(Rule.TYPE, node.mark, f"{what} is {found(node)}; a mapping is accepted")
            return ()


def fields(node: Node, shape: Shape, findings: Findings) -> Mapping[str, Entry]:
    """Return the known keys of a mapping; notes unknown, unbuilt and missing ones."""
    known: dict[str, Entry] = {}
    for entry in entries_of(node, shape.what, findings):
        if entry.key in shape.keys:
            known[entry.key] = entry
        elif entry.key in NOT_BUILT_KEYS:
            message = f"{quoted(entry.key)} is not built yet in this version; {NOT_BUILT_KEYS[entry.key]}"
            findings.add(Rule.NOT_BUILT, entry.mark, message)
        else:
            hint = comma_hint(entry, findings) or suggestion(entry.key, shape.keys)
            findings.add(Rule.UNKNOWN_KEY, entry.mark, f"unknown key {quoted(entry.key)} in {shape.what}{hint}")
    if isinstance(node, Entries):
        _note_missing(node, known, shape, findings)
    return known


def comma_hint(entry: Entry, findings: Findings) -> str:
    """Return what to do about the rest of a text that a comma within `{…}` has cut; empty if it does not look so."""
    before = findings.line(entry.mark.line)[: entry.mark.column - 1].rstrip()
    is_bare = isinstance(entry.node, Scalar) and entry.node.value is None and not entry.node.style
    if not is_bare or not before.endswith(","):
        return ""
    return "; a comma ends a value within `{…}`: write a text that holds one in quotes"


def _note_missing(node: Entries, known: Mapping[str, Entry], shape: Shape, findings: Findings) -> None:
    missing = [key for key in shape.required if key not in known]
    misspelt = any(entry.key not in shape.keys for entry in node.entries)
    for key in missing:
        if not (misspelt and _is_misspelt(key, node, shape)):
            findings.add(Rule.MISSING_KEY, node.mark, f"{shape.what} needs the key {quoted(key)}")


def _is_misspelt(key: str, node: Entries, shape: Shape) -> bool:
    """Whether an unknown key was already told to be `key` misspelt: one slip is one problem."""
    unknown = (entry.key for entry in node.entries if entry.key not in shape.keys)
    return any(suggestion(name, shape.keys).endswith(f"did you mean {quoted(key)}?") for name in unknown)


def check_argument_name(entry: Entry, findings: Findings) -> None:
    """Note a name that cannot be a statement's parameter."""
    if not _ARGUMENT_NAME.fullmatch(entry.key):
        accepted = "a letter or `_`, then up to 63 letters, digits and `_`"
        findings.add(Rule.VALUE, entry.mark, f"argument name {quoted(entry.key)}; accepted: {accepted}")


def scalar(node: Node, accepted: str, findings: Findings, *kinds: type) -> object:
    """Return the value if its type is exactly one of `kinds`, else None and a note that names what is `accepted`."""
    if isinstance(node, Scalar) and type(node.value) in kinds:
        return node.value
    if not isinstance(node, Broken):
        findings.add(Rule.TYPE, node.mark, f"{found(node)} stands here; {accepted} is accepted{_quotes(node, kinds)}")
    return None


def _quotes(node: Node, kinds: Collection[type]) -> str:
    is_plain = isinstance(node, Scalar) and node.value is not None and not node.style
    return "; write it in quotes" if is_plain and tuple(kinds) == (str,) else ""


def text(node: Node, findings: Findings, *, most: int, accepted: str = "text") -> str | None:
    """Return text of 1 to `most` characters."""
    value = scalar(node, accepted, findings, str)
    if not isinstance(value, str):
        return None
    if not 0 < len(value) <= most:
        findings.add(Rule.TEXT, node.mark, f"{len(value)} characters; 1 to {most} are accepted")
        return None
    return value


def sentence(node: Node, findings: Findings, *, most: int) -> str | None:
    """Return one line that may reach a model: nothing in it can hide or move what a reader sees."""
    value = text(node, findings, most=most, accepted="one line of text")
    if value is None:
        return None
    if odd := next((c for c in value if not c.isprintable()), None):
        name = odd.encode("unicode_escape").decode()
        findings.add(
            Rule.TEXT, node.mark, f"it holds the character {quoted(name)}; one line of printable text is accepted"
        )
        return None
    return value


def matching(node: Node, pattern: re.Pattern[str], accepted: str, findings: Findings) -> str | None:
    """Return text that `pattern` matches as a whole."""
    value = scalar(node, accepted, findings, str)
    if not isinstance(value, str):
        return None
    if not pattern.fullmatch(value):
        findings.add(Rule.VALUE, node.mark, f"{found(node)} stands here; {accepted} is accepted")
        return None
    return value


def choice(node: Node, options: Collection[str], findings: Findings, *, later: Collection[str] = ()) -> str | None:
    """Return one of `options`; one of `later` is refused as not built yet."""
    value = scalar(node, f"one of {choices(options)}", findings, str)
    if not isinstance(value, str) or value in options:
        return value if isinstance(value, str) else None
    if value in later:
        message = f"{quoted(value)} is not built yet in this version; accepted: {choices(options)}"
        findings.add(Rule.NOT_BUILT, node.mark, message)
    else:
        findings.add(Rule.VALUE, node.mark, f"unknown value {quoted(value)}{suggestion(value, options)}")
    return None


def integer(node: Node, findings: Findings, *, least: int, most: int) -> int | None:
    """Return an integer within bounds."""
    value = scalar(node, f"an integer from {least} to {most}", findings, int)
    if not isinstance(value, int):
        return None
    if not least <= value <= most:
        findings.add(Rule.VALUE, node.mark, f"{found(node)} stands here; an integer from {least} to {most} is accepted")
        return None
    return value


def number(node: Node, findings: Findings, *, least: float, most: float) -> float | None:
    """Return a number within bounds."""
    value = scalar(node, f"a number from {least:g} to {most:g}", findings, int, float)
    if not isinstance(value, (int, float)):
        return None
    if not least <= value <= most:
        message = f"{found(node)} stands here; a number from {least:g} to {most:g} is accepted"
        findings.add(Rule.VALUE, node.mark, message)
        return None
    return float(value)


def boolean(node: Node, findings: Findings) -> bool | None:
    """Return `true` or `false`; `yes` and `no` are text in YAML 1.2 and refused."""
    value = scalar(node, "`true` or `false`", findings, bool)
    return value if isinstance(value, bool) else None


def items(node: Node, accepted: str, findings: Findings, *, most: int) -> tuple[Node, ...]:
    """Return the nodes of a list of 1 to `most`."""
    if isinstance(node, Items) and 0 < len(node.nodes) <= most:
        return node.nodes
    if isinstance(node, Items):
        message = f"a list of {len(node.nodes)} stands here; {accepted} is accepted, 1 to {most} of them"
        findings.add(Rule.VALUE, node.mark, message)
    elif not isinstance(node, Broken):
        findings.add(Rule.TYPE, node.mark, f"{found(node)} stands here; {accepted} is accepted")
    return ()


def value_mark(scalar_node: Scalar, findings: Findings, line: int, column: int) -> Mark:
    """Return where line and column of a text value (counted from 1) stand in its file; its beginning if that is hard.

    Block text keeps its lines; quoted or plain text on one line keeps its columns if nothing in it is escaped.
    """
    mark, value = scalar_node.mark, scalar_node.value
    if not isinstance(value, str) or line < 1:
        return mark
    lines = value.split("\n")
    wanted = lines[line - 1] if line <= len(lines) else ""
    if scalar_node.style == "|":
        number = mark.line + line
        start = findings.line(number).find(wanted)
        return Mark(number, start + max(column, 1)) if wanted and start >= 0 else mark
    offset = mark.column - 1 + (1 if scalar_node.style else 0)
    if len(lines) == 1 and findings.line(mark.line).startswith(value, offset):
        return Mark(mark.line, offset + max(column, 1))
    return mark

"""What does a YAML file say, and where? A strict reader: YAML 1.2, and only what reads the same to everybody.

Refused: anchors, aliases, tags, merge keys, directives, duplicate keys, several documents, numbers that YAML 1.1 and
1.2 read differently, files over 256 KiB, nesting over 32.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamStartEvent,
)

from sandbox.problems import Mark
from sandbox.reasons import quoted
from sandbox.specs.findings import Findings, Rule
from sandbox.values import JsonValue

MAX_FILE_BYTES: Final = 256 * 1024
MAX_DEPTH: Final = 32
_ODD_LINE_BREAK: Final = re.compile("\r(?!\n)|[\x85\u2028\u2029]")
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,18})")
_FLOAT: Final = re.compile(
    r"[-+]?(?=[0-9]*\.|[0-9.]+[eE])(?:(?:0|[1-9][0-9]{0,99})(?:\.[0-9]{0,99})?|\.[0-9]{1,99})(?:[eE][-+]?[0-9]{1,3})?"
)
_DISPUTED_NUMBER: Final = re.compile(
    r"[-+]?(?:[0-9][0-9_]*(?:\.[0-9_]*)?(?:[eE][-+]?[0-9]+)?|\.[0-9]+(?:[eE][-+]?[0-9]+)?"
    r"|0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)"
)
_CONSTANTS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip


@final
@dataclass(frozen=True, slots=True)
class Scalar:
    """One value."""

    value: bool | int | float | str | None
    mark: Mark
    style: str = ""
    """The quote or block indicator it was written with; empty for a plain one."""


@final
@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    nodes: tuple[Node, ...]
    mark: Mark


@final
@dataclass(frozen=True, slots=True)
class Entry:
    """One key and its value."""

    key: str
    mark: Mark
    """Of the key."""
    node: Node


@final
@dataclass(frozen=True, slots=True)
class Entries:
    """A mapping; its keys are unique."""

    entries: tuple[Entry, ...]
    mark: Mark


@final
@dataclass(frozen=True, slots=True)
class Broken:
    """A value that has already been reported; nobody needs to report it again."""

    mark: Mark


Node: TypeAlias = Scalar | Items | Entries | Broken


def decoded(source: bytes, findings: Findings) -> str | None:
    """Return the text of a file within our bounds, or note why it cannot be read."""
    if len(source) > MAX_FILE_BYTES:
        findings.add(Rule.YAML_TOO_LARGE, None, f"{len(source)} bytes; at most {MAX_FILE_BYTES} are accepted")
        return None
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError as error:
        findings.add(Rule.YAML_UNREADABLE, None, f"byte {error.start + 1} is not UTF-8")
        return None
    if odd := _ODD_LINE_BREAK.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        findings.add(Rule.YAML_UNREADABLE, Mark(line, 0), "a line ends in an unusual character; end lines with LF")
        return None
    if text.startswith("\N{ZERO WIDTH NO-BREAK SPACE}"):
        findings.add(Rule.YAML_UNREADABLE, Mark(1, 0), "the file begins with a byte order mark; save it without one")
        return None
    return text


_HINTS: Final = {
    "mapping values are not allowed here": "; a text with `: ` needs quotes, keys of one mapping one indentation"
}
"""What to do about what the parser says of the commonest slips."""


def read_yaml(text: str, findings: Findings) -> Node | None:
    """Return the one document of `text`, or None if its syntax is broken; notes everything refused."""
    try:
        return _Reader(text, findings).document()
    except _TooDeep as deep:
        findings.add(Rule.YAML_TOO_DEEP, deep.mark, f"nested more than {MAX_DEPTH} deep")
    except MarkedYAMLError as error:
        found = error.problem_mark or error.context_mark
        mark = Mark(found.line + 1, found.column + 1) if found else None
        problem = _one_line(error.problem or error.context or "unreadable")
        findings.add(Rule.YAML_SYNTAX, mark, f"not YAML: {problem}{_HINTS.get(problem, '')}")
    except YAMLError as error:
        findings.add(Rule.YAML_SYNTAX, None, f"not YAML: {_one_line(str(error))}")
    except (ValueError, RecursionError, AssertionError):  # the last of a `%YAML` directive of an odd version
        findings.add(Rule.YAML_SYNTAX, None, "not YAML")
    return None


def plain(node: Node) -> JsonValue:
    """Return the node as JSON values; what is broken becomes None."""
    match node:
        case Scalar(value=value):
            return value
        case Items(nodes=nodes):
            return [plain(item) for item in nodes]
        case Entries(entries=entries):
            return {entry.key: plain(entry.node) for entry in entries}
        case Broken():
            return None


class _TooDeep(Exception):
    def __init__(self, mark: Mark) -> None:
        super().__init__()
        self.mark = mark


def _one_line(text: str) -> str:
    return quoted(text.split("\n", 1)[0], 120)[1:-1]


def _mark(event: Event) -> Mark:
    return Mark(event.start_mark.line + 1, event.start_mark.column + 1)


@final
class _Reader:
    """Builds nodes from events. Events, not constructed objects: those no longer know how a value was written."""

    def __init__(self, text: str, findings: Findings) -> None:
        self._events: Iterator[Event] = YAML(typ="safe", pure=True).parse(text)
        self._findings = findings

    def document(self) -> Node:
        event = next(self._events)
        if isinstance(event, StreamStartEvent):
            event = next(self._events)
        if not isinstance(event, DocumentStartEvent):
            return Scalar(None, Mark(1, 1))
        if event.version or event.tags:
            self._findings.add(Rule.YAML_TAG, Mark(1, 1), "a `%` directive; the file is read as YAML 1.2 without any")
        node = self._node(next(self._events), 1)
        next(self._events)
        following = next(self._events)
        if isinstance(following, DocumentStartEvent):
            self._findings.add(Rule.YAML_ONE_DOCUMENT, _mark(following), "a second document begins; one file holds one")
        return node

    def _node(self, event: Event, depth: int) -> Node:
        mark = _mark(event)
        if depth > MAX_DEPTH:
            raise _TooDeep(mark)
        if isinstance(event, AliasEvent):
            self._findings.add(Rule.YAML_ANCHOR, mark, f"alias {quoted('*' + event.anchor)}; write the value out")
            return Broken(mark)
        if isinstance(event, NodeEvent) and event.anchor is not None:
            self._findings.add(Rule.YAML_ANCHOR, mark, f"anchor {quoted('&' + event.anchor)}; write the value out")
        if isinstance(event, (ScalarEvent, CollectionStartEvent)) and event.tag is not None:
            self._findings.add(Rule.YAML_TAG, mark, f"tag {quoted(str(event.tag))}; values have no tags here")
        if isinstance(event, ScalarEvent):
            return self._scalar(event, mark)
        if isinstance(event, SequenceStartEvent):
            return Items(tuple(self._items(depth)), mark)
        return Entries(tuple(self._entries(depth)), mark)

    def _items(self, depth: int) -> Iterator[Node]:
        while not isinstance(event := next(self._events), SequenceEndEvent):
            yield self._node(event, depth + 1)

    def _entries(self, depth: int) -> Iterator[Entry]:
        known: dict[str, Mark] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            key, mark = self._node(event, depth + 1), _mark(event)
            node = self._node(next(self._events), depth + 1)
            name = self._key(key, event)
            if name is None:
                continue
            if name in known:
                message = f"key {quoted(name)} stands here a second time; the first is on line {known[name].line}"
                self._findings.add(Rule.YAML_DUPLICATE_KEY, mark, message)
                continue
            known[name] = mark
            yield Entry(name, mark, node)

    def _key(self, key: Node, event: Event) -> str | None:
        if isinstance(key, Broken):
            return None
        if not isinstance(key, Scalar) or not isinstance(event, ScalarEvent):
            self._findings.add(Rule.YAML_KEY, key.mark, "a list or mapping stands as a key; keys are text")
            return None
        if event.value == "<<" and not key.style:
            self._findings.add(Rule.YAML_MERGE_KEY, key.mark, "merge key `<<`; write the keys out")
            return None
        if not isinstance(key.value, str):
            message = f"key {quoted(event.value)} is not text; write it in quotes"
            self._findings.add(Rule.YAML_KEY, key.mark, message)
            return None
        return key.value

    def _scalar(self, event: ScalarEvent, mark: Mark) -> Node:
        written: str = event.value
        if event.style or event.tag is not None:
            return Scalar(written, mark, event.style or "")
        if written in _CONSTANTS:
            return Scalar(_CONSTANTS[written], mark)
        if _INTEGER.fullmatch(written):
            return Scalar(int(written), mark)
        if _FLOAT.fullmatch(written) and abs(number := float(written)) != float("inf"):
            return Scalar(number, mark)
        if _DISPUTED_NUMBER.fullmatch(written):
            message = f"readers differ on the number {quoted(written)}; write it in quotes for text, or in plain digits"
            self._findings.add(Rule.YAML_NUMBER, mark, message)
            return Broken(mark)
        return Scalar(written, mark)

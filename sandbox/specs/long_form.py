"""Is `input_schema:` JSON Schema that we can hold a call to? Bounded, closed, about one object, with no silent parts.

JSON Schema ignores a keyword it does not know and fetches a reference to elsewhere. Both are refused here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, final

from jsonschema_rs import Draft202012Validator, ValidationError

from sandbox.problems import Mark
from sandbox.reasons import quoted
from sandbox.specs.compiled import FORMATS, HOLDS_SCHEMA, HOLDS_SCHEMA_LIST, HOLDS_SCHEMA_MAP, compiled
from sandbox.specs.document import MAX_ARGUMENTS, check_argument_name, found
from sandbox.specs.findings import Findings, Rule, suggestion
from sandbox.specs.yaml import Broken, Entries, Entry, Items, Node, Scalar, plain

MAX_EXPANDED: Final = 10_000
"""Subschemas after every `$ref` is followed: nested references multiply."""

_DATA: Final = frozenset(
    {
        "$schema", "$ref", "$comment", "type", "enum", "const", "title", "description", "examples", "deprecated",
        "format", "pattern", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
        "multipleOf", "minItems", "maxItems", "uniqueItems", "minContains", "maxContains", "minProperties",
        "maxProperties", "required", "dependentRequired",
    }
)  # fmt: skip
KEYWORDS: Final = frozenset(HOLDS_SCHEMA | HOLDS_SCHEMA_LIST | HOLDS_SCHEMA_MAP | _DATA)
_REFUSED: Final[Mapping[str, str]] = {
    "default": "it would not be applied; an argument left out of a call is NULL in the statement",
    "$id": "references stay within the schema: `#/$defs/NAME`",
    "$anchor": "references stay within the schema: `#/$defs/NAME`",
    "$dynamicRef": "references stay within the schema: `#/$defs/NAME`",
    "$dynamicAnchor": "references stay within the schema: `#/$defs/NAME`",
    "contentEncoding": "it would not be enforced",
    "contentMediaType": "it would not be enforced",
    "contentSchema": "it would not be enforced",
}
_AT_THE_TOP: Final = frozenset(
    {
        "$schema", "$comment", "$defs", "type", "title", "description", "properties", "required",
        "additionalProperties", "dependentRequired", "minProperties", "maxProperties", "allOf", "anyOf", "oneOf", "not",
        "if", "then", "else",
    }
)  # fmt: skip
_LOCAL_REFERENCE: Final = re.compile(r"#/\$defs/([A-Za-z0-9_.-]{1,64})")
_DRAFT: Final = "https://json-schema.org/draft/2020-12/schema"
_META: Final = Draft202012Validator({"$ref": _DRAFT}, offline=True)


def is_accepted_pattern(pattern: str) -> bool:
    """Whether the linear-time engine takes the regular expression, alone and as the short form anchors it."""
    try:
        compiled({"pattern": pattern})
        compiled({"pattern": f"^(?:{pattern})$"})
    except (ValidationError, ValueError):
        return False
    return True


def check_long_form(node: Node, findings: Findings) -> None:
    """Note everything in the schema that is not accepted."""
    if not isinstance(node, Entries):
        if not isinstance(node, Broken):
            findings.add(
                Rule.TYPE, node.mark, f"`input_schema` is {found(node)}; a JSON Schema of an object is accepted"
            )
        return
    before = len(findings.problems)
    _check_meta(node, findings)
    _check_subschema(node, findings)
    _check_top(node, findings)
    if len(findings.problems) == before:
        _check_expansion(node, findings)
    if len(findings.problems) == before:
        _check_compiles(node, findings)


def _check_meta(node: Entries, findings: Findings) -> None:
    schema = plain(node)
    assert isinstance(schema, dict)  # noqa: S101 - entries are a mapping
    for error in _META.iter_errors(schema):
        mark = _place(node, [str(part) for part in error.instance_path])
        findings.add(Rule.SCHEMA, mark, f"not JSON Schema 2020-12: {_complaint(error)}")


def _complaint(error: ValidationError) -> str:
    where = error.instance_path[-1] if error.instance_path else "the schema"
    if where == "type":
        return "`type` names one or more of `string`, `integer`, `number`, `boolean`, `object`, `array`, `null`"
    if where == "pattern":
        return "`pattern` is no regular expression"
    return f"{quoted(str(where))} breaks `{error.kind.name}` of the meta-schema"


def _place(node: Node, path: list[str]) -> Mark:
    """Return where the value at `path` stands, or the innermost value above it."""
    for part in path:
        below = _below(node, part)
        if below is None:
            break
        node = below
    return node.mark


def _below(node: Node, part: str) -> Node | None:
    match node:
        case Entries(entries=entries):
            return next((entry.node for entry in entries if entry.key == part), None)
        case Items(nodes=nodes):
            return nodes[int(part)] if part.isdecimal() and int(part) < len(nodes) else None
        case _:
            return None


def _check_subschema(node: Node, findings: Findings) -> None:
    if not isinstance(node, Entries):
        return
    for entry in node.entries:
        _check_keyword(entry, findings)
        for below in _subschemas(entry):
            _check_subschema(below, findings)


def _check_keyword(entry: Entry, findings: Findings) -> None:
    key, node = entry.key, entry.node
    if key in _REFUSED:
        findings.add(Rule.SCHEMA, entry.mark, f"keyword {quoted(key)} is not accepted: {_REFUSED[key]}")
    elif key not in KEYWORDS:
        hint = suggestion(key, sorted(KEYWORDS)) if len(key) > 2 else ""
        findings.add(Rule.SCHEMA, entry.mark, f"unknown keyword {quoted(key)} in a schema{hint}")
    elif not isinstance(node, Scalar) or not isinstance(node.value, str):
        return
    elif key == "$ref" and not _LOCAL_REFERENCE.fullmatch(node.value):
        message = f"reference {quoted(node.value)}; accepted: `#/$defs/NAME`, for nothing is fetched"
        findings.add(Rule.SCHEMA, node.mark, message)
    elif key == "$schema" and node.value != _DRAFT:
        findings.add(Rule.SCHEMA, node.mark, f"{found(node)} stands here; {quoted(_DRAFT)} is accepted")
    elif key == "format" and node.value not in FORMATS:
        findings.add(Rule.SCHEMA, node.mark, f"unknown format {quoted(node.value)}{suggestion(node.value, FORMATS)}")
    elif key == "pattern" and not is_accepted_pattern(node.value):
        message = f"pattern {quoted(node.value)}; accepted: regular expressions without look-around or back-references"
        findings.add(Rule.SCHEMA, node.mark, message)


def _subschemas(entry: Entry) -> Iterator[Node]:
    if entry.key in HOLDS_SCHEMA:
        yield entry.node
    elif entry.key in HOLDS_SCHEMA_LIST and isinstance(entry.node, Items):
        yield from entry.node.nodes
    elif entry.key in HOLDS_SCHEMA_MAP and isinstance(entry.node, Entries):
        yield from (below.node for below in entry.node.entries)


def _check_top(node: Entries, findings: Findings) -> None:
    known = {entry.key: entry for entry in node.entries}
    for entry in node.entries:
        if entry.key in KEYWORDS - _AT_THE_TOP:
            findings.add(Rule.SCHEMA, entry.mark, f"keyword {quoted(entry.key)} is accepted below `properties` only")
    if "type" not in known or plain(known["type"].node) != "object":
        mark = known["type"].node.mark if "type" in known else node.mark
        findings.add(Rule.SCHEMA, mark, "arguments are one object; `type: object` is accepted")
    if "additionalProperties" in known and plain(known["additionalProperties"].node) is not False:
        mark = known["additionalProperties"].node.mark
        findings.add(
            Rule.SCHEMA, mark, "unknown arguments are always refused; `additionalProperties: false` is accepted"
        )
    properties = _entries_at(known.get("properties"))
    _check_required(known.get("required"), [entry.key for entry in properties], findings)
    if len(properties) > MAX_ARGUMENTS:
        message = f"{len(properties)} arguments; at most {MAX_ARGUMENTS} are accepted"
        findings.add(Rule.SCHEMA, known["properties"].mark, message)
    for entry in properties[:MAX_ARGUMENTS]:
        _check_argument(entry, findings)


def _entries_at(entry: Entry | None) -> tuple[Entry, ...]:
    return entry.node.entries if entry is not None and isinstance(entry.node, Entries) else ()


def _check_required(required: Entry | None, names: list[str], findings: Findings) -> None:
    nodes = required.node.nodes if required is not None and isinstance(required.node, Items) else ()
    for node in nodes:
        if isinstance(node, Scalar) and isinstance(node.value, str) and node.value not in names:
            hint = suggestion(node.value, names)
            findings.add(Rule.SCHEMA, node.mark, f"{quoted(node.value)} is required and not in `properties`{hint}")


def _check_argument(entry: Entry, findings: Findings) -> None:
    check_argument_name(entry, findings)
    known = {below.key: below for below in _entries_at(entry)}
    if "type" not in known:
        message = f"argument {quoted(entry.key)} says no `type` here; policies and statements need one"
        findings.add(Rule.SCHEMA, entry.mark, message)
    elif _text_at(known, "format") == "sql" and plain(known["type"].node) != "string":
        findings.add(Rule.SCHEMA, known["type"].node.mark, "an argument of `format: sql` is of `type: string`")


def _text_at(known: Mapping[str, Entry], key: str) -> str | None:
    value = plain(known[key].node) if key in known else None
    return value if isinstance(value, str) else None


def _check_expansion(node: Entries, findings: Findings) -> None:
    definitions = {entry.key: entry for entry in _entries_at(next((e for e in node.entries if e.key == "$defs"), None))}
    expansion = _Expansion(definitions, findings)
    total = sum(expansion.weight_of(below) for below in (node, *(entry.node for entry in definitions.values())))
    if total > MAX_EXPANDED:
        findings.add(Rule.SCHEMA, node.mark, f"more than {MAX_EXPANDED} subschemas once references are followed")


@final
class _Expansion:
    """Counts the subschemas a value may meet, each definition weighed once."""

    def __init__(self, definitions: Mapping[str, Entry], findings: Findings) -> None:
        self._definitions = definitions
        self._findings = findings
        self._weights: dict[str, int] = {}
        self._open: list[str] = []

    def weight_of(self, node: Node) -> int:
        if not isinstance(node, Entries):
            return 1
        total = 1
        for entry in node.entries:
            if entry.key == "$ref":
                total += self._followed(entry)
            elif entry.key != "$defs":
                total += sum(self.weight_of(schema) for schema in _subschemas(entry))
        return min(total, MAX_EXPANDED + 1)

    def _followed(self, reference: Entry) -> int:
        match = _LOCAL_REFERENCE.fullmatch(str(plain(reference.node)))
        name, mark = (match[1] if match else ""), reference.node.mark
        if name not in self._definitions:
            hint = suggestion(name, self._definitions)
            self._findings.add(Rule.SCHEMA, mark, f"there is no {quoted(name)} in `$defs`{hint}")
        elif name in self._open:
            message = f"{quoted(name)} refers to itself; arguments have a fixed depth"
            self._findings.add(Rule.SCHEMA, mark, message)
        elif name not in self._weights:
            self._open.append(name)
            self._weights[name] = self.weight_of(self._definitions[name].node)
            self._open.pop()
        return self._weights.get(name, 1)


def _check_compiles(node: Entries, findings: Findings) -> None:
    schema = plain(node)
    assert isinstance(schema, dict)  # noqa: S101 - entries are a mapping
    try:
        compiled(schema)
    except (ValidationError, ValueError) as error:
        findings.add(Rule.SCHEMA, node.mark, f"the schema does not compile: {quoted(str(error).split(chr(10), 1)[0])}")

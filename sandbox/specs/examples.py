"""What does the author say the tool does? The key `examples:`, which `sandbox test` runs and models read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from sandbox.reasons import Reason, quoted
from sandbox.specs.document import Shape, choice, entries_of, fields, found, integer, items
from sandbox.specs.findings import Findings, Rule, choices
from sandbox.specs.yaml import Entry, Items, Node, plain
from sandbox.toolspec import Example
from sandbox.values import JsonObject

MAX_EXAMPLES: Final = 50
_EXAMPLE: Final = Shape("an example", ("as", "call", "expect"), ("call", "expect"))
_EXPECT_KEYS: Final = ("row_count", "rows", "refused")
_EXPECT: Final = Shape("`expect`", _EXPECT_KEYS)


def read_examples(node: Node, findings: Findings) -> tuple[Example, ...]:
    """Return the examples, each with the line it begins on."""
    return tuple(_example(item, findings) for item in items(node, "a list of examples", findings, most=MAX_EXAMPLES))


def _example(node: Node, findings: Findings) -> Example:
    known = fields(node, _EXAMPLE, findings)
    expected = _expected(known["expect"], findings) if "expect" in known else {}
    count = expected.get("row_count")
    rows = expected.get("rows")
    refused = expected.get("refused")
    return Example(
        claims=_object(known.get("as"), findings),
        call=_object(known.get("call"), findings),
        expected_row_count=integer(count.node, findings, least=0, most=10**9) if count else None,
        expected_rows=_rows(rows.node, findings) if rows else None,
        expected_refusal=choice(refused.node, [*Reason], findings) if refused else None,
        line=node.mark.line,
    )


def _expected(entry: Entry, findings: Findings) -> Mapping[str, Entry]:
    before = len(findings.problems)
    expected = fields(entry.node, _EXPECT, findings)
    if len(expected) != 1 and len(findings.problems) == before:
        message = f"{len(expected)} expectations; exactly one of {choices(_EXPECT_KEYS)} is accepted"
        findings.add(Rule.EXAMPLE, entry.mark, message)
    return expected


def _object(entry: Entry | None, findings: Findings) -> JsonObject:
    if entry is None:
        return {}
    entries = entries_of(entry.node, quoted(entry.key), findings)
    return {below.key: plain(below.node) for below in entries}


def _rows(node: Node, findings: Findings) -> tuple[tuple[object, ...], ...] | None:
    if not isinstance(node, Items):
        findings.add(Rule.TYPE, node.mark, f"{found(node)} stands here; a list of rows, each a list, is accepted")
        return None
    return tuple(_row(row, findings) for row in node.nodes)


def _row(node: Node, findings: Findings) -> tuple[object, ...]:
    cells = plain(node)
    if isinstance(cells, Sequence) and not isinstance(cells, str):
        if any(isinstance(cell, (Mapping, list)) for cell in cells):
            findings.add(Rule.TYPE, node.mark, "a list or mapping stands in a row; cells are text, numbers or null")
        return tuple(cells)
    findings.add(Rule.TYPE, node.mark, f"{found(node)} stands here; a row is a list of cells")
    return ()

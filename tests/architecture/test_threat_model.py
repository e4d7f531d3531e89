"""Does the threat model name tests that exist? Each promise is carried by requirements, or says "not yet"."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Collection, Iterator

import pytest
from source_tree import ROOT
from test_requirements import requirements

PROMISE = re.compile(r"^\| (P\d+) \|.*\|([^|]*)\|$", re.MULTILINE)
PROMISES = [f"P{number}" for number in range(1, 11)]


def gaps(page: str, known: Collection[str]) -> Iterator[str]:
    """Yield what a page of promises leaves open."""
    carried = dict(PROMISE.findall(page))
    yield from (f"{promise} has no line" for promise in PROMISES if promise not in carried)
    for promise, carriers in carried.items():
        patterns = re.findall(r"`([a-z0-9-]+:[a-z0-9*:-]+)`", carriers)
        if not patterns and "not yet" not in carriers:
            yield f'{promise} names no requirement and does not say "not yet"'
        for pattern in patterns:
            if not fnmatch.filter(known, pattern):
                yield f"{promise} names `{pattern}`, which no requirement matches"


def unmatched_rows(page: str, known: Collection[str]) -> Iterator[str]:
    """Yield the rows of the table of bad input that no requirement carries."""
    table = page.split("<!-- bad input:", 1)[1].split("\n## ", 1)[0]
    for what, carriers in re.findall(r"^\| ([^|]+) \|[^|]*\|([^|]*)\|$", table, re.MULTILINE)[1:]:
        patterns = re.findall(r"`([^`]+)`", carriers)
        if not patterns or not all(fnmatch.filter(known, pattern) for pattern in patterns):
            yield what


@pytest.mark.requirement("house:threat-model:bound")
def test_each_kind_of_bad_input_is_carried() -> None:
    page = (ROOT / "docs" / "threat-model.md").read_text("utf-8")

    assert list(unmatched_rows(page, requirements())) == []
    assert list(unmatched_rows(page, ())) != []
    planted = "<!-- bad input: -->\n| what | done | by |\n|---|---|---|\n| x | y | `no:such` |\n| z | y | |\n## More"
    assert list(unmatched_rows(planted, ["a:b"]))[-2:] == ["x", "z"]


BY_HAND = {
    "none can be asked for",
    "there is none",
    "the engine's alone",
    "not held",
    "the server's own limits",
}
"""What a cell of docs/read-only.md may say instead of naming a requirement."""


def unkept_cells(page: str, known: Collection[str]) -> Iterator[str]:
    """Yield the cells of the table of what read-only means that no requirement carries."""
    table, width = page.split("<!-- read-only:", 1)[1].partition("\n## ")[0], 0
    for row in re.findall(r"^\| (.+) \|$", table, re.MULTILINE):
        promised, *cells = row.split(" | ")
        if promised == "promised":
            width = len(cells)
            continue
        yield from (f"{promised}: {cell}" for cell in cells if not _is_kept(cell, known))
        if len(cells) != width or not any("`" in cell for cell in cells):
            yield f"{promised}: nobody keeps it"


def _is_kept(cell: str, known: Collection[str]) -> bool:
    patterns = re.findall(r"`([a-z0-9-]+:[a-z0-9*:-]+)`", cell)
    return cell in BY_HAND or (bool(patterns) and all(fnmatch.filter(known, pattern) for pattern in patterns))


@pytest.mark.requirement("house:read-only:bound")
def test_each_cell_of_what_read_only_means_is_carried() -> None:
    page = (ROOT / "docs" / "read-only.md").read_text("utf-8")

    assert list(unkept_cells(page, requirements())) == []
    assert len(list(unkept_cells(page, ()))) > 40
    planted = "<!-- read-only:\n| promised | a | b | c | d |\n|---|\n| x | `a:b` | not held | `no:such` | no |\n"
    assert list(unkept_cells(planted, ["a:b"])) == ["x: `no:such`", "x: no"]


@pytest.mark.requirement("house:threat-model:bound")
def test_each_promise_is_carried_or_says_not_yet() -> None:
    found = list(gaps((ROOT / "docs" / "threat-model.md").read_text("utf-8"), requirements()))

    assert not found, "\n".join(found)


def test_a_missing_and_an_empty_promise_are_found() -> None:
    page = "| P1 | Nothing runs | `identity:*` |\n| P2 | No result | |\n| P3 | Reads | `sql:*` |\n"

    found = list(gaps(page, {"identity:token:expired"}))

    assert "P3 names `sql:*`, which no requirement matches" in found
    assert 'P2 names no requirement and does not say "not yet"' in found
    assert "P4 has no line" in found
    assert not [line for line in found if line.startswith("P1 ")]

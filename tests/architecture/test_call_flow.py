"""Does docs/call-flow.md name files that exist and define what the page says they define?"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from source_tree import ROOT

ROW = re.compile(r"^\| (?P<what>.*`.+`.*) \| (?P<files>(?:`[^`|]+`(?:, )?)+) \|$", re.MULTILINE)
NAME = re.compile(r"`([A-Za-z_]\w*)`")


def defined(source: str) -> set[str]:
    """Return the names that a module defines itself."""
    found: set[str] = set()
    for node in ast.parse(source).body:
        match node:
            case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
                found.add(node.name)
            case ast.Assign():
                found.update(target.id for target in node.targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name() as target):
                found.add(target.id)
            case _:
                pass
    return found


def faults(page: str) -> Iterator[str]:
    """Yield rows of the page's table that say what is not so."""
    rows = list(ROW.finditer(page))
    if not rows:
        yield "there is no table of symbols and files"
    for row in rows:
        for file in re.findall(r"`([^`]+)`", row["files"]):
            path = ROOT / file
            if not path.is_file():
                yield f"{file} is not there"
                continue
            missing = set(NAME.findall(row["what"])) - defined(path.read_text("utf-8"))
            yield from (f"{file} does not define {name}" for name in sorted(missing))


@pytest.mark.requirement("house:docs:call-flow")
def test_every_file_defines_what_the_page_says() -> None:
    found = list(faults((ROOT / "docs" / "call-flow.md").read_text("utf-8")))

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("| `Flow` | `sandbox/flow/__init__.py` |", "sandbox/flow/__init__.py does not define Flow"),
        ("| `Flow` | `sandbox/flow/nowhere.py` |", "sandbox/flow/nowhere.py is not there"),
        ("nothing", "there is no table of symbols and files"),
    ],
)
def test_a_wrong_row_is_found(row: str, said: str) -> None:
    assert list(faults(row + "\n")) == [said]

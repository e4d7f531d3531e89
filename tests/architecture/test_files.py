"""Do files keep the house's measures? Length, docstrings, and words that do not belong in the project."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from source_tree import ROOT

MAX_FUNCTION_LINES = 55
MAX_MODULE_LINES = 450
GENERATED = ("sandbox/v1/", "uv.lock", "requirements", "protos/baseline.json", "docs/reasons.md")
FOREIGN_WORDS = re.compile(
    r"(?<![\w.~$}/-])/(?:root|work|home/[a-z]+|Users/[A-Za-z]+)/"  # a path of somebody's machine
    r"|\bAI[- ](?:generated|written)\b",
    re.IGNORECASE,
)
BARE_TODO = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X)\b(?!\(#\d+\): )")
SLEEPS = re.compile(r"(?:time|asyncio)\.sleep|(?:\w+\.)?Event\(\)\.wait")
"""An event that nobody else holds is a clock."""
PAUSES = {
    "sandbox/limits/patience.py": "holds back whoever floods us",
    "sandbox/limits/shared.py": "a lock of the kernel's is waited for without a bound, or not at all",
    "sandbox/audit/signed.py": "no event tells of a signature that another process writes",
    "sandbox/presence.py": "a lock of the kernel's is waited for without a bound, or not at all",
    "sandbox/cli/asking.py": "no event tells of another process that starts",
}
"""Where time itself is waited for, and why."""

ASLEEP = "sleeps instead of waiting for something"


def committed() -> list[Path]:
    """Return the files of the project: those git knows or would add."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],  # noqa: S607 - whichever git is here
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def is_generated(name: str) -> bool:
    """Whether a machine writes the file."""
    return name.startswith(GENERATED)


def faults_of_text(text: str) -> Iterator[str]:
    """Yield what does not belong into any file."""
    for number, line in enumerate(text.splitlines(), start=1):
        if found := FOREIGN_WORDS.search(line):
            yield f"{number}: says {found.group()!r}"
        if found := BARE_TODO.search(line):
            yield f"{number}: {found.group()} without an issue number"


def faults_of_python(source: str) -> Iterator[str]:
    """Yield where a Python file is too long, undocumented or asleep."""
    tree = ast.parse(source)
    if not ast.get_docstring(tree):
        yield "1: no module docstring"
    if (lines := len(source.splitlines())) > MAX_MODULE_LINES:
        yield f"1: {lines} lines; at most {MAX_MODULE_LINES}"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > MAX_FUNCTION_LINES:
                yield f"{node.lineno}: {node.name} has {length} lines; at most {MAX_FUNCTION_LINES}"
        if isinstance(node, ast.Call) and SLEEPS.fullmatch(ast.unparse(node.func)):
            yield f"{node.lineno}: {ASLEEP}"


def python_files() -> list[Path]:
    """Return the Python written by hand."""
    return [path for path in committed() if path.suffix == ".py" and not is_generated(name_of(path))]


def name_of(path: Path) -> str:
    """Return a path as the project says it."""
    return path.relative_to(ROOT).as_posix()


@pytest.mark.requirement("house:files:measures")
def test_python_files_keep_their_measures() -> None:
    found = [(name_of(path), fault) for path in python_files() for fault in faults_of_python(path.read_text("utf-8"))]
    pausing = {name for name, fault in found if fault.endswith(ASLEEP)} & PAUSES.keys()
    wrong = [f"{name}:{fault}" for name, fault in found if not (name in PAUSES and fault.endswith(ASLEEP))]

    assert not wrong, "\n".join(wrong)
    assert pausing == PAUSES.keys(), "a pause that is gone needs no leave"


@pytest.mark.requirement("house:files:words")
def test_no_file_names_a_machine_or_leaves_a_loose_end() -> None:
    found = []
    for path in committed():
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        if not is_generated(name_of(path)):
            found += [f"{name_of(path)}:{fault}" for fault in faults_of_text(text)]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text", ["see |root|notes", "path = '|work|x'", "|home|anna|x", "AI_generated", "TO_DO: later"]
)
def test_a_planted_word_is_found(text: str) -> None:
    planted = text.replace("|", "/").replace("TO_DO", "TO" + "DO").replace("AI_", "AI" + "-")

    assert list(faults_of_text(planted)) != []


@pytest.mark.parametrize("text", ["TODO(#12): later", "https:||example.com|work|x", "a|home|x|y", "root|work"])
def test_an_honest_word_is_not(text: str) -> None:
    assert list(faults_of_text(text.replace("|", "/"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "x = 1",
        '"""Doc."""\n' + "x = 1\n" * MAX_MODULE_LINES,
        '"""Doc."""\ndef f():\n' + "    x = 1\n" * MAX_FUNCTION_LINES,
        '"""Doc."""\nimport time\ntime.sleep(1)\n',
        '"""Doc."""\nEvent().wait(1)\n',
        '"""Doc."""\nif threading.Event().wait(timeout=1): pass\n',
    ],
)
def test_a_planted_fault_is_found(source: str) -> None:
    assert list(faults_of_python(source)) != []

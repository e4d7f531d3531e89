"""Does broken input get a refusal wherever bytes come from outside? Short form of the fuzzer."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "lib" / "fuzz.py"
READERS = 12


@pytest.mark.requirement("house:input:fuzzed")
def test_broken_bytes_are_answered_or_refused_by_every_reader(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--cases", "4000", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)  # noqa: S603 - our own script

    assert done.returncode == 0, done.stdout + done.stderr
    _, _, *rows, total = done.stdout.splitlines()
    assert len(rows) == READERS
    assert all(int(row[14:23]) == int(row[23:33]) + int(row[33:42]) for row in rows)
    assert "0 crashes" in total


@pytest.mark.requirement("house:input:fuzzed")
@pytest.mark.parametrize(("act", "told"), [("raises", "KeyError: 'x'"), ("dawdles", "took ")])
def test_a_crash_and_a_hang_are_told_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str, told: str
) -> None:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    monkeypatch.chdir(tmp_path)
    fuzz, fuzz_targets = import_module("fuzz"), import_module("fuzz_targets")
    monkeypatch.setattr(fuzz, "MOST_S", 2.0 if act == "raises" else -1.0)
    lines: list[str] = []

    def take(_: bytes) -> None:
        if act == "raises":
            raise KeyError("x")

    row = fuzz.Row()
    fuzz.run(fuzz_targets.Target("reader", 1, [b"seed"], take, (ValueError,)), 3, 1, row, lines.append)

    assert (row.cases, row.crashes) == (3, 3)
    assert len(lines) == len(list((tmp_path / "fuzz-crashes").iterdir())) == len(row.kinds)
    assert lines[0].startswith(f"reader: {told}")

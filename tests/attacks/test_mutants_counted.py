"""Is every changed receipt and log refused by the real commands, and is an accepted one told? Short form of mutate."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "lib" / "mutate.py"


@pytest.mark.requirement("log:verify:mutated")
@pytest.mark.requirement("log:audit:tampered")
def test_every_kind_of_mutant_is_refused_and_crashes_nothing() -> None:
    command = [sys.executable, str(SCRIPT), "--times", "2", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own script
    assert done.returncode == 0, done.stdout + done.stderr
    head, _, *table = done.stdout.splitlines()
    assert head.startswith("seed 7, ")
    rows = {line[:42].strip(): [int(number) for number in line[42:].split()] for line in table[:-1]}
    assert rows["total"][3:] == [0, 0]
    assert all(tried == refused + no_matter for tried, refused, no_matter, *_ in rows.values())
    assert {kind for kind, row in rows.items() if row[2] and row[2] == row[0]} <= {
        "receipt: a stranger's line added",
        "log: any bit of the file",
    }
    kinds = {part: sum(kind.startswith(f"{part}: ") for kind in rows) for part in ("receipt", "log", "checkpoint")}
    assert min(kinds["receipt"], kinds["log"]) * 20 >= 200  # the whole run makes 20 mutants of each kind
    assert kinds["checkpoint"] == 7
    assert sum(kind.startswith("receipt: two lines") for kind in rows) == 5


def test_what_is_accepted_or_crashes_is_counted_as_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    mutate = import_module("mutate")
    ground = mutate.Ground(tmp_path, (), tmp_path, None)
    for code in (0, 1, 2, 5):
        ground.tell("receipt: x", code)
    ground.tell("receipt: x", 0, is_no_matter=lambda: True)
    assert ground.counts["receipt: x"] == mutate.Count(tried=5, refused=2, no_matter=1, accepted=1, crashed=1)

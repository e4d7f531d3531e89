"""Does every released result have its record, and every effect its intent, even if all processes die the next moment?

The short form of scripts/crash-test.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.requirement("doors:crash:nothing-lost")
@pytest.mark.requirement("log:orphan:crash-run")
def test_killed_services_leave_every_receipt_in_the_log_and_no_effect_without_its_intent() -> None:
    command = [sys.executable, str(ROOT / "scripts/lib/crash.py"), "--kills", "2", "--seed", "7", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own script

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert set(found["lost"].values()) == {0}
    assert found["receipts"] > 0
    assert found["intents"] >= found["effects"] > 0
    assert found["left_open"] == found["orphans"] > 0


@pytest.mark.requirement("doors:crash:nothing-lost")
def test_a_run_in_which_nothing_was_killed_proves_nothing() -> None:
    command = [sys.executable, str(ROOT / "scripts/lib/crash.py"), "--kills", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own script

    assert done.returncode == 1
    assert "nothing is proven: no receipt, nothing is proven: no effect" in done.stdout

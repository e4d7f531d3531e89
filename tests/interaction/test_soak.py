"""Is nothing lost while workers are killed, specs reloaded and tokens revoked? The short form of scripts/soak."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "lib" / "soak.py"


@pytest.mark.requirement("app:soak:nothing-lost")
def test_nothing_is_lost_over_a_dozen_seconds_of_troubles() -> None:
    command = [sys.executable, str(SCRIPT), "--minutes", "0.2", "--kill-every", "4", "--archive-every", "2"]
    command += ["--without-postgres", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own script

    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["lost"] == 0
    happened = ("kills", "reloads", "refused_reloads", "revocations", "audits", "archives", "receipts", "effects")
    assert min(found[each] for each in happened) > 0
    assert found["whole_growth_percent"] is None  # so short a run tells nothing of memory


@pytest.mark.requirement("app:soak:nothing-lost")
def test_a_soak_in_which_nobody_was_killed_does_not_hold_its_bar() -> None:
    command = [sys.executable, str(SCRIPT), "--minutes", "0.03", "--kill-every", "600", "--without-postgres"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own script

    assert done.returncode == 1
    assert "what must not have happened: nothing is proven: no worker was killed" in done.stdout

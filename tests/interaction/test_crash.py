"""Does every released result have its record, even if the server dies the next moment? The short form of crash-test."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.requirement("doors:crash:nothing-lost")
def test_a_killed_server_leaves_every_receipt_in_the_log() -> None:
    command = [sys.executable, str(ROOT / "scripts/lib/crash.py"), "--kills", "2", "--seed", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)  # noqa: S603 - our own script
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].endswith("none missing from the log, every audit clean")

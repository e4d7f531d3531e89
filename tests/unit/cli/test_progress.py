"""Does a command that waits say so?"""

from __future__ import annotations

import sys
import threading
from io import StringIO

import pytest

from sandbox.cli import progress

requirement = pytest.mark.requirement("house:cli:told-waits")


class Heard(StringIO):
    """A stderr that tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.is_told = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        self.is_told.set()
        return written


@requirement
def test_what_takes_long_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = Heard()
    monkeypatch.setattr(sys, "stderr", heard)
    monkeypatch.setattr(progress, "PROGRESS_AFTER_S", 0.001)

    with progress.told_wait("asking"):
        assert heard.is_told.wait(10)

    assert heard.getvalue() == "asking ...\n"


@requirement
def test_what_is_over_soon_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    heard, before = Heard(), set(threading.enumerate())
    monkeypatch.setattr(sys, "stderr", heard)

    with progress.told_wait("asking"):
        (timer,) = set(threading.enumerate()) - before
    timer.join(10)

    assert (timer.is_alive(), heard.getvalue()) == (False, "")

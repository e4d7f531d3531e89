"""Does a command that waits say so?"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from io import StringIO
from typing import Never

import pytest
from command_line import CommandLine

from sandbox.cli import progress
from sandbox.deployment import Misconfigured

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
    heard, timers, made = Heard(), list[threading.Timer](), threading.Timer

    def watched(after_s: float, tell: Callable[[], object]) -> threading.Timer:
        timers.append(made(after_s, tell))
        return timers[-1]

    monkeypatch.setattr(sys, "stderr", heard)
    monkeypatch.setattr(threading, "Timer", watched)

    with progress.told_wait("asking"):
        (timer,) = timers
        assert timer.is_alive()
    timer.join(10)

    assert (timer.is_alive(), heard.getvalue()) == (False, "")


@requirement
@pytest.mark.parametrize(
    ("words", "room", "name"),
    [
        (["doctor"], "sandbox.doctor.diagnosis", "diagnose"),
        (["doctor", "--setup-sql", "shop"], "sandbox.doctor.diagnosis", "setup_sql"),
        (["lint"], "sandbox.cli.lint", "lint_deployment"),
        (["test"], "sandbox.trial", "run_examples"),
    ],
)
def test_a_command_that_may_ask_servers_says_that_it_waits(
    words: list[str], room: str, name: str, sandbox: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = Heard()

    def take_long(*_: object, **__: object) -> Never:
        assert heard.is_told.wait(5)
        raise Misconfigured("that is enough")

    monkeypatch.setattr(sys, "stderr", heard)
    monkeypatch.setattr(progress, "PROGRESS_AFTER_S", 0.001)
    monkeypatch.setattr(importlib.import_module(room), name, take_long)

    ended = sandbox.run(*words)

    assert ended.code == 2
    assert heard.getvalue().startswith(f"{progress.ASKS_SERVERS} ...\n")

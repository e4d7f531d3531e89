"""Is nothing left of a worker that could not be started?"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.workers import crew
from sandbox.workers.crew import Worker


def descriptors() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def refused(*_: object, **__: object) -> None:
    raise OSError(errno.EAGAIN, "Resource temporarily unavailable")


@pytest.mark.requirement("app:workers:restarted")
@pytest.mark.parametrize(("of", "name"), [(subprocess, "Popen"), (os, "pidfd_open")])
def test_a_worker_that_cannot_be_started_leaves_no_process_and_no_descriptor(
    monkeypatch: pytest.MonkeyPatch, of: object, name: str
) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    class Kept(subprocess.Popen[bytes]):
        def __init__(self, *everything: object, **more: object) -> None:
            super().__init__(*everything, **more)  # type: ignore[call-overload]
            begun.append(self)

    monkeypatch.setattr(subprocess, "Popen", Kept)
    monkeypatch.setattr(crew, "COMMAND", (sys.executable, "-c", "import sys; sys.stdin.read()"))
    monkeypatch.setattr(of, name, refused)
    worker, before = Worker(0), descriptors()

    with pytest.raises(BlockingIOError):
        worker.start([])

    assert descriptors() == before
    assert not worker.is_alive
    assert [process.returncode for process in begun] == ([-signal.SIGKILL] if name == "pidfd_open" else [])

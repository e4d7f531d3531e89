"""What do operators read, and can a caller fill their disk?"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from sandbox.telemetry import events


class Told:
    """A logger that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, dict[str, object]]] = []
        self.levels: list[str] = []

    def __getattr__(self, level: str) -> Callable[..., None]:
        def tell(event: str, **facts: object) -> None:
            self.lines.append((event, facts))
            self.levels.append(level)

        return tell


@pytest.fixture(autouse=True)
def nothing_told_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without what other tests have told or lost, and leave them nothing."""
    monkeypatch.setattr(events, "_often", {})
    monkeypatch.setattr(events, "_lost", 0)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    logger = Told()
    monkeypatch.setattr(events, "_logger", logger)
    return logger


@pytest.mark.requirement("telemetry:flood:bounded")
def test_what_callers_cause_at_will_is_told_once_a_second_with_its_count(told: Told) -> None:
    for millisecond in range(0, 2500, 10):
        events.note_often("refused", "RATE_LIMITED", now=millisecond / 1000)
    events.note_often("refused", "CREDENTIAL_INVALID", now=2.5)
    events.note_often("other", "CREDENTIAL_INVALID", now=2.5)
    assert [facts for _, facts in told.lines] == [
        {"kind": "RATE_LIMITED", "times": 1},
        {"kind": "RATE_LIMITED", "times": 100},
        {"kind": "RATE_LIMITED", "times": 100},
        {"kind": "CREDENTIAL_INVALID", "times": 1},
        {"kind": "CREDENTIAL_INVALID", "times": 1},
    ]
    events.warn_often("secret unreadable", "crm")
    events.warn_often("secret unreadable", "crm")
    assert told.lines[5:] == [("secret unreadable", {"kind": "crm", "times": 1})]
    assert told.levels == ["info"] * 5 + ["warning"]


@pytest.mark.requirement("telemetry:contents:out")
def test_a_fault_is_told_by_class_and_place_and_never_by_its_text(told: Told) -> None:
    try:
        raise ValueError("hunter2")
    except ValueError as error:
        events.broke("fault", error, reference="r")
    (line,) = told.lines
    assert "hunter2" not in repr(line)
    assert line[1]["error_class"] == "ValueError"
    assert str(line[1]["where"]).startswith("test_events.py:")


@pytest.mark.requirement("telemetry:contents:out")
def test_what_led_to_an_error_is_told_by_class(told: Told) -> None:
    error = RuntimeError()
    error.__cause__ = KeyError("hunter2")
    error.__cause__.__cause__ = ValueError("hunter2")
    events.note_often("refused", "X", causes=events.causes_of(error))
    assert told.lines == [("refused", {"kind": "X", "times": 1, "causes": "KeyError < ValueError"})]
    assert not events.causes_of(ValueError())


class Pipe:
    """A pipe whose reader has gone, and may come again."""

    def __init__(self, error: Exception) -> None:
        self.error: Exception | None = error
        self.text = ""

    def write(self, text: str) -> None:
        if self.error is not None:
            raise self.error
        self.text += text

    def flush(self) -> None:
        pass


@pytest.mark.requirement("telemetry:stderr:never-raises")
@pytest.mark.parametrize("error", [BrokenPipeError("gone"), ValueError("I/O operation on closed file")])
def test_telling_nobody_raises_nothing_and_is_counted(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = Pipe(error)
    monkeypatch.setattr(sys, "stderr", pipe)
    events.note("reloaded", kind="policies")
    events.warn("reload refused")
    events.broke("fault", ValueError("x"))
    events.note_often("refused", "X")
    pipe.error = None
    events.note("draining")
    events.note("ended")
    first, second = map(json.loads, pipe.text.splitlines())
    assert (first["event"], first["lost"]) == ("draining", 4)
    assert "lost" not in second


@pytest.mark.requirement("telemetry:stderr:never-raises")
def test_without_a_stderr_events_go_nowhere_and_never_to_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    events.note("reloaded")
    assert not capsys.readouterr().out


FULL = """
import os, sys, time
from sandbox.telemetry import events
begun = time.monotonic()
for number in range(4000):
    events.note("told", filling="x" * 200)
print(time.monotonic() - begun, events._lost, flush=True)
"""


@pytest.mark.requirement("telemetry:stderr:never-waits")
def test_a_stderr_that_is_full_holds_nobody_and_what_is_lost_is_counted() -> None:
    read, write = os.pipe()
    try:
        command = [sys.executable, "-c", FULL]
        told = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=write, timeout=60)  # noqa: S603 - ours
    finally:
        os.close(read)
        os.close(write)
    seconds, lost = told.stdout.split()
    assert float(seconds) < 20
    assert int(lost) > 2000


SLOW = """
import os
from sandbox.telemetry import events
for number in range(200):
    events.note("told", filling="x" * 4000)
"""


@pytest.mark.requirement("telemetry:stderr:never-waits")
def test_what_a_slow_reader_has_not_read_at_the_end_is_waited_for_a_moment() -> None:
    with subprocess.Popen([sys.executable, "-c", SLOW], stderr=subprocess.PIPE, text=True) as process:  # noqa: S603 - ours
        assert process.stderr is not None
        first = process.stderr.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.6)  # 64 KiB are in the pipe, and the rest in the queue
        told = [json.loads(line) for line in process.stderr]
        assert process.wait(20) == 0
    assert json.loads(first)["event"] == "told"
    assert len(told) == 199


@pytest.mark.requirement("telemetry:stderr:never-waits")
def test_a_line_that_nobody_waited_for_is_counted_when_it_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe that is stuck, and then breaks."""
    held, gone = threading.Event(), threading.Event()

    def write(_: str) -> None:
        held.wait(20)
        gone.set()
        raise BrokenPipeError

    monkeypatch.setattr(events, "_write", write)
    for _ in range(3):
        events.note("told")
    held.set()
    assert gone.wait(20)
    events._STDERR.end()
    assert events._lost == 3


@pytest.mark.requirement("telemetry:stderr:sentences")
def test_who_waits_for_a_command_is_told_in_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    with events.told_to_people():
        events.warn("database not reached", kind="maria", causes="nobody\x1b[2J there")
        events.note("reloaded")
    events.note("reloaded")

    first, second, third = capsys.readouterr().err.splitlines()
    assert first == "warning: database not reached: kind maria, causes nobody\\x1b[2J there"
    assert (second, json.loads(third)["event"]) == ("info: reloaded", "reloaded")


@pytest.mark.requirement("telemetry:stderr:json")
def test_what_a_library_logs_is_an_event_without_its_text(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    events.take_libraries()
    logging.getLogger("grpc._server").error("hunter2 %s", "hunter3")
    try:
        raise ValueError("hunter2")
    except ValueError:
        logging.getLogger("asyncio").exception("hunter2")
    logging.getLogger("watchfiles.main").info("hunter2")

    assert "hunter" not in repr(told.lines)
    (grpc, grpc_facts), (asyncio, asyncio_facts) = told.lines
    assert (grpc, grpc_facts["kind"], grpc_facts["times"]) == ("a library warns", "grpc._server", 1)
    assert str(grpc_facts["causes"]).startswith("test_events.py:")
    assert (asyncio, asyncio_facts["kind"]) == ("a library warns", "asyncio")
    assert str(asyncio_facts["causes"]).startswith("ValueError at test_events.py:")

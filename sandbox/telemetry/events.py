"""What happened, for operators? One JSON line an event on stderr: ids and digests, never arguments, SQL or results.

A command of some seconds tells them as sentences to whoever sits before it (`told_to_people`).

Telling never raises and never waits long: stderr may be a pipe whose reader has gone or sleeps, and no refusal, fault,
reload or drain may hang on that.
"""

from __future__ import annotations

import atexit
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Final, final

import structlog

from sandbox.reasons import printable

PATIENCE_S: Final = 0.25
"""How long whoever tells waits for the line to be written."""
LAST_S: Final = 1.0
"""How long a process that ends waits for what is not written yet."""
MAX_WAITING: Final = 1_000
"""Lines that wait for a reader of stderr; what comes beyond is lost, and counted."""


@final
class _Line:
    """A line on its way to stderr."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_over = threading.Event()
        self.is_left = False
        """Whether nobody waits for it."""
        self.failure: Exception | None = None

    def write(self) -> None:
        try:
            _write(self.text)
        except Exception as failure:  # noqa: BLE001 - told to whoever waits
            self.failure = failure
        self.is_over.set()


def _write(text: str) -> None:
    stream = sys.stderr
    if stream is None:
        raise OSError
    is_own = stream is sys.__stderr__
    if not is_own:  # somebody stands in its place
        stream.write(text)
        stream.flush()
        return
    # WHY: past Python's own buffer, whose lock the interpreter wants at its end, be this write over or not.
    content = text.encode("utf-8", "backslashreplace")
    while content:
        content = content[os.write(stream.fileno(), content) :]


@final
class _Stderr:
    """Stderr as it is at each event; there may be none.

    # INVARIANT: written on a thread of its own, so that a pipe that is full and not read holds no caller and no drain.
    """

    def __init__(self) -> None:
        self._lines: queue.Queue[_Line] = queue.Queue(MAX_WAITING)
        self._begin = threading.Lock()
        self._idle = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_stuck = False

    def write(self, text: str) -> None:
        line = _Line(text)
        if not self._has_thread():
            line.write()
        else:
            line.is_left = self._is_stuck  # nobody waits until it is read again
            self._lines.put_nowait(line)
            if line.is_left:
                return
            if not line.is_over.wait(PATIENCE_S):
                self._is_stuck = line.is_left = True
        if line.failure is not None:
            raise line.failure

    def flush(self) -> None:
        """Do nothing: each line has been flushed."""

    def _has_thread(self) -> bool:
        with self._begin:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name="events", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the system gives none, or the interpreter ends
                    return False
                self._thread = thread
        return True

    def end(self) -> None:
        """Wait a moment for what is not written yet, as a process does at its end."""
        with self._idle:
            self._idle.wait_for(lambda: not self._lines.unfinished_tasks, LAST_S)

    def _work(self) -> None:
        while True:
            line = self._lines.get()
            line.write()
            if line.failure is not None and line.is_left:
                _lose(1)
            with self._idle:
                self._lines.task_done()
                self._idle.notify_all()
            if self._lines.empty():
                self._is_stuck = False


_as_json: Final = structlog.processors.JSONRenderer()
_are_sentences = False


def _rendered(logger: object, name: str, event: MutableMapping[str, object]) -> str | bytes:
    if not _are_sentences:
        return _as_json(logger, name, event)
    level, phrase, _ = event.pop("level"), event.pop("event"), event.pop("timestamp")
    facts = ", ".join(f"{key} {value}" for key, value in event.items())
    text = f"{level}: {phrase}: {facts}" if facts else f"{level}: {phrase}"
    return printable(text)


@contextmanager
def told_to_people() -> Iterator[None]:
    """Have events be sentences instead of JSON while a command runs that somebody waits for."""
    global _are_sentences  # noqa: PLW0603 - one stderr, one form
    _are_sentences = True
    try:
        yield
    finally:
        _are_sentences = False


_STDERR: Final = _Stderr()
atexit.register(_STDERR.end)
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _rendered,
    ],
    logger_factory=structlog.WriteLoggerFactory(file=_STDERR),  # type: ignore[arg-type]  # all of a file that it uses
    cache_logger_on_first_use=True,
)
_logger = structlog.get_logger()

OFTEN_S: Final = 1.0
"""Events that callers can cause at will are told once in so long, with their count: a flood must not fill a disk."""

MAX_CAUSES: Final = 8

_often_lock = threading.Lock()
_often: dict[tuple[str, str], tuple[float, int]] = {}
_lost_lock = threading.Lock()
_lost = 0
"""Events that could not be written since the last one that could."""


def _say(level: str, event: str, facts: dict[str, str | float | bool]) -> None:
    global _lost
    with _lost_lock:
        before, _lost = _lost, 0
    if before:
        facts["lost"] = before
    try:
        getattr(_logger, level)(event, **facts)
    except Exception:  # noqa: BLE001 - what cannot be told must not stop what it tells of
        _lose(before + 1)


def _lose(count: int) -> None:
    global _lost  # noqa: PLW0603 - one stderr, one count
    with _lost_lock:
        _lost += count


def note(event: str, **facts: str | float | bool) -> None:
    """Tell operators of `event`, a fixed phrase; `facts` are ids, digests, counts and names of our own files."""
    _say("info", event, facts)


def note_often(event: str, kind: str, now: float | None = None, causes: str = "") -> None:
    """Tell operators of `event` of a `kind` (one of a fixed few), at most once a second each, with the count since.

    `causes` are those of the one that is told.
    """
    _say_often("info", event, kind, causes, now)


def warn_often(event: str, kind: str, causes: str = "") -> None:
    """Do the same of what somebody should look at."""
    _say_often("warning", event, kind, causes)


def _say_often(level: str, event: str, kind: str, causes: str, now: float | None = None) -> None:
    moment = time.monotonic() if now is None else now
    with _often_lock:
        told_at, count = _often.get((event, kind), (float("-inf"), 0))
        is_told = moment - told_at >= OFTEN_S
        _often[event, kind] = (moment, 0) if is_told else (told_at, count + 1)
    if is_told:
        facts: dict[str, str | float | bool] = {"kind": kind, "times": count + 1}
        _say(level, event, facts | ({"causes": causes} if causes else {}))


def warn(event: str, **facts: str | float | bool) -> None:
    """Tell operators of `event`, which somebody should look at."""
    _say("warning", event, facts)


def causes_of(error: BaseException) -> str:
    """Return what led to an error, by class, the nearest first; empty if nothing did."""
    names: list[str] = []
    cause = error.__cause__
    while cause is not None and len(names) < MAX_CAUSES:
        names.append(type(cause).__name__)
        cause = cause.__cause__
    return " < ".join(names)


def broke(event: str, error: BaseException, **facts: str | float | bool) -> None:
    """Tell operators of a fault by its class and place. The error's own text stays out: it may quote contents."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}" if trace is not None else ""
    _say("error", event, {"error_class": type(error).__name__, "where": where, **facts})


@final
class _OfLibraries(logging.Handler):
    """Tells what libraries log by its logger and place: their texts may quote contents."""

    def emit(self, record: logging.LogRecord) -> None:
        cause = record.exc_info[0] if record.exc_info else None
        where = f"{record.filename}:{record.lineno}"
        note_often("a library warns", record.name, causes=f"{cause.__name__} at {where}" if cause else where)


def take_libraries() -> None:
    """Tell what libraries log, which would otherwise stand between the events as text."""
    logging.getLogger().addHandler(_OfLibraries(logging.WARNING))

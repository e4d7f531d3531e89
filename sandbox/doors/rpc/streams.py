"""How many calls of a stream run at once, and who may hold a stream? A bounded room with a cap per principal."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, NamedTuple

from sandbox.doors.rpc.places import Places
from sandbox.doors.trouble import as_fault, message_of, note_refusal
from sandbox.doors.wire import EFFECTS, fill_response, retry_after_ms
from sandbox.pipeline import Sealing
from sandbox.reasons import Reason, Refused, Status
from sandbox.settings import ServerSettings
from sandbox.stages import Cancellation
from sandbox.v1 import tool_execution_pb2 as pb

Take = Callable[[pb.ExecuteRequest], Sealing]
"""Takes a call to its end."""

CALLS_PER_STREAM: Final = 16
"""Calls of one stream that are worked on or whose answers nobody has taken yet; the transport holds the others back."""


LOOK_S: Final = 1.0
"""How often it is looked whether the log takes too long, nobody takes an answer, or the credential has ended."""


class Line(NamedTuple):
    """The caller's end of a stream."""

    must_hold: Callable[[], object]
    """Raises `Refused` once the caller's credential has ended."""
    cut: Callable[[], object]
    """Ends the stream, also while somebody waits for the caller to take an answer."""


class StreamRoom:
    """The threads that streams use, apart from those of single calls: an idle stream must not stop anybody else."""

    def __init__(self, settings: ServerSettings) -> None:
        """Make room for `settings.stream_threads` streams."""
        self._settings = settings
        self.holders = ThreadPoolExecutor(settings.stream_threads, thread_name_prefix="stream")
        """One thread a stream: it writes the answers."""
        self._readers = ThreadPoolExecutor(settings.stream_threads, thread_name_prefix="stream-reader")
        self._workers = ThreadPoolExecutor(settings.threads, thread_name_prefix="stream-call")
        self._places = Places(settings.streams_per_principal, "streams")
        self._open: set[_Stream] = set()
        self._is_closed = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="stream-watch", daemon=True)
        self._watcher.start()

    def serve(
        self, subject: str, requests: Iterator[bytes], take: Take, hung_up: Cancellation, line: Line
    ) -> Iterator[pb.ExecuteStreamResponse]:
        """Yield an answer to each request until the caller has no more, hangs up, stays idle or leaves answers lying.

        Raises `Refused` with `STREAM_IDLE`, or with a `CREDENTIAL_…` reason a moment after the credential has ended.
        """
        with self._places.take(subject):
            stream = _Stream(self._workers, take, line)
            hung_up.on_cancel(stream.stop)
            self._open.add(stream)
            try:
                self._readers.submit(stream.read, requests)
                yield from stream.answers(self._settings.stream_idle_seconds)
            finally:
                self._open.discard(stream)

    def _watch(self) -> None:
        while not self._is_closed.wait(LOOK_S):
            for stream in tuple(self._open):
                stream.look(self._settings.stream_idle_seconds)

    def close(self) -> None:
        """Let the threads go once their streams have ended."""
        self._is_closed.set()
        for pool in (self.holders, self._readers, self._workers):
            pool.shutdown(wait=False, cancel_futures=True)


class _Stream:
    """One stream's calls in flight."""

    def __init__(self, workers: ThreadPoolExecutor, take: Take, line: Line) -> None:
        self._workers = workers
        self._take = take
        self._line = line
        self._offered_at: float | None = None
        """Since when an answer waits for the caller to take it."""
        self._refused: BaseException | None = None
        """Why the stream must end."""
        self._ready: queue.SimpleQueue[_Ended | None] = queue.SimpleQueue()
        """Calls that have their answer; None wakes whoever writes, to look whether the stream is over."""
        self._handed: dict[_Ended, None] = {}
        """Calls that have ended and are not answered, the oldest first."""
        self._slots = threading.Semaphore(CALLS_PER_STREAM)
        self._taken = 0
        """Written by the reader alone, as `_answered` is by whoever writes answers."""
        self._answered = 0
        self._is_read = False
        self._is_stopped = False

    def stop(self) -> None:
        """Signal the end from any thread."""
        self._is_stopped = True
        self._slots.release()  # the reader may wait for one
        self._ready.put(None)

    def look(self, idle_s: float) -> None:
        """End the stream if its credential has ended, or if an answer waits to be taken for longer than `idle_s`."""
        offered_at = self._offered_at
        waits_s = 0.0 if offered_at is None else time.monotonic() - offered_at
        try:
            self._line.must_hold()
        except BaseException as ended:  # noqa: BLE001 - told by whoever writes the answers, whatever it is
            self._refused = ended
            self._ready.put(None)
        if waits_s > (LOOK_S if self._refused is not None else idle_s):
            self._line.cut()

    def read(self, requests: Iterator[bytes]) -> None:
        """Take requests as they come and hand each to a worker; one that is no message ends the stream."""
        try:
            for data in requests:
                request = message_of(pb.ExecuteStreamRequest, data)
                self._slots.acquire()
                if self._is_stopped:
                    return
                self._taken += 1
                self._workers.submit(self._work, request)
            self._is_read = True
        except Refused as refused:
            self._refused = refused
        except Exception:  # noqa: BLE001 - grpc raises a bare Exception here when the caller hangs up
            self.stop()
        finally:
            self._ready.put(None)

    def answers(self, idle_s: float) -> Iterator[pb.ExecuteStreamResponse]:
        """Yield answers until the end; raise `Refused` after `idle_s` seconds in which nothing was in flight."""
        try:
            while not (self._is_stopped or (self._is_read and self._answered == self._taken)):
                ended = self._next(idle_s)
                if self._refused is not None:
                    raise self._refused
                if ended is None or self._handed.pop(ended, ended) is not None:
                    continue  # nothing, or answered before because the log took too long
                self._answered += 1
                self._offered_at = time.monotonic()
                yield _response(ended)
                self._offered_at = None
                # INVARIANT: only what the transport has taken makes room, so a stream nobody reads holds no more.
                self._slots.release()
        finally:
            self.stop()

    def _next(self, idle_s: float) -> _Ended | None:
        idle_at = time.monotonic() + idle_s
        while True:
            late = self._late()
            if late is not None:
                return late
            try:
                return self._ready.get(timeout=min(idle_s, LOOK_S))
            except queue.Empty:
                if self._taken > self._answered:
                    idle_at = time.monotonic() + idle_s
                elif time.monotonic() >= idle_at:
                    message = f"the stream was idle for {idle_s} s; open a new one for the next call"
                    raise Refused(Reason.STREAM_IDLE, message) from None

    def _late(self) -> _Ended | None:
        """Return the call that waits for the log for longest, if that is too long."""
        try:
            oldest = next(iter(self._handed), None)
        except RuntimeError:  # a worker has just handed over another one; it is looked at again
            return None
        return oldest if oldest is not None and oldest.is_late else None

    def _work(self, request: pb.ExecuteStreamRequest) -> None:
        tag = request.tag
        try:
            sealing = self._take(request.call)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the call is answered
            ended = _Ended(tag, _error(error))
            self._handed[ended] = None
            self._ready.put(ended)
        else:
            # The worker is free for the next call while the log takes this one's record.
            ended = _Ended(tag, sealing)
            self._handed[ended] = None
            sealing.on_sealed(partial(self._ready.put, ended))


class _Ended:
    """A call that has ended: with an answer that the log may still hold back, or without a receipt."""

    __slots__ = ("how", "tag")

    def __init__(self, tag: int, how: Sealing | pb.StreamError) -> None:
        self.tag = tag
        self.how = how

    @property
    def is_late(self) -> bool:
        return not isinstance(self.how, pb.StreamError) and self.how.is_late


def _response(ended: _Ended) -> pb.ExecuteStreamResponse:
    """Return the answer to a call that has ended."""
    response = pb.ExecuteStreamResponse(tag=ended.tag)
    if isinstance(ended.how, pb.StreamError):
        response.error.CopyFrom(ended.how)
        return response
    try:
        fill_response(response.response, ended.how.wait())
    except BaseException as error:  # noqa: BLE001 - whatever it is, the call is answered
        response.error.CopyFrom(_error(error))
    return response


def _error(error: BaseException) -> pb.StreamError:
    """Return what a call that has no receipt is told: a refusal's reason, or a fault's reference and nothing else."""
    if isinstance(error, Refused):
        note_refusal(error)
        return pb.StreamError(
            status_code=int(error.status),
            reason=error.reason.value,
            message=error.message,
            retry_after_ms=retry_after_ms(error),
            effect=EFFECTS[error.effect],
            call_id=error.metadata.get("call_id", ""),
        )
    return pb.StreamError(status_code=int(Status.INTERNAL), message=str(as_fault(error, "stream call")))

"""How many calls of a stream run at once, and who may hold a stream? A bounded room with a cap per principal."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from sandbox.doors.rpc.guard import ENDING, as_fault, note_refusal
from sandbox.doors.rpc.places import Places
from sandbox.doors.rpc.status import retry_after_ms
from sandbox.reasons import Reason, Refused, Status
from sandbox.settings import ServerSettings
from sandbox.stages import Cancellation
from sandbox.v1 import tool_execution_pb2 as pb

Answer = Callable[[pb.ExecuteRequest], pb.ExecuteResponse]

CALLS_PER_STREAM: Final = 16
"""Calls of one stream that are worked on or whose answers nobody has taken yet; the transport holds the others back."""


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

    def serve(
        self, subject: str, requests: Iterator[pb.ExecuteStreamRequest], answer: Answer, hung_up: Cancellation
    ) -> Iterator[pb.ExecuteStreamResponse]:
        """Yield an answer to each request until the caller has no more, hangs up or stays idle too long."""
        with self._places.take(subject):
            stream = _Stream(self._workers, answer)
            hung_up.on_cancel(stream.stop)
            self._readers.submit(stream.read, requests)
            yield from stream.answers(self._settings.stream_idle_seconds)

    def close(self) -> None:
        """Let the threads go once their streams have ended."""
        for pool in (self.holders, self._readers, self._workers):
            pool.shutdown(wait=False, cancel_futures=True)


class _Stream:
    """One stream's calls in flight."""

    def __init__(self, workers: ThreadPoolExecutor, answer: Answer) -> None:
        self._workers = workers
        self._answer = answer
        self._ready: queue.SimpleQueue[pb.ExecuteStreamResponse | None] = queue.SimpleQueue()
        """Answers to be sent; None ends the stream."""
        self._slots = threading.Semaphore(CALLS_PER_STREAM)
        self._lock = threading.Lock()
        self._in_flight = 1  # the reader itself
        self._is_read = False
        self._is_stopped = False

    def stop(self) -> None:
        """Signal the end from any thread."""
        self._is_stopped = True
        self._slots.release()  # the reader may wait for one
        self._ready.put(None)

    def read(self, requests: Iterator[pb.ExecuteStreamRequest]) -> None:
        """Take requests as they come and hand each to a worker."""
        try:
            for request in requests:
                self._slots.acquire()
                if self._is_stopped:
                    return
                with self._lock:
                    self._in_flight += 1
                self._workers.submit(self._work, request)
        except Exception:  # noqa: BLE001 - grpc raises a bare Exception here when the caller hangs up
            self.stop()
        finally:
            self._is_read = True
            self._leave()

    def answers(self, idle_s: float) -> Iterator[pb.ExecuteStreamResponse]:
        """Yield answers until the end; raise `Refused` after `idle_s` seconds in which nothing was in flight."""
        try:
            while (response := self._next(idle_s)) is not None:
                yield response
                # INVARIANT: only what the transport has taken makes room, so a stream nobody reads holds no more.
                self._slots.release()
        finally:
            self.stop()

    def _next(self, idle_s: float) -> pb.ExecuteStreamResponse | None:
        while True:
            try:
                return self._ready.get(timeout=idle_s)
            except queue.Empty:
                if self._in_flight > (0 if self._is_read else 1):  # calls, the reader apart
                    continue
                message = f"the stream was idle for {idle_s} s; open a new one for the next call"
                raise Refused(Reason.STREAM_IDLE, message) from None

    def _work(self, request: pb.ExecuteStreamRequest) -> None:
        try:
            self._ready.put(self._answered(request))
        finally:
            self._leave()

    def _answered(self, request: pb.ExecuteStreamRequest) -> pb.ExecuteStreamResponse:
        try:
            return pb.ExecuteStreamResponse(tag=request.tag, response=self._answer(request.call))
        except Refused as refused:
            note_refusal(refused)
            error = pb.StreamError(
                status_code=int(refused.status),
                reason=refused.reason.value,
                message=refused.message,
                retry_after_ms=retry_after_ms(refused),
            )
        except ENDING:
            raise
        except BaseException as unforeseen:  # noqa: BLE001 - nothing but a reference may reach the wire
            error = pb.StreamError(status_code=int(Status.INTERNAL), message=str(as_fault(unforeseen, "stream call")))
        return pb.ExecuteStreamResponse(tag=request.tag, error=error)

    def _leave(self) -> None:
        with self._lock:
            self._in_flight -= 1
            is_last = self._in_flight == 0
        if is_last:
            self._ready.put(None)

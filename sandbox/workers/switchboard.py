"""How does a worker ask the others? Over sockets that the parent made and only workers inherit: they have no address.

What comes is another worker's, for nobody else has these sockets; it is bounded and read by type all the same.
"""

from __future__ import annotations

import queue
import secrets
import socket
import struct
import threading
import time
from collections.abc import Sequence
from typing import Final, final

from sandbox.receipts import Answering, Asked, Elsewhere, PeersSilent
from sandbox.stages import CallId
from sandbox.telemetry.events import broke, warn_often
from sandbox.workers.lines import Roll

ANSWER_WITHIN_S: Final = 0.25
"""A caller waits no longer for what other workers know of a call."""

MAX_MESSAGE: Final = 1_024


_NUMBER_BYTES: Final = 16
"""Of a question: random, so that an answer to whoever was this worker before is nobody's."""

_QUESTION: Final = struct.Struct(f"<c{_NUMBER_BYTES}sB?32s32s")
"""Kind, number, who asks, whether to cancel, subject, key of a request; the id of a call follows, if that is known."""
_ANSWER: Final = struct.Struct(f"<c{_NUMBER_BYTES}s?36s")
"""Kind, number, whether it was found, its id; its tool follows."""


def _question(number: bytes, sender: int, asked: Asked) -> bytes:
    fixed = _QUESTION.pack(b"q", number, sender, asked.cancels, asked.subject, asked.request_key)
    return fixed + asked.call_id.encode("utf-8", "replace")


def _answer(number: bytes, found: Elsewhere | None) -> bytes:
    if found is None:
        return _ANSWER.pack(b"a", number, False, b"")
    fixed = _ANSWER.pack(b"a", number, True, found.call_id.encode("ascii"))
    return fixed + found.tool.encode("utf-8", "replace")


@final
class Switchboard:
    """One worker's line to the others. Satisfies `receipts.Peers`."""

    def __init__(self, worker: int, receiving: socket.socket, sending: Sequence[socket.socket], roll: Roll) -> None:
        """Be number `worker`: read `receiving`, write to others on `sending`."""
        self._worker = worker
        self._receiving = receiving
        self._sending = sending
        self._roll = roll
        self._waiting: dict[bytes, queue.SimpleQueue[Elsewhere | None]] = {}

    def ask(self, asked: Asked) -> Elsewhere | None:
        """Ask all others; the first that runs the call answers for all. Raises `PeersSilent`."""
        give_up = time.monotonic() + ANSWER_WITHIN_S
        number = secrets.token_bytes(_NUMBER_BYTES)
        answers = self._waiting[number] = queue.SimpleQueue[Elsewhere | None]()
        question = _question(number, self._worker, asked)
        try:
            others = self._roll.others(self._worker)
            unasked = [other for other in others if not self._send(other, question)]
            for _ in range(len(others) - len(unasked)):
                found = answers.get(timeout=max(0.0, give_up - time.monotonic()))
                if found is not None:
                    return found
        except queue.Empty:
            raise PeersSilent from None
        finally:
            del self._waiting[number]
        if unasked:
            raise PeersSilent
        return None

    def answer_with(self, answering: Answering) -> None:
        """Answer the others from now on, on a thread of its own, and be there for them."""
        threading.Thread(target=self._read, args=(answering,), name="switchboard", daemon=True).start()
        self._roll.enter(self._worker)

    def _send(self, other: int, message: bytes) -> bool:
        try:
            self._sending[other].send(message, socket.MSG_DONTWAIT)
        except OSError:  # its queue is full: it has not read for long
            return False
        return True

    def _read(self, answering: Answering) -> None:
        while content := self._receiving.recv(MAX_MESSAGE):
            try:
                self._take(content, answering)
            except (struct.error, UnicodeDecodeError):
                warn_often("a worker's message cannot be read", "switchboard")
            except Exception as error:  # noqa: BLE001 - the thread that answers must outlive one answer
                broke("a worker's question was not answered", error)

    def _take(self, content: bytes, answering: Answering) -> None:
        if content.startswith(b"q"):
            _, number, sender, cancels, subject, request_key = _QUESTION.unpack_from(content)
            call_id = content[_QUESTION.size :].decode("utf-8")
            found = answering(Asked(subject, call_id, request_key, cancels))
            if sender < len(self._sending):
                self._send(sender, _answer(number, found))
        else:
            _, number, is_found, call_id = _ANSWER.unpack_from(content)
            tool = content[_ANSWER.size :].decode("utf-8")
            waiting = self._waiting.get(number)
            if waiting is not None:  # else whoever asked has given up
                waiting.put(Elsewhere(CallId(call_id.decode("ascii")), tool) if is_found else None)

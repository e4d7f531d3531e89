"""How does a worker ask the others? Over sockets that the parent made and only workers inherit: they have no address.

What comes is another worker's, for nobody else has these sockets; it is bounded and read by type all the same.
"""

from __future__ import annotations

import queue
import secrets
import socket
import threading
import time
from collections.abc import Sequence
from typing import Final, final

import msgspec
from msgspec import Struct

from sandbox.receipts import Answering, Asked, Elsewhere, PeersSilent
from sandbox.telemetry.events import broke, note_often
from sandbox.workers.lines import Roll

ANSWER_WITHIN_S: Final = 0.25
"""A caller waits no longer for what other workers know of a call."""

MAX_MESSAGE: Final = 1_024


@final
class _Question(Struct, frozen=True, array_like=True, tag="question"):
    number: bytes
    """Random, so that an answer to whoever was this worker before is nobody's."""
    sender: int
    asked: Asked


@final
class _Answer(Struct, frozen=True, array_like=True, tag="answer"):
    number: bytes
    found: Elsewhere | None


_MESSAGES: Final = msgspec.msgpack.Decoder(_Question | _Answer)
_encode: Final = msgspec.msgpack.Encoder().encode


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
        number = secrets.token_bytes(16)
        answers = self._waiting[number] = queue.SimpleQueue[Elsewhere | None]()
        question = _encode(_Question(number, self._worker, asked))
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
                self._take(_MESSAGES.decode(content), answering)
            except msgspec.MsgspecError:
                note_often("a worker's message cannot be read", "switchboard")
            except Exception as error:  # noqa: BLE001 - the thread that answers must outlive one answer
                broke("a worker's question was not answered", error)

    def _take(self, message: _Question | _Answer, answering: Answering) -> None:
        match message:
            case _Question(number=number, sender=sender, asked=asked):
                if 0 <= sender < len(self._sending):
                    self._send(sender, _encode(_Answer(number, answering(asked))))
            case _Answer(number=number, found=found):
                waiting = self._waiting.get(number)
                if waiting is not None:  # else whoever asked has given up
                    waiting.put(found)

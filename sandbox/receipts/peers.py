"""Does a call run in another process of the service? What processes ask each other: ids and digests, never contents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias, final

from msgspec import Struct

from sandbox.reasons import Reason, Refused
from sandbox.stages import CallId

RETRY_S: Final = 1.0
"""A process that does not answer is busy for a moment, or is being started again."""


@final
class Asked(Struct, frozen=True, array_like=True):
    """Whether a call of a principal is under way, and that it is to stop, if it is."""

    subject: bytes
    """A keyed digest: another principal's call is told of like one that does not exist."""
    call_id: str
    request_key: bytes
    cancels: bool


@final
class Elsewhere(Struct, frozen=True, array_like=True):
    """A call that is under way in another process."""

    call_id: CallId
    tool: str


class PeersSilent(Exception):
    """None that answered in time runs the call, and not all have answered."""


Answering: TypeAlias = Callable[[Asked], Elsewhere | None]
"""Looks for a call among those of this process."""


class Peers(Protocol):
    """The other processes of the service."""

    def answer_with(self, answering: Answering, /) -> None:
        """Answer them from now on; before this process takes calls."""
        ...

    def ask(self, asked: Asked, /) -> Elsewhere | None:
        """Return the call, if one of them runs it; raises `PeersSilent`."""
        ...


@final
class NoPeers:
    """Of a process that serves alone."""

    def answer_with(self, _: Answering, /) -> None:
        """Nobody asks."""

    def ask(self, _: Asked, /) -> None:
        """Nobody runs it."""


NO_PEERS: Final = NoPeers()


def not_told() -> Refused:
    """Return the refusal for a call that may run in a process that does not answer."""
    message = "a worker of the service that may run this call does not answer; try again"
    return Refused(Reason.WORKER_UNAVAILABLE, message, is_recorded=False, retry_after_s=RETRY_S)

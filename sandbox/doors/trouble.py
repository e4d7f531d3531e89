"""What do operators and callers learn when something goes wrong at a door? Never an exception's own text."""

from __future__ import annotations

import contextlib
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message

from sandbox.reasons import Fault, Reason, Refused
from sandbox.telemetry.events import broke, causes_of, note_often

Sent = TypeVar("Sent", bound=Message)
BEARER: Final = "Bearer "
"""What a token follows in a header, or in metadata, called `authorization`."""


def message_of(kind: type[Sent], data: bytes) -> Sent:
    """Read a request's message; raises `Refused` with `REQUEST_INVALID`.

    # WHY: not left to grpc, which answers INTERNAL to bytes that are no message, as if it were our fault.
    """
    try:
        return kind.FromString(data)
    except DecodeError as error:
        message = f"the request's {len(data)} bytes are no `{kind.__name__}` message"
        raise Refused(Reason.REQUEST_INVALID, message, rule="request/message", is_recorded=False) from error


RETRY_S: Final = 1.0
"""When a request under way may have ended."""


def too_many_at_once() -> Refused:
    """Return what a principal hears that has as many requests under way as one may."""
    message = "so many calls of this principal are under way that no more are taken; wait for one to end"
    return Refused(Reason.RATE_LIMITED, message, rule="limits/threads", retry_after_s=RETRY_S, is_recorded=False)


def note_refusal(refused: Refused) -> None:
    """Tell operators of a refusal that has no receipt, and why: a log that cannot be written has a cause."""
    with contextlib.suppress(Exception):  # what cannot be told is answered all the same
        note_often("refused without a receipt", refused.reason.value, causes=causes_of(refused))


def as_fault(error: BaseException, where: str) -> Fault:
    """Turn an unforeseen exception into a fault, told to operators by class and place."""
    fault = error if isinstance(error, Fault) else Fault(where)
    if fault.is_new:
        with contextlib.suppress(Exception):
            broke("fault", fault.__cause__ or error, reference=fault.reference)
    return fault

"""Why did we say no? The one table of reasons, and the two roots of everything that stops a call.

Stopped
├── Refused      we decided; a reason, a sentence a model may read, string metadata
└── Fault        we broke; the caller gets a reference, the event log gets the cause
"""

from __future__ import annotations

import enum
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


class Status(enum.IntEnum):
    """The gRPC status codes that a refusal maps to (grpc/doc/statuscodes.md)."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    CANCELLED = 1
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class Effect(enum.IntEnum):
    """What is known of the effect of a call that could have one, by the numbers of `record.proto`."""

    UNSPECIFIED = 0
    """There was none to have: the call was refused before its intent, or its tool only reads."""
    NONE = 1
    DONE = 2
    UNKNOWN = 3


class Reason(enum.StrEnum):
    """Stable names, `google.rpc.ErrorInfo.reason` in the domain `sandbox.v1`. Only ever added to."""

    CREDENTIAL_MISSING = "CREDENTIAL_MISSING"
    CREDENTIAL_INVALID = "CREDENTIAL_INVALID"
    CREDENTIAL_EXPIRED = "CREDENTIAL_EXPIRED"
    POLICY_DENIED = "POLICY_DENIED"
    TOOL_UNKNOWN = "TOOL_UNKNOWN"
    CALL_UNKNOWN = "CALL_UNKNOWN"
    PAYLOAD_REMOVED = "PAYLOAD_REMOVED"
    REQUEST_INVALID = "REQUEST_INVALID"
    ARGUMENT_INVALID = "ARGUMENT_INVALID"
    SQL_UNPARSABLE = "SQL_UNPARSABLE"
    SQL_NOT_READ_ONLY = "SQL_NOT_READ_ONLY"
    SQL_OBJECT_FORBIDDEN = "SQL_OBJECT_FORBIDDEN"
    SQL_NOT_SUPPORTED = "SQL_NOT_SUPPORTED"
    SQL_FAILED = "SQL_FAILED"
    CLAIM_MISSING = "CLAIM_MISSING"
    CALL_REPLAYED = "CALL_REPLAYED"
    CALL_CANCELLED = "CALL_CANCELLED"
    RATE_LIMITED = "RATE_LIMITED"
    STREAM_IDLE = "STREAM_IDLE"
    RESULT_TOO_LARGE = "RESULT_TOO_LARGE"
    EXECUTION_TIMED_OUT = "EXECUTION_TIMED_OUT"
    EXECUTOR_UNAVAILABLE = "EXECUTOR_UNAVAILABLE"
    HTTP_STATUS = "HTTP_STATUS"
    HTTP_RESPONSE_INVALID = "HTTP_RESPONSE_INVALID"
    HTTP_ADDRESS_FORBIDDEN = "HTTP_ADDRESS_FORBIDDEN"
    RECEIPT_LOG_UNAVAILABLE = "RECEIPT_LOG_UNAVAILABLE"
    EFFECT_UNKNOWN = "EFFECT_UNKNOWN"
    WORKER_UNAVAILABLE = "WORKER_UNAVAILABLE"


@dataclass(frozen=True, slots=True)
class ReasonInfo:
    """One row of the table that feeds gRPC, the command line and docs/reasons.md."""

    status: Status
    meaning: str
    who_can_act: str


REASONS: Final[Mapping[Reason, ReasonInfo]] = MappingProxyType(
    {
        Reason.CREDENTIAL_MISSING: ReasonInfo(
            Status.UNAUTHENTICATED, "The request carries no client certificate or no token.", "agent operator"
        ),
        Reason.CREDENTIAL_INVALID: ReasonInfo(
            Status.UNAUTHENTICATED,
            "The token does not verify: signature, audience, certificate binding or revocation.",
            "agent operator",
        ),
        Reason.CREDENTIAL_EXPIRED: ReasonInfo(
            Status.UNAUTHENTICATED, "The token's time is over or has not begun.", "agent operator"
        ),
        Reason.POLICY_DENIED: ReasonInfo(
            Status.PERMISSION_DENIED, "No policy permits this, or one forbids it.", "policy owner"
        ),
        Reason.TOOL_UNKNOWN: ReasonInfo(Status.NOT_FOUND, "There is no such tool within the caller's scope.", "agent"),
        Reason.CALL_UNKNOWN: ReasonInfo(Status.NOT_FOUND, "There is no such call among the caller's own.", "agent"),
        Reason.PAYLOAD_REMOVED: ReasonInfo(
            Status.NOT_FOUND,
            "What the call said or was answered was removed, by age or into an archive; record and receipt are kept.",
            "operator, with the archive",
        ),
        Reason.REQUEST_INVALID: ReasonInfo(
            Status.INVALID_ARGUMENT, "A field of the request is out of its range.", "agent developer"
        ),
        Reason.ARGUMENT_INVALID: ReasonInfo(
            Status.INVALID_ARGUMENT, "The arguments do not fit the tool's spec.", "agent"
        ),
        Reason.SQL_UNPARSABLE: ReasonInfo(
            Status.INVALID_ARGUMENT, "The text is not one SQL statement, or is beyond the gate's bounds.", "agent"
        ),
        Reason.SQL_NOT_READ_ONLY: ReasonInfo(
            Status.INVALID_ARGUMENT, "The statement would do something other than read.", "agent"
        ),
        Reason.SQL_OBJECT_FORBIDDEN: ReasonInfo(
            Status.INVALID_ARGUMENT,
            "The statement names a table, column or function outside the tool's rules.",
            "agent",
        ),
        Reason.SQL_NOT_SUPPORTED: ReasonInfo(
            Status.INVALID_ARGUMENT, "The gate cannot prove this construct, so it does not run.", "agent"
        ),
        Reason.SQL_FAILED: ReasonInfo(
            Status.INVALID_ARGUMENT,
            "The engine accepted the statement and stopped while running it, for example on an overflow.",
            "agent",
        ),
        Reason.CLAIM_MISSING: ReasonInfo(
            Status.PERMISSION_DENIED, "A row filter needs a claim that the token does not carry.", "agent operator"
        ),
        Reason.CALL_REPLAYED: ReasonInfo(
            Status.ALREADY_EXISTS, "The same `request_id` came with other bytes.", "agent developer"
        ),
        Reason.CALL_CANCELLED: ReasonInfo(
            Status.CANCELLED, "The call was stopped by its caller, or its caller hung up.", "agent"
        ),
        Reason.RATE_LIMITED: ReasonInfo(
            Status.RESOURCE_EXHAUSTED, "A rate, a concurrency or a cold-parse limit is spent.", "agent, later"
        ),
        Reason.STREAM_IDLE: ReasonInfo(
            Status.DEADLINE_EXCEEDED, "A stream had no call for longer than it may; it was closed.", "agent developer"
        ),
        Reason.RESULT_TOO_LARGE: ReasonInfo(
            Status.RESOURCE_EXHAUSTED,
            "A single row is larger than the tool's `max_bytes`, or a response than its `max_response_bytes`.",
            "agent",
        ),
        Reason.EXECUTION_TIMED_OUT: ReasonInfo(
            Status.DEADLINE_EXCEEDED, "The tool's time, or the caller's, ran out; the engine was stopped.", "agent"
        ),
        Reason.EXECUTOR_UNAVAILABLE: ReasonInfo(
            Status.UNAVAILABLE,
            "The target cannot be reached, has changed, gives no credential, or failed its self-test.",
            "operator",
        ),
        Reason.HTTP_STATUS: ReasonInfo(
            Status.FAILED_PRECONDITION,
            "The target answered with a status that the tool does not take; redirects are never followed.",
            "agent, or who runs the target",
        ),
        Reason.HTTP_RESPONSE_INVALID: ReasonInfo(
            Status.FAILED_PRECONDITION, "The target's response is not what the tool's spec says.", "tool author"
        ),
        Reason.HTTP_ADDRESS_FORBIDDEN: ReasonInfo(
            Status.FAILED_PRECONDITION,
            "The target's name leads to an address that its connection may not reach; nothing was sent.",
            "operator",
        ),
        Reason.RECEIPT_LOG_UNAVAILABLE: ReasonInfo(
            Status.UNAVAILABLE,
            "The log cannot be written, so nothing runs, or a call that ran is not told; or it cannot be read now.",
            "operator",
        ),
        Reason.EFFECT_UNKNOWN: ReasonInfo(
            Status.FAILED_PRECONDITION,
            "The call had begun, and how it ended was not heard; whether it took effect, only its target knows.",
            "agent, after a look at the target",
        ),
        Reason.WORKER_UNAVAILABLE: ReasonInfo(
            Status.UNAVAILABLE, "A worker of the service whose word is needed does not answer.", "agent, later"
        ),
    }
)


class Stopped(Exception):
    """A call that goes no further."""


class Refused(Stopped):
    """We decided. Carries what a caller may know and can act on."""

    def __init__(  # noqa: PLR0913 - one keyword a wire field
        self,
        reason: Reason,
        message: str,
        *,
        rule: str = "",
        retry_after_s: float = 0.0,
        line: int = 0,
        column: int = 0,
        is_recorded: bool = True,
        effect: Effect = Effect.UNSPECIFIED,
        **metadata: str,
    ) -> None:
        """Refuse for `reason`; `message` is one lower-case sentence that says what would be accepted.

        `is_recorded=False` marks a refusal that is only counted: the second and later of one rate window. An executor
        that knows what became of the effect says so in `effect`; of a call that had begun, anything else is unknown.
        """
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.rule = rule
        self.retry_after_s = retry_after_s
        self.line = line
        self.column = column
        self.is_recorded = is_recorded
        self.effect = effect
        self.metadata: Mapping[str, str] = metadata

    @property
    def status(self) -> Status:
        """The conventional gRPC status code."""
        return REASONS[self.reason].status


class Fault(Stopped):
    """We broke. The caller sees the reference; the cause (`__cause__`) stays in the event log and a sealed payload."""

    def __init__(self, where: str, *, earlier: str = "") -> None:
        """Break in `where`, a fixed phrase such as `sqlite executor`; `earlier` is the reference of a fault told again.

        Only a new fault goes to the event log.
        """
        self.where = where
        self.is_new = not earlier
        self.reference = earlier or secrets.token_hex(8)
        super().__init__(f"internal fault, reference {self.reference}")


ASK_LATER: Final = "the same call may succeed later; if it does not, tell the operator of this service"
"""What a refusal says whose cause is not the caller's to know: what a model can do. Operators are told in events."""
MAX_QUOTE: Final = 60
"""Characters of the caller's own text quoted in a message: enough to recognise it, too few to flood a model."""


def quoted(text: str, limit: int = MAX_QUOTE) -> str:
    """Return `text` in backticks, cut short, control characters and backticks escaped, for a model will read it."""
    shown = shortened(text, limit)
    return "`" + printable(shown.replace("`", "'")) + "`"


def shortened(text: str, limit: int) -> str:
    """Return at most `limit` characters of a text, the last one `…` where there are more."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def printable(text: str) -> str:
    """Return a text that can neither move a terminal nor end a line: what is no letter of it is written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)

"""A clock that stands still and calls to spend."""

from __future__ import annotations

from sandbox.limits import Limits
from sandbox.limits.patience import Patience
from sandbox.reasons import Refused
from sandbox.settings import LimitSettings
from sandbox.stages import (
    AuthenticatedCall,
    Cancellation,
    Credential,
    Principal,
    ProposedCall,
    ValidatedCall,
)
from sandbox.toolspec import Digest, Rate, ToolLimits, ToolName, ToolSpec


class Clock:
    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def limits_with(clock: Clock, **settings: int) -> Limits:
    return Limits(LimitSettings(**settings), clock, Patience(pause=lambda _: None))


def principal(subject: str = "alice") -> Principal:
    return Principal(
        subject=subject,
        actors=(),
        roles=frozenset({"agent"}),
        tools=("*",),
        claims={},
        token_id="t",
        token_digest=b"",
        certificate_digest=b"",
        expires_at=2**40,
    )


def call(
    subject: str = "alice",
    tool: str = "shop.query",
    *,
    rate: tuple[int, float] | None = None,
    concurrency: int | None = None,
) -> ValidatedCall:
    proposed = ProposedCall(
        door="grpc",
        credential=Credential(b"", ""),
        tool=tool,
        arguments_json=b"{}",
        request_id="",
        validate_only=False,
        cancellation=Cancellation(),
        received_at=0.0,
    )
    spec = ToolSpec(
        name=ToolName(tool),
        version="1.0.0",
        owner="",
        summary="",
        use_when="",
        kind="sql",
        effects="read",
        connection="shop",
        input_schema={},
        sql_argument=None,
        statement="SELECT 1",
        tables={},
        limits=ToolLimits(rate=None if rate is None else Rate(*rate), concurrency=concurrency),
        examples=(),
        file="",
        source=b"",
        digest=Digest("0" * 64),
    )
    return ValidatedCall(
        authenticated=AuthenticatedCall(proposed=proposed, principal=principal(subject)), spec=spec, arguments={}
    )


def refusal_of(limits: Limits, validated: ValidatedCall) -> Refused | None:
    """Spend for a call; returns the refusal if there is one."""
    try:
        limits.spend(validated, is_answered=False)
    except Refused as refused:
        return refused
    return None

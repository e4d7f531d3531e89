"""What happens to a proposed call? The whole way, one line a stage, and what each stage needs from the house.

This module imports the stages and the reasons and nothing else of ours: adapters satisfy its Protocols by shape.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self, assert_never, final

from sandbox.stages import (
    Action,
    AuthenticatedCall,
    AuthorizedCall,
    Decision,
    ExecutedCall,
    Explanation,
    HttpPlan,
    Lease,
    PlannedCall,
    ProposedCall,
    ReleasedResult,
    SealedResult,
    SqlPlan,
    TracedCall,
    ValidatedCall,
)


class Identity(Protocol):
    """Who asks?"""

    def authenticate(self, proposed: ProposedCall) -> AuthenticatedCall:
        """Prove the caller on this very request; strangers are refused and get no receipt."""
        ...


class Sealing(Protocol):
    """A call that has ended, on its way into the log."""

    def wait(self) -> SealedResult:
        """Return the answer with its receipt, once the record is in the log; nothing is released before.

        Raises `Refused` with `RECEIPT_LOG_UNAVAILABLE` if it cannot be written, `Fault` if it cannot be made.
        """
        ...

    def on_sealed(self, callback: Callable[[], None]) -> None:
        """Call back, from any thread, once `wait` returns or raises at once."""
        ...

    @property
    def is_late(self) -> bool:
        """Whether `wait` raises at once, because the log takes too long."""
        ...


class Receipt(Protocol):
    """The open record of one call. Leaving the block hands it to the log, however it was left."""

    @property
    def is_answered(self) -> bool:
        """Whether the log already holds the answer to this very request (`request_id`)."""
        ...

    @property
    def sealing(self) -> Sealing:
        """The answer on its way into the log; exists once the block has been left, or at once if `is_answered`."""
        ...

    def intend(self, authorized: AuthorizedCall) -> None:
        """Note what is about to run; durable before this returns if the call has effects."""
        ...

    def settle(self, outcome: ReleasedResult | Explanation) -> None:
        """Note how it ended."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool: ...


class Receipts(Protocol):
    """No record, no call."""

    def open(self, authenticated: AuthenticatedCall) -> Receipt:
        """Open the record of a call, or find the earlier one with the same `request_id`.

        Raises `Refused` with `RECEIPT_LOG_UNAVAILABLE` if the log cannot be written; entering the block raises it with
        `CALL_REPLAYED` for other bytes.
        """
        ...


class Specs(Protocol):
    """Is it a call the specs know, in the caller's scope?"""

    def validate(self, authenticated: AuthenticatedCall) -> ValidatedCall:
        """Find the tool and check every argument against its spec."""
        ...


class Limits(Protocol):
    """Within rates and concurrency?"""

    def spend(self, validated: ValidatedCall, *, is_answered: bool) -> AbstractContextManager[None]:
        """Charge the call's rates now and hold its place among concurrent calls for the block.

        An answered call is not charged again.
        """
        ...


class Flow(Protocol):
    """What came from where, and what may go where?"""

    def trace(self, validated: ValidatedCall) -> TracedCall:
        """Find the origin of every argument."""
        ...

    def release(self, executed: ExecutedCall) -> ReleasedResult:
        """Turn what came back into what may go back."""
        ...


class Executors(Protocol):
    """What exactly would run? And then: run it, bounded."""

    def plan(self, traced: TracedCall) -> PlannedCall:
        """Make the exact statement and the rights it needs, from the cached catalogue.

        Nothing of the call leaves the process. A tool whose tables are gone has its target's catalogue read anew, at
        most once a second; raises `Refused`.
        """
        ...

    def execute(self, authorized: AuthorizedCall, lease: Lease) -> ExecutedCall:
        """Spend the permit and run the plan with the lease, within its bounds.

        Raises `Refused`; of a call with effects, its `effect` says what is known, and nothing said means unknown.
        """
        ...


class Policy(Protocol):
    """May they, now, here, this?"""

    def permit(self, authenticated: AuthenticatedCall, action: Action, tool: str = "") -> None:
        """Raise `Refused` with `POLICY_DENIED` unless the principal may do `action` (to `tool`)."""
        ...

    def decide(self, planned: PlannedCall) -> Decision:
        """Decide about the very plan that would run."""
        ...

    def authorize(self, planned: PlannedCall) -> AuthorizedCall:
        """Turn a permit into an authorized call; raise `Refused` with `POLICY_DENIED` otherwise."""
        ...


class Leases(Protocol):
    """Credentials, narrow and short."""

    def take(self, authorized: AuthorizedCall) -> AbstractContextManager[Lease]:
        """Lend the credential for the block."""
        ...


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Pipeline:
    """The way of a call over one generation of specs, policies and connections. A reload makes a new one."""

    identity: Identity
    receipts: Receipts
    specs: Specs
    limits: Limits
    flow: Flow
    executors: Executors
    policy: Policy
    leases: Leases

    def run(self, proposed: ProposedCall) -> Sealing:
        """Take one proposed call to its end: permitted, refused or answered before. The log then lets the answer go."""
        authenticated = self.identity.authenticate(proposed)  # who asks? strangers get no receipt
        with self.receipts.open(authenticated) as receipt:  # no record, no call
            validated = self.specs.validate(authenticated)  # is it a call the spec knows, in their scope?
            with self.limits.spend(validated, is_answered=receipt.is_answered):  # within rates and concurrency?
                traced = self.flow.trace(validated)  # where did each argument come from? (facts)
                planned = self.executors.plan(traced)  # what exactly would run?
                authorized = self.policy.authorize(planned)  # may they, now, here, this? (decision)
                if receipt.is_answered:  # the same request as before: authorized again, never run again
                    return receipt.sealing
                receipt.intend(authorized)  # effects: durable before the act
                with self.leases.take(authorized) as lease:  # the least credential that does it
                    executed = self.executors.execute(authorized, lease)  # run it, bounded
                receipt.settle(self.flow.release(executed))  # what may go back
        return receipt.sealing

    def explain(self, proposed: ProposedCall) -> Sealing:
        """Say what a call would do, and run nothing."""
        authenticated = self.identity.authenticate(proposed)
        with self.receipts.open(authenticated) as receipt:
            validated = self.specs.validate(authenticated)
            self.policy.permit(authenticated, Action.EXPLAIN, validated.spec.name)  # an action of its own
            with self.limits.spend(validated, is_answered=receipt.is_answered):
                if receipt.is_answered:
                    return receipt.sealing
                planned = self.executors.plan(self.flow.trace(validated))
                decision = self.policy.decide(planned)
                receipt.settle(_explanation(planned, decision))
        return receipt.sealing


def _explanation(planned: PlannedCall, decision: Decision) -> Explanation:
    """Say what would be run or sent, and what was decided about it."""
    plan = planned.plan
    match plan:
        case SqlPlan(sql_to_run=text):
            sql_to_run, request_to_send = text, ""
        case HttpPlan(request_to_send=text):
            sql_to_run, request_to_send = "", text
        case _:
            assert_never(plan)
    return Explanation(
        decision=decision.word,
        rule_ids=decision.rule_ids,
        sql_to_run=sql_to_run,
        request_to_send=request_to_send,
        rights=plan.rights,
        row_filters={
            rule.table: rule.row_filter
            for rule in planned.traced.validated.spec.tables.values()
            if rule.row_filter is not None and rule.table in plan.rights.relations
        },
    )

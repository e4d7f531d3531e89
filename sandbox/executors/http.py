"""What does an HTTP tool send, and how does it end? Plans from the spec's template; answers, or fixed words for none.

# INVARIANT: a refusal says nothing of what the target answered but its status, and nothing of where its name led.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from typing import Final, assert_never, final

from sandbox.executors.engine import Fetched
from sandbox.executors.http_requests import RequestMaker
from sandbox.executors.http_rows import invalid, picked, takes_body
from sandbox.leases import HttpLease, TokenLease
from sandbox.outbound.destinations import destination, request_bytes
from sandbox.outbound.wire import Answer, Destination, Failed, Question, Resolve, exchange, system_resolve
from sandbox.reasons import Effect, Fault, Reason, Refused, quoted
from sandbox.stages import Cancellation, HttpPlan, Lease
from sandbox.telemetry.events import note_often, warn_often
from sandbox.toolspec import Connection, HttpTarget, ToolName, ToolSpec
from sandbox.values import JsonObject

PAUSES_S: Final = (0.1, 0.4)
"""Before each retry of a request that its author calls idempotent."""
PASSING: Final = frozenset({502, 503, 504})
"""Statuses of a target that may be well a moment later."""

UNAUTHORIZED: Final = 401
REFUSING: Final = frozenset({UNAUTHORIZED, 403, 407})
"""Statuses that speak of the connection's credential rather than of the call; operators are told."""

_UNREACHED: Final = {
    "resolve": "has no address",
    "connect": "cannot be reached",
    "tls": "has no certificate that the connection trusts, or speaks no TLS 1.2 or later",
    "cut": "hung up before the response was whole",
}
_INVALID: Final = {
    "too_large": "has too many headers",
    "response": "is not HTTP, or has too many headers",
    "encoding": "is compressed, which was not asked for",
}


@final
class HttpTools:
    """The tools of kind `http` of one generation."""

    def __init__(
        self, connections: Mapping[str, Connection], specs: Iterable[ToolSpec], resolve: Resolve = system_resolve
    ) -> None:
        """Take what their calls have in common; raises `Misconfigured` for a `ca` that cannot be used."""
        tools = list(specs)
        self._makers = {spec.name: RequestMaker(spec, connections[spec.connection]) for spec in tools}
        self._destinations = {
            name: _destination(connections[name], resolve) for name in sorted({spec.connection for spec in tools})
        }

    def plan(self, tool: ToolName, arguments: JsonObject) -> HttpPlan:
        """Return the exact request of a call; raises `Refused`."""
        return self._makers[tool].plan(arguments)

    def run(self, plan: HttpPlan, lease: Lease, cancellation: Cancellation) -> Fetched:
        """Send the request and take from the response what the spec picks; raises `Refused`."""
        if not isinstance(lease, HttpLease | TokenLease):
            raise Fault("http executor: a lease of another kind than HTTP's")
        # What the lease took of the call's time is gone.
        end = min(time.monotonic() + plan.max_seconds, cancellation.deadline or float("inf"))
        deadline = min(end, lease.bounds.deadline)
        # INVARIANT: the only place that knows the secret besides its lease.
        headers = plan.headers if lease.header is None else (*plan.headers, lease.header)
        request = request_bytes(plan.method, plan.target, headers, plan.body)
        question = Question(request, lambda status: takes_body(plan.response, status), plan.max_response_bytes)
        answer = self._answered(plan, question, deadline, cancellation)
        if answer.status == UNAUTHORIZED and isinstance(lease, TokenLease):
            lease.doubt()
        if answer.status in REFUSING:
            note_often("http target refuses", plan.connection, causes=f"status {answer.status}")
        if answer.status not in plan.response.statuses:
            raise _status(plan, answer.status)
        try:
            return _untold(picked(plan, answer.status, answer.body), lease)
        except Refused as refused:
            if plan.has_effects:
                refused.effect = Effect.DONE  # the status says so; what is wrong is what it told of it
            raise

    def _answered(self, plan: HttpPlan, question: Question, deadline: float, cancellation: Cancellation) -> Answer:
        """Return the first answer that is worth having; of the last try, whatever came."""
        was_sent = False
        pauses = iter(PAUSES_S if plan.is_idempotent else ())
        while True:
            try:
                answer = self._exchange(plan, question, deadline, cancellation)
            except Failed as failed:
                was_sent |= failed.was_sent
                is_passing = failed.trouble in _UNREACHED and not failed.is_answered
                if not (is_passing and _has_waited(next(pauses, None), deadline, cancellation)):
                    raise _told(plan, failed, was_sent=was_sent) from failed
            else:
                was_sent = True
                if answer.status not in PASSING or not _has_waited(next(pauses, None), deadline, cancellation):
                    return answer

    def _exchange(self, plan: HttpPlan, question: Question, deadline: float, cancellation: Cancellation) -> Answer:
        try:
            return exchange(self._destinations[plan.connection], question, deadline, cancellation)
        except Failed as failed:
            if failed.trouble in {"address", "resolve", "connect", "tls"}:
                warn_often("http target not reached", plan.connection, causes=failed.trouble)
            raise


def _untold(fetched: Fetched, lease: HttpLease | TokenLease) -> Fetched:
    """Return what the spec picks; raises `Refused` if it holds the credential that was sent.

    # INVARIANT: a target that repeats its requests gives no caller, author or log the credential it was asked with.
    """
    if any(lease.tells(str(cell)) for row in fetched.rows for cell in row if isinstance(cell, str | int | float)):
        warn_often("http target tells its credential", lease.connection)
        raise invalid("credential", "repeats the credential that it was asked with")
    return fetched


def _destination(connection: Connection, resolve: Resolve) -> Destination:
    target = connection.target
    if not isinstance(target, HttpTarget):
        raise Fault("http executor: a connection that speaks no HTTP")
    return destination(
        host=target.host,
        port=target.port,
        is_secure=target.scheme == "https",
        ca=target.ca,
        networks=target.networks,
        resolve=resolve,
        whose=f"connections.toml: [{connection.name}]",
    )


def _has_waited(pause_s: float | None, deadline: float, cancellation: Cancellation) -> bool:
    """Wait before the next try; False at once if there is to be none, or it would come too late."""
    if pause_s is None or time.monotonic() + pause_s >= deadline:
        return False
    stopped = threading.Event()
    cancellation.on_cancel(stopped.set)
    stopped.wait(pause_s)  # the next try finds out whether the call was cancelled
    cancellation.forget(stopped.set)
    return True


def _told(plan: HttpPlan, failed: Failed, *, was_sent: bool) -> Refused:
    """Return the refusal for a request that got no whole answer; `was_sent` in this or an earlier try."""
    if plan.has_effects and was_sent:
        message = "the request was sent and no whole answer came, so it may have taken effect; look at the target first"
        return Refused(
            Reason.EFFECT_UNKNOWN, message, rule="http/effect-unknown", effect=Effect.UNKNOWN, error=failed.trouble
        )
    match failed.trouble:
        case "cancelled":
            refused = Refused(Reason.CALL_CANCELLED, "the call was stopped", rule="limits/cancelled")
        case "timed_out":
            message = f"no whole answer came within {plan.max_seconds:g} s, or the caller's own time"
            refused = Refused(Reason.EXECUTION_TIMED_OUT, message, rule="limits/seconds")
        case "address":
            message = f"the host of connection {quoted(plan.connection)} leads to an address that it may not reach"
            refused = Refused(Reason.HTTP_ADDRESS_FORBIDDEN, message, rule="http/address")
        case "too_large" if failed.is_answered:
            message = f"the response is over the tool's {plan.max_response_bytes} bytes; a narrower question may fit"
            refused = Refused(Reason.RESULT_TOO_LARGE, message, rule="limits/max-response-bytes")
        case "too_large" | "response" | "encoding":
            refused = invalid(failed.trouble, _INVALID[failed.trouble])
        case "resolve" | "connect" | "tls" | "cut":
            message = f"the target {_UNREACHED[failed.trouble]}"
            refused = Refused(
                Reason.EXECUTOR_UNAVAILABLE,
                message,
                rule="http/unreachable",
                retry_after_s=1.0,
                error=failed.trouble,
            )
        case _:
            assert_never(failed.trouble)
    if plan.has_effects:
        refused.effect = Effect.NONE
    return refused


def _status(plan: HttpPlan, status: int) -> Refused:
    taken = ", ".join(str(each) for each in plan.response.statuses)
    if 300 <= status < 400:
        message = f"the target answered with a redirect ({status}), which is never followed; the tool takes {taken}"
        return Refused(Reason.HTTP_STATUS, message, rule="http/redirect", status=str(status))
    message = f"the target answered with status {status}; the tool takes {taken}"
    return Refused(Reason.HTTP_STATUS, message, rule="http/status", status=str(status))

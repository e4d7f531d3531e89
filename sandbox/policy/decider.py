"""May they? Asks Cedar about one request, and remembers the answer under everything it can depend on.

Allowed means: the decision is Allow and no policy erred. Cedar skips a `forbid` that errs, so an error is a denial.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping
from typing import Final, assert_never, final

import cedarpy

from sandbox.policy.arguments import Unreadable
from sandbox.policy.facts import NO_CONTEXT, context_json, principal_json, stand_in_context
from sandbox.policy.lint import RESERVED
from sandbox.policy.questions import Question
from sandbox.policy.schema import PRINCIPAL
from sandbox.reasons import Fault, Reason, Refused, quoted
from sandbox.stages import (
    Action,
    AuthenticatedCall,
    AuthorizedCall,
    Decision,
    Deny,
    Permit,
    PlannedCall,
    Principal,
)
from sandbox.telemetry.events import broke, warn
from sandbox.toolspec import Digest

ERROR: Final = f"{RESERVED}error"
"""Cedar could not decide: a policy erred, or the request did not fit the schema."""
UNREADABLE: Final = f"{RESERVED}unreadable-argument"
"""A policy reads an argument whose value Cedar cannot hold."""

CALL_NEEDED: Final = f"{RESERVED}call-needed"
"""A policy reads facts of the call, which a stored result does not tell."""

MAX_REMEMBERED: Final = 16_384
"""Decisions, in each of the two caches."""
MAX_KEY_CHARACTERS: Final = 1_024
"""Of a call's own facts; longer ones are decided anew, so that long arguments cannot fill the memory."""
MAX_RULE_IDS: Final = 64
"""Of one decision, so that a record stays below its size."""

MAX_NAMED: Final = 3
"""Policies named in a sentence."""

_ERRING: Final = re.compile(r"while evaluating policy `([^`]+)`")


@final
class _Cache:
    """Decisions of one generation; the oldest goes first."""

    __slots__ = ("_decisions", "_lock", "get")

    def __init__(self) -> None:
        self._decisions: dict[tuple[object, ...], Decision] = {}
        self._lock = threading.Lock()
        self.get = self._decisions.get

    def __len__(self) -> int:
        return len(self._decisions)

    def put(self, key: tuple[object, ...], decision: Decision) -> None:
        with self._lock:
            if len(self._decisions) >= MAX_REMEMBERED:
                del self._decisions[next(iter(self._decisions))]
            self._decisions[key] = decision


@final
class CedarPolicy:
    """The policies of one generation. A reload makes a new one, so nothing decided before is remembered after."""

    def __init__(
        self,
        questions: Mapping[tuple[str, str], Question],
        schema: cedarpy.Schema,
        sources: Mapping[str, bytes],
        digest: Digest,
    ) -> None:
        """Answer `questions`; `sources` are the files' bytes by name, `digest` is over both."""
        self.sources = sources
        self.digest = digest
        self._schema = schema
        self._questions = questions
        self._executing = {tool: each for (action, tool), each in questions.items() if action == Action.EXECUTE.value}
        # WHY: two caches, so that a flood of new arguments cannot push out what depends on principals alone.
        self._steady = _Cache()
        self._varied = _Cache()
        self._unpermitted = Deny(policy_digest=digest, rule_ids=())
        self._undecided = Deny(policy_digest=digest, rule_ids=(ERROR,))
        self._unreadable = Deny(policy_digest=digest, rule_ids=(UNREADABLE,))
        self._call_needed = Deny(policy_digest=digest, rule_ids=(CALL_NEEDED,))

    def permit(self, authenticated: AuthenticatedCall, action: Action, tool: str = "") -> None:
        """Raise `Refused` with `POLICY_DENIED` unless the principal may do `action` (to `tool`)."""
        self.permit_principal(authenticated.principal, action, tool)

    def permit_principal(self, principal: Principal, action: Action, tool: str = "") -> None:
        """Raise `Refused` with `POLICY_DENIED` unless `principal` may do `action` (to `tool`). Not for `Execute`."""
        decision = self._answer(principal, action, tool)
        if isinstance(decision, Deny):
            raise _refusal(decision, action, tool)

    def may(self, principal: Principal, action: Action, tool: str = "") -> bool:
        """Whether `permit_principal` would let it pass."""
        return isinstance(self._answer(principal, action, tool), Permit)

    def permit_result(self, principal: Principal, tool: str) -> None:
        """Raise `Refused` with `POLICY_DENIED` unless `principal` may execute `tool` now, whatever the call.

        For a stored result, whose plan is gone: where a policy reads facts of the call, it is denied.
        """
        question = self._executing.get(tool)
        if question is None:
            decision: Decision = self._unpermitted
        elif question.is_steady:
            remembered = self._steady.get(_principal_key(question, principal))
            decision = remembered or self._ask(question, principal, stand_in_context(question.types))
        else:
            decision = self._call_needed
        if isinstance(decision, Deny):
            raise _refusal(decision, Action.EXECUTE, tool)

    def decide(self, planned: PlannedCall) -> Decision:
        """Decide about the very plan that would run."""
        validated = planned.traced.validated
        question = self._executing.get(validated.spec.name)
        if question is None:
            return self._unpermitted
        principal = validated.authenticated.principal
        if question.is_steady:
            return self._steadily(question, principal, planned)
        facts = question.call_read(planned)
        if isinstance(facts, Unreadable):
            return self._unreadable
        key = (*_principal_key(question, principal), facts)
        decision = self._varied.get(key)
        if decision is None:
            decision = self._ask(question, principal, context_json(planned, question.types))
            if decision is not self._undecided and _size(facts) <= MAX_KEY_CHARACTERS:
                self._varied.put(key, decision)
        return decision

    def authorize(self, planned: PlannedCall) -> AuthorizedCall:
        """Turn a permit into an authorized call; raise `Refused` with `POLICY_DENIED` otherwise."""
        decision = self.decide(planned)
        match decision:
            case Permit():
                return AuthorizedCall(planned=planned, permit=decision)
            case Deny():
                raise _refusal(decision, Action.EXECUTE, planned.traced.validated.spec.name)
            case _:
                assert_never(decision)

    def _answer(self, principal: Principal, action: Action, tool: str) -> Decision:
        if action is Action.EXECUTE:
            raise Fault("policy asked about Execute without a plan")
        question = self._questions.get((action.value, tool))
        return self._unpermitted if question is None else self._steadily(question, principal, None)

    def _steadily(self, question: Question, principal: Principal, planned: PlannedCall | None) -> Decision:
        key = _principal_key(question, principal)
        decision = self._steady.get(key)
        if decision is None:
            context = NO_CONTEXT if planned is None else context_json(planned, question.types)
            decision = self._ask(question, principal, context)
            if decision is not self._undecided:
                self._steady.put(key, decision)
        return decision

    def _ask(self, question: Question, principal: Principal, context: str) -> Decision:
        """Ask Cedar. Whatever breaks here is a denial, and operators hear of it."""
        try:
            entity = principal_json(principal)
            result = cedarpy.is_authorized(
                {
                    "principal": {"type": PRINCIPAL, "id": principal.subject},
                    "action": question.action,
                    "resource": question.resource,
                    "context": context,
                },
                question.policies,
                f"[{entity},{question.resource_json}]" if question.resource_json else f"[{entity}]",
                self._schema,
            )
            return self._decision(result)
        except BaseException as error:
            # WHY: a panic in the engine is no `Exception`.
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            broke("policy engine failed", error)
            return self._undecided

    def _decision(self, result: cedarpy.AuthzResult) -> Decision:
        errors: list[str] = result.diagnostics.errors
        reasons: list[str] = result.diagnostics.reasons
        # INVARIANT: only Allow without any error permits.
        if result.decision == cedarpy.Decision.Allow and not errors:
            return Permit(policy_digest=self.digest, rule_ids=_rule_ids(reasons))
        if result.decision == cedarpy.Decision.Deny and not errors:
            return Deny(policy_digest=self.digest, rule_ids=_rule_ids(reasons))
        erring = {found.group(1) for text in errors if (found := _ERRING.search(text))}
        forbidding = reasons if result.decision == cedarpy.Decision.Deny else []
        if not erring and not forbidding:
            warn("policy engine refused a request", policy_digest=self.digest)
            return self._undecided
        return Deny(policy_digest=self.digest, rule_ids=(ERROR, *_rule_ids({*erring, *forbidding})))


def _principal_key(question: Question, principal: Principal) -> tuple[object, ...]:
    key = (question.index, principal.subject, principal.roles, principal.actors, principal.binding)
    return key if question.claims == () else (*key, question.claims_read(principal))


def _size(facts: object) -> int:
    if isinstance(facts, str):
        return len(facts)
    return sum(1 + _size(fact) for fact in facts) if isinstance(facts, tuple) else 1


def _rule_ids(ids: Iterable[str]) -> tuple[str, ...]:
    found = sorted(ids)
    if len(found) <= MAX_RULE_IDS:
        return tuple(found)
    return (*found[:MAX_RULE_IDS], f"{RESERVED}and-{len(found) - MAX_RULE_IDS}-more")


def _refusal(decision: Deny, action: Action, tool: str) -> Refused:
    asked = quoted(action.value) + (f" of {quoted(tool)}" if tool else "")
    ids = decision.rule_ids
    named = [name for name in ids if not name.startswith(RESERVED)]
    names = ", ".join(quoted(name) for name in named[:MAX_NAMED]) + (", …" if len(named) > MAX_NAMED else "")
    if not ids:
        rule = f"{RESERVED}not-permitted"
        message = f"no policy permits {asked} to this principal; the policy owner can write one"
    elif UNREADABLE in ids:
        rule, message = UNREADABLE, "a policy reads an argument that is no 64-bit integer or has over 4 decimal places"
    elif CALL_NEEDED in ids:
        rule = CALL_NEEDED
        message = f"a policy on {asked} reads facts of the call; send the same call again with its `request_id`"
    elif ERROR in ids:
        culprit = f" by {names}" if names else ""
        rule, message = ERROR, f"{asked} could not be decided{culprit}, so it is denied; the policy owner can repair it"
    else:
        rule, message = f"{RESERVED}forbidden", f"{asked} is forbidden by the policy {names}"
    return Refused(Reason.POLICY_DENIED, message, rule=rule, policies=",".join(ids))

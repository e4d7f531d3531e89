"""Which policies bear on a question, and which facts can change its answer? Worked out once, when policies are loaded.

A question is one action on one resource. Its slice holds every policy whose scope the question can match: those not
scoped to an action or a tool are in every slice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import final

import cedarpy
import orjson
from cedarpy import pst

from sandbox.policy.arguments import ArgumentType, CedarValue, Unreadable
from sandbox.policy.facts import column_names, tag, tags, tool_json
from sandbox.policy.lint import Policy
from sandbox.policy.reads import reads_of
from sandbox.policy.schema import ACTION, NAMESPACE, RESOURCES, TOOL, Vocabulary, execute_action
from sandbox.stages import Action, PlannedCall, Principal

EntityUid = dict[str, str]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """May somebody do one action to one resource?"""

    index: int
    """Tells questions apart in cache keys."""
    action: EntityUid
    resource: EntityUid
    resource_json: str
    """The resource as an entity; empty if it has no attributes."""
    policies: cedarpy.PolicySet
    types: Mapping[str, ArgumentType]
    claims: tuple[str, ...] | None
    """Claims that the slice reads; None if it may read any."""
    arguments: tuple[str, ...]
    """Arguments that the slice reads."""
    reads_relations: bool
    reads_columns: bool
    reads_functions: bool
    reads_requests: bool
    reads_door: bool
    is_steady: bool
    """The answer depends on the principal alone."""

    def claims_read(self, principal: Principal) -> Hashable:
        """Return what the slice reads of the claims."""
        if self.claims is None:
            return tuple(sorted(tags(principal.claims).items()))
        claims = principal.claims
        return tuple([tag(claims.get(name)) for name in self.claims])

    def call_read(self, planned: PlannedCall) -> tuple[CedarValue | None, ...] | Unreadable:
        """Return what the slice reads of the call; unreadable if one value of it is."""
        validated = planned.traced.validated
        facts: list[CedarValue | None] = []
        for name in self.arguments:
            value = self.types[name].read(validated.arguments.get(name))
            if isinstance(value, Unreadable):
                return value
            facts.append(value)
        rights = planned.plan.rights
        if self.reads_relations:
            facts.append(rights.relations)
        if self.reads_columns:
            facts.append(column_names(rights.columns))
        if self.reads_functions:
            facts.append(rights.functions)
        if self.reads_requests:
            facts.append(rights.requests)
        if self.reads_door:
            facts.append(validated.authenticated.proposed.door)
        return tuple(facts)


def questions_about(policies: Iterable[Policy], vocabulary: Vocabulary) -> Mapping[tuple[str, str], Question]:
    """Return every question that can be asked, by action and tool; the tool is empty where there is none."""
    slices = _Slices(policies, vocabulary)
    asked = [
        (action, tool) for action, fixed in RESOURCES.items() for tool in (vocabulary.tools if fixed is None else [""])
    ]
    return {(action.value, tool): _question(index, action, tool, slices) for index, (action, tool) in enumerate(asked)}


@final
class _Slices:
    """Policies by action and tool; equal slices share one handle."""

    def __init__(self, policies: Iterable[Policy], vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self._by_scope: defaultdict[tuple[str, str], list[Policy]] = defaultdict(list)
        self._handles: dict[tuple[str, ...], cedarpy.PolicySet] = {}
        for policy in policies:
            only_tool = _only_tool(policy.tree)
            for action in vocabulary.actions_of(policy.tree):
                self._by_scope[action, only_tool].append(policy)

    def policies(self, action: str, tool: str) -> list[Policy]:
        anywhere = self._by_scope.get((action, ""), [])
        return anywhere + self._by_scope.get((action, tool), []) if tool else anywhere

    def handle(self, policies: Iterable[Policy]) -> cedarpy.PolicySet:
        documents = {policy.id: policy.document for policy in policies}
        ids = tuple(documents)
        if ids not in self._handles:
            whole = {"staticPolicies": documents, "templates": {}, "templateLinks": []}
            self._handles[ids] = cedarpy.PolicySet.from_json_str(orjson.dumps(whole).decode())
        return self._handles[ids]


def _only_tool(policy: pst.Template) -> str:
    match policy.resource:
        case pst.ScopeEq(entity=pst.EntityUid() as uid) if str(uid.type) == TOOL:
            return uid.id
        case _:
            return ""


def _question(index: int, action: Action, tool: str, slices: _Slices) -> Question:
    action_id = execute_action(tool) if action is Action.EXECUTE else action.value
    policies = slices.policies(action_id, tool)
    reads = reads_of(policy.tree for policy in policies)
    types = slices.vocabulary.arguments.get(action_id, {})
    arguments = tuple(sorted(types.keys() if reads.has_all_arguments else reads.arguments & types.keys()))
    is_executing = action is Action.EXECUTE
    fixed = RESOURCES[action]
    kind, entity = fixed or ("Tool", tool)
    return Question(
        index=index,
        action={"type": ACTION, "id": action_id},
        resource={"type": f"{NAMESPACE}::{kind}", "id": entity},
        resource_json="" if fixed else tool_json(next(s for n, s in slices.vocabulary.tools.items() if n == tool)),
        policies=slices.handle(policies),
        types=types,
        claims=None if reads.has_all_claims else tuple(sorted(reads.claims)),
        arguments=arguments,
        reads_relations="relations" in reads.sets,
        reads_columns="columns" in reads.sets,
        reads_functions="functions" in reads.sets,
        reads_requests="requests" in reads.sets,
        reads_door=reads.has_door,
        is_steady=not (is_executing and (arguments or reads.sets or reads.has_door)),
    )

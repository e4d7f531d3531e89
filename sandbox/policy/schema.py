"""What can a policy speak about? The Cedar schema, made from the tool specs; lint and every request are held to it.

entity Principal in [Role] = {subject: String, roles: Set<String>, actors: Set<String>, binding: String} tags String
                                                        // tags: claims; binding: "certificate" or "bearer"
entity Role                                             // principal in Sandbox::Role::"agent"
entity Tool = {name: String, effects: String, connection: String}
entity Call enum ["own"]   entity Log enum ["log"]   entity Service enum ["sandbox"]
action "Execute"                                        // the group of all executing actions
action "Execute:shop.query" in "Execute" on Tool        // one a tool, with the types of its own arguments
action "GetTool", "Explain" on Tool;  "GetCall", "CancelCall" on Call;  the log's on Log;  the others on Service
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, final

import cedarpy
import orjson
from cedarpy import pst

from sandbox.policy.arguments import ArgumentType, argument_types
from sandbox.stages import Action
from sandbox.toolspec import ToolName, ToolSpec
from sandbox.values import JsonObject

NAMESPACE: Final = "Sandbox"
PRINCIPAL: Final = "Sandbox::Principal"
ROLE: Final = "Sandbox::Role"
TOOL: Final = "Sandbox::Tool"
ACTION: Final = "Sandbox::Action"
EXECUTE: Final = Action.EXECUTE.value
"""A group: no request names it, each names one of its members."""

ENTITY_TYPES: Final = ("Principal", "Role", "Tool", "Call", "Log", "Service")
CONTEXT_SETS: Final = ("relations", "columns", "functions", "requests")
"""What the statement or request needs; a column is written `table.column`, a request is method and URL."""
CONTEXT_NAMES: Final = ("arguments", *CONTEXT_SETS, "door")
PRINCIPAL_NAMES: Final = ("subject", "roles", "actors", "binding")
TOOL_NAMES: Final = ("name", "effects", "connection")
EFFECTS: Final = ("read", "write")
"""What a tool spec can say of its effects."""

_CALL: Final = ("Call", "own")
_LOG: Final = ("Log", "log")
_SERVICE: Final = ("Service", "sandbox")
RESOURCES: Final[Mapping[Action, tuple[str, str] | None]] = {
    Action.LIST_TOOLS: _SERVICE,
    Action.GET_TOOL: None,
    Action.EXECUTE: None,
    Action.EXPLAIN: None,
    Action.GET_CALL: _CALL,
    Action.CANCEL_CALL: _CALL,
    Action.GET_CHECKPOINT: _LOG,
    Action.LIST_RECORDS: _LOG,
    Action.GET_RECEIPT: _LOG,
    Action.GET_CONSISTENCY_PROOF: _LOG,
    Action.READ_PAYLOAD: _LOG,
    Action.CHECK_HEALTH: _SERVICE,
    Action.REFLECT: _SERVICE,
}
"""The type and id of the entity that an action is done to; None where it is a tool."""

_STRING: Final[JsonObject] = {"type": "String"}
_STRINGS: Final[JsonObject] = {"type": "Set", "element": {"type": "String"}}


def execute_action(tool: str) -> str:
    """Return the id of the Cedar action that runs `tool`."""
    return f"{EXECUTE}:{tool}"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Everything policies may name while one set of tool specs is served."""

    tools: Mapping[ToolName, ToolSpec]
    arguments: Mapping[str, Mapping[str, ArgumentType]]
    """By executing action, then by argument."""
    plain_actions: frozenset[str]
    """All actions but the executing ones and their group."""
    schema: cedarpy.Schema

    def actions_of(self, policy: pst.Template) -> frozenset[str]:
        """Return every action for which `policy` can matter, judged by its scope alone."""
        actions = self.plain_actions | self.arguments.keys()
        match policy.action:
            case pst.ActionEq(entity=uid):
                actions &= {uid.id}
            case pst.ActionIn(entities=uids):
                named = {uid.id for uid in uids}
                actions &= named | (self.arguments.keys() if EXECUTE in named else set())
            case pst.ScopeAny():
                pass
        match policy.resource:
            case pst.ScopeEq(entity=pst.EntityUid() as uid) if str(uid.type) == TOOL:
                actions -= self.arguments.keys() - {execute_action(uid.id)}
            case _:
                pass
        return actions


def vocabulary_of(tools: Mapping[ToolName, ToolSpec]) -> Vocabulary:
    """Make the vocabulary of `tools`."""
    arguments = {execute_action(name): argument_types(spec.input_schema) for name, spec in tools.items()}
    # WHY: a policy about all executing actions must pass lint in a deployment that has no tool yet.
    arguments = arguments or {execute_action(""): {}}
    plain = frozenset(action.value for action in Action if action is not Action.EXECUTE)
    text = orjson.dumps({NAMESPACE: {"entityTypes": _entity_types(), "actions": _actions(arguments)}}).decode()
    return Vocabulary(tools=tools, arguments=arguments, plain_actions=plain, schema=cedarpy.Schema.from_json_str(text))


def _entity_types() -> JsonObject:
    fixed: dict[str, JsonObject] = {kind: {"enum": [only]} for kind, only in filter(None, RESOURCES.values())}
    return {
        "Role": {},
        "Principal": {
            "memberOfTypes": ["Role"],
            "shape": _record({"subject": _STRING, "roles": _STRINGS, "actors": _STRINGS, "binding": _STRING}),
            "tags": _STRING,
        },
        "Tool": {"shape": _record(dict.fromkeys(TOOL_NAMES, _STRING))},
        **fixed,
    }


def _actions(arguments: Mapping[str, Mapping[str, ArgumentType]]) -> JsonObject:
    plain: dict[str, JsonObject] = {
        action.value: {"appliesTo": _applies_to("Tool" if resource is None else resource[0], _record({}))}
        for action, resource in RESOURCES.items()
        if action is not Action.EXECUTE
    }
    executing: dict[str, JsonObject] = {
        action: {"memberOf": [{"id": EXECUTE}], "appliesTo": _applies_to("Tool", _execute_context(types))}
        for action, types in arguments.items()
    }
    return {EXECUTE: {}, **plain, **executing}


def _execute_context(types: Mapping[str, ArgumentType]) -> JsonObject:
    named = _record({name: type_.as_schema() for name, type_ in types.items()})
    return _record({"arguments": named, **dict.fromkeys(CONTEXT_SETS, _STRINGS), "door": _STRING})


def _applies_to(resource: str, context: JsonObject) -> JsonObject:
    return {"principalTypes": ["Principal"], "resourceTypes": [resource], "context": context}


def _record(attributes: Mapping[str, JsonObject]) -> JsonObject:
    return {"type": "Record", "attributes": attributes}

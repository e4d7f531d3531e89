"""What does a policy get to see of one request? Principal, tool and context as Cedar's JSON.

Claims are tags: strings as they are, integers and booleans as their JSON text; other claims do not exist for policies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import orjson

from sandbox.policy.arguments import ArgumentType, Unreadable
from sandbox.policy.schema import CONTEXT_SETS, PRINCIPAL, ROLE, TOOL
from sandbox.stages import PlannedCall, Principal
from sandbox.toolspec import ToolSpec
from sandbox.values import JsonObject, JsonValue

NO_CONTEXT: Final = "{}"
_LONGEST_INTEGER: Final = 2**63


def tag(claim: JsonValue) -> str | None:
    """Return a claim as policies see it, None if they do not."""
    if isinstance(claim, str):
        return claim
    if isinstance(claim, bool):
        return "true" if claim else "false"
    if isinstance(claim, int) and -_LONGEST_INTEGER <= claim < _LONGEST_INTEGER:
        return str(claim)
    return None


def tags(claims: JsonObject) -> dict[str, str]:
    """Return all claims that policies see."""
    shown = ((name, tag(claim)) for name, claim in claims.items())
    return {name: text for name, text in shown if text is not None}


def principal_json(principal: Principal) -> str:
    """Return the principal as a Cedar entity, its roles as parents."""
    roles = sorted(principal.roles)
    return orjson.dumps(
        {
            "uid": {"type": PRINCIPAL, "id": principal.subject},
            "attrs": {
                "subject": principal.subject,
                "roles": roles,
                "actors": principal.actors,
                "binding": principal.binding,
            },
            "parents": [{"type": ROLE, "id": role} for role in roles],
            "tags": tags(principal.claims),
        }
    ).decode()


def tool_json(spec: ToolSpec) -> str:
    """Return a tool as a Cedar entity."""
    attributes = {"name": spec.name, "effects": spec.effects, "connection": spec.connection}
    return orjson.dumps({"uid": {"type": TOOL, "id": spec.name}, "attrs": attributes, "parents": []}).decode()


def column_names(columns: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return columns as policies write them."""
    return tuple([f"{table}.{column}" for table, column in columns])


def context_json(planned: PlannedCall, types: Mapping[str, ArgumentType]) -> str:
    """Return the context of an executing action.

    An unreadable argument is left out, or stood in for if the schema requires it: by then no policy reads it.
    """
    validated = planned.traced.validated
    arguments: dict[str, JsonValue] = {}
    for name, type_ in types.items():
        value = type_.read(validated.arguments.get(name))
        if isinstance(value, Unreadable):
            value = type_.stand_in if type_.is_required else None
        if value is not None:
            arguments[name] = value
    rights = planned.plan.rights
    return orjson.dumps(
        {
            "arguments": arguments,
            "relations": rights.relations,
            "columns": column_names(rights.columns),
            "functions": rights.functions,
            "requests": rights.requests,
            "door": validated.authenticated.proposed.door,
        }
    ).decode()


def stand_in_context(types: Mapping[str, ArgumentType]) -> str:
    """Return a context that the schema accepts and that says nothing, for policies that read nothing of it."""
    arguments = {name: type_.stand_in for name, type_ in types.items() if type_.is_required}
    return orjson.dumps({"arguments": arguments, **dict.fromkeys(CONTEXT_SETS, ()), "door": ""}).decode()

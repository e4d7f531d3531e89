"""The people, tools and plans of the policy tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from sandbox.policy import CedarPolicy, load_policies
from sandbox.stages import (
    AuthenticatedCall,
    Cancellation,
    Credential,
    Origin,
    PlannedCall,
    Principal,
    ProposedCall,
    Rights,
    SqlPlan,
    TracedCall,
    ValidatedCall,
)
from sandbox.toolspec import Digest, ToolLimits, ToolName, ToolSpec
from sandbox.values import JsonObject

ORDERS_INPUT: JsonObject = {
    "type": "object",
    "additionalProperties": False,
    "required": ["sql"],
    "properties": {
        "sql": {"type": "string"},
        "limit": {"type": "integer"},
        "price": {"type": "number"},
        "dry": {"type": ["boolean", "null"]},
        "regions": {"type": "array", "items": {"type": "string"}},
        "filter": {"type": "object"},
    },
}
BY_ID_INPUT: JsonObject = {
    "type": "object",
    "additionalProperties": False,
    "required": ["id", "rate"],
    "properties": {"id": {"type": "integer"}, "rate": {"type": "number"}},
}


def tool(
    name: str, input_schema: JsonObject, *, connection: str = "shop", limits: ToolLimits | None = None
) -> ToolSpec:
    return ToolSpec(
        name=ToolName(name),
        version="1.0.0",
        owner="shop@example.com",
        summary="",
        use_when="",
        kind="sql",
        effects="read",
        connection=connection,
        input_schema=input_schema,
        sql_argument=None,
        statement="SELECT 1",
        tables={},
        limits=limits or ToolLimits(),
        examples=(),
        file=f"{name}.yaml",
        source=b"",
        digest=Digest("0" * 64),
    )


SHOP: Mapping[ToolName, ToolSpec] = MappingProxyType(
    {
        ToolName("shop.query"): tool("shop.query", ORDERS_INPUT),
        ToolName("shop.order_by_id"): tool("shop.order_by_id", BY_ID_INPUT),
    }
)


def principal(
    subject: str = "alice",
    roles: tuple[str, ...] = ("agent",),
    actors: tuple[str, ...] = (),
    **claims: object,
) -> Principal:
    return Principal(
        subject=subject,
        actors=actors,
        roles=frozenset(roles),
        tools=("*",),
        claims=claims,  # type: ignore[arg-type]
        token_id="t",
        token_digest=b"",
        certificate_digest=b"c",
        expires_at=2**40,
    )


def validated(
    who: Principal | None = None,
    tool_name: str = "shop.query",
    arguments: JsonObject | None = None,
    *,
    spec: ToolSpec | None = None,
    door: str = "grpc",
) -> ValidatedCall:
    proposed = ProposedCall(
        door=door,
        credential=Credential("", ""),  # type: ignore[arg-type]
        tool=tool_name,
        arguments_json=b"{}",
        request_id="",
        validate_only=False,
        cancellation=Cancellation(),
        received_at=0.0,
    )
    return ValidatedCall(
        authenticated=AuthenticatedCall(proposed=proposed, principal=who or principal()),
        spec=spec or SHOP[ToolName(tool_name)],
        arguments={"sql": "SELECT 1"} if arguments is None else arguments,
    )


def planned(
    who: Principal | None = None,
    tool_name: str = "shop.query",
    arguments: JsonObject | None = None,
    *,
    relations: tuple[str, ...] = ("orders",),
    columns: tuple[tuple[str, str], ...] = (("orders", "id"),),
    functions: tuple[str, ...] = (),
    requests: tuple[str, ...] = (),
    door: str = "grpc",
    spec: ToolSpec | None = None,
) -> PlannedCall:
    call = validated(who, tool_name, arguments, spec=spec, door=door)
    plan = SqlPlan(
        dialect="sqlite",
        connection="shop",
        connection_digest=Digest("0" * 64),
        proposed_sql=None,
        sql_to_run="SELECT 1",
        parameters={},
        claims={},
        rights=Rights(relations=relations, columns=columns, functions=functions, claims=(), requests=requests),
        omitted=(),
        is_fenced=False,
        max_seconds=1.0,
        max_rows=1,
        max_bytes=1,
    )
    return PlannedCall(
        traced=TracedCall(validated=call, origins=dict.fromkeys(call.arguments, Origin.MODEL)), plan=plan
    )


def write_policies(folder: Path, **files: str) -> Path:
    policies = folder / "policies"
    policies.mkdir(exist_ok=True)
    for name, text in files.items():
        (policies / f"{name}.cedar").write_text(text, encoding="utf-8")
    return policies


def policies_of(folder: Path, text: str, tools: Mapping[ToolName, ToolSpec] = SHOP) -> CedarPolicy:
    return load_policies(write_policies(folder, main=text), tools)

"""How do tests get an open log, and calls that end in it? Small and whole; nothing of the service is patched."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import apsw
import pytest

from sandbox.deployment import Deployment
from sandbox.reasons import Reason, Refused
from sandbox.receipts import ExecutionLog, Generation, Receipts, RecordKind
from sandbox.receipts.keys import create_keys
from sandbox.receipts.receipts import Receipt
from sandbox.settings import LimitSettings, LogSettings, Settings, digest_of
from sandbox.stages import (
    AuthenticatedCall,
    AuthorizedCall,
    Cancellation,
    Credential,
    ExecutedCall,
    Explanation,
    Permit,
    PlannedCall,
    Principal,
    ProposedCall,
    ReleasedResult,
    ResultBody,
    ResultColumn,
    Rights,
    SealedResult,
    SqlPlan,
    TracedCall,
    Truncation,
    ValidatedCall,
)
from sandbox.toolspec import Digest, ToolLimits, ToolName, ToolSpec
from sandbox.v1 import record_pb2

TOKEN = "token-1"
ORIGIN = "sandbox.example/test-log"
SPEC_SOURCE = b"spec: tool/v1\nname: shop.query\n"
POLICY_SOURCES = {"policies/a.cedar": b"permit(principal, action, resource);"}
POLICY_DIGEST = digest_of(*(part for name, source in POLICY_SOURCES.items() for part in (name.encode(), source)))
CONFIG_SOURCES = {"sandbox.toml": b"", "connections.toml": b"[shop]\n"}
RIGHTS = Rights(
    relations=("orders",), columns=(("orders", "cents"), ("orders", "region")), functions=("sum",), claims=("region",)
)


def spec_of(name: str = "shop.query", *, effects: Literal["read", "write"] = "read") -> ToolSpec:
    return ToolSpec(
        name=ToolName(name),
        version="1.2.0",
        owner="shop-data@example.com",
        summary="Read the shop's orders.",
        use_when="Figures are needed.",
        kind="sql",
        effects=effects,
        connection="shop",
        input_schema={},
        sql_argument="sql",
        statement=None,
        tables={},
        limits=ToolLimits(),
        examples=(),
        file="shop.query.yaml",
        source=SPEC_SOURCE,
        digest=Digest(hashlib.sha256(SPEC_SOURCE).hexdigest()),
    )


SPEC = spec_of()
WRITING = spec_of(effects="write")


def deployment_at(root: Path) -> Deployment:
    deployment = Deployment(root)
    if not deployment.keys.exists():
        deployment.keys.mkdir(parents=True)
        create_keys(deployment, ORIGIN)
    return deployment


def settings_of(**limits: int) -> Settings:
    return Settings(log=LogSettings(origin=ORIGIN), limits=LimitSettings(**limits))


def verifier_key(deployment: Deployment) -> str:
    return (deployment.keys / "log.vkey").read_text("utf-8").strip()


class House:
    """An open log with one generation enrolled."""

    def __init__(self, deployment: Deployment, settings: Settings) -> None:
        self.deployment = deployment
        self.log = ExecutionLog.open(deployment, settings)
        self.generation = Generation(
            build="0.1.0+test",
            spec_indexes={SPEC.digest: self.log.enroll(RecordKind.SPEC, "toolspecs/shop.query.yaml", SPEC_SOURCE)},
            policy_digest=POLICY_DIGEST,
            policy_indexes=tuple(self.log.enroll(RecordKind.POLICY, n, s) for n, s in POLICY_SOURCES.items()),
            config_digest=digest_of(*CONFIG_SOURCES.values()),
            config_indexes=tuple(self.log.enroll(RecordKind.CONFIG, n, s) for n, s in CONFIG_SOURCES.items()),
            specs={SPEC.name: SPEC},
        )
        self.receipts = Receipts(self.log, self.generation)
        self.vkey = verifier_key(deployment)

    def close(self) -> None:
        self.log.close()

    def answer(self, authenticated: AuthenticatedCall, rows: bytes = b"[[1]]") -> SealedResult:
        """Take a call the whole way to a result."""
        with self.receipts.open(authenticated) as receipt:
            authorized = authorize(authenticated)
            if receipt.is_answered:
                return receipt.sealing.wait()
            receipt.intend(authorized)
            receipt.settle(release(authorized, rows))
        return receipt.sealing.wait()

    def write(
        self, authenticated: AuthenticatedCall, act: Callable[[], object] = lambda: None, rows: bytes = b"[[1]]"
    ) -> SealedResult:
        """Take a call with effects the whole way, its plan handed to `act`."""
        with self.receipts.open(authenticated) as receipt:
            authorized = authorize(authenticated, spec=WRITING)
            if receipt.is_answered:
                return receipt.sealing.wait()
            receipt.intend(authorized)
            authorized.spend()
            act()
            receipt.settle(release(authorized, rows))
        return receipt.sealing.wait()

    def begin(self, authenticated: AuthenticatedCall) -> Receipt:
        """Take a call with effects to its intent, and leave it there."""
        receipt = self.receipts.open(authenticated)
        receipt.__enter__()
        receipt.intend(authorize(authenticated, spec=WRITING))
        return receipt

    def records(self) -> list[record_pb2.Record]:
        """Return what the log holds of calls."""
        found = [record_pb2.Record.FromString(content) for _, _, content in self.log.store.records(0, 10_000)]
        return [record for record in found if record.tool]

    def refuse(self, authenticated: AuthenticatedCall, refused: Refused | None = None) -> SealedResult:
        """Take a call to a refusal."""
        with self.receipts.open(authenticated) as receipt:
            raise refused or Refused(
                Reason.SQL_NOT_READ_ONLY, "statement 1 contains `DELETE`", rule="sql/read-only", construct="DELETE"
            )
        return receipt.sealing.wait()

    def explain(self, authenticated: AuthenticatedCall) -> SealedResult:
        """Take a call to an explanation."""
        with self.receipts.open(authenticated) as receipt:
            receipt.settle(
                Explanation(
                    decision="permit",
                    rule_ids=("allow-all",),
                    sql_to_run="SELECT 1",
                    rights=RIGHTS,
                    row_filters={"orders": "region = claim('region')"},
                )
            )
        return receipt.sealing.wait()


@contextmanager
def open_house(root: Path, **limits: int) -> Iterator[House]:
    house = House(deployment_at(root), settings_of(**limits))
    try:
        yield house
    finally:
        house.close()


def principal_of(subject: str = "ada", token: str = TOKEN, actors: tuple[str, ...] = ("agent-7",)) -> Principal:
    return Principal(
        subject=subject,
        actors=actors,
        roles=frozenset({"analyst"}),
        tools=("shop.*",),
        claims={"region": "EU"},
        token_id=token,
        token_digest=hashlib.sha256(token.encode()).digest(),
        certificate_digest=hashlib.sha256(b"certificate").digest(),
        expires_at=2_000_000_000,
    )


def call_of(
    arguments: bytes = b'{"sql":"SELECT 1"}',
    *,
    tool: str = "shop.query",
    principal: Principal | None = None,
    request_id: str = "",
    validate_only: bool = False,
) -> AuthenticatedCall:
    proposed = ProposedCall(
        door="grpc",
        credential=Credential("", ""),
        tool=tool,
        arguments_json=arguments,
        request_id=request_id,
        validate_only=validate_only,
        cancellation=Cancellation(),
        received_at=time.monotonic(),
    )
    return AuthenticatedCall(proposed=proposed, principal=principal or principal_of())


def authorize(
    authenticated: AuthenticatedCall, *, proposed_sql: str | None = "SELECT 1", spec: ToolSpec = SPEC
) -> AuthorizedCall:
    validated = ValidatedCall(authenticated=authenticated, spec=spec, arguments={"sql": "SELECT 1"})
    plan = SqlPlan(
        dialect="sqlite",
        connection="shop",
        connection_digest=Digest("00" * 32),
        proposed_sql=proposed_sql,
        sql_to_run="SELECT 1",
        parameters={},
        claims={},
        rights=RIGHTS,
        omitted=(),
        is_fenced=False,
        max_seconds=1.0,
        max_rows=10,
        max_bytes=1000,
    )
    planned = PlannedCall(traced=TracedCall(validated=validated, origins={}), plan=plan)
    permit = Permit(policy_digest=POLICY_DIGEST, rule_ids=("allow-all",))
    return AuthorizedCall(planned=planned, permit=permit)


def release(authorized: AuthorizedCall, rows: bytes = b"[[1]]") -> ReleasedResult:
    executed = ExecutedCall(
        authorized=authorized,
        columns=(),
        rows=(),
        truncation=Truncation.NONE,
        lease_digest=hashlib.sha256(b"lease").digest(),
        execute_us=12,
    )
    body = ResultBody(
        columns=(ResultColumn("one", "integer", ""),),
        rows_json=rows,
        row_count=1,
        truncation=Truncation.NONE,
        omitted=(),
    )
    return ReleasedResult(executed=executed, body=body)


def unavailable(act: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as caught:
        act()
    assert caught.value.reason is Reason.RECEIPT_LOG_UNAVAILABLE
    return caught.value


@contextmanager
def full_disk(house: House) -> Iterator[None]:
    """Let the log's file grow no more."""
    connection: apsw.Connection = house.log.store._writer  # type: ignore[attr-defined]
    pages = connection.pragma("page_count")
    connection.pragma("max_page_count", pages)
    yield
    connection.pragma("max_page_count", 2**30)


def change(house: House, statement: str) -> None:
    """Change the log's file as whoever holds the host can, beside the service."""
    connection = apsw.Connection(str(house.deployment.log_database))
    connection.execute(statement)
    connection.close()

"""What has been proven about a call so far? Nine frozen types, each holding the one before it.

A stage exists only if its check passed. Where each may be built is kept by `tests/architecture/test_minting.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Literal, NewType, Protocol, final

from msgspec import Struct, field

from sandbox.reasons import Fault, Refused
from sandbox.toolspec import Digest, HttpMethod, HttpResponse, SqlEngine, ToolSpec
from sandbox.values import Cell, JsonObject, Row

CallId = NewType("CallId", str)
"""UUIDv7 as text, minted when the receipt is opened."""


class Action(StrEnum):
    """What can be asked of the service. Each is a Cedar action; the names are those of the RPCs."""

    LIST_TOOLS = "ListTools"
    GET_TOOL = "GetTool"
    EXECUTE = "Execute"
    EXPLAIN = "Explain"
    GET_CALL = "GetCall"
    CANCEL_CALL = "CancelCall"
    GET_CHECKPOINT = "GetCheckpoint"
    LIST_RECORDS = "ListRecords"
    GET_RECEIPT = "GetReceipt"
    GET_CONSISTENCY_PROOF = "GetConsistencyProof"
    READ_PAYLOAD = "ReadPayload"
    CHECK_HEALTH = "CheckHealth"
    REFLECT = "Reflect"


class Moment:
    """Something that happens once, and tells whoever wants to be told, from any thread."""

    __slots__ = ("_callbacks", "has_come")

    def __init__(self) -> None:
        """Begin before it."""
        self.has_come = False
        self._callbacks: list[Callable[[], None]] = []

    def come(self) -> None:
        """Happen: every callback is called once. They must return at once."""
        self.has_come = True
        self._call_back()

    def on_coming(self, callback: Callable[[], None]) -> None:
        """Call `callback` once when it happens, at once if it has."""
        self._callbacks.append(callback)
        if self.has_come:
            self._call_back()

    def forget(self, callback: Callable[[], None]) -> None:
        """Take a callback back; one that has been called, or is being called, is not there any more."""
        if callback in self._callbacks:
            with contextlib.suppress(ValueError):
                self._callbacks.remove(callback)

    def _call_back(self) -> None:
        # WHY: no lock. Whoever appends looks at the flag afterwards, whoever sets it looks at the list afterwards, and
        # each callback is popped by one thread only.
        while self._callbacks:
            try:
                callback = self._callbacks.pop()
            except IndexError:
                return
            callback()


@final
class Cancellation(Moment):
    """Tells a running call to stop, from any thread. Signals only: callbacks must return at once."""

    __slots__ = ("deadline",)

    def __init__(self, deadline: float | None = None) -> None:
        """Make one for a call that must end at `deadline` (`time.monotonic()` seconds), if it has one."""
        super().__init__()
        self.deadline = deadline

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody has asked the call to stop."""
        return self.has_come

    cancel = Moment.come
    on_cancel = Moment.on_coming


@final
class Credential(Struct, frozen=True):
    """What a peer presented, unproven."""

    certificate_pem: bytes
    """The TLS peer's certificate, already verified against our CA by the TLS layer; empty if there was none."""
    token: str
    """The JWT of `authorization: Bearer …`; empty if there was none."""


@final
class Binding(StrEnum):
    """What ties a token to whoever presents it."""

    CERTIFICATE = "certificate"
    """The private key of the client certificate that it names."""
    BEARER = "bearer"
    """Nothing: whoever holds it may use it."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """Who asks, proven on this very request."""

    subject: str
    """The token's `sub`."""
    actors: tuple[str, ...]
    """The `act` chain (RFC 8693, section 4.1), the nearest actor first."""
    roles: frozenset[str]
    tools: tuple[str, ...]
    """Patterns of tool names in scope, such as `shop.*`."""
    claims: JsonObject
    """The token's other claims, for row filters and policies."""
    token_id: str
    """The token's `jti`."""
    token_digest: bytes
    certificate_digest: bytes
    """Of the client certificate that the token is bound to; empty of a bearer token, which is bound to none."""
    expires_at: int
    """Seconds since 1970 UTC."""

    @property
    def binding(self) -> Binding:
        """What ties the token to its holder."""
        return Binding.CERTIFICATE if self.certificate_digest else Binding.BEARER


@final
class ProposedCall(Struct, frozen=True, kw_only=True):
    """Bytes a model produced. Nothing is proven."""

    door: str
    credential: Credential
    tool: str
    arguments_json: bytes
    request_id: str
    validate_only: bool
    cancellation: Cancellation
    received_at: float
    """`time.monotonic()` seconds."""


@final
class AuthenticatedCall(Struct, frozen=True, kw_only=True):
    """A live credential names a principal."""

    proposed: ProposedCall
    principal: Principal


@final
class ValidatedCall(Struct, frozen=True, kw_only=True):
    """The tool exists in the caller's scope and the arguments fit its spec. Says nothing about permission."""

    authenticated: AuthenticatedCall
    spec: ToolSpec
    arguments: JsonObject


class Origin(StrEnum):
    """Where a value came from."""

    MODEL = "model"


@final
class TracedCall(Struct, frozen=True, kw_only=True):
    """The origin of every argument is known."""

    validated: ValidatedCall
    origins: Mapping[str, Origin]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a statement or request needs, no more. All sorted."""

    relations: tuple[str, ...]
    columns: tuple[tuple[str, str], ...]
    """(table, column) pairs, in every use: output, filter, join, order, group."""
    functions: tuple[str, ...]
    claims: tuple[str, ...]
    """Claims read by row filters."""
    requests: tuple[str, ...] = ()
    """Method and URL, arguments by their names: `GET https://crm.example.com/v1/customers/{customer_id}`."""


@final
@dataclass(frozen=True, slots=True)
class OmittedColumns:
    """How many columns of a table `*` did not expand to."""

    relation: str
    count: int


@final
class SqlPlan(Struct, frozen=True, kw_only=True):
    """The exact statement that would run, proven to need no more than `rights`."""

    dialect: SqlEngine
    connection: str
    connection_digest: Digest
    login: str = ""
    """The target's role that runs it, where it has roles; it may read what the tool may show and nothing else."""
    proposed_sql: str | None
    """The model's text; None for an author-written statement."""
    sql_to_run: str
    parameters: Mapping[str, Cell]
    claims: JsonObject
    """The values of `rights.claims`, no others."""
    rights: Rights
    omitted: tuple[OmittedColumns, ...]
    is_fenced: bool
    """Row filters must be evaluated before anything of the statement, because the statement can raise."""
    max_seconds: float
    max_rows: int
    max_bytes: int


@final
class HttpPlan(Struct, frozen=True, kw_only=True):
    """The exact request that would be sent, but for the connection's secret."""

    connection: str
    method: HttpMethod
    origin: str
    target: str
    """Path and query as they are sent."""
    headers: tuple[tuple[str, str], ...]
    """All that are sent, but for the one that carries the secret."""
    secret_header: str
    """The name of that one; empty if there is none."""
    scopes: tuple[str, ...] = ()
    """Of the access token in it, sorted; empty where it carries a standing secret."""
    body: bytes | None
    response: HttpResponse
    has_effects: bool
    is_idempotent: bool
    rights: Rights
    max_seconds: float
    max_rows: int
    max_bytes: int
    max_response_bytes: int
    omitted: tuple[OmittedColumns, ...] = ()

    @property
    def request_to_send(self) -> str:
        """The request for a reader: method and URL, headers, body; in the place of the secret, that there is one."""
        lines = [f"{self.method} {self.origin}{self.target}", *(f"{name}: {value}" for name, value in self.headers)]
        if self.secret_header:
            kind = f"an access token for {' '.join(self.scopes)}" if self.scopes else "the connection's secret"
            lines.append(f"{self.secret_header}: ({kind})")
        return "\n".join(lines) + ("" if self.body is None else f"\n\n{self.body.decode('utf-8')}")


Plan = SqlPlan | HttpPlan
"""What would run: a closed union, matched with `assert_never`."""


@final
class PlannedCall(Struct, frozen=True, kw_only=True):
    """The exact statement or request, its rights, its bounds. Nothing of the call has left the process."""

    traced: TracedCall
    plan: Plan


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Permit:
    """Policy allows this very plan."""

    word: ClassVar[Literal["permit"]] = "permit"
    policy_digest: Digest
    rule_ids: tuple[str, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Deny:
    """Policy does not allow it. `rule_ids` is empty where nothing permitted it."""

    word: ClassVar[Literal["deny"]] = "deny"
    policy_digest: Digest
    rule_ids: tuple[str, ...]


Decision = Permit | Deny
"""The policy's answer: a closed union, matched with `assert_never`."""


@final
class AuthorizedCall(Struct, frozen=True, kw_only=True):
    """A permit for that very plan from a named policy version. Spendable once."""

    planned: PlannedCall
    permit: Permit
    _spent: list[bool] = field(default_factory=list)

    def spend(self) -> Plan:
        """Hand over the plan to run; a second time is a fault, whoever asks."""
        self._spent.append(True)
        if len(self._spent) > 1:
            raise Fault("an authorized call was spent twice")
        return self.planned.plan

    @property
    def is_spent(self) -> bool:
        """Whether the plan was handed over; nothing can have run before."""
        return bool(self._spent)


class Lease(Protocol):
    """The least credential that does it, for the length of one call."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of the lease's public facts, for the record."""
        ...

    @property
    def scope(self) -> str:
        """What it opens, in a word or two."""
        ...

    @property
    def expires_at(self) -> float | None:
        """When its target ends it at the latest, in seconds since 1970 UTC.

        None of a standing one, which nothing ends with the call; what confines it is what it was granted.
        """
        ...


@final
@dataclass(frozen=True, slots=True)
class ResultColumn:
    """A column of a result."""

    name: str
    type: str
    """`integer`, `real`, `boolean`, `text`, `blob`, `null` or `any`."""
    declared_type: str


class Truncation(StrEnum):
    """Which limit cut the result."""

    NONE = ""
    ROWS = "rows"
    BYTES = "bytes"


@final
class ExecutedCall(Struct, frozen=True, kw_only=True):
    """What ran and what came back, within bounds."""

    authorized: AuthorizedCall
    columns: tuple[ResultColumn, ...]
    rows: tuple[Row, ...]
    truncation: Truncation
    lease_digest: bytes
    lease_expires_at: float | None = None
    """As the lease says it."""
    execute_us: int


@final
class ResultBody(Struct, frozen=True, kw_only=True):
    """A result as it goes back to the caller."""

    columns: tuple[ResultColumn, ...]
    rows_json: bytes
    """A JSON array of arrays; how a cell is encoded: docs/contract.md."""
    row_count: int
    truncation: Truncation
    omitted: tuple[OmittedColumns, ...]


@final
class ReleasedResult(Struct, frozen=True, kw_only=True):
    """What may go back: encoded and capped, with everything left out stated in typed fields."""

    executed: ExecutedCall
    body: ResultBody


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a call would do. Nothing ran."""

    decision: Literal["permit", "deny"]
    rule_ids: tuple[str, ...]
    """Of the policies that decided."""
    sql_to_run: str
    rights: Rights
    row_filters: Mapping[str, str]
    request_to_send: str = ""
    """Of an HTTP tool; `sql_to_run` is empty then."""


@final
@dataclass(frozen=True, slots=True)
class StillRunning:
    """The call is still being worked on, or it had begun and how it ended is not on record."""

    retry_after_s: float
    is_unrecorded: bool = False
    """Whether nobody works on it any more, as far as this process knows."""


Answer = ResultBody | Refused | StillRunning | Explanation
"""How a call ends for its caller: a closed union, matched with `assert_never`."""


@final
class SealedResult(Struct, frozen=True, kw_only=True):
    """The answer and its receipt: signed, at a place in the log."""

    call_id: CallId
    tool: str
    answer: Answer
    receipt: bytes
    """A C2SP tlog-proof; empty only for `StillRunning`."""

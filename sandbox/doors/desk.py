"""What does a door need from the house? The Protocols that its services are written against."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from sandbox.pipeline import Pipeline
from sandbox.stages import Action, Credential, Principal, SealedResult
from sandbox.toolspec import ToolName, ToolSpec


class Guests(Protocol):
    """Who asks, for the RPCs that are no calls."""

    def greet(self, token: str, *, has_certificate: bool = True) -> str:
        """Return whose token it is; raise `Refused` unless it holds now. Says nothing of who presents it."""
        ...

    def principal(self, credential: Credential) -> Principal:
        """Prove the caller; raise `Refused` for strangers."""
        ...


class Rules(Protocol):
    """Who may use which RPC."""

    def permit_principal(self, principal: Principal, action: Action, tool: str = "") -> None:
        """Raise `Refused` with `POLICY_DENIED` unless the principal may do `action` (to `tool`)."""
        ...

    def permit_result(self, principal: Principal, tool: str) -> None:
        """Raise `Refused` with `POLICY_DENIED` unless the principal may execute `tool` now, whatever the call."""
        ...

    def may(self, principal: Principal, action: Action, tool: str = "") -> bool:
        """Whether `permit_principal` would let it pass."""
        ...


class Tools(Protocol):
    """The tools of one generation."""

    def visible(self, principal: Principal) -> Mapping[ToolName, ToolSpec]:
        """The tools within the principal's scope, in name order."""
        ...

    def find(self, principal: Principal, name: str) -> ToolSpec:
        """One tool in scope; raise `Refused` with `TOOL_UNKNOWN` for any other name."""
        ...

    def input_schema_json(self, spec: ToolSpec) -> str:
        """The JSON Schema of the tool's arguments."""
        ...

    def output_schema_json(self, spec: ToolSpec) -> str:
        """The JSON Schema of the tool's result."""
        ...


class Calls(Protocol):
    """The caller's own calls, running and answered."""

    def find(self, principal: Principal, *, call_id: str = "", request_id: str = "") -> SealedResult:
        """The answer so far; raise `Refused` with `CALL_UNKNOWN` for any but the principal's own."""
        ...

    def cancel(self, principal: Principal, *, call_id: str = "", request_id: str = "") -> bool:
        """Tell a running call to stop; whether there was one. Raises like `find`."""
        ...


class Logged(Protocol):
    """One record and its place."""

    @property
    def index(self) -> int:
        """Leaf index, from 0."""
        ...

    @property
    def record(self) -> bytes:
        """The bytes as first written."""
        ...


class Log(Protocol):
    """The signed log, for reading."""

    def checkpoint(self) -> bytes:
        """The newest checkpoint."""
        ...

    def list_records(self, *, start: int, limit: int, tool: str, kind: int) -> tuple[Sequence[Logged], int | None]:
        """A page of records and the index the next page starts at, if there is one."""
        ...

    def receipt(self, principal: Principal, call_id: str, *, own_only: bool, of_intent: bool) -> bytes:
        """The receipt of a call's last record, or of its intent; `own_only` limits it to the principal's own calls."""
        ...

    def consistency_proof(self, first_size: int, second_size: int) -> tuple[list[bytes], bytes]:
        """The proof and the checkpoint of the larger tree (0: the newest)."""
        ...

    def read_payload(self, principal: Principal, call_id: str, role: str) -> tuple[bytes, bytes]:
        """One payload and the receipt of the access record that the reading left."""
        ...


class Desk(Protocol):
    """Everything the door asks of the house. Properties change at a reload; read each once a request."""

    @property
    def pipeline(self) -> Pipeline:
        """The way of a call, of the current generation."""
        ...

    @property
    def guests(self) -> Guests:
        """Who asks."""
        ...

    @property
    def rules(self) -> Rules:
        """Who may, of the current generation."""
        ...

    @property
    def tools(self) -> Tools:
        """What there is, of the current generation."""
        ...

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call back, from any thread, when there is another generation."""
        ...

    @property
    def calls(self) -> Calls:
        """What ran."""
        ...

    @property
    def log(self) -> Log:
        """What is signed."""
        ...

"""What exactly would run? Plans are made from cached facts; the engine's own file then runs them.

The one exception: a tool whose tables are gone looks for them, once a second, as the dsn's own login and with nothing
of the call.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Final, assert_never, final

from sandbox.deployment import Misconfigured
from sandbox.executors.drafts import Drafts, anew
from sandbox.executors.duckdb import DuckdbExecutor
from sandbox.executors.engine import Engine, Fetched, NotSetUp, PlanStale
from sandbox.executors.http import HttpTools
from sandbox.executors.mysql import MysqlExecutor
from sandbox.executors.postgres import PostgresExecutor
from sandbox.executors.ready import ReadyTool, plan_of
from sandbox.executors.sqlite import SqliteExecutor
from sandbox.leases import Leases
from sandbox.reasons import ASK_LATER, Reason, Refused, quoted
from sandbox.settings import Settings
from sandbox.sql import Catalogue
from sandbox.stages import (
    AuthorizedCall,
    Cancellation,
    ExecutedCall,
    HttpPlan,
    Lease,
    PlannedCall,
    Principal,
    SqlPlan,
    TracedCall,
)
from sandbox.telemetry.events import warn_often
from sandbox.toolspec import Connection, ToolName, ToolSpec
from sandbox.values import JsonObject

EXECUTORS: Final[Mapping[str, Engine]] = MappingProxyType(
    {"sqlite": SqliteExecutor, "postgres": PostgresExecutor, "mysql": MysqlExecutor, "duckdb": DuckdbExecutor}
)
"""Every executor of SQL there is, by the engine's name in `connections.toml`; `HttpTools` runs the tools of HTTP."""

REFRESH_S: Final = 1.0
"""Within which a catalogue is read again, for a call waits for it; and how long another call waits for its turn."""

RETRY_S: Final = 1.0
"""How often a tool whose tables are gone looks for them."""


def read_catalogue(connection: Connection) -> Catalogue:
    """Read what a connection's target has, for lint; raises `Refused` with `EXECUTOR_UNAVAILABLE`."""
    if connection.engine not in EXECUTORS:
        raise Misconfigured(f"a connection of engine {quoted(connection.engine)} has no tables")
    executor = EXECUTORS[connection.engine](connection)
    try:
        return executor.read_catalogue()
    finally:
        executor.close()


@final
class Executors:
    """The tools of one generation, ready to be planned and run."""

    def __init__(  # noqa: PLR0913 - one parameter a neighbour
        self,
        connections: Mapping[str, Connection],
        specs: Mapping[ToolName, ToolSpec],
        settings: Settings,
        spend_cold_parse: Callable[[Principal], None],
        leases: Leases,
        *,
        workers: int = 1,
    ) -> None:
        """Read the catalogues, and prove the authors' statements and filters.

        `workers` processes do so alike, and share what a server is asked for at once.
        Raises `Misconfigured` for a spec that its target cannot keep.
        """
        self._bounds = settings.sql
        self._leases = leases
        self._specs = {name: spec for name, spec in specs.items() if spec.kind == "sql"}
        self._http = HttpTools(connections, [spec for spec in specs.values() if spec.kind == "http"])
        reached = sorted({spec.connection for spec in self._specs.values()})
        self._connections = {name: connections[name] for name in reached}
        self._executors = {name: EXECUTORS[c.engine](c, workers) for name, c in self._connections.items()}
        self._drafts = Drafts(settings.sql, spend_cold_parse)
        self._refreshing = threading.Lock()
        self._retry_at: dict[ToolName, float] = {}
        self._catalogues: dict[str, Catalogue] = {}
        self._loaded: dict[str, Catalogue] = {}
        self._ready: dict[ToolName, ReadyTool | Refused] = {}
        try:
            for name, connection in self._connections.items():
                self._catalogues[name] = self._loaded[name] = self._first_catalogue(connection)
            for spec in self._specs.values():
                self._ready[spec.name] = self._first_ready(spec)
        except BaseException:
            self.close()
            raise

    @property
    def ready(self) -> Mapping[ToolName, ReadyTool]:
        """The tools of SQL as they were made ready, without those whose tables are gone."""
        return {name: tool for name, tool in self._ready.items() if isinstance(tool, ReadyTool)}

    def rehearse(self) -> Mapping[ToolName, str]:
        """Confine each tool once on its target; returns those that cannot be, each with a sentence that says why."""
        unfit: dict[ToolName, str] = {}
        for name, tool in self.ready.items():
            try:
                lease = self._leases.lend(tool.connection.name, tool.login)
                self._executors[tool.connection.name].rehearse(tool.confinement, lease)
            except (Refused, PlanStale) as error:
                unfit[name] = str(error)
        return unfit

    def catalogue(self, connection_name: str) -> Catalogue:
        """Return what the gate believes the target to have."""
        return self._catalogues[connection_name]

    def plan(self, traced: TracedCall) -> PlannedCall:
        """Make the exact statement or request and the rights it needs; raises `Refused`."""
        validated = traced.validated
        if validated.spec.kind == "http":
            return PlannedCall(traced=traced, plan=self._http.plan(validated.spec.name, validated.arguments))
        ready = self._ready_tool(validated.spec.name, validated.authenticated.proposed.cancellation)
        principal = validated.authenticated.principal
        draft = ready.statement
        if draft is None:
            text = str(validated.arguments[validated.spec.sql_argument or ""])
            draft = self._drafts.of(ready, text, principal)
        return PlannedCall(traced=traced, plan=plan_of(draft, validated.arguments, principal.claims))

    def plan_sql(self, spec: ToolSpec, text: str, claims: JsonObject) -> SqlPlan:
        """Take a text through the gate for `sandbox sql check`: nobody is charged, nothing runs."""
        return plan_of(self._drafts.of(self._ready_tool(spec.name, Cancellation()), text, None), {}, claims)

    def execute(self, authorized: AuthorizedCall, lease: Lease) -> ExecutedCall:
        """Spend the permit and run the plan with the lease, within its bounds; raises `Refused`."""
        begun = time.perf_counter_ns()
        plan = authorized.spend()
        validated = authorized.planned.traced.validated
        cancellation = validated.authenticated.proposed.cancellation
        match plan:
            case SqlPlan():
                fetched = self._run_sql(plan, validated.spec.name, lease, cancellation)
            case HttpPlan():
                fetched = self._http.run(plan, lease, cancellation)
            case _:
                assert_never(plan)
        return ExecutedCall(
            authorized=authorized,
            columns=fetched.columns,
            rows=fetched.rows,
            truncation=fetched.truncation,
            lease_digest=lease.digest,
            lease_expires_at=lease.expires_at,
            execute_us=(time.perf_counter_ns() - begun) // 1000,
        )

    def refresh(self, connection_name: str, seconds: float = REFRESH_S) -> bool:
        """Read the target's catalogue again and make its tools ready anew; whether anything had changed.

        Waits so many seconds for whoever does that already, and as long for the target; raises `Refused`. A tool that
        no longer fits is refused with `EXECUTOR_UNAVAILABLE` until its spec is linted and loaded again.
        """
        with self._looking(connection_name, seconds):
            catalogue = self._catalogue_now(connection_name, seconds)
            if catalogue.fingerprint == self._catalogues[connection_name].fingerprint:
                return False
            self._catalogues[connection_name] = catalogue
            self._executors[connection_name].forget()
            for spec in self._specs.values():
                if spec.connection == connection_name:
                    self._ready[spec.name] = self._ready_or_not(spec)
            return True

    def close(self) -> None:
        """Let go of every target; calls under way end first."""
        for executor in self._executors.values():
            executor.close()

    @contextmanager
    def _looking(self, connection_name: str, seconds: float) -> Iterator[None]:
        """Be the one who looks at a target; raises `Refused` where another does for longer than `seconds`."""
        if not self._refreshing.acquire(timeout=seconds):
            raise _unreadable(connection_name)
        try:
            yield
        finally:
            self._refreshing.release()

    def _run_sql(self, plan: SqlPlan, tool: ToolName, lease: Lease, cancellation: Cancellation) -> Fetched:
        ready = self._ready_tool(tool, cancellation)
        try:
            return self._executors[plan.connection].run(plan, ready.confinement, lease, cancellation)
        except PlanStale as stale:
            raise self._disagreement(plan, ready, lease, cancellation) from stale
        except NotSetUp as refused:
            raise _for_caller(plan.connection, refused) from refused

    def _ready_tool(self, name: ToolName, cancellation: Cancellation) -> ReadyTool:
        ready = self._ready[name]
        if isinstance(ready, Refused):
            ready = self._retried(name, ready, cancellation)
        return ready

    def _retried(self, name: ToolName, refused: Refused, cancellation: Cancellation) -> ReadyTool:
        """Look, once a second for each tool, whether its tables are back."""
        now = time.monotonic()
        if now < self._retry_at.get(name, now):
            raise anew(refused)
        self._retry_at[name] = now + RETRY_S
        self.refresh(self._specs[name].connection, _patience(cancellation))
        ready = self._ready[name]
        if isinstance(ready, Refused):
            raise anew(ready)
        return ready

    def _disagreement(self, plan: SqlPlan, ready: ReadyTool, lease: Lease, cancellation: Cancellation) -> Refused:
        """Say why a proven plan was not taken: the target has changed, or the engine reads the text differently."""
        if self.refresh(plan.connection, _patience(cancellation)):
            message = "the database's tables changed while the tool was in use; the same call may succeed now"
            return Refused(Reason.EXECUTOR_UNAVAILABLE, message, retry_after_s=1.0)
        unfit = self._unfit(ready, lease, cancellation) if plan.login else None
        if unfit is not None:
            return unfit
        message = "the engine does not agree that the statement reads only what the tool allows; a plainer one may pass"
        return Refused(Reason.SQL_OBJECT_FORBIDDEN, message, rule="sql/engine-disagrees")

    def _unfit(self, ready: ReadyTool, lease: Lease, cancellation: Cancellation) -> Refused | None:
        """Return the refusal of a tool whose login no longer has what the set-up script gave it; None if it has."""
        name = ready.connection.name
        try:
            self._executors[name].rehearse(ready.confinement, lease, _patience(cancellation))
        except Refused as refused:
            return _for_caller(name, refused)
        return None

    def _catalogue_now(self, connection_name: str, seconds: float) -> Catalogue:
        # INVARIANT: the caller learns neither where a dsn lies nor what is wrong with it.
        try:
            return self._executors[connection_name].read_catalogue(seconds)
        except Refused as refused:
            warn_often("catalogue not read", connection_name, causes=refused.message)
            raise _unreadable(connection_name) from refused

    def _first_catalogue(self, connection: Connection) -> Catalogue:
        try:
            return self._executors[connection.name].read_catalogue()
        except Refused as refused:
            raise Misconfigured(f"connections.toml: [{connection.name}] {refused.message}") from refused

    def _first_ready(self, spec: ToolSpec) -> ReadyTool:
        try:
            return self._make_ready(spec)
        except Refused as error:
            raise Misconfigured(f"toolspecs/{spec.file}: {error}") from error

    def _ready_or_not(self, spec: ToolSpec) -> ReadyTool | Refused:
        try:
            return _of_the_same_kinds(self._make_ready(spec), self._loaded[spec.connection])
        except Refused as error:
            message = f"the tables of {quoted(spec.name)} have changed; tell its operator, who lints and loads it again"
            refused = Refused(Reason.EXECUTOR_UNAVAILABLE, message)
            refused.__cause__ = error
            return refused

    def _make_ready(self, spec: ToolSpec) -> ReadyTool:
        catalogue = self._catalogues[spec.connection]
        return ReadyTool.of(spec, self._connections[spec.connection], catalogue, self._bounds)


def _patience(cancellation: Cancellation) -> float:
    """Return for how many seconds a call may look at its target: no longer than until its own deadline."""
    if cancellation.deadline is None:
        return REFRESH_S
    return min(REFRESH_S, max(0.0, cancellation.deadline - time.monotonic()))


def _unreadable(connection_name: str) -> Refused:
    name = quoted(connection_name)
    message = f"the tables of connection {name} cannot be looked at now; {ASK_LATER}"
    return Refused(Reason.EXECUTOR_UNAVAILABLE, message, retry_after_s=RETRY_S)


def _for_caller(connection_name: str, refused: Refused) -> Refused:
    """Return a refusal as a model can act on it: what mends a set-up is told to operators, in an event."""
    if not isinstance(refused, NotSetUp):
        return refused
    warn_often("set-up not whole", connection_name, causes=refused.message)
    return Refused(refused.reason, f"{refused.what}; {ASK_LATER}")


def _of_the_same_kinds(ready: ReadyTool, loaded: Catalogue) -> ReadyTool:
    """Return the tool unless a table it was linted for has become a view, or a view a table; raises `Refused`."""
    for name in ready.confinement.tables:
        was, now = loaded.tables.get(name), ready.catalogue.tables[name]
        if was is None or was.kind != now.kind:
            raise Refused(Reason.EXECUTOR_UNAVAILABLE, f"{quoted(now.name)} has become a {now.kind}")
    return ready

"""What exactly would run? Plans are made from cached facts; the engine's file then runs them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final, Protocol, final

from sandbox.executors.claims import ClaimUse, claim_values, filter_claims
from sandbox.executors.sqlite import SqliteExecutor
from sandbox.executors.sqlite_catalogue import read_catalogue
from sandbox.leases import FileLease
from sandbox.pipeline import Lease
from sandbox.reasons import Fault, Refused
from sandbox.settings import Settings
from sandbox.sql import Bounds, Catalogue, GateInput, Proven, prove
from sandbox.stages import AuthorizedCall, ExecutedCall, PlannedCall, Principal, Rights, SqlPlan, TracedCall
from sandbox.toolspec import Connection, Digest, TableRule, ToolName, ToolSpec
from sandbox.values import Cell, JsonObject


class Engine(Protocol):
    """Runs plans on one kind of target."""

    def execute(
        self, authorized: AuthorizedCall, spec: ToolSpec, tables: dict[str, TableRule], lease: FileLease
    ) -> ExecutedCall:
        """Spend the permit and run the plan."""
        ...

    def close(self) -> None:
        """Let go of the target."""
        ...


ENGINES: Final[Mapping[str, type[Engine]]] = MappingProxyType({"sqlite": SqliteExecutor})
"""Every engine there is, by the name `connections.toml` uses."""


@final
@dataclass(frozen=True, slots=True)
class _Ready:
    """Everything about one tool that its plans are made from."""

    spec: ToolSpec
    connection: Connection
    catalogue: Catalogue
    tables: dict[str, TableRule]
    claims: Mapping[str, tuple[ClaimUse, ...]]
    """By table, what its row filter reads."""
    statement: Proven | None
    """An author-written statement, proven at load."""


@final
class Executors:
    """The tools of one generation, ready to be planned and run."""

    def __init__(
        self,
        connections: Mapping[str, Connection],
        tools: Mapping[ToolName, ToolSpec],
        settings: Settings,
        spend_cold_parse: Callable[[Principal], None],
    ) -> None:
        """Read the catalogues and prove the authors' statements; raises `Refused` if one does not hold."""
        self._bounds = Bounds(settings.sql.max_bytes, settings.sql.max_tokens, settings.sql.max_depth)
        self._spend_cold_parse = spend_cold_parse
        self._engines = {name: ENGINES[connection.engine]() for name, connection in connections.items()}
        catalogues = {name: read_catalogue(connections[name]) for name in {spec.connection for spec in tools.values()}}
        self._ready = {
            name: self._make_ready(spec, connections[spec.connection], catalogues[spec.connection])
            for name, spec in tools.items()
        }
        self._plans = PlanCache(settings.sql.plan_cache)

    def plan(self, traced: TracedCall) -> PlannedCall:
        """Make the exact statement and the rights it needs; raises `Refused`."""
        validated = traced.validated
        ready = self._ready[validated.spec.name]
        principal = validated.authenticated.principal
        if ready.statement is not None:
            parameters = {name: _bindable(validated.arguments.get(name)) for name in ready.statement.parameters}
            plan = _plan(ready, ready.statement, None, parameters, principal.claims)
        else:
            text = str(validated.arguments[validated.spec.sql_argument or ""])
            proven = self._proven(ready, text, principal)
            plan = _plan(ready, proven, text, {}, principal.claims)
        return PlannedCall(traced=traced, plan=plan)

    def plan_sql(self, spec: ToolSpec, text: str, claims: JsonObject) -> SqlPlan:
        """Take a text through the gate for `sandbox sql check`: nobody is charged, nothing runs."""
        ready = self._ready[spec.name]
        return _plan(ready, self._proven(ready, text, None), text, {}, claims)

    def execute(self, authorized: AuthorizedCall, lease: Lease) -> ExecutedCall:
        """Run the plan with the lease; raises `Refused`."""
        ready = self._ready[authorized.planned.traced.validated.spec.name]
        if not isinstance(lease, FileLease):
            raise Fault("executors: a lease of another kind than the engine's")
        return self._engines[ready.connection.name].execute(authorized, ready.spec, ready.tables, lease)

    def close(self) -> None:
        """Let go of every target."""
        for engine in self._engines.values():
            engine.close()

    def _make_ready(self, spec: ToolSpec, connection: Connection, catalogue: Catalogue) -> _Ready:
        tables = dict(spec.tables) or ceiling_rules(connection, catalogue)
        ready = _Ready(spec, connection, catalogue, tables, filter_claims(tables, catalogue), None)
        if spec.statement is None:
            return ready
        properties = spec.input_schema.get("properties")
        names = frozenset(properties) if isinstance(properties, Mapping) else frozenset()
        statement = prove(self._question(ready, spec.statement, names, may_claim=True))
        if not spec.tables:  # without `allow:`, the session shows what the statement reads and no more
            tables = {table: _narrowed(ready.tables[table], statement.rights) for table in statement.rights.relations}
        return replace(ready, tables=tables, statement=statement)

    def _proven(self, ready: _Ready, text: str, principal: Principal | None) -> Proven:
        key = (text, ready.spec.digest, ready.connection.digest, ready.catalogue.fingerprint)
        known = self._plans.get(key)
        if known is None:
            if principal is not None:
                self._spend_cold_parse(principal)
            try:
                known = prove(self._question(ready, text, frozenset(), may_claim=False))
            except Refused as refused:
                known = refused
            self._plans.put(key, known)
        if isinstance(known, Refused):
            raise _again(known)
        return known

    def _question(self, ready: _Ready, text: str, parameters: frozenset[str], *, may_claim: bool) -> GateInput:
        return GateInput(
            dialect=ready.connection.engine,
            text=text,
            catalogue=ready.catalogue,
            tables=ready.tables,
            parameters=parameters,
            may_claim=may_claim,
            bounds=self._bounds,
        )


_PlanKey = tuple[str, Digest, Digest, Digest]


@final
class PlanCache:
    """Proven and refused texts, the least recently used forgotten first."""

    def __init__(self, size: int) -> None:
        """Hold at most `size`."""
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[_PlanKey, Proven | Refused] = OrderedDict()

    def get(self, key: _PlanKey) -> Proven | Refused | None:
        """Return what is known of a text."""
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
            return known

    def put(self, key: _PlanKey, known: Proven | Refused) -> None:
        """Remember a text."""
        with self._lock:
            self._known[key] = known
            while len(self._known) > self._size:
                self._known.popitem(last=False)


def ceiling_rules(connection: Connection, catalogue: Catalogue) -> dict[str, TableRule]:
    """Return rules for every column of every table within the connection's ceiling."""
    return {
        shape.name: TableRule(table=shape.name, columns=tuple(c.name for c in shape.columns), masks={})
        for shape in catalogue.tables.values()
        if connection.ceiling_tables is None or shape.name in connection.ceiling_tables
    }


def _narrowed(rule: TableRule, rights: Rights) -> TableRule:
    columns = tuple(column for table, column in rights.columns if table == rule.table)
    return replace(rule, columns=columns) if columns else rule


def _plan(
    ready: _Ready, proven: Proven, proposed: str | None, parameters: Mapping[str, Cell], claims: JsonObject
) -> SqlPlan:
    uses = [use for relation in proven.rights.relations for use in ready.claims.get(relation, ())]
    uses += [ClaimUse(name, "") for name in proven.rights.claims]
    needed = claim_values(uses, claims) if uses else {}
    rights = proven.rights
    if needed and rights.claims != tuple(sorted(needed)):
        rights = Rights(
            relations=rights.relations,
            columns=rights.columns,
            functions=rights.functions,
            claims=tuple(sorted(needed)),
        )
    limits = ready.spec.limits
    return SqlPlan(
        dialect=ready.connection.engine,
        connection=ready.connection.name,
        connection_digest=ready.connection.digest,
        proposed_sql=proposed,
        sql_to_run=proven.sql_to_run,
        parameters=parameters,
        claims=needed,
        rights=rights,
        omitted=proven.omitted,
        is_fenced=proven.is_fenced,
        max_seconds=limits.seconds,
        max_rows=limits.max_rows,
        max_bytes=limits.max_bytes,
    )


def _bindable(value: object) -> Cell:
    return value if isinstance(value, (str, int, float)) else None


def _again(refused: Refused) -> Refused:
    """Return the same refusal anew: an exception that was raised before carries its old traceback."""
    again = Refused(refused.reason, refused.message, rule=refused.rule, line=refused.line, column=refused.column)
    again.metadata = refused.metadata
    return again

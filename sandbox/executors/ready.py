"""From what are a tool's plans made? Its rules held to the catalogue, and drafts: proven texts without a caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Self, final

from sandbox.executors.claims import ClaimUse, Kind, claim_values, filter_claims, stricter
from sandbox.executors.engine import Confinement
from sandbox.executors.grant_shape import GrantShape, grant_shape
from sandbox.executors.parameters import bound
from sandbox.reasons import Reason, Refused, quoted
from sandbox.settings import SqlSettings
from sandbox.sql import Catalogue, GateInput, Proven, TableShape, ceiling_rules, folded, prove
from sandbox.stages import Rights, SqlPlan
from sandbox.toolspec import Connection, FileTarget, TableRule, ToolSpec
from sandbox.values import JsonObject


@final
@dataclass(frozen=True, slots=True)
class Draft:
    """A plan for nobody yet: parameters and claims are missing."""

    plan: SqlPlan
    parameters: tuple[str, ...]
    claims: tuple[ClaimUse, ...]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyTool:
    """Everything about one tool that its plans are made from."""

    spec: ToolSpec
    connection: Connection
    catalogue: Catalogue
    confinement: Confinement
    claims: Mapping[str, tuple[ClaimUse, ...]]
    """By folded table, what its row filter reads."""
    shape: GrantShape | None
    """What the tool's own login may read; None where the target has no logins."""
    statement: Draft | None
    """An author-written statement, proven at load."""

    @classmethod
    def of(cls, spec: ToolSpec, connection: Connection, catalogue: Catalogue, bounds: SqlSettings) -> Self:
        """Hold a spec to its target's catalogue; raises `Refused` for a rule or statement that does not hold."""
        rules = spec.tables.values() if spec.tables else ceiling_rules(catalogue, connection.ceiling)
        tables = {folded(rule.table): rule for rule in rules}
        _check(tables, catalogue.within(connection.ceiling))
        ready = cls(
            spec=spec,
            connection=connection,
            catalogue=catalogue,
            confinement=Confinement(
                key=spec.digest,
                tables=tables,
                views=frozenset(name for name in tables if catalogue.tables[name].kind == "view"),
                max_bytes=spec.limits.max_bytes,
            ),
            claims=filter_claims(tables, catalogue, connection.dialect),
            shape=_shape(connection, tables),
            statement=None,
        )
        return ready if spec.statement is None else ready._with_statement(spec.statement, bounds)

    @property
    def login(self) -> str:
        """The target's role that runs its statements; empty where the target has no logins."""
        return "" if self.shape is None else self.shape.login

    def draft(self, text: str, bounds: SqlSettings) -> Draft:
        """Take a model's text through the gate; raises `Refused`."""
        return self.drafted(self.proven_of(text, frozenset(), bounds, may_claim=False), text)

    def _with_statement(self, statement: str, bounds: SqlSettings) -> Self:
        properties = self.spec.input_schema.get("properties")
        names = frozenset(properties) if isinstance(properties, Mapping) else frozenset()
        proven = self.proven_of(statement, names, bounds, may_claim=True)
        ready = self
        if not self.spec.tables:  # without `allow:`, the statement alone says what the tool may reach
            whole = self.confinement
            tables = {
                folded(name): _narrowed(whole.tables[folded(name)], proven.rights) for name in proven.rights.relations
            }
            views = whole.views.intersection(tables)
            confinement = replace(whole, tables=tables, views=views)
            ready = replace(self, confinement=confinement, shape=_shape(self.connection, tables))
            proven = ready.proven_of(statement, names, bounds, may_claim=True)  # the views of the narrower shape
        return replace(ready, statement=ready.drafted(proven, None))

    def proven_of(self, text: str, parameters: frozenset[str], bounds: SqlSettings, *, may_claim: bool) -> Proven:
        """Take a text through the gate under the tool's rules; raises `Refused`."""
        return prove(
            GateInput(
                dialect=self.connection.dialect,
                text=text,
                catalogue=self.catalogue,
                tables=self.confinement.tables,
                parameters=parameters,
                may_claim=may_claim,
                bounds=bounds,
                stands_for={} if self.shape is None else self.shape.views,
            )
        )

    def drafted(self, proven: Proven, proposed: str | None) -> Draft:
        """Make a draft of a proven text; `proposed` is the model's, None for an author's."""
        unfiltered: Kind = "any" if self.shape is None else "text"  # a server's `claim()` gives text
        kinds: dict[str, Kind] = dict.fromkeys(proven.rights.claims, unfiltered)
        for use in (use for name in proven.rights.relations for use in self.claims.get(folded(name), ())):
            kinds[use.claim] = stricter(kinds.get(use.claim, unfiltered), use.kind)
        rights = replace(proven.rights, claims=tuple(sorted(kinds)))
        limits = self.spec.limits
        plan = SqlPlan(
            dialect=self.connection.dialect,
            connection=self.connection.name,
            connection_digest=self.connection.digest,
            login=self.login,
            proposed_sql=proposed,
            sql_to_run=proven.sql_to_run,
            parameters=MappingProxyType({}),
            claims=MappingProxyType({}),
            rights=rights,
            omitted=proven.omitted,
            is_fenced=proven.is_fenced,
            max_seconds=limits.seconds,
            max_rows=limits.max_rows,
            max_bytes=limits.max_bytes,
        )
        return Draft(plan, proven.parameters, tuple(ClaimUse(name, kinds[name]) for name in sorted(kinds)))


def _shape(connection: Connection, tables: Mapping[str, TableRule]) -> GrantShape | None:
    return None if isinstance(connection.target, FileTarget) else grant_shape(connection.name, tables)


def plan_of(draft: Draft, arguments: JsonObject, claims: JsonObject) -> SqlPlan:
    """Complete a draft with a caller's arguments and claims; raises `Refused` for what does not fit."""
    plan = draft.plan
    if not draft.parameters and not draft.claims:
        return plan
    return SqlPlan(  # WHY: `dataclasses.replace` costs four times as much, on the way of every call
        dialect=plan.dialect,
        connection=plan.connection,
        connection_digest=plan.connection_digest,
        login=plan.login,
        proposed_sql=plan.proposed_sql,
        sql_to_run=plan.sql_to_run,
        parameters=bound(draft.parameters, arguments) if draft.parameters else plan.parameters,
        claims=claim_values(draft.claims, claims) if draft.claims else plan.claims,
        rights=plan.rights,
        omitted=plan.omitted,
        is_fenced=plan.is_fenced,
        max_seconds=plan.max_seconds,
        max_rows=plan.max_rows,
        max_bytes=plan.max_bytes,
    )


def _check(tables: Mapping[str, TableRule], reachable: Mapping[str, TableShape]) -> None:
    """Raise `Refused` if a rule names what is not there within the ceiling, whatever lint made of it."""
    for name, rule in tables.items():
        shape = reachable.get(name)
        if shape is None:
            raise _gone(f"there is no table {quoted(rule.table)}")
        known = {folded(column.name) for column in shape.columns}
        for column in (*rule.columns, *rule.masks, *rule.aggregate_only):
            if folded(column) not in known:
                raise _gone(f"table {quoted(rule.table)} has no column {quoted(column)}")


def _gone(message: str) -> Refused:
    return Refused(Reason.EXECUTOR_UNAVAILABLE, message)


def _narrowed(rule: TableRule, rights: Rights) -> TableRule:
    columns = tuple(column for table, column in rights.columns if table == rule.table)
    return replace(rule, columns=columns or rule.columns[:1])

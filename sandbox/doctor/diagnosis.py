"""Is everything that a deployment's connections rely on there, and nothing more? One report a connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never, final

from sandbox.deployment import Deployment, Misconfigured
from sandbox.doctor.check_http import ADDRESSES, CONNECTS, check_credential, check_hosts, credential_check
from sandbox.doctor.findings import Finding, Undecided, shapes_of
from sandbox.doctor.selftest import (
    FILE_CANARY,
    HTTP_ADDRESSES,
    KNOWN_BAD,
    REPORT,
    check_addresses,
    check_file_engine,
    check_server,
    known_bad,
)
from sandbox.doctor.servers import SERVERS, looked_at, set_up_of
from sandbox.executors import EXECUTORS, read_catalogue
from sandbox.executors.engine import PlanStale
from sandbox.executors.ready import ReadyTool
from sandbox.leases import Leases, create_lease_key
from sandbox.leases.keys import read_lease_key
from sandbox.problems import LintFailed, did_you_mean
from sandbox.reasons import Refused, quoted
from sandbox.settings import SqlSettings, read_settings
from sandbox.specs import SpecSet, lint_specs, read_connections
from sandbox.specs.connections import ConnectionsRead
from sandbox.specs.findings import Findings
from sandbox.sql import Catalogue
from sandbox.toolspec import Connection, FileTarget, HttpTarget, ServerTarget, ToolName, ToolSpec

FILE_CHECKS: Final = ("the file opens read-only", "each tool's rules hold on it", FILE_CANARY, KNOWN_BAD)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was looked at on one connection, and what was found."""

    connection: str
    engine: str
    checks: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    undecided: str = ""
    """Why nothing could be looked at; empty where it was."""

    @property
    def is_wrong(self) -> bool:
        """Whether anything must be mended."""
        return any(finding.level == "error" for finding in self.findings)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class _Tools:
    """A deployment's tools, held to the catalogues that could be read."""

    specs: SpecSet
    ready: Mapping[str, Sequence[ReadyTool]]
    """By connection that speaks SQL."""
    bounds: SqlSettings


def diagnose(deployment: Deployment) -> tuple[Report, ...]:
    """Look at every connection; raises `LintFailed` or `Misconfigured` for a deployment that does not lint."""
    connections = _connections(deployment)
    catalogues: dict[str, Catalogue] = {}
    silent: dict[str, str] = {}
    for name, connection in connections.items():
        if isinstance(connection.target, HttpTarget):
            continue
        try:
            catalogues[name] = read_catalogue(connection)
        except Refused as refused:
            silent[name] = refused.message
    tools = _held_to(deployment, connections, catalogues)
    return tuple(
        Report(connection=name, engine=connection.engine, checks=(), undecided=silent[name])
        if name in silent
        else _report(deployment, connection, catalogues, tools)
        for name, connection in connections.items()
    )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """What sets a connection's database up."""

    script: str
    tools: tuple[ToolName, ...]
    """Whom it is for; with none it takes away what it made for earlier ones."""


def setup_sql(deployment: Deployment, name: str) -> SetUp:
    """Return the set-up script of a connection; makes the deployment's lease key where there is none."""
    connections = _connections(deployment)
    connection = _server(connections, name)
    try:
        catalogue = read_catalogue(connection)
    except Refused as refused:
        raise Misconfigured(f"connections.toml: [{name}] {refused.message}") from refused
    if not deployment.lease_key.exists():
        create_lease_key(deployment.lease_key)
    key = read_lease_key(deployment.lease_key)
    tools = _held_to(deployment, connections, {name: catalogue}).ready[name]
    users: dict[str, list[str]] = {}
    for tool in tools:
        if tool.shape is not None:
            users.setdefault(tool.shape.id, []).append(tool.spec.name)
    try:
        script = set_up_of(connection).script(connection, key, shapes_of(tools), catalogue, users)
    except Refused as refused:
        raise Misconfigured(f"connections.toml: [{name}] {refused.message}") from refused
    return SetUp(script=script, tools=tuple(tool.spec.name for tool in tools))


def undo_sql(deployment: Deployment, name: str) -> str:
    """Return the script that takes a connection's set-up back; asks the database nothing."""
    connection = _server(_connections(deployment), name)
    return set_up_of(connection).undo(connection.name)


def _connections(deployment: Deployment) -> Mapping[str, Connection]:
    return read_connections(deployment, read_settings(deployment.settings)[0])


def _server(connections: Mapping[str, Connection], name: str) -> Connection:
    connection = connections.get(name)
    if connection is None:
        raise Misconfigured(f"there is no connection {quoted(name)}{did_you_mean(name, connections)}")
    if connection.engine not in SERVERS:
        raise Misconfigured(f"connection {quoted(name)} is of engine {connection.engine}, which needs no set-up script")
    return connection


def _held_to(
    deployment: Deployment, connections: Mapping[str, Connection], catalogues: Mapping[str, Catalogue]
) -> _Tools:
    """Return the tools of the connections whose catalogue is known, held to it."""
    settings, _ = read_settings(deployment.settings)
    known = {name: one for name, one in connections.items() if name in catalogues or one.engine == "http"}
    read = ConnectionsRead(known, frozenset(connections), Findings(deployment.connections.name))
    found = lint_specs(deployment, read, lambda connection: catalogues[connection.name], settings)
    if found.problems:
        raise LintFailed(found.problems)
    ready = {name: _held(found.specs.tools, known[name], catalogues[name], settings.sql) for name in catalogues}
    return _Tools(specs=found.specs, ready=ready, bounds=settings.sql)


def _held(
    specs: Mapping[ToolName, ToolSpec], connection: Connection, catalogue: Catalogue, bounds: SqlSettings
) -> list[ReadyTool]:
    try:
        return [
            ReadyTool.of(spec, connection, catalogue, bounds)
            for spec in specs.values()
            if spec.connection == connection.name
        ]
    except Refused as refused:
        raise Misconfigured(f"connection {quoted(connection.name)}: {refused.message}") from refused


def _report(
    deployment: Deployment, connection: Connection, catalogues: Mapping[str, Catalogue], tools: _Tools
) -> Report:
    name, ready = connection.name, tools.ready.get(connection.name, ())
    checks: tuple[str, ...]
    match connection.target:
        case FileTarget():
            checks, findings = (
                FILE_CHECKS,
                [*_rehearsed(deployment, connection, ready), *check_file_engine(connection.dialect)],
            )
        case ServerTarget():
            try:
                findings = [*check_server(connection, connection.target, ready, catalogues[name], deployment.lease_key)]
            except Undecided as error:
                return Report(connection=name, engine=connection.engine, checks=(), undecided=str(error))
            checks = (*looked_at(connection, findings), KNOWN_BAD)
        case HttpTarget():
            target = connection.target
            checks = (ADDRESSES, CONNECTS, credential_check(target), HTTP_ADDRESSES, KNOWN_BAD)
            findings = [*check_hosts(connection, target), *check_credential(deployment, connection, target)]
            findings += check_addresses(target)
        case _:
            assert_never(connection.target)
    findings += _slips(connection, tools)
    return Report(connection=name, engine=connection.engine, checks=checks, findings=tuple(findings))


def _slips(connection: Connection, tools: _Tools) -> Iterator[Finding]:
    """Put known-bad calls to the gates of a connection's tools."""
    ready = {tool.spec.name: tool for tool in tools.ready.get(connection.name, ())}
    for name, spec in tools.specs.tools.items():
        if spec.connection == connection.name:
            for slip in known_bad(spec, connection, ready.get(name), tools.bounds):
                message = f"the tool {quoted(name)}: {slip}"
                yield Finding(KNOWN_BAD, message, REPORT)


def _rehearsed(deployment: Deployment, connection: Connection, ready: Sequence[ReadyTool]) -> list[Finding]:
    """Confine each tool once on the file, as the service does when it loads."""
    leases = Leases({connection.name: connection}, deployment.lease_key)
    executor = EXECUTORS[connection.engine](connection)
    findings = []
    try:
        for tool in ready:
            try:
                executor.rehearse(tool.confinement, leases.lend(connection.name, tool.login))
            except (Refused, PlanStale) as error:
                findings.append(Finding("rehearsal", f"the tool {quoted(tool.spec.name)}: {error}", "sandbox lint"))
    finally:
        executor.close()
    return findings

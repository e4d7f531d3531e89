"""Is everything that a deployment's connections rely on there, and nothing more? One report a connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, assert_never, final

from sandbox.deployment import Deployment, Misconfigured
from sandbox.doctor.inspection import Finding
from sandbox.doctor.postgres import CHECKS, Undecided, examine
from sandbox.doctor.script import setup_script, undo_script
from sandbox.executors import EXECUTORS, read_catalogue
from sandbox.executors.engine import PlanStale
from sandbox.executors.postgres_shape import GrantShape
from sandbox.executors.ready import ReadyTool
from sandbox.leases import Leases, create_lease_key, read_dsn
from sandbox.leases.http import http_lease
from sandbox.leases.keys import read_lease_key
from sandbox.problems import LintFailed, did_you_mean
from sandbox.reasons import Refused, quoted
from sandbox.settings import Settings, read_settings
from sandbox.specs import lint_specs, load_connections
from sandbox.specs.connections import ConnectionsRead
from sandbox.specs.findings import Findings
from sandbox.sql import Bounds, Catalogue
from sandbox.toolspec import Connection, FileTarget, HttpTarget, SecretSource, ServerTarget, ToolName, ToolSpec

HTTP_CHECKS: Final = ("its secret can be read",)
FILE_CHECKS: Final = ("the file opens read-only", "each tool's rules hold on it")


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


def diagnose(deployment: Deployment) -> tuple[Report, ...]:
    """Look at every connection; raises `LintFailed` or `Misconfigured` for a deployment that does not lint."""
    connections, _ = load_connections(deployment)
    catalogues: dict[str, Catalogue] = {}
    silent: dict[str, str] = {}
    for name, connection in connections.items():
        if isinstance(connection.target, HttpTarget):
            continue
        try:
            catalogues[name] = read_catalogue(connection)
        except Refused as refused:
            silent[name] = refused.message
    ready = _ready(deployment, connections, catalogues)
    return tuple(
        Report(connection=name, engine=connection.engine, checks=(), undecided=silent[name])
        if name in silent
        else _http_report(connection, connection.target)
        if isinstance(connection.target, HttpTarget)
        else _report(deployment, connection, catalogues[name], ready[name])
        for name, connection in connections.items()
    )


def setup_sql(deployment: Deployment, name: str) -> str:
    """Return the set-up script of a connection; makes the deployment's lease key where there is none."""
    connections, _ = load_connections(deployment)
    connection = _server(connections, name)
    try:
        catalogue = read_catalogue(connection)
    except Refused as refused:
        raise Misconfigured(f"connections.toml: [{name}] {refused.message}") from refused
    if not deployment.lease_key.exists():
        create_lease_key(deployment.lease_key)
    key = read_lease_key(deployment.lease_key)
    shapes, users = _shapes(_ready(deployment, connections, {name: catalogue})[name])
    return setup_script(name, shapes, key, catalogue, users)


def undo_sql(deployment: Deployment, name: str) -> str:
    """Return the script that takes a connection's set-up back; asks the database nothing."""
    return undo_script(_server(load_connections(deployment)[0], name).name)


def _server(connections: Mapping[str, Connection], name: str) -> Connection:
    connection = connections.get(name)
    if connection is None:
        raise Misconfigured(f"there is no connection {quoted(name)}{did_you_mean(name, connections)}")
    if connection.engine != "postgres":
        raise Misconfigured(f"connection {quoted(name)} is of engine {connection.engine}, which needs no set-up script")
    return connection


def _ready(
    deployment: Deployment, connections: Mapping[str, Connection], catalogues: Mapping[str, Catalogue]
) -> Mapping[str, list[ReadyTool]]:
    """Return the tools of each connection whose catalogue is known, held to it."""
    settings, _ = read_settings(deployment.settings)
    known = {name: one for name, one in connections.items() if name in catalogues or one.engine == "http"}
    read = ConnectionsRead(known, frozenset(connections), Findings(deployment.connections.name))
    found = lint_specs(deployment, read, lambda connection: catalogues[connection.name], settings)
    if found.problems:
        raise LintFailed(found.problems)
    return {name: _held(found.specs.tools, known[name], catalogues[name], settings) for name in catalogues}


def _held(
    specs: Mapping[ToolName, ToolSpec], connection: Connection, catalogue: Catalogue, settings: Settings
) -> list[ReadyTool]:
    bounds = Bounds(settings.sql.max_bytes, settings.sql.max_tokens, settings.sql.max_depth)
    try:
        return [
            ReadyTool.of(spec, connection, catalogue, bounds)
            for spec in specs.values()
            if spec.connection == connection.name
        ]
    except Refused as refused:
        raise Misconfigured(f"connection {quoted(connection.name)}: {refused.message}") from refused


def _shapes(ready: Sequence[ReadyTool]) -> tuple[list[GrantShape], dict[str, list[str]]]:
    """Return the grant shapes of tools, and which tools use each."""
    shapes: dict[str, GrantShape] = {}
    users: dict[str, list[str]] = {}
    for tool in ready:
        if tool.shape is not None:
            shapes[tool.shape.id] = tool.shape
            users.setdefault(tool.shape.id, []).append(tool.spec.name)
    return [shapes[key] for key in sorted(shapes)], users


def _report(deployment: Deployment, connection: Connection, catalogue: Catalogue, ready: Sequence[ReadyTool]) -> Report:
    match connection.target:
        case FileTarget():
            findings = tuple(_rehearsed(deployment, connection, ready))
            return Report(connection=connection.name, engine=connection.engine, checks=FILE_CHECKS, findings=findings)
        case ServerTarget(dsn=source):
            return _server_report(deployment, connection, source, catalogue, _shapes(ready)[0])
        case HttpTarget():
            return _http_report(connection, connection.target)
        case _:
            assert_never(connection.target)


def _http_report(connection: Connection, target: HttpTarget) -> Report:
    """Look whether the secret is there; nothing is sent, for a request could have effects."""
    findings: tuple[Finding, ...] = ()
    try:
        with http_lease(connection, target):
            pass
    except Refused as refused:
        mend = f"set what `auth` of [{connection.name}] in connections.toml names"
        findings = (Finding(check=HTTP_CHECKS[0], level="error", message=refused.message, mend=mend),)
    return Report(connection=connection.name, engine=connection.engine, checks=HTTP_CHECKS, findings=findings)


def _server_report(
    deployment: Deployment, connection: Connection, dsn: SecretSource, catalogue: Catalogue, shapes: list[GrantShape]
) -> Report:
    name, engine = connection.name, connection.engine
    try:
        findings = examine(name, read_dsn(dsn, name), read_lease_key(deployment.lease_key), shapes, catalogue)
    except (Undecided, Misconfigured) as error:
        return Report(connection=name, engine=engine, checks=(), undecided=str(error))
    except Refused as refused:
        return Report(connection=name, engine=engine, checks=(), undecided=refused.message)
    return Report(connection=name, engine=engine, checks=tuple(CHECKS), findings=findings)


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

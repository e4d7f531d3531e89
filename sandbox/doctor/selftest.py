"""May these tools be served? Known-bad calls are put to each tool's gate, and each engine is held to what confines it.

# INVARIANT: nothing harmful is sent to a table that is not the sandbox's own; gates are asked, engines are tried on
canaries, and rights are read from the catalogue.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never, final

from sandbox.deployment import Misconfigured
from sandbox.doctor.findings import Finding, Undecided, shapes_of
from sandbox.doctor.known_bad import slips_of_arguments, slips_of_request, slips_of_sql
from sandbox.doctor.servers import looked_at, set_up_of
from sandbox.executors.file_canary import slips_of_file_engine
from sandbox.executors.http_requests import RequestMaker
from sandbox.executors.ready import ReadyTool
from sandbox.leases.keys import read_lease_key
from sandbox.outbound.addresses import is_permitted
from sandbox.problems import counted
from sandbox.reasons import Refused, quoted
from sandbox.settings import SqlSettings
from sandbox.specs import SpecSet
from sandbox.sql import Catalogue
from sandbox.toolspec import Connection, FileTarget, HttpTarget, ServerTarget, SqlEngine, ToolName, ToolSpec

CAN_BE_ASKED: Final = "the database can be asked"
HTTP_ADDRESSES: Final = "addresses that no request may reach"
KNOWN_BAD: Final = "known-bad calls of each tool"
REPORT: Final = "report it with the output of `sandbox doctor --json`"
FILE_CANARY: Final = "the engine alone, on a canary"
_NEVER: Final = tuple(
    ipaddress.ip_address(text)
    for text in (
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.100.100.200", "0.0.0.1"),
        *("::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"),
        *("2002:a9fe:a9fe::", "fd00:ec2::254", "fe80::1%1"),
    )
)
"""Loopback, private, link-local and metadata addresses, and what carries one."""


@final
class SelfTestFailed(Exception):
    """Some tools of what was loaded are not served."""

    def __init__(self, failures: Mapping[ToolName, tuple[str, ...]]) -> None:
        """Say which, and why."""
        super().__init__("; ".join(f"{tool}: {', '.join(sentences)}" for tool, sentences in failures.items()))
        self.failures = failures


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """How a generation's tools did."""

    failures: Mapping[ToolName, tuple[str, ...]]
    """Of the tools that may not be served, each with sentences for operators."""
    report: bytes
    """JSON for the log: each connection's checks and findings, each tool's failures."""


def self_test(  # noqa: PLR0913 - a generation, and what it is held to
    connections: Mapping[str, Connection],
    spec_set: SpecSet,
    ready: Mapping[ToolName, ReadyTool],
    unfit: Mapping[ToolName, str],
    *,
    lease_key: Path,
    bounds: SqlSettings,
) -> SelfTest:
    """Test the tools of one generation; `ready` are those of SQL, `unfit` those of them that could not be confined.

    Of tools whose server could not be asked nothing is looked at but whether it still is away.
    """
    specs = spec_set.all
    used = {name: connections[name] for name in sorted({spec.connection for spec in specs.values()})}
    unheld = {spec.connection for spec in spec_set.unheld.values()}
    # INVARIANT: a tool that was never set up fails alone; what is there of others is looked at without it.
    fit = [tool for name, tool in ready.items() if name not in unfit]
    checked = _engines([used[name] for name in used if name not in unheld], fit, lease_key)
    checked |= {name: _Checked((CAN_BE_ASKED,), tuple(_away(name, spec_set.away))) for name in unheld}
    failures: dict[ToolName, tuple[str, ...]] = {}
    for name, spec in specs.items():
        sentences = [unfit[name]] if name in unfit else []
        if name in spec_set.tools:
            sentences += known_bad(spec, used[spec.connection], ready.get(name), bounds)
        sentences += _in_short(spec.connection, checked[spec.connection].findings)
        if sentences:
            failures[name] = tuple(sentences)
    return SelfTest(failures=failures, report=_report(used, checked, specs, failures))


def known_bad(spec: ToolSpec, connection: Connection, ready: ReadyTool | None, bounds: SqlSettings) -> Iterator[str]:
    """Yield what a tool's gate let through; `ready` is there for SQL."""
    yield from slips_of_arguments(spec)
    if spec.kind == "sql" and ready is None:
        yield "its tables are gone, so its gate cannot be asked"
    elif ready is not None and spec.sql_argument is not None:
        yield from slips_of_sql(ready, bounds)
    if spec.http is not None:
        yield from slips_of_request(spec, RequestMaker(spec, connection))


def check_addresses(target: HttpTarget) -> Iterator[Finding]:
    """Find addresses that a request could reach though neither public nor named by the operator."""
    networks = [ipaddress.ip_network(text) for text in target.networks]
    for address in _NEVER:
        if is_permitted(address, networks) and not any(address in network for network in networks):
            message = f"a request could reach {address}, which is not public and not in `networks`"
            yield Finding(HTTP_ADDRESSES, message, REPORT)


def check_file_engine(engine: SqlEngine) -> tuple[Finding, ...]:
    """Find what an engine of files lets through on a canary of the sandbox's own, with the gate switched off."""
    return tuple(Finding(FILE_CANARY, slip, REPORT) for slip in slips_of_file_engine(engine))


def check_server(
    connection: Connection, target: ServerTarget, tools: Sequence[ReadyTool], catalogue: Catalogue, lease_key: Path
) -> tuple[Finding, ...]:
    """Hold a server's database to its set-up script; raises `Undecided` where it cannot be looked at."""
    try:
        key, shapes = read_lease_key(lease_key), shapes_of(tools)
        return set_up_of(connection).examine(connection, target, key, shapes, catalogue)
    except Misconfigured as error:
        raise Undecided(str(error)) from error
    except Refused as refused:
        raise Undecided(refused.message) from refused


@final
@dataclass(frozen=True, slots=True)
class _Checked:
    """What was looked at on one connection, and what was found."""

    checks: tuple[str, ...]
    findings: tuple[Finding, ...]


def _away(connection: str, away: Mapping[str, str]) -> Iterator[Finding]:
    if connection in away:
        yield Finding(CAN_BE_ASKED, away[connection], f"sandbox doctor; [{connection}] in connections.toml")


def _engines(connections: Iterable[Connection], ready: Sequence[ReadyTool], lease_key: Path) -> dict[str, _Checked]:
    checked: dict[str, _Checked] = {}
    of_engines: dict[SqlEngine, _Checked] = {}
    for connection in connections:
        match connection.target:
            case FileTarget():
                engine = connection.dialect
                if engine not in of_engines:
                    of_engines[engine] = _Checked((FILE_CANARY,), check_file_engine(engine))
                checked[connection.name] = of_engines[engine]
            case HttpTarget():
                checked[connection.name] = _Checked((HTTP_ADDRESSES,), tuple(check_addresses(connection.target)))
            case ServerTarget():
                tools = [tool for tool in ready if tool.connection.name == connection.name]
                findings = _server(connection, connection.target, tools, lease_key)
                checked[connection.name] = _Checked(looked_at(connection, findings), findings)
            case _:
                assert_never(connection.target)
    return checked


def _server(
    connection: Connection, target: ServerTarget, tools: Sequence[ReadyTool], lease_key: Path
) -> tuple[Finding, ...]:
    if not tools:
        return ()  # none of them can be served
    try:
        return check_server(connection, target, tools, tools[0].catalogue, lease_key)
    except Undecided as error:
        return (Finding("undecided", str(error), f"sandbox doctor; [{connection.name}] in connections.toml"),)


def _in_short(connection: str, findings: Sequence[Finding]) -> list[str]:
    """Return one sentence for all that must be mended before a tool of the connection is served."""
    errors = [finding for finding in findings if finding.level == "error"]
    if not errors:
        return []
    more = f", and {counted(len(errors) - 1, 'finding')} more" if len(errors) > 1 else ""
    return [f"connection {quoted(connection)}: {errors[0].message}{more}; `sandbox doctor` tells what mends it"]


def _report(
    used: Mapping[str, Connection],
    checked: Mapping[str, _Checked],
    specs: Mapping[ToolName, ToolSpec],
    failures: Mapping[ToolName, tuple[str, ...]],
) -> bytes:
    """Return what the log keeps of the test."""
    told = {
        "connections": [
            {
                "connection": name,
                "engine": connection.engine,
                "checks": list(checked[name].checks),
                "findings": [
                    {"check": finding.check, "level": finding.level, "message": finding.message}
                    for finding in checked[name].findings
                ],
            }
            for name, connection in used.items()
        ],
        "tools": [
            {"tool": name, "spec_digest": spec.digest, "failures": list(failures.get(name, ()))}
            for name, spec in specs.items()
        ],
    }
    return json.dumps(told, ensure_ascii=True).encode("ascii")

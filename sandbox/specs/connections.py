"""Which systems may tools reach, and how far? Reads `connections.toml`, the operators' file."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Final, TypeAlias, assert_never, final

from sandbox.deployment import Deployment, Misconfigured
from sandbox.problems import LintFailed, Mark
from sandbox.reasons import quoted
from sandbox.settings import Settings
from sandbox.specs.ceilings import read_sql_ceiling, read_tools
from sandbox.specs.dsn import read_dsn_source
from sandbox.specs.findings import Findings, Rule, choices, suggestion
from sandbox.specs.http_connection import read_http_target
from sandbox.specs.secret_places import SecretPlaces
from sandbox.specs.toml_values import is_table
from sandbox.toml_places import TomlPlaces, toml_complaint
from sandbox.toolspec import (
    NO_SQL,
    Connection,
    Digest,
    Engine,
    EnvSecret,
    FileSecret,
    FileTarget,
    HttpAuth,
    HttpTarget,
    OAuth,
    SecretSource,
    ServerTarget,
    SqlCeiling,
    SqlEngine,
    VaultSecret,
)

SQL_ENGINES: Final[Mapping[str, SqlEngine]] = MappingProxyType(
    {"sqlite": "sqlite", "postgres": "postgres", "duckdb": "duckdb", "mysql": "mysql"}
)
HTTP: Final = "http"
ENGINES: Final = (*SQL_ENGINES, HTTP)
TARGET_KEY: Final[Mapping[SqlEngine, str]] = MappingProxyType(
    {"sqlite": "path", "postgres": "dsn", "duckdb": "path", "mysql": "dsn"}
)
"""By engine, the key that says where the connection leads; the other is refused."""
CONNECTION_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_FILE_BYTES: Final = 256 * 1024


@final
@dataclass(frozen=True, slots=True)
class ConnectionsRead:
    """What `connections.toml` holds, good or bad."""

    connections: Mapping[str, Connection]
    names: frozenset[str]
    """Every name in the file, those of broken connections too."""
    findings: Findings
    marks: Mapping[str, Mark] = field(default_factory=dict)
    """Where each connection's ceiling stands."""
    path_marks: Mapping[str, Mark] = field(default_factory=dict)
    """Where each connection's path stands."""
    source: bytes = b""
    """What all of this was read from."""


def load_connections(
    deployment: Deployment, settings: Settings | None = None
) -> tuple[Mapping[str, Connection], bytes]:
    """Return the connections by name and the bytes they were read from; raises `LintFailed` with everything wrong."""
    read = lint_connections(deployment, settings)
    if read.findings.problems:
        raise LintFailed(read.findings.problems)
    return read.connections, read.source


def read_connections(deployment: Deployment, settings: Settings | None = None) -> Mapping[str, Connection]:
    """Return the connections by name, or raise `LintFailed` with everything wrong in the file."""
    return load_connections(deployment, settings)[0]


def lint_connections(deployment: Deployment, settings: Settings | None = None) -> ConnectionsRead:
    """Read the file as far as it goes; raises `Misconfigured` only if there is none to read.

    Of the settings it takes where the vault is; without them there is none.
    """
    secrets = SecretPlaces(deployment.root, (settings or Settings()).vault)
    path = deployment.connections
    try:
        source = path.read_bytes()
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be read ({error.strerror}); a deployment has one") from error
    document, findings = _document(source, path.name)
    places = TomlPlaces(findings.lines)
    connections: dict[str, Connection] = {}
    for name, entry in document.items():
        connection = _connection(name, entry, secrets, findings, places)
        if connection is not None:
            connections[name] = connection
    marks = {name: places.of(name, "ceiling") for name in connections}
    paths = {name: places.of(name, "path") for name in connections}
    return ConnectionsRead(MappingProxyType(connections), frozenset(document), findings, marks, paths, source)


def _document(source: bytes, file: str) -> tuple[Mapping[str, object], Findings]:
    findings = Findings(file)
    if len(source) > MAX_FILE_BYTES:
        findings.add(Rule.TOML, None, f"{len(source)} bytes; at most {MAX_FILE_BYTES} are accepted")
        return {}, findings
    try:
        text = source.decode("utf-8")
    except UnicodeDecodeError as error:
        findings.add(Rule.TOML, None, f"byte {error.start + 1} is not UTF-8")
        return {}, findings
    findings = Findings(file, text)
    try:
        return tomllib.loads(text), findings
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        complaint, mark = toml_complaint(error)
        findings.add(Rule.TOML, mark, f"not TOML: {quoted(complaint, 120)[1:-1]}")
        return {}, findings


def _connection(
    name: str, entry: object, secrets: SecretPlaces, findings: Findings, places: TomlPlaces
) -> Connection | None:
    before = len(findings.problems)
    if not CONNECTION_NAME.fullmatch(name):
        message = f"connection name {quoted(name)}; accepted: 1 to 64 letters, digits, `_` and `-`"
        findings.add(Rule.CONNECTION_VALUE, places.of(name), message)
    if not is_table(entry):
        findings.add(Rule.CONNECTION_VALUE, places.of("", name), f"{quoted(name)} is no table; `[{name}]` is accepted")
        return None
    engine = _engine(name, entry, findings, places)
    if engine is None:
        return None
    if engine == HTTP:
        asked = read_http_target(name, entry, secrets, findings, places)
        tools = read_tools(name, entry, findings, places)
        return None if asked is None or len(findings.problems) > before else _http_connection(name, asked, tools)
    _check_keys(entry, name, engine, findings, places)
    key = TARGET_KEY[engine]
    target = _TARGETS[engine](name, entry.get(key), secrets, findings, places.of(name, key))
    if isinstance(target, ServerTarget):
        target = replace(target, without_revokes=_without_revokes(name, entry, findings, places))
    ceiling = read_sql_ceiling(name, entry, findings, places)
    tools = read_tools(name, entry, findings, places)
    if target is None or len(findings.problems) > before:
        return None
    digest = _digest(name, engine, target, ceiling, tools)
    return Connection(name=name, engine=engine, target=target, ceiling=ceiling, tools=tools, digest=digest)


def _check_keys(
    entry: Mapping[str, object], name: str, engine: SqlEngine, findings: Findings, places: TomlPlaces
) -> None:
    accepted = ("engine", TARGET_KEY[engine], "ceiling", *(("without_revokes",) if engine == "postgres" else ()))
    for key in entry:
        if key in accepted:
            continue
        if key in TARGET_KEY.values():
            message = f"a {quoted(engine)} connection has no {quoted(key)}; it needs a {quoted(TARGET_KEY[engine])}"
        else:
            message = f"unknown key {quoted(key)} in a connection{suggestion(key, accepted)}"
        findings.add(Rule.CONNECTION_KEY, places.of(name, key), message, may_show_line=key != "dsn")


def _engine(name: str, entry: Mapping[str, object], findings: Findings, places: TomlPlaces) -> Engine | None:
    engine = entry.get("engine")
    if engine == HTTP:
        return HTTP
    if isinstance(engine, str) and engine in SQL_ENGINES:
        return SQL_ENGINES[engine]
    mark = places.of(name, "engine")
    if engine is None:
        message = f"connection {quoted(name)} needs an `engine`; accepted: {choices(ENGINES)}"
        findings.add(Rule.CONNECTION_VALUE, mark, message)
    else:
        message = f"unknown engine {quoted(str(engine))}{suggestion(str(engine), ENGINES)}"
        findings.add(Rule.CONNECTION_VALUE, mark, message)
    return None


def _file(name: str, value: object, secrets: SecretPlaces, findings: Findings, mark: Mark) -> FileTarget | None:
    if not isinstance(value, str) or not value or not value.isprintable():
        message = f"connection {quoted(name)} needs a `path`: the database file, relative to the deployment or absolute"
        findings.add(Rule.CONNECTION_VALUE, mark, message)
        return None
    return FileTarget(secrets.absolute(value))


def _server(name: str, value: object, secrets: SecretPlaces, findings: Findings, mark: Mark) -> ServerTarget | None:
    dsn = read_dsn_source(name, value, secrets, findings, mark)
    return None if dsn is None else ServerTarget(dsn)


def _without_revokes(name: str, entry: Mapping[str, object], findings: Findings, places: TomlPlaces) -> bool:
    value = entry.get("without_revokes", False)
    if not isinstance(value, bool):
        message = f"`without_revokes` of {quoted(name)} is neither `true` nor `false`; `true` says openly that the gate"
        message += " alone keeps statements from functions with side effects"
        findings.add(Rule.CONNECTION_VALUE, places.of(name, "without_revokes"), message)
    return value is True


_ReadTarget: TypeAlias = Callable[[str, object, SecretPlaces, Findings, Mark], FileTarget | ServerTarget | None]
_TARGETS: Final[Mapping[SqlEngine, _ReadTarget]] = MappingProxyType(
    {"sqlite": _file, "postgres": _server, "duckdb": _file, "mysql": _server}
)


def _http_connection(name: str, target: HttpTarget, tools: tuple[str, ...] | None) -> Connection:
    facts = f"{name}\nhttp\n{_canonical(target)}\n{tools}"
    digest = Digest(hashlib.sha256(facts.encode()).hexdigest())
    return Connection(name=name, engine="http", target=target, ceiling=NO_SQL, tools=tools, digest=digest)


def _canonical(target: HttpTarget) -> str:
    ceiling = target.ceiling
    return repr(
        (
            (target.origin, target.prefix, _asked_with(target.auth), target.networks, target.ca),
            None if ceiling.methods is None else sorted(ceiling.methods),
            ceiling.paths,
        )
    )


def _asked_with(auth: HttpAuth | OAuth | None) -> object:
    """Return what the digest says of a connection's secret; a set has no order of its own."""
    return (sorted(auth.scopes), replace(auth, scopes=frozenset())) if isinstance(auth, OAuth) else auth


def _digest(
    name: str,
    engine: SqlEngine,
    target: FileTarget | ServerTarget,
    ceiling: SqlCeiling,
    tools: tuple[str, ...] | None,
) -> Digest:
    tables = ceiling.tables
    reach = None if tables is None else [[table, _sorted(tables[table])] for table in sorted(tables)]
    facts = [name, engine, *_place(target), reach, tools]
    return Digest(hashlib.sha256(json.dumps(facts).encode()).hexdigest())


def _sorted(names: frozenset[str] | None) -> list[str] | None:
    return None if names is None else sorted(names)


def _place(target: FileTarget | ServerTarget) -> tuple[str, ...]:
    """Return where a connection leads, as its digest has it: where the dsn lies, never the dsn; with its switch."""
    match target:
        case FileTarget():
            return (target.path,)
        case ServerTarget():
            return (*_lies(target.dsn), *(("without_revokes",) if target.without_revokes else ()))
        case _:
            assert_never(target)


def _lies(source: SecretSource) -> tuple[str, str]:
    match source:
        case EnvSecret():
            return ("env", source.variable)
        case FileSecret():
            return ("file", source.path)
        case VaultSecret():
            return ("vault", repr(source))
        case _:
            assert_never(source)

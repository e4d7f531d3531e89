"""What may be asked? A tool spec after it has been read, checked and normalised by `specs`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final, Literal, NewType, TypeAlias, final

from sandbox.values import JsonObject

ToolName = NewType("ToolName", str)
Digest = NewType("Digest", str)
"""SHA-256 in lower-case hexadecimal."""

MaskName = Literal["null", "initials", "last4", "year", "domain"]
"""How a column is shown instead of its value. `null`: nothing; `initials`: the first letter of each word with a full
stop; `last4`: everything but the last four characters as `*`; `year`: the first four characters of an ISO date;
`domain`: an e-mail address without its local part."""

DEFAULT_SECONDS: Final = 5.0
DEFAULT_MAX_ROWS: Final = 500
DEFAULT_MAX_BYTES: Final = 256 * 1024
DEFAULT_MAX_RESPONSE_BYTES: Final = 1024 * 1024


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TableRule:
    """What of one table the tool may show."""

    table: str
    columns: tuple[str, ...]
    """In the order of the catalogue; `columns: all` is already spelled out."""
    row_filter: str | None = None
    """A boolean SQL expression over this table's columns and `claim('name')`, proven by `sql` at lint."""
    masks: Mapping[str, MaskName] = field(default_factory=lambda: MappingProxyType({}))
    aggregate_only: tuple[str, ...] = ()
    """Of the columns, those that a statement may only read as an aggregate over a group of the least size."""


@final
@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls in so many seconds, per principal and tool."""

    calls: int
    seconds: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ToolLimits:
    """The bounds of every call of the tool."""

    seconds: float = DEFAULT_SECONDS
    max_rows: int = DEFAULT_MAX_ROWS
    max_bytes: int = DEFAULT_MAX_BYTES
    """Bytes of the rows as JSON."""
    max_response_bytes: int = DEFAULT_MAX_RESPONSE_BYTES
    """Bytes of the body that an HTTP tool's target may answer with."""
    rate: Rate | None = None
    concurrency: int | None = None
    """Calls of this tool running at once, over all principals."""


HttpMethod = Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
READING_METHODS: Final = frozenset({"GET", "HEAD"})
"""Methods that change nothing at the target (RFC 9110, section 9.2.1)."""


@final
@dataclass(frozen=True, slots=True)
class Argument:
    """A place in a request that one argument fills."""

    name: str


BodyTemplate: TypeAlias = (
    "bool | int | float | str | Argument | Sequence[BodyTemplate] | Mapping[str, BodyTemplate] | None"
)
"""A JSON body with places for arguments."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """What a tool of kind `http` sends, but for the connection's host and secret."""

    method: HttpMethod
    path: tuple[str | Argument, ...]
    """Its segments, below the connection's `base_url`."""
    query: tuple[tuple[str, str | Argument], ...]
    headers: tuple[tuple[str, str], ...]
    body: BodyTemplate
    """None where nothing is sent."""
    is_idempotent: bool
    """The author says that sending it twice does no more than sending it once."""
    scopes: tuple[str, ...] = ()
    """Of the access token that it is sent with, sorted; empty where the connection lends none."""

    @property
    def path_template(self) -> str:
        """The path as the spec writes it."""
        return "".join("/" + (f"{{{part.name}}}" if isinstance(part, Argument) else part) for part in self.path)


PickedType = Literal["integer", "real", "text", "boolean"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class PickedColumn:
    """One column of the result: where it stands in each row's JSON, and what it must be."""

    name: str
    at: tuple[str, ...]
    """The reference tokens of a JSON pointer (RFC 6901)."""
    type: PickedType
    is_required: bool
    """Whether a value that is null or absent is refused; else it is NULL."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """Which answers a tool of kind `http` takes, and what of them goes back."""

    statuses: tuple[int, ...]
    rows: tuple[str, ...]
    """The reference tokens of a JSON pointer to the rows."""
    columns: tuple[PickedColumn, ...]
    """Empty: the body is not read, and the status is the result."""


@final
@dataclass(frozen=True, slots=True)
class HttpExchange:
    """The request and the response of a tool of kind `http`."""

    request: HttpRequest
    response: HttpResponse


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One `examples:` entry, run by `sandbox test`."""

    claims: JsonObject
    call: JsonObject
    expected_row_count: int | None
    expected_rows: tuple[tuple[object, ...], ...] | None
    expected_refusal: str | None
    line: int
    """Where it begins in the file, counted from 1."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """One tool. Built only by `specs`, from one YAML file that passed lint."""

    name: ToolName
    version: str
    owner: str
    summary: str
    use_when: str
    kind: Literal["sql", "http"]
    effects: Literal["read", "write"]
    connection: str
    input_schema: JsonObject
    """JSON Schema 2020-12, always an object with `additionalProperties: false`."""
    sql_argument: str | None
    """The argument that carries model-written SQL, or None for an author-written `statement`."""
    statement: str | None
    tables: Mapping[str, TableRule]
    """Empty for an author-written statement without `allow:`: then the connection's ceiling alone applies."""
    limits: ToolLimits
    examples: tuple[Example, ...]
    file: str
    """The file's name within `toolspecs/`."""
    source: bytes
    digest: Digest
    """SHA-256 of `source`."""
    http: HttpExchange | None = None
    """What a tool of kind `http` sends and takes."""
    may_read: str = ""
    """What a model is told that its SQL may read; empty if it writes none."""


@final
@dataclass(frozen=True, slots=True)
class FileTarget:
    """A database that is a file."""

    path: str
    """Absolute path."""


@final
@dataclass(frozen=True, slots=True)
class EnvSecret:
    """A secret that stands in an environment variable of the service."""

    variable: str


@final
@dataclass(frozen=True, slots=True)
class FileSecret:
    """A secret that is the content of a file which nobody but its owner can read."""

    path: str
    """Absolute path."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class VaultServer:
    """Where OpenBao or HashiCorp Vault answers, and by which files this service is known there."""

    scheme: Literal["https", "http"]
    """`http` only to an address of loopback."""
    host: str
    port: int
    namespace: str
    """Empty: the root namespace."""
    approle: str
    """The path that the AppRole method is mounted at."""
    role_id: str
    """Absolute path of the file with the AppRole's role id."""
    secret_id: str
    """Absolute path of the file with its secret id."""
    ca: str | None
    """Absolute path of the PEM file that its certificate must lead to; None: the system's authorities."""


@final
@dataclass(frozen=True, slots=True)
class VaultSecret:
    """A secret that is one field of an entry in a key-value store of a vault."""

    server: VaultServer
    path: str
    """As its API has it, so with `data/` after the mount of a store of version 2: `secret/data/crm`."""
    field: str


SecretSource = EnvSecret | FileSecret | VaultSecret
"""Where a secret lies; `leases` alone reads it. A closed union, matched with `assert_never`."""


@final
@dataclass(frozen=True, slots=True)
class ServerTarget:
    """A database behind a server."""

    dsn: SecretSource
    """A URL whose login connects and sees the catalogue; it reads no table."""
    without_revokes: bool = False
    """Whether functions with side effects may stay executable: the gate alone then keeps statements from them."""


@final
@dataclass(frozen=True, slots=True)
class HttpAuth:
    """The header that carries a connection's secret."""

    header: str
    scheme: str
    """What stands before the secret, such as `Bearer `; may be empty."""
    secret: SecretSource


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth:
    """The authorization server that lends a connection's access tokens, and what may be asked of it."""

    grant: Literal["client_credentials", "token_exchange"]
    """Whom a token stands for: the service itself (RFC 6749, section 4.4), or the call's caller (RFC 8693)."""
    host: str
    port: int
    token_url: str
    """As it is written: also the audience of what the service says about its callers."""
    token_path: str
    revoke_path: str | None
    """Of RFC 7009, at the same host; None where it has none."""
    client_id: str
    client_secret: SecretSource
    client_auth: Literal["basic", "body"]
    """How the client proves itself (RFC 6749, section 2.3.1)."""
    scopes: frozenset[str]
    """The ceiling: scopes that a spec may name."""
    audience: str
    """For whom the token is to be (RFC 8693, section 2.1); empty: not said."""
    resource: str
    """The same as a URL (RFC 8707); empty: not said."""
    networks: tuple[str, ...]
    ca: str | None

    @property
    def header(self) -> str:
        """The name of the header that carries a token."""
        return "Authorization"


@final
@dataclass(frozen=True, slots=True)
class HttpCeiling:
    """Which requests any spec may make on a connection; None only where the file says `all`."""

    methods: frozenset[str] | None
    paths: tuple[tuple[str, ...], ...] | None
    """Patterns by segment: `*` is any one segment, `**` at the end any number of them, one at least."""

    def allows_method(self, method: str) -> bool:
        """Whether a spec may use the method."""
        return self.methods is None or method in self.methods

    def allows_path(self, segments: Sequence[str | Argument]) -> bool:
        """Whether a spec may ask for the path; an argument fills what a pattern leaves open, nothing else."""
        return self.paths is None or any(_is_within(segments, pattern) for pattern in self.paths)


def _is_within(segments: Sequence[str | Argument], pattern: tuple[str, ...]) -> bool:
    if pattern[-1:] == ("**",):
        fixed = pattern[:-1]
        return len(segments) > len(fixed) and _is_within(segments[: len(fixed)], fixed)
    return len(segments) == len(pattern) and all(
        wanted == segment or (wanted == "*" and segment != "")
        for segment, wanted in zip(segments, pattern, strict=True)
    )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class HttpTarget:
    """A service that speaks HTTP."""

    scheme: Literal["https", "http"]
    host: str
    """A DNS name in lower case, or an address without brackets."""
    port: int
    prefix: str
    """The base URL's path, empty or with a leading and no trailing `/`."""
    auth: HttpAuth | OAuth | None
    networks: tuple[str, ...]
    """The only addresses that may be reached (CIDR); empty: every public one."""
    ca: str | None
    """Absolute path of the PEM file that the server's certificate must lead to; None: the system's authorities."""
    ceiling: HttpCeiling

    @property
    def authority(self) -> str:
        """Host and, if it is not the scheme's own, port: the `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority."""
        return f"{self.scheme}://{self.authority}"


@final
@dataclass(frozen=True, slots=True)
class SqlCeiling:
    """What any spec may read on a connection that speaks SQL; None, at either place, only where the file says `all`."""

    tables: Mapping[str, frozenset[str] | None] | None
    """By table, its columns."""


NO_SQL: Final = SqlCeiling(MappingProxyType({}))
"""Of a connection that speaks none."""

Target = FileTarget | ServerTarget | HttpTarget
"""Where a connection leads: a closed union, matched with `assert_never`."""

SqlEngine = Literal["sqlite", "postgres", "duckdb", "mysql"]
Engine = Literal[SqlEngine, "http"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One target system, as operators describe it in `connections.toml`."""

    name: str
    engine: Engine
    target: Target
    ceiling: SqlCeiling
    """Tables and columns any spec may read; that of HTTP stands in its target."""
    tools: tuple[str, ...] | None = None
    """Patterns of the tools that may use the connection at all; None where the ceiling does not say."""
    digest: Digest
    """SHA-256 of this entry's canonical text; a plan made for one digest is not used under another."""

    def admits(self, tool: str) -> bool:
        """Whether a tool of this name may use the connection."""
        return self.tools is None or any(fnmatchcase(tool, pattern) for pattern in self.tools)

    @property
    def dialect(self) -> SqlEngine:
        """The SQL that the target speaks; asked of connections that do."""
        if self.engine == "http":
            raise ValueError("a connection of engine `http` speaks no SQL")
        return self.engine

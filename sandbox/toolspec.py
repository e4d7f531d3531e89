"""What may be asked? A tool spec after it has been read, checked and normalised by `specs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, NewType, final

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


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class TableRule:
    """What of one table the tool may show."""

    table: str
    columns: tuple[str, ...]
    """In the order of the catalogue; `columns: all` is already spelled out."""
    row_filter: str | None = None
    """A boolean SQL expression over this table's columns and `claim('name')`, proven by `sql` at lint."""
    masks: Mapping[str, MaskName]


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
    rate: Rate | None = None
    concurrency: int | None = None
    """Calls of this tool running at once, over all principals."""


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
    kind: Literal["sql"]
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


SecretSource = EnvSecret | FileSecret
"""Where a secret lies; `leases` alone reads it. A closed union, matched with `assert_never`."""


@final
@dataclass(frozen=True, slots=True)
class ServerTarget:
    """A database behind a server."""

    dsn: SecretSource
    """A URL whose login connects and sees the catalogue; it reads no table."""


Target = FileTarget | ServerTarget
"""Where a connection leads: a closed union, matched with `assert_never`."""

SqlEngine = Literal["sqlite", "postgres"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """One target system, as operators describe it in `connections.toml`."""

    name: str
    engine: SqlEngine
    target: Target
    ceiling_tables: frozenset[str] | None
    """Tables any spec may reach; None only where the file says `tables = "all"`."""
    digest: Digest
    """SHA-256 of this entry's canonical text; a plan made for one digest is not used under another."""

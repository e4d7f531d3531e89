"""How is this deployment configured? `sandbox.toml` as typed values; its digest goes into every record."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sandbox.deployment import Misconfigured
from sandbox.settings_sentences import told_settings
from sandbox.toolspec import Digest


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Names = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=255)], ...], Field(strict=False, max_length=64)]


class ServerSettings(_Section):
    """The gRPC door."""

    listen: str = "127.0.0.1:7443"
    """HOST:PORT; port 0 takes a free one, told by the `ready` line and in `state/address`."""
    threads: int = Field(default=256, ge=1, le=1024)
    """Calls worked on at once; more wait in the transport. Made when they are needed."""
    threads_per_principal: int = Field(default=96, ge=1, le=1024)
    """Requests of one principal at once, of which each has a thread until its answer is made."""
    stream_threads: int = Field(default=32, ge=1, le=1024)
    """ExecuteStream streams held at once, over all principals; one idle stream holds a thread."""
    streams_per_principal: int = Field(default=8, ge=1, le=1024)
    stream_idle_seconds: int = Field(default=60, ge=1, le=3600)
    """A stream without a call for so long, or whose next answer nobody takes for so long, is closed."""
    max_message_bytes: int = Field(default=4 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024)


class HttpSettings(_Section):
    """The HTTP door: MCP (Streamable HTTP) and Connect/JSON. It needs the extra `tool-sandbox[mcp]`."""

    listen: str = ""
    """HOST:PORT, such as `127.0.0.1:7444`; empty: there is no HTTP door; port 0 takes a free one, told by the `ready`
    line."""
    allowed_hosts: Names = ()
    """Names beside the address itself and loopback's under which requests may ask for the service (`Host`), with the
    port; against DNS rebinding."""
    allowed_origins: Names = ()
    """Values of `Origin` that requests may have, such as `https://app.example`: of hosts that show their windows with a
    browser's engine. No CORS header is sent, so that pages in a browser cannot ask in any case."""
    public_url: str = Field(default="", max_length=255, pattern=r"^(https://[^\s/?#@]+)?$")
    """`https://HOST[:PORT]` under which clients know the service; empty: its address. With `/mcp` it is the resource of
    the OAuth metadata (RFC 9728)."""
    max_connections: int = Field(default=2048, ge=1, le=65_536)
    """Connections held at once; further ones are ended."""
    bearer_tokens: bool = False
    """Whether the door takes tokens that are bound to no client certificate, but to this resource, and end soon."""
    bearer_minutes: int = Field(default=60, ge=1, le=1440)
    """The longest life of such a token that is accepted, from `iat` to `exp`."""
    authorization_servers: Names = ()
    """Issuers of tokens as the OAuth metadata (RFC 9728) tells them to clients."""


class IdentitySettings(_Section):
    """Tokens of the built-in issuer."""

    issuer: str = "sandbox"
    audience: str = "sandbox"
    token_hours: int = Field(default=720, ge=1, le=8760)
    """Life of a token that `sandbox token new` mints."""
    clock_skew_seconds: int = Field(default=5, ge=0, le=60)
    cache_seconds: float = Field(default=2.0, ge=0.0, le=60.0)
    """A verified token is believed for at most so long before revocation is looked up again."""


class LimitSettings(_Section):
    """Bounds across tools."""

    cold_parses_per_second: int = Field(default=20, ge=1, le=100_000)
    """SQL texts not met before, per principal; parsing is the dearest thing a caller can ask for."""
    cold_parse_burst: int = Field(default=40, ge=1, le=100_000)
    recorded_refusals_per_minute: int = Field(default=600, ge=1, le=1_000_000)
    """Refusals with a record of their own, per principal; beyond it they are only counted, so that refusing cannot
    fill the disk."""
    window_seconds: int = Field(default=60, ge=1, le=3600)
    """Of refusals by rate the first in each window leaves a receipt; the others are counted in one record."""


class ArgumentSettings(_Section):
    """Bounds on a call's arguments before anything reads them."""

    max_bytes: int = Field(default=256 * 1024, ge=64, le=16 * 1024 * 1024)
    max_depth: int = Field(default=32, ge=1, le=128)


class SqlSettings(_Section):
    """What the gate holds SQL to: how large a text may be, and how small a group of what is for aggregates alone."""

    max_bytes: int = Field(default=64 * 1024, ge=64, le=1024 * 1024)
    max_tokens: int = Field(default=5_000, ge=16, le=50_000)
    max_depth: int = Field(default=60, ge=1, le=100)
    """Parentheses and CASEs within each other, and prefix operators in a row; 60 keeps the pure and the compiled parser
    in agreement (research: 150 fails pure)."""
    min_group_size: int = Field(default=5, ge=2, le=1_000_000)
    """Values that an aggregate of an `aggregate_only` column is made of at the least."""
    plan_cache: int = Field(default=4_096, ge=0, le=1_000_000)
    """Proven statements remembered."""


class LogSettings(_Section):
    """The signed log."""

    origin: str = Field(default="sandbox.example/log", min_length=1, max_length=255, pattern=r"^[^\s+]+$")
    """The log's unique name (C2SP tlog-checkpoint): the first line of each checkpoint and the key's name."""
    request_id_hours: int = Field(default=24, ge=1, le=168)
    payload_days: int = Field(default=0, ge=0, le=36_500)
    """How long encrypted payloads of calls are kept; 0 is for ever. Records and proofs are kept in any case."""
    alarm_free_mib: int = Field(default=1024, ge=0, le=1_048_576)
    """With less room than this on the log's file system operators are told once a minute; 0 tells nobody."""
    least_free_mib: int = Field(default=64, ge=0, le=1_048_576)
    """With less room than this calls are refused before they run; 0 refuses only when writing fails."""


class VaultSettings(_Section):
    """OpenBao or HashiCorp Vault, where secrets that `connections.toml` names `{vault = …}` lie."""

    address: str = Field(default="", max_length=255, pattern=r"^(https?://[^\s/?#@]+)?$")
    """`https://HOST:PORT`, or `http://` and an address of loopback; empty: none."""
    role_id_file: str = Field(default="secrets/vault-role-id", min_length=1, max_length=4096)
    """The AppRole's role id; relative to the deployment or absolute, 0600 or refused."""
    secret_id_file: str = Field(default="secrets/vault-secret-id", min_length=1, max_length=4096)
    """The AppRole's secret id; the same."""
    approle: str = Field(default="approle", max_length=255, pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$")
    """The path that the AppRole method is mounted at."""
    namespace: str = Field(default="", max_length=255, pattern=r"^([A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*/?)?$")
    """Sent as `X-Vault-Namespace`; empty: the root namespace."""
    ca: str = Field(default="", max_length=4096)
    """A PEM file that the server's certificate must lead to; empty: the system's authorities."""


class Settings(_Section):
    """Everything `sandbox.toml` can say."""

    server: ServerSettings = ServerSettings()
    http: HttpSettings = HttpSettings()
    identity: IdentitySettings = IdentitySettings()
    limits: LimitSettings = LimitSettings()
    arguments: ArgumentSettings = ArgumentSettings()
    sql: SqlSettings = SqlSettings()
    log: LogSettings = LogSettings()
    vault: VaultSettings = VaultSettings()


MAX_FILE_BYTES: Final = 256 * 1024


def read_settings(path: Path) -> tuple[Settings, bytes]:
    """Read `sandbox.toml`; returns the settings and the bytes they were read from.

    Raises `Misconfigured` with the file, the key and what would be accepted.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise Misconfigured(
            f"{path}: cannot be read ({error.strerror}); make a deployment with `sandbox init DIR`"
        ) from error
    if len(source) > MAX_FILE_BYTES:
        raise Misconfigured(f"{path}: {len(source)} bytes; at most {MAX_FILE_BYTES} are accepted")
    try:
        document = tomllib.loads(source.decode("utf-8"))
        return Settings.model_validate(document), source
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{path}: byte {error.start + 1} is not UTF-8") from error
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        mark, sentence = next(told_settings(error, Settings, source))
        place = f"{path}:{mark.line}" if mark is not None and mark.line else str(path)
        raise Misconfigured(f"{place}: {sentence}") from error


def digest_of(*sources: bytes) -> Digest:
    """SHA-256 over the SHA-256 of each source, in the order given."""
    whole = hashlib.sha256()
    for source in sources:
        whole.update(hashlib.sha256(source).digest())
    return Digest(whole.hexdigest())

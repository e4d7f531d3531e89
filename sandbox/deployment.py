"""Where does everything of one deployment lie? In the folder `sandbox init` makes; its keys are for its owner alone."""

from __future__ import annotations

import os
import stat
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import final


class Misconfigured(Exception):
    """An operator's file or flag is wrong: one sentence saying what, where, and what would be accepted. Exit code 2."""


@final
@dataclass(frozen=True, slots=True)
class Deployment:
    """The paths of one deployment folder."""

    root: Path
    state_elsewhere: Path | None = None
    """Another folder for what the service writes: `sandbox test` keeps its log apart from the real one."""

    @property
    def settings(self) -> Path:
        """`sandbox.toml`."""
        return self.root / "sandbox.toml"

    @property
    def connections(self) -> Path:
        """`connections.toml`, the operators' file."""
        return self.root / "connections.toml"

    @property
    def toolspecs(self) -> Path:
        """One YAML file a tool."""
        return self.root / "toolspecs"

    @property
    def policies(self) -> Path:
        """Cedar files."""
        return self.root / "policies"

    @property
    def pki(self) -> Path:
        """The private CA and certificates: `ca.pem ca.key server.pem server.key clients/NAME.pem clients/NAME.key`."""
        return self.root / "pki"

    @property
    def keys(self) -> Path:
        """`log.key log.vkey log-mldsa44.key log-mldsa44.vkey root.key token.key lease.key`."""
        return self.root / "keys"

    @property
    def lease_key(self) -> Path:
        """What the passwords of the tools' logins are derived from."""
        return self.keys / "lease.key"

    @property
    def assertion_key(self) -> Path:
        """What signs for whom tokens are exchanged; there only where a connection does that."""
        return self.keys / "assertion.key"

    @property
    def tokens(self) -> Path:
        """`NAME.jwt`."""
        return self.root / "tokens"

    @property
    def state(self) -> Path:
        """The log, revocations and the address of the running service."""
        return self.state_elsewhere or self.root / "state"

    @property
    def log_database(self) -> Path:
        """Records, payloads and the tree."""
        return self.state / "log.db"

    @property
    def checkpoint(self) -> Path:
        """The newest checkpoint that was left with both lines, for the audit."""
        return self.state / "checkpoint"

    @property
    def revocations(self) -> Path:
        """One revoked token id a line."""
        return self.state / "revoked.txt"

    @property
    def address(self) -> Path:
        """HOST:PORT of the running service."""
        return self.state / "address"

    @property
    def service_lock(self) -> Path:
        """Held by the running service, so that there is one."""
        return self.state / "serve.lock"

    @property
    def schemas(self) -> Path:
        """The editor's JSON Schema of tool specs."""
        return self.root / "schema"


def read_private(path: Path, what: str = "key") -> bytes:
    """Read a key file, or one of `what`; raise `Misconfigured` if anybody but its owner may read or write it."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise Misconfigured(f"{path}: the {what} cannot be read ({error.strerror})") from error
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise Misconfigured(f"{path}: the {what} must lie in a regular file")
        if mode & 0o077:
            raise Misconfigured(
                f"{path}: mode {stat.S_IMODE(mode):04o} lets others at the {what}; only 0600 is accepted"
            )
        return file.read()


def write_private(path: Path, content: bytes) -> None:
    """Write a new key file with mode 0600; an existing file is never replaced."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, content: bytes, mode: int) -> None:
    """Put a whole new file in the place of `path`: readers meet the old one or the new one, after a crash too."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Put on disk what a folder names; raises `OSError`."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

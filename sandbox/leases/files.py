"""With which credential is a database file read? A standing one: the file system's right to open it read-only.

SQLite has no logins and nothing that could expire, so the lease names itself standing; what confines it is the
read-only open and the authorizer in the executor.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, final

from sandbox.toolspec import Connection, FileTarget


@final
@dataclass(frozen=True, slots=True)
class FileLease:
    """The right to read one database file, lent for a block; leaving the block takes nothing back."""

    connection: str
    path: str
    scope: Literal["read-only"]
    digest: bytes
    """SHA-256 over the public facts: connection, its digest, scope, standing."""

    @property
    def expires_at(self) -> None:
        """Never: it is standing."""
        return

    def __enter__(self) -> FileLease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def file_lease(connection: Connection, target: FileTarget) -> FileLease:
    """Make the one lease of a file's connection."""
    facts = f"file\n{connection.name}\n{connection.digest}\nread-only\nstanding\n"
    return FileLease(connection.name, target.path, "read-only", hashlib.sha256(facts.encode()).digest())

"""With which credential is a database file read? A standing one: the file system's right to open it read-only.

SQLite has no logins and nothing that could expire, so the lease names itself standing; what confines it is the
read-only open and the authorizer in the executor.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, final

from sandbox.leases.http import HttpLease, http_lease
from sandbox.reasons import Fault
from sandbox.stages import AuthorizedCall
from sandbox.toolspec import Connection, FileTarget, HttpTarget


@final
@dataclass(frozen=True, slots=True)
class FileLease:
    """The right to read one database file, lent for a block; leaving the block takes nothing back."""

    connection: str
    path: str
    access: Literal["read-only"]
    is_standing: Literal[True]
    digest: bytes
    """SHA-256 over the public facts: connection, its digest, access, standing."""

    def __enter__(self) -> FileLease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


@final
class Leases:
    """Lends leases: of a file one a connection, made once; of an HTTP target a new one each time."""

    def __init__(self, connections: Mapping[str, Connection]) -> None:
        """Know the operators' connections."""
        self._leases = {
            name: _lease(connection, connection.target)
            for name, connection in connections.items()
            if isinstance(connection.target, FileTarget)
        }
        self._asked = {
            name: (connection, connection.target)
            for name, connection in connections.items()
            if isinstance(connection.target, HttpTarget)
        }

    def take(self, authorized: AuthorizedCall) -> AbstractContextManager[FileLease | HttpLease]:
        """Lend the lease of the plan's connection for the block."""
        if (asked := self._asked.get(authorized.planned.plan.connection)) is not None:
            return http_lease(*asked)
        lease = self._leases.get(authorized.planned.plan.connection)
        if lease is None:
            raise Fault("leases: a plan names a connection that does not exist")
        return lease


def _lease(connection: Connection, target: FileTarget) -> FileLease:
    facts = f"file\n{connection.name}\n{connection.digest}\nread-only\nstanding\n"
    return FileLease(connection.name, target.path, "read-only", True, hashlib.sha256(facts.encode()).digest())

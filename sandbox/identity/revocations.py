"""Is a token revoked? A file of token ids, one a line, read anew when it changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import final

_Stamp = tuple[int, int, int]


@final
class Revocations:
    """The revoked token ids. A missing file means none; a file that cannot be read refuses everybody."""

    def __init__(self, path: Path) -> None:
        """Follow `path`."""
        self._path = path
        self._stamp: _Stamp | None = None
        self._ids: frozenset[str] = frozenset()

    def is_revoked(self, token_id: str) -> bool:
        """Whether the id is in the file as it is now."""
        stamp = self._stamp_now()
        if stamp != self._stamp:
            self._ids = frozenset(self._path.read_text("ascii").split()) if stamp is not None else frozenset()
            self._stamp = stamp
        return token_id in self._ids

    def revoke(self, token_id: str) -> None:
        """Add an id, durably."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(token_id.encode("ascii") + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def _stamp_now(self) -> _Stamp | None:
        try:
            facts = self._path.stat()
        except FileNotFoundError:
            return None
        return facts.st_mtime_ns, facts.st_ino, facts.st_size

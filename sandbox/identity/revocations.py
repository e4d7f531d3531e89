"""Is a token revoked? A file of token ids, one a line, read anew when it changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeAlias, final

from sandbox.reasons import Fault

_Stamp: TypeAlias = tuple[int, int, int]


@final
class Revocations:
    """The revoked token ids. A file that cannot be read, or has gone since it was read, lets nobody in."""

    def __init__(self, path: Path) -> None:
        """Follow `path`; where there is none yet, nothing has been revoked."""
        self._path = path
        self._stamp: _Stamp | None = None
        self._ids: frozenset[str] = frozenset()

    def is_revoked(self, token_id: str) -> bool:
        """Whether the id is in the file as it is now."""
        stamp = self._stamp_now()
        if stamp != self._stamp:
            if stamp is None:
                # WHY: a list that vanishes under a running service would quietly let the revoked in again.
                raise Fault("revocations: the list has gone")
            # INVARIANT: the stamp is taken before the file is read, so a line added in between is read next time.
            self._ids = frozenset(self._path.read_text("ascii").split())
            self._stamp = stamp
        return token_id in self._ids

    def revoke(self, token_id: str) -> None:
        """Add an id, durably."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            # WHY: a list edited by hand may lack its last line end; two ids on one line would revoke neither.
            joint = b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""
            file.write(joint + token_id.encode("ascii") + b"\n")
            os.fsync(descriptor)

    def _stamp_now(self) -> _Stamp | None:
        try:
            facts = self._path.stat()
        except FileNotFoundError:
            return None
        return facts.st_mtime_ns, facts.st_ino, facts.st_size

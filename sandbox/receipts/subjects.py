"""Whose data is it? One key a subject; without it neither payloads nor pseudonyms lead anywhere."""

from __future__ import annotations

import secrets
import threading
from typing import Final, final

from sandbox.receipts.keys import KEY_BYTES, RootKey, keyed
from sandbox.receipts.payloads import PayloadUnreadable, SubjectKey
from sandbox.stores.log import LogStore

MAX_CACHED: Final = 10_000
ERASED: Final = "the subject's key has been erased"

SERVICE: Final = None
"""The subject of what concerns nobody: spec, policy and configuration bytes. No token can name it."""


@final
class Subjects:
    """Finds and makes subject keys."""

    def __init__(self, store: LogStore, root: RootKey) -> None:
        """Keep wrapped keys in `store`, wrapped by `root`."""
        self._store = store
        self._root = root
        self._cached: dict[str | None, SubjectKey] = {}
        self._lock = threading.Lock()

    def key_of(self, subject: str | None) -> SubjectKey:
        """Return the subject's key, making it at the first meeting."""
        known = self._cached.get(subject)
        if known is not None:
            return known
        lookup = self._root.derive(b"subject", *_parts(subject))
        with self._lock:
            stored = self._store.subject(lookup)
            if stored is None:
                wrapped = self._root.wrap(secrets.token_bytes(KEY_BYTES), b"subject key")
                with self._store.writing() as writing:
                    writing.add_subject(lookup, wrapped)
                stored = self._store.subject(lookup)
            if stored is None or stored[1] is None:
                raise PayloadUnreadable(ERASED)
            key = self._root.unwrap(stored[1], b"subject key")
            found = SubjectKey(stored[0], keyed(key, b"wrap"), pseudonym(key, subject))
            if len(self._cached) >= MAX_CACHED:
                self._cached.clear()
            self._cached[subject] = found
            return found

    def knows(self, subject: str | None) -> bool:
        """Whether the subject has ever been met; asking makes no key."""
        return self._store.subject(self._root.derive(b"subject", *_parts(subject))) is not None

    def key_by_id(self, subject: int) -> SubjectKey:
        """Return the key of a stored payload's subject, whose name only its pseudonym tells."""
        wrapped = self._store.subject_key(subject)
        if wrapped is None:
            raise PayloadUnreadable(ERASED)
        return SubjectKey(subject, keyed(self._root.unwrap(wrapped, b"subject key"), b"wrap"), b"")


def pseudonym(key: bytes, subject: str | None) -> bytes:
    """Return what a leaf says instead of a name; nobody can compute it once the subject's key is gone."""
    return keyed(key, b"pseudonym", *_parts(subject))


def _parts(subject: str | None) -> tuple[bytes, ...]:
    # INVARIANT: the service's own lookup has no part, so no token's `sub` leads to its key.
    return () if subject is None else (subject.encode("utf-8", "surrogatepass"),)

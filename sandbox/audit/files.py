"""Which files was a call decided by? Those in the leaves that its record names, with the digests that it names."""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple, final

from sandbox.audit.audited import Leaf
from sandbox.v1 import record_pb2

_DIGEST: Final = {
    record_pb2.RECORD_KIND_SPEC: "spec_digest",
    record_pb2.RECORD_KIND_POLICY: "policy_digest",
    record_pb2.RECORD_KIND_CONFIG: "config_digest",
}
"""Which field of a file's leaf holds the SHA-256 of its bytes."""


KEY_FILE: Final = "log.vkey"
"""Under which the log's table of files names the record of the log's own key."""


class File(NamedTuple):
    """A leaf that commits to a file's bytes."""

    kind: int
    name: str
    digest: bytes


@final
class Files:
    """The files that the log's records speak of."""

    def __init__(self) -> None:
        """Begin before the first record."""
        self._at: dict[int, File] = {}
        self._agreed: set[tuple[int, bytes, tuple[int, ...]]] = set()

    def newest(self) -> dict[tuple[int, str], tuple[int, bytes]]:
        """Return (leaf, SHA-256) of each file as it is now, by its kind and name."""
        return {(file.kind, file.name): (index, file.digest) for index, file in self._at.items()}

    def follow(self, leaf: Leaf) -> str:
        """Take a record into account; returns what is wrong with it, in a phrase."""
        record = leaf.record
        if record.kind == record_pb2.RECORD_KIND_KEY:
            digest = hashlib.sha256(record.verifier_key.encode()).digest()
            self._at[leaf.index] = File(record.kind, KEY_FILE, digest)
        if record.kind in _DIGEST:
            self._at[leaf.index] = File(record.kind, record.file, getattr(record, _DIGEST[record.kind]))
            return ""
        if record.spec_digest:
            spec = self._at.get(record.spec_index)
            if spec is None or (spec.kind, spec.digest) != (record_pb2.RECORD_KIND_SPEC, record.spec_digest):
                return f"leaf {record.spec_index} does not hold the spec that it names"
        policies, configs = tuple(record.policy_indexes), tuple(record.config_indexes)
        return self._wrong_set(record_pb2.RECORD_KIND_POLICY, record.policy_digest, policies) or self._wrong_set(
            record_pb2.RECORD_KIND_CONFIG, record.config_digest, configs
        )

    def _wrong_set(self, kind: int, digest: bytes, leaves: tuple[int, ...]) -> str:
        """The digest over several files must be that of the leaves named, in their order."""
        if not (digest or leaves) or (kind, digest, leaves) in self._agreed:
            return ""
        whole = hashlib.sha256()
        for leaf in leaves:
            file = self._at.get(leaf)
            if file is None or file.kind != kind:
                return f"leaf {leaf} does not hold the file that it names"
            if kind == record_pb2.RECORD_KIND_POLICY:
                whole.update(hashlib.sha256(file.name.encode()).digest())
            whole.update(file.digest)
        if whole.digest() != digest:
            return "the files that it names do not make the digest that it names"
        self._agreed.add((kind, digest, leaves))
        return ""

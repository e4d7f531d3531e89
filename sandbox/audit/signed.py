"""Which trees did the log's key sign? The checkpoints, met one by one as the tree grows to their sizes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final, final

from sandbox.audit.audited import Audited
from sandbox.audit.kept import Kept
from sandbox.audit.merkle import GrowingTree
from sandbox.audit.notes import Checkpoint, NoteInvalid, VerifierKey, check_signature, write_note
from sandbox.stores.log import StoredCheckpoint

READ_AT_ONCE: Final = 2000
SIGNED_WITHIN_S: Final = 1.0
"""How long the newest signature is waited for: a service writes it with its next batch, or by itself in a moment."""
LOOK_EVERY_S: Final = 0.05


@final
class SignedTrees:
    """The checkpoints of one log."""

    def __init__(self, store: Audited, key: VerifierKey) -> None:
        """Begin before the first record of the log in `store`, whose Ed25519 key is `key`."""
        self._store = store
        self._key = key
        self._rows: Iterator[StoredCheckpoint] = iter(())
        self._next: StoredCheckpoint | None = None
        self.seen = 0
        self.unsigned = 0
        """Of those that were seen, how many have no signature."""
        self.covered = 0
        """The size of the newest signed one: so many records has the key signed."""
        self.newest: tuple[Kept, ...] = ()
        """That one, if there is one."""

    def look_up_to(self, size: int, from_size: int = 0) -> None:
        """Meet those beyond `from_size`, where the tree stands, up to `size`."""
        self._rows = self._read(from_size, size)
        self._next = next(self._rows, None)

    @property
    def ahead(self) -> StoredCheckpoint | None:
        """The next one to meet."""
        return self._next

    def meet(self, tree: GrowingTree) -> str:
        """Compare with the tree the one of its size, if there is one; returns what is wrong with it, in a phrase."""
        at = self._next
        if at is None or at.size != tree.size:
            return ""
        if at.root != tree.root():
            return f"the checkpoint of {leaves(at.size)} has another root than its leaves"
        self.seen += 1
        self._next = next(self._rows, None)
        if at.signature is None:
            self.unsigned += 1
            return ""
        return self._check(at, at.signature)

    def await_newest(self, tree: GrowingTree) -> str:
        """Take the signature of the tree as it is once a service that writes beside us has written it; it does at once.

        Returns what is wrong with it, in a phrase.
        """
        until = time.monotonic() + SIGNED_WITHIN_S
        while self.covered < tree.size:
            last = self._store.checkpoints(tree.size - 1, 1)
            if last and last[0].size == tree.size and last[0].root == tree.root() and last[0].signature is not None:
                self.unsigned -= 1
                return self._check(last[0], last[0].signature)
            if time.monotonic() >= until:
                break
            time.sleep(LOOK_EVERY_S)
        return ""

    def _check(self, checkpoint: StoredCheckpoint, signature: bytes) -> str:
        try:
            check_signature(self._key, checkpoint.size, checkpoint.root, signature)
        except NoteInvalid as error:
            return f"the checkpoint of {leaves(checkpoint.size)}: {error}"
        self.covered = checkpoint.size
        note = write_note(self._key, checkpoint.size, checkpoint.root, signature)
        tree = Checkpoint(self._key.name, checkpoint.size, checkpoint.root)
        self.newest = (Kept("newest", note, tree, (self._key,)),)
        return ""

    def _read(self, after: int, most: int) -> Iterator[StoredCheckpoint]:
        while checkpoints := self._store.checkpoints(after, READ_AT_ONCE):
            for checkpoint in checkpoints:
                if checkpoint.size > most:
                    return
                yield checkpoint
            after = checkpoints[-1].size


def leaves(count: int) -> str:
    """Say how many."""
    return "1 leaf" if count == 1 else f"{count} leaves"

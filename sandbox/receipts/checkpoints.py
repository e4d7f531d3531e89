"""What does a reviewer get as the newest checkpoint? The note with both signature lines, signed once a tree size."""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path
from typing import Final, final

from sandbox.deployment import replace_file
from sandbox.receipts.log import ExecutionLog
from sandbox.receipts.note import MlDsaSigner
from sandbox.receipts.opening import has_grown_from, told_tree
from sandbox.stores.log import StoreUnavailable
from sandbox.telemetry.events import warn_often

PUBLISHED_EVERY_S: Final = 10.0
"""How often reading may write the file: a write is forced to the disk that the committer writes to."""


@final
class Checkpoints:
    """Adds the ML-DSA-44 line to checkpoints that are asked for, on the thread of whoever asks."""

    def __init__(self, log: ExecutionLog, file: Path | None = None) -> None:
        """Take trees and Ed25519 lines from `log`; the last note is left in `file`, where the audit finds it."""
        self._log = log
        self._file = file
        self._lock = threading.Lock()
        self._tree: tuple[int, bytes] | None = None
        self._line = b""
        self._left: tuple[int, bytes] | None = None
        self._left_at = float("-inf")

    def newest(self) -> bytes:
        """Return the newest checkpoint; of a deployment without an ML-DSA-44 key, with its Ed25519 line alone."""
        signer = self._log.signer.ml_dsa
        if signer is None:
            return self._log.note_of(self._log.newest_checkpoint())
        # INVARIANT: the newest is read under the lock, so that sizes only grow and each is signed at most once.
        with self._lock:
            note = self._signed(signer)
            if time.monotonic() - self._left_at >= PUBLISHED_EVERY_S:
                self._leave(note)
        return note

    def publish(self) -> None:
        """Leave the newest checkpoint in the file now: so does a service that starts or ends. Never raises."""
        signer = self._log.signer.ml_dsa
        if signer is not None:
            with self._lock, contextlib.suppress(StoreUnavailable):
                self._leave(self._signed(signer))

    def _signed(self, signer: MlDsaSigner) -> bytes:
        checkpoint = self._log.newest_checkpoint()
        note = self._log.note_of(checkpoint)
        tree = checkpoint.size, checkpoint.root
        if tree != self._tree:
            self._line = signer.line(*tree)
            self._tree = tree
        return note + self._line

    def _leave(self, note: bytes) -> None:
        if self._file is None or self._left == self._tree:
            return
        self._left_at = time.monotonic()
        try:
            if self._is_of_another_tree(self._file):
                warn_often("checkpoint kept", "state/checkpoint is of another tree than the log's; audit the log")
                return
            replace_file(self._file, note, 0o600)
        except OSError as error:  # a full disk keeps nobody from reading; the next one to read tries again
            warn_often("checkpoint not left", type(error).__name__)
            return
        self._left = self._tree

    def _is_of_another_tree(self, file: Path) -> bool:
        """Whether the file tells of a tree that ours has not grown from, or of none that can be read.

        # INVARIANT: such a file stays, for it shows the audit that the log was cut or rolled back.
        """
        try:
            size, root = told_tree(file.read_bytes())
        except FileNotFoundError:
            return False
        except ValueError:
            return True
        return not has_grown_from(self._log.store, size, root)

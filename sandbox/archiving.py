"""How does a log leave the host? As an archive that is read back and audited before it is put in place.

INVARIANT: payloads are removed from the log only when the archive that holds them is on disk, compared with the log
byte by byte, and sound under the log's key.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from sandbox.audit.archived import audit_archive
from sandbox.audit.audit import LogInvalid
from sandbox.deployment import Deployment, Misconfigured, sync_folder
from sandbox.founding import made_whole
from sandbox.reasons import Refused
from sandbox.receipts import ExecutionLog, Retention
from sandbox.receipts.keys import read_signer
from sandbox.settings import read_settings
from sandbox.stores.archive import ArchivedLog, write_archive, write_file
from sandbox.stores.log import MAX_PAYLOADS, LogStore, StoreUnavailable
from sandbox.stores.sqlite_log import SqliteLog

READ_AT_ONCE: Final = 1000
COMPARED_AT_ONCE: Final = 256
"""Leaves whose payloads are held in memory, twice."""
Progress = Callable[[int, int], None]


@final
@dataclass(frozen=True, slots=True)
class Archived:
    """An archive that was made and proven."""

    place: Path
    records: int
    payloads: int
    pruned: int
    """Payloads removed from the log."""


def archive_log(root: Path, place: Path, *, before: int | None, prune: bool, progress: Progress) -> Archived:
    """Archive the log of the deployment in `root` in the new or empty folder `place`, beside a running service.

    All of it that is signed, or the largest signed tree of at most `before` leaves. `prune` then removes the archived
    payloads from the log. Raises `Misconfigured`, and then leaves no archive and removes nothing; if only what
    comes after fails, the archive stays, and the next run of retention or of this finishes what is on record.
    """
    deployment = Deployment(root.resolve())
    settings, _ = read_settings(deployment.settings)
    if not deployment.log_database.exists():
        raise Misconfigured(f"{deployment.log_database}: there is no log yet; `sandbox serve` begins it")
    if prune:
        with closing(ExecutionLog.open(deployment, settings)) as log:
            return _archived(deployment, log.store, settings.log.origin, place, before, progress, Retention(log))
    with _unreadable_told(deployment), closing(SqliteLog(deployment.log_database, is_read_only=True)) as store:
        return _archived(deployment, store, settings.log.origin, place, before, progress, None)


def _archived(  # noqa: PLR0913, PLR0917 - the one way of both
    deployment: Deployment,
    store: LogStore,
    origin: str,
    place: Path,
    before: int | None,
    progress: Progress,
    pruning: Retention | None,
) -> Archived:
    signer = read_signer(deployment, origin)
    with _unreadable_told(deployment), store.removing() as is_alone:
        if not is_alone:
            raise Misconfigured(f"{deployment.log_database}: a service is removing payloads now; try again in a moment")
        checkpoint = _newest_signed(store, before)
        note = signer.note(checkpoint[0], checkpoint[1], checkpoint[2])
        with made_whole(place) as building:
            write_archive(store, building, note, checkpoint[0], progress)
            write_file(building / "log.vkey", f"{signer.verifier_key}\n".encode())
            try:
                report = audit_archive(building, signer.verifier_key)
            except LogInvalid as error:
                raise Misconfigured(f"{deployment.log_database}: no archive is made of this log: {error}") from error
            _compare(store, building, checkpoint[0])
            # INVARIANT: on disk before the log lets go of anything, and an error of the disk ends it here.
            for folder, _, _ in os.walk(building):
                sync_folder(Path(folder))
        os.sync()  # WHY: for folders above it that are new; that tells of no error, so its own name is synced after it
        sync_folder(place.resolve().parent)
        pruned = pruning.prune(checkpoint[0], checkpoint[1]) if pruning else 0
    return Archived(place.resolve(), report.tree_size, report.payloads, pruned)


def _newest_signed(store: LogStore, before: int | None) -> tuple[int, bytes, bytes]:
    """Return size, root and signature of the newest signed checkpoint of at most `before` leaves."""
    newest = store.newest_signed_checkpoint()
    if before is not None:
        at_most = [each for each in _checkpoints(store) if each[0] <= before]
        if not at_most:
            raise Misconfigured(f"--before {before}: no signed checkpoint is of so few records")
        return at_most[-1]
    if newest is None or newest.signature is None:
        raise Misconfigured("nothing in the log is signed yet")
    return newest.size, newest.root, newest.signature


def _checkpoints(store: LogStore) -> Iterator[tuple[int, bytes, bytes]]:
    after = 0
    while found := store.checkpoints(after, READ_AT_ONCE):
        for each in found:
            if each.signature is not None:
                yield each.size, each.root, each.signature
        after = found[-1].size


def _compare(store: LogStore, place: Path, size: int) -> None:
    """Raise `Misconfigured` unless every payload of the log is in the archive, key included."""
    archived = ArchivedLog(place, lambda _: b"")
    for start in range(0, size, COMPARED_AT_ONCE):
        of = start * MAX_PAYLOADS, min(start + COMPARED_AT_ONCE, size) * MAX_PAYLOADS
        if list(store.payloads(*of)) != list(archived.payloads(*of)):
            raise Misconfigured(f"{place}: the archive does not hold the payloads of the log; nothing was removed")


@contextmanager
def _unreadable_told(deployment: Deployment) -> Iterator[None]:
    try:
        yield
    except (StoreUnavailable, Refused, OSError) as error:
        raise Misconfigured(f"{deployment.log_database}: the log cannot be archived ({error})") from error

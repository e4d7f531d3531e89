"""Is an archive what its signature says? The same audit as of a log, over the archive's own files and offline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from sandbox.audit.audit import AuditReport, LogInvalid, audit_store
from sandbox.audit.kept import read_kept
from sandbox.audit.notes import ED25519, NoteInvalid, parse_audit_keys, parse_note
from sandbox.stores.archive import CHECKPOINT, MAX_CHECKPOINT_BYTES, ArchivedLog, read_file
from sandbox.stores.log import StoreUnavailable

ARCHIVED: Final = "archived"


def audit_archive(
    place: Path,
    verifier_key: str,
    *further_keys: str,
    progress: Callable[[int, int], None] = lambda _done, _whole: None,
) -> AuditReport:
    """Audit the archive in `place` under the log's verifier keys; raises `LogInvalid`."""
    try:
        keys = parse_audit_keys((verifier_key, *further_keys))
        note = read_file(place / CHECKPOINT, MAX_CHECKPOINT_BYTES)
        kept = read_kept(ARCHIVED, note, keys)
        archive = ArchivedLog(place, lambda content: _signature(content, keys[0].key_id))
        if name := archive.unknown_file():
            raise LogInvalid(f"{name}: an archive of this tree has no such file")
        return audit_store(archive, keys, (kept,), progress)
    except NoteInvalid as error:
        raise LogInvalid(str(error)) from error
    except StoreUnavailable as error:
        raise LogInvalid(f"the archive is damaged ({error})") from error


def _signature(content: bytes, key_id: bytes) -> bytes:
    """Return the Ed25519 signature of a checkpoint, for the audit to check; an archive without one is none."""
    lines = [line.signature for line in parse_note(content).lines if line.key_id == key_id]
    if not lines:
        raise NoteInvalid(f"the archived checkpoint has no signature of the log's key of type {ED25519}")
    return lines[0]

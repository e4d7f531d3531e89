"""Which checkpoints lie outside of the log's file, and which one is left to the next audit?

INVARIANT: what is left to remember is never of a smaller tree than what was remembered, and has all of its signatures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from sandbox.audit.notes import (
    Checkpoint,
    Note,
    NoteInvalid,
    SignatureFalse,
    SignatureLine,
    VerifierKey,
    note_bytes,
    parse_checkpoint,
    parse_note,
    signed_by,
)

PUBLISHED: Final = "published"
REMEMBERED: Final = "remembered"


@final
@dataclass(frozen=True, slots=True)
class Kept:
    """A checkpoint with a signature of the log."""

    name: str
    note: Note
    tree: Checkpoint
    signers: tuple[VerifierKey, ...]

    @property
    def sound_lines(self) -> tuple[SignatureLine, ...]:
        """The lines that were checked."""
        known = {(key.name, key.key_id) for key in self.signers}
        return tuple(line for line in self.note.lines if (line.name, line.key_id) in known)


def read_kept(name: str, content: bytes, keys: Sequence[VerifierKey]) -> Kept:
    """Read a checkpoint and check what `keys` signed of it; raises `NoteInvalid`."""
    try:
        note = parse_note(content)
        return Kept(name, note, parse_checkpoint(note.text), signed_by(note, keys))
    except SignatureFalse as error:
        raise SignatureFalse(f"the {name} checkpoint: {error}") from error
    except NoteInvalid as error:
        raise NoteInvalid(f"the {name} checkpoint: {error}") from error


def to_remember(candidates: Sequence[Kept]) -> bytes:
    """Return the checkpoint of the largest tree, with the signatures that all of `candidates` have of it.

    All are of trees that the log begins with. Of the remembered one even unknown lines are kept; of others those that
    were checked. Empty if there are none.
    """
    largest = max((kept.tree.size for kept in candidates), default=0)
    chosen = sorted((kept for kept in candidates if kept.tree.size == largest), key=_rank)
    if not chosen:
        return b""
    lines: dict[tuple[str, bytes], SignatureLine] = {}
    for kept in chosen:
        if kept.note.text == chosen[0].note.text:  # signatures of another text would be false on this one
            for line in kept.note.lines if kept.name == REMEMBERED else kept.sound_lines:
                lines.setdefault((line.name, line.key_id), line)
    return note_bytes(Note(chosen[0].note.text, tuple(lines.values())))


def _rank(kept: Kept) -> int:
    return 0 if kept.name == REMEMBERED else 1

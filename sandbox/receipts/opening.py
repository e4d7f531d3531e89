"""Is the log we are about to write to the one we signed? Checked at each start, before anything is signed on top of it.

It catches a head, checkpoint or tree root edited, cut or restored by hand without the signing key, so that nothing is
signed that the signed past does not lead to. It is no audit, for it reads no old leaf: `sandbox log audit` is one.
"""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError

from sandbox.deployment import Misconfigured
from sandbox.receipts.note import NoteSigner
from sandbox.receipts.stored import StoredTree
from sandbox.receipts.tree import EMPTY_ROOT, HASH_BYTES, GrownTree
from sandbox.stores.log import Head, LogReading, StoredCheckpoint, StoreUnavailable
from sandbox.v1 import record_pb2

KEY_FILE: Final = "log.vkey"

MAX_UNSIGNED: Final = 65 * 256
"""Records that crashes of 65 processes can leave unsigned: a batch each. More are not signed after the fact."""


def check_before_opening(store: LogReading, signer: NoteSigner, path: Path) -> None:
    """Raise `Misconfigured` unless head, checkpoints and leaves agree and the newest signature is ours."""
    try:
        fault = found_wrong(store, signer)
    except StoreUnavailable as error:
        raise Misconfigured(f"{path}: the log cannot be read ({error})") from error
    if fault:
        raise Misconfigured(f"{path}: {fault}; nothing is signed on top of it; `sandbox log audit` finds the place")


def found_wrong(store: LogReading, signer: NoteSigner) -> str:
    """Return what does not agree in the log as it is stored, in one phrase; empty if everything does."""
    head = store.head()
    while store.records(head.size, 1):
        before, head = head, store.head()
        if head.size == before.size:  # else a service is writing beside us
            return "the log holds leaves beyond its head"
    if not _holds_together(head):
        return "the log's head does not hold together"
    if head.size == 0:
        return ""
    if fault := _another_key(store, signer):
        return fault
    newest = store.checkpoint_covering(head.size - 1)
    if newest is None or (newest.size, newest.root) != (head.size, head.root):
        return f"no checkpoint of {head.size} records"
    return _disagreement(store, signer, newest)


def has_grown_from(store: LogReading, size: int, root: bytes) -> bool:
    """Whether the stored tree begins with the tree of that size and root."""
    if not 0 < size <= store.head().size:
        return size == 0 and root == EMPTY_ROOT
    try:
        return StoredTree(store).node(0, size) == root
    except StoreUnavailable:  # a leaf of it is missing
        return False


def told_tree(note: bytes) -> tuple[int, bytes]:
    """Return the size and root that a checkpoint's text tells; raises `ValueError`."""
    _, size, root, *_ = note.split(b"\n")
    return int(size), b64decode(root, validate=True)


def check_against_left(store: LogReading, signer: NoteSigner, file: Path) -> None:
    """Raise `Misconfigured` if the checkpoint that a service has left is ours and of a tree that the log is not."""
    try:
        note = file.read_bytes()
        size, root = told_tree(note)
    except (OSError, ValueError):
        return  # nothing that could be proven; the audit tells of it
    if note.startswith(signer.note(size, root, signer.sign(size, root))) and not has_grown_from(store, size, root):
        raise Misconfigured(
            f"{file}: the log has not grown from the {size} records that this checkpoint of ours tells of; it was cut,"
            " changed or restored; after a restore that was meant, move the file away"
        )


def _holds_together(head: Head) -> bool:
    """Whether the roots that the tree will grow from make its root."""
    if len(head.frontier) != HASH_BYTES * head.size.bit_count():
        return False
    return head.root == (GrownTree(head.size, head.frontier, ()).root() if head.size else EMPTY_ROOT)


def _disagreement(store: LogReading, signer: NoteSigner, newest: StoredCheckpoint) -> str:
    tree = StoredTree(store)
    signed = store.newest_signed_checkpoint()
    for checkpoint in [newest, *store.unsigned_checkpoints(), *([signed] if signed else [])]:
        if not signer.is_sealed(checkpoint.size, checkpoint.root, checkpoint.seal):
            return f"the checkpoint of {checkpoint.size} records was not made with our key"
        if _root(tree, checkpoint) != checkpoint.root:
            return f"the leaves do not make the tree of {checkpoint.size} records that the log says"
    covered = signed.size if signed else 0
    if newest.size - covered > MAX_UNSIGNED:
        return f"the last {newest.size - covered} records bear no signature, more than a crash can leave"
    if signed and not signer.is_ours(signed.size, signed.root, signed.signature or b""):
        return f"the checkpoint of {signed.size} records does not bear our signature"
    return ""


def _root(tree: StoredTree, checkpoint: StoredCheckpoint) -> bytes:
    return tree.node(0, checkpoint.size) if checkpoint.size else EMPTY_ROOT


def _another_key(store: LogReading, signer: NoteSigner) -> str:
    known = store.file(record_pb2.RECORD_KIND_KEY, KEY_FILE)
    if known is None:
        return ""
    try:
        named = record_pb2.Record.FromString(store.record(known[0]) or b"").verifier_key
    except DecodeError:
        return "the record that names the log's key cannot be read"
    return "" if named == signer.verifier_key else "the log was begun with another key than keys/log.key"

"""Is the log we are about to write to the one we signed? Checked at each start, before anything is signed on top of it.

It catches a file edited, cut or restored by hand without the signing key. It is no audit: `sandbox log audit` is one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from sandbox.deployment import Misconfigured
from sandbox.receipts.note import NoteSigner
from sandbox.receipts.stored import StoredTree
from sandbox.receipts.tree import EMPTY_ROOT
from sandbox.stores.log import LogReading, StoredCheckpoint, StoreUnavailable
from sandbox.v1 import record_pb2

KEY_FILE: Final = "log.vkey"

MAX_UNSIGNED: Final = 512
"""Records that crashes of two processes can leave unsigned: a batch each. More are not signed after the fact."""


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
    if store.records(head.size, 1):
        return "the log holds leaves beyond its head"
    if head.size == 0:
        return ""
    key = store.file(record_pb2.RECORD_KIND_KEY, KEY_FILE)
    if key is not None and not _names(store, key[0], signer):
        return "the log was begun with another key than keys/log.key"
    newest = store.checkpoint_covering(head.size - 1)
    if newest is None or (newest.size, newest.root) != (head.size, head.root):
        return f"no checkpoint of {head.size} records"
    return _disagreement(store, signer, newest)


def _disagreement(store: LogReading, signer: NoteSigner, newest: StoredCheckpoint) -> str:
    tree = StoredTree(store)
    signed = store.newest_signed_checkpoint()
    for checkpoint in [newest, *store.unsigned_checkpoints(), *([signed] if signed else [])]:
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


def _names(store: LogReading, index: int, signer: NoteSigner) -> bool:
    content = store.record(index)
    return content is not None and record_pb2.Record.FromString(content).verifier_key == signer.verifier_key

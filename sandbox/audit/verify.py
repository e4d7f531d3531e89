"""Does this receipt prove its record? Offline, with the log's public keys alone.

The steps, in order: 1 the proof parses, strictly; 2 the checkpoint is signed by the log, under its name, and no
signature in the name of a given key is false; 3 the leaf is in that tree; 4 enough witnesses have cosigned; 5 the
record is read from the very bytes that were proven.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

from sandbox.audit.merkle import MerkleInvalid, hash_leaf, root_from_inclusion
from sandbox.audit.notes import (
    COSIGNATURE,
    LOG_KINDS,
    Checkpoint,
    NoteInvalid,
    VerifierKey,
    is_signed,
    parse_checkpoint,
    parse_log_keys,
    parse_note,
    parse_verifier_key,
    signed_by,
    strict_base64,
    strict_number,
)
from sandbox.v1 import record_pb2

MAGIC: Final = "c2sp.org/tlog-proof@v1"
MAX_PROOF_BYTES: Final = 1_000_000
MAX_PATH: Final = 64

NOT_CHECKED: Final = (
    "that the log shows everybody the same tree (witnesses, or a second checkpoint, would tell)",
    "that no record is missing between this one and others (`sandbox log audit` tells)",
    "what the encrypted payloads say (`sandbox log show` tells those who may)",
)


class ProofInvalid(ValueError):
    """The receipt does not prove what it says."""


class QuorumShort(ValueError):
    """The receipt is valid, but fewer witnesses than asked for have cosigned."""


@final
@dataclass(frozen=True, slots=True)
class Proof:
    """A tlog-proof, parsed and unverified."""

    extra: bytes | None
    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes


@final
@dataclass(frozen=True, slots=True)
class VerifiedReceipt:
    """A record that a signed tree holds."""

    leaf: bytes
    is_ours: bool
    """Whether the leaf is a record of this service, carried by its proof."""
    index: int
    tree_size: int
    origin: str
    signed_with: tuple[str, ...]
    """What the given keys' signatures on the checkpoint are: `Ed25519`, `ML-DSA-44`, or both."""
    witnesses: tuple[str, ...]
    """Names of the given witnesses that have cosigned."""
    not_checked: tuple[str, ...]

    @property
    def record(self) -> record_pb2.Record:
        """The leaf's record; empty if the leaf is not one of this service.

        # WHY read anew: a verified receipt is plain data, which frameworks keep with their messages.
        """
        return _record(self.leaf, is_ours=self.is_ours)


def verify_receipt(
    text: bytes,
    verifier_key: str,
    *further_keys: str,
    leaf: bytes | None = None,
    witnesses: Sequence[str] = (),
    quorum: int | None = None,
) -> VerifiedReceipt:
    """Verify a tlog-proof under the log's verifier keys.

    One key's signature suffices, none may be false, and `not_checked` names the keys whose signature is not there: to
    insist on a key, give it alone. `leaf` is the proven entry for proofs that do not carry it. Raises `ProofInvalid`,
    or `QuorumShort` where fewer than `quorum` of `witnesses` (default: all) have cosigned; both are `ValueError`.
    """
    try:
        proof = parse_proof(text)
        keys = parse_log_keys((verifier_key, *further_keys))
        checkpoint, signers, cosigners = _signed_checkpoint(proof.checkpoint, keys, witnesses)
        content = _leaf(proof, leaf)
        root = root_from_inclusion(hash_leaf(content), proof.index, checkpoint.size, proof.path)
    except (NoteInvalid, MerkleInvalid, UnicodeError) as error:
        raise ProofInvalid(str(error)) from error
    if root != checkpoint.root:
        raise ProofInvalid("the record is not in the tree that was signed")
    wanted = len(witnesses) if quorum is None else quorum
    if len(cosigners) < wanted:
        raise QuorumShort(f"{len(cosigners)} of {wanted} wanted witnesses have cosigned")
    record = _record(content, is_ours=leaf is None)
    return VerifiedReceipt(
        leaf=content,
        is_ours=leaf is None,
        index=proof.index,
        tree_size=checkpoint.size,
        origin=checkpoint.origin,
        signed_with=tuple(sorted({LOG_KINDS[key.kind] for key in signers})),
        witnesses=cosigners,
        not_checked=(
            *(f"a signature of {key.label}: the checkpoint carries none" for key in keys if key not in signers),
            *(NOT_CHECKED[1:] if cosigners else NOT_CHECKED),
            *_unknown(record),
        ),
    )


def parse_proof(text: bytes) -> Proof:
    """Read a tlog-proof (https://c2sp.org/tlog-proof); raises `ProofInvalid` or `NoteInvalid`."""
    if len(text) > MAX_PROOF_BYTES:
        raise ProofInvalid(f"a proof of {len(text)} bytes; at most {MAX_PROOF_BYTES} are accepted")
    head, separator, checkpoint = text.partition(b"\n\n")
    lines = head.decode("utf-8").split("\n")
    if not separator or lines[0] != MAGIC:
        raise ProofInvalid(f"a proof begins with the line `{MAGIC}` and holds a checkpoint after an empty line")
    rest = lines[1:]
    extra = strict_base64(rest.pop(0).removeprefix("extra ")) if rest and rest[0].startswith("extra ") else None
    if not rest or not rest[0].startswith("index "):
        raise ProofInvalid("a proof has a line `index N`")
    index = strict_number(rest.pop(0).removeprefix("index "))
    path = tuple(strict_base64(line) for line in rest)
    if len(path) > MAX_PATH or any(len(node) != 32 for node in path):
        raise ProofInvalid(f"a proof's path has at most {MAX_PATH} hashes of 32 bytes")
    return Proof(extra, index, path, checkpoint)


def _signed_checkpoint(
    content: bytes, keys: Sequence[VerifierKey], witnesses: Sequence[str]
) -> tuple[Checkpoint, tuple[VerifierKey, ...], tuple[str, ...]]:
    cosigning = [parse_verifier_key(witness) for witness in witnesses]
    if any(witness.kind != COSIGNATURE for witness in cosigning):
        raise ProofInvalid("a witness's key is of type 4, timestamped Ed25519 cosignatures")
    note = parse_note(content)
    signers = signed_by(note, keys)
    # By key, so that one witness under two names counts once.
    cosigners = {witness.public: witness.name for witness in cosigning if is_signed(note, witness)}
    return parse_checkpoint(note.text), signers, tuple(sorted(cosigners.values()))


def _leaf(proof: Proof, leaf: bytes | None) -> bytes:
    content = proof.extra if leaf is None else leaf
    if content is None:
        raise ProofInvalid("the proof does not carry the proven entry; give it as the leaf")
    return content


def _record(content: bytes, *, is_ours: bool) -> record_pb2.Record:
    try:
        return record_pb2.Record.FromString(content)
    except DecodeError as error:
        if is_ours:
            raise ProofInvalid("the proven entry is no record of this format") from error
        return record_pb2.Record()


def _unknown(record: record_pb2.Record) -> tuple[str, ...]:
    unknown = UnknownFieldSet(record)
    numbers = sorted({unknown[position].field_number for position in range(len(unknown))})
    if not numbers:
        return ()
    return (f"what the record says in fields that this version does not know: {', '.join(map(str, numbers))}",)

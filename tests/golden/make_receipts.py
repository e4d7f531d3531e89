"""How were the golden receipts made? Run this file to make them again; the bytes must not differ.

The keys are fixed and known to everybody: they prove nothing but that formats stay.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from sandbox.receipts.note import MlDsaSigner, NoteSigner
from sandbox.receipts.proof import path_text, proof_text
from sandbox.receipts.records import in_chain
from sandbox.receipts.tree import GrownTree, consistency_path, inclusion_path, leaf_hash
from sandbox.v1 import record_pb2

FOLDER = Path(__file__).parent / "receipts"
SIGNER = NoteSigner("golden.example/log", Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"golden").digest()))
ML_DSA = MlDsaSigner("golden.example/log", MLDSA44PrivateKey.from_seed_bytes(hashlib.sha256(b"golden").digest()))
CHECKPOINT = Path(__file__).parent / "checkpoint"
"""A checkpoint of the same tree with both lines, made once and kept: ML-DSA-44 signs with other bytes each time."""
LEAVES = 300
SHOWN = (0, 1, 2, 127, 128, 255, 256, 298, 299)
KINDS = (
    (record_pb2.RECORD_KIND_READ, record_pb2.RECORD_STATUS_OK, ""),
    (record_pb2.RECORD_KIND_REFUSAL, record_pb2.RECORD_STATUS_REFUSED, "SQL_NOT_READ_ONLY"),
    (record_pb2.RECORD_KIND_EXPLANATION, record_pb2.RECORD_STATUS_OK, ""),
)


def digest(*words: object) -> bytes:
    return hashlib.sha256(repr(words).encode()).digest()


def record(number: int) -> bytes:
    """Return a record with something in every field a call fills."""
    kind, status, reason = KINDS[number % len(KINDS)]
    return record_pb2.Record(
        schema_version=1,
        kind=kind,
        call_id=f"01900000-0000-7000-8000-{number:012x}",
        wall_time_us=1_700_000_000_000_000 + number,
        boot_id=digest("boot")[:16],
        build="0.1.0+golden",
        door="grpc",
        principal_pseudonym=digest("ada"),
        actor_pseudonyms=[digest("agent")],
        token_digest=digest("token"),
        certificate_digest=digest("certificate"),
        tool="shop.query",
        tool_version="1.2.0",
        spec_digest=digest("spec"),
        spec_index=1,
        policy_digest=digest("policy"),
        policy_indexes=[2, 300],
        config_digest=digest("config"),
        config_indexes=[4],
        status=status,
        reason=reason,
        policy_rule_ids=["allow-all"],
        connection="shop",
        relations=["orders"],
        columns=["orders.cents"],
        functions=["sum"],
        lease_digest=digest("lease"),
        rows=number,
        bytes=number * 10,
        timings=record_pb2.Timings(decide_us=100, execute_us=200),
        payloads=[
            record_pb2.PayloadDescriptor(
                role="arguments",
                ciphertext_sha256=digest("ciphertext", number),
                size_class=256,
                key_commitment=digest("key", number),
                plaintext_commitment=digest("text", number),
            )
        ],
    ).SerializeToString(deterministic=True)


def leaves() -> list[bytes]:
    """Return the records of the golden log."""
    records: list[bytes] = []
    for number in range(LEAVES):
        previous = hashlib.sha256(records[-1]).digest() if records else b""
        records.append(in_chain(record(number), number + 1, previous))
    return records


def made() -> dict[str, bytes]:
    """Return the content of every golden file by name."""
    records = leaves()
    tree = GrownTree(0, b"", [leaf_hash(content) for content in records])
    files = {"log.vkey": SIGNER.verifier_key.encode() + b"\n"}
    for index in SHOWN:
        for size in {index + 1, LEAVES}:
            root = tree.node(0, size)
            note = SIGNER.note(size, root, SIGNER.sign(size, root))
            path = path_text(inclusion_path(tree, index, size))
            files[f"{index}-of-{size}.tlog-proof"] = proof_text(records[index], index, path, note)
    for first in (index + 1 for index in SHOWN[:-1]):
        files[f"{first}-to-{LEAVES}.consistency"] = path_text(consistency_path(tree, first, LEAVES))
    return files


def made_checkpoint() -> bytes:
    """Return a checkpoint of the whole tree, with other bytes in its second line each time."""
    root = GrownTree(0, b"", [leaf_hash(content) for content in leaves()]).root()
    return SIGNER.note(LEAVES, root, SIGNER.sign(LEAVES, root)) + ML_DSA.line(LEAVES, root)


if __name__ == "__main__":
    if not CHECKPOINT.exists():
        CHECKPOINT.mkdir()
        (CHECKPOINT / f"{LEAVES}.checkpoint").write_bytes(made_checkpoint())
        (CHECKPOINT / "log-mldsa44.vkey").write_text(ML_DSA.verifier_key + "\n", "utf-8")
    FOLDER.mkdir(exist_ok=True)
    for name, content in made().items():
        (FOLDER / name).write_bytes(content)

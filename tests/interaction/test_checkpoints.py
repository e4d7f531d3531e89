"""Which checkpoints leave a running service, and which does it leave behind?"""

from __future__ import annotations

import pytest
from conftest import Service

from sandbox.audit.audit import audit_log
from sandbox.audit.notes import parse_checkpoint, parse_log_keys, parse_note, signed_by
from sandbox.client import Client, Result
from sandbox.deployment import Deployment
from sandbox.serving import opened_house
from sandbox.v1 import execution_log_pb2 as log_pb


def keys_of(deployment: Deployment) -> tuple[str, ...]:
    return tuple((deployment.keys / f"{name}.vkey").read_text("utf-8") for name in ("log", "log-mldsa44"))


def size_signed_by_both(deployment: Deployment, content: bytes) -> int:
    note = parse_note(content)
    assert [key.kind for key in signed_by(note, parse_log_keys(keys_of(deployment)))] == [1, 6]
    return parse_checkpoint(note.text).size


@pytest.mark.requirement("log:mldsa:format")
def test_a_reviewer_gets_both_lines_of_the_newest_tree(service: Service, client: Client) -> None:
    answer = client.call("shop.order", {"id": 1})
    assert isinstance(answer, Result)
    with service.channel("reviewer") as channel:
        ask = channel.unary_unary(
            "/sandbox.v1.ExecutionLogService/GetCheckpoint",
            log_pb.GetCheckpointRequest.SerializeToString,
            log_pb.GetCheckpointResponse.FromString,
        )
        content = ask(log_pb.GetCheckpointRequest(), metadata=service.identity("reviewer").metadata()).checkpoint

    assert size_signed_by_both(service.deployment, content) == answer.receipt.verified.index + 1
    assert answer.receipt.verified.signed_with == ("Ed25519",)


@pytest.mark.requirement("log:audit:published")
def test_a_service_leaves_its_newest_checkpoint_as_it_starts_and_as_it_ends(deployment: Deployment) -> None:
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (_, door):
        at_start = size_signed_by_both(deployment, deployment.checkpoint.read_bytes())
        with Client.from_deployment(deployment.root, "agent", door.address) as client:
            client.call("shop.order", {"id": 1})
    at_end = deployment.checkpoint.read_bytes()

    assert size_signed_by_both(deployment, at_end) == at_start + 1
    report = audit_log(deployment.log_database, *keys_of(deployment), published=at_end)
    assert report.tree_size == at_start + 1
    assert not any("ML-DSA-44" in item for item in report.not_checked)

"""What if what the service is told is broken, half written, or changes in the middle of a call?"""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Service

from sandbox.client import Client, Pending, Result, ServiceError
from sandbox.deployment import Misconfigured
from sandbox.problems import LintFailed

SLOW = """\
spec: tool/v1
name: shop.slow
version: 1.0.0
owner: shop@example.com
summary: Counts for as long as it is told to.
kind: sql
effects: read
connection: shop
input:
  most: {type: integer, help: Where counting ends}
statement: |
  WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :most) SELECT count(*) AS n FROM n
limits: {seconds: 20, max_rows: 10}
"""
LONG = 5_000_000


def half_written(path: Path, whole: bytes) -> list[bytes]:
    """Return beginnings of a file, as somebody who writes it slowly leaves them."""
    ends = range(0, len(whole) - 1, max(1, len(whole) // 12))
    broken = [whole[:end] for end in ends] + [whole[: len(whole) // 2] + bytes(64), b"\xff\xfe" + whole]
    return broken if path.suffix != ".cedar" else broken[1:]


@pytest.mark.requirement("app:reload:half-written")
@pytest.mark.parametrize("name", ["toolspecs/shop.order.yaml", "connections.toml", "policies/starter.cedar"])
def test_a_file_that_is_half_written_changes_nothing_or_is_whole(service: Service, client: Client, name: str) -> None:
    path = service.deployment.root / name
    whole = path.read_bytes()
    refused = 0
    for content in half_written(path, whole):
        path.write_bytes(content)
        before = service.house.loaded
        with suppress(LintFailed, Misconfigured):
            service.house.reload()
        refused += service.house.loaded is before
        assert client.call("shop.order", {"id": 1}).receipt is not None
    path.write_bytes(whole)
    service.house.reload()
    assert refused > 0
    assert isinstance(client.call("shop.order", {"id": 1}), Result)


@pytest.mark.requirement("app:reload:half-written")
@pytest.mark.parametrize("name", ["toolspecs/shop.order.yaml", "connections.toml", "policies/starter.cedar"])
def test_a_file_that_cannot_be_read_leaves_the_last_good_set(service: Service, client: Client, name: str) -> None:
    path = service.deployment.root / name
    whole = path.read_bytes()
    path.unlink()
    path.mkdir()  # no mode keeps root from reading a file; nobody reads a folder as one
    before = service.house.loaded
    with pytest.raises((LintFailed, Misconfigured)):
        service.house.reload()
    assert service.house.loaded is before
    assert isinstance(client.call("shop.order", {"id": 1}), Result)
    path.rmdir()
    path.write_bytes(whole)
    service.house.reload()


@pytest.mark.requirement("app:reload:mid-call")
def test_a_call_ends_under_the_generation_that_it_began_with(service: Service, client: Client) -> None:
    spec = service.deployment.toolspecs / "shop.slow.yaml"
    spec.write_text(SLOW, "utf-8")
    service.house.reload()
    answered: list[object] = []
    thread = threading.Thread(
        target=lambda: answered.append(client.call("shop.slow", {"most": LONG}, request_id="slow"))
    )
    with service.client() as other:
        thread.start()
        while not is_running(other):
            assert thread.is_alive()
        spec.unlink()
        service.house.reload()
        assert "shop.slow" not in {tool.name for tool in other.tools()}
        thread.join(30)
    (answer,) = answered
    assert isinstance(answer, Result)
    assert answer.rows == ((LONG,),)
    assert answer.receipt.verified.record.tool_version == "1.0.0"


def is_running(client: Client) -> bool:
    with suppress(ServiceError):  # not known yet
        return isinstance(client.get_call(request_id="slow"), Pending)
    return False

"""Does an audit hold beside a service that goes on appending?"""

from __future__ import annotations

import pytest
from conftest import Service

from sandbox.audit import audit
from sandbox.client import Client, Result


@pytest.mark.requirement("log:audit:clean")
def test_a_log_that_grows_during_its_audit_is_clean(
    service: Service, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "CHUNK", 3)
    key = (service.deployment.keys / "log.vkey").read_text("utf-8")
    told: list[tuple[int, int]] = []

    def calling(done: int, whole: int) -> None:
        told.append((done, whole))
        assert isinstance(client.call("shop.order", {"id": 1}), Result)

    assert isinstance(client.call("shop.order", {"id": 1}), Result)
    first = audit.audit_log(service.deployment.log_database, key, progress=calling)
    assert told[-1] == (first.tree_size, first.tree_size)
    assert first.tree_size == told[0][1] + len(told) - 1, "it followed the service once, to where its tables stood"
    second = audit.audit_log(service.deployment.log_database, key, remembered=first.newest_checkpoint)
    assert second.tree_size == first.tree_size + 1
    assert second.remembered_size > 0

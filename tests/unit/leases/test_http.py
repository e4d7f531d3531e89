"""Is an HTTP lease there for one call, and its secret seen by nobody?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from http_cast import SECRET, connection_to

from sandbox.leases.asking import CallBounds
from sandbox.leases.http import HttpLease, http_lease
from sandbox.leases.sources import Secrets
from sandbox.reasons import Reason, Refused
from sandbox.toolspec import Connection, Digest, EnvSecret, FileSecret, HttpAuth, HttpTarget, SecretSource


def leased(source: SecretSource, scheme: str = "") -> tuple[Connection, HttpLease]:
    connection = connection_to(80, auth=HttpAuth("X-Key", scheme, source))
    return connection, lease_on(connection)


def lease_on(connection: Connection) -> HttpLease:
    assert isinstance(connection.target, HttpTarget)
    assert isinstance(connection.target.auth, HttpAuth)
    return http_lease(connection, connection.target, connection.target.auth, Secrets(), CallBounds())


@pytest.mark.requirement("leases:http:call")
def test_the_secret_is_there_within_the_block_and_hidden_from_whoever_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_KEY", SECRET)
    _, lease = leased(EnvSecret("CRM_KEY"), "Bearer ")

    assert lease.header is None
    with lease as taken:
        assert taken.header == ("X-Key", f"Bearer {SECRET}")
        assert SECRET not in repr(taken)
        assert SECRET not in str(taken)
    assert lease.header is None


@pytest.mark.requirement("leases:http:call")
def test_a_changed_secret_counts_from_the_next_call(tmp_path: Path) -> None:
    path = tmp_path / "crm.key"
    path.touch(0o600)
    for text in ("one\n", "two"):
        path.write_text(text)
        with leased(FileSecret(str(path)))[1] as lease:
            assert lease.header == ("X-Key", text.strip())


@pytest.mark.requirement("leases:http:unreadable")
@pytest.mark.parametrize(
    "fault", ["absent", "open", "empty", "lines", "not-ascii", "long", "no-variable", "line-break"]
)
def test_a_secret_that_cannot_be_used_refuses_the_call_without_a_word_of_it(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "crm.key"
    content = {"empty": "", "lines": f"{SECRET}\n{SECRET}", "not-ascii": f"{SECRET}é", "long": SECRET * 1000}
    if fault != "absent":
        path.touch(0o644 if fault == "open" else 0o600)
        path.write_text(content.get(fault, SECRET))
    monkeypatch.delenv("CRM_KEY", raising=False)
    if fault == "line-break":
        monkeypatch.setenv("CRM_KEY", f"{SECRET}\r\nX-Other: 1")
    is_variable = fault in {"no-variable", "line-break"}
    _, lease = leased(EnvSecret("CRM_KEY") if is_variable else FileSecret(str(path)))

    monkeypatch.setattr("sandbox.telemetry.events._often", {})

    for _ in range(20):
        with pytest.raises(Refused) as refused, lease:
            pass

    assert (refused.value.reason, refused.value.rule) == (Reason.EXECUTOR_UNAVAILABLE, "leases/secret")
    assert str(tmp_path) not in refused.value.message
    told = capsys.readouterr().err
    assert told.count("secret unreadable") == 1, "callers cannot flood stderr"
    assert SECRET not in told + str(refused.value.__dict__)


@pytest.mark.requirement("leases:http:digest")
def test_the_digest_is_of_public_facts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    digests = []
    for secret in ("one", "two"):
        monkeypatch.setenv("CRM_KEY", secret)
        with leased(EnvSecret("CRM_KEY"))[1] as lease:
            assert lease.expires_at is None
            digests.append(lease.digest)
    connection, _ = leased(EnvSecret("CRM_KEY"))
    other = lease_on(replace(connection, digest=Digest("e" * 64)))

    assert len(digests[0]) == 32
    assert digests[0] == digests[1] != other.digest

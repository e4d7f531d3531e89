"""Is a secret of a vault read by the least right, remembered for a short while, and told to nobody?"""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from http_cast import Blunt, Target, make_papers, reply, saying
from openbao_server import Vault

from sandbox.leases import parse_postgres_dsn, read_dsn, sources
from sandbox.leases import vault as vault_module
from sandbox.leases.afterwards import RETURNS, WAIT_S
from sandbox.leases.asking import CallBounds
from sandbox.leases.sources import Secrets, read_secret
from sandbox.reasons import Reason, Refused
from sandbox.specs.secret_places import SecretPlaces
from sandbox.stages import Cancellation
from sandbox.toolspec import VaultSecret, VaultServer

SECRET = "s3cret-0451-vault"


def secret_at(reference: str, vault: Vault, folder: Path, role: str = "sandbox") -> VaultSecret:
    source, complaint = SecretPlaces(folder, vault.known_in(folder, role)).source("vault", reference, "it")
    assert isinstance(source, VaultSecret), complaint
    return source


def complaint_of(source: VaultSecret) -> str:
    with pytest.raises(Refused) as refused:
        read_secret(source, "the dsn")
    assert refused.value.reason is Reason.EXECUTOR_UNAVAILABLE
    assert refused.value.retry_after_s == 1.0, "it may pass, so that it keeps no service from starting"
    return refused.value.message


@pytest.mark.requirement("leases:vault:read")
def test_an_entry_of_either_version_is_read(vault: Vault, tmp_path: Path) -> None:
    vault.put("team/crm", token=SECRET, other="x")
    vault.admin("POST", "flat/crm", {"token": "flat one"})

    assert read_secret(secret_at("secret/data/team/crm#token", vault, tmp_path), "it").reveal() == SECRET
    assert read_secret(secret_at("flat/crm#token", vault, tmp_path), "it").reveal() == "flat one"


@pytest.mark.requirement("leases:vault:read")
def test_a_dsn_may_lie_in_a_vault(vault: Vault, tmp_path: Path) -> None:
    vault.put("ledger", dsn=f"postgresql://reader:{SECRET}@127.0.0.1/ledger")

    dsn = read_dsn(secret_at("secret/data/ledger#dsn", vault, tmp_path), "ledger", parse_postgres_dsn)

    assert (dsn.user, dsn.server.parameters["dbname"]) == ("reader", "ledger")
    assert dsn.password is not None
    assert dsn.password.reveal() == SECRET


@pytest.mark.requirement("leases:vault:token")
def test_the_token_that_read_is_given_back(vault: Vault, tmp_path: Path) -> None:
    vault.put("crm", token=SECRET)
    before = vault.tokens()

    read_secret(secret_at("secret/data/crm#token", vault, tmp_path), "it")
    complaint_of(secret_at("secret/data/none#token", vault, tmp_path))
    RETURNS.settle()

    assert vault.tokens() == before


@pytest.mark.requirement("leases:vault:refused")
@pytest.mark.parametrize(
    ("reference", "told"),
    [
        ("secret/data/none#token", "status 404"),
        ("secret/data/crm#password", "no text `password` at `secret/data/crm`"),
        ("secret/data/crm#number", "no text `number`"),
        ("secret/crm#token", "status 403"),
        ("sys/mounts#token", "status 403"),
        ("secret/data/crm#lines", "does not hold one line"),
        ("auth/token/create#client_token", "status 40"),
    ],
)
def test_what_the_vault_does_not_give_is_told_without_what_it_said(
    reference: str, told: str, vault: Vault, tmp_path: Path
) -> None:
    vault.put("crm", token=SECRET, number=7, lines=f"{SECRET}\n{SECRET}")

    complaint = complaint_of(secret_at(reference, vault, tmp_path))

    assert told in complaint
    assert SECRET not in complaint


@pytest.mark.requirement("leases:vault:least")
def test_another_role_reads_nothing(vault: Vault, tmp_path: Path) -> None:
    vault.put("crm", token=SECRET)

    assert "status 403" in complaint_of(secret_at("secret/data/crm#token", vault, tmp_path, "stranger"))


@pytest.mark.requirement("leases:vault:papers")
@pytest.mark.parametrize("fault", ["absent", "open", "wrong", "empty", "lines"])
def test_the_role_s_papers_must_be_its_own(fault: str, vault: Vault, tmp_path: Path) -> None:
    vault.put("crm", token=SECRET)
    source = secret_at("secret/data/crm#token", vault, tmp_path)
    path = Path(source.server.secret_id)
    match fault:
        case "absent":
            path.unlink()
        case "open":
            path.chmod(0o644)
        case _:
            path.write_text({"wrong": SECRET, "empty": "", "lines": "a\nX-Other: b"}[fault])

    complaint = complaint_of(source)

    assert complaint.startswith("the dsn: the vault ")
    assert SECRET not in complaint


@pytest.mark.requirement("leases:vault:remembered")
def test_a_secret_is_remembered_for_a_minute_at_most(
    vault: Vault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    clock = [now]
    monkeypatch.setattr(sources.time, "monotonic", lambda: clock[0])
    source = secret_at("secret/data/rotated#token", vault, tmp_path)
    secrets, reading = Secrets(), []
    for value, elapsed in (("one", 0.0), ("two", 59.0), ("three", 61.0)):
        vault.put("rotated", token=value)
        clock[0] = now + elapsed
        reading.append(secrets.read(source, "it", CallBounds()).reveal())

    assert reading == ["one", "one", "three"]
    assert Secrets().read(source, "it", CallBounds()).reveal() == "three"


def server_at(port: int, folder: Path, *, ca: Path | None = None) -> VaultServer:
    for name in ("role", "secret"):
        (folder / name).touch(0o600)
        (folder / name).write_text(SECRET)
    return VaultServer(
        scheme="http" if ca is None else "https",
        host="127.0.0.1",
        port=port,
        namespace="team",
        approle="approle",
        role_id=str(folder / "role"),
        secret_id=str(folder / "secret"),
        ca=None if ca is None else str(ca),
    )


LOGIN = reply(b'{"auth": {"client_token": "s.token"}}')


@pytest.mark.requirement("leases:vault:refused")
@pytest.mark.parametrize(
    ("said", "told"),
    [
        ((reply(status="307 Moved", headers={"Location": "http://127.0.0.1:1/", "Content-Length": "9"}),), "307"),
        ((reply(f'{{"errors": ["{SECRET}"]}}'.encode(), "400 Bad"),), "status 400"),
        ((reply(b"<html>"),), "by no token"),
        ((reply(b'{"auth": {"client_token": "a\\r\\nX: b"}}'),), "by no token"),
        ((reply(length=10**9),), "too_large"),
        ((b"",), "no answer (cut)"),
        ((LOGIN, reply(b'{"lease_id": "database/creds/r/1", "data": {"f": "x"}}')), "a key-value store is accepted"),
        ((LOGIN, reply(b'{"data": {"f": "x", "f": "y"}}')), "no text `f`"),
        ((LOGIN, reply(b'{"data": ["f"]}')), "no text `f`"),
    ],
    ids=["redirect", "error", "html", "header", "endless", "cut", "dynamic", "twice", "list"],
)
def test_a_vault_that_answers_otherwise_is_told_by_a_fixed_word(
    said: tuple[bytes, ...], told: str, tmp_path: Path
) -> None:
    with Target([*(saying(each) for each in said), saying(reply(b"", "204 No Content"))]) as target:
        complaint = complaint_of(VaultSecret(server_at(target.port, tmp_path), "kv/crm", "f"))

    assert told in complaint
    assert SECRET not in complaint
    assert all(b"\r\nX-Vault-Namespace: team\r\n" in request for request in target.requests)


@pytest.mark.requirement("leases:vault:papers")
def test_the_role_s_papers_go_to_no_server_without_the_right_certificate(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    with Target([saying(LOGIN)], make_papers(theirs).server("127.0.0.1")) as target:
        server = server_at(target.port, tmp_path, ca=make_papers(ours).ca)
        complaint = complaint_of(VaultSecret(server, "kv/crm", "f"))

    assert "no answer (tls)" in complaint
    assert target.requests == []


@pytest.mark.requirement("leases:vault:papers")
def test_plain_http_goes_to_this_machine_alone(tmp_path: Path) -> None:
    server = replace(server_at(80, tmp_path), host="10.0.0.1")

    assert "no answer (address)" in complaint_of(VaultSecret(server, "kv/crm", "f"))


@pytest.mark.requirement("leases:vault:token")
def test_a_vault_that_is_slow_to_log_out_takes_nothing_of_its_call_s_time(vault: Vault, tmp_path: Path) -> None:
    vault.put("crm", token=SECRET)
    source = secret_at("secret/data/crm#token", vault, tmp_path)
    slow = threading.Event()
    with pytest.MonkeyPatch.context() as patched:
        ask = vault_module.ask

        def asked(*question: Any) -> Any:
            if "revoke-self" in question[2]:
                slow.wait(20)
            return ask(*question)

        patched.setattr(vault_module, "ask", asked)
        begun = time.monotonic()
        assert Secrets().read(source, "it", CallBounds()).reveal() == SECRET
        assert time.monotonic() - begun < WAIT_S
        slow.set()
        RETURNS.settle()


@pytest.mark.requirement("leases:vault:bounded")
def test_a_vault_that_says_nothing_holds_a_call_no_longer_than_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Blunt(b"HTTP/1.1 200 OK\r\n") as silent:
        source = VaultSecret(server_at(silent.port, tmp_path), "kv/crm", "f")
        begun = time.monotonic()
        with pytest.raises(Refused) as timed_out:
            Secrets().read(source, "it", CallBounds.of_call(0.2, Cancellation()))
        assert timed_out.value.reason is Reason.EXECUTION_TIMED_OUT
        assert time.monotonic() - begun < 2

        cancellation, cancelled_at = Cancellation(), []

        def cancel() -> None:
            silent.arrived.wait(5)
            cancelled_at.append(time.monotonic())
            cancellation.cancel()

        silent.arrived.clear()
        other = threading.Thread(target=cancel)
        other.start()
        with pytest.raises(Refused) as cancelled:
            Secrets().read(source, "it", CallBounds.of_call(30, cancellation))
        ended = time.monotonic()
        other.join()
        assert cancelled.value.reason is Reason.CALL_CANCELLED
        assert ended - cancelled_at[0] < 0.25

        begun = time.monotonic()
        with pytest.raises(Refused, match="the vault gave no answer in time") as alone:
            read_dsn(source, "ledger", parse_postgres_dsn, 0.2)
        assert alone.value.reason is Reason.EXECUTOR_UNAVAILABLE
        assert time.monotonic() - begun < 2

        monkeypatch.setattr(vault_module, "STEP_S", 0.2)
        assert "no answer (timed_out)" in complaint_of(source)

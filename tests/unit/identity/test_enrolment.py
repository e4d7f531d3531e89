"""Are identities made, renewed and found as files, and never half?"""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography import x509
from identity_kit import HOUR, NOW, Kit, make_kit, payload_of

from sandbox.deployment import Misconfigured
from sandbox.identity.enrolment import (
    certificate_ends,
    certificate_path,
    check_name,
    check_trust_domain,
    ensure_certificate,
    names_known,
    renew_client,
    renew_server,
)
from sandbox.identity.inspection import inspect, read_token_file, renew_identity, token_id_of
from sandbox.identity.pki import names_of, public_key_of
from sandbox.identity.revocations import Revocations
from sandbox.reasons import Refused

DAY = 24 * HOUR


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return make_kit(tmp_path)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../agent", "-x", "a b", "x" * 64, "é", "a\n", "server"])
def test_a_name_that_cannot_be_a_file_is_refused(name: str) -> None:
    with pytest.raises(Misconfigured, match="identity"):
        check_name(name)


@pytest.mark.parametrize("name", ["", "Shop", "a b", "a/b", "x" * 64])
def test_a_service_name_is_a_trust_domain(name: str) -> None:
    with pytest.raises(Misconfigured, match="service name"):
        check_trust_domain(name)


@pytest.mark.requirement("identity:certificate:renewal")
def test_renewing_the_server_keeps_its_key_and_its_names(kit: Kit) -> None:
    path = kit.deployment.pki / "server.pem"
    before, key = path.read_bytes(), (kit.deployment.pki / "server.key").read_bytes()

    renewed = renew_server(kit.deployment, ["new.example"], NOW + 300 * DAY)

    assert path.read_bytes() == renewed
    assert (kit.deployment.pki / "server.key").read_bytes() == key
    assert public_key_of(renewed, "new") == public_key_of(before, "old")
    assert set(names_of(renewed, "new")) == {*names_of(before, "old"), "new.example"}
    assert certificate_ends(renewed) == int(NOW) + 665 * DAY


def test_a_server_without_key_gets_a_new_one(kit: Kit) -> None:
    before = public_key_of((kit.deployment.pki / "server.pem").read_bytes(), "old")
    (kit.deployment.pki / "server.key").unlink()

    assert public_key_of(renew_server(kit.deployment, now=NOW), "new") != before
    assert (kit.deployment.pki / "server.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.requirement("identity:certificate:renewal")
def test_a_client_is_renewed_without_its_private_key(kit: Kit) -> None:
    before = kit.certificate
    (kit.deployment.pki / "clients" / "agent.key").unlink()

    renewed = renew_client(kit.deployment, "agent", NOW + DAY)

    assert public_key_of(renewed, "new") == public_key_of(before, "old")
    assert x509.load_pem_x509_certificate(renewed) != x509.load_pem_x509_certificate(before)


def test_an_unknown_client_is_told_with_the_nearest_name(kit: Kit) -> None:
    with pytest.raises(Misconfigured, match="did you mean `agent`"):
        renew_client(kit.deployment, "agnet")


def test_a_certificate_is_made_once_and_again_when_it_has_ended(kit: Kit) -> None:
    first, was_made = ensure_certificate(kit.deployment, "agent", NOW)
    later, is_made = ensure_certificate(kit.deployment, "agent", NOW + 366 * DAY)

    assert not was_made
    assert is_made
    assert public_key_of(first, "first") == public_key_of(later, "later")


def test_a_key_left_by_a_broken_run_is_taken_up(kit: Kit) -> None:
    certificate_path(kit.deployment, "agent").unlink()
    key = (kit.deployment.pki / "clients" / "agent.key").read_bytes()

    ensure_certificate(kit.deployment, "agent", NOW)

    assert (kit.deployment.pki / "clients" / "agent.key").read_bytes() == key


@pytest.mark.requirement("identity:certificate:renewal")
def test_a_token_follows_its_certificate_and_keeps_its_scope_and_end(kit: Kit) -> None:
    before = payload_of(kit.token)
    kit.clock.advance(600)

    facts = renew_identity(kit.deployment, kit.settings, "agent", kit.clock.wall)
    kit.token = Path(str(facts["token"])).read_text().strip()

    after = payload_of(kit.token)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"iat", "jti", "cnf"}
    assert kit.authenticator().principal(kit.credential()).subject == "agent"


@pytest.mark.requirement("identity:certificate:renewal")
@pytest.mark.parametrize("ending", ["expired", "revoked"])
def test_renewing_a_certificate_revives_no_token(kit: Kit, ending: str) -> None:
    if ending == "revoked":
        Revocations(kit.deployment.revocations).revoke(str(payload_of(kit.token)["jti"]))
    else:
        kit.clock.advance(2 * HOUR)

    facts = renew_identity(kit.deployment, kit.settings, "agent", kit.clock.wall)

    assert facts["token"] is None
    assert "not minted anew" in str(facts["why"])
    assert (kit.deployment.tokens / "agent.jwt").read_text().strip() == kit.token


def test_a_token_is_inspected_without_its_certificate(kit: Kit) -> None:
    certificate_path(kit.deployment, "agent").unlink()

    shown = inspect(kit.deployment, kit.settings, kit.token, NOW)

    assert (shown.state, shown.certificate) == ("valid", "")


@pytest.mark.parametrize(
    ("later_s", "rule"), [(0, "valid"), (2 * HOUR, "token-expired"), (-HOUR, "certificate-expired")]
)
def test_the_state_of_a_token_is_what_the_service_would_say(kit: Kit, later_s: int, rule: str) -> None:
    assert inspect(kit.deployment, kit.settings, kit.token, NOW + later_s).state == rule


def test_a_token_of_another_key_is_not_shown(kit: Kit, tmp_path: Path) -> None:
    other = make_kit(tmp_path / "other")

    with pytest.raises(Refused):
        inspect(kit.deployment, kit.settings, other.token, NOW)


def test_the_id_to_revoke_is_a_name_or_an_id(kit: Kit) -> None:
    jti = payload_of(kit.token)["jti"]

    assert token_id_of(kit.deployment, "agent") == jti
    assert token_id_of(kit.deployment, str(jti)) == jti
    with pytest.raises(Misconfigured, match="did you mean `agent`"):
        token_id_of(kit.deployment, "agnet")
    (kit.deployment.tokens / "agent.jwt").write_text(make_kit(kit.deployment.root / "other").token)
    with pytest.raises(Refused):
        token_id_of(kit.deployment, "agent")


def test_a_file_that_holds_no_text_is_no_token(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe")

    with pytest.raises(Misconfigured, match="not a token"):
        read_token_file(tmp_path / "x")


def test_known_names_are_those_with_a_file(kit: Kit) -> None:
    kit.mint("reviewer")
    (kit.deployment.tokens / "agent.jwt").unlink()

    assert names_known(kit.deployment) == ["agent", "reviewer"]

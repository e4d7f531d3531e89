"""Is a principal what its token says, believed for as long as it may be and no longer?"""

from __future__ import annotations

import dataclasses
import hashlib
import ssl
import threading
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from identity_kit import AGENT, HOUR, NOW, Kit, make_kit, proposed

from sandbox.identity import authenticator as module
from sandbox.identity.enrolment import Scope, renew_client
from sandbox.identity.revocations import Revocations
from sandbox.reasons import Fault, Reason, Refused, Status
from sandbox.settings import IdentitySettings
from sandbox.stages import Credential


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return make_kit(tmp_path)


def refused(kit: Kit, credential: Credential | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        kit.authenticator().principal(credential or kit.credential())
    assert caught.value.status is Status.UNAUTHENTICATED
    return caught.value


@pytest.mark.requirement("identity:principal:proven")
def test_a_principal_is_what_its_token_says(kit: Kit) -> None:
    token = kit.mint(scope=dataclasses.replace(AGENT, actors=("planner", "console")))
    call = proposed(kit.credential(token))

    authenticated = kit.authenticator().authenticate(call)

    principal = authenticated.principal
    assert authenticated.proposed is call
    assert (principal.subject, principal.roles, principal.tools) == ("agent", {"agent"}, ("shop.*",))
    assert principal.claims == {"region": "EU"}
    assert principal.actors == ("planner", "console")
    assert principal.expires_at == NOW + HOUR
    assert principal.token_digest == hashlib.sha256(token.encode()).digest()
    der = x509.load_pem_x509_certificate(kit.certificate).public_bytes(serialization.Encoding.DER)
    assert principal.certificate_digest == hashlib.sha256(der).digest()


@pytest.mark.requirement("identity:credential:missing")
@pytest.mark.parametrize(("certificate", "token"), [(False, True), (True, False), (False, False)])
def test_a_request_without_certificate_or_token_is_refused(kit: Kit, certificate: bool, token: bool) -> None:  # noqa: FBT001 - parameters
    credential = Credential(kit.certificate if certificate else b"", kit.token if token else "")

    assert refused(kit, credential).reason is Reason.CREDENTIAL_MISSING


@pytest.mark.requirement("identity:credential:missing")
def test_a_believed_token_is_refused_without_its_certificate(kit: Kit) -> None:
    authenticator = kit.authenticator()
    authenticator.principal(kit.credential())

    with pytest.raises(Refused):
        authenticator.principal(Credential(b"", kit.token))


@pytest.mark.requirement("identity:token:either-algorithm-name")
@pytest.mark.parametrize("name", ["Ed25519", "EdDSA"])
@pytest.mark.filterwarnings("ignore:EdDSA is deprecated")
def test_both_names_of_the_signature_are_accepted(kit: Kit, name: str) -> None:
    token = kit.forge(header={"alg": name})

    assert kit.authenticator().principal(kit.credential(token)).subject == "agent"


@pytest.mark.requirement("identity:token:strict-claims")
@pytest.mark.parametrize(
    "changed",
    [
        {"sub": ...},
        {"sub": ""},
        {"sub": 7},
        {"sub": "x" * 257},
        {"jti": ...},
        {"jti": None},
        {"exp": ...},
        {"exp": str(int(NOW) + HOUR)},
        {"exp": True},
        {"exp": NOW + 0.5},
        {"iat": ...},
        {"iat": -1},
        {"nbf": "soon"},
        {"roles": ...},
        {"roles": "agent"},
        {"roles": [["agent"]]},
        {"tools": ...},
        {"tools": {"*": True}},
        {"act": "planner"},
        {"act": {"act": {"sub": "planner"}}},
        {"act": [{"sub": "planner"}]},
    ],
)
def test_a_claim_of_another_type_is_refused(kit: Kit, changed: dict[str, object]) -> None:
    refusal = refused(kit, kit.credential(kit.forge(kit.claims(**changed))))

    assert (refusal.reason, refusal.rule) == (Reason.CREDENTIAL_INVALID, "identity/token-claims")


@pytest.mark.requirement("identity:token:strict-claims")
def test_a_chain_of_actors_is_bounded(kit: Kit) -> None:
    chain: dict[str, object] = {"sub": "a"}
    for _ in range(8):
        chain = {"sub": "a", "act": chain}

    assert refused(kit, kit.credential(kit.forge(kit.claims(act=chain)))).rule == "identity/token-claims"


def test_an_audience_may_be_a_list(kit: Kit) -> None:
    token = kit.forge(kit.claims(aud=["elsewhere", "sandbox"]))

    assert kit.authenticator().principal(kit.credential(token)).subject == "agent"


def test_reserved_claims_are_not_handed_to_policies(kit: Kit) -> None:
    token = kit.forge(kit.claims(scope="all", session="s", region="EU"))

    assert kit.authenticator().principal(kit.credential(token)).claims == {"region": "EU"}


@pytest.mark.requirement("identity:token:clock-skew")
@pytest.mark.parametrize(("past_end_s", "is_accepted"), [(-1, True), (4, True), (5, False), (6, False)])
def test_the_end_of_a_token_allows_for_the_skew_and_no_more(kit: Kit, past_end_s: int, is_accepted: bool) -> None:  # noqa: FBT001
    kit.clock.wall = NOW + HOUR + past_end_s
    if is_accepted:
        assert kit.authenticator().principal(kit.credential()).subject == "agent"
    else:
        assert refused(kit).reason is Reason.CREDENTIAL_EXPIRED


@pytest.mark.requirement("identity:token:clock-skew")
@pytest.mark.parametrize("name", ["iat", "nbf"])
@pytest.mark.parametrize(("before_s", "is_accepted"), [(5, True), (6, False)])
def test_the_begin_of_a_token_allows_for_the_skew_and_no_more(
    kit: Kit,
    name: str,
    before_s: int,
    is_accepted: bool,  # noqa: FBT001
) -> None:
    credential = kit.credential(kit.forge(kit.claims(**{name: int(NOW) + before_s})))
    if is_accepted:
        assert kit.authenticator().principal(credential).subject == "agent"
    else:
        assert refused(kit, credential).reason is Reason.CREDENTIAL_EXPIRED


@pytest.mark.requirement("identity:refusal:says-what-to-do")
def test_an_expired_token_tells_its_end_and_its_renewal(kit: Kit) -> None:
    kit.clock.wall = NOW + 2 * HOUR

    message = refused(kit).message

    assert message == "the token ended at 2027-01-15T09:00:00Z; renew it with `sandbox token new agent`"


@pytest.mark.requirement("identity:certificate:validity")
def test_a_certificate_that_ended_while_its_connection_lived_is_refused(kit: Kit) -> None:
    token = kit.mint(lifetime_s=800 * 24 * HOUR)
    kit.clock.wall = NOW + 366 * 24 * HOUR

    refusal = refused(kit, kit.credential(token))

    assert (refusal.reason, refusal.rule) == (Reason.CREDENTIAL_EXPIRED, "identity/certificate-expired")


def test_a_certificate_that_is_none_is_refused(kit: Kit) -> None:
    assert refused(kit, Credential(b"-----BEGIN", kit.token)).rule == "identity/certificate"
    der = ssl.PEM_cert_to_DER_cert(kit.credential(kit.token).certificate_pem.decode("ascii"))
    of_no_version = ssl.DER_cert_to_PEM_cert(der.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x03", 1))
    assert refused(kit, Credential(of_no_version.encode("ascii"), kit.token)).rule == "identity/certificate"


@pytest.mark.requirement("identity:cache:bounded-belief")
def test_a_token_is_believed_for_the_cache_time_and_then_proven_again(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = kit.authenticator()
    first = authenticator.principal(kit.credential())
    proofs = 0
    original = module.principal_of

    def counting(*arguments: object) -> object:
        nonlocal proofs
        proofs += 1
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "principal_of", counting)

    kit.clock.advance(1.9)
    assert authenticator.principal(kit.credential()) is first
    assert proofs == 0
    kit.clock.advance(0.2)
    assert authenticator.principal(kit.credential()) == first
    assert proofs == 1


@pytest.mark.requirement("identity:cache:bounded-belief")
def test_a_token_is_not_believed_beyond_its_end(kit: Kit) -> None:
    kit.settings = IdentitySettings(cache_seconds=60.0, clock_skew_seconds=0)
    authenticator = kit.authenticator()
    kit.clock.advance(HOUR - 1)
    authenticator.principal(kit.credential())
    kit.clock.advance(2)

    with pytest.raises(Refused) as caught:
        authenticator.principal(kit.credential())
    assert caught.value.reason is Reason.CREDENTIAL_EXPIRED


@pytest.mark.requirement("identity:cache:bounded-belief")
def test_a_wall_clock_set_back_does_not_lengthen_belief(kit: Kit) -> None:
    authenticator = kit.authenticator()
    authenticator.principal(kit.credential())
    Revocations(kit.deployment.revocations).revoke(authenticator.principal(kit.credential()).token_id)
    kit.clock.wall -= 600
    kit.clock.ticking += 3

    with pytest.raises(Refused):
        authenticator.principal(kit.credential())


def test_no_more_than_so_many_tokens_are_remembered(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CACHED", 3)
    authenticator = kit.authenticator()
    for _ in range(8):
        authenticator.principal(kit.credential(kit.mint()))

    assert len(authenticator._believed) <= 3


@pytest.mark.requirement("identity:revocation:within-cache-time")
@pytest.mark.parametrize("cache_seconds", [0.0, 2.0])
def test_revocation_takes_effect_within_the_cache_time(kit: Kit, cache_seconds: float) -> None:
    kit.settings = IdentitySettings(cache_seconds=cache_seconds)
    authenticator = kit.authenticator()
    principal = authenticator.principal(kit.credential())
    Revocations(kit.deployment.revocations).revoke(principal.token_id)
    kit.clock.advance(cache_seconds)

    with pytest.raises(Refused) as caught:
        authenticator.principal(kit.credential())
    assert caught.value.rule == "identity/token-revoked"


@pytest.mark.requirement("identity:revocation:fails-closed")
def test_a_list_that_vanishes_or_cannot_be_read_lets_nobody_in(kit: Kit) -> None:
    authenticator = kit.authenticator()
    authenticator.principal(kit.credential())
    kit.clock.advance(3)
    kit.deployment.revocations.unlink()
    with pytest.raises(Fault):
        authenticator.principal(kit.credential())

    kit.deployment.revocations.mkdir()
    with pytest.raises(OSError, match="directory"):
        authenticator.principal(kit.credential())


@pytest.mark.requirement("identity:certificate:renewal")
def test_a_token_stays_bound_to_the_certificate_it_was_minted_for(kit: Kit) -> None:
    before = kit.credential()
    renew_client(kit.deployment, "agent", NOW + 60)
    authenticator = kit.authenticator()

    assert authenticator.principal(before).subject == "agent"
    assert refused(kit, kit.credential()).rule == "identity/token-binding"
    assert authenticator.principal(kit.credential(kit.mint())).subject == "agent"


def test_two_certificates_do_not_share_belief(kit: Kit) -> None:
    scope = Scope(roles=("reviewer",), tools=("*",), claims={}, actors=())
    other = Credential(kit.other_certificate("reviewer"), kit.mint("reviewer", scope))
    authenticator = kit.authenticator()

    assert authenticator.principal(kit.credential()).roles == {"agent"}
    assert authenticator.principal(other).roles == {"reviewer"}
    with pytest.raises(Refused):
        authenticator.principal(Credential(other.certificate_pem, kit.token))


def test_many_threads_prove_the_same_principal(kit: Kit) -> None:
    kit.settings = IdentitySettings(cache_seconds=0.0)
    authenticator = kit.authenticator()
    found: list[str] = []

    def prove() -> None:
        found.extend(authenticator.principal(kit.credential()).subject for _ in range(20))

    threads = [threading.Thread(target=prove) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == ["agent"] * 80

"""Can anybody be let in with a token that our issuer did not mint for them, here and now?

Where one check alone stands in the way, the attack is shown to work once that check is taken out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from identity_kit import HOUR, NOW, Kit, decoded, encoded, make_kit, payload_of
from joserfc import jws
from joserfc.jwk import OctKey

from sandbox.deployment import Misconfigured
from sandbox.identity import Authenticator, authenticator, tokens
from sandbox.identity.pki import Authority, make_key
from sandbox.identity.revocations import Revocations
from sandbox.reasons import Reason, Refused
from sandbox.stages import Credential

Removal = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return make_kit(tmp_path)


def check_stopped(kit: Kit, credential: Credential, rule: str) -> None:
    with pytest.raises(Refused) as caught:
        kit.authenticator().principal(credential)
    assert caught.value.rule == rule
    assert caught.value.reason in {Reason.CREDENTIAL_INVALID, Reason.CREDENTIAL_EXPIRED}


def check_works(kit: Kit, credential: Credential) -> None:
    """The attack gets in."""
    assert kit.authenticator().principal(credential).subject


def without_signature(patch: pytest.MonkeyPatch) -> None:
    """Take the signature's check out: believe whatever the payload says."""

    class Unverified:
        def __init__(self, token: bytes) -> None:
            self.payload = decoded(token.decode().split(".")[1])

    patch.setattr(tokens.jws, "deserialize_compact", lambda token, *_, **__: Unverified(token))


def without_header(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(tokens, "_check_header", lambda _: None)


@pytest.mark.requirement("identity:token:algorithm")
@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE"])
def test_no_algorithm_is_no_way_in(kit: Kit, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    unsigned = f"{encoded(json.dumps({'alg': name}).encode())}.{encoded(json.dumps(kit.claims()).encode())}."
    credential = kit.credential(unsigned)

    check_stopped(kit, credential, "identity/token-signature")
    without_header(monkeypatch)
    check_stopped(kit, credential, "identity/token-signature")
    without_signature(monkeypatch)
    check_works(kit, credential)


@pytest.mark.requirement("identity:token:algorithm")
@pytest.mark.parametrize("secret_form", ["pem", "raw"])
def test_our_public_key_is_nobodys_shared_secret(kit: Kit, monkeypatch: pytest.MonkeyPatch, secret_form: str) -> None:
    public = kit.token_key().public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    secret = OctKey.import_key(encoded(pem if secret_form == "pem" else raw))
    forged = jws.serialize_compact({"alg": "HS256"}, json.dumps(kit.claims()).encode(), secret, algorithms=["HS256"])
    assert jws.deserialize_compact(forged, secret, algorithms=["HS256"]).payload, "a verifier that lets itself be told"

    check_stopped(kit, kit.credential(forged), "identity/token-signature")
    without_header(monkeypatch)
    monkeypatch.setattr(tokens, "ALGORITHMS", [*tokens.ALGORITHMS, "HS256"])
    check_stopped(kit, kit.credential(forged), "identity/token-signature")


@pytest.mark.requirement("identity:token:header")
@pytest.mark.parametrize(
    "more",
    [
        {"crit": ["exp"], "exp": 1},
        {"crit": []},
        {"jwk": {"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}},
        {"jku": "https://attacker.example/keys"},
        {"x5u": "https://attacker.example/cert"},
        {"x5c": ["AAAA"]},
        {"b64": True},
        {"zip": "DEF"},
        {"cty": "JWT"},
    ],
)
def test_a_header_does_not_choose_its_key_or_its_rules(kit: Kit, more: dict[str, object]) -> None:
    check_stopped(kit, kit.credential(kit.forge(header={"alg": "Ed25519"} | more)), "identity/token-signature")


@pytest.mark.requirement("identity:token:header")
def test_without_the_header_check_a_link_to_a_key_would_be_overlooked(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_header(monkeypatch)

    check_works(kit, kit.credential(kit.forge(header={"alg": "Ed25519", "jku": "https://attacker.example/keys"})))


@pytest.mark.requirement("identity:token:header")
@pytest.mark.parametrize("header", [b'{"alg":"none","alg":"Ed25519"}', b"[]", b'"Ed25519"', b"{", b"[" * 700])
def test_a_header_is_read_in_one_way_or_not_at_all(kit: Kit, header: bytes) -> None:
    check_stopped(kit, kit.credential(kit.forge(header=header)), "identity/token-signature")


@pytest.mark.requirement("identity:token:signature")
def test_a_token_of_another_key_is_refused(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    credential = kit.credential(kit.forge(key=Ed25519PrivateKey.generate()))

    check_stopped(kit, credential, "identity/token-signature")
    without_signature(monkeypatch)
    check_works(kit, credential)


@pytest.mark.requirement("identity:token:signature")
def test_a_changed_claim_breaks_the_signature(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    head, _, signature = kit.token.split(".")
    richer = {**payload_of(kit.token), "roles": ["agent", "reviewer"]}
    credential = kit.credential(f"{head}.{encoded(json.dumps(richer).encode())}.{signature}")

    check_stopped(kit, credential, "identity/token-signature")
    without_signature(monkeypatch)
    assert kit.authenticator().principal(credential).roles == {"agent", "reviewer"}


@pytest.mark.requirement("identity:token:signature")
def test_no_bit_of_a_token_can_be_flipped(kit: Kit) -> None:
    authenticator = kit.authenticator()
    accepted = []
    for place in range(0, len(kit.token), 3):
        for flip in (1, 2, 32):
            changed = kit.token[:place] + chr(ord(kit.token[place]) ^ flip) + kit.token[place + 1 :]
            try:
                authenticator.principal(kit.credential(changed))
                accepted.append((place, flip))
            except Refused:
                pass
    assert accepted == []


@pytest.mark.requirement("identity:token:signature")
@pytest.mark.parametrize("change", ["{0}=", "{0}\n", " {0}", "{0}.", "{0}.x", ".{0}", "..", ".", "", "é.é.é", "{0}\0"])
def test_what_is_almost_a_token_is_none(kit: Kit, change: str) -> None:
    with pytest.raises(Refused):
        kit.authenticator().principal(kit.credential(change.format(kit.token)))


@pytest.mark.requirement("identity:refusal:tells-strangers-nothing")
def test_all_failures_of_the_signature_read_alike(kit: Kit) -> None:
    head, payload, signature = kit.token.split(".")
    strangers = [
        kit.forge(key=Ed25519PrivateKey.generate()),
        kit.forge(header={"alg": "none"}),
        kit.forge(header={"alg": "Ed25519", "jku": "https://attacker.example/keys"}),
        f"{head}.{payload}.{signature[:-4]}",
        f"{head}.{payload}",
        "nonsense",
    ]
    told = set()
    for token in strangers:
        with pytest.raises(Refused) as caught:
            kit.authenticator().principal(kit.credential(token))
        told.add((caught.value.message, caught.value.rule))

    assert len(told) == 1


@pytest.mark.requirement("identity:token:audience")
@pytest.mark.parametrize("changed", [{"aud": "other"}, {"aud": []}, {"aud": ...}, {"iss": "other"}, {"iss": ...}])
def test_a_token_for_another_service_is_refused(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object]
) -> None:
    credential = kit.credential(kit.forge(kit.claims(**changed)))

    check_stopped(kit, credential, "identity/token-audience")
    monkeypatch.setattr(Authenticator, "_check_service", lambda *_: None)
    check_works(kit, credential)


@pytest.mark.requirement("identity:token:expiry")
@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"iat": int(NOW) - 2 * HOUR, "exp": int(NOW) - HOUR}, "identity/token-expired"),
        ({"exp": 0}, "identity/token-expired"),
        ({"nbf": int(NOW) + HOUR}, "identity/token-not-yet"),
        ({"iat": int(NOW) + HOUR}, "identity/token-not-yet"),
        ({"iat": 10**30, "exp": 10**31}, "identity/token-not-yet"),
    ],
)
def test_a_token_out_of_its_time_is_refused(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object], rule: str
) -> None:
    credential = kit.credential(kit.forge(kit.claims(**changed)))

    check_stopped(kit, credential, rule)
    monkeypatch.setattr(Authenticator, "_check_time", lambda *_: float("inf"))
    check_works(kit, credential)


def without_binding(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(authenticator, "_check_binding", lambda *_: None)


@pytest.mark.requirement("identity:token:bound-to-certificate")
def test_a_stolen_token_is_worth_nothing_with_another_certificate_of_the_house(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    stolen = Credential(kit.other_certificate(), kit.token)

    check_stopped(kit, stolen, "identity/token-binding")
    without_binding(monkeypatch)
    check_works(kit, stolen)


@pytest.mark.requirement("identity:token:bound-to-certificate")
def test_a_believed_token_is_worth_nothing_with_another_certificate(kit: Kit) -> None:
    authenticator = kit.authenticator()
    authenticator.principal(kit.credential())

    with pytest.raises(Refused):
        authenticator.principal(Credential(kit.other_certificate(), kit.token))


@pytest.mark.requirement("identity:token:bound-to-certificate")
def test_a_certificate_of_the_same_name_and_a_foreign_authority_is_refused(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = Authority.make("shop.example.com", NOW).sign_client(make_key().public_key(), "agent", NOW)

    check_stopped(kit, Credential(foreign, kit.token), "identity/token-binding")
    without_binding(monkeypatch)
    check_works(kit, Credential(foreign, kit.token))


@pytest.mark.requirement("identity:token:bound-to-certificate")
@pytest.mark.parametrize(
    "cnf", [..., {}, {"x5t#S256": ""}, {"x5t#S256": None}, {"jkt": "AAAA"}, "AAAA", {"x5t#S256": []}]
)
def test_a_token_that_is_bound_to_nothing_is_refused(kit: Kit, cnf: object) -> None:
    check_stopped(kit, kit.credential(kit.forge(kit.claims(cnf=cnf))), "identity/token-binding")


@pytest.mark.requirement("identity:token:size")
def test_an_oversized_token_is_not_even_looked_at(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    credential = kit.credential(kit.forge(kit.claims(padding="x" * 16 * 1024)))

    check_stopped(kit, credential, "identity/token-size")
    monkeypatch.setattr(tokens, "MAX_TOKEN_BYTES", 1 << 20)
    check_works(kit, credential)


@pytest.mark.requirement("identity:token:one-reading")
@pytest.mark.parametrize(
    "change", ['{{{0},"roles":["reviewer"]}}', '{{"roles":["reviewer"],{0}}}', '{{"a":{{"b":1,"b":2}},{0}}}']
)
def test_claims_that_can_be_read_in_two_ways_are_refused(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    credential = kit.credential(kit.forge(change.format(json.dumps(kit.claims())[1:-1]).encode()))

    check_stopped(kit, credential, "identity/token-claims")
    monkeypatch.setattr(tokens, "parse_object", json.loads)
    check_works(kit, credential)


@pytest.mark.requirement("identity:token:one-reading")
@pytest.mark.parametrize("payload", [b"", b"[]", b"7", b"{", b'{"exp":NaN}', b"[" * 5000, b"\xff"])
def test_a_payload_that_is_no_object_is_refused(kit: Kit, payload: bytes) -> None:
    check_stopped(kit, kit.credential(kit.forge(payload)), "identity/token-claims")


@pytest.mark.requirement("identity:revocation:refuses")
@pytest.mark.parametrize("before", ["", "aaaa\n", "aaaa", "aaaa\r\n\r\n"])
def test_a_revoked_token_is_refused_whatever_the_list_looked_like(
    kit: Kit, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    kit.deployment.revocations.write_text(before)
    Revocations(kit.deployment.revocations).revoke(str(payload_of(kit.token)["jti"]))

    check_stopped(kit, kit.credential(), "identity/token-revoked")
    assert Revocations(kit.deployment.revocations).is_revoked("aaaa") == bool(before)
    monkeypatch.setattr(Revocations, "is_revoked", lambda *_: False)
    check_works(kit, kit.credential())


@pytest.mark.requirement("identity:keys:private")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o601])
def test_a_token_key_that_others_can_reach_is_refused(kit: Kit, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    (kit.deployment.keys / "token.key").chmod(mode)

    with pytest.raises(Misconfigured, match="only 0600 is accepted"):
        kit.authenticator()
    monkeypatch.setattr(tokens, "read_private", Path.read_bytes)
    assert kit.authenticator()


@pytest.mark.requirement("identity:keys:private")
def test_a_token_key_behind_a_link_is_refused(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    key = kit.deployment.keys / "token.key"
    key.rename(key.with_name("elsewhere.key"))
    key.symlink_to("elsewhere.key")

    with pytest.raises(Misconfigured, match="cannot be read"):
        kit.authenticator()
    monkeypatch.setattr(tokens, "read_private", Path.read_bytes)
    assert kit.authenticator()


@pytest.mark.requirement("identity:keys:private")
@pytest.mark.parametrize(
    "content", [None, b"", b"secret", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_without_a_token_key_nothing_is_served(kit: Kit, content: bytes | None) -> None:
    key = kit.deployment.keys / "token.key"
    key.unlink()
    if content is not None:
        key.touch(0o600)
        key.write_bytes(content)

    with pytest.raises(Misconfigured, match=r"token\.key"):
        kit.authenticator()


@pytest.mark.requirement("identity:keys:private")
def test_a_key_of_another_kind_signs_no_tokens(kit: Kit) -> None:
    key = kit.deployment.keys / "token.key"
    key.write_bytes((kit.deployment.pki / "ca.key").read_bytes())
    with pytest.raises(Misconfigured, match="Ed25519"):
        kit.authenticator()

    key.write_bytes(
        Ed25519PrivateKey.generate().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(Misconfigured, match="Ed25519"):
        kit.authenticator()

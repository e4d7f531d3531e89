"""Does a minted token say what it should, to other libraries too?"""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from identity_kit import HOUR, NOW, Kit, decoded, encoded, make_kit, payload_of
from joserfc import jwt
from joserfc.jwk import OKPKey

from sandbox.deployment import Misconfigured
from sandbox.identity.issuer import RESERVED, mint
from sandbox.identity.pki import thumbprint
from sandbox.values import JsonObject


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    return make_kit(tmp_path_factory.mktemp("deployment"))


def minted(kit: Kit, claims: JsonObject | None = None, **more: tuple[str, ...]) -> str:
    return mint(
        (kit.deployment.keys / "token.key").read_bytes(),
        kit.settings,
        subject="agent",
        certificate_thumbprint=thumbprint(kit.certificate),
        roles=more.get("roles", ("agent",)),
        tools=more.get("tools", ("*",)),
        claims=claims,
        actors=more.get("actors", ()),
        lifetime_s=HOUR,
        now=NOW + 0.9,
    )


@pytest.mark.requirement("identity:token:minted")
def test_a_token_says_who_for_whom_and_how_long(kit: Kit) -> None:
    token = minted(kit, {"region": "EU"}, actors=("planner", "console"))

    assert json.loads(decoded(token.split(".")[0])) == {"alg": "Ed25519", "typ": "JWT"}
    claims = dict(payload_of(token))
    assert len(str(claims.pop("jti"))) == 24
    assert claims == {
        "region": "EU",
        "iss": "sandbox",
        "sub": "agent",
        "aud": "sandbox",
        "iat": int(NOW),
        "exp": int(NOW) + HOUR,
        "cnf": {"x5t#S256": encoded(thumbprint(kit.certificate))},
        "roles": ["agent"],
        "tools": ["*"],
        "act": {"sub": "planner", "act": {"sub": "console"}},
    }


@pytest.mark.requirement("identity:token:minted")
def test_another_library_verifies_it_with_the_public_key(kit: Kit) -> None:
    public = kit.token_key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    assert jwt.decode(minted(kit), OKPKey.import_key(public), algorithms=["Ed25519"]).claims["sub"] == "agent"


def test_no_two_tokens_share_an_id(kit: Kit) -> None:
    assert len({payload_of(minted(kit))["jti"] for _ in range(50)}) == 50


@pytest.mark.requirement("identity:token:claim-names")
@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_claim_cannot_take_a_name_that_has_a_meaning(kit: Kit, name: str) -> None:
    with pytest.raises(Misconfigured, match="meaning of its own"):
        minted(kit, {name: "admin"})


@pytest.mark.requirement("identity:token:claim-names")
@pytest.mark.parametrize("name", ["", "a b", "a'b", "1a", "x" * 65, "a\n", "é"])
def test_a_claim_has_a_plain_name(kit: Kit, name: str) -> None:
    with pytest.raises(Misconfigured, match="letters, digits and"):
        minted(kit, {name: 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [float("-inf")]])
def test_a_claims_value_is_json(kit: Kit, value: float | list[float]) -> None:
    with pytest.raises(Misconfigured, match="not JSON"):
        minted(kit, {"x": value})


@pytest.mark.parametrize(
    ("said", "names"), [("roles", ("",)), ("roles", ("a\nb",)), ("actors", ("x" * 257,)), ("tools", ("shop query",))]
)
def test_names_that_nobody_could_read_are_refused(kit: Kit, said: str, names: tuple[str, ...]) -> None:
    with pytest.raises(Misconfigured, match="accepted"):
        minted(kit, **{said: names})


def test_a_token_that_no_service_would_read_is_not_minted(kit: Kit) -> None:
    with pytest.raises(Misconfigured, match="16384"):
        minted(kit, {"x": "y" * 20_000})

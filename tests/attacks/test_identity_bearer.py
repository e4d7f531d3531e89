"""Can a token without a certificate be more than what was turned on? Asked of the authenticator, which both doors ask.

tests/interaction/test_http_bearer.py asks the same over connections.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from identity_kit import HOUR, NOW, Kit, make_kit

from sandbox.identity import Authenticator
from sandbox.identity.bearer import BearerRule
from sandbox.reasons import Refused
from sandbox.stages import Binding, Credential

RULE = BearerRule("https://tools.example/mcp", HOUR)


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return make_kit(tmp_path)


def accepting(kit: Kit, rule: BearerRule | None = RULE) -> Authenticator:
    clock = kit.clock
    return Authenticator(kit.deployment, kit.settings, lambda: clock.wall, lambda: clock.ticking, bearer=rule)


def borne(kit: Kit, **changed: object) -> Credential:
    return Credential(b"", kit.forge(kit.claims(**({"cnf": ..., "aud": RULE.resource} | changed))))


def refused_by(who: Authenticator, credential: Credential) -> str:
    """Return the rule that both ways in name."""
    with pytest.raises(Refused) as greeted:
        who.greet(credential.token, has_certificate=bool(credential.certificate_pem))
    with pytest.raises(Refused) as asked:
        who.principal(credential)
    assert asked.value.rule == greeted.value.rule
    return asked.value.rule


@pytest.mark.requirement("identity:bearer:accepted")
def test_a_bearer_token_names_a_principal_without_a_certificate(kit: Kit) -> None:
    who = accepting(kit)

    principal = who.principal(borne(kit))

    assert (principal.subject, principal.binding, principal.certificate_digest) == ("agent", Binding.BEARER, b"")
    assert who.principal(borne(kit)) is principal
    assert who.greet(borne(kit).token, has_certificate=False) == "agent"
    assert who.principal(kit.credential()).binding is Binding.CERTIFICATE


@pytest.mark.requirement("identity:bearer:accepted")
@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"aud": "sandbox"}, "bearer-audience"),
        ({"aud": ["sandbox", RULE.resource]}, "bearer-audience"),
        ({"aud": [[RULE.resource]]}, "bearer-audience"),
        ({"aud": ...}, "bearer-audience"),
        ({"exp": int(NOW) + HOUR + 1}, "bearer-life"),
        ({"iat": int(NOW) - 1}, "bearer-life"),
        ({"iat": ...}, "bearer-life"),
        ({"cnf": {}}, "bearer-bound"),
        ({"cnf": None}, "bearer-bound"),
        ({"cnf": {"jkt": "x"}}, "bearer-bound"),
        ({"iss": "other"}, "token-audience"),
        ({"nbf": int(NOW) + HOUR}, "token-not-yet"),
        ({"iat": int(NOW) - HOUR, "exp": int(NOW) - 5}, "token-expired"),
    ],
)
def test_what_a_bearer_token_must_be_is_checked_claim_by_claim(kit: Kit, changed: dict[str, object], rule: str) -> None:
    assert refused_by(accepting(kit), borne(kit, **changed)) == f"identity/{rule}"


@pytest.mark.requirement("identity:bearer:off")
def test_nobody_is_believed_without_a_certificate_where_that_is_not_turned_on(kit: Kit) -> None:
    who = accepting(kit, None)

    assert refused_by(who, borne(kit)) == "identity/certificate-missing"
    assert refused_by(who, Credential(b"", kit.token)) == "identity/certificate-missing"
    assert refused_by(who, Credential(b"", "")) == "identity/certificate-missing"
    assert refused_by(accepting(kit), Credential(b"", "")) == "identity/token-missing"


@pytest.mark.requirement("identity:bearer:remembered-apart")
def test_what_is_remembered_of_a_token_is_remembered_with_its_certificate_or_with_none(kit: Kit) -> None:
    who = accepting(kit)
    assert who.principal(kit.credential()).subject == who.greet(kit.token) == "agent"
    assert who.principal(borne(kit)).subject == who.greet(borne(kit).token, has_certificate=False) == "agent"

    assert refused_by(who, Credential(b"", kit.token)) == "identity/bearer-bound"
    beside = Credential(kit.certificate, borne(kit).token)
    assert refused_by(who, beside) == "identity/bearer-beside-certificate"
    assert who.principal(kit.credential()).binding is Binding.CERTIFICATE


@pytest.mark.requirement("identity:bearer:remembered-apart")
def test_a_token_without_a_binding_is_bound_to_no_certificate(kit: Kit) -> None:
    unbound = kit.credential(kit.forge(kit.claims(cnf=...)))

    with pytest.raises(Refused) as refused:
        accepting(kit).principal(unbound)
    assert refused.value.rule == "identity/token-binding"


@pytest.mark.requirement("identity:bearer:accepted")
def test_an_ended_bearer_token_is_told_how_to_get_the_next(kit: Kit) -> None:
    credential = borne(kit)
    kit.clock.advance(HOUR + 5)

    with pytest.raises(Refused, match="renew it with `sandbox token new agent --bearer`"):
        accepting(kit).principal(credential)

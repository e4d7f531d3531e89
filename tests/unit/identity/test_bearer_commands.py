"""Does `sandbox token … --bearer` mint what the HTTP door takes, and nothing that it does not?"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from identity_kit import Kit, make_kit
from test_token_commands import newest, run, run_json

from sandbox.deployment import Misconfigured
from sandbox.identity.enrolment import check_name, names_known

ON = '[http]\nlisten = "127.0.0.1:7444"\nbearer_tokens = true\n'


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    kit = make_kit(tmp_path, now=time.time())
    kit.deployment.settings.write_text(ON)
    return kit


@pytest.mark.requirement("identity:bearer:minted")
def test_a_bearer_token_is_bound_to_nothing_and_for_one_resource(kit: Kit) -> None:
    bound = newest(kit)

    facts = run_json(kit, "new", "agent", "--bearer")

    claims = newest(kit, "agent.bearer")
    assert "cnf" not in claims
    assert claims["aud"] == facts["resource"] == "https://127.0.0.1:7444/mcp"
    assert int(str(claims["exp"])) - int(str(claims["iat"])) == 3600
    assert (claims["roles"], claims["tools"], claims["region"]) == (bound["roles"], bound["tools"], bound["region"])
    assert (facts["state"], facts["certificate"], facts["replaced"]) == ("valid", "", None)
    assert str(facts["token"]).endswith("agent.bearer.jwt")
    assert (kit.deployment.tokens / "agent.bearer.jwt").stat().st_mode & 0o777 == 0o600
    assert newest(kit) == bound


@pytest.mark.requirement("identity:bearer:minted")
def test_the_next_one_says_what_the_bearer_token_before_said(kit: Kit) -> None:
    narrow = run_json(kit, "new", "agent", "--bearer", "--role", "ci", "--tools", "shop.order", "--minutes", "5")

    again = run_json(kit, "new", "agent", "--bearer")

    claims = newest(kit, "agent.bearer")
    assert (claims["roles"], claims["tools"]) == (["ci"], ["shop.order"])
    assert int(str(narrow["expires_at"])) - int(str(narrow["issued_at"])) == 300
    assert again["replaced"] == narrow["id"]


@pytest.mark.requirement("identity:bearer:minted")
def test_an_identity_without_a_certificate_gets_none_for_a_bearer_token(kit: Kit) -> None:
    facts = run_json(kit, "new", "ci", "--bearer", "--role", "agent")

    assert facts["made_certificate"] is False
    assert not (kit.deployment.pki / "clients" / "ci.pem").exists()
    assert names_known(kit.deployment) == ["agent", "ci"]


@pytest.mark.requirement("identity:bearer:minted")
def test_it_is_shown_and_revoked_under_its_files_name(kit: Kit) -> None:
    run(kit, "new", "agent", "--bearer")
    shown = run(kit, "show", "agent.bearer")
    assert "bound to  nothing: whoever holds it may use it, at https://127.0.0.1:7444/mcp\n" in shown
    assert "state     valid\n" in shown

    run(kit, "revoke", "agent.bearer")

    assert run_json(kit, "show", "agent.bearer", code=1)["state"] == "token-revoked"
    assert run_json(kit, "show", "agent")["state"] == "valid"


@pytest.mark.requirement("identity:bearer:minted")
def test_a_token_is_shown_as_the_service_would_take_it_now(kit: Kit) -> None:
    run(kit, "new", "agent", "--bearer")
    for settings, state in (
        (ON.replace("true", "false"), "certificate-missing"),
        (ON.replace("7444", "7445"), "bearer-audience"),
        (ON + "bearer_minutes = 59\n", "bearer-life"),
    ):
        kit.deployment.settings.write_text(settings)
        assert run_json(kit, "show", "agent.bearer", code=1)["state"] == state


@pytest.mark.requirement("identity:bearer:refused-to-mint")
@pytest.mark.parametrize(
    ("settings", "words", "sentence"),
    [
        ("", (), "takes no bearer tokens; `http.bearer_tokens = true` turns them on"),
        ("[http]\nbearer_tokens = true\n", (), "`http.bearer_tokens` needs the HTTP door; set `http.listen`"),
        (ON.replace("7444", "0"), (), "needs `http.public_url`, or a port in `http.listen` that is not 0"),
        (ON, ("--minutes", "61"), "--minutes 61: at most 60 are accepted, which `http.bearer_minutes` sets"),
        (ON, ("--hours", "1"), "--hours is for a token that is bound to a certificate; give --minutes"),
    ],
)
def test_what_the_door_would_refuse_is_not_minted(
    kit: Kit, settings: str, words: tuple[str, ...], sentence: str
) -> None:
    kit.deployment.settings.write_text(settings)

    with pytest.raises(Misconfigured) as refused:
        run(kit, "new", "agent", "--bearer", *words)

    assert sentence in str(refused.value)
    assert not (kit.deployment.tokens / "agent.bearer.jwt").exists()


@pytest.mark.requirement("identity:bearer:refused-to-mint")
def test_minutes_are_for_bearer_tokens_alone(kit: Kit) -> None:
    with pytest.raises(Misconfigured, match="--minutes is for a bearer token"):
        run(kit, "new", "agent", "--minutes", "5")


@pytest.mark.requirement("identity:bearer:refused-to-mint")
def test_no_identity_is_called_as_a_bearer_tokens_file(kit: Kit) -> None:
    with pytest.raises(Misconfigured, match=r"names that end in `\.bearer` are those of bearer tokens' files"):
        check_name("agent.bearer")
    with pytest.raises(Misconfigured, match=r"names that end in `\.bearer`"):
        run(kit, "new", "agent.bearer")

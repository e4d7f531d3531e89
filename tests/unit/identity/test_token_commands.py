"""Do `sandbox token` and `sandbox cert` do what their help says?"""

from __future__ import annotations

import json
import shlex
import time
from pathlib import Path

import pytest
from identity_kit import Kit, make_kit, payload_of
from typer.testing import CliRunner

from sandbox.cli import cert, token
from sandbox.cli.moments import told_time
from sandbox.deployment import Misconfigured
from sandbox.identity.inspection import inspect
from sandbox.values import JsonObject


@pytest.fixture
def kit(tmp_path: Path) -> Kit:
    return make_kit(tmp_path, now=time.time())


def run(kit: Kit, *words: str, code: int = 0) -> str:
    app = cert.app if words[0] == "renew" else token.app
    result = CliRunner().invoke(app, [*words, "--deployment", str(kit.deployment.root)])
    if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def run_json(kit: Kit, *words: str, code: int = 0) -> dict[str, object]:
    found = json.loads(run(kit, *words, "--json", code=code))
    assert isinstance(found, dict)
    return found


def newest(kit: Kit, name: str = "agent") -> JsonObject:
    return payload_of((kit.deployment.tokens / f"{name}.jwt").read_text().strip())


@pytest.mark.requirement("identity:command:token-new")
def test_a_new_identity_gets_a_certificate_and_a_token(kit: Kit) -> None:
    facts = run_json(
        kit,
        *("new", "ci", "--role", "agent", "--role", "ci", "--tools", "shop.*", "--claim", "region=EU"),
        *("--claim", "level=3", "--claim", "tags=[1,2]", "--actor", "planner", "--hours", "2"),
    )

    claims = newest(kit, "ci")
    assert claims["roles"] == ["agent", "ci"]
    assert (claims["region"], claims["level"], claims["tags"]) == ("EU", 3, [1, 2])
    assert claims["act"] == {"sub": "planner"}
    assert claims["tools"] == ["shop.*"]
    assert int(str(claims["exp"])) - int(str(claims["iat"])) == 7200
    assert (facts["state"], facts["made_certificate"], facts["replaced"]) == ("valid", True, None)
    assert (kit.deployment.pki / "clients" / "ci.pem").exists()


@pytest.mark.requirement("identity:command:token-new")
def test_a_bare_new_renews_what_the_token_said(kit: Kit) -> None:
    before = newest(kit)

    facts = run_json(kit, "new", "agent")

    after = newest(kit)
    assert {n: after[n] for n in ("roles", "tools", "region")} == {n: before[n] for n in ("roles", "tools", "region")}
    assert int(str(after["exp"])) - int(str(after["iat"])) == 720 * 3600
    assert facts["replaced"] == before["jti"]


@pytest.mark.requirement("identity:command:token-new")
def test_a_new_scope_carries_nothing_over(kit: Kit) -> None:
    run(kit, "new", "agent", "--role", "reader")

    claims = newest(kit)
    assert (claims["roles"], claims["tools"], "region" in claims) == (["reader"], ["*"], False)


@pytest.mark.parametrize("claim", ["region", "=EU", "sub=root"])
def test_a_claim_needs_a_name_of_its_own_and_a_value(kit: Kit, claim: str) -> None:
    with pytest.raises(Misconfigured):
        run(kit, "new", "agent", "--claim", claim)
    assert newest(kit) == payload_of(kit.token)


@pytest.mark.parametrize(("text", "value"), [("NaN", "NaN"), ("1e999", "1e999"), ("007", "007"), ("null", None)])
def test_a_value_that_is_no_json_is_text(kit: Kit, text: str, value: object) -> None:
    if text == "1e999":
        with pytest.raises(Misconfigured, match="not JSON"):
            run(kit, "new", "agent", "--claim", f"x={text}")
        return
    run(kit, "new", "agent", "--claim", f"x={text}")

    assert newest(kit)["x"] == value


@pytest.mark.requirement("identity:command:token-show")
def test_show_tells_the_state_and_never_the_token(kit: Kit) -> None:
    signature = kit.token.split(".")[2]

    text = run(kit, "show", "agent")
    facts = run_json(kit, "show", str(kit.deployment.tokens / "agent.jwt"))

    assert signature not in text
    assert signature not in json.dumps(facts)
    assert "state     valid" in text
    assert "(in 1 hour)" in text
    assert facts["subject"] == "agent"
    assert str(facts["certificate"]).endswith("agent.pem")


@pytest.mark.requirement("identity:command:token-revoke")
@pytest.mark.parametrize("is_by_id", [True, False])
def test_revoke_refuses_the_token_from_now_on(kit: Kit, is_by_id: bool) -> None:  # noqa: FBT001 - a parameter
    jti = str(newest(kit)["jti"])

    facts = run_json(kit, "revoke", jti if is_by_id else "agent")

    assert facts == {"id": jti, "was_revoked": False, "effective_within_s": 2.0}
    assert kit.deployment.revocations.read_text() == f"{jti}\n"
    assert inspect(kit.deployment, kit.settings, kit.token).state == "token-revoked"
    assert "state     token-revoked" in run(kit, "show", "agent", code=1)
    assert "was revoked before" in run(kit, "revoke", "agent")
    assert kit.deployment.revocations.read_text() == f"{jti}\n"


def test_revoke_says_how_soon(kit: Kit) -> None:
    assert " will be refused within 2 s\n" in run(kit, "revoke", "agent")


@pytest.mark.requirement("identity:command:cert-renew")
def test_renew_without_a_name_means_the_server(kit: Kit) -> None:
    before = (kit.deployment.pki / "server.pem").read_bytes()

    facts = run_json(kit, "renew", "--host", "more.example")

    assert facts["certificate"] == str(kit.deployment.pki / "server.pem")
    assert (kit.deployment.pki / "server.pem").read_bytes() != before
    assert b"PRIVATE" not in (kit.deployment.pki / "server.pem").read_bytes()


@pytest.mark.requirement("identity:command:cert-renew")
def test_renew_of_a_client_says_what_became_of_its_token(kit: Kit) -> None:
    before = newest(kit)

    assert "minted anew" in run(kit, "renew", "agent")
    assert newest(kit)["exp"] == before["exp"]
    run(kit, "revoke", "agent")
    assert "not minted anew" in run(kit, "renew", "agent")
    with pytest.raises(Misconfigured, match="only the server"):
        run(kit, "renew", "agent", "--host", "x.example")


@pytest.mark.requirement("identity:command:moments")
@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (86_400 * 3 + 5, "1970-01-04T00:00:05Z (in 3 days)"),
        (3_600, "1970-01-01T01:00:00Z (in 1 hour)"),
        (0, "1970-01-01T00:00:00Z (0 seconds ago)"),
        (720 * 3_600 - 2, "1970-01-30T23:59:58Z (in 30 days)"),
        (29 * 86_400, "1970-01-30T00:00:00Z (in 29 days)"),
        (3_540, "1970-01-01T00:59:00Z (in 59 minutes)"),
        (-90, "1969-12-31T23:58:30Z (1 minute ago)"),
        (10**20, "beyond reckoning"),
    ],
)
def test_moments_are_told_in_words(moment: int, words: str) -> None:
    assert told_time(moment, 0) == words


@pytest.mark.requirement("identity:command:roles")
def test_a_role_that_no_policy_speaks_of_is_warned_of(kit: Kit, capsys: pytest.CaptureFixture[str]) -> None:
    kit.deployment.policies.mkdir(exist_ok=True)
    (kit.deployment.policies / "a.cedar").write_text(
        '// Sandbox::Role::"commented"\n@id("a") permit (principal in Sandbox::Role::"reviewer", action, resource)\n'
        'when { principal.roles.contains("auditor") };\n'
    )

    told = run(kit, "new", "ci", "--role", "revewer", "--role", "auditor", "--role", "commented")
    facts = run_json(kit, "new", "bo", "--role", "reviewer")

    assert "warning: no policy speaks of the role `revewer`; did you mean `reviewer`?\n" in told
    assert "no policy speaks of the role `commented`; policies name `reviewer`\n" in told
    assert "role `auditor`" not in told
    assert facts["unknown_roles"] == []
    assert not capsys.readouterr().out


@pytest.mark.requirement("identity:command:no-role")
def test_a_token_without_a_role_names_those_that_policies_speak_of(kit: Kit) -> None:
    (kit.deployment.policies).mkdir(exist_ok=True)
    (kit.deployment.policies / "a.cedar").write_text(
        '@id("a") permit (principal in Sandbox::Role::"reader", action, resource);\n'
        '@id("b") permit (principal in Sandbox::Role::"agent", action, resource);\n'
    )

    told = run(kit, "new", "zed")

    sentence = "roles     none; policies speak of the roles `agent`, `reader`: `sandbox token new zed --role agent`\n"
    assert sentence in told
    assert sentence in run(kit, "show", "zed")
    assert "roles     agent\n" in run(kit, "new", "zed", "--role", "agent")
    told = run(kit, "new", "zed", "--claim", "region=EU west", "--tools", "shop.*", "--actor", "bot")
    command = "sandbox token new zed --role agent --tools 'shop.*' --claim 'region=\"EU west\"' --actor bot"
    assert f"`{command}`\n" in told
    assert "none;" not in run(kit, *shlex.split(command)[2:])

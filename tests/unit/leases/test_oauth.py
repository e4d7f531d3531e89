"""Is a token asked for exactly what a call needs, lent for that call alone, and void as soon as its server can?"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from authorization_server import CLIENT, claims_of
from http_cast import Target, Tool, http_tool, reply, saying
from oauth_cast import ALICE, BOB, READ, Cast, Grant, lent, played, token_of
from openbao_server import Vault

from sandbox.deployment import Misconfigured
from sandbox.executors.http import HttpTools
from sandbox.leases import Subject, read_assertions
from sandbox.leases import oauth as oauth_module
from sandbox.leases.afterwards import WAIT_S, Returns
from sandbox.leases.asking import CallBounds
from sandbox.reasons import Reason, Refused
from sandbox.specs.secret_places import SecretPlaces
from sandbox.stages import Cancellation
from sandbox.telemetry import events
from sandbox.toolspec import VaultSecret

HELD = threading.Event()
"""Never comes: whoever waits for it holds an answer back for a moment."""


@pytest.fixture
def cast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cast]:
    monkeypatch.setenv("CRM_CLIENT_SECRET", CLIENT[1])
    with played(tmp_path) as made:
        yield made


@pytest.mark.requirement("leases:oauth:scopes")
@pytest.mark.parametrize("client_auth", ["basic", "body"])
def test_a_token_is_asked_for_exactly_the_scopes_and_ends(client_auth: str, cast: Cast) -> None:
    auth = cast.oauth(client_auth=client_auth, audience="crm", resource="https://crm.example.com/")
    lease = lent(cast.leases(auth))

    assert (lease.header, lease.expires_at) == (None, None)
    with lease as taken:
        issued = cast.server.issued[token_of(taken)]
        assert taken.expires_at == pytest.approx(time.time() + 300, abs=5)
        assert taken.scope == "http://127.0.0.1 customers.read"
        assert token_of(taken) not in repr(taken) + str(taken)
    assert (lease.header, lease.expires_at) == (None, None)
    assert issued.scopes == list(READ)
    assert (issued.form["grant_type"], issued.form["audience"]) == ("client_credentials", "crm")
    assert issued.form["resource"] == "https://crm.example.com/"


@pytest.mark.requirement("leases:oauth:revoked")
@pytest.mark.parametrize("grant", ["client_credentials", "token_exchange"])
@pytest.mark.parametrize("ending", ["done", "refused", "cancelled"])
def test_a_leaked_token_is_useless_after_its_call_where_the_server_can_revoke(
    ending: str, grant: Grant, cast: Cast
) -> None:
    cancellation = Cancellation()
    leases = cast.leases(cast.oauth(grant, revoke_path="/oauth/revoke"))
    leaked = ""
    try:
        with lent(leases, bounds=CallBounds.of_call(5, cancellation)) as lease:
            leaked = token_of(lease)
            assert cast.server.is_live(leaked)
            if ending == "refused":
                raise Refused(Reason.HTTP_STATUS, "no")
            if ending == "cancelled":
                cancellation.cancel()
    except Refused:
        assert ending == "refused"

    assert cast.server.revoked.wait(5)
    assert not cast.server.is_live(leaked)
    with lent(leases) as next_lease:
        assert token_of(next_lease) != leaked


@pytest.mark.requirement("leases:oauth:revoked")
def test_a_server_that_does_not_revoke_in_time_holds_nobody_who_was_told_to_stop(
    cast: Cast, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cancellation = Cancellation()
    cast.server.revocation_says = cast.server.target.hold
    lease = lent(cast.leases(cast.oauth(revoke_path="/oauth/revoke")), bounds=CallBounds.of_call(30, cancellation))
    with lease:
        cancellation.cancel()
        begun = time.monotonic()
    assert time.monotonic() - begun < 0.25

    monkeypatch.setattr("sandbox.telemetry.events._often", {})
    cast.server.revocation_says = saying(reply(b'{"error": "unsupported_token_type"}', "400 Bad"))
    with lent(cast.leases(cast.oauth(revoke_path="/oauth/revoke"))) as taken:
        token = token_of(taken)
    told = capsys.readouterr().err
    assert "oauth token not revoked" in told
    assert token not in told


@pytest.mark.requirement("leases:oauth:waited")
def test_an_answer_waits_for_revocation_within_its_call_s_time_alone(cast: Cast) -> None:
    cast.server.revocation_says = cast.server.target.hold
    leases = cast.leases(cast.oauth(revoke_path="/oauth/revoke"))
    for seconds, least, most in ((0.4, 0.0, 0.7), (30.0, WAIT_S, WAIT_S + 0.5)):
        begun = time.monotonic()
        with lent(leases, bounds=CallBounds.of_call(seconds, Cancellation())):
            pass
        assert least <= time.monotonic() - begun < most


@pytest.mark.requirement("leases:oauth:drained")
def test_at_the_end_all_that_is_left_is_told_whatever_was_told_a_moment_before(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The attack: what is told once a second hides how many tokens live on."""
    returns, held = Returns(), threading.Event()
    events.warn_often("oauth token not revoked", "crm", causes="timed_out")
    for _ in range(3):
        returns.begin(lambda: held.wait(20) and None, "oauth token not revoked", "crm")
    capsys.readouterr()
    returns.settle(0.05)
    told = json.loads(capsys.readouterr().err)
    held.set()
    returns.settle()
    assert (told["event"], told["times"], told["causes"]) == ("oauth token not revoked", 3, "the process ended")


@pytest.mark.requirement("leases:oauth:revoked")
def test_whatever_goes_wrong_with_a_revocation_is_an_event_and_frees_its_place(
    capsys: pytest.CaptureFixture[str],
) -> None:
    returns = Returns()

    def breaks() -> None:
        raise ValueError("TELL-NOBODY")

    returns.begin(breaks, "oauth token not revoked", "crm", CallBounds())
    returns.settle(5)
    told = capsys.readouterr().err
    assert json.loads(told)["error_class"] == "ValueError"
    assert "TELL-NOBODY" not in told


@pytest.mark.requirement("leases:oauth:reused")
def test_a_token_that_has_ended_before_it_came_is_refused(cast: Cast) -> None:
    """The attack: a slow answer with a short life, of which many calls that wait would be given what has ended."""

    def late(said: dict[str, object]) -> None:
        HELD.wait(1.1)
        said["expires_in"] = 1

    cast.server.change = late
    with pytest.raises(Refused) as refused, lent(cast.leases(cast.oauth())):
        pass
    assert refused.value.rule == "leases/token"


@pytest.mark.requirement("leases:oauth:reused")
def test_the_end_of_a_token_counts_from_the_question(cast: Cast) -> None:
    cast.server.change = lambda _: HELD.wait(0.5) and None
    asked_at = time.time()
    with lent(cast.leases(cast.oauth())) as taken:
        assert taken.expires_at == pytest.approx(asked_at + 300, abs=0.3)


@pytest.mark.requirement("leases:oauth:reused")
def test_without_revocation_a_token_is_used_again_until_shortly_before_its_end(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    clock = [now]
    monkeypatch.setattr(oauth_module.time, "monotonic", lambda: clock[0])
    leases, seen = cast.leases(cast.oauth()), []
    for elapsed in (0.0, 200.0, 265.0, 275.0):
        clock[0] = now + elapsed
        with lent(leases, bounds=CallBounds()) as lease:
            seen.append(token_of(lease))

    assert seen[0] == seen[1] == seen[2] != seen[3]
    with lent(leases, ("customers.read", "customers.write")) as wider:
        assert token_of(wider) not in seen
    assert len(cast.server.issued) == 3


@pytest.mark.requirement("leases:once:asked")
@pytest.mark.parametrize(("revoke_path", "issued"), [(None, 2), ("/oauth/revoke", 8)])
def test_calls_that_need_one_token_at_one_moment_ask_once_a_caller(
    revoke_path: str | None, issued: int, cast: Cast
) -> None:
    leases, together = cast.leases(cast.oauth("token_exchange", revoke_path=revoke_path)), threading.Barrier(8)
    cast.server.change = lambda _: HELD.wait(0.3) and None

    def call(number: int) -> tuple[Subject, str]:
        subject = (ALICE, BOB)[number % 2]
        together.wait(20)
        with lent(leases, subject=subject) as lease:
            return subject, token_of(lease)

    with ThreadPoolExecutor(8) as threads:
        seen = list(threads.map(call, range(8)))

    assert len(cast.server.issued) == issued
    assert all(cast.server.issued[token].subject == subject.name for subject, token in seen)


@pytest.mark.requirement("leases:oauth:reused")
def test_remembered_tokens_are_bounded_and_end_with_their_generation(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oauth_module, "MAX_REMEMBERED", 1)
    leases = cast.leases(cast.oauth("token_exchange"))
    for subject in (ALICE, BOB, ALICE):
        with lent(leases, subject=subject):
            pass
    with lent(leases):
        assert len(cast.server.issued) == 3
    with lent(cast.leases(cast.oauth("token_exchange"))):
        assert len(cast.server.issued) == 4


@pytest.mark.requirement("leases:oauth:doubted")
def test_a_token_that_its_target_does_not_take_is_used_for_no_later_call(cast: Cast) -> None:
    auth, spec = cast.oauth(), http_tool(scopes=READ)
    with Target([saying(reply(status="401 Unauthorized")), saying(reply())]) as target:
        connection = cast.connection(auth, target.port)
        leases = cast.leases(auth)
        tools = HttpTools({"crm": connection}, [spec])
        plan = tools.plan(spec.name, {})
        with lent(leases) as first, pytest.raises(Refused, match="status 401"):
            tools.run(plan, first, Cancellation())
        with lent(leases) as second:
            tools.run(plan, second, Cancellation())

    sent = [request.partition(b"Authorization: Bearer ")[2].partition(b"\r\n")[0] for request in target.requests]
    assert len(set(sent)) == 2
    assert {each.decode() for each in sent} == set(cast.server.issued)


@pytest.mark.requirement("leases:oauth:doubted")
def test_a_token_that_came_after_the_doubted_one_stays(cast: Cast) -> None:
    leases = cast.leases(cast.oauth())
    with lent(leases) as first, lent(leases) as second:
        first.doubt()
        with lent(leases) as third:
            second.doubt()
            with lent(leases) as fourth:
                assert token_of(first) == token_of(second) != token_of(third) == token_of(fourth)
    assert len(cast.server.issued) == 2


@pytest.mark.requirement("leases:oauth:subject")
def test_an_exchange_names_the_caller_in_our_own_words_to_that_server_alone(cast: Cast) -> None:
    with lent(cast.leases(cast.oauth("token_exchange"))) as lease:
        form = cast.server.issued[token_of(lease)].form
    assertion = form["subject_token"]
    claims = claims_of(assertion)
    signed, _, signature = assertion.rpartition(".")

    cast.key.public_key().verify(base64.urlsafe_b64decode(signature + "=="), signed.encode())
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "jti", "act"}
    assert (claims["iss"], claims["sub"], claims["aud"]) == ("sandbox", "alice", cast.oauth().token_url)
    assert claims["act"] == {"sub": "agent-7", "act": {"sub": "orchestrator"}}
    assert int(claims["exp"]) - int(claims["iat"]) == 60
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:token-exchange"
    assert form["subject_token_type"] == "urn:ietf:params:oauth:token-type:jwt"
    assert (form["scope"], form.get("actor_token")) == ("customers.read", None)


@pytest.mark.requirement("leases:oauth:principals")
def test_two_principals_never_share_an_exchanged_token(cast: Cast) -> None:
    leases = cast.leases(cast.oauth("token_exchange"))
    seen: dict[str, str] = {}
    for subject in (ALICE, BOB, replace_actors(), ALICE, BOB):
        with lent(leases, subject=subject) as lease:
            seen.setdefault(token_of(lease), str(subject))
            assert seen[token_of(lease)] == str(subject)

    assert sorted(each.subject for each in cast.server.issued.values()) == ["alice", "alice", "bob"]


def replace_actors() -> Subject:
    """Return alice, for whom somebody else acts."""
    return ALICE._replace(actors=("agent-8",))


@pytest.mark.requirement("leases:oauth:principals")
def test_without_the_rule_one_principal_would_be_given_another_s(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oauth_module.Tokens, "_key", lambda _self, scopes, _subject: (scopes, None))
    leases = cast.leases(cast.oauth("token_exchange"))
    with lent(leases, subject=ALICE) as lease:
        of_alice = token_of(lease)
    with lent(leases, subject=BOB) as lease:
        assert token_of(lease) == of_alice


@pytest.mark.requirement("leases:oauth:digest")
def test_the_digest_is_of_public_facts_and_of_nobody_s_name(cast: Cast) -> None:
    auth = cast.oauth("token_exchange")
    leases = cast.leases(auth)
    same = {lent(leases, subject=subject).digest for subject in (ALICE, BOB)}
    others = [
        lent(leases, ("customers.write",)).digest,
        lent(cast.leases(cast.oauth())).digest,
        lent(cast.leases(replace(auth, revoke_path="/oauth/revoke"))).digest,
    ]

    assert len(same) == 1
    assert len({*same, *others}) == 4
    assert {len(digest) for digest in others} == {32}


@pytest.mark.requirement("leases:oauth:subject")
@pytest.mark.parametrize("fault", ["absent", "open", "other"])
def test_a_connection_that_exchanges_tokens_is_not_loaded_without_its_key(fault: str, cast: Cast) -> None:
    path = cast.folder / "assertion.key"
    match fault:
        case "absent":
            path.unlink()
        case "open":
            path.chmod(0o644)
        case _:
            path.write_bytes(b"no key")
    with pytest.raises(Misconfigured, match=r"assertion\.key: .*openssl genpkey"):
        cast.leases(cast.oauth("token_exchange"))

    cast.leases(cast.oauth())
    assert read_assertions({}, path, "sandbox") is None


@pytest.mark.requirement("leases:oauth:secret")
def test_the_client_s_secret_may_lie_in_a_vault(cast: Cast, vault: Vault) -> None:
    vault.put("crm-client", secret=CLIENT[1])
    places = SecretPlaces(cast.folder, vault.known_in(cast.folder))
    source, complaint = places.source("vault", "secret/data/crm-client#secret", "it")
    assert isinstance(source, VaultSecret), complaint

    with lent(cast.leases(cast.oauth(client_secret=source))) as lease:
        assert cast.server.is_live(token_of(lease))


@pytest.mark.requirement("leases:oauth:secret")
def test_a_secret_that_is_not_there_refuses_the_call_without_a_word_of_where(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CRM_CLIENT_SECRET")
    with pytest.raises(Refused) as refused, lent(cast.leases(cast.oauth())):
        pass

    assert (refused.value.reason, refused.value.rule) == (Reason.EXECUTOR_UNAVAILABLE, "leases/token")
    assert "CRM_CLIENT_SECRET" not in refused.value.message
    assert "CRM_CLIENT_SECRET" in capsys.readouterr().err


@pytest.mark.requirement("leases:oauth:time")
def test_what_the_lease_took_of_a_call_s_time_is_gone(cast: Cast) -> None:
    auth, spec = cast.oauth(), http_tool(scopes=READ)
    leases = cast.leases(auth)
    with lent(leases):
        pass  # remembered: the next is there at once
    with Target() as target, lent(leases, bounds=CallBounds(time.monotonic())) as lease:
        tools = HttpTools({"crm": cast.connection(auth, target.port)}, [spec])
        with pytest.raises(Refused) as refused:
            tools.run(tools.plan(spec.name, {}), lease, Cancellation())

    assert refused.value.reason is Reason.EXECUTION_TIMED_OUT


@pytest.mark.requirement("leases:oauth:explained")
def test_a_plan_tells_the_scopes_and_no_token(cast: Cast) -> None:
    tool = Tool(cast.connection(cast.oauth()), http_tool(scopes=READ))

    assert tool.plan().request_to_send.endswith("\nAuthorization: (an access token for customers.read)")
    assert cast.server.issued == {}

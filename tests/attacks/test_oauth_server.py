"""Can an authorization server, or whoever stands in its place, widen a call, hold it, or have secrets told?"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from authorization_server import CLIENT
from http_cast import Listener, NameServer, make_papers, reply, saying
from hypothesis import given
from hypothesis import strategies as st
from oauth_cast import READ, Cast, lent, played, token_of, when

from sandbox.leases import CallBounds, authorization_server, oauth
from sandbox.leases.asking import Reply
from sandbox.reasons import Reason, Refused
from sandbox.stages import Cancellation
from sandbox.telemetry import events
from sandbox.values import JsonObject

SECRETS = (CLIENT[1], "TELL-NOBODY")


@pytest.fixture
def cast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cast]:
    monkeypatch.setenv("CRM_CLIENT_SECRET", CLIENT[1])
    monkeypatch.setattr(events, "_often", {})
    with played(tmp_path) as made:
        yield made


def refused_by(cast: Cast, bounds: CallBounds | None = None, **changes: object) -> Refused:
    """Return how taking a lease is refused; whatever is told of it tells no secret."""
    with pytest.raises(Refused) as refused, lent(cast.leases(cast.oauth(**changes)), bounds=bounds):  # type: ignore[arg-type] - fields
        pass
    assert not any(secret in str(refused.value.__dict__) for secret in SECRETS)
    return refused.value


def assert_no_token(refused: Refused, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The caller is told that there is none, operators why, by a fixed word."""
    assert (refused.reason, refused.rule, refused.metadata) == (Reason.EXECUTOR_UNAVAILABLE, "leases/token", {})
    assert refused.message == (
        "the authorization server of connection `crm` lends no usable token; the same call may succeed later; if it"
        " does not, tell the operator of this service"
    )
    told = capsys.readouterr().err
    assert json.loads(told.splitlines()[0])["causes"] == word
    assert not any(secret in told for secret in SECRETS)


@pytest.mark.requirement("leases:oauth:wider")
@pytest.mark.parametrize("grant", ["client_credentials", "token_exchange"])
@pytest.mark.parametrize(
    "scope", ["customers.read customers.write", "customers.write", "admin", "customers.read\tadmin", ["customers.read"]]
)
def test_a_token_wider_than_asked_for_is_used_by_nobody_and_revoked(
    scope: object, grant: str, cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    cast.server.change = lambda said: said.update(scope=scope)

    assert_no_token(refused_by(cast, grant=grant, revoke_path="/oauth/revoke"), "wider scope", capsys)
    assert cast.server.revoked.wait(5)
    assert [token for token in cast.server.issued if cast.server.is_live(token)] == []


@pytest.mark.requirement("leases:oauth:wider")
def test_without_the_rule_it_would_be_used(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authorization_server, "_checked", lambda *_, **__: 60)
    cast.server.change = lambda said: said.update(scope="admin")
    with lent(cast.leases(cast.oauth())) as lease:
        assert cast.server.is_live(token_of(lease))


@pytest.mark.requirement("leases:oauth:wider")
@pytest.mark.parametrize("scope", ["customers.read", "", None])
def test_the_scope_asked_for_a_narrower_one_and_none_told_are_taken(scope: str | None, cast: Cast) -> None:
    cast.server.change = lambda said: said.update(scope=scope) if scope is not None else None
    with lent(cast.leases(cast.oauth())) as lease:
        assert cast.server.is_live(token_of(lease))


@pytest.mark.requirement("leases:oauth:answers")
@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"access_token": "a\r\nX-Admin: 1"}, "malformed"),
        ({"access_token": "a b"}, "malformed"),
        ({"access_token": "a\0"}, "malformed"),
        ({"access_token": "t\u00f6ken"}, "malformed"),
        ({"access_token": ""}, "malformed"),
        ({"access_token": "a" * 9000}, "malformed"),
        ({"access_token": ["a"]}, "malformed"),
        ({"access_token": None}, "malformed"),
        ({"token_type": "mac"}, "token_type"),
        ({"token_type": None}, "token_type"),
        ({"token_type": "DPoP"}, "token_type"),
        ({"expires_in": None}, "expires_in"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": -1}, "expires_in"),
        ({"expires_in": 86_401}, "expires_in"),
        ({"expires_in": 10**30}, "expires_in"),
        ({"expires_in": 1e308}, "expires_in"),
        ({"expires_in": "300"}, "expires_in"),
        ({"expires_in": True}, "expires_in"),
    ],
)
def test_a_token_that_is_no_bearer_token_with_an_end_is_refused(
    changed: dict[str, object], word: str, cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    cast.server.change = lambda said: said.update(changed)

    assert_no_token(refused_by(cast), word, capsys)


@pytest.mark.requirement("leases:oauth:answers")
@pytest.mark.parametrize("kind", [None, "urn:ietf:params:oauth:token-type:refresh_token", [], {}, ["urn:…"], 7, True])
def test_an_exchange_that_gives_another_kind_of_token_is_refused_and_the_token_revoked(
    kind: object, cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    """The attack: a value that no set can hold made a fault of it, and the token lived on."""
    cast.server.change = lambda said: said.update(issued_token_type=kind)

    assert_no_token(refused_by(cast, grant="token_exchange", revoke_path="/oauth/revoke"), "issued_token_type", capsys)
    assert [issued.is_revoked for issued in cast.server.issued.values()] == [True]


GOOD = b'{"access_token": "TELL-NOBODY", "token_type": "Bearer", "expires_in": 60}'


@pytest.mark.requirement("leases:oauth:answers")
@pytest.mark.parametrize(
    ("said", "word"),
    [
        (reply(b"<html>TELL-NOBODY</html>"), "malformed"),
        (reply(b"[" + GOOD + b"]"), "malformed"),
        (reply(GOOD.replace(b"{", b'{"access_token": "x", ')), "malformed"),
        (reply(GOOD, "201 Created"), "status 201"),
        (reply(b'{"error": "invalid_scope", "error_description": "TELL-NOBODY"}', "400 Bad"), "invalid_scope"),
        (reply(b'{"error": "TELL-NOBODY"}', "400 TELL-NOBODY"), "status 400"),
        (reply(b"TELL-NOBODY", "500 Broken"), "status 500"),
        (reply(length=10**9), "too_large"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 70_000, "too_large"),
        (reply(headers={"Content-Encoding": "gzip", "Content-Length": "9"}), "encoding"),
        (b"SSH-2.0-TELL-NOBODY\r\n", "response"),
        (b"", "cut"),
    ],
)
def test_an_answer_that_is_no_token_is_told_by_a_fixed_word(
    said: bytes, word: str, cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    cast.server.says = saying(said)

    assert_no_token(refused_by(cast), word, capsys)


@pytest.mark.requirement("leases:oauth:answers")
def test_a_secret_that_the_server_echoes_is_told_to_nobody(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    echo = json.dumps({"error": CLIENT[1], "error_description": f"secret {CLIENT[1]} is wrong"}).encode()
    cast.server.says = saying(reply(echo, f"401 {CLIENT[1]}"))

    assert_no_token(refused_by(cast), "status 401", capsys)


@pytest.mark.requirement("leases:oauth:reached")
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 Other", "307 Again", "308 For Good"])
def test_a_redirect_takes_the_client_s_secret_nowhere(
    status: str, cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    with Listener() as forbidden:
        headers = {"Location": f"https://127.0.0.1:{forbidden.port}/", "Content-Length": "9"}
        cast.server.says = saying(reply(status=status, headers=headers))

        assert_no_token(refused_by(cast), f"status {status[:3]}", capsys)
        assert forbidden.count() == 0


@pytest.mark.requirement("leases:oauth:reached")
def test_a_name_that_leads_elsewhere_is_not_followed(cast: Cast, capsys: pytest.CaptureFixture[str]) -> None:
    with NameServer(["127.0.0.1"], ["10.0.0.1"], ["127.0.0.1", "10.0.0.1"]) as names:
        auth = cast.oauth(host="login.example.com", revoke_path=None)
        leases = cast.leases(auth, names.resolve)
        with lent(leases) as lease:
            assert cast.server.is_live(token_of(lease))
        for _ in range(2):
            events._often.clear()
            with pytest.raises(Refused) as refused, lent(leases, ("customers.write",)):
                pass
            assert_no_token(refused.value, "address", capsys)

    assert (names.asked, cast.server.target.connections) == (3, 1)


@pytest.mark.requirement("leases:oauth:reached")
def test_a_private_address_is_reached_only_where_an_operator_names_it(
    cast: Cast, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_no_token(refused_by(cast, networks=()), "address", capsys)
    assert cast.server.target.connections == 0


@pytest.mark.requirement("leases:oauth:reached")
def test_the_client_s_secret_goes_to_no_server_without_the_right_certificate(
    cast: Cast, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "other").mkdir()
    assert_no_token(refused_by(cast, ca=str(make_papers(tmp_path / "other").ca)), "tls", capsys)
    assert cast.server.target.requests == []


@pytest.mark.requirement("leases:oauth:time")
@pytest.mark.parametrize("hangs", ["silent", "endless"])
def test_a_server_that_hangs_holds_a_call_no_longer_than_it_may(hangs: str, cast: Cast) -> None:
    target = cast.server.target
    cast.server.says = target.hold if hangs == "silent" else target.drip(b"HTTP/1.1 200 OK\r\n\r\n")
    begun = time.monotonic()
    refused = refused_by(cast, CallBounds.of_call(0.3, Cancellation()))
    assert refused.reason is Reason.EXECUTION_TIMED_OUT
    assert time.monotonic() - begun < 2

    cancellation, cancelled_at = Cancellation(), list[float]()

    def cancel() -> None:
        cancelled_at.append(time.monotonic())
        cancellation.cancel()

    target.arrived.clear()
    other = when(target.arrived, cancel)
    refused = refused_by(cast, CallBounds.of_call(30, cancellation))
    ended = time.monotonic()
    other.join()
    assert refused.reason is Reason.CALL_CANCELLED
    assert ended - cancelled_at[0] < 0.25


@pytest.mark.requirement("leases:oauth:principals")
def test_many_at_once_get_what_is_theirs(cast: Cast) -> None:
    leases = cast.leases(cast.oauth("token_exchange"))
    seen: list[tuple[str, str]] = []

    def work(names: Sequence[str]) -> None:
        for name in names:
            with lent(leases, subject=oauth.Subject(name, ())) as lease:
                seen.append((name, token_of(lease)))

    threads = [threading.Thread(target=work, args=(names,)) for names in ("abab", "baba", "aabb", "bbaa")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(seen) == 16
    assert all(cast.server.issued[token].subject == name for name, token in seen)
    assert {token.scopes[0] for token in cast.server.issued.values()} == set(READ)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["Bearer", *READ]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["access_token", "token_type", "expires_in", "scope", "issued_token_type", "error", "x"])


@pytest.mark.requirement("leases:oauth:answers")
@given(status=st.sampled_from([200, 200, 400]), document=st.dictionaries(NAMES, VALUES), is_exchange=st.booleans())
def test_whatever_is_answered_is_a_token_fit_for_a_header_or_a_fixed_word(
    status: int,
    document: JsonObject,
    is_exchange: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    reply, word, token, seconds = Reply(status, document), "", "x", 1
    try:
        token = authorization_server._token_of(reply)
        seconds = authorization_server._checked(reply, READ, is_exchange=is_exchange)
    except authorization_server.NoToken as error:
        word = str(error)

    assert word in {"", *WORDS}
    assert token.isascii()
    assert token.isprintable()
    assert " " not in token
    assert 0 < seconds <= 86_400


WORDS = {
    *authorization_server._TOLD,
    *("malformed", "token_type", "issued_token_type", "wider scope", "expires_in", "status 400"),
}

"""Is what is sent the spec's template with the arguments in their places, and nowhere else?"""

from __future__ import annotations

import json

import pytest
from http_cast import SECRET, Target, Tool, connection_to, http_tool, reply, saying
from hypothesis import given
from hypothesis import strategies as st

from sandbox.executors.http_requests import is_one_segment
from sandbox.reasons import Reason, Refused
from sandbox.toolspec import Argument, EnvSecret, HttpAuth, HttpCeiling
from sandbox.values import JsonValue

ONE = http_tool(path=("v1", "things", Argument("a")))
KEY = HttpAuth("X-Api-Key", "", EnvSecret("CRM_KEY"))


def target_of(value: JsonValue) -> str:
    return Tool(connection_to(80, prefix="/api"), ONE).plan(a=value).target


@pytest.mark.requirement("http:request:segment")
@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("x", "x"),
        (7, "7"),
        (-(2**63), "-9223372036854775808"),
        ("a b?c#d&e=f", "a%20b%3Fc%23d&e=f"),
        ("Zoë ☃", "Zo%C3%AB%20%E2%98%83"),
        ("100%", "100%25"),
        ("a;b", "a%3Bb"),
        ("...", "..."),
        (".hidden", ".hidden"),
        ("{a}", "%7Ba%7D"),
        ("@evil.example:80", "@evil.example:80"),
    ],
)
def test_an_argument_is_one_encoded_segment(value: JsonValue, sent: str) -> None:
    assert target_of(value) == f"/api/v1/things/{sent}"


MOVING = [
    "", " ", ".", "..", " .. ", "a/b", "/", "..\\", "\\", "../admin", "%2e", "%2e%2e", "%2E.", ".%2e",
    "%252e%252e", "a%2fb",
    "a%2Fb", "a%5cb", "%252f", "..;x", ".;", ";", "..%3Bx", "%00", "a\0b", "a\r\nX: y",
    "a\nb", "a\x7fb", "%0d%0aX: y", "\t", None,
    [],
]  # fmt: skip


@pytest.mark.requirement("http:request:segment")
@pytest.mark.parametrize("value", MOVING)
def test_an_argument_that_moves_within_the_path_is_refused(value: JsonValue) -> None:
    with pytest.raises(Refused) as refused:
        target_of(value)
    assert refused.value.reason is Reason.ARGUMENT_INVALID


@pytest.mark.requirement("http:request:segment")
@given(st.text(max_size=40))
def test_whatever_is_accepted_stays_one_segment(value: str) -> None:
    if is_one_segment(value):
        target = target_of(value)
        assert target.isascii()
        assert target.isprintable()
        assert target.startswith("/api/v1/things/")
        assert target.count("/") == 4
        assert not set(target) & set(" ?#\\;")


@pytest.mark.requirement("http:request:query")
def test_query_values_are_encoded_and_left_out_where_there_is_no_argument() -> None:
    query = (("q", Argument("q")), ("most", Argument("most")), ("deep", "true"), ("a&b", "c=d"))
    tool = Tool(connection_to(80), http_tool(query=query))

    assert tool.plan(q="x&admin=1#/..").target == "/things?q=x%26admin%3D1%23%2F..&deep=true&a%26b=c%3Dd"
    assert tool.plan(q=None, most=2.5).target == "/things?most=2.5&deep=true&a%26b=c%3Dd"
    assert tool.plan(most=False).target == "/things?most=false&deep=true&a%26b=c%3Dd"
    with pytest.raises(Refused, match="single value"):
        tool.plan(q=["x"])


@pytest.mark.requirement("http:request:target-size")
def test_a_path_and_query_of_over_8_kib_are_refused() -> None:
    tool = Tool(connection_to(80), http_tool(query=(("q", Argument("q")),)))

    with pytest.raises(Refused) as refused:
        tool.plan(q="x" * 9_000)
    assert (refused.value.reason, refused.value.rule) == (Reason.ARGUMENT_INVALID, "http/target")


@pytest.mark.requirement("http:request:body")
def test_a_body_keeps_the_arguments_json_types() -> None:
    body = {"n": Argument("n"), "all": Argument("all"), "fixed": [1, None, Argument("n"), Argument("none")], "x": "{}"}
    tool = Tool(connection_to(80), http_tool(method="POST", body=body))

    def sent(**arguments: JsonValue) -> object:
        return json.loads(tool.plan(**arguments).body or b"")

    nested = {"a": [1.5, True, None, "x\r\n"]}
    assert sent(n=2**53 + 1, all=nested) == {
        "n": 2**53 + 1, "all": nested, "fixed": [1, None, 2**53 + 1, None], "x": "{}"
    }  # fmt: skip
    assert sent(n=None) == {"n": None, "fixed": [1, None, None, None], "x": "{}"}


@pytest.mark.requirement("http:request:ceiling")
@pytest.mark.parametrize(
    "ceiling",
    [HttpCeiling(frozenset({"POST"}), None), HttpCeiling(None, (("v1", "other", "*"),)), HttpCeiling(None, ())],
)
def test_a_request_outside_the_ceiling_is_not_planned_whatever_lint_made_of_it(ceiling: HttpCeiling) -> None:
    with pytest.raises(Refused) as refused:
        Tool(connection_to(80, ceiling=ceiling), ONE).plan(a="x")
    assert refused.value.rule == "http/ceiling"


@pytest.mark.requirement("http:request:exact")
def test_the_bytes_that_are_sent_are_these_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_KEY", SECRET)
    spec = http_tool(
        method="PUT",
        path=("v1", Argument("a")),
        query=(("q", "1"),),
        headers=(("Accept-Language", "en"), ("Accept", "application/hal+json")),
        body={"a": Argument("a")},
    )
    with Target() as target:
        Tool(connection_to(target.port, auth=KEY, prefix="/api"), spec).call(a="ü")

    body = '{"a":"ü"}'.encode()
    assert target.requests == [
        f"PUT /api/v1/%C3%BC?q=1 HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\nUser-Agent: tool-sandbox\r\n"
        "Accept-Language: en\r\nAccept: application/hal+json\r\nAccept-Encoding: identity\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nX-Api-Key: {SECRET}\r\n\r\n".encode()
        + body
    ]


@pytest.mark.requirement("http:request:exact")
def test_a_write_without_a_body_says_so() -> None:
    with Target([saying(reply(b"", "204 Gone", {}))]) as target:
        fetched = Tool(connection_to(target.port), http_tool(method="DELETE", columns=(), statuses=(204,))).call()

    assert b"\r\nContent-Length: 0\r\n" in target.requests[0]
    assert fetched.rows == ((204,),)


@pytest.mark.requirement("http:secret:hidden")
def test_what_is_told_of_a_request_has_a_word_in_the_secrets_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_KEY", SECRET)
    spec = http_tool(method="POST", path=("v1", Argument("a")), body={"a": Argument("a")})
    plan = Tool(connection_to(443, "crm.example.com", auth=KEY), spec).plan(a=1)

    assert plan.rights.requests == ("POST http://crm.example.com:443/v1/{a}",)
    assert plan.request_to_send.splitlines()[0] == "POST http://crm.example.com:443/v1/1"
    assert "X-Api-Key: (the connection's secret)" in plan.request_to_send
    assert plan.request_to_send.endswith('\n\n{"a":1}')
    assert SECRET not in repr(plan)

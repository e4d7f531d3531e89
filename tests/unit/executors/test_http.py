"""How does a call end? Retries where the author says so, statuses, picked rows, effects that are unknown."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time

import pytest
from http_cast import ID, Behaviour, Target, Tool, connection_to, http_tool, reply, saying

from sandbox.executors import http as http_executor
from sandbox.reasons import Effect, Reason, Refused
from sandbox.stages import Cancellation, ResultColumn, Truncation
from sandbox.toolspec import HttpMethod, PickedColumn, PickedType, ToolLimits
from sandbox.values import JsonValue

GOOD, BUSY = saying(reply()), saying(reply(status="503 Busy"))


def reset(line: socket.socket, _: bytes) -> None:
    """Hang up rudely."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def ended(
    *behaviours: Behaviour, is_idempotent: bool = True, method: HttpMethod = "GET", **more: object
) -> tuple[object, int]:
    """Return how a call ends, and how many requests it took."""
    spec = http_tool(method=method, is_idempotent=is_idempotent, **more)  # type: ignore[arg-type] - as the tool takes them
    with Target(list(behaviours)) as target:
        try:
            outcome: object = Tool(connection_to(target.port), spec).call().rows
        except Refused as refused:
            outcome = refused.reason
        return outcome, target.connections


@pytest.mark.requirement("http:retry:idempotent")
@pytest.mark.parametrize(
    ("behaviours", "requests"),
    [
        ((BUSY, GOOD), 2),
        ((BUSY, BUSY, GOOD), 3),
        ((saying(b""), GOOD), 2),
        ((reset, reset, GOOD), 3),
        ((saying(reply(status="502 Bad")), saying(reply(status="504 Late")), GOOD), 3),
    ],
)
def test_an_idempotent_request_is_sent_again_where_its_target_may_be_well_later(
    behaviours: tuple[Behaviour, ...], requests: int
) -> None:
    assert ended(*behaviours) == (((1,),), requests)


@pytest.mark.requirement("http:retry:idempotent")
@pytest.mark.parametrize(
    ("behaviours", "outcome", "requests"),
    [
        ((BUSY,), Reason.HTTP_STATUS, 3),
        ((saying(b""),), Reason.EXECUTOR_UNAVAILABLE, 3),
        ((saying(reply(status="500 Broken")), GOOD), Reason.HTTP_STATUS, 1),
        ((saying(reply(status="429 Slower")), GOOD), Reason.HTTP_STATUS, 1),
        ((saying(reply(status="404 Not Found")), GOOD), Reason.HTTP_STATUS, 1),
        ((saying(reply(length=100)), GOOD), Reason.EXECUTOR_UNAVAILABLE, 1),
        ((saying(b"SSH-2.0\r\n"), GOOD), Reason.HTTP_RESPONSE_INVALID, 1),
        ((saying(reply(b"[")), GOOD), Reason.HTTP_RESPONSE_INVALID, 1),
    ],
)
def test_no_more_than_twice_and_never_after_an_answer(
    behaviours: tuple[Behaviour, ...], outcome: Reason, requests: int
) -> None:
    assert ended(*behaviours) == (outcome, requests)


@pytest.mark.requirement("http:retry:idempotent")
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("first", [BUSY, saying(b""), reset], ids=["busy", "hung-up", "reset"])
def test_what_nobody_calls_idempotent_is_sent_once(first: Behaviour, method: HttpMethod) -> None:
    assert ended(first, GOOD, is_idempotent=False, method=method)[1] == 1


@pytest.mark.requirement("http:retry:bounded")
def test_a_retry_that_would_come_too_late_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_executor, "PAUSES_S", (60.0,))
    begun = time.monotonic()

    outcome, requests = ended(BUSY, limits=ToolLimits(seconds=5))

    assert (outcome, requests) == (Reason.HTTP_STATUS, 1)
    assert time.monotonic() - begun < 2


@pytest.mark.requirement("http:retry:bounded")
def test_cancelling_ends_the_wait_for_a_retry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_executor, "PAUSES_S", (4.0,))
    cancellation = Cancellation()
    with Target([BUSY]) as target:
        tool = Tool(connection_to(target.port), http_tool(is_idempotent=True))
        other = threading.Thread(target=lambda: (target.arrived.wait(5), cancellation.cancel()))
        other.start()
        begun = time.monotonic()
        with pytest.raises(Refused) as refused:
            tool.call(cancellation)
        other.join()

    assert refused.value.reason is Reason.CALL_CANCELLED
    assert time.monotonic() - begun < 2
    assert target.connections == 1


@pytest.mark.requirement("http:status:number")
@pytest.mark.parametrize("status", [100 + 3, 201, 204, 206, 400, 401, 403, 404, 409, 418, 429, 500, 503, 999])
def test_another_status_is_told_by_its_number_and_nothing_else(
    status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.telemetry.events._often", {})
    said = reply(b"TELL-NOBODY", f"{status} TELL-NOBODY")
    with Target([saying(said)]) as target, pytest.raises(Refused) as refused:
        Tool(connection_to(target.port)).call()

    assert (refused.value.reason, refused.value.metadata["status"]) == (Reason.HTTP_STATUS, str(status))
    told = capsys.readouterr().err
    assert "TELL-NOBODY" not in str(refused.value.__dict__) + told
    assert (f'"causes": "status {status}"' in told) == (status in {401, 403})


@pytest.mark.requirement("http:status:number")
def test_the_body_of_another_status_is_not_read() -> None:
    said = b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000000000\r\n\r\n"
    with Target() as target:
        target.behaviours = [target.drip(said)]
        with pytest.raises(Refused) as refused:
            Tool(connection_to(target.port)).call()

    assert refused.value.reason is Reason.HTTP_STATUS


@pytest.mark.requirement("http:effects:unknown")
def test_a_write_that_was_sent_and_not_answered_in_full_is_of_unknown_effect() -> None:
    with Target() as target:
        for behaviour in (
            saying(b""),
            saying(b"HTTP/1.1 200 OK\r\n"),
            saying(reply(length=99)),
            target.hold,
        ):
            target.behaviours = [behaviour]
            spec = http_tool(method="POST", is_idempotent=False, limits=ToolLimits(seconds=0.5))
            with pytest.raises(Refused) as refused:
                Tool(connection_to(target.port), spec).call()
            assert (refused.value.reason, refused.value.effect) == (Reason.EFFECT_UNKNOWN, Effect.UNKNOWN)


@pytest.mark.requirement("http:effects:unknown")
def test_a_write_cancelled_under_way_is_of_unknown_effect_and_one_never_sent_is_not() -> None:
    cancellation = Cancellation()
    with Target() as target:
        target.behaviours = [target.hold]
        tool = Tool(connection_to(target.port), http_tool(method="POST"))
        other = threading.Thread(target=lambda: (target.arrived.wait(5), cancellation.cancel()))
        other.start()
        with pytest.raises(Refused) as under_way:
            tool.call(cancellation)
        other.join()
        with pytest.raises(Refused) as before:
            tool.call(cancellation)
    with pytest.raises(Refused) as unreached:
        tool.call()

    assert (under_way.value.reason, under_way.value.metadata["error"]) == (Reason.EFFECT_UNKNOWN, "cancelled")
    assert (before.value.reason, before.value.effect) == (Reason.CALL_CANCELLED, Effect.NONE)
    assert (unreached.value.reason, unreached.value.effect) == (Reason.EXECUTOR_UNAVAILABLE, Effect.NONE)


@pytest.mark.requirement("http:effects:unknown")
@pytest.mark.parametrize(
    ("said", "effect"),
    [
        (reply(b"["), Effect.DONE),
        (reply(b'{"id": "x"}'), Effect.DONE),
        (reply(status="500 Broken"), Effect.UNSPECIFIED),
        (reply(status="404 Not Found"), Effect.UNSPECIFIED),
    ],
    ids=["no-json", "another-type", "broken", "not-found"],
)
def test_a_taken_status_is_an_effect_whatever_the_body_and_another_status_tells_of_none(
    said: bytes, effect: Effect
) -> None:
    with Target([saying(said)]) as target, pytest.raises(Refused) as refused:
        Tool(connection_to(target.port), http_tool(method="POST")).call()

    assert refused.value.effect is effect


@pytest.mark.requirement("http:effects:unknown")
def test_a_read_says_nothing_of_effects() -> None:
    for said in (b"", reply(b"["), reply(status="500 Broken")):
        with Target([saying(said)]) as target, pytest.raises(Refused) as refused:
            Tool(connection_to(target.port)).call()
        assert refused.value.effect is Effect.UNSPECIFIED


@pytest.mark.requirement("http:effects:unknown")
@pytest.mark.parametrize("first", [BUSY, saying(b"")], ids=["busy", "hung-up"])
def test_a_write_once_sent_stays_of_unknown_effect_though_a_later_try_reaches_nobody(first: Behaviour) -> None:
    def vanish(line: socket.socket, request: bytes) -> None:
        first(line, request)
        names.clear()

    names = ["127.0.0.1"]
    with Target([vanish]) as target:
        spec = http_tool(method="PUT", is_idempotent=True)
        tool = Tool(connection_to(target.port, "crm.example.com"), spec, lambda *_: tuple(names))
        with pytest.raises(Refused) as refused:
            tool.call()

    assert (refused.value.reason, refused.value.metadata["error"]) == (Reason.EFFECT_UNKNOWN, "resolve")
    assert target.connections == 1


def picked(document: JsonValue, *columns: PickedColumn, rows: tuple[str, ...] = (), **limits: int) -> object:
    """Return what a tool takes of a document: its rows, or the class of error."""
    with Target([saying(reply(json.dumps(document).encode()))]) as target:
        spec = http_tool(columns=columns, rows=rows, limits=ToolLimits(seconds=5, **limits))
        try:
            return Tool(connection_to(target.port), spec).call().rows
        except Refused as refused:
            return refused.metadata["error"] if refused.reason is Reason.HTTP_RESPONSE_INVALID else refused.reason


def column(kind: PickedType, *at: str, is_required: bool = True) -> PickedColumn:
    return PickedColumn(name="c", at=at, type=kind, is_required=is_required)


@pytest.mark.requirement("http:rows:typed")
@pytest.mark.parametrize(
    ("kind", "value", "cell"),
    [
        ("text", "x", "x"),
        ("text", "", ""),
        ("integer", 2**63 - 1, 2**63 - 1),
        ("integer", -(2**63), -(2**63)),
        ("integer", 0, 0),
        ("real", 1.5, 1.5),
        ("real", 2, 2.0),
        ("boolean", True, True),
        ("boolean", False, False),
    ],
)
def test_a_value_of_the_type_is_taken(kind: PickedType, value: JsonValue, cell: object) -> None:
    [[taken]] = picked({"a": value}, column(kind, "a"))  # type: ignore[misc] - rows

    assert (taken, type(taken)) == (cell, type(cell))


@pytest.mark.requirement("http:rows:typed")
@pytest.mark.parametrize("is_required", [True, False])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", 1), ("text", True), ("text", ["x"]), ("text", {"x": 1}), ("integer", "1"), ("integer", 1.0),
        ("integer", True), ("integer", 2**63), ("integer", -(2**63) - 1), ("real", "1.5"), ("real", True),
        ("boolean", 0), ("boolean", "true"), ("boolean", []),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_refused(kind: PickedType, value: JsonValue, is_required: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert picked({"a": value}, column(kind, "a", is_required=is_required)) == "column"


@pytest.mark.requirement("http:rows:typed")
@pytest.mark.parametrize("document", [{}, {"a": None}, [{"a": None}], {"b": {"a": 1}}])
def test_nothing_is_null_only_where_the_author_says_so(document: JsonValue) -> None:
    assert picked(document, column("text", "a")) == "column"
    assert picked(document, column("text", "a", is_required=False)) == ((None,),)


@pytest.mark.requirement("http:rows:pointer")
@pytest.mark.parametrize(
    ("document", "rows", "at", "taken"),
    [
        ([{"id": 1}, {"id": 2}], (), ("id",), ((1,), (2,))),
        ({"id": 1}, (), ("id",), ((1,),)),
        ({"d": {"items": [{"x": [7, 8]}]}}, ("d", "items"), ("x", "1"), ((8,),)),
        ([[1], [2]], ("0",), (), ((1,),)),
        ([1, 2], (), (), ((1,), (2,))),
        ({"": {"a/b": {"m~n": 3}}}, ("",), ("a/b", "m~n"), ((3,),)),
        ([], (), ("id",), ()),
        ({"items": 5}, ("items",), (), "rows"),
        ({"items": None}, ("items",), (), "rows"),
        ({}, ("items",), (), "rows"),
        ([[1]], ("01",), (), "rows"),
        ([[1]], ("-",), (), "rows"),
        ([[1]], ("1",), (), "rows"),
        ([[1]], ("99999999999999999999",), (), "rows"),
        ([[1]], ("\u0660",), (), "rows"),
    ],
)
def test_a_pointer_leads_to_one_place_or_nowhere(
    document: JsonValue, rows: tuple[str, ...], at: tuple[str, ...], taken: object
) -> None:
    assert picked(document, column("integer", *at), rows=rows) == taken


@pytest.mark.requirement("http:rows:json")
@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"<html>", b"{'id': 1}", b'{"id": 1} x',
         b'{"id": NaN}', b'{"id": 1, "id": 2}', b"\xff", b"[" * 10_000,
        b'{"id": "\\ud800"}', b'\xef\xbb\xbf{"id": 1}',
    ],
)  # fmt: skip
def test_a_body_that_readers_dispute_is_refused_without_its_words(body: bytes) -> None:
    with Target([saying(reply(body))]) as target, pytest.raises(Refused) as refused:
        Tool(connection_to(target.port)).call()

    assert (refused.value.reason, refused.value.metadata) == (Reason.HTTP_RESPONSE_INVALID, {"error": "malformed"})


@pytest.mark.requirement("http:rows:json")
def test_a_number_that_is_none_is_refused() -> None:
    with Target([saying(reply(b'{"id": 1e999}'))]) as target, pytest.raises(Refused) as refused:
        Tool(connection_to(target.port), http_tool(columns=(column("real", "id"),))).call()

    assert refused.value.metadata == {"error": "column"}


@pytest.mark.requirement("http:rows:nothing-else")
def test_nothing_but_the_picked_columns_goes_back() -> None:
    document = [{"id": n, "secret": "TELL-NOBODY"} for n in range(5)]
    with Target([saying(reply(json.dumps({"items": document, "next": "TELL-NOBODY"}).encode()))]) as target:
        spec = http_tool(rows=("items",), limits=ToolLimits(seconds=5, max_rows=3))
        fetched = Tool(connection_to(target.port), spec).call()

    assert fetched.rows == ((0,), (1,), (2,))
    assert fetched.truncation is Truncation.ROWS
    assert fetched.columns == (ResultColumn("id", "integer", "integer"),)


@pytest.mark.requirement("http:rows:nothing-else")
def test_a_wrong_value_is_told_by_its_place_and_not_by_its_text() -> None:
    with Target([saying(reply(b'[{"id": 1}, {"id": "TELL-NOBODY"}]'))]) as target, pytest.raises(Refused) as refused:
        Tool(connection_to(target.port), http_tool(columns=(ID,))).call()

    assert "`id` of row 2" in refused.value.message
    assert "TELL-NOBODY" not in str(refused.value.__dict__)

"""How many calls of a stream run at once, and who may hold a stream?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from sandbox.doors import trouble
from sandbox.doors.rpc import streams
from sandbox.doors.rpc.streams import CALLS_PER_STREAM, Line, StreamRoom
from sandbox.reasons import Reason, Refused
from sandbox.receipts.sealing import Sealed
from sandbox.settings import ServerSettings
from sandbox.stages import CallId, Cancellation, Explanation, Rights, SealedResult
from sandbox.v1 import tool_execution_pb2 as pb


@pytest.fixture
def room() -> Iterator[StreamRoom]:
    made = StreamRoom(ServerSettings(streams_per_principal=2, stream_threads=4, threads=4, stream_idle_seconds=1))
    yield made
    made.close()


LINE = Line(lambda: None, lambda: None)
"""Of a caller whose credential holds."""


class Panic(BaseException):
    """What an engine written in another language raises."""


def sent(tag: int, tool: str) -> bytes:
    return pb.ExecuteStreamRequest(tag=tag, call=pb.ExecuteRequest(tool=tool)).SerializeToString()


def requests(*tools: str) -> Iterator[bytes]:
    for tag, tool in enumerate(tools, start=1):
        yield sent(tag, tool)


def sealed(call_id: str) -> Sealed:
    nothing = Rights(relations=(), columns=(), functions=(), claims=())
    explanation = Explanation(decision="permit", rule_ids=(), sql_to_run="", rights=nothing, row_filters={})
    return Sealed(SealedResult(call_id=CallId(call_id), tool="t", answer=explanation, receipt=b"proof"))


def answer(request: pb.ExecuteRequest) -> Sealed:
    if request.tool == "limited":
        raise Refused(Reason.RATE_LIMITED, "later", retry_after_s=0.25)
    if request.tool == "unlogged":
        raise Refused(Reason.RECEIPT_LOG_UNAVAILABLE, "later") from OSError("a secret")
    if request.tool == "broken":
        raise ValueError("a secret")
    if request.tool == "panicking":
        raise Panic("a secret")
    return sealed(request.tool)


@pytest.mark.requirement("doors:stream:answers")
def test_every_call_is_answered_under_its_tag(room: StreamRoom) -> None:
    answers = list(
        room.serve("alice", requests("a", "limited", "broken", "b", "panicking"), answer, Cancellation(), LINE)
    )
    by_tag = {each.tag: each for each in answers}
    assert sorted(by_tag) == [1, 2, 3, 4, 5]
    assert by_tag[1].response.call_id == "a"
    assert by_tag[4].response.call_id == "b"
    assert (by_tag[2].error.reason, by_tag[2].error.retry_after_ms) == ("RATE_LIMITED", 250)
    for tag in (3, 5):
        assert by_tag[tag].error.reason == ""
        assert by_tag[tag].error.message.startswith("internal fault, reference ")


class Held:
    """A call that has ended, and whose record is not yet in the log."""

    def __init__(self, answer: Sealed | Refused) -> None:
        self._answer = answer
        self._told: list[Callable[[], None]] = []
        self._is_in = threading.Event()
        self.is_late = False

    def on_sealed(self, callback: Callable[[], None]) -> None:
        self._told.append(callback)

    def wait(self) -> SealedResult:
        if self.is_late:
            raise Refused(Reason.RECEIPT_LOG_UNAVAILABLE, "too late")
        assert self._is_in.wait(10), "somebody waited for a record that was not in the log"
        if isinstance(self._answer, Refused):
            raise self._answer
        return self._answer.wait()

    def let_go(self) -> None:
        self._is_in.set()
        for callback in self._told:
            callback()


@pytest.mark.requirement("doors:stream:free-workers")
@pytest.mark.requirement("doors:stream:answers")
def test_the_log_holds_up_answers_and_no_calls() -> None:
    room = StreamRoom(ServerSettings(streams_per_principal=1, stream_threads=2, threads=1))
    unlogged = Refused(Reason.RECEIPT_LOG_UNAVAILABLE, "later")
    held = [Held(sealed("a")), Held(unlogged), Held(sealed("b"))]
    coming, all_taken = iter(held), threading.Semaphore(0)

    def take(_: pb.ExecuteRequest) -> Held:
        all_taken.release()
        return next(coming)

    stream = room.serve("alice", requests("a", "unlogged", "b"), take, Cancellation(), LINE)
    letting_go = threading.Thread(target=let_go_when_taken, args=(held, all_taken))
    letting_go.start()
    by_tag = {each.tag: each for each in stream}
    letting_go.join()
    room.close()
    assert (by_tag[1].response.call_id, by_tag[3].response.call_id) == ("a", "b")
    assert by_tag[2].error.reason == "RECEIPT_LOG_UNAVAILABLE"


@pytest.mark.requirement("doors:stream:late")
def test_a_record_that_the_log_takes_too_long_for_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_S", 0.01)
    room = StreamRoom(ServerSettings(streams_per_principal=1, stream_threads=2, threads=1))
    late, second = Held(sealed("late")), threading.Event()
    late.is_late = True

    def two() -> Iterator[bytes]:
        yield sent(1, "late")
        second.wait(10)
        yield sent(2, "b")

    stream = room.serve("alice", two(), lambda call: late if call.tool == "late" else sealed("b"), Cancellation(), LINE)
    first = next(stream)
    late.let_go()  # it comes after all, and nobody is told twice
    second.set()
    rest = list(stream)
    room.close()
    assert (first.tag, first.error.reason) == (1, "RECEIPT_LOG_UNAVAILABLE")
    assert [each.tag for each in rest] == [2]


@pytest.mark.requirement("doors:stream:late")
def test_calls_that_are_late_together_are_refused_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_S", 5)
    room = StreamRoom(ServerSettings(streams_per_principal=1, stream_threads=2, threads=1))
    late = [Held(sealed("late")) for _ in range(8)]
    coming = iter(late)
    for each in late:
        each.is_late = True

    began = time.monotonic()
    calls = requests(*["late"] * 8, "b")
    answers = list(
        room.serve("alice", calls, lambda c: next(coming) if c.tool == "late" else sealed("b"), Cancellation(), LINE)
    )
    room.close()
    assert sorted(each.tag for each in answers) == list(range(1, 10))
    assert [each.error.reason for each in answers].count("RECEIPT_LOG_UNAVAILABLE") == 8
    assert time.monotonic() - began < 5, "one look for each of them"


def let_go_when_taken(held: list[Held], taken: threading.Semaphore) -> None:
    assert all(taken.acquire(timeout=10) for _ in held), "one worker was held up by the first call's record"
    for each in reversed(held):
        each.let_go()


@pytest.mark.requirement("doors:fault:told")
def test_operators_are_told_why_the_log_is_unavailable_to_a_stream(
    room: StreamRoom, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(trouble, "note_often", lambda _, kind, causes: told.append(f"{kind}: {causes}"))

    (answered,) = room.serve("alice", requests("unlogged"), answer, Cancellation(), LINE)

    assert answered.error.reason == "RECEIPT_LOG_UNAVAILABLE"
    assert told == ["RECEIPT_LOG_UNAVAILABLE: OSError"]


@pytest.mark.requirement("doors:stream:bounded")
def test_a_principal_holds_so_many_streams_and_no_more(room: StreamRoom) -> None:
    held = threading.Event()

    def waiting() -> Iterator[bytes]:
        yield sent(1, "a")
        held.wait(10)

    open_streams = [room.serve("alice", waiting(), answer, Cancellation(), LINE) for _ in range(2)]
    for stream in open_streams:
        assert next(stream).tag == 1
    with pytest.raises(Refused) as refused:
        next(room.serve("alice", requests("a"), answer, Cancellation(), LINE))
    assert (refused.value.reason, refused.value.rule) == (Reason.RATE_LIMITED, "limits/streams")
    assert [each.tag for each in room.serve("bob", requests("a"), answer, Cancellation(), LINE)] == [1]
    held.set()
    for stream in open_streams:
        assert list(stream) == []
    assert [each.tag for each in room.serve("alice", requests("a"), answer, Cancellation(), LINE)] == [1]


@pytest.mark.requirement("doors:stream:bounded")
def test_a_stream_without_calls_is_closed(room: StreamRoom) -> None:
    ended = threading.Event()

    def silent() -> Iterator[bytes]:
        ended.wait(30)
        yield from ()

    with pytest.raises(Refused) as refused:
        list(room.serve("alice", silent(), answer, Cancellation(), LINE))
    ended.set()
    assert refused.value.reason is Reason.STREAM_IDLE


@pytest.mark.requirement("doors:stream:unread")
def test_a_stream_that_nobody_reads_takes_no_more_than_its_places(room: StreamRoom) -> None:
    overrun = threading.Event()
    many = 3 * CALLS_PER_STREAM

    def eager() -> Iterator[bytes]:
        for tag in range(1, many + 1):
            if tag > CALLS_PER_STREAM + 1:  # one request waits for a place; the answer taken below holds its own
                overrun.set()
            yield sent(tag, "a")

    stream = room.serve("alice", eager(), answer, Cancellation(), LINE)
    first = next(stream).tag
    assert not overrun.wait(0.3)

    assert sorted([first, *(each.tag for each in stream)]) == list(range(1, many + 1))


@pytest.mark.requirement("doors:stream:unread")
def test_a_stream_left_with_unread_answers_lets_its_reader_go(room: StreamRoom) -> None:
    read_on, waits = threading.Event(), threading.Event()

    def eager() -> Iterator[bytes]:
        try:
            for n in range(1000):
                if n == CALLS_PER_STREAM:
                    waits.set()  # this one is read, and waits for a place
                yield sent(n, "a")
        finally:
            read_on.set()

    stream = room.serve("alice", eager(), answer, Cancellation(), LINE)
    next(stream)
    assert waits.wait(10)
    stream.close()  # type: ignore[attr-defined]  # as grpc does

    assert read_on.wait(10)


@pytest.mark.requirement("doors:stream:bounded")
def test_a_caller_that_hangs_up_ends_the_stream(room: StreamRoom) -> None:
    ended = threading.Event()
    hung_up = Cancellation()

    def endless() -> Iterator[bytes]:
        yield sent(1, "a")
        ended.wait(30)

    stream = room.serve("alice", endless(), answer, hung_up, LINE)
    assert next(stream).tag == 1
    hung_up.cancel()
    assert list(stream) == []
    ended.set()


@pytest.mark.requirement("doors:stream:bounded")
def test_a_stream_whose_call_still_runs_is_not_idle() -> None:
    settings = ServerSettings.model_construct(streams_per_principal=1, stream_threads=2, threads=2)
    room = StreamRoom(settings.model_copy(update={"stream_idle_seconds": 0.02}))
    ended = threading.Event()
    never = threading.Event()

    def one_call_and_silence() -> Iterator[bytes]:
        yield sent(1, "slow")
        ended.wait(30)

    def slow(_: pb.ExecuteRequest) -> Sealed:
        never.wait(0.5)  # many times as long as a stream may be idle
        return sealed("slow")

    stream = room.serve("alice", one_call_and_silence(), slow, Cancellation(), LINE)
    assert next(stream).response.call_id == "slow"
    with pytest.raises(Refused) as refused:
        next(stream)
    ended.set()
    room.close()
    assert refused.value.reason is Reason.STREAM_IDLE


@pytest.mark.requirement("doors:stream:ended-credential")
def test_a_stream_whose_credential_has_ended_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LOOK_S", 0.01)
    room = StreamRoom(ServerSettings(streams_per_principal=1, stream_threads=2, threads=1))
    revoked, ended = threading.Event(), threading.Event()

    def must_hold() -> None:
        if revoked.is_set():
            raise Refused(Reason.CREDENTIAL_INVALID, "revoked")

    def waiting() -> Iterator[bytes]:
        yield sent(1, "a")
        ended.wait(10)

    stream = room.serve("alice", waiting(), answer, Cancellation(), Line(must_hold, lambda: None))
    assert next(stream).tag == 1
    revoked.set()
    with pytest.raises(Refused) as refused:
        next(stream)
    ended.set()
    room.close()
    assert refused.value.reason is Reason.CREDENTIAL_INVALID


@pytest.mark.requirement("doors:stream:ended-credential")
@pytest.mark.requirement("doors:stream:unread")
@pytest.mark.parametrize("is_revoked", [True, False])
def test_a_stream_whose_answer_nobody_takes_is_cut(monkeypatch: pytest.MonkeyPatch, *, is_revoked: bool) -> None:
    monkeypatch.setattr(streams, "LOOK_S", 0.01)
    idle_s = 3600 if is_revoked else 0.02
    settings = ServerSettings.model_construct(streams_per_principal=1, stream_threads=2, threads=1)
    room = StreamRoom(settings.model_copy(update={"stream_idle_seconds": idle_s}))
    cut, revoked = threading.Event(), threading.Event()

    def must_hold() -> None:
        if revoked.is_set():
            raise Refused(Reason.CREDENTIAL_INVALID, "revoked")

    stream = room.serve("alice", requests("a", "b"), answer, Cancellation(), Line(must_hold, cut.set))
    assert next(stream).tag == 1  # grpc would ask for the next one once it is sent, and does not ask
    if is_revoked:
        revoked.set()
    assert cut.wait(10)
    stream.close()  # type: ignore[attr-defined]  # as grpc does
    room.close()

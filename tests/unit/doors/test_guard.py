"""What reaches the wire when something goes wrong?"""

from __future__ import annotations

import grpc
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from sandbox.doors import trouble
from sandbox.doors.rpc.guard import guarded, guarded_stream
from sandbox.reasons import REASONS, Fault, Reason, Refused

SECRET = "dsn=postgres://user:hunter2@db"


class Aborted(Exception):
    """What grpc raises from `abort_with_status`."""


class FakeContext:
    """Keeps the status that the guard aborted with."""

    def __init__(self) -> None:
        self.status: Status | None = None

    def abort_with_status(self, status: grpc.Status) -> None:
        trailers = dict(status.trailing_metadata)
        self.status = Status.FromString(trailers["grpc-status-details-bin"])
        raise Aborted


class Panic(BaseException):
    """What an engine written in another language raises."""


def status_of(error: BaseException) -> Status:
    context = FakeContext()

    def handler(_: object, __: object) -> object:
        raise error

    with pytest.raises(Aborted):
        guarded(handler)(None, context)
    assert context.status is not None
    return context.status


@pytest.mark.requirement("doors:fault:opaque")
@pytest.mark.parametrize("error", [ValueError(SECRET), KeyError(SECRET), Fault("x"), Panic(SECRET)])
def test_an_uncaught_exception_becomes_a_reference(error: BaseException) -> None:
    status = status_of(error)
    assert status.code == grpc.StatusCode.INTERNAL.value[0]
    assert "hunter2" not in status.SerializeToString().decode("latin-1")
    assert status.message.startswith("internal fault, reference ")


@pytest.mark.requirement("doors:fault:told")
def test_operators_are_told_of_a_fault_once_and_why_the_log_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(trouble, "broke", lambda event, _, reference: told.append(f"{event} {reference}"))
    monkeypatch.setattr(trouble, "note_often", lambda _, kind, causes: told.append(f"{kind}: {causes}"))
    new, refused = Fault("x"), Refused(Reason.RECEIPT_LOG_UNAVAILABLE, "later")
    refused.__cause__ = OSError(SECRET)
    assert status_of(new).message == status_of(Fault("x", earlier=new.reference)).message
    status_of(refused)
    assert told == [f"fault {new.reference}", "RECEIPT_LOG_UNAVAILABLE: OSError"]


@pytest.mark.requirement("doors:fault:opaque")
def test_without_the_guard_the_text_would_have_gone_out() -> None:
    def handler(_: object, __: object) -> object:
        raise ValueError(SECRET)

    with pytest.raises(ValueError, match="hunter2"):
        handler(None, FakeContext())


@pytest.mark.requirement("doors:fault:opaque")
@pytest.mark.parametrize("error", [ValueError(SECRET), Panic(SECRET)])
def test_a_stream_is_guarded_too(error: BaseException) -> None:
    context = FakeContext()

    def handler(_: object, __: object) -> object:
        yield 1
        raise error

    answers = guarded_stream(handler)(None, context)
    assert next(answers) == 1
    with pytest.raises(Aborted):
        next(answers)
    assert context.status is not None
    assert "hunter2" not in context.status.message


@pytest.mark.requirement("doors:refusal:status")
@pytest.mark.parametrize("reason", list(Reason))
def test_a_refusal_is_its_status_with_reason_and_domain(reason: Reason) -> None:
    status = status_of(Refused(reason, "a sentence", rule="some/rule", retry_after_s=1.5, argument="x"))
    assert status.code == int(REASONS[reason].status)
    assert status.message == "a sentence"
    info, retry = ErrorInfo(), RetryInfo()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(retry)
    assert (info.reason, info.domain) == (reason.value, "sandbox.v1")
    assert dict(info.metadata) == {"rule": "some/rule", "argument": "x"}
    assert retry.retry_delay.ToMilliseconds() == 1500


@pytest.mark.requirement("doors:fault:opaque")
@pytest.mark.parametrize("ending", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_ends_the_process_passes(ending: type[BaseException]) -> None:
    context = FakeContext()

    def handler(_: object, __: object) -> object:
        raise ending

    with pytest.raises(ending):
        guarded(handler)(None, context)
    assert context.status is None

"""Do workers ask each other, in bounded messages and in time?"""

from __future__ import annotations

import os
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from time import monotonic

import pytest

from sandbox.receipts import Asked, Elsewhere, PeersSilent
from sandbox.stages import CallId
from sandbox.workers.lines import Roll, make_pair
from sandbox.workers.switchboard import ANSWER_WITHIN_S, Switchboard

FOUND = Elsewhere(CallId("00000000-0000-7000-8000-000000000000"), "shop.order")
QUESTION = Asked(b"s" * 32, "a call", b"k" * 32, cancels=False)


@dataclass
class Exchange:
    boards: list[Switchboard]
    roll: Roll
    pairs: list[tuple[socket.socket, socket.socket]]


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    with ExitStack() as stack:
        pairs = [make_pair() for _ in range(3)]
        for pair in pairs:
            for end in pair:
                stack.enter_context(end)
        memory = Roll.make()
        stack.callback(os.close, memory)
        roll = Roll(memory)
        sending = [sending for _, sending in pairs]
        boards = [Switchboard(number, receiving, sending, roll) for number, (receiving, _) in enumerate(pairs)]
        yield Exchange(boards, roll, pairs)
        for _, end in pairs:
            end.shutdown(socket.SHUT_RDWR)
        for thread in threading.enumerate():
            if thread.name == "switchboard":
                thread.join(60)


@pytest.mark.requirement("doors:call:other-worker")
def test_whoever_runs_the_call_answers_for_all(exchange: Exchange) -> None:
    asked: list[Asked] = []
    exchange.boards[0].answer_with(lambda _: FOUND)
    exchange.boards[1].answer_with(asked.append)
    exchange.boards[2].answer_with(lambda _: None)
    assert exchange.boards[2].ask(QUESTION) == FOUND
    assert exchange.boards[0].ask(QUESTION) is None
    assert asked == [QUESTION, QUESTION]


@pytest.mark.requirement("doors:call:other-worker")
def test_the_dead_are_not_asked(exchange: Exchange) -> None:
    for number, board in enumerate(exchange.boards):
        board.answer_with(lambda _: FOUND)
        assert exchange.roll.others(number) == list(range(number))
    for number in (0, 1):
        exchange.roll.leave(number)
    assert exchange.boards[2].ask(QUESTION) is None


@pytest.mark.requirement("doors:call:worker-silent")
def test_who_does_not_answer_is_waited_for_no_longer_than_said(exchange: Exchange) -> None:
    exchange.boards[0].answer_with(lambda _: None)
    exchange.boards[1].answer_with(lambda _: None)
    exchange.roll.enter(2)
    for _ in range(3):
        begun = monotonic()
        with pytest.raises(PeersSilent):
            exchange.boards[0].ask(QUESTION)
        assert monotonic() - begun >= ANSWER_WITHIN_S
    assert exchange.boards[0]._waiting == {}


@pytest.mark.requirement("doors:call:worker-silent")
def test_a_worker_that_has_long_read_nothing_holds_nobody_up(exchange: Exchange) -> None:
    exchange.boards[0].answer_with(lambda _: None)
    exchange.roll.enter(1)
    exchange.pairs[1][1].setblocking(False)
    with suppress(BlockingIOError):
        while exchange.pairs[1][1].send(bytes(1_000)):
            pass
    with pytest.raises(PeersSilent):
        exchange.boards[0].ask(QUESTION)


@pytest.mark.requirement("doors:call:worker-silent")
def test_nothing_that_comes_stops_the_answering(exchange: Exchange, capsys: pytest.CaptureFixture[str]) -> None:
    def answering(asked: Asked) -> Elsewhere | None:
        if asked.cancels:
            raise RuntimeError("a secret")
        return FOUND

    exchange.boards[0].answer_with(answering)
    exchange.boards[1].answer_with(lambda _: None)
    for message in (b"x", b"q" + secrets.token_bytes(8), b"q" + b"\xff" * 100_000, bytes(100_000)):
        exchange.pairs[0][1].send(message)
    with pytest.raises(PeersSilent):
        exchange.boards[1].ask(Asked(b"s" * 32, "a call", b"", cancels=True))
    assert exchange.boards[1].ask(QUESTION) == FOUND
    told = capsys.readouterr().err
    assert "a worker's message cannot be read" in told
    assert "a worker's question was not answered" in told
    assert "a secret" not in told

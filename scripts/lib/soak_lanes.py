"""What do the callers of a soak ask? Lanes of calls, each at a modest rate of its own, and how they may end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Final, final

import grpc
from counting import READ_TOOL, WRITE_TOOL
from held import UNHEARD, Ledger, effect_of, watched
from soak_tools import BY_ID, PG_BY_ID, PG_QUERY, QUERY, RARE

from sandbox.client import Answer, Client, ClientError, Identity, Pending, ReceiptInvalid, Unavailable
from sandbox.client.answers import read_answer
from sandbox.deployment import Deployment
from sandbox.v1 import tool_execution_pb2 as pb
from sandbox.v1.tool_execution_pb2_grpc import ToolExecutionServiceStub
from sandbox.values import JsonObject

RECONNECT_S: Final = 7.0
"""A connection stays with one worker: without new ones all calls would end at the worker that is never killed."""
SETTLED_WITHIN_S: Final = 30.0
"""So long a call is asked again under its `request_id`."""
AGAIN_S: Final = 0.25
STREAMED: Final = "streamed"

_HOT: Final = ("SELECT count(*) AS n FROM {}", "SELECT region, sum(cents) AS s FROM {} GROUP BY region")
_COLD: Final = "SELECT id + {} AS n FROM {}"
_REFUSED: Final[Sequence[tuple[str, JsonObject, str]]] = (
    (QUERY, {"sql": "DELETE FROM orders"}, "SQL_NOT_READ_ONLY"),
    (QUERY, {"sql": "SELECT email FROM customers"}, "SQL_OBJECT_FORBIDDEN"),
    (QUERY, {"sql": "SELECT customer_id FROM orders"}, "SQL_OBJECT_FORBIDDEN"),
    (QUERY, {"sql": "SELECT ((1"}, "SQL_UNPARSABLE"),
    (BY_ID, {"id": "one"}, "ARGUMENT_INVALID"),
    ("soak.nothing", {}, "TOOL_UNKNOWN"),
)


@final
@dataclass(frozen=True, slots=True)
class Lane:
    """One kind of call."""

    name: str
    per_s: float
    ask: Callable[[Client, int], Answer]
    ends: frozenset[str] = frozenset({"result"})
    """How its calls may end; `Unavailable` is nobody's fault while workers are killed."""


@final
@dataclass
class Callers:
    """All who call, until told to end."""

    deployment: Deployment
    address: str
    ledger: Ledger
    has_postgres: bool
    ending: threading.Event = field(default_factory=threading.Event)
    versions: set[str] = field(default_factory=set)
    """Of the spec that reloads change: those that calls were decided under."""

    def client(self, name: str = "agent") -> Client:
        """Return a caller with a connection of its own."""
        return Client.from_deployment(self.deployment.root, name, self.address)

    def threads(self) -> list[threading.Thread]:
        """Return a thread for each lane, and one for the stream."""
        lanes = [watched(self.ledger, lane.name, partial(self._run, lane)) for lane in self._lanes()]
        return [*lanes, watched(self.ledger, STREAMED, self._stream)]

    def unanswered(self) -> list[str]:
        """Return the lanes of which no call has ended with an answer."""
        answered = {kind for (kind, ended), count in self.ledger.outcomes.items() if count and ended != UNHEARD}
        return [name for name in (*(lane.name for lane in self._lanes()), STREAMED) if name not in answered]

    def _lanes(self) -> Iterator[Lane]:
        yield Lane("author's SQL", 40, self._by_id)
        yield Lane("model's SQL, hot", 20, lambda c, n: c.call(QUERY, {"sql": _HOT[n % 2].format("orders")}))
        yield Lane("model's SQL, cold", 5, lambda c, n: c.call(QUERY, {"sql": _COLD.format(n, "orders")}))
        yield Lane("refused", 6, self._refused, frozenset(reason for *_, reason in _REFUSED))
        yield Lane("over its rate", 2, lambda c, _: c.call(RARE, {"id": 1}), frozenset({"result", "RATE_LIMITED"}))
        yield Lane("HTTP read", 15, lambda c, n: c.call(READ_TOOL, {"key": f"w{n}"}))
        yield Lane("HTTP write, request_id", 10, self._write, frozenset({"result", "EFFECT_UNKNOWN"}))
        yield Lane("HTTP write", 5, self._write_once)
        if self.has_postgres:
            yield Lane("PostgreSQL, author's", 10, lambda c, n: c.call(PG_BY_ID, {"id": n % 1000 + 1}))
            yield Lane("PostgreSQL, hot", 10, lambda c, n: c.call(PG_QUERY, {"sql": _HOT[n % 2].format("entries")}))
            yield Lane("PostgreSQL, cold", 3, lambda c, n: c.call(PG_QUERY, {"sql": _COLD.format(n, "entries")}))

    def _run(self, lane: Lane) -> None:
        number, due = 0, monotonic()
        while not self.ending.is_set():
            renew_at = monotonic() + RECONNECT_S
            with self.client() as client:
                while monotonic() < renew_at and not self.ending.wait(max(0.0, due - monotonic())):
                    due = max(due + 1 / lane.per_s, monotonic())
                    number += 1
                    self._ask(lane, client, number)

    def _ask(self, lane: Lane, client: Client, number: int) -> None:
        try:
            ended = self.ledger.take(lane.name, lane.ask(client, number))
        except Unavailable:
            self.ledger.count(lane.name, UNHEARD)
        except ClientError as error:
            self._tell_wrong(lane.name, error)
        else:
            if ended not in lane.ends:
                self.ledger.wrong.append(f"{lane.name}: call {number} ended as {ended}")

    def _tell_wrong(self, name: str, error: ClientError) -> None:
        self.ledger.count(name, "invalid receipt" if isinstance(error, ReceiptInvalid) else "error")
        self.ledger.wrong.append(f"{name}: {type(error).__name__} {error.reason}: {error}")

    def _by_id(self, client: Client, number: int) -> Answer:
        answer = client.call(BY_ID, {"id": number % 9 + 1})
        if not isinstance(answer, Pending) and answer.receipt is not None:
            self.versions.add(answer.receipt.verified.record.tool_version)
        return answer

    def _refused(self, client: Client, number: int) -> Answer:
        tool, arguments, _ = _REFUSED[number % len(_REFUSED)]
        return client.call(tool, arguments)

    def _write_once(self, client: Client, number: int) -> Answer:
        key = f"o{number}"
        self.ledger.told[key] = UNHEARD
        answer = client.call(WRITE_TOOL, {"key": key})
        self.ledger.told[key] = effect_of(answer)
        return answer

    def _write(self, client: Client, number: int) -> Answer:
        """Write under a `request_id`, every fourth time from two connections at the same moment."""
        key = f"w{number}"
        self.ledger.told[key] = UNHEARD
        if number % 4:
            answer = self._settled(client, key)
        else:
            with self.client() as other, ThreadPoolExecutor(1) as pool:
                beside = pool.submit(self._settled, other, key)
                answer = self._settled(client, key)
                twin = beside.result()
            self.ledger.take("HTTP write, its twin", twin)
            if twin.call_id != answer.call_id:
                self.ledger.wrong.append(f"{key}: one request_id, and two calls")
        self.ledger.told[key] = effect_of(answer)
        return answer

    def _settled(self, client: Client, key: str) -> Answer:
        """Ask until there is an answer, whichever worker dies meanwhile."""
        give_up = monotonic() + SETTLED_WITHIN_S
        while True:
            try:
                answer = client.call(WRITE_TOOL, {"key": key}, request_id=key)
                if not isinstance(answer, Pending):
                    return answer
                told = Unavailable("still pending")
            except Unavailable as unavailable:
                told = unavailable
            if monotonic() > give_up:
                self.ledger.wrong.append(f"{key}: asked for {SETTLED_WITHIN_S:g} s and never told how it ended")
                raise told
            self.ending.wait(AGAIN_S)

    def _stream(self) -> None:
        identity = Identity.from_deployment(self.deployment.root, "agent")
        while not self.ending.is_set():
            with grpc.secure_channel(self.address, identity.channel_credentials()) as channel:
                stub = ToolExecutionServiceStub(channel)  # type: ignore[no-untyped-call]
                answers = stub.ExecuteStream(self._sent(), metadata=identity.metadata())
                try:
                    for answer in answers:
                        self._take_streamed(answer, identity)
                except grpc.RpcError as error:
                    self.ledger.count(STREAMED, UNHEARD)
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        self.ledger.wrong.append(f"streamed: {error.code()} {error.details()}")

    def _take_streamed(self, answer: pb.ExecuteStreamResponse, identity: Identity) -> None:
        if not answer.HasField("response"):
            self.ledger.wrong.append(f"streamed: {answer.error.reason} {answer.error.message}")
            return
        try:
            ended = self.ledger.take(STREAMED, read_answer(answer.response, QUERY, identity.log_verifier_key))
        except ClientError as error:
            self._tell_wrong(STREAMED, error)
            return
        if ended != "result":
            self.ledger.wrong.append(f"streamed: a call ended as {ended}")

    def _sent(self) -> Iterator[pb.ExecuteStreamRequest]:
        """Yield ten calls a second for as long as a connection is kept."""
        call = pb.ExecuteRequest(tool=QUERY, arguments_json=b'{"sql": "SELECT count(*) AS n FROM orders"}')
        for tag in range(int(RECONNECT_S * 10)):
            if self.ending.wait(0.1):
                return
            yield pb.ExecuteStreamRequest(tag=tag, call=call)

"""How fast is a service? A load generator for `sandbox bench`: many calls in flight over few connections.

It lies here, and not in `bench/`, for gRPC is imported in the doors' room and in this one alone; so does the driver's
yardstick lie with the executors, and the echo behind the door.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final, final

import grpc
import grpc.aio

from sandbox.client.credentials import Identity
from sandbox.v1 import tool_execution_pb2 as pb

CALLERS_PER_CHANNEL: Final = 16
"""HTTP/2 streams of one connection."""

CALLS_PER_STREAM: Final = 8
"""Calls in flight on one ExecuteStream."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to ask, of whom, by how many callers at once, for how long."""

    address: str
    identity: Identity
    method: str
    """`/package.Service/Method`; one that ends in `Stream` is called over streams."""
    request: bytes
    concurrency: int
    seconds: float
    channels: int = 0
    """Connections; as many as the callers need if 0."""


@final
@dataclass(slots=True)
class Seen:
    """What a run saw."""

    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0


def run(load: Load) -> Seen:
    """Make the load. Every answer of the service's own calls must be a result with a receipt; anything else raises."""
    return asyncio.run(_run(load))


async def _run(load: Load) -> Seen:
    credentials = load.identity.channel_credentials()
    options = (("grpc.use_local_subchannel_pool", 1),)
    count = load.channels or -(-load.concurrency // CALLERS_PER_CHANNEL)
    channels = [grpc.aio.secure_channel(load.address, credentials, options=options) for _ in range(count)]
    seen = Seen()
    begun = time.perf_counter()
    stop_at = begun + load.seconds
    is_stream = load.method.endswith("Stream")
    callers = max(1, load.concurrency // CALLS_PER_STREAM) if is_stream else load.concurrency
    caller = _stream_caller if is_stream else _unary_caller
    try:
        await asyncio.gather(*(caller(channels[i % count], load, seen, stop_at) for i in range(callers)))
    finally:
        seen.seconds = time.perf_counter() - begun
        await asyncio.gather(*(channel.close(None) for channel in channels))
    return seen


async def _unary_caller(channel: grpc.aio.Channel, load: Load, seen: Seen, stop_at: float) -> None:
    check = _check(load.method)
    metadata = load.identity.metadata()
    rpc = channel.unary_unary(load.method, None, None)
    while (begun := time.perf_counter()) < stop_at:
        answer = await rpc(load.request, metadata=metadata)
        seen.latencies_s.append(time.perf_counter() - begun)
        check(answer)


async def _stream_caller(channel: grpc.aio.Channel, load: Load, seen: Seen, stop_at: float) -> None:
    check = _check(load.method)
    slots = asyncio.Semaphore(min(load.concurrency, CALLS_PER_STREAM))
    begun: dict[int, float] = {}

    async def requests() -> AsyncIterator[bytes]:
        call = pb.ExecuteRequest.FromString(load.request) if load.method.endswith("/ExecuteStream") else None
        tag = 0
        while time.perf_counter() < stop_at:
            await slots.acquire()
            begun[tag] = time.perf_counter()
            yield load.request if call is None else pb.ExecuteStreamRequest(tag=tag, call=call).SerializeToString()
            tag += 1

    answered = 0
    async for answer in channel.stream_stream(load.method, None, None)(requests(), metadata=load.identity.metadata()):
        tag = check(answer)
        seen.latencies_s.append(time.perf_counter() - begun.pop(answered if tag is None else tag))
        answered += 1
        slots.release()


def _check(method: str) -> Callable[[bytes], int | None]:
    """Return a check that yields the answer's tag, or None where answers come in order."""
    if method.endswith("/Execute"):
        return lambda answer: _must_be_result(pb.ExecuteResponse.FromString(answer))
    if method.endswith("/ExecuteStream"):
        return _tag_of_result
    return lambda _: None


def _tag_of_result(answer: bytes) -> int:
    message = pb.ExecuteStreamResponse.FromString(answer)
    _must_be_result(message.response)
    return message.tag


def _must_be_result(response: pb.ExecuteResponse) -> None:
    if response.WhichOneof("outcome") != "result" or not response.receipt:
        raise RuntimeError(f"a benchmark call was not answered with a result: {response}")

"""How do standard tools look at the service? Health v1 and reflection (v1 and v1alpha), authenticated like all else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, cast, final

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from sandbox.doors.desk import Desk
from sandbox.doors.rpc.guard import credential_of, guarded, guarded_stream
from sandbox.doors.rpc.places import Places
from sandbox.doors.trouble import message_of
from sandbox.reasons import Reason, Refused
from sandbox.stages import Action

Request = TypeVar("Request")
Answer = TypeVar("Answer")

HEALTH: Final = "grpc.health.v1.Health"
REFLECTING: Final = 8
"""Reflection streams held at once, over all principals."""
REFLECTING_EACH: Final = 2
"""Of one principal."""
REFLECTION_IDLE_S: Final = 10.0
"""A reflection stream without a question for so long is closed: tools ask, one question after the other, and leave."""

REFLECTIONS: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
"""The Python package serves v1alpha only; v1 has the same messages under another name (grpc#38576)."""


def add_health(server: grpc.Server, desk: Desk, services: Sequence[str]) -> health.HealthServicer:
    """Serve Health v1 for `services`; returns the servicer, whose `enter_graceful_shutdown` drains."""
    servicer = health.HealthServicer()
    for service in ("", *services):
        servicer.set(service, health_pb2.HealthCheckResponse.SERVING)
    handlers = {
        "Check": grpc.unary_unary_rpc_method_handler(
            guarded(_permitted(desk, Action.CHECK_HEALTH, servicer.Check)),
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(HEALTH, handlers),))
    return servicer


def add_reflection(server: grpc.Server, desk: Desk, services: Sequence[str]) -> ReflectionRoom:
    """Serve reflection for `services` under both names; returns the room, to be closed with the door."""
    servicer = reflection.ReflectionServicer((*services, HEALTH, *REFLECTIONS))
    room = ReflectionRoom(cast("_Reflect", servicer.ServerReflectionInfo), REFLECTION_IDLE_S)

    def reflect(questions: Iterator[object], context: grpc.ServicerContext) -> Iterator[object]:
        principal = desk.guests.principal(credential_of(context))
        desk.rules.permit_principal(principal, Action.REFLECT)
        return room.answers(principal.subject, questions, context)

    behaviour = guarded_stream(reflect)
    # WHY: an idle stream holds a thread; those of calls are not for looking at the service.
    behaviour.experimental_thread_pool = room.holders  # type: ignore[attr-defined]  # grpc looks here
    handlers = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            behaviour,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
    }
    for name in REFLECTIONS:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    return room


_Reflect = Callable[[Iterator[object], grpc.ServicerContext], Iterator[object]]


@final
class ReflectionRoom:
    """The threads that reflection uses: so many streams at once, so many a principal, none idle for long."""

    def __init__(self, reflect: _Reflect, idle_s: float) -> None:
        """Answer with `reflect`; close a stream after `idle_s` seconds without a question."""
        self._reflect = reflect
        self._idle_s = idle_s
        self.holders = ThreadPoolExecutor(REFLECTING, thread_name_prefix="reflection")
        """One thread a stream: it writes the answers."""
        self._readers = ThreadPoolExecutor(REFLECTING, thread_name_prefix="reflection-reader")
        self._places = Places(REFLECTING_EACH, "reflection streams")

    def answers(self, subject: str, questions: Iterator[object], context: grpc.ServicerContext) -> Iterator[object]:
        """Yield an answer to each question until the caller has no more, hangs up or stays idle too long."""
        with self._places.take(subject):
            yield from self._reflect(self._unless_idle(questions), context)

    def close(self) -> None:
        """Let the threads go once their streams have ended."""
        for pool in (self.holders, self._readers):
            pool.shutdown(wait=False, cancel_futures=True)

    def _unless_idle(self, questions: Iterator[object]) -> Iterator[object]:
        while True:
            coming = self._readers.submit(next, questions, None)
            try:
                question = coming.result(timeout=self._idle_s)
            except TimeoutError:
                message = f"the stream was idle for {self._idle_s} s; open a new one for the next question"
                raise Refused(Reason.STREAM_IDLE, message) from None
            except Exception:  # noqa: BLE001 - grpc raises a bare Exception here when the caller hangs up
                return
            if question is None:
                return
            yield question


def _permitted(
    desk: Desk, action: Action, behaviour: Callable[[health_pb2.HealthCheckRequest, grpc.ServicerContext], Answer]
) -> Callable[[bytes, grpc.ServicerContext], Answer]:
    def asked(data: bytes, context: grpc.ServicerContext) -> Answer:
        desk.rules.permit_principal(desk.guests.principal(credential_of(context)), action)
        return behaviour(message_of(health_pb2.HealthCheckRequest, data), context)

    return asked

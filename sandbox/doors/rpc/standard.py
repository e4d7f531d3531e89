"""How do standard tools look at the service? Health v1 and reflection (v1 and v1alpha), authenticated like all else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar, cast

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from sandbox.doors.rpc.desk import Desk
from sandbox.doors.rpc.guard import credential_of, guarded, guarded_stream
from sandbox.stages import Action

Request = TypeVar("Request")
Answer = TypeVar("Answer")

HEALTH: Final = "grpc.health.v1.Health"
REFLECTING: Final = 4
"""Reflection streams answered at once."""

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
            request_deserializer=health_pb2.HealthCheckRequest.FromString,
            response_serializer=health_pb2.HealthCheckResponse.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(HEALTH, handlers),))
    return servicer


def add_reflection(server: grpc.Server, desk: Desk, services: Sequence[str]) -> None:
    """Serve reflection for `services` under both names."""
    servicer = reflection.ReflectionServicer((*services, HEALTH, *REFLECTIONS))
    reflect = cast("Callable[[object, grpc.ServicerContext], Iterator[object]]", servicer.ServerReflectionInfo)
    behaviour = guarded_stream(_permitted(desk, Action.REFLECT, reflect))
    # WHY: an idle stream holds a thread; those of calls are not for looking at the service.
    behaviour.experimental_thread_pool = ThreadPoolExecutor(REFLECTING, thread_name_prefix="reflection")  # type: ignore[attr-defined]  # grpc looks here
    handlers = {
        "ServerReflectionInfo": grpc.stream_stream_rpc_method_handler(
            behaviour,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
    }
    for name in REFLECTIONS:
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))


def _permitted(
    desk: Desk, action: Action, behaviour: Callable[[Request, grpc.ServicerContext], Answer]
) -> Callable[[Request, grpc.ServicerContext], Answer]:
    def asked(request: Request, context: grpc.ServicerContext) -> Answer:
        desk.rules.permit_principal(desk.guests.principal(credential_of(context)), action)
        return behaviour(request, context)

    return asked

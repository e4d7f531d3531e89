"""How is the gRPC door opened? Mutual TLS always; certificates reread when their files change."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from operator import methodcaller
from pathlib import Path
from typing import Final, TypeAlias, TypeVar, cast, final

import grpc
from grpc_health.v1 import health

from sandbox.deployment import Deployment, read_private
from sandbox.doors.desk import Desk
from sandbox.doors.log_service import LogService
from sandbox.doors.rpc.executing import Executing
from sandbox.doors.rpc.guard import Unary, credential_of, guarded, guarded_stream
from sandbox.doors.rpc.standard import ReflectionRoom, add_health, add_reflection
from sandbox.doors.rpc.streams import StreamRoom
from sandbox.doors.rpc.threads import CallThreads
from sandbox.doors.rpc.threshold import Threshold
from sandbox.doors.tool_service import ToolService
from sandbox.doors.trouble import Sent, message_of
from sandbox.presence import parsed_address, taken
from sandbox.settings import ServerSettings
from sandbox.stages import Credential
from sandbox.v1 import execution_log_pb2 as log_pb
from sandbox.v1 import tool_execution_pb2 as tool_pb

DOOR: Final = "grpc"
TOOL_SERVICE: Final = "sandbox.v1.ToolExecutionService"
LOG_SERVICE: Final = "sandbox.v1.ExecutionLogService"

_Handler: TypeAlias = "grpc.RpcMethodHandler[object, object]"

_UNCHANGED: Final = cast("grpc.ServerCertificateConfiguration", None)
"""What grpc's fetcher returns for "no newer certificate"; its stubs do not know."""

MAX_CALLS_PER_CONNECTION: Final = 64
"""Calls under way on one connection; a client that wants more opens another."""

KEEPALIVE_MS: Final = 30_000
MIN_PING_MS: Final = 10_000


@final
@dataclass(frozen=True, slots=True)
class RpcDoor:
    """An open door."""

    server: grpc.Server
    host: str
    port: int
    health: health.HealthServicer
    streams: StreamRoom
    reflections: ReflectionRoom

    @property
    def address(self) -> str:
        """HOST:PORT that it answers on."""
        return f"{self.host}:{self.port}"

    def close(self, grace_s: float) -> None:
        """Take no new calls, give running ones `grace_s` seconds, then end."""
        self.health.enter_graceful_shutdown()
        self.server.stop(grace_s).wait()
        self.streams.close()
        self.reflections.close()

    def hurry(self) -> None:
        """End the grace of a `close` under way."""
        self.server.stop(None)


AddMore = Callable[[grpc.Server], None]
"""Registers further services on a server that has not begun to listen."""


def add_nothing(_: grpc.Server) -> None:
    """Register nothing further."""


def open_door(
    desk: Desk,
    deployment: Deployment,
    settings: ServerSettings,
    add_more: AddMore = add_nothing,
    *,
    shares_port: bool = False,
) -> RpcDoor:
    """Listen on `settings.listen` and serve; `add_more` may register further services (the bench's echo).

    With `shares_port` other processes of this user may listen there too, and the system parts connections among them.
    Raises `Misconfigured` if the address cannot be taken.
    """
    threads = CallThreads(settings.threads, settings.threads_per_principal)
    server = grpc.server(
        threads,
        interceptors=[Threshold(desk.guests, threads)],
        options=_options(settings, shares_port=shares_port),
    )
    host, port = _listen(server, settings.listen, tls_credentials(deployment))
    streams = StreamRoom(settings)
    _add_services(server, desk, streams, threads)
    services = (TOOL_SERVICE, LOG_SERVICE)
    health_servicer = add_health(server, desk, services)
    reflections = add_reflection(server, desk, services)
    add_more(server)
    server.start()
    return RpcDoor(server, host, port, health_servicer, streams, reflections)


def tls_credentials(deployment: Deployment) -> grpc.ServerCredentials:
    """Return mutual-TLS credentials that follow the files `pki/server.pem`, `server.key` and `ca.pem`."""
    paths = (deployment.pki / "server.pem", deployment.pki / "server.key", deployment.pki / "ca.pem")
    seen = _stamp(paths)

    def configuration() -> grpc.ServerCertificateConfiguration:
        certificate, key, ca = paths[0].read_bytes(), read_private(paths[1]), paths[2].read_bytes()
        return grpc.ssl_server_certificate_configuration([(key, certificate)], root_certificates=ca)

    def newer() -> grpc.ServerCertificateConfiguration:
        nonlocal seen
        now = _stamp(paths)
        if now == seen:
            return _UNCHANGED
        fresh = configuration()
        seen = now  # only now: files that cannot be read yet are read again
        return fresh

    return grpc.dynamic_ssl_server_credentials(configuration(), newer, require_client_authentication=True)


Response = TypeVar("Response")


def _unary(behaviour: Unary[Sent, Response], request: type[Sent], threads: CallThreads) -> _Handler:
    def counted(data: bytes, context: grpc.ServicerContext) -> Response:
        threads.keep(context)
        return behaviour(message_of(request, data), context)

    handler = grpc.unary_unary_rpc_method_handler(
        guarded(counted), response_serializer=methodcaller("SerializeToString")
    )
    return cast("_Handler", handler)


def _asked(behaviour: Callable[[Sent, Credential], Response]) -> Unary[Sent, Response]:
    """Ask with what the peer presented."""
    return lambda request, context: behaviour(request, credential_of(context))


def _stamp(paths: tuple[Path, ...]) -> tuple[tuple[int, int, int], ...]:
    facts = (path.stat() for path in paths)
    return tuple((fact.st_mtime_ns, fact.st_ino, fact.st_size) for fact in facts)


def _listen(server: grpc.Server, listen: str, credentials: grpc.ServerCredentials) -> tuple[str, int]:
    host, port = parsed_address(listen)
    try:
        return host, server.add_secure_port(listen, credentials)
    except RuntimeError as error:
        raise taken(listen, _why_not(host, port)) from error


def _why_not(host: str, port: int) -> OSError | None:
    """Return what keeps an address from being taken: grpc does not tell."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.bind(address)
    except OSError as error:
        return error
    return None


def _options(settings: ServerSettings, *, shares_port: bool) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", 32 * 1024),
        ("grpc.max_concurrent_streams", MAX_CALLS_PER_CONNECTION),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_MS),
        ("grpc.so_reuseport", int(shares_port)),
    ]


def _add_services(server: grpc.Server, desk: Desk, streams: StreamRoom, threads: CallThreads) -> None:
    tools, log = ToolService(desk, DOOR), LogService(desk)
    executing = Executing(tools, desk.guests, streams)
    stream_handler = guarded_stream(executing.execute_stream)
    stream_handler.experimental_thread_pool = streams.holders  # type: ignore[attr-defined]  # grpc looks here
    tool_handlers: dict[str, _Handler] = {
        "ListTools": _unary(_asked(tools.list_tools), tool_pb.ListToolsRequest, threads),
        "GetTool": _unary(_asked(tools.get_tool), tool_pb.GetToolRequest, threads),
        "Execute": _unary(executing.execute, tool_pb.ExecuteRequest, threads),
        "GetCall": _unary(_asked(tools.get_call), tool_pb.GetCallRequest, threads),
        "CancelCall": _unary(_asked(tools.cancel_call), tool_pb.CancelCallRequest, threads),
        "ExecuteStream": cast(
            "_Handler",
            grpc.stream_stream_rpc_method_handler(
                stream_handler,
                response_serializer=tool_pb.ExecuteStreamResponse.SerializeToString,
            ),
        ),
    }
    log_handlers = {
        "GetCheckpoint": _unary(_asked(log.get_checkpoint), log_pb.GetCheckpointRequest, threads),
        "ListRecords": _unary(_asked(log.list_records), log_pb.ListRecordsRequest, threads),
        "GetReceipt": _unary(_asked(log.get_receipt), log_pb.GetReceiptRequest, threads),
        "GetConsistencyProof": _unary(_asked(log.get_consistency_proof), log_pb.GetConsistencyProofRequest, threads),
        "ReadPayload": _unary(_asked(log.read_payload), log_pb.ReadPayloadRequest, threads),
    }
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(TOOL_SERVICE, tool_handlers),
            grpc.method_handlers_generic_handler(LOG_SERVICE, log_handlers),
        )
    )

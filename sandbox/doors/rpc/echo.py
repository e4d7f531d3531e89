"""What does the transport alone cost? An echo RPC for `sandbox bench`; `sandbox serve` never has it."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import grpc

from sandbox.deployment import Deployment

ECHO_SERVICE: Final = "sandbox.bench.Echo"


def add_echo(server: grpc.Server) -> None:
    """Serve `Echo` (one message) and `EchoStream` (many): bytes in, the same bytes out, nothing in between."""
    handlers = {
        "Echo": grpc.unary_unary_rpc_method_handler(lambda request, _: request),
        "EchoStream": grpc.stream_stream_rpc_method_handler(lambda requests, _: requests),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(ECHO_SERVICE, handlers),))


def serve_bare_echo(deployment: Deployment, threads: int) -> None:
    """Run a plain grpcio server with nothing but the echo and the same mutual TLS, until stdin closes."""
    paths = (deployment.pki / "server.key", deployment.pki / "server.pem", deployment.pki / "ca.pem")
    key, certificate, ca = (path.read_bytes() for path in paths)
    server = grpc.server(ThreadPoolExecutor(threads))
    add_echo(server)
    credentials = grpc.ssl_server_credentials([(key, certificate)], ca, require_client_auth=True)
    port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    sys.stdout.write(f"ready grpc=127.0.0.1:{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop(None).wait()

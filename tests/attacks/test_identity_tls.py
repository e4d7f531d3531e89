"""Does the handshake itself keep strangers out? A bare grpc server with the deployment's certificates, and no app."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

import grpc
import pytest
from cryptography import x509
from identity_kit import Kit, make_kit

from sandbox.doors.rpc.server import tls_credentials
from sandbox.identity.enrolment import renew_server
from sandbox.identity.pki import Authority, key_to_pem, make_key, thumbprint, to_pem

PATIENCE_S = 20.0


class Certificate(grpc.GenericRpcHandler):  # type: ignore[misc] - grpc's stubs leave it untyped
    """Answers any RPC with the certificate that its peer presented."""

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:  # type: ignore[type-arg] - bytes both ways
        def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
            presented = cast("Mapping[str, Sequence[bytes]]", context.auth_context()).get("x509_pem_cert")
            return presented[0] if presented else b""

        return grpc.unary_unary_rpc_method_handler(answer)


@dataclass
class Served:
    kit: Kit
    port: int

    def ask(self, ca: bytes | None = None, key: bytes | None = None, certificate: bytes | None = None) -> bytes:
        """Make one RPC over a connection of its own."""
        trusted = (self.kit.deployment.pki / "ca.pem").read_bytes() if ca is None else ca
        credentials = grpc.ssl_channel_credentials(trusted, key, certificate)
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.secure_channel(f"localhost:{self.port}", credentials, options) as channel:
            return cast("bytes", channel.unary_unary("/any/Method")(b"", timeout=PATIENCE_S))

    def agent(self) -> tuple[bytes, bytes]:
        folder = self.kit.deployment.pki / "clients"
        return (folder / "agent.key").read_bytes(), (folder / "agent.pem").read_bytes()

    def check_refused(self, **presented: bytes) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            self.ask(**presented)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    kit = make_kit(tmp_path_factory.mktemp("deployment"), now=time.time())
    server = grpc.server(ThreadPoolExecutor(2), handlers=[Certificate()])
    port = server.add_secure_port("localhost:0", tls_credentials(kit.deployment))
    server.start()
    yield Served(kit, port)
    server.stop(0).wait()


@pytest.mark.requirement("identity:tls:mutual")
def test_a_client_of_the_house_is_let_in_and_recognised(served: Served) -> None:
    key, certificate = served.agent()

    presented = served.ask(key=key, certificate=certificate)

    assert thumbprint(presented) == thumbprint(certificate)


@pytest.mark.requirement("identity:tls:mutual")
def test_nobody_comes_in_without_a_certificate(served: Served) -> None:
    served.check_refused()


@pytest.mark.requirement("identity:tls:mutual")
def test_a_certificate_of_a_foreign_authority_is_refused(served: Served) -> None:
    key = make_key()
    foreign = Authority.make("shop.example.com", time.time()).sign_client(key.public_key(), "agent", time.time())

    served.check_refused(key=key_to_pem(key), certificate=foreign)


@pytest.mark.requirement("identity:tls:mutual")
def test_the_servers_certificate_is_no_clients(served: Served) -> None:
    pki = served.kit.deployment.pki

    served.check_refused(key=(pki / "server.key").read_bytes(), certificate=(pki / "server.pem").read_bytes())


@pytest.mark.requirement("identity:tls:mutual")
def test_a_client_cannot_sign_certificates(served: Served) -> None:
    agent_key, agent_certificate = served.agent()
    mallory = make_key()
    rogue = Authority.from_pem(agent_certificate, agent_key)
    forged = rogue.sign_client(mallory.public_key(), "reviewer", time.time())

    served.check_refused(key=key_to_pem(mallory), certificate=forged + agent_certificate)


@pytest.mark.requirement("identity:tls:mutual")
def test_an_expired_certificate_is_refused(served: Served) -> None:
    authority = Authority.from_pem(
        (served.kit.deployment.pki / "ca.pem").read_bytes(), (served.kit.deployment.pki / "ca.key").read_bytes()
    )
    key = make_key()
    expired = authority.sign_client(key.public_key(), "agent", time.time() - 366 * 86_400)

    served.check_refused(key=key_to_pem(key), certificate=expired)


@pytest.mark.requirement("identity:tls:mutual")
def test_a_client_does_not_take_a_foreign_server_for_the_service(served: Served) -> None:
    key, certificate = served.agent()
    foreign = to_pem(Authority.make("shop.example.com", time.time()).certificate)

    served.check_refused(ca=foreign, key=key, certificate=certificate)


@pytest.mark.requirement("identity:certificate:renewal")
def test_a_renewed_server_certificate_is_taken_without_a_restart(served: Served) -> None:
    key, certificate = served.agent()
    old = (served.kit.deployment.pki / "server.pem").read_bytes()
    assert served.ask(key=key, certificate=certificate)

    renewed = renew_server(served.kit.deployment, now=time.time())

    context = ssl.create_default_context(cadata=(served.kit.deployment.pki / "ca.pem").read_text())
    clients = served.kit.deployment.pki / "clients"
    context.load_cert_chain(clients / "agent.pem", clients / "agent.key")
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("localhost", served.port), timeout=PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        presented = secure.getpeercert(binary_form=True)
    assert presented is not None
    assert x509.load_der_x509_certificate(presented) == x509.load_pem_x509_certificate(renewed)
    assert renewed != old
    assert served.ask(key=key, certificate=certificate)

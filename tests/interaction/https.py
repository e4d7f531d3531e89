"""How do tests speak HTTP to the service? With the standard library, so that nothing is nicer than a stranger."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPSConnection
from typing import Any, Final

from conftest import Service
from several import Several

from sandbox.deployment import Deployment
from sandbox.serving import opened_house

JSON: Final = "application/json"
EXECUTE: Final = "/sandbox.v1.ToolExecutionService/Execute"
PATIENCE_S: Final = 30


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Https:
    """A service with an HTTP door."""

    service: Service | Several
    address: str

    def context(self, name: str = "agent") -> ssl.SSLContext:
        """Return TLS as the identity `name`; as nobody if it is empty."""
        pki = self.service.deployment.pki
        made = ssl.create_default_context(cafile=pki / "ca.pem")
        if name:
            made.load_cert_chain(pki / "clients" / f"{name}.pem", pki / "clients" / f"{name}.key")
        return made

    def token(self, name: str = "agent") -> str:
        return (self.service.deployment.tokens / f"{name}.jwt").read_text().strip()

    def headers(self, name: str = "agent") -> dict[str, str]:
        return {"authorization": f"Bearer {self.token(name)}", "content-type": JSON}

    def ask(
        self,
        path: str,
        body: bytes | str | object = b"{}",
        headers: Mapping[str, str] | None = None,
        *,
        method: str = "POST",
        name: str = "agent",
        **more: str,
    ) -> Reply:
        """Ask once, on a connection of its own."""
        sent = body if isinstance(body, bytes | str) else json.dumps(body)
        given = dict(self.headers(name) if headers is None else headers)
        given.update({key.replace("_", "-"): value for key, value in more.items()})
        host, _, port = self.address.rpartition(":")
        with closing(HTTPSConnection(host, int(port), context=self.context(name), timeout=PATIENCE_S)) as connection:
            connection.request(method, path, sent, given)
            answer = connection.getresponse()
            return Reply(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())

    @contextmanager
    def connected(self, name: str = "agent") -> Iterator[ssl.SSLSocket]:
        """Yield a bare connection."""
        host, _, port = self.address.rpartition(":")
        with (
            socket.create_connection((host, int(port)), PATIENCE_S) as plain,
            self.context(name).wrap_socket(plain, server_hostname=host) as connection,
        ):
            yield connection


@contextmanager
def https_service(deployment: Deployment, *settings: str) -> Iterator[Https]:
    """Open a service with an HTTP door over the deployment; `settings` are lines of its section."""
    lines = "\n".join(["[http]", 'listen = "127.0.0.1:0"', *settings])
    deployment.settings.write_text(deployment.settings.read_text().replace("[http]", lines))
    with opened_house(deployment.root, listen="127.0.0.1:0", grace_s=0.0) as (house, doors):
        assert doors.http is not None
        yield Https(Service(deployment, house, doors.address), doors.http.address)

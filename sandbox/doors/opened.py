"""Which doors does the service have? gRPC always, HTTP where the settings say so; opened and closed together."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

from sandbox.deployment import Deployment, Misconfigured
from sandbox.doors.desk import Desk
from sandbox.doors.rpc.server import AddMore, RpcDoor, open_door
from sandbox.presence import Addresses
from sandbox.settings import Settings

if TYPE_CHECKING:
    from sandbox.doors.http.server import HttpDoor


@final
@dataclass(frozen=True, slots=True)
class Doors:
    """The open doors."""

    rpc: RpcDoor
    http: HttpDoor | None

    @property
    def address(self) -> str:
        """HOST:PORT that gRPC answers on."""
        return self.rpc.address

    @property
    def addresses(self) -> Addresses:
        """What all of them answer on."""
        return Addresses(self.rpc.address, self.http.address if self.http else "")

    def close(self, grace_s: float) -> None:
        """Take no new calls, give running ones `grace_s` seconds, then end."""
        closing = None
        if self.http is not None:
            closing = threading.Thread(target=self.http.close, args=(grace_s,), name="http-close")
            closing.start()
        self.rpc.close(grace_s)
        if closing is not None:
            closing.join()

    def hurry(self) -> None:
        """End the grace of a `close` under way."""
        self.rpc.hurry()
        if self.http is not None:
            self.http.hurry()


def open_doors(
    desk: Desk, deployment: Deployment, settings: Settings, add_more: AddMore, *, shares_port: bool
) -> Doors:
    """Listen and serve; with `shares_port` other processes of this user may listen there too.

    Raises `Misconfigured` if an address cannot be taken, or if what the HTTP door needs is not installed.
    """
    http = _open_http(desk, deployment, settings, shares_port=shares_port) if settings.http.listen else None
    try:
        rpc = open_door(desk, deployment, settings.server, add_more, shares_port=shares_port)
    except BaseException:
        if http is not None:
            http.close(0)
        raise
    return Doors(rpc, http)


def _open_http(desk: Desk, deployment: Deployment, settings: Settings, *, shares_port: bool) -> HttpDoor:
    try:
        from sandbox.doors.http.server import open_http_door
    except ModuleNotFoundError as error:
        message = f"`http.listen` needs {error.name}, which the extra `tool-sandbox[mcp]` brings; empty: no HTTP door"
        raise Misconfigured(message) from error
    return open_http_door(desk, deployment, settings, shares_port=shares_port)

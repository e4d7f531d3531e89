"""Does a service run over this deployment, and where? One lock, one address told, and what an address may be."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from sandbox.deployment import Deployment, Misconfigured, replace_file
from sandbox.settings import read_settings


class Addresses(NamedTuple):
    """Where the doors are; an empty one is not open, or is as the settings say."""

    grpc: str = ""
    http: str = ""

    @property
    def told(self) -> str:
        """What the `ready` line says of them."""
        return f"grpc={self.grpc}" + (f" http={self.http}" if self.http else "")


GLANCES: Final = 5
GLANCE_S: Final = 0.01
"""A client's look at the lock takes some microseconds; several clients may look."""


def deployment_in(root: Path) -> Deployment:
    """Return the deployment in `root`; raises `Misconfigured` if there is none, for nothing is written then."""
    deployment = Deployment(root.resolve())
    read_settings(deployment.settings)
    deployment.state.mkdir(mode=0o700, exist_ok=True)
    return deployment


@contextmanager
def alone(deployment: Deployment) -> Iterator[int]:
    """Keep other services off the deployment; raises `Misconfigured` if there is one. Yields the lock's descriptor.

    # WHY: rates and concurrency are counted within a service, so each further one would let as much through again.
    """
    descriptor = os.open(deployment.service_lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, deployment)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, deployment: Deployment) -> None:
    try:
        _take(descriptor)
    except BlockingIOError as error:
        address = _announced_address(deployment)
        message = (
            f"{deployment.root}: a service runs over this deployment already at {address}; call that one, or stop it"
        )
        if not address:
            message = f"{deployment.root}: a service starts or ends over this deployment; wait until it has"
        raise Misconfigured(message) from error


def _take(descriptor: int) -> None:
    """Lock, or raise `BlockingIOError`; a client that looks whether there is a service holds the lock for a moment."""
    for _ in range(GLANCES):
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(GLANCE_S)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def announced(deployment: Deployment, address: str) -> Iterator[None]:
    """Tell HOST:PORT in `state/address` for the block."""
    replace_file(deployment.address, address.encode("ascii"), 0o644)
    try:
        yield
    finally:
        if _announced_address(deployment) == address:
            deployment.address.unlink(missing_ok=True)


def _announced_address(deployment: Deployment) -> str:
    try:
        return deployment.address.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def parsed_address(listen: str, key: str = "server.listen") -> tuple[str, int]:
    """Return host and port of the setting `key`; raises `Misconfigured`."""
    host, colon, port = listen.rpartition(":")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) < 65_536):
        raise Misconfigured(f"`{key}` is `{listen}`; HOST:PORT is accepted, such as `127.0.0.1:7443`")
    return host, int(port)


def taken(listen: str, error: OSError | None, key: str = "server.listen") -> Misconfigured:
    """Return what to raise for an address that cannot be listened on, and why, if the system tells."""
    hint = "; another program has it" if error is not None and error.errno == errno.EADDRINUSE else ""
    why = f": {(error.strerror or str(error)).lower()}{hint}" if error is not None else ""
    free = "" if error is not None and not hint else "; port 0 takes a free one"
    return Misconfigured(f"`{key}`: {listen} cannot be taken{why}{free}")

"""Where is a server, without waiting longer for the answer than a call may? libpq itself would wait for the resolver.

The resolver is asked in a thread that nobody waits for beyond the call's time, within the bounds of the whole process.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Mapping

from sandbox.executors.ending import Over
from sandbox.executors.postgres_wire import Gone
from sandbox.outbound.resolver import ask_aside
from sandbox.outbound.wire import system_resolve
from sandbox.stages import Cancellation


def with_addresses(parameters: Mapping[str, str], until: float, cancellation: Cancellation) -> Mapping[str, str]:
    """Return libpq's parameters with the addresses of each host beside its name; raises `Gone` or `Over`."""
    hosts = parameters["host"].split(",")
    if "hostaddr" in parameters or all(map(_needs_no_resolver, hosts)):
        return parameters
    ports = parameters.get("port", "5432").split(",")
    ports = ports * len(hosts) if len(ports) == 1 else ports
    if len(ports) != len(hosts):
        raise Gone
    found = [
        (host, address, port)
        for host, port in zip(hosts, ports, strict=True)
        for address in _addresses(host, until, cancellation)
    ]
    if not found:
        raise Gone("resolve")
    names, addresses, of_ports = (",".join(part) for part in zip(*found, strict=True))
    return {**parameters, "host": names, "hostaddr": addresses, "port": of_ports}


def _needs_no_resolver(host: str) -> bool:
    if host.startswith(("/", "@")):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _addresses(host: str, until: float, cancellation: Cancellation) -> list[str]:
    """Return the addresses of a host, none if it has none; a socket's folder is its own."""
    if host.startswith(("/", "@")):
        return [""]
    done = threading.Event()
    cancellation.on_cancel(done.set)
    try:
        found = ask_aside(lambda: system_resolve(host, 0), done, max(0.0, until - time.monotonic()))
    finally:
        cancellation.forget(done.set)
    if not found and (cancellation.is_cancelled or time.monotonic() >= until):
        raise Over
    return list(dict.fromkeys(found))

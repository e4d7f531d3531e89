"""Where is a server, without waiting longer for the answer than a call may? libpq itself would wait for the resolver.

`hosts.py` asks it in a thread that nobody waits for beyond the call's time, within the bounds of the whole process.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from sandbox.executors.hosts import addresses_of
from sandbox.executors.server_trouble import Gone
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
        for address in addresses_of(host, until, cancellation)
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

"""Which addresses may be reached, and whose certificates count? The keys `networks` and `ca`, wherever they stand."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from sandbox.outbound.addresses import complaint
from sandbox.reasons import quoted
from sandbox.specs.findings import Rule
from sandbox.specs.secret_places import SecretPlaces
from sandbox.specs.toml_values import texts

Note: TypeAlias = Callable[[Rule, str, str], None]
"""Notes a problem: the rule, the key where it stands, the sentence."""


def read_networks(value: object, note: Note) -> tuple[str, ...]:
    """Return the ranges of addresses; empty where the key is absent."""
    if value is None:
        return ()
    networks: list[str] = []
    if not texts(value):
        message = '`networks` names nothing; a list such as `["10.1.0.0/16"]` is accepted'
        note(Rule.CONNECTION_VALUE, "networks", message)
    for text in texts(value):
        try:
            networks.append(str(ipaddress.ip_network(text)))
        except ValueError:
            message = f"network {quoted(text)}; an address or a range such as `10.1.0.0/16` is accepted"
            note(Rule.CONNECTION_VALUE, "networks", message)
    return tuple(networks)


def check_address(host: str, networks: Sequence[str], key: str, note: Note) -> None:
    """Note a host that is an address which no request may reach; what a name leads to, the doctor looks up."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return
    if why := complaint(address, [ipaddress.ip_network(text) for text in networks]):
        note(Rule.CONNECTION_VALUE, key, f"{quoted(key)} leads to {address}, which {why}")


def read_ca(value: object, places: SecretPlaces, note: Note) -> str | None:
    """Return the absolute path of a PEM file; None where the key is absent."""
    if value is None:
        return None
    if not isinstance(value, str) or not value or not value.isprintable():
        note(Rule.CONNECTION_VALUE, "ca", "`ca` is the path of a PEM file with certificates")
        return None
    path = places.absolute(value)
    if not Path(path).is_file():
        message = f"there is no file {quoted(value)}; a PEM file with certificates is accepted"
        note(Rule.CONNECTION_PATH, "ca", message)
    return path

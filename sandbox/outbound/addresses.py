"""May this address be reached? Public ones, or those an operator has named; never one that hides another.

The ranges are those of the IANA registries of special-purpose addresses
(https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry) and where clouds keep
credentials. They stand here because `ipaddress.is_global` differs from one Python to the next.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

NOT_PUBLIC: Final[tuple[ipaddress.IPv4Network, ...]] = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network; Linux takes 0.0.0.0 for itself
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carriers' own; Alibaba's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host, a public address by number only
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols' own; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""All that IANA has given out: not `::`, loopback, mapped, compatible, NAT64 (64:ff9b::/96, 64:ff9b:1::/48), discard,
unique local, link-local, site-local, multicast."""
NOT_PUBLIC_6: Final[tuple[ipaddress.IPv6Network, ...]] = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocols' own: Teredo, benchmarking, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_LOW_32: Final = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "::/96",  # compatible
        "::ffff:0:0/96",  # mapped
        "::ffff:0:0:0/96",  # translated (RFC 2765)
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64 of one's own, with the prefix of 96 bits that all use
    )
)
"""Ranges whose last 32 bits are an IPv4 address that packets are led on to."""
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)
_MASK_32: Final = 0xFFFF_FFFF


def is_permitted(address: Address, networks: Sequence[Network]) -> bool:
    """Whether an address may be reached; `networks` are the only ones that may, empty means every public one."""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return False  # a zone is this machine's own affair
    return all(_is_within(each, networks) for each in (address, *hidden(address)))


def complaint(address: Address, networks: Sequence[Network]) -> str:
    """Return why an address may not be reached, and how an operator could let it be; empty if it may."""
    if is_permitted(address, networks):
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        return "is of this machine's own links, so no request may reach it"
    if networks:
        return "is not in `networks`, so no request may reach it"
    named = ", ".join(f'"{each}"' for each in (address, *hidden(address)))
    return f"is not public, so no request may reach it; `networks = [{named}]` names it openly"


def hidden(address: Address) -> Iterator[ipaddress.IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address stands for or leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return
    number = int(address)
    if any(address in network for network in _LOW_32):
        yield ipaddress.IPv4Address(number & _MASK_32)
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if (number >> 32) & _MASK_32 in _ISATAP:
        yield ipaddress.IPv4Address(number & _MASK_32)


def _is_within(address: Address, networks: Sequence[Network]) -> bool:
    if networks:
        return any(address in network for network in networks)
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in NOT_PUBLIC)
    return address in GLOBAL_UNICAST and not any(address in network for network in NOT_PUBLIC_6)

"""Which addresses are whose: those of private networks, and those that no check may connect to."""

import functools
import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from webmon.check.resolver import Addresses

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
"""RFC 6052, 2.1: what is sent there goes to the address of IPv4 in its last 32 bits."""
_COMPATIBLE: Final = ipaddress.ip_network("::/96")
"""RFC 4291, 2.5.5.1."""


@functools.lru_cache(maxsize=16_384)
def is_private(ip: str) -> bool:
    """Tell whether an address is none of the public internet: loopback, link-local, private, reserved, multicast.

    Args:
        ip: an IPv4 or IPv6 address, with its scope where it has one; one of IPv6 that stands for one of IPv4 is judged
            as that.
    """
    address = _meant(ip)
    is_site_local = isinstance(address, ipaddress.IPv6Address) and address.is_site_local
    return not address.is_global or address.is_multicast or is_site_local


def why_forbidden(addresses: Addresses, networks: Iterable[Network]) -> str | None:
    """Say what forbids all of some addresses; None where one is left."""
    why = None
    for _, (ip, *_) in addresses:
        why = next((f"{ip} is in {network}" for network in networks if _is_in(ip, network)), None)
        if why is None:
            return None
    return why


def permitted(addresses: Addresses, networks: Sequence[Network]) -> Addresses:
    """Give those addresses that are in none of some networks."""
    return [found for found in addresses if not any(_is_in(found[1][0], network) for network in networks)]


def public(addresses: Addresses) -> Addresses:
    """Give those addresses that are not private."""
    return [found for found in addresses if not is_private(found[1][0])]


def _is_in(ip: str, network: Network) -> bool:
    meant, written = _readings(ip)
    return meant in network or written in network


@functools.lru_cache(maxsize=16_384)
def _readings(ip: str) -> tuple[_Address, _Address]:
    """Give what an address stands for, and the address itself; the same few are asked for at each check."""
    return _meant(ip), _written(ip)


def _written(ip: str) -> _Address:
    return ipaddress.ip_address(ip.partition("%")[0])


def _meant(ip: str) -> _Address:
    """Give the address of IPv4 that one of IPv6 stands for, or the address itself."""
    address = _written(ip)
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address

"""Whether an address is one of this very host: what answers there says nothing of the way out."""

import ipaddress
import socket
from typing import Final

_DISCARD: Final = 9
"""A port to name; nothing is sent to it."""


def is_own(ip: str) -> bool:
    """Tell whether an address is of this host: of a loopback, or of one of its interfaces as they are now.

    Args:
        ip: an IPv4 or IPv6 address, with its scope where it has one.
    """
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
        ip = str(address)
    if address.is_loopback or address.is_unspecified:
        return True
    try:
        family, *_, place = socket.getaddrinfo(ip, _DISCARD, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            # The kernel chooses where we would send from; only to an address of ours it is that address.
            sock.connect(place)
            return bool(sock.getsockname()[0] == place[0])
    except OSError:  # no way to it, so it is not here
        return False

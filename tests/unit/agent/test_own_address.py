"""Which addresses are this host's own, by what the kernel says."""

import fcntl
import socket
import struct

import pytest

from webmon.agent.own_address import is_own

_SIOCGIFADDR = 0x8915


def of_interfaces() -> list[str]:
    """Give the IPv4 address of each interface that has one."""
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _, name in socket.if_nameindex():
            try:
                answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", name.encode()))
            except OSError:  # it has none
                continue
            found.append(socket.inet_ntoa(answer[20:24]))
    return found


def test_addresses_of_the_interfaces_are_ours() -> None:
    assert "127.0.0.1" in of_interfaces()
    assert [ip for ip in of_interfaces() if not is_own(ip)] == []


@pytest.mark.parametrize("ip", ["127.0.0.1", "127.9.8.7", "::1", "::", "::ffff:127.0.0.1"])
def test_loopbacks_are_ours(ip: str) -> None:
    assert is_own(ip)


@pytest.mark.parametrize("ip", ["192.0.2.77", "198.51.100.1", "2001:db8::1", "fe80::1%1", "224.0.0.1"])
def test_others_are_not(ip: str) -> None:
    assert not is_own(ip)

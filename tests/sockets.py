"""Ports of this machine for programs that a bench or a test starts."""

import contextlib
import random
import socket
import time
from typing import Final

_PORTS: Final = range(20000, 30000)
"""Below those that the kernel gives to clients, who would take one between its choice and its use."""


def free_port() -> int:
    """Give a port that nobody has at the moment."""
    while True:
        port = random.choice(_PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


def wait_for_port(port: int, seconds: float = 20, *, host: str = "127.0.0.1") -> None:
    """Wait until somebody accepts connections there.

    Raises:
        OSError: nobody does in so many seconds.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return

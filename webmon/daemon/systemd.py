"""Tell systemd how we are: READY, STATUS, WATCHDOG, RELOADING, STOPPING (sd_notify(3))."""

import os
import socket
from typing import Final

_SECS: Final = 1.0
"""How long a message may wait: a manager that reads none must not hold up the service."""


def notify(*assignments: str) -> bool:
    """Send assignments such as `READY=1` or `STATUS=...` to the service manager.

    Returns:
        Whether there was one to tell and it could be told; a process that systemd did not start has none.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.settimeout(_SECS)
            sock.connect(address)  # else poll(2) knows no peer, and the wait for room in its queue is a spin
            sock.send("\n".join(assignments).encode())
    except OSError:
        # A manager that is restarting must not take its services with it; the next message will arrive.
        return False
    return True

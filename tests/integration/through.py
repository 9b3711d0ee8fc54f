"""`webmon` that reaches a broker through a relay: `python -m tests.integration.through HOST:PORT RELAY_PORT ...`.

A broker names the address that its clients are to come to, so a relay at another one would be left out.
"""

import socket
import sys
from typing import Any

from webmon.cli import main


def lead(host: str, port: int, relay: int) -> None:
    """Let what is to be connected to there go to the relay."""
    for name in ("connect", "connect_ex"):
        usual = getattr(socket.socket, name)

        def connect(self: socket.socket, address: Any, usual: Any = usual) -> Any:
            return usual(self, ("127.0.0.1", relay) if address[:2] == (host, port) else address)

        setattr(socket.socket, name, connect)


if __name__ == "__main__":
    broker, _, broker_port = sys.argv[1].rpartition(":")
    lead(broker, int(broker_port), int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))

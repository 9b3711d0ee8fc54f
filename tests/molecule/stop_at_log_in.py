"""Begin to log in to PostgreSQL again and again, and stop where the password is asked for; tell how often that was.

    stop_at_log_in.py HOST PORT DATABASE ROLE COUNT [FILE]

It prints how many of COUNT connections were asked, and keeps them open: with FILE until the server has hung up on all,
and FILE is made once every answer is there. It runs on hosts under test, so it uses nothing but Python's own library.
"""

import contextlib
import socket
import ssl
import struct
import sys
from pathlib import Path

_WANTS_TLS = struct.pack(">ii", 8, 80877103)


def main() -> None:
    """Connect COUNT times, count the answers, wait for the end."""
    host, port, database, role, count, *file = sys.argv[1:]
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    names = f"user\0{role}\0database\0{database}\0\0".encode()
    first = struct.pack(">ii", len(names) + 8, 196608) + names
    kept = []
    asked = 0
    for _ in range(int(count)):
        with contextlib.suppress(OSError):
            wire = socket.create_connection((host, int(port)), timeout=10)
            wire.sendall(_WANTS_TLS)
            if wire.recv(1) == b"S":
                wire = context.wrap_socket(wire)
                wire.sendall(first)
                asked += wire.recv(1) == b"R"
                kept.append(wire)
    print(asked)
    if file:
        Path(file[0]).touch()
        for wire in kept:
            wire.settimeout(120)
            with contextlib.suppress(OSError):
                while wire.recv(4096):
                    pass


if __name__ == "__main__":
    main()

"""A small proxy for HTTP: CONNECT for https, the whole URL for http, and a password where a test wants one."""

import contextlib
import socket
import threading
from urllib.parse import urlsplit

from tests.hostile import hear

REFUSAL = b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n"


class HttpProxy:
    """The behaviour of a proxy, for HostileServer; it keeps the requests that it got."""

    def __init__(self, authorization: str | None = None, refusal: bytes | None = None) -> None:
        """Let through those with this Proxy-Authorization, or everybody; or refuse all with this status."""
        self.requests: list[bytes] = []
        self._authorization = authorization
        self._refusal = refusal

    def __call__(self, connection: socket.socket) -> None:
        """Serve one request."""
        request = hear(connection)
        if not request:
            return
        self.requests.append(request)
        line, _, rest = request.partition(b"\r\n")
        method, asked, _ = line.decode().split()
        wanted = f"Proxy-Authorization: {self._authorization}\r\n".encode()
        if self._authorization is not None and wanted not in rest:
            connection.sendall(REFUSAL % b"407 Proxy Authentication Required")
            return
        if self._refusal is not None:
            connection.sendall(REFUSAL % self._refusal)
            return
        parts = urlsplit(f"//{asked}" if method == "CONNECT" else asked)
        try:
            site = socket.create_connection((parts.hostname or "", parts.port or 80), timeout=10)
        except OSError:
            connection.sendall(REFUSAL % b"502 Bad Gateway")
            return
        with site:
            if method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                site.sendall(f"{method} {parts.path} HTTP/1.1\r\n".encode() + rest.replace(wanted, b""))
            back = threading.Thread(target=_pass_on, args=(site, connection), daemon=True)
            back.start()
            _pass_on(connection, site)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)

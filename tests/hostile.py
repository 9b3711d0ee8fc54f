"""A server on a raw socket that does to its clients whatever a test wants, down to the single byte."""

import contextlib
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

Behaviour = Callable[[socket.socket], object]

OK = b"HTTP/1.1 200 OK\r\n"


class HostileServer:
    """Listens on a port of its own; each connection gets the behaviour in a thread of its own."""

    def __init__(self, behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self._behaviour = behaviour
        self._tls = tls
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # A client that has seen enough hangs up; that is not this server's concern.
        with contextlib.suppress(OSError), connection:
            if self._tls is None:
                self._behaviour(connection)
                return
            with self._tls.wrap_socket(connection, server_side=True) as secure:
                self._open.append(secure)
                self._behaviour(secure)


def hear(connection: socket.socket) -> bytes:
    """Read a request to the end of its header."""
    request = b""
    while b"\r\n\r\n" not in request and (part := connection.recv(65536)):
        request += part
    return request


def hang(connection: socket.socket) -> None:
    """Stay connected and say nothing until the client leaves."""
    while connection.recv(65536):
        pass


def leave(connection: socket.socket) -> None:
    """Close the connection in the middle of what the client says."""
    connection.recv(65536)


def reset(connection: socket.socket) -> None:
    """Break the connection with a RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def reset_when_greeted(connection: socket.socket) -> None:
    """Break the connection at the client's first word."""
    connection.recv(65536)
    reset(connection)


def answer(*parts: bytes, then: Behaviour | None = None) -> Behaviour:
    """Answer a request with these bytes, and go on as told."""

    def behave(connection: socket.socket) -> None:
        hear(connection)
        for part in parts:
            connection.sendall(part)
        if then is not None:
            then(connection)

    return behave


def page(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> Behaviour:
    """Answer as a good server does."""
    lines = (b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body))
    return answer(b"\r\n".join(lines) + b"\r\n\r\n" + body)


def drip(start: bytes, drop: bytes, seconds: float = 0.02) -> Behaviour:
    """Answer with the start at once, and then with a drop now and then, for much longer than a test takes."""

    def behave(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(start)
        for _ in range(500):
            time.sleep(seconds)
            connection.sendall(drop)

    return behave


def flood(start: bytes, chunk: bytes) -> Behaviour:
    """Answer with the start and then with chunks as fast as they are read, for ever."""

    def behave(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(start)
        while True:
            connection.sendall(chunk)

    return behave


def redirect(to: Callable[[], str]) -> Behaviour:
    """Redirect to what the function says when it is asked."""

    def behave(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % to().encode())

    return behave


def bomb(megabytes: int) -> bytes:
    """Give a gzip of so many megabytes of zeros, a thousandth of that in size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(megabytes)]
    return b"".join((*parts, packer.flush()))


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """Give a port that neither accepts nor refuses: its queue of connections is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(address)
            yield address[1]

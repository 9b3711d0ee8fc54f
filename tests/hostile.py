"""A server on a raw socket that does to its clients whatever a test wants, down to the single byte.

HOSTILE lists what sites do to those who watch them, each with the outcome that a check must come to.
"""

import contextlib
import gzip
import socket
import ssl
import struct
import threading
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

import trustme

from webmon.check.result import Outcome

Behaviour = Callable[[socket.socket], object]

OK = b"HTTP/1.1 200 OK\r\n"


class HostileServer:
    """Listens on a port of its own; each connection gets the behaviour in a thread of its own."""

    def __init__(
        self,
        behaviour: Behaviour,
        tls: ssl.SSLContext | None = None,
        *,
        address: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.connections = 0
        self._behaviour = behaviour
        self._tls = tls
        self._open: list[socket.socket] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, port), family=family, backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{'localhost' if address == '127.0.0.1' else address}:{self.port}/"

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


def response(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    """Give what a good server answers."""
    lines = (b"HTTP/1.1 " + status, *headers, b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def page(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> Behaviour:
    """Answer as a good server does."""
    return answer(response(body, *headers, status=status))


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


def half_close(connection: socket.socket) -> None:
    """End what the server says, and go on listening."""
    connection.shutdown(socket.SHUT_WR)
    hang(connection)


def redirects(count: int) -> Behaviour:
    """Redirect from page to page so many times, and then answer."""

    def behave(connection: socket.socket) -> None:
        if not (request := hear(connection)):
            return
        number = int(request.split()[1].strip(b"/") or 0)
        start = b"HTTP/1.1 302 Found\r\nLocation: /%d\r\n" % (number + 1) if number < count else OK
        connection.sendall(start + b"Content-Length: 0\r\n\r\n")

    return behave


def redirect(to: Callable[[], str]) -> Behaviour:
    """Redirect to what the function says when it is asked."""

    def behave(connection: socket.socket) -> None:
        hear(connection)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % to().encode())

    return behave


def by_path(pages: Callable[[str, bytes], bytes]) -> Behaviour:
    """Answer each request by its path and its whole text."""

    def behave(connection: socket.socket) -> None:
        if request := hear(connection):
            connection.sendall(pages(request.split()[1].decode("latin-1"), request))

    return behave


def moved(to: bytes, *headers: bytes, status: bytes = b"302 Found") -> bytes:
    """Give a redirect."""
    lines = (b"HTTP/1.1 " + status, b"Location: " + to, *headers, b"Content-Length: 0", b"Connection: close", b"", b"")
    return b"\r\n".join(lines)


def bomb(megabytes: int) -> bytes:
    """Give a gzip of so many megabytes of zeros, a thousandth of that in size."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(bytes(1 << 20)) for _ in range(megabytes)]
    return b"".join((*parts, packer.flush()))


AUTHORITY = trustme.CA()
STRANGER = trustme.CA()


def server_context(certificate: trustme.LeafCert | None = None, **settings: Any) -> ssl.SSLContext:
    """Make the TLS of a server: its certificate, else a good one for localhost; and attributes of the context."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (certificate or AUTHORITY.issue_cert("localhost")).configure_cert(context)
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of old versions, which are the point
        if (ciphers := settings.pop("ciphers", None)) is not None:
            context.set_ciphers(ciphers)
        for name, value in settings.items():
            setattr(context, name, value)
    return context


def _old(version: ssl.TLSVersion) -> ssl.SSLContext:
    return server_context(ciphers="ALL:@SECLEVEL=0", minimum_version=version, maximum_version=version)


def _asks_for_a_certificate(version: ssl.TLSVersion) -> ssl.SSLContext:
    context = server_context(verify_mode=ssl.CERT_REQUIRED, minimum_version=version, maximum_version=version)
    AUTHORITY.configure_trust(context)
    return context


def now_and(**delta: float) -> datetime:
    """Give a moment from now."""
    return datetime.now(UTC) + timedelta(**delta)


def greeted(*parts: bytes, then: Behaviour | None = None) -> Behaviour:
    """Answer a client's first word, whatever it is, with these bytes, and go on as told."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        for part in parts:
            connection.sendall(part)
        if then is not None:
            then(connection)

    return behave


def drip_greeted(start: bytes, drop: bytes) -> Behaviour:
    """Answer a client's first word with the start at once, and then with a drop now and then."""

    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(start)
        for _ in range(500):
            time.sleep(0.02)
            connection.sendall(drop)

    return behave


@dataclass(frozen=True)
class Hostile:
    """What a server does, and what a check must say of it."""

    behaviour: Behaviour
    outcome: Outcome
    tls: Callable[[], ssl.SSLContext] | None = None
    """The server's TLS; None: none."""
    is_asked_by_https: bool = False
    """Whether the client begins with TLS where the server has none."""

    def server(self, address: str = "127.0.0.1") -> HostileServer:
        """Give a server that does it, on an address of this machine."""
        server = HostileServer(self.behaviour, self.tls() if self.tls else None, address=address)
        if self.is_asked_by_https:
            server.url = server.url.replace("http:", "https:")
        return server


_TIMEOUT, _READ_ERROR, _TLS_ERROR, _UP = Outcome.TIMEOUT, Outcome.READ_ERROR, Outcome.TLS_ERROR, Outcome.UP
_CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
_TLS12, _TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
_FINE = page(b"fine")

HOSTILE: dict[str, Hostile] = {
    # nothing, or not all
    "accepts and says nothing": Hostile(hang, _TIMEOUT),
    "closes at once": Hostile(lambda _: None, _READ_ERROR),
    "closes without a word": Hostile(hear, _READ_ERROR),
    "resets instead of an answer": Hostile(answer(then=reset), _READ_ERROR),
    "resets in the header": Hostile(answer(OK + b"Content-", then=reset), _READ_ERROR),
    "resets in the body": Hostile(answer(OK + b"Content-Length: 99\r\n\r\nabc", then=reset), _READ_ERROR),
    "closes its half without a word": Hostile(answer(then=half_close), _READ_ERROR),
    "closes its half in the header": Hostile(answer(OK + b"X: y\r\n", then=half_close), _READ_ERROR),
    "closes its half in the body": Hostile(answer(OK + b"Content-Length: 9\r\n\r\nabc", then=half_close), _READ_ERROR),
    "closes its half after the body": Hostile(answer(OK + b"\r\nabc", then=half_close), _UP),
    "stops in the status line": Hostile(answer(b"HTTP/1.", then=hang), _TIMEOUT),
    "stops in the body": Hostile(answer(OK + b"Content-Length: 99\r\n\r\nabc", then=hang), _TIMEOUT),
    "drips a status line": Hostile(drip(b"HTTP/1.1 200 ", b"O"), _TIMEOUT),
    "drips a header": Hostile(drip(OK + b"X: ", b"x"), _TIMEOUT),
    "drips header lines": Hostile(drip(OK, b"X: y\r\n"), _TIMEOUT),
    "drips interim responses": Hostile(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), _TIMEOUT),
    "drips a body": Hostile(drip(OK + b"Content-Length: 9999\r\n\r\n", b"x"), _TIMEOUT),
    "drips a body without end": Hostile(drip(OK + b"\r\n", b"x"), _TIMEOUT),
    "drips a chunked body": Hostile(drip(_CHUNKED, b"1\r\nx\r\n"), _TIMEOUT),
    "drips trailers": Hostile(drip(_CHUNKED + b"0\r\n", b"X: y\r\n"), _TIMEOUT),
    # too much
    "floods a body": Hostile(flood(OK + b"\r\n", bytes(65536)), _UP),
    "floods a chunked body": Hostile(flood(_CHUNKED, b"fff0\r\n" + bytes(65520) + b"\r\n"), _UP),
    "floods header lines": Hostile(flood(OK, b"X: y\r\n"), _READ_ERROR),
    "floods a header line": Hostile(flood(OK + b"X: ", bytes(65536)), _READ_ERROR),
    "floods interim responses": Hostile(flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), _READ_ERROR),
    "floods a chunk's size": Hostile(flood(_CHUNKED, b"0" * 65536), _READ_ERROR),
    "floods trailers": Hostile(flood(_CHUNKED + b"0\r\n", b"X: y\r\n"), _READ_ERROR),
    "floods without a line": Hostile(flood(b"", bytes(65536)), _READ_ERROR),
    "sends a header of a megabyte": Hostile(answer(OK + b"X: " + b"x" * (1 << 20) + b"\r\n\r\n"), _READ_ERROR),
    "sends a gzip bomb": Hostile(page(bomb(20), b"Content-Encoding: gzip"), _UP),
    "sends a bomb in a bomb": Hostile(page(zlib.compress(bomb(20)), b"Content-Encoding: gzip, deflate"), _UP),
    "sends a bomb that unpacks to nothing": Hostile(
        page(zlib.compress(gzip.compress(b"") * 600_000), b"Content-Encoding: gzip, deflate"), _READ_ERROR
    ),
    # lies
    "claims more than it sends": Hostile(answer(OK + b"Content-Length: 99\r\n\r\nabc"), _READ_ERROR),
    "claims less than it sends": Hostile(answer(OK + b"Content-Length: 3\r\n\r\nabcdefgh"), _UP),
    "claims two lengths": Hostile(answer(OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"), _READ_ERROR),
    "claims no number": Hostile(answer(OK + b"Content-Length: many\r\n\r\nabc"), _UP),
    "claims a negative length": Hostile(answer(OK + b"Content-Length: -5\r\n\r\nabc"), _UP),
    "claims to be packed": Hostile(page(b"no gzip", b"Content-Encoding: gzip"), _READ_ERROR),
    "packs half a page": Hostile(page(bomb(1)[:500], b"Content-Encoding: gzip"), _UP),
    "sends no end of chunks": Hostile(answer(_CHUNKED + b"3\r\nabc\r\n"), _READ_ERROR),
    "sends a chunk without a size": Hostile(answer(_CHUNKED + b"zz\r\nabc"), _READ_ERROR),
    "sends a chunk of a negative size": Hostile(answer(_CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n"), _READ_ERROR),
    "sends a chunk longer than its size": Hostile(answer(_CHUNKED + b"3\r\nabcdef\r\n0\r\n\r\n"), _READ_ERROR),
    "sends a chunk of all the bytes there are": Hostile(answer(_CHUNKED + b"f" * 16 + b"\r\nabc"), _READ_ERROR),
    # nonsense
    "sends NUL in a header": Hostile(page(b"fine", b"X: a\0b"), _READ_ERROR),
    "sends no UTF-8": Hostile(page(b"\xff\xfe\x80", b"X: \xff\xfe", b"\xff: y"), _UP),
    "sends a header without a colon": Hostile(page(b"fine", b"nonsense"), _UP),
    "speaks another protocol": Hostile(answer(b"220 mail.example ESMTP\r\n", then=hang), _READ_ERROR),
    "speaks HTTP/2": Hostile(answer(b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x0a"), _READ_ERROR),
    "answers with status 1000": Hostile(answer(b"HTTP/1.1 1000 Odd\r\n\r\n"), _READ_ERROR),
    "answers with status 2000": Hostile(answer(b"HTTP/1.1 2000 Odd\r\n\r\n"), _READ_ERROR),
    "switches protocols": Hostile(answer(b"HTTP/1.1 101 Up\r\n\r\n", then=hang), Outcome.STATUS_MISMATCH),
    # redirects
    "redirects for ever": Hostile(redirect(lambda: "/again"), Outcome.TOO_MANY_REDIRECTS),
    "redirects a hundred times": Hostile(redirects(100), Outcome.TOO_MANY_REDIRECTS),
    "redirects twenty times": Hostile(redirects(20), _UP),
    "redirects out of HTTP": Hostile(redirect(lambda: "ftp://localhost/"), Outcome.STATUS_MISMATCH),
    "redirects to nonsense": Hostile(redirect(lambda: "http://[::1/"), Outcome.STATUS_MISMATCH),
    "redirects to an endless name": Hostile(redirect(lambda: f"http://{'x' * 300}/"), Outcome.STATUS_MISMATCH),
    "redirects to bytes": Hostile(answer(b"HTTP/1.1 302 F\r\nLocation: /\xff\xfe\r\n\r\n"), Outcome.TOO_MANY_REDIRECTS),
    "redirects to a port where nobody listens": Hostile(redirect(lambda: "http://localhost:1/"), Outcome.CONNECT_ERROR),
    "redirects to a name that nobody has": Hostile(redirect(lambda: "http://nobody.invalid/"), Outcome.DNS_ERROR),
    # bad TLS
    "has a certificate that has expired": Hostile(
        _FINE,
        _TLS_ERROR,
        lambda: server_context(
            AUTHORITY.issue_cert("localhost", not_before=now_and(days=-9), not_after=now_and(days=-1))
        ),
    ),
    "has a certificate that is not valid yet": Hostile(
        _FINE, _TLS_ERROR, lambda: server_context(AUTHORITY.issue_cert("localhost", not_before=now_and(days=1)))
    ),
    "has a certificate for another name": Hostile(
        _FINE, _TLS_ERROR, lambda: server_context(AUTHORITY.issue_cert("other.example"))
    ),
    "has a certificate of an unknown authority": Hostile(
        _FINE, _TLS_ERROR, lambda: server_context(STRANGER.issue_cert("localhost"))
    ),
    "speaks TLS 1.0 at most": Hostile(_FINE, _TLS_ERROR, lambda: _old(ssl.TLSVersion.TLSv1)),
    "speaks TLS 1.1 at most": Hostile(_FINE, _TLS_ERROR, lambda: _old(ssl.TLSVersion.TLSv1_1)),
    "has no cipher in common": Hostile(
        _FINE,
        _TLS_ERROR,
        lambda: server_context(ciphers="AECDH-AES256-SHA:@SECLEVEL=0", maximum_version=_TLS12),
    ),
    "wants our certificate by TLS 1.2": Hostile(_FINE, _TLS_ERROR, lambda: _asks_for_a_certificate(_TLS12)),
    "wants our certificate by TLS 1.3": Hostile(_FINE, _TLS_ERROR, lambda: _asks_for_a_certificate(_TLS13)),
    "has no TLS where it should": Hostile(
        greeted(b"HTTP/1.1 400 Bad Request\r\n\r\n"), _TLS_ERROR, is_asked_by_https=True
    ),
    "answers a greeting with nothing": Hostile(hang, _TIMEOUT, is_asked_by_https=True),
    "drips a handshake": Hostile(drip_greeted(b"\x16\x03\x03\x40\0\x02", b"\0"), _TIMEOUT, is_asked_by_https=True),
    "resets at a greeting": Hostile(reset_when_greeted, _TLS_ERROR, is_asked_by_https=True),
    "closes at a greeting": Hostile(leave, _TLS_ERROR, is_asked_by_https=True),
    "hangs after the handshake": Hostile(hang, _TIMEOUT, server_context),
    "drips a body over TLS": Hostile(drip(OK + b"\r\n", b"x"), _TIMEOUT, server_context),
    "resets a body over TLS": Hostile(
        answer(OK + b"Content-Length: 99\r\n\r\nabc", then=reset), _READ_ERROR, server_context
    ),
    "ends a body over TLS early": Hostile(answer(OK + b"Content-Length: 99\r\n\r\nabc"), _READ_ERROR, server_context),
}


@contextlib.contextmanager
def full_backlog(address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """Give a port that neither accepts nor refuses: its queue of connections is full."""
    with socket.socket() as listener:
        listener.bind((address, port))
        listener.listen(0)
        place = listener.getsockname()
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(place)
            yield place[1]

"""The way of one check to the network: an adapter for requests that times the phases and holds one deadline.

requests' own adapter has a timeout for each read, so a server that sends a byte a second holds a check for ever, and
it loads the authorities' bundle for each TLS connection. Here each check has an adapter of its own: its sockets ask
one deadline before each operation, nothing is pooled, and the TLS context is shared and given.
"""

import errno
import http.client
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from webmon.check.result import Phases

Phase = Literal["dns", "connect", "tls", "first_byte", "transfer"]
SocketAddress = tuple[Any, ...]
"""What socket.connect takes: (address, port) or (address, port, flow, scope)."""

OWN_FAULTS = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.EADDRNOTAVAIL,
        errno.EAFNOSUPPORT,
        errno.EPERM,
        errno.EACCES,
    }
)
"""What the kernel answers for this host's sake, not the target's: no descriptors, no memory, no route, no right."""


class OwnFaultError(Exception):
    """The check could not be made for our own sake; says nothing of the target."""


class Deadline:
    """The moment on the monotonic clock by which a whole check is over."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Set it so many seconds from now."""
        self.seconds = seconds
        self._monotonic = monotonic
        self._end = monotonic() + seconds

    def remaining(self) -> float:
        """Give the seconds left, always above 0.

        Raises:
            TimeoutError: none are left.
        """
        left = self._end - self._monotonic()
        if left <= 0:
            raise TimeoutError("deadline of the check")
        return left


class Stopwatch:
    """Seconds spent in each phase; a phase that comes again, after a redirect, adds to its sum."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Start in no phase."""
        self.phase: Phase | None = None
        self._monotonic = monotonic
        self._since = 0.0
        self._first_sent: float | None = None
        self._spent: dict[Phase, float] = {}

    def enter(self, phase: Phase | None) -> None:
        """End the phase that runs and begin another; None begins none."""
        now = self._monotonic()
        if self.phase is not None:
            self._spent[self.phase] = self._spent.get(self.phase, 0.0) + now - self._since
        if phase == "first_byte" and self._first_sent is None:
            self._first_sent = now
        self.phase, self._since = phase, now

    def since_first_request(self) -> float:
        """Give the seconds since the first request was about to be sent."""
        return self._monotonic() - self._first_sent if self._first_sent is not None else 0.0

    def byte_came(self) -> None:
        """Note that the server said something: the wait for the first byte is over."""
        if self.phase == "first_byte":
            self.enter("transfer")

    def phases(self) -> Phases:
        """Give the sums of the phases that have ended."""
        return Phases(**self._spent)


Addresses = list[tuple[socket.AddressFamily, SocketAddress]]
Resolve = Callable[[str, int, float], Addresses]
"""How a name becomes the addresses to try, in their order: takes host, port, and the seconds that it may take.

It raises OSError: socket.gaierror where the name has none, TimeoutError where no answer came in time; and
OwnFaultError where this host cannot ask.
"""


def tls_context(
    *,
    verify: bool = True,
    authorities: tuple[Path, ...] = (),
    certificate: tuple[Path, Path | None] | None = None,
    minimum: Literal["1.2", "1.3"] = "1.2",
) -> ssl.SSLContext:
    """Make a context that trusts the system's store and the PEM files given.

    Args:
        verify: whether the server's certificate must be right.
        authorities: PEM files trusted beside the system's store.
        certificate: our own PEM certificate and its key, for servers that ask for one; a key of None is in the
            certificate's file.
        minimum: the oldest version of TLS that is spoken.

    It is not ssl.create_default_context(): that one grew stricter in Python 3.13, and two vantages must not disagree
    on a site because of their Python.

    Raises:
        OSError: a file cannot be read, or holds no certificate, or a key that is another's (ssl.SSLError).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = _TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if minimum == "1.3" else ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        # An empty password, so that an encrypted key fails here and nobody is asked for one on a terminal.
        context.load_cert_chain(*certificate, password="")
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.load_default_certs()
    for path in authorities:
        context.load_verify_locations(path)
    return context


class _Bounded:
    """What both sockets share: each operation has only the time that the check has left.

    requests and http.client read through a file made of the socket, and that file calls recv_into.
    """

    deadline: Deadline
    watch: Stopwatch

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.deadline.remaining())  # type: ignore[attr-defined]
        count: int = super().recv_into(*args, **kwargs)  # type: ignore[misc]
        self.watch.byte_came()
        return count

    def send(self, *args: Any, **kwargs: Any) -> int:
        self.settimeout(self.deadline.remaining())  # type: ignore[attr-defined]
        sent: int = super().send(*args, **kwargs)  # type: ignore[misc]
        return sent

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self.settimeout(self.deadline.remaining())  # type: ignore[attr-defined]
        super().sendall(*args, **kwargs)  # type: ignore[misc]


class _Socket(_Bounded, socket.socket):
    """A plain connection that holds the deadline."""


class _TlsSocket(_Bounded, ssl.SSLSocket):
    """A TLS connection that holds the deadline; a context's sslsocket_class."""


class _Connection(HTTPConnection):
    """urllib3's connection on a socket that the adapter opened."""

    def __init__(self, host: str, port: int, opened: Callable[[], socket.socket]) -> None:
        super().__init__(host, port)
        self._opened = opened

    def connect(self) -> None:
        self.sock = self._opened()


class _SecureConnection(_Connection):
    # The Host header leaves out the scheme's own port.
    default_port: ClassVar[int] = http.client.HTTPS_PORT  # type: ignore[misc]


class CheckAdapter(HTTPAdapter):
    """An adapter for one check: its requests share the deadline and the stopwatch, and each has a new connection.

    What a connection told (address, TLS version, end of the certificate) stands in the attributes until the next one.
    """

    def __init__(
        self,
        *,
        deadline: Deadline,
        watch: Stopwatch,
        resolve: Resolve,
        context: ssl.SSLContext,
        family: socket.AddressFamily | None = None,
    ) -> None:
        """Take what all requests of the check share; of the addresses only those of the family, where one is given."""
        super().__init__()
        self.remote_ip: str | None = None
        self.tls_version: str | None = None
        self.tls_not_after: datetime | None = None
        self._deadline = deadline
        self._watch = watch
        self._resolve = resolve
        self._context = context
        self._family = family
        self._connection: _Connection | None = None
        self._response: requests.Response | None = None

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Send a request on a new connection and give the response with its body unread.

        Everything else that requests.Session passes (timeout, verify, cert, proxies) is fixed for the check.

        Raises:
            OSError: of the name, the connection, TLS or the transfer; TimeoutError past the deadline. They come as
                the system gave them, because what they mean depends on their kind and on the phase.
            http.client.HTTPException: what came is not HTTP.
            OwnFaultError: this host cannot resolve names.
        """
        self.close()
        self.remote_ip = self.tls_version = self.tls_not_after = None
        parts = urlsplit(str(request.url))
        host, secure = parts.hostname or "", parts.scheme == "https"
        kind = _SecureConnection if secure else _Connection
        port = parts.port or kind.default_port
        connection = kind(host, port, lambda: self._open(host, port, secure=secure))
        self._connection = connection
        connection.connect()
        self._watch.enter("first_byte")
        connection.request(
            str(request.method),
            request.path_url,
            body=request.body,
            headers=request.headers,
            preload_content=False,
            decode_content=False,
        )
        self._response = self.build_response(request, connection.getresponse())
        return self._response

    def close(self) -> None:
        """Close the connection that is open."""
        if self._response is not None:
            # A body that was not read to its end holds the socket, whatever the connection says.
            self._response.close()
            self._response = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self, host: str, port: int, *, secure: bool) -> socket.socket:
        self._watch.enter("dns")
        addresses = self._resolve(host, port, self._deadline.remaining())
        if self._family is not None:
            addresses = [address for address in addresses if address[0] == self._family]
            if not addresses:
                kind = "IPv6" if self._family == socket.AF_INET6 else "IPv4"
                raise socket.gaierror(socket.EAI_NODATA, f"the name has no {kind} address")
        self._watch.enter("connect")
        plain = self._connect(addresses)
        return self._start_tls(plain, host) if secure else plain

    def _connect(self, addresses: Addresses) -> _Socket:
        """Try the addresses in their order; each has an equal share of what is left, so that one that is dead
        does not use up the time of the others."""
        failures: list[OSError] = []
        for tried, (family, address) in enumerate(addresses):
            share = self._deadline.remaining() / (len(addresses) - tried)
            plain = _Socket(family, socket.SOCK_STREAM)
            try:
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                plain.settimeout(share)
                plain.connect(address)
            except OSError as error:
                plain.close()
                failures.append(error)
                continue
            plain.deadline, plain.watch = self._deadline, self._watch
            self.remote_ip = address[0]
            return plain
        if not failures:
            raise socket.gaierror(socket.EAI_NODATA, "the name has no address")
        # That this vantage has no route to one kind of address says little where another address answered.
        raise next((f for f in failures if f.errno not in OWN_FAULTS), failures[-1])

    def _start_tls(self, plain: _Socket, host: str) -> _TlsSocket:
        self._watch.enter("tls")
        try:
            plain.settimeout(self._deadline.remaining())
            secured = self._context.wrap_socket(plain, server_hostname=host.rstrip("."), do_handshake_on_connect=False)
        except BaseException:
            plain.close()
            raise
        assert isinstance(secured, _TlsSocket)
        secured.deadline, secured.watch = self._deadline, self._watch
        try:
            secured.do_handshake()
        except BaseException:
            secured.close()
            raise
        self.tls_version = secured.version()
        certificate = secured.getpeercert() or {}
        if (not_after := certificate.get("notAfter")) is not None:
            self.tls_not_after = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(not_after)), UTC)
        return secured


def resolve_here(host: str, port: int, timeout: float) -> Addresses:  # noqa: ARG001 (getaddrinfo has none)
    """Resolve in this thread, for a caller that may wait as long as the system's resolver does."""
    return [(family, address) for family, *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]

"""Connections that time the phases of a check and hold its one deadline.

A socket's own timeout is for each read, so a server that sends a byte a second would hold a check for ever. Here a
connection asks the deadline before each operation.
"""

import errno
import hashlib
import select
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from webmon.check.result import Phases

Phase = Literal["dns", "connect", "tls", "first_byte", "transfer"]
SocketAddress = tuple[Any, ...]
"""What socket.connect takes: (address, port) or (address, port, flow, scope)."""

_RECEIVED_AT_ONCE: Final = 64 << 10
_MOST_CERTIFICATES: Final = 10_000
"""That are remembered."""

OWN_FAULTS: Final = frozenset(
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


class ProxyError(Exception):
    """The proxy could not be reached (the cause says why), or did not do what it is for; the text names it."""


class Deadline:
    """The moment on the monotonic clock by which a whole check is over."""

    def __init__(self, seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Set it so many seconds from now."""
        self.seconds = seconds
        self._monotonic = monotonic
        self._end = monotonic() + seconds

    def now(self) -> float:
        """Give the time on its clock."""
        return self._monotonic()

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


class Trust:
    """A TLS context, and when the certificates end that were seen with it: to read one costs as much as a response."""

    def __init__(self, context: ssl.SSLContext) -> None:
        """Take the context; no certificate has been seen."""
        self.context = context
        self._ends: dict[bytes, datetime] = {}

    def end_of_certificate(self, secured: ssl.SSLSocket) -> datetime | None:
        """Give when the certificate of a server that has shaken hands ends; None where it was not verified."""
        encoded = secured.getpeercert(binary_form=True)
        if encoded is None or self.context.verify_mode is ssl.CERT_NONE:
            return None
        digest = hashlib.sha256(encoded).digest()
        if (known := self._ends.get(digest)) is None:
            if len(self._ends) >= _MOST_CERTIFICATES:
                self._ends.clear()
            not_after = str((secured.getpeercert() or {})["notAfter"])
            known = self._ends[digest] = datetime.fromtimestamp(ssl.cert_time_to_seconds(not_after), UTC)
        return known


class Connection:
    """A connection, plain or TLS, whose every operation has only the time that the check has left."""

    def __init__(self, sock: socket.socket, remote_ip: str, deadline: Deadline, watch: Stopwatch) -> None:
        """Take a connected socket, and what it shares with the rest of the check."""
        self.remote_ip: str | None = remote_ip
        """None where a proxy stands between."""
        self.opened = deadline.now()
        """When, on the monotonic clock."""
        self.tls_version: str | None = None
        self.tls_not_after: datetime | None = None
        """When the server's certificate ends; None where it was not verified."""
        self._sock = sock
        self.lend(deadline, watch)

    def lend(self, deadline: Deadline, watch: Stopwatch) -> None:
        """Make it a part of a check."""
        self._deadline = deadline
        self._watch = watch

    def is_quiet(self) -> bool:
        """Tell whether the server has said nothing since, and not hung up either."""
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        return not poll.poll(0)

    def start_tls(self, trust: Trust, host: str) -> None:
        """Speak TLS from here on with a server of that name; it may raise OSError, ssl.SSLError for the most part."""
        self._watch.enter("tls")
        self._sock.settimeout(self._deadline.remaining())
        secured = trust.context.wrap_socket(self._sock, server_hostname=host.rstrip("."), do_handshake_on_connect=False)
        self._sock = secured
        secured.do_handshake()
        self.tls_version = secured.version()
        self.tls_not_after = trust.end_of_certificate(secured)

    def certificate(self) -> Mapping[str, Any]:
        """Give what ssl.SSLSocket.getpeercert() says of the server's certificate; nothing where it was not verified."""
        return (self._sock.getpeercert() or {}) if isinstance(self._sock, ssl.SSLSocket) else {}

    def send(self, data: bytes) -> None:
        """Send all of it; raises OSError."""
        left = memoryview(data)
        while left:
            self._sock.settimeout(self._deadline.remaining())
            left = left[self._sock.send(left) :]

    def receive(self) -> bytes:
        """Give what comes next, none at the end of the connection; raises OSError."""
        self._sock.settimeout(self._deadline.remaining())
        data = self._sock.recv(_RECEIVED_AT_ONCE)
        if data:
            self._watch.byte_came()
        return data

    def close(self) -> None:
        """Close it."""
        self._sock.close()


def connect(addresses: Addresses, deadline: Deadline, watch: Stopwatch) -> Connection:
    """Connect to the first of the addresses that accepts.

    They are tried in their order; each has an equal share of what is left, so that one that is dead does not use up
    the time of the others.

    Raises:
        OSError: none accepts; TimeoutError past the deadline.
    """
    watch.enter("connect")
    failures: list[OSError] = []
    for tried, (family, address) in enumerate(addresses):
        share = deadline.remaining() / (len(addresses) - tried)
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(share)
            sock.connect(address)
        except OSError as error:
            sock.close()
            failures.append(error)
            continue
        return Connection(sock, address[0], deadline, watch)
    if not failures:
        raise socket.gaierror(socket.EAI_NODATA, "the name has no address")
    # That this vantage has no route to one kind of address says little where another address answered.
    raise next((f for f in failures if f.errno not in OWN_FAULTS), failures[-1])


def resolve_here(host: str, port: int, timeout: float) -> Addresses:  # noqa: ARG001 (getaddrinfo has none)
    """Resolve in this thread, for a caller that may wait as long as the system's resolver does."""
    return [(family, address) for family, *_, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]

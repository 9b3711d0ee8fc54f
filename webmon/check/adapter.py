"""The adapter that requests are sent through: one for each check, on connections that hold the check's deadline.

requests' own adapter has a timeout for each read only, and loads the authorities' bundle for each TLS connection.
"""

import contextlib
import http.client
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.cookies import MockRequest, MockResponse
from requests.structures import CaseInsensitiveDict

from webmon.check import http1
from webmon.check.target import Proxy, Target, wire_of
from webmon.check.transport import Connection, Deadline, ProxyError, Resolve, Stopwatch, Trust, connect

_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_HUNG_UP: Final = (ConnectionError, ssl.SSLEOFError)


class Origin(NamedTuple):
    """Where a request goes."""

    scheme: str
    host: str
    port: int


class Idle(NamedTuple):
    """A connection that another request to the same origin may use."""

    origin: Origin
    connection: Connection


class CheckAdapter(BaseAdapter):
    """An adapter for one check: its requests share the deadline and the stopwatch.

    Each request has a new connection; where connections are reused, the check may begin on the one that the check
    before has left, and leave its last one in turn.
    """

    def __init__(
        self,
        *,
        target: Target,
        deadline: Deadline,
        watch: Stopwatch,
        resolve: Resolve,
        trust: Trust,
        idle: Idle | None = None,
    ) -> None:
        """Take what all requests of the check share.

        Args:
            target: what is checked: which addresses, which proxy, and whether connections are reused.
            deadline: of the whole check.
            watch: gets the phases.
            resolve: how names become addresses.
            trust: how TLS is spoken.
            idle: what the check before has left.
        """
        super().__init__()
        self.connection: Connection | None = None
        """That of the last request, maybe closed by now: what it told of address and TLS."""
        self._target = target
        self._deadline = deadline
        self._watch = watch
        self._resolve = resolve
        self._trust = trust
        self._idle = idle
        self._in_use: Connection | None = None
        self._origin: Origin | None = None
        self._reader: http1.Reader | None = None
        self._stays_open = False

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Send a request and give the response with its body unread.

        Everything else that requests.Session passes (timeout, verify, cert, proxies) is fixed for the check.

        Raises:
            OSError: of the name, the connection, TLS or the transfer; TimeoutError past the deadline. They come as
                the system gave them, because what they mean depends on their kind and on the phase.
            HttpError: what came is not HTTP.
            ProxyError: the proxy is at fault.
            OwnFaultError: this host cannot resolve names.
        """
        self._set_free()
        self.connection = None
        parts = urlsplit(str(request.url))
        port = parts.port or (443 if parts.scheme == "https" else 80)
        origin = self._origin = Origin(parts.scheme, parts.hostname or "", port)
        if (waiting := self._waiting_for(origin)) is not None:
            self._use(waiting)
            try:
                return self._exchange(request, waiting)
            except (http1.NoAnswerError, *_HUNG_UP):
                # A server may close an idle connection at any moment; one that it has begun to answer on, it did not.
                if self._watch.phase != "first_byte":
                    raise
            waiting.close()
        return self._exchange(request, self._connected(origin))

    def close(self) -> None:
        """Close what is open."""
        if self._in_use is not None:
            self._in_use.close()
            self._in_use = None
        if self._idle is not None:
            self._idle.connection.close()
            self._idle = None

    def leave(self) -> Idle | None:
        """Give the connection that the next check may begin on, if there is one; the caller must close it."""
        self._set_free()
        idle, self._idle = self._idle, None
        return idle

    def _set_free(self) -> None:
        """Keep the last request's connection for the next one where that can be, else close it."""
        connection, self._in_use = self._in_use, None
        if connection is None or self._origin is None:
            return
        if (
            self._target.connection == "reused"
            and self._reader is not None
            and self._reader.is_whole
            and self._stays_open
        ):
            self._idle = Idle(self._origin, connection)
        else:
            connection.close()

    def _use(self, connection: Connection) -> None:
        self.connection = self._in_use = connection
        self._reader = None

    def _waiting_for(self, origin: Origin) -> Connection | None:
        idle, self._idle = self._idle, None
        if idle is None:
            return None
        if idle.origin != origin or not idle.connection.is_quiet():
            idle.connection.close()
            return None
        idle.connection.lend(self._deadline, self._watch)
        return idle.connection

    def _exchange(self, request: requests.PreparedRequest, connection: Connection) -> requests.Response:
        wire = self._target.wire if request is self._target.request else wire_of(request, self._target.proxy)
        self._watch.enter("first_byte")
        # A server that hangs up in the middle of a request may have said why, if only in a TLS alert.
        with contextlib.suppress(*_HUNG_UP):
            connection.send(wire)
        reader = self._reader = http1.Reader(connection.receive, str(request.method), self._deadline.remaining)
        head = reader.head()
        self._stays_open = head.version != "1.0" and "close" not in head.words("connection")
        asked_proxy = self._target.proxy is not None and str(request.url).startswith("http:")
        if asked_proxy and head.status == http.client.PROXY_AUTHENTICATION_REQUIRED:
            raise ProxyError(f"the proxy {self._target.proxy} wants another user or password: 407 {head.reason}")
        return _response(request, head, reader)

    def _connected(self, origin: Origin) -> Connection:
        proxy = self._target.proxy
        connection = self._through(proxy, origin) if proxy else self._connect(origin.host, origin.port)
        if origin.scheme == "https":
            connection.start_tls(self._trust, origin.host)
        return connection

    def _connect(self, host: str, port: int) -> Connection:
        self._watch.enter("dns")
        addresses = self._resolve(host, port, self._deadline.remaining())
        version = self._target.ip_version
        if version != "any":
            addresses = [address for address in addresses if address[0] == _FAMILIES[version]]
            if not addresses:
                raise socket.gaierror(socket.EAI_NODATA, f"the name has no IPv{version} address")
        connection = connect(addresses, self._deadline, self._watch)
        self._use(connection)
        return connection

    def _through(self, proxy: Proxy, origin: Origin) -> Connection:
        """Connect to the proxy, and for https have it connect to the origin."""
        try:
            connection = self._connect(proxy.host, proxy.port)
            connection.remote_ip = None  # the proxy's says nothing of the site
            if origin.scheme == "https":
                where = http1.authority(origin.host, origin.port)
                connection.send(http1.connect_bytes(where, proxy.authorization))
                head = http1.Reader(connection.receive, "CONNECT").head()
                if not 200 <= head.status <= 299:
                    raise ProxyError(f"the proxy {proxy} refused to connect to {where}: {head.status} {head.reason}")
        except (OSError, http1.HttpError) as error:
            raise ProxyError(f"the proxy {proxy}") from error
        return connection


class _Raw:
    """What requests reads a body from."""

    def __init__(self, head: http1.Head, reader: http1.Reader) -> None:
        self.version_string = f"HTTP/{head.version}"
        self._head = head
        self._reader = reader

    def stream(self, _size: int | None, **_: Any) -> Iterator[bytes]:
        """Give the body, unpacked, in pieces as they come."""
        return self._reader.body(self._head)


def _response(request: requests.PreparedRequest, head: http1.Head, reader: http1.Reader) -> requests.Response:
    response = requests.Response()
    response.status_code = head.status
    response.reason = head.reason
    response.url = str(request.url)
    response.request = request
    joined: dict[str, str] = {}
    for name, value in head.fields:
        key = name.lower()
        joined[key] = f"{joined[key]}, {value}" if key in joined else value
    response.headers = CaseInsensitiveDict(joined)
    response.raw = _Raw(head, reader)
    if "set-cookie" in joined:
        told = http.client.HTTPMessage()
        for value in head.values("set-cookie"):
            told["Set-Cookie"] = value
        response.cookies.extract_cookies(MockResponse(told), MockRequest(request))  # type: ignore[arg-type]
    return response

"""One request and its response, or a connection alone, by libcurl: options, what came, and where the time went."""

import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

import pycurl

from webmon.check.chain import Told
from webmon.check.cookie import Cookie, of_line
from webmon.check.failure import SHOWN, Failure, Phase
from webmon.check.kind import MAIL, WEBSOCKET
from webmon.check.resolver import Addresses
from webmon.check.target import Proxy
from webmon.check.trust import Trust
from webmon.check.url import Origin, Url

HEAD_LIMIT: Final = 256 << 10
"""Bytes of status line and headers, and of the interim responses before them, together."""
MOST_COOKIES: Final = 150
"""Of the redirects of one check: libcurl sends no more at once. It takes 50 of a response, each of 4 KB at most;
browsers keep 180 of a domain."""
_HAPPY_EYEBALLS_MS: Final = 271
"""An option that pycurl has no name for."""
_ABORTED: Final = 23
"""CURLE_WRITE_ERROR: a callback of ours said that it has enough."""
_CLOSED: Final = 56
"""CURLE_RECV_ERROR."""
_ENDED_EARLY: Final = 18
"""CURLE_PARTIAL_FILE."""
_STATUS: Final = re.compile(
    rb"(?:HTTP(?:/[0-9.]+)?|ICY)[ \t]+([0-9]{3})(?![0-9])(?:[ \t]*(.*))?", re.DOTALL | re.IGNORECASE
)
_ALIASES: Final = ["ICY ", "HTTP "]
"""Beginnings of a status line that are taken beside HTTP's own (Shoutcast, and who leaves the version out). libcurl
takes such a response for 200."""
_IDLED: Final = 408
_SWITCHING: Final = 101
_TEXT: Final = pycurl.INFOTYPE_TEXT
_DATA_IN: Final = 5
_DATA_OUT: Final = 6
"""CURLINFO_SSL_DATA_IN and ..._OUT."""
_BEGINNINGS: Final = frozenset({b"SSL ", b"TLSv", b"ALPN"})
"""How those of libcurl's texts begin that are read: of a check there are sixty lines."""
_RECORD: Final = re.compile(rb"[\x14-\x17](?:\x03|$)")
"""How a record of TLS begins (RFC 8446, 5.1)."""
_TLS_LINE: Final = re.compile(rb"SSL connection using (TLSv[0-9.]+)")
_ASKED_VERSIONS: Final = {
    "auto": pycurl.CURL_HTTP_VERSION_2TLS,
    "1.1": pycurl.CURL_HTTP_VERSION_1_1,
    "2": pycurl.CURL_HTTP_VERSION_2TLS,
    "2 alone": pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE,
    "3": pycurl.CURL_HTTP_VERSION_3,
}
_VERSIONS: Final = {1: "1.0", 2: "1.1", 3: "2", 30: "3", 31: "3"}
"""CURL_HTTP_VERSION_... as they were used."""
_HTTP_1: Final = (pycurl.CURL_HTTP_VERSION_1_0, pycurl.CURL_HTTP_VERSION_1_1)
_AS: Final = {"tcp": "http", "tls": "https"}
"""What libcurl, which knows no such schemes, is told instead where it only connects."""
_GREETING: Final = {
    "smtp": re.compile(rb"[0-9]{3}[ \r\n-]"),
    "imap": re.compile(rb"\* "),
    "pop3": re.compile(rb"[+-]"),
}
"""How the first line of each begins (RFC 5321, 4.2; RFC 9051, 7.1; RFC 1939, 3); libcurl would wait for another."""
_WITH_BODY: Final = frozenset({"POST", "PUT", "PATCH"})
"""Methods of which a server awaits a body, and be it empty."""
_SECONDS: Final = 1e-6
_BLANKS: Final = " \t"
"""What HTTP takes for blanks (RFC 9110, 5.6.3). Python takes bytes for some that end letters of UTF-8."""


class Request(NamedTuple):
    """What is asked."""

    url: Url
    method: str
    headers: Sequence[bytes]
    """Lines as they are sent."""
    cookie: bytes | None
    """Cookies of the target's own, beside those that are set on the way."""
    body: bytes | None


class Ways(NamedTuple):
    """What is asked otherwise than usual, so that libcurl takes what browsers take."""

    ignores_length: bool = False
    """Whether the body ends with the connection, whatever Content-Length says."""
    unpacks: bool = False
    """Whether libcurl unpacks the body."""
    by_http_1: bool = False
    """Whether HTTP/1.1 is spoken."""
    without_dhe: bool = False
    """Whether Diffie-Hellman needs curves; without them, servers take keys that are too short."""
    post_quantum: bool = False
    """Whether keys are agreed on by what a quantum computer can't undo, and by nothing else."""
    afresh: bool = False
    """Whether it is asked on a new connection."""


class Head(NamedTuple):
    """Status line and headers of a response."""

    status: int
    reason: str
    fields: tuple[tuple[str, str], ...]
    """Names in lower case and values, in their order, as Latin-1."""

    def joined(self) -> dict[str, str]:
        """Give each name's values, several with commas."""
        joined: dict[str, list[str]] = {}
        for name, value in self.fields:
            joined.setdefault(name, []).append(value)
        return {name: ", ".join(values) for name, values in joined.items()}

    def values(self, name: str) -> list[str]:
        """Give the values of the headers of a name."""
        return [value for key, value in self.fields if key == name]


class Facts(NamedTuple):
    """What is known of a connection and its times when a transfer has ended."""

    phases: Mapping[Phase, float]
    """Seconds of each that was reached."""
    sent_after: float
    """Seconds from the begin to the request's being sent."""
    is_reused: bool
    """Whether the connection was there before."""
    http_version: str | None
    remote_ip: str | None
    tls_version: str | None
    certificates: Told


class Kept(NamedTuple):
    """A connection that another check may go on with."""

    origin: Origin
    addresses: Addresses
    """Where it was asked for: nobody resolves a name for a connection that is there."""
    looked_up_at: float
    """When somebody last did, on the monotonic clock: about when it was opened, or the first one in its place."""
    tls_version: str | None
    certificates: Told


class Handle:
    """One of libcurl's easy handles, with which one transfer after another is made.

    What it may not take from one transfer to the next it keeps in a share of its own: addresses, and where connections
    are reused, the connection.
    """

    def __init__(self, *, keeps_connection: bool = False) -> None:
        """Make it."""
        self.curl = pycurl.Curl()
        self._share = pycurl.CurlShare()
        self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_DNS)
        if keeps_connection:
            self._share.setopt(pycurl.SH_SHARE, pycurl.LOCK_DATA_CONNECT)
        self._keeps_connection = keeps_connection
        self.kept: Kept | None = None
        """The connection that may be used again."""
        self.was_inside = False
        """Whether a connection to a private address may be among those that it keeps."""
        self.generation = 0
        self.curl.setopt(pycurl.SHARE, self._share)
        self.forget()

    def forget(self) -> None:
        """Have nothing left of the check before but the connection."""
        self.curl.setopt(pycurl.COOKIELIST, "ALL")
        self.head: Head | None = None

    def bound_cookies(self, ended: Collection[Cookie]) -> None:
        """Have none of these, and no more from redirects than are sent at once, the oldest of all going first."""
        cookies = self.curl.getinfo_raw(pycurl.INFO_COOKIELIST)  # a site's bytes, which need be no text
        kept = [one for one in cookies if not ended or of_line(one) not in ended]
        if len(cookies) > len(kept[-MOST_COOKIES:]):
            self.curl.setopt(pycurl.COOKIELIST, "ALL")
            for cookie in kept[-MOST_COOKIES:]:
                self.curl.setopt(pycurl.COOKIELIST, cookie)

    def close(self) -> None:
        """Close it, and the connection that it keeps."""
        self.curl.close()
        self._share.close()

    def prepare(
        self,
        request: Request,
        *,
        trust: Trust | None,
        addresses: Addresses,
        proxy: Proxy | None,
        http_version: str,
        may_reuse: bool,
        ways: Ways,
        on_head: Callable[[Head], bool],
        on_body: Callable[[bytes], bool],
    ) -> None:
        """Set everything for the next transfer.

        Args:
            request: what is asked.
            trust: how TLS is spoken; None for a URL of http.
            addresses: of the site, or of the proxy.
            proxy: what stands between.
            http_version: `auto`, `1.1`, `2` or `3`; `2 alone`: without asking whether the server speaks it.
            may_reuse: whether a connection that is kept will do: libcurl goes by its name alone, wherever it leads.
            ways: what of it is not as usual.
            on_head: called when status and headers are there; False: that is enough.
            on_body: called with what comes after; False: that is enough.
        """
        self._begin(request.url, trust, addresses, proxy)
        self._on_head, self._on_body = on_head, on_body
        option, url = self.curl.setopt, request.url
        if not may_reuse:
            option(pycurl.FRESH_CONNECT, 1)
        option(pycurl.REQUEST_TARGET, str(url) if proxy and not self._secure else url.target)
        if ways.unpacks:
            option(pycurl.ACCEPT_ENCODING, "")  # what is asked for stands in the headers
        else:
            option(pycurl.HTTP_CONTENT_DECODING, 0)
        option(pycurl.HTTP200ALIASES, _ALIASES)
        if ways.ignores_length:
            option(pycurl.IGNORE_CONTENT_LENGTH, 1)
        # So that what came in place of HTTP can be shown.
        option(pycurl.HTTP09_ALLOWED, 1)
        self._set_request(request)
        if proxy:
            option(pycurl.HEADEROPT, pycurl.HEADER_SEPARATE)
            option(pycurl.HTTPPROXYTUNNEL, 1 if self._secure else 0)
            told = [f"Proxy-Authorization: {proxy.authorization}"] if proxy.authorization else []
            option(pycurl.PROXYHEADER, ["Proxy-Connection:", "User-Agent:", *told])
        self._needs_http2, self._is_quic = http_version == "2 alone", http_version == "3"
        if trust is not None or self._needs_http2:
            option(pycurl.HTTP_VERSION, _ASKED_VERSIONS["1.1" if ways.by_http_1 else http_version])
        if ways.without_dhe:
            option(pycurl.SSL_CIPHER_LIST, "DEFAULT:!kDHE")
        if ways.post_quantum:
            option(pycurl.SSL_EC_CURVES, "X25519MLKEM768")

    def _set_request(self, request: Request) -> None:
        """Set what is sent."""
        option = self.curl.setopt
        has_body = request.method in _WITH_BODY or request.body is not None
        option(pycurl.HTTPHEADER, [*request.headers, *(_unsaid(request) if has_body else ())])
        option(pycurl.COOKIEFILE, "")
        if request.cookie is not None:
            option(pycurl.COOKIE, request.cookie)
        if request.method == "HEAD":
            option(pycurl.NOBODY, 1)
        elif has_body:
            option(pycurl.POSTFIELDS, request.body or b"")
            option(pycurl.CUSTOMREQUEST, request.method)
        elif request.method != "GET":
            option(pycurl.CUSTOMREQUEST, request.method)

    def connect(
        self,
        url: Url,
        *,
        trust: Trust | None,
        addresses: Addresses,
        headers: Sequence[bytes] = (),
        on_head: Callable[[Head], bool] = lambda _: True,
    ) -> None:
        """Set everything for a connection alone, which is spoken on when the transfer is done, until it is removed.

        Args:
            url: for smtp, imap and pop3 it has become TLS by then (STARTTLS), for ws and wss it was upgraded.
            trust: how TLS is spoken; None: not at all.
            addresses: of the host.
            headers: of the upgrade, as they are sent.
            on_head: called when it is answered.
        """
        self._begin(url, trust, addresses, None)
        self._on_head, self._on_body = on_head, lambda _: False
        self._connects = True
        option = self.curl.setopt
        option(pycurl.CONNECT_ONLY, 2 if url.scheme in WEBSOCKET else 1)
        # Else it would end with the transfer; it is nobody else's all the same.
        option(pycurl.FORBID_REUSE, 0)
        if url.scheme in WEBSOCKET:
            option(pycurl.REQUEST_TARGET, url.target)
            option(pycurl.HTTPHEADER, list(headers))
            # libcurl's own answer to a ping stays with it until something else is sent.
            option(pycurl.WS_OPTIONS, pycurl.WS_NOAUTOPONG)
        else:
            option(pycurl.SSL_ENABLE_ALPN, 0)
        if url.scheme in MAIL:
            option(pycurl.USE_SSL, pycurl.USESSL_ALL)
            option(pycurl.HEADERFUNCTION, self._said)

    def _begin(self, url: Url, trust: Trust | None, addresses: Addresses, proxy: Proxy | None) -> None:
        """Set what all transfers have."""
        curl = self.curl
        curl.reset()
        self.head, self.received = None, 0
        self.greeting: bytes | None = None
        """The first line of a mail server."""
        self._last_said: bytes | None = None
        self._began = time.monotonic()
        self._greeted_after = self._hello_after = 0.0
        """Seconds to a mail server's first line, and to our first word of TLS; 0: not yet. By QUIC that is said before
        anybody is connected, and does not count."""
        self._connects = False
        self._lines: list[bytes] = []
        self._trailer: list[bytes] = []
        self._proxy_answer: Head | None = None
        """To CONNECT."""
        self._head_left = HEAD_LIMIT
        self._enough = False
        self._fault: str | None = None
        self._tls_version: str | None = None
        self._first_of_tls: bytes | None = None
        """What came first where TLS should, about as much as the header of a record; None: nothing yet."""
        self._wants_certificate = self._refused_http2 = False
        self._needs_http2 = self._is_quic = False
        self._secure: bool = trust is not None
        self._proxy = proxy
        self._addresses = addresses
        self._url = url
        self._has_certificate = trust is not None and trust.certificate is not None
        option = curl.setopt
        option(pycurl.URL, str(url._replace(scheme=_AS[url.scheme]) if url.scheme in _AS else url))
        option(pycurl.PATH_AS_IS, 1)
        option(pycurl.NOSIGNAL, 1)
        option(_HAPPY_EYEBALLS_MS, 200)
        option(pycurl.CONNECTTIMEOUT, 86_400)
        option(pycurl.HEADERFUNCTION, self._header)
        option(pycurl.WRITEFUNCTION, self._body)
        if self._keeps_connection:
            option(pycurl.MAXCONNECTS, 1)
            option(pycurl.MAXAGE_CONN, 600)
            option(pycurl.MAXLIFETIME_CONN, 600)
        else:
            option(pycurl.FRESH_CONNECT, 1)
            option(pycurl.FORBID_REUSE, 1)
        self._set_way(url, addresses, proxy)
        if trust is not None:
            self._set_tls(trust)

    def _set_way(self, url: Url, addresses: Addresses, proxy: Proxy | None) -> None:
        """Set where it goes: nobody but us resolves a name, and no variable of the environment names a proxy."""
        option = self.curl.setopt
        option(pycurl.NOPROXY, "")
        option(pycurl.PROXY, f"http://{_bracketed(proxy.host)}:{proxy.port}" if proxy else "")
        where, port = (proxy.host, proxy.port) if proxy else (url.host, url.port)
        if not _is_address(where):
            # The port of the addresses counts; it is the URL's unless whoever resolves says another.
            there = addresses[0][1][1]
            if there != port and proxy is None:
                option(pycurl.CONNECT_TO, [f"{where}:{port}:{where}:{there}"])
                port = there
            listed = [str(address[0]) for _, address in addresses]
            # libcurl reads no zone in such a list: the address of a link is tried where there is no other.
            without_zone = ",".join(_bracketed(one) for one in listed if "%" not in one)
            if without_zone:
                # `-` would have it forget the name; behind `+` it is a name.
                option(pycurl.RESOLVE, [f"+{where}:{port}:{without_zone}"])
            else:
                option(pycurl.CONNECT_TO, [f"{where}::[{listed[0].replace('%', '%25')}]:{there}"])

    def _set_tls(self, trust: Trust) -> None:
        option = self.curl.setopt
        option(pycurl.CAINFO, trust.bundle)
        # A session that is resumed shows no certificate.
        option(pycurl.SSL_SESSIONID_CACHE, 0)
        # Not X25519MLKEM768, as browsers: each check would pay for it, and next to every server takes X25519, too.
        option(pycurl.SSL_EC_CURVES, "X25519:P-256:P-384:P-521:X448")
        option(pycurl.SSLVERSION, pycurl.SSLVERSION_TLSv1_3 if trust.minimum == "1.3" else pycurl.SSLVERSION_TLSv1_2)
        if trust.verify:
            option(pycurl.OPT_CERTINFO, 1)
        else:
            option(pycurl.SSL_VERIFYPEER, 0)
            option(pycurl.SSL_VERIFYHOST, 0)
        if trust.certificate is not None:
            option(pycurl.SSLCERT_BLOB, trust.certificate)
            option(pycurl.SSLKEY_BLOB, trust.key or trust.certificate)
            # Empty, so that nobody is asked for a passphrase on a terminal.
            option(pycurl.KEYPASSWD, "")
        # There is no other way to the version of TLS; the test of this file holds the texts at each new libcurl.
        option(pycurl.VERBOSE, 1)
        option(pycurl.DEBUGFUNCTION, self._debug)

    def _debug(self, kind: int, text: bytes) -> None:
        if kind == _TEXT:
            if text[:4] in _BEGINNINGS:
                self._read_text(text)
        elif kind == _DATA_OUT and not self._hello_after and not self._is_quic:
            self._hello_after = time.monotonic() - self._began
        elif kind == _DATA_IN and self._first_of_tls is None and not self._is_quic:
            self._first_of_tls = text

    def _read_text(self, text: bytes) -> None:
        if (match := _TLS_LINE.match(text)) is not None:
            self._tls_version = match[1].decode()
        elif b"Request CERT" in text:
            self._wants_certificate = not self._has_certificate
        elif text.startswith(b"ALPN: server did not agree"):
            self._refused_http2 = self._needs_http2

    def _header(self, line: bytes) -> int | None:
        self._head_left -= len(line)
        if self._head_left < 0:
            self._fault = "too long: the header"
            return -1
        line = line.rstrip(b"\r\n")
        if self.head is not None:
            self._trailer += [line] if line else []
            return None
        if line:
            self._lines.append(line)
            return None
        if (head := self._read_head()) is None:
            return -1 if self._fault is not None else None
        if self._is_with_proxy():
            self._proxy_answer = head
            return None
        self.head = head
        goes_on = self._on_head(head)
        # Nothing of HTTP comes after a switch to something else.
        self._enough = not goes_on or (head.status == _SWITCHING and not self._connects)
        return -1 if self._enough else None

    def _said(self, line: bytes) -> int | None:
        """Take a line of a mail server."""
        self._head_left -= len(line)
        if self._head_left < 0:
            self._fault = "too long: what the server says"
            return -1
        if self.greeting is None and not _GREETING[self._url.scheme].match(line):
            self._fault = f"not {self._url.scheme.upper()}: {line[:SHOWN].decode(errors='replace').rstrip()!r}"
            return -1
        if self.greeting is None:
            self.greeting, self._greeted_after = line, time.monotonic() - self._began
        self._last_said = line
        return None

    def _read_head(self) -> Head | None:
        """Read the lines that came; None where they are none, or those of an interim response."""
        lines, self._lines = self._lines, []
        if not lines:
            return None
        match = _STATUS.match(lines[0])
        if match is None:
            self._fault = f"not HTTP/1: {lines[0][:SHOWN]!r}"
            return None
        status = int(match[1])
        if status < 200 and status != _SWITCHING:
            return None
        return Head(status, (match[2] or b"").decode("latin-1").strip(_BLANKS), _fields(lines[1:]))

    def _body(self, piece: bytes) -> int | None:
        self.received += len(piece)
        if self.head is None:
            self._fault = f"not HTTP/1: {piece[:SHOWN]!r}"
            return -1
        if self._on_body(piece):
            return None
        self._enough = True
        return -1

    def trailers(self) -> tuple[tuple[str, str], ...]:
        """Give the fields that came after the body, as those of a Head."""
        return _fields(self._trailer)

    def is_well(self, code: int, text: str = "") -> bool:
        """Tell whether a response came, as far as it is wanted; or the connection is there.

        Args:
            code: libcurl's.
            text: its text.
        """
        if self._connects:
            return code == 0 and (self.head is not None or self._url.scheme not in WEBSOCKET)
        is_whole = code == 0 or (code == _ABORTED and self._enough) or self._ended_by_closing(code, text)
        return self.head is not None and is_whole and not self._refused_http2

    def _ended_by_closing(self, code: int, text: str) -> bool:
        """Tell whether a body up to the close of a connection ended so, without the word that TLS has for it.

        Many servers close like this, and browsers show the page. What has a length, or chunks, tells its own end.
        """
        return self._is_closed(code, text) and self._promised() < 0

    def _is_closed(self, code: int, text: str) -> bool:
        """Tell whether a connection of HTTP/1 over TLS was closed without the word that TLS has for it."""
        if code != _CLOSED or not self._secure or self.head is None or "reset" in text.lower():
            return False
        is_chunked = self.head.values("transfer-encoding")
        return self.curl.getinfo(pycurl.INFO_HTTP_VERSION) in _HTTP_1 and not is_chunked

    def _promised(self) -> int:
        """Give the bytes of the body that the header promised; less than 0: it did not."""
        promised: int = self.curl.getinfo(pycurl.CONTENT_LENGTH_DOWNLOAD_T)
        return promised

    def is_whole_unpacked(self, code: int, text: str, unpacked: int | None) -> bool:
        """Tell whether a body that ended early has, unpacked, the length that was promised: browsers show it.

        Args:
            code: libcurl's.
            text: its text.
            unpacked: bytes that the body is.
        """
        is_over = code == _ENDED_EARLY or self._is_closed(code, text)
        return is_over and self.head is not None and self._promised() == unpacked

    def reached(self) -> Phase:
        """Give the phase that it came to."""
        curl = self.curl
        if self.head is not None and self.head.status:
            return "transfer"
        if self.greeting is not None and not curl.getinfo(pycurl.APPCONNECT_TIME_T):
            return "tls" if self._hello_after else "transfer"
        if self._secure and self._url.scheme in MAIL:
            return "connect" if not curl.getinfo(pycurl.CONNECT_TIME_T) else "first_byte"
        if self._secure and not curl.getinfo(pycurl.APPCONNECT_TIME_T) and not self._is_reused():
            return "tls" if self._connected_after() and not self._is_with_proxy() else "connect"
        if not curl.getinfo(pycurl.CONNECT_TIME_T) and not self._is_reused():
            return "connect"
        return "transfer" if self._lines or self.received else "first_byte"

    def _connected_after(self) -> float:
        """Give the seconds to the connection; 0: there is none. libcurl itself says it when TLS is done or failed."""
        told: int = self.curl.getinfo(pycurl.CONNECT_TIME_T)
        return told * _SECONDS or self._hello_after

    def is_left_idle(self) -> bool:
        """Tell whether a response is the server's word that it waited for a request for too long (RFC 9110, 15.5.9)."""
        return self.head is not None and self.head.status == _IDLED and self._is_reused()

    def _is_reused(self) -> bool:
        return self.curl.getinfo(pycurl.NUM_CONNECTS) == 0 and bool(self.curl.getinfo(pycurl.PRIMARY_IP))

    def _is_with_proxy(self) -> bool:
        """Tell whether the proxy has still to connect us to the site."""
        return self._proxy is not None and self._secure and not 200 <= self._connect_status() <= 299

    def _connect_status(self) -> int:
        return self._proxy_answer.status if self._proxy_answer is not None else 0

    def head_so_far(self) -> Head | None:
        """Give what came of the site's head, where it may be that not all of it did; then nothing more is read."""
        if self.head is None and not self._is_with_proxy():
            self.head = self._read_head()
        return self.head

    def failure(self, code: int, text: str) -> Failure:
        """Give what is known of a transfer that ended with a code, before `facts` is asked."""
        self.head_so_far()  # the status is told, whatever is wrong with the rest
        phase = self.reached()
        from_proxy = self._proxy is not None and (phase == "connect" or (not self._secure and phase == "first_byte"))
        expected = self._promised()
        return Failure(
            code=code or (_CLOSED if self._connects else 0),  # an upgrade without an answer is none to libcurl
            text=self._fault or text,
            phase=phase,
            errno=self.curl.getinfo(pycurl.OS_ERRNO),
            addresses=tuple((family, str(address[0])) for family, address in self._addresses),
            host=self._url.host if self._proxy is None else f"{_bracketed(self._url.host)}:{self._url.port}",
            proxy=str(self._proxy) if from_proxy else None,
            proxy_status=self._connect_status(),
            proxy_reason=self._proxy_answer.reason if self._proxy_answer else "",
            received=self.received,
            expected=expected if expected >= 0 else None,
            wants_certificate=self._wants_certificate,
            instead_of_tls=first if (first := self._first_of_tls) and not _RECORD.match(first) else None,
            refused_http2=self._refused_http2,
            said=self._last_said,
        )

    def facts(self, elapsed: float, phase: Phase | None = None) -> Facts:
        """Give what is known at its end.

        Args:
            elapsed: seconds since its begin.
            phase: where it failed; None: nowhere.
        """
        get = self.curl.getinfo
        secured = get(pycurl.APPCONNECT_TIME_T)
        sent, answered = get(pycurl.PRETRANSFER_TIME_T), get(pycurl.STARTTRANSFER_TIME_T)
        reused = self._is_reused()
        phases: dict[Phase, float] = {}
        ends: list[tuple[Phase, float]] = []
        is_mail = self._url.scheme in MAIL
        if not reused:
            ends.append(("connect", self._connected_after()))
            if is_mail:
                ends += [("first_byte", self._greeted_after), ("transfer", self._hello_after)]
            if self._secure:
                ends.append(("tls", secured * _SECONDS))
        if is_mail:
            ends.append(("transfer", elapsed))
        elif not self._connects or self._url.scheme in WEBSOCKET:
            ends += [("first_byte", answered * _SECONDS), ("transfer", elapsed)]
        since = 0.0
        for name, end in ends:
            if name == "first_byte" and not is_mail:
                since = max(since, min(sent * _SECONDS, elapsed))
            if name == phase and not (is_mail and end):
                phases[name] = phases.get(name, 0.0) + max(0.0, elapsed - since)
                break
            phases[name] = phases.get(name, 0.0) + max(0.0, end - since)
            since = max(since, end)
        return Facts(
            phases=phases,
            sent_after=min(sent * _SECONDS, elapsed),
            is_reused=reused,
            http_version=_VERSIONS.get(get(pycurl.INFO_HTTP_VERSION)) if self.head is not None else None,
            remote_ip=None if self._proxy else (get(pycurl.PRIMARY_IP) or None),
            tls_version=self._tls_version,
            certificates=self.curl.getinfo_raw(pycurl.INFO_CERTINFO) if self._secure and secured else (),
        )


def header_line(name: str, value: str) -> bytes:
    """Write a header as libcurl takes it: one without a value would be left out, but for a semicolon."""
    return (f"{name}: {value}" if value else f"{name};").encode("latin-1")


def _unsaid(request: Request) -> list[bytes]:
    """Give what keeps libcurl from calling a body that is not there a form, and from asking leave for a large one.

    Servers that do not know the question refuse it with 417, and browsers do not ask it.
    """
    given = {line.partition(b":")[0].strip(b"; ").lower() for line in request.headers}
    name = b"Content-Type" if request.body is None else b"Expect"
    return [] if name.lower() in given else [name + b":"]


def _fields(lines: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
    fields: list[tuple[str, list[str]]] = []
    for line in lines:
        text = line.decode("latin-1")
        name, colon, value = text.partition(":")
        if text[0] in _BLANKS and fields:  # a line that goes on (RFC 9112, 5.2)
            fields[-1][1].append(text.strip(_BLANKS))
        elif colon:
            fields.append((name.strip(_BLANKS).lower(), [value.strip(_BLANKS)]))
    return tuple((name, " ".join(values)) for name, values in fields)


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdecimal()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

"""What ended a transfer before its response came whole: libcurl's code and the phase become an outcome and a text.

The phase decides first. What no server and no network can cause, such as a lack of descriptors, is our own fault and no
site's. Codes: https://curl.se/libcurl/c/libcurl-errors.html.
"""

import errno
import os
import re
import socket
from typing import Final, Literal, NamedTuple

from webmon.check.result import Outcome

Phase = Literal["dns", "connect", "tls", "first_byte", "transfer"]

BY_PHASE: Final[dict[Phase, Outcome]] = {
    "dns": Outcome.DNS_ERROR,
    "connect": Outcome.CONNECT_ERROR,
    "tls": Outcome.TLS_ERROR,
    "first_byte": Outcome.READ_ERROR,
    "transfer": Outcome.READ_ERROR,
}
DOING: Final[dict[Phase, str]] = {
    "dns": "resolving the name",
    "connect": "connecting",
    "tls": "in the TLS handshake",
    "first_byte": "waiting for the first byte",
    "transfer": "reading the response",
}

_OWN: Final = frozenset({2, 4, 27, 42, 43, 48, 53, 54, 58, 59, 66, 77})
"""Codes of what only this host can be to blame for: initialization, memory, files and engines of ours."""
_COULD_NOT_CONNECT, _TIMED_OUT, _CONNECT_FAILED_TLS, _SEND, _RECEIVE = 7, 28, 35, 55, 56
_VERIFICATION: Final = frozenset({51, 60, 83, 90, 91})
_NOTHING_CAME: Final = 52
_ABORTED: Final = 23
_ENDED_EARLY: Final = 18
_BAD_ARGUMENT: Final = 43
_BAD_HEADER: Final = "Invalid response header"
"""What libcurl says with it where the argument was of another's making: a header of a proxy's."""
_OF_CHUNKS: Final = re.compile(r"^chunk |chunked-encoding$")
"""What libcurl says of a chunk that is none (RFC 9112, 7.1)."""
_OF_WEBSOCKET: Final = "[WS] "
"""What libcurl puts before its word of a frame (RFC 6455, 5.2)."""
_BROKE_THE_RULES, _DENIED, _NO_STARTTLS = 8, 9, 64
_NUL: Final = "NUL byte in server response line"
"""What libcurl says of a mail server's."""
_TEXTS: Final = {
    0: "the connection was closed in the midst of the header",
    1: "not HTTP",
    8: "what came is no HTTP header",
    16: "the server broke the rules of HTTP/2",
    18: "the body ended too early",
    61: "the body is packed in a way that is not known",
    92: "the server broke off the HTTP/2 stream",
    95: "the server broke the rules of HTTP/3",
    96: "the QUIC connection failed",
    100: "too long: a line",
}

OWN_FAULTS: Final = frozenset(
    {
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
        errno.ENOBUFS,
        errno.EADDRNOTAVAIL,
        errno.EPERM,
    }
)
"""What the kernel answers for this host's sake, not the target's: no descriptors, no memory, no right."""
_PERHAPS_OWN: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.ENETDOWN, errno.EAFNOSUPPORT}
)
"""What a router on the way may have said as well as this host: the kernel is asked."""
_OF_THE_ADDRESS: Final = _PERHAPS_OWN | {errno.EPERM}
"""What the kernel answers, for this host's sake or not, to the one address and not to others."""
_TLS_ERROR: Final = re.compile(r"error:([0-9A-F]{8}):SSL routines:[^:]*:([^,]+)")
_TLS_EOF: Final = "0A000126"
_REFUSED: Final = re.compile(r"^SSL certificate (?:problem|OpenSSL verify result): | \([0-9]+\)$")
"""What libcurl puts around OpenSSL's word for a certificate."""


CAME_BEFORE_TLS: Final = "plain text stands behind the go-ahead to TLS, which anybody may have put there"
SHOWN: Final = 1000
"""Bytes in a message: more than it may have, so that it is cut in one place, where secrets are looked for."""


class Failure(NamedTuple):
    """What is known of a transfer that failed."""

    code: int
    """libcurl's."""
    text: str
    """Its text; it may hold hosts and ports, no header."""
    phase: Phase
    """How far it came."""
    errno: int = 0
    """Of the last system call that failed; for code 7 alone it is that of the connection."""
    addresses: tuple[tuple[socket.AddressFamily, str], ...] = ()
    """What was connected to."""
    host: str = ""
    is_led: bool = False
    """Whether it is a redirect that named the host: that there is no way to it is then the site's fault."""
    proxy: str | None = None
    """The proxy as people write it, while it and not the site was spoken to."""
    proxy_status: int = 0
    """What the proxy answered to CONNECT; 0: nothing."""
    proxy_reason: str = ""
    received: int = 0
    """Bytes of the body."""
    expected: int | None = None
    """Those that the header promised."""
    wants_certificate: bool = False
    """Whether the server asked for a certificate of ours, and got none."""
    instead_of_tls: bytes | None = None
    """The first bytes of what came where TLS should, and is none."""
    refused_http2: bool = False
    """Whether the server did not agree on HTTP/2 in the handshake, where nothing else will do."""
    said: bytes | None = None
    """The last line of a mail server."""
    doing: str = ""
    """What was done, where the phase does not say it all."""


def judge(failure: Failure) -> tuple[Outcome, str]:
    """Give the outcome, and one line for people."""
    doing = failure.doing or DOING[failure.phase]
    if failure.proxy is not None and failure.proxy_status and not 200 <= failure.proxy_status <= 299:
        refused = f"{failure.proxy_status} {failure.proxy_reason}".rstrip()
        text = f"connecting: the proxy {failure.proxy} refused to connect to {failure.host}: {refused}"
        return Outcome.CONNECT_ERROR, text
    if (own := _own_fault(failure)) is not None:
        return Outcome.AGENT_ERROR, f"{doing}: {own}"
    if failure.proxy is not None:
        return Outcome.CONNECT_ERROR, f"the proxy {failure.proxy}: {doing}: {_reason(failure)}"
    return _outcome(failure), f"{doing}: {_reason(failure)}"


def has_way(family: socket.AddressFamily, address: str) -> bool:
    """Ask the kernel for a way to an address; a datagram socket that is connected sends nothing."""
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asked:
            asked.connect((address, 9))
    except OSError:
        return False
    return True


def _own_fault(failure: Failure) -> str | None:
    if failure.code in _OWN and (failure.code, failure.text) != (_BAD_ARGUMENT, _BAD_HEADER):
        return failure.text or f"libcurl's error {failure.code}"
    if failure.code != _COULD_NOT_CONNECT or failure.phase != "connect":
        return None
    return _fault_of_connect(failure)


def _fault_of_connect(failure: Failure) -> str | None:
    if failure.errno == 0:
        return _no_socket()
    if failure.is_led and failure.errno in _OF_THE_ADDRESS:
        return None
    if failure.errno in OWN_FAULTS:
        return os.strerror(failure.errno)
    if failure.errno in _PERHAPS_OWN and not any(has_way(*address) for address in failure.addresses):
        return os.strerror(failure.errno)
    return None


def _no_socket() -> str | None:
    """Say why no socket can be had: libcurl keeps no errno of that."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def _outcome(failure: Failure) -> Outcome:
    of_tls = failure.code in _VERIFICATION or failure.refused_http2
    if of_tls or _tls_reason(failure) is not None or _wants_certificate(failure):
        return Outcome.TLS_ERROR
    if failure.code == _NO_STARTTLS or _came_before_tls(failure):
        return Outcome.TLS_ERROR
    if _refused_us(failure):
        return Outcome.BODY_MISMATCH
    return BY_PHASE[failure.phase]


def _wants_certificate(failure: Failure) -> bool:
    return failure.wants_certificate and failure.phase == "first_byte" and failure.code in (_SEND, _RECEIVE, 52)


def _tls_reason(failure: Failure) -> str | None:
    """Give what TLS itself says; that the connection ended is no more than that."""
    if failure.code not in (_CONNECT_FAILED_TLS, _SEND, _RECEIVE):
        return None
    match = _TLS_ERROR.search(failure.text)
    return match[2].strip().lower() if match and match[1] != _TLS_EOF else None


def _reason(failure: Failure) -> str:
    if failure.code in _VERIFICATION:
        return f"certificate refused: {_refusal(failure)}"
    before = _of_tls(failure) or _of_mail(failure) or _of_framing(failure)
    return before or _of_connection(failure) or _of_http(failure)


def _of_tls(failure: Failure) -> str | None:
    if failure.instead_of_tls is not None:
        first = failure.instead_of_tls
        looks = "it looks like HTTP" if first.startswith(b"HTTP") else f"it begins with {_shown(first)}"
        return f"what answers speaks no TLS ({looks})"
    if (reason := _tls_reason(failure)) is not None:
        return reason
    if failure.refused_http2:
        return "the server did not agree on HTTP/2 in the TLS handshake (ALPN h2)"
    if _wants_certificate(failure):
        return "the server asked for our certificate, and closed the connection without one"
    return None


def _came_before_tls(failure: Failure) -> bool:
    """Tell whether a mail server's go-ahead to TLS had more behind it, which anybody may have put there."""
    return failure.code == _BROKE_THE_RULES and failure.said is not None and not failure.text


def _refused_us(failure: Failure) -> bool:
    """Tell whether a mail server spoke, and wants nothing of us: its greeting says so, or its answer to our EHLO."""
    return failure.said is not None and failure.code in (_BROKE_THE_RULES, _DENIED) and failure.text != _NUL


def _of_mail(failure: Failure) -> str | None:
    if failure.code == _BROKE_THE_RULES and failure.text == _NUL:
        return "what the server says has a NUL in it"
    if failure.said is None:
        return None
    if failure.code == _NO_STARTTLS:
        refused = "denied" in failure.text
        return f"the server refused STARTTLS: {_shown(failure.said)}" if refused else "the server offers no STARTTLS"
    if _came_before_tls(failure):
        return CAME_BEFORE_TLS
    if _refused_us(failure):
        return f"the server refused us: {_shown(failure.said)}"
    return None


def _shown(said: bytes) -> str:
    return repr(said[:SHOWN].decode(errors="replace").rstrip("\r\n"))


def _of_framing(failure: Failure) -> str | None:
    """Say what is wrong with what came, where libcurl's code is that of a connection that broke."""
    if failure.code != _RECEIVE:
        return None
    if failure.text.startswith(_OF_WEBSOCKET):
        return f"the server broke the rules of WebSocket: {failure.text.removeprefix(_OF_WEBSOCKET)}"
    if _OF_CHUNKS.search(failure.text) is not None:
        return f"the body comes in broken chunks: {failure.text}"
    return None


def _of_connection(failure: Failure) -> str | None:
    if failure.code == _NOTHING_CAME or (failure.proxy and "Proxy CONNECT aborted" in failure.text):
        return "the server closed the connection without an answer"
    if failure.code == _COULD_NOT_CONNECT and failure.errno:
        return os.strerror(failure.errno)
    if "while we expected SETTINGS frame" in failure.text:
        return "what answers speaks no HTTP/2"
    if failure.code in (_CONNECT_FAILED_TLS, _SEND, _RECEIVE) or failure.text.startswith("Send failure"):
        reset = f" ({os.strerror(errno.ECONNRESET)})" if "reset" in failure.text.lower() else ""
        return f"the server closed the connection{reset}"
    return None


def _of_http(failure: Failure) -> str:
    if failure.code == _ENDED_EARLY and failure.expected is not None:
        return f"the body ended after {failure.received} of {failure.expected} bytes"
    text = None if failure.code == _ABORTED else _TEXTS.get(failure.code)
    return ": ".join(filter(None, (text, failure.text))) or f"libcurl's error {failure.code}"


def _refusal(failure: Failure) -> str:
    text = _REFUSED.sub("", failure.text)
    if "no alternative certificate subject name" in text or "does not match target" in text:
        return f"Hostname mismatch, certificate is not valid for '{failure.host}'."
    return text

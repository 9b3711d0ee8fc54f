"""Kinds of probe: what the scheme of a target's URL says, and which of a target's keys belong to it.

How each is made stands in webmon/check/flow.py (HTTP) and webmon/check/kinds (the others).
"""

from typing import Final, NamedTuple


class Kind(NamedTuple):
    """What is known of a kind before anything is asked."""

    form: str
    """How its URLs are written: what a message says would be right."""
    keys: frozenset[str]
    """What a target of it may say beside what every target may; keys of `expect` stand as `expect.KEY`."""
    port: int | None = None
    """Where the URL names none; None: it must."""
    has_path: bool = False
    """Whether something may stand behind host and port."""


EVERY_KIND: Final = frozenset(
    {"name", "url", "interval", "timeout", "labels", "expect", "expect.max_response_time", "alarm", "depends_on"}
)
"""Keys that any target may have."""
_NETWORK: Final = frozenset({"ip_version"})
_TLS: Final = frozenset({"tls", "expect.certificate_days"})
_STREAM: Final = _NETWORK | {"dialogue"}
_ANSWER: Final = frozenset({"expect.body", "expect.body_not"})
_HTTP: Final = (
    _NETWORK
    | _TLS
    | _ANSWER
    | {"method", "headers", "body", "auth", "proxy", "connection", "http_version", "follow_redirects", "max_redirects"}
    | {"allow_private", "body_limit", "expect.status", "expect.headers", "expect.headers_not", "expect.json"}
)
_SOCKET: Final = _STREAM | {"headers", "auth"}

KINDS: Final = {
    "http": Kind("http://HOST/...", _HTTP, 80, has_path=True),
    "https": Kind("https://HOST/...", _HTTP, 443, has_path=True),
    "tcp": Kind("tcp://HOST:PORT", _STREAM | _TLS),
    "tls": Kind("tls://HOST:PORT", _STREAM | _TLS),
    "smtp": Kind("smtp://HOST", _NETWORK | _TLS, 25),
    "imap": Kind("imap://HOST", _NETWORK | _TLS, 143),
    "pop3": Kind("pop3://HOST", _NETWORK | _TLS, 110),
    "ws": Kind("ws://HOST/...", _SOCKET, 80, has_path=True),
    "wss": Kind("wss://HOST/...", _SOCKET | _TLS, 443, has_path=True),
    "dns": Kind("dns://RESOLVER/NAME?type=A", _NETWORK | _ANSWER | {"expect.rcode"}, 53, has_path=True),
    "icmp": Kind("icmp://HOST", _NETWORK, 0),
    "grpc": Kind("grpc://HOST:PORT/SERVICE", _NETWORK, has_path=True),
    "grpcs": Kind("grpcs://HOST/SERVICE", _NETWORK | _TLS, 443, has_path=True),
    "command": Kind("command:NAME", _ANSWER, 0),
}
HTTP: Final = frozenset({"http", "https"})
MAIL: Final = frozenset({"smtp", "imap", "pop3"})
WEBSOCKET: Final = frozenset({"ws", "wss"})
TLS_KINDS: Final = frozenset({"https", "tls", "smtp", "imap", "pop3", "wss", "grpcs"})
"""Those whose connection is TLS from the begin, or becomes it."""


def kind_of(url: str) -> str:
    """Give the kind that a URL's scheme says, whatever else is wrong with it."""
    return url.partition(":")[0].lower()

"""Target: what is checked, how it is asked, and what it must be like."""

import base64
import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from webmon import __version__
from webmon.check import question, secrets
from webmon.check import url as urls
from webmon.check.pattern import Pattern
from webmon.check.result import URL_LIMIT
from webmon.check.verdict import Expectations

DEFAULT_INTERVAL: Final = 60.0
DEFAULT_TIMEOUT: Final = 15.0
"""Seconds; a target with a shorter interval gets that instead."""
BODY_LIMIT: Final = 1 << 20
"""Bytes of a body that are read and searched, after decompression."""
MAX_REDIRECTS: Final = 20
"""As browsers have it (https://fetch.spec.whatwg.org/#http-redirect-fetch, step 7)."""

IpVersion = Literal["any", 4, 6]
TlsVersion = Literal["1.2", "1.3"]
ConnectionUse = Literal["fresh", "reused"]
HttpVersion = Literal["auto", "1.1", "2", "3"]

_HEADERS: Final = {
    "User-Agent": f"webmon/{__version__}",
    "Accept": "*/*",
    "Accept-Encoding": "gzip, deflate",
}
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t -~\x80-\xff]*")
"""What a header may be named, and what may stand in it (RFC 9110, 5)."""
_LETS_IN: Final = re.compile(r"^(proxy-)?authorization$|^cookie$|token|secret|password|api-?key", re.IGNORECASE)
"""Names of headers whose values are as good as secrets."""
_SCHEMES: Final = frozenset({"digest", "bearer", "negotiate"})
"""Words of such a value that are none (https://www.iana.org/assignments/http-authschemes)."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How a target's certificate is judged, and what we show of ourselves."""

    verify: bool = True
    ca: Path | None = None
    """A PEM file trusted for this target beside the rest."""
    certificate: Path | None = None
    """Our PEM certificate, for a target that asks for one."""
    key: Path | None = None
    """Its PEM key; None where it stands in the certificate's file."""
    minimum: TlsVersion = "1.2"


@dataclass(frozen=True, slots=True)
class Proxy:
    """What stands between us and a target."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)
    """The value of the header that lets us through."""

    def __str__(self) -> str:
        """Write it for people."""
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a dialogue: exactly one of these."""

    expect: Pattern | None = None
    """What must come before the dialogue goes on; it is searched in what came since the step before."""
    send: bytes | None = field(default=None, repr=False)
    starttls: bool = False
    """From here on it is TLS."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is checked, and what it must be like; two are equal when a check of either is the same."""

    name: str
    """Stable: the key of its results, and part of its place in the schedule."""
    url: str
    interval: float
    """Seconds from slot to slot."""
    timeout: float
    """Seconds that a whole check may take; at most the interval."""
    labels: Mapping[str, str] = field(default_factory=dict)
    expect: Expectations = field(default_factory=Expectations)
    tls: Tls = Tls()
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers in place of, and beside, those that every check sends."""
    body: bytes | None = field(default=None, repr=False)
    ip_version: IpVersion = "any"
    proxy: Proxy | None = None
    connection: ConnectionUse = "fresh"
    """Whether each check connects anew, or may go on with the connection of the check before."""
    http_version: HttpVersion = "auto"
    """`auto`: as the server and we agree on in the TLS handshake, 2 or 1.1; `3`: by QUIC, else as `auto`."""
    max_redirects: int | None = MAX_REDIRECTS
    """More than so many are a failure; None: no redirect is followed, the first response is the one to judge."""
    allow_private: bool = False
    """Whether a redirect from a public address may lead to a private one."""
    body_limit: int = BODY_LIMIT
    """Bytes of the body that are read, after decompression."""
    dialogue: tuple[Step, ...] = ()
    """What is said on the connection of a stream or a WebSocket."""
    command: tuple[str, ...] = field(default=(), repr=False)
    """What a command runs: its program's absolute path, and arguments (webmon/targets/commands.py)."""
    secrets: tuple[str, ...] = field(default=(), repr=False, compare=False)
    """Texts in headers and body that nobody may read in a message."""
    asked: urls.Url = field(init=False, repr=False, compare=False)
    """The URL, read once."""

    @property
    def kind(self) -> str:
        """The kind of probe: the scheme of the URL."""
        return self.asked.scheme

    def __post_init__(self) -> None:
        """Read the URL.

        Raises:
            ValueError: the URL cannot be checked, or a header cannot be sent; says what would be right.
        """
        if len(self.url) > URL_LIMIT:
            raise ValueError(f"has {len(self.url)} characters; right would be {URL_LIMIT} at most")
        object.__setattr__(self, "asked", urls.parse(self.url))
        if self.kind == "dns":
            question.read(self.asked.target)
        if "${" in self.url:
            raise ValueError("names a secret, and a URL is stored with every result; right would be a header or `auth`")
        if not all(_TOKEN.fullmatch(name) and _VALUE.fullmatch(value) for name, value in self.headers.items()):
            raise ValueError("a header of it cannot be sent")  # its text may hold a secret

    def sent_headers(self) -> dict[str, str]:
        """Give the headers of its request, in place of and beside those that every check sends."""
        usual = {**_HEADERS, "Connection": "keep-alive" if self.connection == "reused" else "close"}
        if not self.headers:
            return usual
        given = {name.lower() for name in self.headers}
        return {name: value for name, value in usual.items() if name.lower() not in given} | dict(self.headers)

    def without_secrets(self, text: str) -> str:
        """Take the target's secrets out of a text that a server may have had a say in."""
        hidden = (*self.secrets, *_credentials(self.headers))
        return secrets.without(text, hidden) if hidden else text

    def holds_secret(self, text: str) -> bool:
        """Tell whether a header or a body carries one of the target's secrets."""
        return any(secret in text for secret in self.secrets)


def _credentials(headers: Mapping[str, str]) -> Iterator[str]:
    """Give what in headers lets us in, however it came there: it need not have been named a secret."""
    for name, value in headers.items():
        if _LETS_IN.search(name):
            words = [word.strip() for word in re.split(r"[ ;,]|(?<![A-Za-z0-9+/])=|=(?=[^=])", value)]
            yield from (word for word in words if len(word) >= secrets.LEAST and word.lower() not in _SCHEMES)
            yield from _of_basic(value)


def _of_basic(value: str) -> Iterator[str]:
    """Give the password in a value of RFC 7617."""
    scheme, _, token = value.partition(" ")
    if scheme.lower() == "basic":
        with contextlib.suppress(ValueError):
            password = base64.b64decode(token).decode().partition(":")[2]
            if len(password) >= secrets.LEAST:
                yield password


def without_password(text: str) -> str:
    """Take user and password out of the URLs in a text; in one that is quoted a blank may be in them, by mistake."""
    quoted = re.sub(r"""'[^']*'|"[^"]*\"""", _without_user, text)
    return re.sub(r"\S+", _without_user, quoted)


def _without_user(found: re.Match[str]) -> str:
    begin, _, rest = found[0].partition("://")
    _, at, end = rest.rpartition("@")
    return f"{begin}://...@{end}" if at else found[0]

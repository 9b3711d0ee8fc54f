"""A request to a receiver, on libcurl: one deadline over name, connection, TLS and answer; no redirect is followed."""

import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import pycurl

from webmon import __version__
from webmon.alarm.senders.answer import DEADLINE, Answer, again, failed, line, taken
from webmon.check import secrets
from webmon.check.target import Tls
from webmon.check.trust import Trusts
from webmon.render import printable

_BODY: Final = 4096
"""Bytes of an answer that are read: its first line is told."""
_HEADERS: Final = 65_536
"""Bytes of its headers."""
_LATER: Final = (408, 429)
"""Of 4xx those that may be taken later (RFC 9110, 15.5.9; RFC 6585, 4)."""
_TOKEN: Final = 8
"""Characters of a part of a URL that may be a secret."""
_LONGEST: Final = 86_400.0
"""Seconds that a receiver may ask to be left alone."""


class Poster:
    """Posts to one URL, on a connection that is kept."""

    def __init__(
        self, url: str, authority: Path | None = None, *, hidden: tuple[str, ...] = (), deadline: float = DEADLINE
    ) -> None:
        """Take where it goes.

        Args:
            url: http or https.
            authority: a PEM file trusted beside the system's store.
            hidden: texts beside the URL that no answer may tell.
            deadline: seconds for all of one post.

        Raises:
            OSError: the authority's file cannot be used.
        """
        self._url = url
        self._deadline = deadline
        self._trusts = Trusts((authority,) if authority else ())
        self._bundle = self._trusts.of(Tls()).bundle
        self._curl = pycurl.Curl()
        self._hidden = (*hidden, *words_of(url))
        self.host = urlsplit(url).hostname or ""
        """What may be told of the URL."""

    def post(self, body: bytes, headers: Mapping[str, str], *, seconds: float | None = None) -> Answer:
        """Post once, in so many seconds at most; never raises for what a receiver or the network does."""
        return self._ask(body, headers, seconds)

    def get(self) -> Answer:
        """Call the URL once, with nothing to say; never raises for what a receiver or the network does."""
        return self._ask(None, {})

    def _ask(self, body: bytes | None, headers: Mapping[str, str], seconds: float | None = None) -> Answer:
        received = _Received()
        self._prepare(body, headers, received)
        self._curl.setopt(pycurl.TIMEOUT_MS, max(1, round((self._deadline if seconds is None else seconds) * 1000)))
        try:
            self._curl.perform()
        except pycurl.error as error:
            # What a receiver said stands, whatever became of the rest of its answer.
            if not received.status_is_whole:
                return again(self._told(str(error.args[1]) or "no answer"))
        return self._judged(received)

    def close(self) -> None:
        """Close the connection."""
        self._curl.close()
        self._trusts.close()

    def _prepare(self, body: bytes | None, headers: Mapping[str, str], received: "_Received") -> None:
        option = self._curl.setopt
        self._curl.reset()
        option(pycurl.URL, self._url)
        option(pycurl.NOSIGNAL, 1)
        option(pycurl.FOLLOWLOCATION, 0)
        option(pycurl.CAINFO, self._bundle)
        given = {"User-Agent": f"webmon/{__version__}", **headers}
        if body is not None:
            option(pycurl.POST, 1)
            option(pycurl.POSTFIELDS, body)
            given = {"Content-Type": "application/json", "Expect": "", **given}
        # Nothing behind a name takes a header away: a body is sent at once, without asking first.
        lines = [f"{name}: {printable(value)}" if value else f"{name}:" for name, value in given.items()]
        option(pycurl.HTTPHEADER, lines)
        option(pycurl.HEADERFUNCTION, received.header)
        option(pycurl.WRITEFUNCTION, received.body)

    def _judged(self, received: "_Received") -> Answer:
        status = received.status
        said = self._told(f"{status} {received.reason}: {received.text}".rstrip(": "))
        if 200 <= status < 300:
            return taken(said)
        if status >= 500 or status in _LATER:
            return again(said, received.retry_after())
        if 300 <= status < 400:
            return failed(f"{said}; it sends us elsewhere, and no redirect is followed")
        return failed(said)

    def _told(self, text: str) -> str:
        return secrets.without(line(text), self._hidden)


class _Received:
    """What came of an answer."""

    def __init__(self) -> None:
        self.status = 0
        self.reason = ""
        self.status_is_whole = False
        """Whether all of its headers came."""
        self._fields: dict[str, str] = {}
        self._header_bytes = 0
        self._body = b""

    def header(self, data: bytes) -> int | None:
        self._header_bytes += len(data)
        if self._header_bytes > _HEADERS:
            return -1
        text = data.decode("latin-1").strip()
        if text.startswith("HTTP/"):  # of a proxy, or 100 Continue, before it
            _, _, rest = text.partition(" ")
            code, _, self.reason = rest.partition(" ")
            self.status = int(code) if code.isascii() and code.isdecimal() else 0
            self._fields = {}
            self.status_is_whole = False
        elif not text:
            self.status_is_whole = self.status >= 200
        else:
            name, _, value = text.partition(":")
            self._fields[name.strip().lower()] = value.strip()
        return None

    def body(self, data: bytes) -> int | None:
        self._body += data[: _BODY - len(self._body)]
        return None if len(self._body) < _BODY else -1

    @property
    def text(self) -> str:
        return self._body.decode(errors="replace").strip().partition("\n")[0]

    def retry_after(self) -> float | None:
        """Read Retry-After (RFC 9110, 10.2.3): seconds, or a date."""
        value = self._fields.get("retry-after", "")
        if value.isascii() and value.isdecimal():
            return min(float(value[:10]), _LONGEST)
        try:
            moment = parsedate_to_datetime(value)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = (moment - datetime.fromtimestamp(time.time(), UTC)).total_seconds()
        except (ValueError, OverflowError):  # of a year, an hour or a zone with too many digits
            return None
        return min(max(0.0, seconds), _LONGEST)


def words_of(url: str, *, host_too: bool = False) -> tuple[str, ...]:
    """Give what may let in whoever knows it: a URL, and its password and long words, as it has them and as they are."""
    before, rest = re.match(r"([^/?#]*)(.*)", url.partition("://")[2], re.DOTALL).groups()  # type: ignore[union-attr]
    user, _, host = before.rpartition("@")
    name, _, password = user.partition(":")
    values = (value for _, value in parse_qsl(rest.partition("#")[0].partition("?")[2]))
    words = [name, *(host.split(":") if host_too else ()), *re.split(r"[/?#&;=]", rest), *values]
    found = [url, password, *(word for word in words if len(word) >= _TOKEN)]
    return tuple(dict.fromkeys(form for word in found for form in (word, unquote_plus(word)) if form))

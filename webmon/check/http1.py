"""HTTP/1.1 as bytes: a request written, a response read, both within bounds (RFC 9112).

http.client and urllib3 read for every purpose, and cost a check more than half the CPU of its TLS handshake. What a
check needs is one response from a server that may be hostile.
"""

import itertools
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import requests

HEAD_LIMIT: Final = 256 << 10
"""Bytes of status line and headers, and of the interim responses before them, together."""
_LINE_LIMIT: Final = 4 << 10
"""Bytes of the line before a chunk."""
_PIECE: Final = 64 << 10
"""Bytes of a body that are unpacked at once."""
_MOST_CODINGS: Final = 5
_SHOWN: Final = 1000
"""Bytes in a message: more than it may have, so that it is cut in one place, where secrets are looked for."""
_SWITCHING: Final = 101


class HttpError(Exception):
    """What came is not a whole response of HTTP/1; the text says what it is instead."""


class NoAnswerError(HttpError):
    """The server closed the connection before the first byte of an answer."""

    def __init__(self) -> None:
        """Take nothing: there is nothing to tell."""
        super().__init__("the server closed the connection without an answer")


class Head(NamedTuple):
    """Status line and headers."""

    version: str
    """`1.1` or another 1.x."""
    status: int
    """From 100 to 999."""
    reason: str
    fields: tuple[tuple[str, str], ...]
    """Names and values in their order, as Latin-1."""

    def values(self, name: str) -> list[str]:
        """Give the values of the headers of a name, which is given in lower case."""
        return [value for key, value in self.fields if key.lower() == name]

    def words(self, name: str) -> list[str]:
        """Give the parts between commas of all headers of a name, in lower case."""
        return [word.strip().lower() for value in self.values(name) for word in value.split(",")]


def request_bytes(
    request: requests.PreparedRequest, *, absolute: bool = False, proxy_authorization: str | None = None
) -> bytes:
    """Write a request.

    Args:
        request: what requests prepared; its body is bytes or None.
        absolute: name the whole URL in the request line, as a proxy wants it.
        proxy_authorization: what a proxy gets beside it.
    """
    parts = urlsplit(str(request.url))
    own_port = {"http": 80, "https": 443}[parts.scheme]
    host = authority(parts.hostname, None if parts.port == own_port else parts.port)
    asked = f"{parts.scheme}://{host}{request.path_url}" if absolute else request.path_url
    lines = [f"{request.method} {asked} HTTP/1.1"]
    if "Host" not in request.headers:
        lines.append(f"Host: {host}")
    if proxy_authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy_authorization}")
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    body = request.body or b""
    assert isinstance(body, bytes)
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def connect_bytes(where: str, proxy_authorization: str | None) -> bytes:
    """Write the request that has a proxy connect to host:port (RFC 9110, 9.3.6)."""
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if proxy_authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy_authorization}")
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def authority(host: str | None, port: int | None) -> str:
    """Write host and port as a URL has them."""
    name = f"[{host}]" if host and ":" in host else host or ""
    return name if port is None else f"{name}:{port}"


class Reader:
    """Reads one response from what a connection receives."""

    def __init__(
        self, receive: Callable[[], bytes], method: str, keep_time: Callable[[], object] = lambda: None
    ) -> None:
        """Take what the response comes from.

        Args:
            receive: gives the next bytes, none at the end of the connection.
            method: what was asked with.
            keep_time: raises when the time is over; it is called while a body is unpacked, which may take long.
        """
        self.is_whole = False
        """Whether the response was read to its end, and nothing came after it."""
        self._head_left = HEAD_LIMIT
        self._receive = receive
        self._method = method
        self._keep_time = keep_time
        self._buffer = b""
        self._at = 0

    def head(self) -> Head:
        """Read status line and headers; interim responses are passed over.

        Raises:
            HttpError: the bytes are not those of HTTP/1, are too many, or end too early.
        """
        while True:
            version, status, reason = _status(self._head_line())
            head = Head(version, status, reason, self._fields())
            if status >= 200 or status == _SWITCHING:
                if self._is_empty(head):
                    self._ended()
                return head

    def body(self, head: Head) -> Iterator[bytes]:
        """Read the body, unpacked, in pieces of at most 64 KB or what a connection gives at once.

        Raises:
            HttpError: it ends too early, or is not what the headers say.
        """
        pieces = self._framed(head)
        codings = [word for word in head.words("content-encoding") if word not in ("", "identity")]
        if len(codings) > _MOST_CODINGS:
            raise HttpError(f"the body is packed {len(codings)} times")
        for coding in reversed(codings):
            if coding in ("gzip", "x-gzip"):
                pieces = self._unpacked(pieces, zlib.MAX_WBITS | 16)
            elif coding == "deflate":
                pieces = self._deflated(pieces)
        return pieces

    def _framed(self, head: Head) -> Iterator[bytes]:
        """Read the body as the headers bound it (RFC 9112, 6.3)."""
        if self._is_empty(head):
            return iter(())
        if "chunked" in head.words("transfer-encoding"):
            return self._chunked()
        lengths = _lengths(head)
        if len(lengths) > 1:
            raise HttpError("Content-Length says " + " and ".join(sorted(lengths)))
        return self._of_length(int(lengths.pop())) if lengths else self._until_close()

    def _is_empty(self, head: Head) -> bool:
        if self._method == "HEAD" or head.status in (_SWITCHING, 204, 304):
            return True
        return _lengths(head) == {"0"} and "chunked" not in head.words("transfer-encoding")

    def _of_length(self, length: int) -> Iterator[bytes]:
        left = length
        while left:
            piece = self._some(left)
            if not piece:
                raise HttpError(f"the body ended after {length - left} of {length} bytes")
            left -= len(piece)
            yield piece
        self._ended()

    def _chunked(self) -> Iterator[bytes]:
        while True:
            line = self._line(_LINE_LIMIT, "a chunk's size")
            size = line.partition(b";")[0].strip()
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,16}", size):
                raise HttpError(f"a chunk's size is {size[:_SHOWN]!r}")
            left = int(size, 16)
            if left == 0:
                break
            while left:
                piece = self._some(left)
                if not piece:
                    raise HttpError("the body ended in the middle of a chunk")
                left -= len(piece)
                yield piece
            if self._line(_LINE_LIMIT, "the line after a chunk"):
                raise HttpError("a chunk is longer than its size")
        while self._head_line("the trailers"):
            pass
        self._ended()

    def _until_close(self) -> Iterator[bytes]:
        while piece := self._some(_PIECE):
            yield piece

    def _ended(self) -> None:
        self.is_whole = self._at == len(self._buffer)

    def _fields(self) -> tuple[tuple[str, str], ...]:
        fields: list[tuple[str, str]] = []
        while line := self._head_line():
            text = line.decode("latin-1")
            name, colon, value = text.partition(":")
            if text[0] in " \t" and fields:  # a line that goes on (RFC 9112, 5.2)
                fields[-1] = fields[-1][0], f"{fields[-1][1]} {text.strip()}"
            elif colon:  # what is no header, browsers pass over, too
                fields.append((name.strip(), value.strip()))
        return tuple(fields)

    def _head_line(self, what: str = "the header") -> bytes:
        line = self._line(self._head_left, what)
        self._head_left -= len(line) + 2
        return line

    def _line(self, limit: int, what: str) -> bytes:
        """Read a line, and give it without its end."""
        start = self._at
        while (end := self._buffer.find(b"\n", start)) < 0:
            start = len(self._buffer)
            if start - self._at > limit:
                raise HttpError(f"too long: {what}")
            if not (more := self._receive()):
                raise HttpError(f"the connection ended in {what}") if self._buffer else NoAnswerError
            start, self._buffer, self._at = start - self._at, self._buffer[self._at :] + more, 0
        if end - self._at > limit:
            raise HttpError(f"too long: {what}")
        line, self._at = self._buffer[self._at : end], end + 1
        return line.removesuffix(b"\r")

    def _some(self, most: int) -> bytes:
        """Give the next bytes of the body, none at the end of the connection."""
        if self._at == len(self._buffer):
            self._buffer, self._at = self._receive(), 0
        piece = self._buffer[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def _unpacked(self, pieces: Iterator[bytes], wbits: int) -> Iterator[bytes]:
        """Unpack gzip or deflate, of which several may follow one another; what comes after them is passed over."""
        unpacker, begun, whole = zlib.decompressobj(wbits), False, False
        for piece in pieces:
            packed, begun = piece, True
            while True:
                self._keep_time()
                try:
                    plain = unpacker.decompress(packed, _PIECE)
                except zlib.error as error:
                    if whole:
                        return
                    raise HttpError(f"the body cannot be unpacked: {error}") from None
                if plain:
                    yield plain
                packed = unpacker.unconsumed_tail
                if unpacker.eof:
                    packed, unpacker, whole = unpacker.unused_data, zlib.decompressobj(wbits), True
                if not packed and len(plain) < _PIECE:
                    break
        if begun and not whole:
            raise HttpError("the body ended before all of it could be unpacked")

    def _deflated(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Unpack deflate: in zlib's wrapping, as RFC 9110 has it, or bare, as some servers do."""
        start = b""
        for piece in pieces:
            start += piece
            if len(start) >= 2:
                break
        wrapped = start[:1] and start[0] & 15 == zlib.DEFLATED and int.from_bytes(start[:2], "big") % 31 == 0
        yield from self._unpacked(itertools.chain([start], pieces), zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)


def _lengths(head: Head) -> set[str]:
    return {word for word in head.words("content-length") if re.fullmatch(r"[0-9]{1,18}", word)}


def _status(line: bytes) -> tuple[str, int, str]:
    match = re.fullmatch(rb"HTTP/(1\.[0-9])\s+([1-9][0-9][0-9])(?:\s+(.*))?", line, re.DOTALL)
    if match is None:
        raise HttpError(f"not HTTP/1: {line[:_SHOWN]!r}")
    return match[1].decode(), int(match[2]), (match[3] or b"").decode("latin-1")

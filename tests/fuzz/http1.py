"""Responses of HTTP/1 that are valid or nearly: status lines, headers, framing, packed bodies, redirects."""

import functools
import gzip
import random
import zlib
from collections.abc import Callable
from typing import Final

import zstandard

from tests.fuzz.script import RUBBISH, Script, in_pieces, mutated, weighted

WORDS: Final = (b"Welcome ", b"<p>", b"W\xe9lcome ", "Wëlcome ".encode(), b"\xff\xfe\0W", b'{"a": [1, 2]}', b"\0" * 40)
STATUS: Final = (
    b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content",
    b"HTTP/1.1 206 Partial", b"HTTP/1.1 304 Not Modified", b"HTTP/1.1 404 Not Found", b"HTTP/1.1 503 \xff\xfe",
    b"HTTP/1.1 999 Odd", b"HTTP/1.1 000 Nothing", b"HTTP/1.1 099 Less", b"HTTP/1.1 1000 More", b"HTTP/1.1 20 Two",
    b"HTTP/1.1 -200 OK", b"HTTP/1.1 200", b"HTTP/1.1  200  OK", b"HTTP/1.1\t200\tOK", b"HTTP/2 200 OK", b"HTTP/3 200",
    b"HTTP/9.9 200 OK", b"HTTP/ 200 OK", b"http/1.1 200 ok", b"ICY 200 OK", b"HTTP/1.1 200 " + b"O" * 70_000,
    b"HTTP/1.1 101 Switching Protocols", b"HTTP/1.1 407 Proxy", b"HTTP/1.1 401 Who", b"", b"\x1b[31mred", b"SSH-2.0-x",
)  # fmt: skip
HEADERS: Final = (
    b"Server: x", b"Content-Type: text/html; charset=utf-8", b"Content-Type: text/html; charset=utf-16",
    b"Content-Type: text/html; charset=\xff\0", b"Content-Type: ;;;=", b"Content-Type: text/html; charset=utf-7",
    b"Set-Cookie: a=b", b"Set-Cookie: a=b; Max-Age=-99999999999999999999; Domain=.localhost; Path=/",
    b"Set-Cookie: " + b"c" * 9000 + b"=1", b"Set-Cookie: ;;;===\x01", b"Content-Length: 5", b"Content-Length: -1",
    b"Content-Length: 99999999999999999999999", b"Content-Length: 1, 2", b"Content-Length: 0x10", b"Content-Length:",
    b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity",
    b"Transfer-Encoding: chunked, chunked", b"Transfer-Encoding: \xff", b"Connection: close", b"Connection: upgrade",
    b"Connection: keep-alive", b"Upgrade: h2c", b"Content-Encoding: br", b"Content-Encoding: ,,,", b": no name",
    b"no colon", b" folded first", b"X: 1\r\n folded", b"X: \0", b"\0: x", b"X-Long: " + b"x" * 100_000,
    b"Trailer: X", b"Strict-Transport-Security: max-age=99", b"Alt-Svc: h3=\":1\"; ma=99", b"Link: <" + b"/" * 500,
    b"WWW-Authenticate: Negotiate", b"WWW-Authenticate: Basic realm=\"\xff", b"Retry-After: 99999", b"Date: never",
    b"Content-Range: bytes 5-1/0", b"Refresh: 0; url=/", b"Location: /elsewhere",
)  # fmt: skip
CODINGS: Final[dict[bytes, Callable[[bytes], bytes]]] = {
    b"gzip": functools.partial(gzip.compress, compresslevel=1, mtime=0),
    b"deflate": zlib.compress,
    b"zstd": lambda plain: zstandard.ZstdCompressor(level=1).compress(plain),
    b"x-gzip": functools.partial(gzip.compress, compresslevel=1, mtime=0),
    b"identity": bytes,
    b"br": bytes,
}
SIZES: Final = (
    b"0",
    b"-1",
    b"",
    b"ffffffffffffffff",
    b"FFFFFFFFFFFFFFFFF",
    b"1g",
    b"0x5",
    b" 5",
    b"5 ",
    b"5;a=" + b"b" * 20_000,
)


@functools.cache
def bombs() -> tuple[tuple[bytes, bytes], ...]:
    """Give bodies that are much larger, or cost much more, than they look, each with its Content-Encoding."""
    zeros = bytes(24 << 20)
    return (
        (b"gzip", gzip.compress(zeros, 9, mtime=0)),
        (b"zstd", zstandard.ZstdCompressor().compress(zeros)),
        (b"gzip, gzip", gzip.compress(gzip.compress(zeros, 9, mtime=0), 9, mtime=0)),
        (b"gzip", gzip.compress(b"", mtime=0) * 1200),
    )


def response(dice: random.Random, here: str) -> Script:
    """Give what is answered to a request: of three one is valid, as far as anybody can tell.

    Args:
        dice: of this answer.
        here: a URL of the same server, for redirects.
    """
    wrong = dice.random() < 0.66
    head, body = _redirect(dice, here, wrong=wrong) if dice.random() < 0.2 else _page(dice, wrong=wrong)
    data = _interim(dice) + head + body
    if wrong and dice.random() < 0.5:
        # The head is short and has most of what can be wrong.
        cut = len(head) if dice.random() < 0.7 else len(data)
        data = mutated(dice, data[:cut]) + data[cut:]
    end = weighted(dice, stay=60, close=20, reset=8, half=6, hang=3)
    return Script(in_pieces(dice, data), end)


def _page(dice: random.Random, *, wrong: bool) -> tuple[bytes, bytes]:
    lines = [dice.choice(STATUS) if wrong and dice.random() < 0.4 else STATUS[0]]
    size = dice.choice((0, 1, 10, 100, 1000, 1000, 5000, 70_000, 300_000))
    body = b"".join(dice.choice(WORDS) for _ in range(min(size, 50))) * max(1, size // 400)
    if dice.random() < 0.03:
        words, body = dice.choice(bombs())
        lines.append(b"Content-Encoding: " + words)
    elif dice.random() < 0.4:
        names = dice.choices(list(CODINGS), k=dice.choice((1, 1, 1, 2, 6 if wrong else 2)))
        for name in names:
            body = CODINGS[name](body)
        lines.append(b"Content-Encoding: " + b", ".join(names))
        if wrong and dice.random() < 0.5:
            body = mutated(dice, body)
    if wrong:
        lines += dice.choices(HEADERS, k=dice.choice((0, 1, 2, 5)))
        if dice.random() < 0.02:
            lines += [b"X-%d: y" % number for number in range(6000)]
    match dice.randrange(3):
        case 0:
            length = len(body) + (dice.choice((0, 0, -1, 1, 1000)) if wrong else 0)
            lines.append(b"Content-Length: %d" % length)
        case 1:
            lines.append(b"Transfer-Encoding: chunked")
            body = _chunked(dice, body, wrong=wrong)
        case _:
            lines.append(b"Connection: close")
    ending = dice.choice((b"\r\n", b"\n", b"\r")) if wrong and dice.random() < 0.1 else b"\r\n"
    return ending.join(lines) + ending * 2, body


def _chunked(dice: random.Random, body: bytes, *, wrong: bool) -> bytes:
    made = []
    step = max(1, len(body) // dice.choice((1, 2, 7, 50)))
    for at in range(0, len(body), step):
        part = body[at : at + step]
        size, after = b"%x" % len(part), b"\r\n"
        if wrong and dice.random() < 0.05:
            size = dice.choice(SIZES)
        if wrong and dice.random() < 0.05:
            after = dice.choice((b"", b"\n", b"XX", *RUBBISH))
        made.append(size + b"\r\n" + part + after)
    last = b"0\r\n"
    if dice.random() < 0.2:
        last += dice.choice((b"X: 1\r\n", b"Content-Length: 9\r\n", b"no colon\r\n", b"X: " + b"y" * 300_000 + b"\r\n"))
    return b"".join(made) + last + (dice.choice((b"", b"\r", b"x\r\n")) if wrong and dice.random() < 0.2 else b"\r\n")


def _redirect(dice: random.Random, here: str, *, wrong: bool) -> tuple[bytes, bytes]:
    place = here.encode() + b"%d" % dice.randrange(100)
    if wrong:
        place = dice.choice(
            (
                place, b"", b"/", b"//", b"?", b"#", b"http://", b"http://[", b"http://[::1%25x]/", b"//\xff/", b"\0",
                b"ftp://x/", b"javascript:alert(1)", b"http://a:b@" + place[7:], b"/\xff\xfe", b"http://999.1.1.1/",
                b"http://localhost:0/", b"http://localhost:99999/", "http://☃.localhost:1/".encode(), b"/%zz/../../..",
                b"http:///x", b"https:/", b"http://localhost:1/", b"\t" + place, place + b" ", b"http://127.1:1/",
                b"a" * 70_000, mutated(dice, place),
            )
        )  # fmt: skip
    line = b"HTTP/1.1 %d Found" % dice.choice((301, 302, 303, 307, 308))
    lines = [line, b"Location: " + place]
    if wrong and dice.random() < 0.1:
        lines.append(b"Location: /other")
    body = b"moved" * dice.choice((0, 1, 50, 30_000))
    return b"\r\n".join([*lines, b"Content-Length: %d" % len(body)]) + b"\r\n\r\n", body


def _interim(dice: random.Random) -> bytes:
    if dice.random() < 0.94:
        return b""
    line = dice.choice((b"100 Continue", b"103 Early Hints\r\nLink: </a>", b"102 Wait", b"199 Odd", b"100"))
    return (b"HTTP/1.1 " + line + b"\r\n\r\n") * dice.choice((1, 1, 2, 100, 10_000))

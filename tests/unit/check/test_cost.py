"""What a site may cost: no answer, however it is made, takes the thread of all checks for long."""

import contextlib
import gzip
import threading
import time
from collections.abc import Iterator
from typing import Any, Final

import pycurl
import pytest
import zstandard

from tests.hostile import OK, Behaviour, HostileServer, answer, flood, hear
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe, utc_now
from webmon.check.resolver import resolve_here
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target
from webmon.check.transfer import MOST_COOKIES, Handle
from webmon.check.verdict import Expectations

MOST_SECS: Final = 0.3
"""Of the loop's thread, that one check may take."""
DEADLINE: Final = 2.0
EMPTY: Final = gzip.compress(b"", mtime=0)
HEADER: Final = EMPTY[:10]
STORED: Final = b"\0\0\0\xff\xff"
"""A block of deflate that holds nothing."""


@pytest.fixture(scope="module")
def probe() -> Iterator[Probe]:
    with contextlib.closing(Probe(agent="here", resolve=resolve_here)) as made:
        yield made


def _spent(probe: Probe) -> float:
    """Give the seconds that the loop's thread has worked."""
    told: list[float] = []
    done = threading.Event()

    def tell() -> None:
        told.append(time.thread_time())
        done.set()

    probe.loop.call(tell)
    done.wait()
    return told[0]


def cost(probe: Probe, behaviour: Behaviour, **more: Any) -> tuple[float, CheckResult]:
    settings: dict[str, Any] = {"name": "t", "interval": 60, "timeout": DEADLINE}
    with HostileServer(behaviour) as server:
        before = _spent(probe)
        result = probe.check(Target(url=server.url, **(settings | more)), utc_now())
        return _spent(probe) - before, result


def packed(coding: bytes, start: bytes, chunk: bytes) -> Behaviour:
    return flood(OK + b"Content-Encoding: " + coding + b"\r\n\r\n" + start, chunk)


def cookies_without_end(connection: Any) -> None:
    """Redirect to ever new pages, each with 260 cookies of its own."""
    request = hear(connection)
    number = int(request.split()[1].strip(b"/") or 0)
    cookies = b"".join(b"Set-Cookie: c%d-%d=%s; Path=/\r\n" % (number, each, b"x" * 900) for each in range(260))
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /%d\r\n%s\r\n" % (number + 1, cookies))


COSTLY: Final[dict[str, Behaviour]] = {
    "empty members of gzip": packed(b"gzip", b"", EMPTY * 3000),
    "empty blocks in one member": packed(b"gzip", HEADER, STORED * 10_000),
    "empty blocks of deflate": packed(b"deflate", b"\x78\x9c", STORED * 10_000),
    "empty frames of zstd": packed(b"zstd", b"", zstandard.compress(b"") * 5000),
    "what follows gzip": packed(b"gzip", gzip.compress(b"hi"), b"x" * 65536),
    "empty members in gzip": packed(b"gzip, gzip", gzip.compress(EMPTY * 500_000), b"x"),
    "empty blocks in gzip": packed(b"gzip, gzip", gzip.compress(HEADER + STORED * 3_000_000), b"x"),
    "gzip many times": packed(b", ".join([b"gzip"] * 50), EMPTY, b"x"),
    "a bomb in a bomb": packed(b"gzip, gzip", gzip.compress(gzip.compress(bytes(50 << 20))), b"x"),
    "one header four thousand times": answer(OK + b"a: b\r\n" * 4000 + b"Content-Length: 0\r\n\r\n"),
    "a header in 12,000 lines": answer(OK + b"a: b\r\n" + b" c\r\n" * 12_000 + b"Content-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize("name", COSTLY)
def test_a_site_costs_little_that_sends(probe: Probe, name: str) -> None:
    seconds, result = cost(probe, COSTLY[name])
    assert seconds < MOST_SECS, result.error


PIECES: Final = {
    "a meta element without end": (b"<meta ", b"a"),
    "a meta element of quotes": (b"<meta ", b"=\"'"),
    "a meta element of blanks": (b"<meta a", b" "),
    "comments without end": (b"<meta>", b"<!--"),
    "tags without end": (b"<meta>", b"<a b='"),
    "scripts without end": (b"<meta>", b"<script></script"),
    "meta elements": (b"", b"<meta charset=none>"),
    "blanks": (b"", b" "),
}


@pytest.mark.parametrize("name", PIECES)
def test_a_page_that_is_looked_through_for_its_charset_costs_little(probe: Probe, name: str) -> None:
    start, piece = PIECES[name]
    body = start + piece * (60_000 // len(piece)) + b"<meta charset>\xff"
    response = answer(OK + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    seconds, result = cost(probe, response, expect=Expectations(body=compile_pattern("none|meta")))
    assert (seconds < MOST_SECS, result.outcome) == (True, Outcome.UP)


def test_what_unpacks_to_nothing_ends_before_the_deadline_with_the_reason(probe: Probe) -> None:
    result = cost(probe, COSTLY["empty blocks in one member"])[1]
    assert result.error == "reading the response: the body unpacks to less than it is, by more than 256 KB"
    assert result.total_time < DEADLINE


def test_a_page_that_hardly_packs_is_read_to_its_end(probe: Probe) -> None:
    body = b"".join(gzip.compress(bytes([each])) for each in range(200))
    response = answer(OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    result = cost(probe, response)[1]
    assert (result.error, result.body_bytes) == (None, 200)


def test_cookies_of_fifty_redirects_cost_little(probe: Probe) -> None:
    seconds, result = cost(probe, cookies_without_end, max_redirects=50)
    assert seconds < MOST_SECS
    assert result.redirects > 0


def test_of_more_cookies_than_are_sent_the_newest_are_kept() -> None:
    handle = Handle()
    for number in range(400):
        handle.curl.setopt(pycurl.COOKIELIST, f"a.example\tFALSE\t/\tFALSE\t0\tc{number}\tx")
    handle.bound_cookies(())
    kept = [line.split("\t")[5] for line in handle.curl.getinfo(pycurl.INFO_COOKIELIST)]
    assert sorted(kept) == sorted(f"c{number}" for number in range(400 - MOST_COOKIES, 400))
    handle.close()

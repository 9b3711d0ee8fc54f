"""What every browser or curl shows is up: kinds of false alarms, most of them from public reports on monitors."""

import base64
import contextlib
import gzip
import socket
import ssl
import time
import unicodedata
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import trustme
import zstandard
from cryptography import x509

from tests.certificates import issue, pem, server_of
from tests.hostile import (
    AUTHORITY,
    OK,
    Behaviour,
    HostileServer,
    answer,
    by_path,
    hang,
    leave,
    moved,
    page,
    redirects,
    reset,
    server_context,
)
from tests.http2 import by_alpn, responding, with_headers
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe, utc_now
from webmon.check.resolver import Addresses, resolve_here
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target, Tls
from webmon.check.verdict import Expectations

zipped = partial(gzip.compress, mtime=0)
"""The same bytes in each process: they are in the names of tests."""

UP: Final = Outcome.UP


@pytest.fixture(scope="module")
def probe() -> Iterator[Probe]:
    with contextlib.closing(Probe(agent="here", resolve=_resolve)) as made:
        yield made


def _resolve(host: str, port: int, timeout: float) -> Addresses:
    """Give loopback for the names of these tests."""
    return resolve_here("127.0.0.1" if host.endswith(".example") else host, port, timeout)


def check(probe: Probe, url: str, **more: Any) -> CheckResult:
    settings: dict[str, Any] = {"name": "t", "url": url, "interval": 60, "timeout": 10}
    return probe.check(Target(**(settings | more)), utc_now())


def check_server(probe: Probe, behaviour: Behaviour, **more: Any) -> CheckResult:
    with HostileServer(behaviour) as server:
        return check(probe, server.url, **more)


FINE: Final = page(b"hi")
WELCOME: Final = OK + b"Content-Length: 7\r\nConnection: close\r\n\r\nWelcome"
NOT_FOUND: Final = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

# Packed bodies

DEFLATE: Final = b"Content-Encoding: deflate\r\n"


@pytest.mark.parametrize(
    ("method", "response"),
    [
        ("HEAD", OK + DEFLATE + b"Content-Length: 4000\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n" + DEFLATE + b"\r\n"),
        ("GET", OK + DEFLATE + b"Content-Length: 0\r\n\r\n"),
        ("GET", OK + DEFLATE + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ],
    ids=["HEAD", "204", "length 0", "no chunk"],
)
def test_an_encoding_without_a_body_is_no_fault(probe: Probe, method: str, response: bytes) -> None:
    assert check_server(probe, answer(response), method=method).outcome is UP


def _flushed(page: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(page) + packer.flush(zlib.Z_SYNC_FLUSH)


LONG: Final = b"<p>Welcome</p>" * 50
NAMED: Final = b"\x1f\x8b\x08\x1e\0\0\0\0\0\x03\x03\0abcpage.html\0of ours\0\0\0"
"""The header of a gzip with all that it may have."""
BR: Final = bytes.fromhex("1bbb02f8a55f787ce05427a5d50319f1e2138d1c")
"""LONG in br, as is its gzip; the first is brotli's own."""
BR_OF_GZIP: Final = bytes.fromhex(
    "0b14801f8b0800000000000203b329b00b4fcd49cecf4db5d12fb0b319e58df2860c0f003fc8634ebc02000003"
)


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", zipped(LONG)[:-8]),
        (b"gzip", zipped(LONG)[:-4]),
        (b"gzip", _flushed(LONG)),
        (b"deflate", zlib.compress(LONG)[:-4]),
        (b"deflate", zlib.compress(LONG)[2:-4]),
        (b"gzip", zipped(LONG) + zipped(b"")),
        (b"gzip", zipped(LONG) + bytes(9)),
        (b"gzip", zipped(LONG[:100]) + zipped(LONG[100:])),
        (b"zstd", zstandard.compress(LONG)),
        (b"gzip, zstd", zstandard.compress(zipped(LONG))),
        (b"identity", LONG),
        (b"gzip", zipped(LONG)[:-8] + bytes(8)),
        (b"deflate", zlib.compress(LONG)[:-4] + bytes(4)),
        (b"gzip", NAMED + zipped(LONG)[10:]),
        (b"gzip", zlib.compress(LONG)),
        (b"BR", BR),
        (b"gzip, br", BR_OF_GZIP),
    ],
    ids=[
        "gzip without its end",
        "gzip with half its end",
        "gzip flushed and never finished",
        "deflate without its sum",
        "bare deflate",
        "gzip and an empty member",
        "gzip and zeros",
        "gzip in two members",
        "zstd",
        "gzip in zstd",
        "identity",
        "gzip with a wrong sum",
        "deflate with a wrong sum",
        "gzip with a name and more in its header",
        "zlib for gzip",
        "br",
        "gzip in br",
    ],
)
def test_a_body_is_unpacked_as_browsers_do(probe: Probe, coding: bytes, body: bytes) -> None:
    result = check_server(
        probe,
        page(body, b"Content-Encoding: " + coding),
        expect=Expectations(body=compile_pattern("^(<p>Welcome</p>){50}$")),
    )
    assert (result.outcome, result.error, result.body_bytes) == (UP, None, len(LONG))


def test_br_that_nobody_asked_for_is_asked_for_again_only_where_the_body_counts(probe: Probe) -> None:
    with HostileServer(page(BR, b"Content-Encoding: br")) as server:
        assert check(probe, server.url).outcome is UP
        assert server.connections == 1
        assert check(probe, server.url, expect=Expectations(body_not=compile_pattern("Welcome"))).outcome is (
            Outcome.BODY_MISMATCH
        )
        assert server.connections == 3


PACKED_LENGTHS: Final = [
    (b"gzip", zipped(LONG), len(LONG), UP),
    (b"deflate", zlib.compress(LONG), len(LONG), UP),
    (b"br", BR, len(LONG), UP),
    (b"gzip", zipped(LONG), len(LONG) + 1, Outcome.READ_ERROR),
    (b"gzip", zipped(LONG)[:-20], len(LONG), Outcome.READ_ERROR),
    (b"identity", LONG, len(LONG) + 1, Outcome.READ_ERROR),
]


@pytest.mark.parametrize(("coding", "body", "length", "outcome"), PACKED_LENGTHS, ids=range(len(PACKED_LENGTHS)))
@pytest.mark.parametrize("secure", [False, True])
def test_a_packed_body_may_have_the_length_of_what_it_holds(  # noqa: PLR0917 (its parameters)
    probe: Probe, pki: "Pki", coding: bytes, body: bytes, length: int, outcome: Outcome, secure: bool
) -> None:
    tls = server_of(issue("site", pki.middle, names=("localhost",)), pki.middle) if secure else None
    header = b"Content-Encoding: %s\r\nContent-Length: %d\r\n\r\n" % (coding, length)
    with HostileServer(answer(OK + header + body), tls) as server:
        expect = Expectations(body=compile_pattern("Welcome"))
        assert check(probe, server.url, tls=Tls(ca=pki.ca), expect=expect).outcome is outcome


def test_a_packed_body_that_breaks_off_is_not_whole_whatever_its_length(probe: Probe) -> None:
    header = b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(LONG)
    assert check_server(probe, answer(OK + header + zipped(LONG), then=reset)).outcome is Outcome.READ_ERROR


# Requests


@pytest.mark.parametrize(
    ("method", "body", "sent", "unsent"),
    [
        ("DELETE", None, b"DELETE / ", b"content-length"),
        ("OPTIONS", None, b"OPTIONS / ", b"content-length"),
        ("POST", None, b"Content-Length: 0\r\n", b"content-type"),
        ("PUT", None, b"Content-Length: 0\r\n", b"content-type"),
        ("POST", b"a=b", b"Content-Type: application/x-www-form-urlencoded\r\n", b"expect"),
    ],
)
def test_a_request_without_a_body_is_no_form(
    probe: Probe, method: str, body: bytes | None, sent: bytes, unsent: bytes
) -> None:
    seen: list[bytes] = []

    def pages(_: str, request: bytes) -> bytes:
        seen.append(request)
        return WELCOME

    assert check_server(probe, by_path(pages), method=method, body=body).outcome is UP
    assert sent in seen[0]
    assert unsent not in seen[0].lower()


# Redirects and cookies


def test_as_many_redirects_are_followed_as_by_browsers(probe: Probe) -> None:
    assert check_server(probe, redirects(20)).outcome is UP
    assert check_server(probe, redirects(21)).outcome is Outcome.TOO_MANY_REDIRECTS


@pytest.mark.parametrize(
    ("made", "deleted"),
    [
        (b"Path=/", b"Max-Age=0"),
        (b"Path=/", b"Expires=Thu, 01 Jan 1970 00:00:00 GMT"),
        (b"Path=/", b"Expires=Thu, 01-Jan-70 00:00:01 GMT"),
        (b"Path=/; HttpOnly", b"Expires=Wednesday, 31-Dec-69 23:59:59 GMT"),
        (b"Path=/; Domain=shop.example", b"Expires=jeu., 01 janv. 1970 00:00:00 GMT"),
        (b"Version=1", b"Expires=Thu, 01-Jan-70 00:00:01 GMT"),
    ],
)
@pytest.mark.parametrize("host", [{}, {"Host": "Shop.Example:8080"}])
def test_a_cookie_that_is_deleted_on_the_way_is_sent_no_more(
    probe: Probe, made: bytes, deleted: bytes, host: dict[str, str]
) -> None:
    def pages(path: str, request: bytes) -> bytes:
        if path == "/":
            done = b"done=1" in request and b"pending" not in request
            return WELCOME if done else moved(b"/login", b"Set-Cookie: pending=1; " + made)
        if path == "/login":
            again = b"Set-Cookie: pending=; " + deleted + b"; " + made
            return moved(b"/back", again, b"Set-Cookie: done=1; Path=/")
        return moved(b"/login" if b"pending" in request else b"/")

    with HostileServer(by_path(pages)) as server:
        result = check(probe, f"http://{'127.0.0.1' if host else 'shop.example'}:{server.port}/", headers=host)
    assert (result.outcome, result.redirects) == (UP, 3)


def test_a_cookie_of_another_path_is_not_deleted_with_one(probe: Probe) -> None:
    def pages(path: str, request: bytes) -> bytes:
        if path == "/":
            return moved(b"/2", b"Set-Cookie: a=1; Path=/", b"Set-Cookie: a=1; Path=/2")
        if path == "/2":
            return moved(b"/3", b"Set-Cookie: a=1; Path=/2; Expires=Thu, 01-Jan-70 00:00:01 GMT")
        return WELCOME if b"a=1" in request else NOT_FOUND

    assert check_server(probe, by_path(pages)).outcome is UP


def test_a_cookie_of_another_domain_is_not_deleted_with_one(probe: Probe) -> None:
    def pages(path: str, request: bytes) -> bytes:
        if path == "/":
            gone = b"Set-Cookie: a=1; Path=/; Domain=shop.example; Expires=Thu, 01 Jan 1970 00:00:00 GMT"
            return moved(b"/2", b"Set-Cookie: a=1; Path=/", gone)
        return WELCOME if b"a=1" in request else NOT_FOUND

    with HostileServer(by_path(pages)) as server:
        assert check(probe, f"http://www.shop.example:{server.port}/").outcome is UP


@pytest.mark.parametrize("coding", [b"foo", b"gzip, chunked", b"none"])
def test_a_redirect_whose_page_is_packed_for_the_way_is_followed(probe: Probe, coding: bytes) -> None:
    def pages(path: str, request: bytes) -> bytes:
        return moved(b"/2", b"Transfer-Encoding: " + coding) if path == "/" else WELCOME

    assert check_server(probe, by_path(pages)).outcome is UP
    refused = check_server(probe, answer(OK + b"Transfer-Encoding: " + coding + b"\r\n\r\nWelcome"))
    assert refused.outcome is Outcome.READ_ERROR


def test_a_cookie_is_of_its_path_and_host(probe: Probe) -> None:
    seen: list[bytes] = []

    def pages(path: str, request: bytes) -> bytes:
        seen.append(request)
        return moved(b"/in", b"Set-Cookie: a=1; Path=/out", b"Set-Cookie: b=2") if path == "/" else WELCOME

    assert check_server(probe, by_path(pages)).outcome is UP
    assert b"b=2" in seen[1]
    assert b"a=1" not in seen[1]


def test_a_cookie_whose_bytes_are_no_text_is_sent_back_as_it_came(probe: Probe) -> None:
    def pages(path: str, request: bytes) -> bytes:
        if path == "/":
            more = [b"Set-Cookie: n%d=x; Path=/" % number for number in range(40)]
            return moved(b"/2", b"Set-Cookie: a=\xe9\xff; Path=/", *more)
        if path in ("/2", "/3", "/4"):  # until there are more cookies than are kept
            more = [b"Set-Cookie: %s%d=\xe9; Path=/" % (path[1:].encode(), number) for number in range(40)]
            return moved(b"/%d" % (int(path[1:]) + 1), b"Set-Cookie: a=\xe9\xff; Path=/", *more)
        return WELCOME if b"a=\xe9\xff" in request else NOT_FOUND

    result = check_server(probe, by_path(pages))
    assert (result.outcome, result.error, result.redirects) == (UP, None, 4)


@pytest.mark.parametrize(("second", "outcome"), [(b"/in", UP), (b"/out", Outcome.READ_ERROR)])
def test_a_location_that_stands_twice_is_followed_where_both_say_the_same(
    probe: Probe, second: bytes, outcome: Outcome
) -> None:
    def pages(path: str, _: bytes) -> bytes:
        return {"/": moved(b"/in", b"Location: " + second), "/in": WELCOME}.get(path, NOT_FOUND)

    assert check_server(probe, by_path(pages)).outcome is outcome


def test_an_empty_location_is_no_redirect(probe: Probe) -> None:
    asked: list[str] = []

    def pages(path: str, _: bytes) -> bytes:
        asked.append(path)
        return b"HTTP/1.1 302 Found\r\nLocation: \r\nContent-Length: 7\r\n\r\nWelcome"

    expect = Expectations(status=((302, 302),), body=compile_pattern("Welcome"))
    assert check_server(probe, by_path(pages), expect=expect).outcome is UP
    assert asked == ["/"]


@pytest.mark.parametrize(
    ("location", "asked"),
    [
        (b"/caf\xe9", "/caf%E9"),
        ("/voil\u00e0".encode(), "/voil%C3%A0"),
        ("/\u0145".encode() + b"\t ", "/%C5%85"),
        (b"/file%2cname?sig=a%2fb", "/file%2cname?sig=a%2fb"),
        (b"../in?", "/in?"),
    ],
)
def test_a_location_is_asked_for_as_it_is_written(probe: Probe, location: bytes, asked: str) -> None:
    def pages(path: str, _: bytes) -> bytes:
        return {"/": moved(location), asked: WELCOME}.get(path, NOT_FOUND)

    assert check_server(probe, by_path(pages)).outcome is UP


@pytest.mark.parametrize("path", ["a%2fb?sig=x%3d%3d", "%7euser", "100%", "%2e%2e/x", "?", "a;b=c,d"])
def test_a_url_is_asked_for_as_it_is_written(probe: Probe, path: str) -> None:
    asked: list[str] = []

    def pages(asked_for: str, _: bytes) -> bytes:
        asked.append(asked_for)
        return WELCOME

    with HostileServer(by_path(pages)) as server:
        assert check(probe, server.url + path).outcome is UP
    assert asked == ["/" + path]


# Status lines


@pytest.mark.parametrize(
    "line",
    [b"HTTP/2.0 200 OK", b"http/1.1 200 OK", b"HTTP/1.1 200OK", b"HTTP/1.1 200", b"HTTP/1.0 200 OK", b"ICY 200 OK"],
)
def test_a_status_line_that_browsers_take_is_taken(probe: Probe, line: bytes) -> None:
    result = check_server(
        probe,
        answer(line + b"\r\nContent-Length: 7\r\n\r\nWelcome"),
        expect=Expectations(body=compile_pattern("Welcome")),
    )
    assert (result.outcome, result.http_status) == (UP, 200), result.error


@pytest.mark.parametrize(
    "line",
    [b"http/1.1 404 Not Found", b"ICY 404 Not Found", b"HTTP 404 Not Found", b"Http/1.0 404"],
)
def test_a_status_line_in_another_form_has_its_own_status(probe: Probe, line: bytes) -> None:
    result = check_server(probe, answer(line + b"\r\nContent-Length: 7\r\n\r\nWelcome"))
    assert (result.outcome, result.http_status) == (Outcome.STATUS_MISMATCH, 404)


def test_a_status_of_four_digits_is_none(probe: Probe) -> None:
    result = check_server(probe, answer(b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n"))
    assert (result.outcome, result.http_status) == (Outcome.READ_ERROR, None)
    assert str(result.error).endswith("not HTTP/1: b'HTTP/1.1 2000 OK'")


# Headers


@pytest.mark.parametrize("length", [b"", b"+7", b"-1", b"7 bytes", b"many", b"7.0", b"9" * 30])
def test_a_length_that_is_no_number_says_nothing(probe: Probe, length: bytes) -> None:
    result = check_server(
        probe,
        answer(OK + b"Content-Length: " + length + b"\r\n\r\nWelcome"),
        expect=Expectations(body=compile_pattern("^Welcome$")),
    )
    assert (result.outcome, result.error) == (UP, None)


@pytest.mark.parametrize("lengths", [b"7\r\nContent-Length: 8", b"7, 8", b"many\r\nContent-Length: 7"])
def test_two_lengths_that_differ_are_no_page_for_anybody(probe: Probe, lengths: bytes) -> None:
    result = check_server(probe, answer(OK + b"Content-Length: " + lengths + b"\r\n\r\nWelcome"))
    assert (result.outcome, result.error) == (
        Outcome.READ_ERROR,
        "reading the response: the body has two lengths",
    )


@pytest.mark.parametrize("lengths", [b"7\r\nContent-Length: 8", b"7, 8", b"many\r\nContent-Length: 7"])
def test_where_a_body_comes_in_chunks_no_length_counts(probe: Probe, lengths: bytes) -> None:
    head = OK + b"Transfer-Encoding: chunked\r\nContent-Length: " + lengths
    result = check_server(
        probe,
        answer(head + b"\r\n\r\n7\r\nWelcome\r\n0\r\n\r\n"),
        expect=Expectations(body=compile_pattern("^Welcome$")),
    )
    assert (result.outcome, result.error) == (UP, None)


@pytest.mark.parametrize(("headers", "asks"), [({}, False), ({"expect": "100-continue"}, True)])
def test_a_large_body_is_sent_unasked_unless_the_target_asks(probe: Probe, headers: dict[str, str], asks: bool) -> None:
    size = 2 << 20
    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        with connection.makefile("rb") as came:
            seen.extend(iter(came.readline, b"\r\n"))
            if asks:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            came.read(size)
        connection.sendall(WELCOME)

    result = check_server(probe, behave, method="POST", body=bytes(size), headers=headers)
    assert (result.outcome, result.error) == (UP, None)
    assert asks is any(line.lower().startswith(b"expect:") for line in seen)


def test_what_may_not_be_sent_twice_is_not_asked_again(probe: Probe) -> None:
    with HostileServer(answer(OK + b"Content-Length: many\r\n\r\n")) as server:
        assert check(probe, server.url, method="POST", body=b"x").outcome is Outcome.READ_ERROR
        assert server.connections == 1


BAD_LINES: Final = [b"X-XSS-Protection=1;", b"X: y\r"]


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_bad_line_in_a_header_harms_nobody_who_asks_for_the_status_alone(probe: Probe, line: bytes) -> None:
    result = check_server(probe, page(b"Welcome", line))
    assert (result.outcome, result.http_status) == (UP, 200)
    result = check_server(probe, page(b"Welcome", line, status=b"500 Oh"))
    assert (result.outcome, result.http_status) == (Outcome.STATUS_MISMATCH, 500)
    result = check_server(probe, page(b"Welcome", line), expect=Expectations(body=compile_pattern("Welcome")))
    assert (result.outcome, result.http_status) == (Outcome.READ_ERROR, 200)


@pytest.mark.parametrize("line", BAD_LINES)
def test_a_redirect_is_followed_whatever_stands_behind_its_location(probe: Probe, line: bytes) -> None:
    def pages(path: str, _: bytes) -> bytes:
        return WELCOME if path == "/in" else moved(b"/in", line)

    result = check_server(probe, by_path(pages), expect=Expectations(body=compile_pattern("Welcome")))
    assert (result.outcome, result.redirects) == (UP, 1)


def test_a_header_keeps_the_last_letter_of_its_value(probe: Probe) -> None:
    expect = Expectations(headers=(("x-said", compile_pattern("^voil\u00e0, \u0145$")),))
    behaviour = page(b"hi", "X-Said: voil\u00e0 \r\nX-Said:\t\u0145".encode())
    assert check_server(probe, behaviour, expect=expect).outcome is UP


CHUNKED: Final = OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc"


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        (b"\r\nzz\r\n", "the body comes in broken chunks: chunk hex-length char not a hex digit: 0x7a"),
        (b"\r\n" + b"f" * 40, "the body comes in broken chunks: chunk hex-length longer than 17"),
        (b"def\r\n", "the body comes in broken chunks: Malformed encoding found in chunked-encoding"),
        (b"\r\n3\r\n", "the body ended too early: transfer closed with outstanding read data remaining"),
    ],
)
def test_chunks_that_are_broken_are_not_told_as_a_close(probe: Probe, rest: bytes, why: str) -> None:
    result = check_server(probe, answer(CHUNKED + rest))
    assert (result.outcome, result.error) == (Outcome.READ_ERROR, f"reading the response: {why}")


CUT_OFF: Final = [
    (b"302 Found\r\nLocation: /in\r\nContent-", UP, 1),
    (b"302 Found\r\nContent-Length: 0\r\nLocation: /i", Outcome.READ_ERROR, 0),
    (b"200 OK\r\nX: y\r\n", Outcome.READ_ERROR, 0),
]


@pytest.mark.parametrize(("head", "outcome", "redirects"), CUT_OFF, ids=range(len(CUT_OFF)))
@pytest.mark.parametrize("connection", ["fresh", "reused"])
def test_of_a_header_that_is_cut_off_the_location_alone_counts(
    probe: Probe, head: bytes, outcome: Outcome, redirects: int, connection: Any
) -> None:
    behaviour = by_path(lambda path, _: WELCOME if path == "/in" else b"HTTP/1.1 " + head)
    expect = Expectations(body=compile_pattern("Welcome"))
    result = check_server(probe, behaviour, expect=expect, connection=connection, name=f"{head!r}")
    assert (result.outcome, result.redirects) == (outcome, redirects)


@pytest.mark.parametrize("says_so", [False, True])
def test_a_header_that_is_cut_off_is_none_over_tls(probe: Probe, pki: "Pki", says_so: bool) -> None:
    def behave(connection: socket.socket) -> None:
        answer(b"HTTP/1.1 302 Found\r\nLocation: /in\r\nContent-")(connection)
        if says_so and isinstance(connection, ssl.SSLSocket):
            connection.unwrap()

    tls = server_of(issue("site", pki.middle, names=("localhost",)), pki.middle)
    with HostileServer(behave, tls) as server:
        assert check(probe, server.url, tls=Tls(ca=pki.ca)).outcome is Outcome.READ_ERROR


# Charsets

CHARSETS: Final = [
    (b"text/html; charset=windows-1252", "Gr\u00fc\u00dfe", "cp1252"),
    (b"text/html; charset=iso-8859-1", "5 \u20ac", "cp1252"),
    (b"text/html; charset=gbk", "\u4e2d\u6587", "gbk"),
    (b"text/html; charset=Shift_JIS", "\u65e5\u672c", "shift_jis"),
    (b"text/html", "Welcome", "utf-16"),
    (b"text/html; charset=utf-16le", "Welcome", "utf-16-le"),
    (b"text/html; charset=nonsense", "Gr\u00fc\u00dfe", "utf-8"),
    (b"text/html", "Gr\u00fc\u00dfe", "utf-8"),
    (b"text/html", "\ufeff\u00fcber", "utf-8"),
    (b"text/html; charset=x-cp1252", "Gr\u00fc\u00dfe", "cp1252"),
    (b"text/html; charset=iso_8859-1:1987", "Gr\u00fc\u00dfe", "cp1252"),
    (b"text/html; charset='iso88591'", "Gr\u00fc\u00dfe", "cp1252"),
    (b"text/html; charset=x-mac-roman", "Gr\u00fc\u00dfe", "mac-roman"),
    (b"text/html; charset=iso-8859-8-i", "\u05d0", "iso8859-8"),
    (b"text/html; charset=windows-949", "\uac00", "cp949"),
    (b"text/html; charset=x-euc-jp", "\u65e5", "euc_jp"),
    (b"text/html; charset=utf-16", "Welcome", "utf-16-le"),
    (b"text/html; charset=unicode", "Welcome", "utf-16-le"),
    (b"text/html", "Gr\u00fc\u00dfe", "cp1252"),
    (b"text/html; charset=x-user-defined", "Gr\u00fc\u00dfe", "cp1252"),
    (b"text/html", "Gru\u0308\u00dfe", "utf-8"),
    (b"text/html; charset=windows-1258", "Vi\u00ea\u0323t", "cp1258"),
]


@pytest.mark.parametrize(("kind", "text", "charset"), CHARSETS)
def test_a_pattern_is_looked_for_in_the_text_that_a_browser_shows(
    probe: Probe, kind: bytes, text: str, charset: str
) -> None:
    behaviour = page(text.encode(charset), b"Content-Type: " + kind)
    for form in ("NFC", "NFD"):  # the same letters for people
        pattern = compile_pattern("^" + unicodedata.normalize(form, text.removeprefix("\ufeff")))
        assert check_server(probe, behaviour, expect=Expectations(body=pattern)).outcome is UP
        assert check_server(probe, behaviour, expect=Expectations(body_not=pattern)).outcome is Outcome.BODY_MISMATCH


def test_a_byte_that_is_none_of_the_charset_hides_nothing_from_a_pattern(probe: Probe) -> None:
    behaviour = page(b"M\xfcller is here", b"Content-Type: text/html; charset=utf-8\r\nX-Who: M\xfcller is here")
    pattern = compile_pattern("^M.*here$")
    up, down = Expectations(body=pattern, headers=(("X-Who", pattern),)), Expectations(body_not=pattern)
    assert check_server(probe, behaviour, expect=up).outcome is UP
    assert check_server(probe, behaviour, expect=down).outcome is Outcome.BODY_MISMATCH
    unwanted = Expectations(headers_not=(("X-Who", pattern),))
    assert check_server(probe, behaviour, expect=unwanted).outcome is Outcome.HEADER_MISMATCH


OF_BROWSERS: Final = [
    ("euc-jp", b"\xc2\xe8\xad\xa1\xb2\xf3", "\u7b2c\u2460\u56de"),
    ("euc-jp", b"10\xa1\xc120", "10\uff5e20"),
    ("euc-jp", b"10\xa1\xc120", "10\u301c20"),
    ("euc-jp", b"\xfc\xe2\xb6\xb6", "\u9ad9\u6a4b"),
    ("euc-jp", b"\x8f\xb0\xa1\x8e\xb1", "\u4e02\uff71"),
    ("euc-jp", b"\xff<b>\xad<i>", "\ufffd<b>\ufffd<i>"),
    ("iso-2022-jp", b"\x1b$BBh-!2s\x1b(B.", "\u7b2c\u2460\u56de."),
    ("iso-2022-jp", b"\x1b$B!A!1\x1b(B", "\uff5e\uffe3"),
    ("csiso2022jp", b"\x1b(I1\x1b(B.", "\uff71."),
    ("gbk", b"\xa3\xa0Welcome\xa8\xbc", "\u3000Welcome\u1e3f"),
    ("koi8-u", b"\xae\xbe\xf0", "\u045e\u040e\u041f"),
]


@pytest.mark.parametrize(("charset", "body", "text"), OF_BROWSERS, ids=range(len(OF_BROWSERS)))
def test_letters_are_those_that_browsers_read(probe: Probe, charset: str, body: bytes, text: str) -> None:
    behaviour = page(body, b"Content-Type: text/html; charset=" + charset.encode())
    expect = Expectations(body=compile_pattern(f"^{text}$"))
    assert check_server(probe, behaviour, expect=expect).outcome is UP


@pytest.mark.parametrize(
    "start",
    [
        b'<html><head><meta charset="gb2312"></head>',
        b"<META CHARSET=GBK />",
        b"<meta http-equiv='Content-Type' content='text/html; charset=x-gbk'>",
        b'<meta content="text/html;charset=gbk" http-equiv="content-type">',
        b"<!-- <meta charset=utf-8> --><meta charset=gbk>",
        b"<head>" + b"<script>let x = 1;</script>" * 1000 + b"<meta charset=gbk>",
        b'<?xml version="1.0" encoding="GBK"?>',
        b'<?xml version="1.0" encoding="koi8-u"?><meta charset=gbk>',
        b"<html><body><p>hi</p><meta charset=gbk>",
        b"<meta http-equiv=Content-Type content='text/html; charset = gbk'>",
        b"<meta http-equiv=Content-Type content=text/html;charset=gbk>",
        b"<meta http-equiv=Content-Style-Type content='text/css; charset=koi8-u'><meta charset=gbk>",
        b"<meta http-equiv=refresh content='9;url=/?charset=koi8-u'><meta charset=gbk>",
        b'<meta name=a content="a > b" charset=gbk>',
        b"<html data-a='<body '><meta charset=gbk>",
        b"<!--><meta charset=gbk>",
        b"<!-- x --!><meta charset=gbk>",
        b"<script>let a = '<meta charset=koi8-u>';</script><meta charset=gbk>",
        b"<title>a <body> and <meta charset=koi8-u></title><meta charset=gbk>",
        b"<?php <meta charset=koi8-u> ?><meta charset=gbk>",
    ],
)
def test_a_page_says_its_charset_where_the_header_does_not(probe: Probe, start: bytes) -> None:
    body = start + "\u4e2d\u6587".encode("gbk")
    expect = Expectations(body=compile_pattern("\u4e2d\u6587"))
    assert check_server(probe, page(body, b"Content-Type: text/html"), expect=expect).outcome is UP


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        (b"text/html", b'<meta charset="koi8-u"><?xml version="1.0" encoding="koi8-u"?>'),
        (b"application/xhtml+xml", b'<?xml version="1.0" encoding="gbk"?><meta charset="koi8-u"/>'),
        (b"text/html; xcharset=koi8-u; charset=gbk", b""),
        (b"text/html; charset=koi8-u\r\nContent-Type: text/html; charset=gbk", b""),
        (b"text/html; charset=gbk\r\nContent-Type: text/html", b""),
    ],
)
def test_of_what_says_a_charset_what_counts_for_a_browser_counts(probe: Probe, kind: bytes, start: bytes) -> None:
    charset = "gbk" if b"gbk" in kind + start else "koi8-u"
    text = "\u4e2d\u6587" if charset == "gbk" else "\u041f\u0440\u0438"
    expect = Expectations(body=compile_pattern(text))
    body = start + text.encode(charset)
    assert check_server(probe, page(body, b"Content-Type: " + kind), expect=expect).outcome is UP


@pytest.mark.parametrize(
    "start",
    [
        b"<body>" + b"x" * 1024 + b"<meta charset=gbk>",
        b"<!-- <meta charset=gbk> -->",
        b"<meta name=x content='charset=gbk'>",
        b"<script><meta charset=gbk></script>",
    ],
)
def test_what_says_no_charset_to_a_browser_says_none(probe: Probe, start: bytes) -> None:
    expect = Expectations(body=compile_pattern("\u4e2d\u6587"))
    assert check_server(probe, page(start + "\u4e2d\u6587".encode("gbk")), expect=expect).outcome is (
        Outcome.BODY_MISMATCH
    )
    assert check_server(probe, page(start + "\u4e2d\u6587".encode()), expect=expect).outcome is UP


# Names


@pytest.mark.parametrize("host", ["app.localhost", "a.b.localhost", "LOCALHOST", "127.1", "0x7f.0.0.1"])
def test_a_name_of_this_host_is_found_as_browsers_do(probe: Probe, host: str) -> None:
    with HostileServer(page(b"hi")) as server:
        assert check(probe, f"http://{host}:{server.port}/").outcome is UP


@pytest.mark.parametrize(
    ("host", "asked"), [("\u2603.example", "xn--n3h.example"), ("STRASSE\u3002example", "strasse.example")]
)
def test_a_host_is_asked_for_by_its_name_on_the_wire(probe: Probe, host: str, asked: str) -> None:
    seen: list[bytes] = []

    def pages(_: str, request: bytes) -> bytes:
        seen.append(request)
        return WELCOME

    with HostileServer(by_path(pages)) as server:
        assert check(probe, f"http://{host}:{server.port}/").outcome is UP
        assert f"Host: {asked}:{server.port}\r\n".encode() in seen[0]


def test_a_host_may_begin_with_a_hyphen(probe: Probe) -> None:
    with HostileServer(page(b"hi")) as server:
        assert check(probe, f"http://-shop.example:{server.port}/").outcome is UP


@pytest.mark.parametrize("addresses", [("fe80::1%lo", "127.0.0.1"), ("127.0.0.1", "fe80::1%lo"), ("::1%lo",)])
def test_an_address_of_a_link_among_those_of_a_name_harms_nobody(addresses: tuple[str, ...]) -> None:
    def resolve(host: str, port: int, timeout: float) -> Addresses:
        return [
            (socket.AF_INET6, (one, port, 0, 1)) if ":" in one else (socket.AF_INET, (one, port)) for one in addresses
        ]

    ip = "::1" if "127.0.0.1" not in addresses else "127.0.0.1"
    with (
        HostileServer(page(b"hi"), address=ip) as server,
        contextlib.closing(Probe(agent="x", resolve=resolve)) as made,
    ):
        result = check(made, f"http://printer.example:{server.port}/")
    assert (result.outcome, result.error) == (UP, None)


# Certificates


class Pki:
    """A root, an intermediate, and checks of servers with chains of them."""

    def __init__(self, folder: Path) -> None:
        self.root = issue("root")
        self.middle = issue("middle", self.root)
        self.ca = folder / "root.pem"
        self.ca.write_bytes(pem(self.root))

    def check(
        self, probe: Probe, context: ssl.SSLContext, host: str = "localhost", behaviour: Behaviour = FINE
    ) -> CheckResult:
        with HostileServer(behaviour, context) as server:
            return check(
                probe, f"https://{host}:{server.port}/", tls=Tls(ca=self.ca), expect=Expectations(certificate_days=14)
            )


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.mark.parametrize(
    ("first", "why"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what answers speaks no TLS (it begins with 'SSH-2')"),
        (b"<html>hi</html>", "what answers speaks no TLS (it begins with '<html')"),
        (bytes(20), r"what answers speaks no TLS (it begins with '\x00\x00\x00\x00\x00')"),
        (b"http/1.1 400 Bad Request\r\n\r\n", "what answers speaks no TLS (it begins with 'http/')"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "what answers speaks no TLS (it looks like HTTP)"),
        (b"\x15\x03\x03\0\x02\x02\x28", "ssl/tls alert handshake failure"),
        (b"", "the server closed the connection"),
    ],
)
def test_what_speaks_no_tls_is_told_with_what_it_says(probe: Probe, first: bytes, why: str) -> None:
    def behave(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(first)

    with HostileServer(behave) as server:
        result = check(probe, f"https://localhost:{server.port}/")
    assert (result.outcome, result.error) == (Outcome.TLS_ERROR, f"in the TLS handshake: {why}")


def test_an_underscore_is_of_a_wildcard(probe: Probe, pki: Pki) -> None:
    leaf = issue("site", pki.middle, names=("*.web.example",))
    assert pki.check(probe, server_of(leaf, pki.middle), "my_site.web.example").outcome is UP


def test_a_name_in_the_subject_alone_counts_for_nobody(probe: Probe, pki: Pki) -> None:
    result = pki.check(probe, server_of(issue("localhost", pki.middle), pki.middle))
    assert result.outcome is Outcome.TLS_ERROR
    assert "it names no host (subjectAltName)" in str(result.error)
    assert result.http_status is None


def test_a_certificate_for_an_address_of_mail_is_for_no_host(probe: Probe, pki: Pki) -> None:
    mail = x509.SubjectAlternativeName([x509.RFC822Name("joe@localhost")])
    result = pki.check(probe, server_of(issue("localhost", pki.middle, more=mail), pki.middle))
    assert result.outcome is Outcome.TLS_ERROR
    assert "it names no host (subjectAltName)" in str(result.error)


LATIN_1_NAMES: Final = b"\x30\x18\x82\x0bm\xfcller.test\x82\x09localhost"


@pytest.mark.parametrize(
    ("names", "kind", "value"),
    [
        (("localhost",), "2.16.840.1.113730.1.13", b"\x16\x05Gr\xfc\xdfe"),
        ((), "2.5.29.17", LATIN_1_NAMES),
    ],
    ids=["a comment", "a name"],
)
def test_a_certificate_may_have_bytes_that_are_no_text(
    probe: Probe, pki: Pki, names: tuple[str, ...], kind: str, value: bytes
) -> None:
    more = x509.UnrecognizedExtension(x509.ObjectIdentifier(kind), value)
    leaf = issue("localhost", pki.middle, names=names, more=more)
    result = pki.check(probe, server_of(leaf, pki.middle))
    assert (result.outcome, result.error) == (UP, None)
    assert result.tls_not_after is not None


@pytest.mark.parametrize("start", [OK, b"HTTP/1.0 200 OK\r\n", OK + b"Content-Encoding: gzip\r\n"])
def test_a_body_up_to_the_close_is_whole_without_the_word_of_tls(probe: Probe, pki: Pki, start: bytes) -> None:
    tls = server_of(issue("site", pki.middle, names=("localhost",)), pki.middle)
    body = zipped(b"Welcome") if b"gzip" in start else b"Welcome"
    with HostileServer(answer(start + b"\r\n" + body), tls) as server:
        expect = Expectations(body=compile_pattern("^Welcome$"))
        result = check(probe, server.url, tls=Tls(ca=pki.ca), expect=expect)
    assert (result.outcome, result.error) == (UP, None)


@pytest.mark.parametrize(
    "start", [b"X: y", b"Transfer-Encoding: chunked\r\n\r\n7\r\nWelcome", b"Content-Length: 99\r\n\r\nWelcome"]
)
def test_what_tells_its_own_end_is_not_whole_before_it(probe: Probe, pki: Pki, start: bytes) -> None:
    tls = server_of(issue("site", pki.middle, names=("localhost",)), pki.middle)
    with HostileServer(answer(OK + start + b"\r\n"), tls) as server:
        assert check(probe, server.url, tls=Tls(ca=pki.ca)).outcome is Outcome.READ_ERROR


@pytest.mark.parametrize(("leaf_days", "middle_days"), [(3, 300), (300, 3)])
def test_a_certificate_or_an_intermediate_that_ends_soon_is_told(
    probe: Probe, pki: Pki, leaf_days: int, middle_days: int
) -> None:
    middle = issue("middle", pki.root, days=middle_days, key=pki.middle[1])
    leaf = issue("site", middle, names=("localhost",), days=leaf_days)
    result = pki.check(probe, server_of(leaf, middle))
    assert (result.outcome, result.error) == (
        Outcome.CERTIFICATE_EXPIRING,
        "the certificate ends in 3.0 days, expected 14 at least",
    )


def test_a_host_that_redirects_and_whose_certificate_ends_soon_is_told(probe: Probe, pki: Pki) -> None:
    good = server_of(issue("end", pki.middle, names=("localhost",)), pki.middle)
    short = server_of(issue("start", pki.middle, names=("localhost",), days=3), pki.middle)
    with HostileServer(page(b"hi"), good) as end:
        result = pki.check(probe, short, behaviour=answer(moved(end.url.encode())))
    assert result.outcome is Outcome.CERTIFICATE_EXPIRING


def test_what_has_ended_beside_a_chain_that_is_well_harms_nobody(probe: Probe, pki: Pki) -> None:
    # As of an old root that has signed the new one too, or of a former intermediate that is still sent.
    old_root = issue("old root")
    cross = issue("root", old_root, days=-30, key=pki.root[1])
    former = issue("middle", pki.root, days=-30, key=pki.middle[1])
    leaf = issue("site", pki.middle, names=("localhost",))
    for extra in (cross, former):
        result = pki.check(probe, server_of(leaf, pki.middle, extra))
        assert (result.outcome, result.error) == (UP, None)


GROUP_2: Final = bytes.fromhex(
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A"
    "6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE6"
    "5381FFFFFFFFFFFFFFFF"
)
"""A prime of 1024 bits (RFC 2409, 6.2)."""
SHORT_GROUP: Final = base64.encodebytes(b"\x30\x81\x87\x02\x81\x81\x00" + GROUP_2 + b"\x02\x01\x02")
"""Of PKCS#3, with the generator 2."""


@pytest.mark.parametrize(("others", "outcome"), [(":AES128-SHA", UP), ("", Outcome.TLS_ERROR)])
@pytest.mark.parametrize("connection", ["fresh", "reused"])
def test_short_keys_of_diffie_hellman_are_not_spoken_of_where_there_is_another_way(
    probe: Probe, tmp_path: Path, others: str, outcome: Outcome, connection: Any
) -> None:
    name = b"DH PARAMETERS-----\n"
    (tmp_path / "dh.pem").write_bytes(b"-----BEGIN " + name + SHORT_GROUP + b"-----END " + name)
    (tmp_path / "ca.pem").write_bytes(AUTHORITY.cert_pem.bytes())
    context = server_context(
        AUTHORITY.issue_cert("localhost", key_type=trustme.KeyType.RSA),
        ciphers=f"DHE-RSA-AES128-SHA{others}:@SECLEVEL=0",
        maximum_version=ssl.TLSVersion.TLSv1_2,
    )
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    context.load_dh_params(str(tmp_path / "dh.pem"))
    with HostileServer(page(b"hi"), context) as server:
        settings: dict[str, Any] = {"tls": Tls(ca=tmp_path / "ca.pem"), "name": f"dh{others}", "connection": connection}
        assert [check(probe, server.url, **settings).outcome for _ in range(2)] == [outcome] * 2


MLKEM: Final = b"\x11\xec"
"""X25519MLKEM768, as a client's hello names it (draft-ietf-tls-ecdhe-mlkem)."""


@pytest.mark.parametrize("connection", ["fresh", "reused"])
def test_a_server_that_agrees_to_none_of_our_ways_is_asked_by_the_one_that_is_kept_back(
    probe: Probe, connection: Any
) -> None:
    hellos: list[bytes] = []

    def refuse(served: socket.socket) -> None:
        hellos.append(served.recv(65536))
        served.sendall(b"\x15\x03\x03\x00\x02\x02\x28")  # handshake_failure

    with HostileServer(refuse) as server:
        result = check(probe, f"https://localhost:{server.port}/", connection=connection)
    assert result.outcome is Outcome.TLS_ERROR
    assert "handshake failure" in str(result.error)
    assert [b"\x00\x0a\x00\x04\x00\x02" + MLKEM in hello for hello in hellos] == [False, True]


@pytest.mark.parametrize("then", [hang, answer(b"\x15\x03\x03\x00\x02\x02\x46"), reset])
def test_what_is_told_of_a_refused_handshake_is_the_first_refusal_and_all_its_time(
    probe: Probe, then: Behaviour
) -> None:
    tries: list[float] = []

    def refuse(served: socket.socket) -> None:
        served.recv(65536)
        tries.append(time.monotonic())
        if len(tries) == 1:
            time.sleep(0.2)
            served.sendall(b"\x15\x03\x03\x00\x02\x02\x28")
        else:
            then(served)

    with HostileServer(refuse) as server:
        result = check(probe, f"https://localhost:{server.port}/", timeout=1)
    assert (result.outcome, len(tries)) == (Outcome.TLS_ERROR, 2)
    assert "handshake failure" in str(result.error)
    assert (result.phases.tls or 0) >= 0.19


# Versions of HTTP


@pytest.mark.parametrize(
    ("offered", "asked", "used"),
    [
        (["h2", "http/1.1"], "auto", "2"),
        (["h2"], "auto", "2"),
        (["http/1.1"], "auto", "1.1"),
        ([], "auto", "1.1"),
        (["h2", "http/1.1"], "1.1", "1.1"),
        (["h2", "http/1.1"], "2", "2"),
    ],
)
@pytest.mark.parametrize("connection", ["fresh", "reused"])
def test_the_version_of_http_is_the_one_that_both_speak(  # noqa: PLR0917 (its parameters)
    probe: Probe, pki: Pki, offered: list[str], asked: Any, used: str, connection: Any
) -> None:
    context = server_of(issue("site", pki.middle, names=("localhost",)), pki.middle)
    if offered:
        context.set_alpn_protocols(offered)
    expect = Expectations(body=compile_pattern("^Welcome$"), certificate_days=14)
    with HostileServer(by_alpn, context) as server:
        for _ in range(2):
            result = check(
                probe,
                server.url,
                tls=Tls(ca=pki.ca),
                http_version=asked,
                connection=connection,
                expect=expect,
                name=f"{offered}{asked}{connection}",
            )
            assert (result.outcome, result.error, result.http_version) == (UP, None, used)
            assert (result.tls_version, result.body_bytes) == ("TLSv1.3", 7)


@pytest.mark.parametrize(
    "header",
    [
        ("connection", "close"),
        ("upgrade", "h2,h2c"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "close"),
        ("te", "gzip"),
        ("content-length", "many"),
        ("content-length", ""),
        ("content-length", "7, 7"),
        ("content-length", "5"),
        (":version", "HTTP/2"),
    ],
)
def test_a_header_that_http_2_does_not_have_is_passed_over(probe: Probe, pki: Pki, header: tuple[str, str]) -> None:
    context = server_of(issue("site", pki.middle, names=("localhost",)), pki.middle)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with HostileServer(with_headers(header), context) as server:
        result = check(probe, server.url, tls=Tls(ca=pki.ca), expect=Expectations(body=compile_pattern("^Welcome$")))
    assert (result.outcome, result.error, result.http_version) == (UP, None, "1.1")


def over_http_2(probe: Probe, pki: Pki, behaviour: Behaviour, **more: Any) -> CheckResult:
    context = server_of(issue("site", pki.middle, names=("localhost",)), pki.middle)
    context.set_alpn_protocols(["h2", "http/1.1"])
    with HostileServer(behaviour, context) as server:
        return check(probe, server.url, tls=Tls(ca=pki.ca), **more)


@pytest.mark.parametrize(
    ("headers", "body", "text"),
    [
        ([("content-length", "9")], b"Welcome", "Welcome"),
        ([("content-length", "9")], None, ""),
        ([("content-encoding", "gzip"), ("content-length", "700")], zipped(LONG), LONG.decode()),
        ([("content-length", "50000")], b"x" * 40_000, "x" * 1000),
    ],
    ids=["too few", "none", "gzip with the length of the page", "in several frames"],
)
@pytest.mark.parametrize("connection", ["fresh", "reused"])
def test_the_end_of_a_stream_of_http_2_counts_and_not_the_length(  # noqa: PLR0917 (its parameters)
    probe: Probe, pki: Pki, headers: list[tuple[str, str]], body: bytes | None, text: str, connection: Any
) -> None:
    behaviour = responding("200", headers, body, instead=leave)
    expect = Expectations(body=compile_pattern(text))
    result = over_http_2(probe, pki, behaviour, expect=expect, connection=connection, http_version="2")
    assert (result.outcome, result.error, result.http_version) == (UP, None, "2")


@pytest.mark.parametrize(("headers", "body"), [([("content-length", "5")], None), ([], b"Welcome")])
def test_a_body_that_may_not_be_is_passed_over_in_http_2(
    probe: Probe, pki: Pki, headers: list[tuple[str, str]], body: bytes | None
) -> None:
    instead = answer(b"HTTP/1.1 204 No Content\r\n\r\n")
    result = over_http_2(probe, pki, responding("204", headers, body, instead=instead))
    assert (result.outcome, result.error, result.http_status) == (UP, None, 204)


def test_a_redirect_whose_length_is_wrong_in_http_2_is_followed(probe: Probe, pki: Pki) -> None:
    with HostileServer(FINE) as end:
        headers = [("location", end.url), ("content-length", "9")]
        assert over_http_2(probe, pki, responding("302", headers, instead=leave)).redirects == 1


def test_a_stream_of_http_2_without_an_end_is_not_whole(probe: Probe, pki: Pki) -> None:
    result = over_http_2(probe, pki, responding("200 OK", [], b"Welcome", instead=leave))
    assert result.outcome is Outcome.READ_ERROR

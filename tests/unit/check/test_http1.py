"""HTTP/1.1 read from bytes: what browsers and curl take is taken, what ends early or lies is told."""

import gzip
import http.client
import io
import zlib
from typing import Any

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from webmon.check.http1 import HEAD_LIMIT, Head, HttpError, NoAnswerError, Reader, request_bytes

OK = b"HTTP/1.1 200 OK\r\n"


def feed(*parts: bytes) -> Any:
    """Give these parts one by one, and then the end of the connection."""
    left = filter(None, parts)
    return lambda: next(left, b"")


def read(*parts: bytes, method: str = "GET") -> tuple[Head, bytes, bool]:
    reader = Reader(feed(*parts), method)
    head = reader.head()
    body = b"".join(reader.body(head))
    return head, body, reader.is_whole


def body_of(*parts: bytes, method: str = "GET") -> bytes:
    return read(*parts, method=method)[1]


def fault_of(*parts: bytes) -> str:
    with pytest.raises(HttpError) as caught:
        read(*parts)
    return str(caught.value)


def test_status_line_and_headers_are_read_as_latin1() -> None:
    head, _, _ = read(b"HTTP/1.0  404  Not  here\r\nA: b\r\nX-\xe9: \xff\0 \r\na:c\r\n\r\n")
    assert (head.version, head.status, head.reason) == ("1.0", 404, "Not  here")
    assert head.fields == (("A", "b"), ("X-\xe9", "\xff\0"), ("a", "c"))
    assert head.values("a") == ["b", "c"]


@pytest.mark.parametrize("start", [b"HTTP/1.1 200\r\n", b"HTTP/1.1 200 \n", b"HTTP/1.1 200 OK\n"])
def test_a_status_line_may_lack_what_people_leave_out(start: bytes) -> None:
    assert body_of(start + b"A: b\n\nhello") == b"hello"


@pytest.mark.parametrize(
    "start",
    [b"220 mail ESMTP\r\n", b"HTTP/2 200 OK\r\n", b"HTTP/1.1 1000 Odd\r\n", b"HTTP/1.1 abc\r\n", b"\r\n", b"\0\xff\n"],
)
def test_another_protocol_is_told_at_its_first_line(start: bytes) -> None:
    def receive() -> bytes:
        return parts.pop(0)  # and no more than the line

    parts = [start]
    with pytest.raises(HttpError, match="not HTTP/1: "):
        Reader(receive, "GET").head()


def test_a_header_may_go_on_in_the_next_line_and_what_is_none_is_passed_over() -> None:
    head, _, _ = read(OK + b"A: b\r\n\t c\r\nnonsense\r\n : d\r\n\r\n")
    assert head.fields == (("A", "b c : d"),)


def test_interim_responses_are_passed_over() -> None:
    head, body, _ = read(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"A: b\r\n\r\nhello"
    )
    assert (head.status, head.fields, body) == (200, (("A", "b"),), b"hello")


@pytest.mark.parametrize(
    "flood", [b"x" * 1000, b"X: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 " + b"x" * 99]
)
def test_a_header_without_end_is_bounded(flood: bytes) -> None:
    received = 0

    def receive() -> bytes:
        nonlocal received
        start = OK if received == 0 and flood.startswith(b"X") else b""
        received += len(start + flood)
        return start + flood

    with pytest.raises(HttpError):
        Reader(receive, "GET").head()
    assert received <= HEAD_LIMIT + 2000


def test_the_length_bounds_a_body_and_what_follows_spoils_the_connection() -> None:
    assert read(OK + b"Content-Length: 3\r\n\r\nabc")[1:] == (b"abc", True)
    assert read(OK + b"Content-Length: 3, 3\r\ncontent-length: 3\r\n\r\nabcdef")[1:] == (b"abc", False)
    assert fault_of(OK + b"Content-Length: 9\r\n\r\nabc") == "the body ended after 3 of 9 bytes"
    assert fault_of(OK + b"Content-Length: 9\r\nContent-Length: 3\r\n\r\nabc") == "Content-Length says 3 and 9"


@pytest.mark.parametrize("length", [b"many", b"-5", b"+5", b"", b"0x5", b"5 5", b"1" * 30])
def test_a_length_that_is_none_bounds_nothing(length: bytes) -> None:
    assert read(OK + b"Content-Length: " + length + b"\r\n\r\nabc")[1:] == (b"abc", False)


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", b"200 OK"), ("GET", b"204 No"), ("GET", b"304 No"), ("GET", b"101 Up")]
)
def test_some_responses_have_no_body_whatever_they_claim(method: str, status: bytes) -> None:
    response = b"HTTP/1.1 " + status + b"\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\n"
    assert read(response, method=method)[1:] == (b"", True)
    assert read(response + b"abc", method=method)[1:] == (b"", False)


CHUNKED = OK + b"Transfer-Encoding: Chunked\r\nContent-Length: 1\r\n\r\n"


def test_chunks_are_put_together_and_trailers_passed_over() -> None:
    assert read(CHUNKED + b"3;a=b\r\nabc\r\n0A \r\n0123456789\r\n000\r\nX: y\r\nZ: a\r\n\r\n")[1:] == (
        b"abc0123456789",
        True,
    )


@pytest.mark.parametrize(
    ("lie", "fault"),
    [
        (b"3\r\nabcdef\r\n0\r\n\r\n", "a chunk is longer than its size"),
        (b"F\r\nabc\r\n0\r\n\r\n", "the body ended in the middle of a chunk"),
        (b"3\r\nabc", "the connection ended in the line after a chunk"),
        (b"3\r\nabc\r\n", "the connection ended in a chunk's size"),
        (b"3\r\nabc\r\n0\r\n", "the connection ended in the trailers"),
        (b"-3\r\nabc\r\n0\r\n\r\n", "a chunk's size is b'-3'"),
        (b"0x3\r\nabc\r\n0\r\n\r\n", "a chunk's size is b'0x3'"),
        (b"\r\nabc", "a chunk's size is b''"),
        (b"1" * 17 + b"\r\nabc", "a chunk's size is b'11111111111111111'"),
        (b"3;" + b"x" * 9000 + b"\r\nabc", "too long: a chunk's size"),
        (b"0\r\n" + b"X: y\r\n" * 50_000, "too long: the trailers"),
    ],
)
def test_chunks_that_lie_are_told(lie: bytes, fault: str) -> None:
    assert fault_of(CHUNKED + lie) == fault


def test_without_an_answer_or_in_the_middle_of_its_header() -> None:
    with pytest.raises(NoAnswerError):
        read(b"")
    assert fault_of(b"HTTP/1.") == "the connection ended in the header"
    assert fault_of(OK + b"Content-Le") == "the connection ended in the header"


def packed(body: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(wbits=wbits)
    return packer.compress(body) + packer.flush()


PAGE = bytes(range(256)) * 300
PACKED: dict[str, tuple[bytes, bytes]] = {
    "gzip": (b"gzip", gzip.compress(PAGE)),
    "x-gzip": (b"x-gzip", gzip.compress(PAGE)),
    "two gzips": (b"GZIP", gzip.compress(PAGE[:9]) + gzip.compress(PAGE[9:])),
    "gzip and what does not belong": (b"gzip", gzip.compress(PAGE) + b"more"),
    "deflate": (b"deflate", packed(PAGE, 15)),
    "bare deflate": (b"deflate", packed(PAGE, -15)),
    "both": (b"deflate, gzip", gzip.compress(packed(PAGE, 15))),
    "none": (b"identity", PAGE),
    "one that we do not know": (b"br", PAGE),
}


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
@pytest.mark.parametrize("name", PACKED)
def test_a_packed_body_is_unpacked(name: str, size: int) -> None:
    coding, body = PACKED[name]
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    assert body_of(OK + b"Content-Encoding: " + coding + b"\r\n\r\n", *pieces) == PAGE


def test_an_empty_body_need_not_be_packed() -> None:
    assert body_of(OK + b"Content-Encoding: gzip\r\nContent-Length: 0\r\n\r\n") == b""


@pytest.mark.parametrize(
    ("coding", "body", "fault"),
    [
        (b"gzip", b"no gzip", "the body cannot be unpacked: Error -3"),
        (b"deflate", b"\xff\xff\xff", "the body cannot be unpacked: Error -3"),
        (b"gzip", gzip.compress(PAGE)[:-1], "the body ended before all of it could be unpacked"),
        (b", ".join([b"gzip"] * 6), b"", "the body is packed 6 times"),
    ],
)
def test_a_body_that_cannot_be_unpacked_is_told(coding: bytes, body: bytes, fault: str) -> None:
    assert fault_of(OK + b"Content-Encoding: " + coding + b"\r\n\r\n" + body).startswith(fault)


def test_a_bomb_comes_in_small_pieces() -> None:
    bomb = gzip.compress(bytes(20 << 20))
    reader = Reader(feed(OK + b"Content-Encoding: gzip\r\n\r\n" + bomb), "GET")
    sizes = [len(piece) for piece in reader.body(reader.head())]
    assert (sum(sizes), max(sizes)) == (20 << 20, 64 << 10)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_however_the_bytes_arrive_the_response_is_what_http_client_reads(data: st.DataObject) -> None:
    body = data.draw(st.binary(max_size=40))
    framing = data.draw(st.sampled_from(["length", "chunks", "close"]))
    token = st.text("abcXYZ09-", min_size=1, max_size=8)
    names = data.draw(st.lists(token.map(lambda word: "X" + word), max_size=5))
    lines = [f"{name}:{data.draw(st.sampled_from(['', ' ', '  ']))}{data.draw(token)}".encode() for name in names]
    payload = body
    if framing == "length":
        lines.append(b"Content-Length: %d" % len(body))
    elif framing == "chunks":
        lines.append(b"Transfer-Encoding: chunked")
        cut = data.draw(st.integers(0, len(body)))
        payload = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
        payload += b"0\r\n\r\n"
    wire = b"\r\n".join([b"HTTP/1.1 203 Odd", *lines, b"", payload])
    cuts = sorted(data.draw(st.lists(st.integers(1, len(wire)), max_size=6)))
    head, got, _ = read(*(wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)))

    theirs = http.client.HTTPResponse(_Wire(wire))  # type: ignore[arg-type]
    theirs.begin()
    assert (head.status, head.reason, list(head.fields)) == (theirs.status, theirs.reason, theirs.getheaders())
    assert got == theirs.read() == body


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.binary(max_size=30)
        | st.sampled_from([OK, b"\r\n", b"\r\n\r\n", b"Transfer-Encoding: chunked", b"5\r\n", b"Content-Length: 3"]),
        max_size=12,
    )
)
def test_no_bytes_make_anything_but_a_response_or_the_right_error(parts: list[bytes]) -> None:
    try:
        read(OK, *parts)
    except HttpError as error:
        assert str(error)  # noqa: PT017


class _Wire:
    """As much of a socket as http.client needs."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire

    def makefile(self, _mode: str) -> io.BytesIO:
        return io.BytesIO(self._wire)


def prepared(url: str, **more: Any) -> requests.PreparedRequest:
    return requests.Request(more.pop("method", "GET"), url, **more).prepare()


@pytest.mark.parametrize(
    ("url", "first_lines"),
    [
        ("http://Example.org", b"GET / HTTP/1.1\r\nHost: example.org\r\n"),
        ("http://example.org:80/a?b=c#d", b"GET /a?b=c HTTP/1.1\r\nHost: example.org\r\n"),
        ("https://example.org:443/", b"GET / HTTP/1.1\r\nHost: example.org\r\n"),
        ("https://example.org:80/", b"GET / HTTP/1.1\r\nHost: example.org:80\r\n"),
        ("http://[::1]:8080/", b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n"),
        ("http://bücher.example/ü", b"GET /%C3%BC HTTP/1.1\r\nHost: xn--bcher-kva.example\r\n"),
    ],
)
def test_a_request_names_its_host(url: str, first_lines: bytes) -> None:
    assert request_bytes(prepared(url)) == first_lines + b"\r\n"


def test_a_request_carries_its_headers_and_body() -> None:
    request = prepared("http://a/", method="POST", headers={"Host": "b", "X": "\xe9"}, data=b"hello")
    assert request_bytes(request) == b"POST / HTTP/1.1\r\nHost: b\r\nX: \xe9\r\nContent-Length: 5\r\n\r\nhello"


def test_a_request_to_a_proxy_names_the_whole_url() -> None:
    wire = request_bytes(prepared("http://a:81/x?y"), absolute=True, proxy_authorization="Basic abc")
    assert wire == b"GET http://a:81/x?y HTTP/1.1\r\nHost: a:81\r\nProxy-Authorization: Basic abc\r\n\r\n"

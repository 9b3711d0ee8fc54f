"""A WebSocket: its upgrade, its messages, and servers that keep to no protocol."""

import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.deadline import check_in_time
from tests.hostile import (
    AUTHORITY,
    STRANGER,
    Behaviour,
    HostileServer,
    answer,
    hang,
    now_and,
    page,
    reset,
    server_context,
)
from tests.streams import drop_by_drop, frame, read_frame, upgraded, without_end
from tests.waiting import wait_until
from webmon.check import course
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe
from webmon.check.resolver import resolve_here
from webmon.check.result import CheckResult, Outcome, decode, encode
from webmon.check.target import Step, Target, Tls
from webmon.check.verdict import Expectations

SLOT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIMEOUT = 0.5
"""Of checks that are meant to reach their deadline."""
ENOUGH = 10.0
_UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"


@pytest.fixture(autouse=True, scope="module")
def a_machine_that_is_busy_is_no_subject_here() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course, "_HELD_UP_SECS", 60.0)
        yield


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    made = Probe(agent="here", resolve=resolve_here, authorities=(path,))
    yield made
    made.close()


def expect(pattern: str) -> Step:
    return Step(expect=compile_pattern(pattern))


def send(text: bytes) -> Step:
    return Step(send=text)


def check_server(
    probe: Probe,
    behaviour: Behaviour,
    *dialogue: Step,
    server_tls: ssl.SSLContext | None = None,
    server_ends: Callable[[], bool] = lambda: True,
    **more: Any,
) -> CheckResult:
    with HostileServer(behaviour, server_tls) as server:
        url = server.url.replace("http", "ws") + "feed?a=b%20c"
        settings: dict[str, Any] = {"name": "t", "url": url, "interval": 60, "timeout": ENOUGH, "dialogue": dialogue}
        target = Target(**(settings | more))
        result = check_in_time(probe, target, SLOT)
        wait_until(server_ends)
    assert decode(encode(result)) == result
    return result


def test_a_server_that_goes_over_to_websocket_is_up(probe: Probe) -> None:
    requests: list[bytes] = []
    result = check_server(probe, upgraded(requests=requests))
    assert (result.outcome, result.error, result.kind) == (Outcome.UP, None, "ws")
    assert (result.http_status, result.http_version, result.remote_ip) == (101, "1.1", "127.0.0.1")
    assert (result.answer, result.body_bytes, result.tls_version) == (None, None, None)
    assert 0 < (result.response_time or 0) <= result.total_time
    spent = [result.phases.connect, result.phases.first_byte, result.phases.transfer]
    assert all(phase is not None and phase >= 0 for phase in spent)
    (request,) = requests
    assert request.startswith(b"GET /feed?a=b%20c HTTP/1.1\r\nHost: localhost:")
    assert b"\r\nUser-Agent: webmon/" in request
    assert request.count(b"\r\nConnection: Upgrade\r\n") == request.count(b"Connection:") == 1
    assert result.total_time < ENOUGH / 2, "nothing is waited for"


def test_headers_of_the_target_go_with_the_upgrade(probe: Probe) -> None:
    requests: list[bytes] = []
    headers = {
        "Authorization": "Bearer s3cret",
        "Sec-WebSocket-Protocol": "mqtt",
        "Cookie": "a=b",
        "Sec-WebSocket-Key": "mine",
    }
    for _ in range(2):
        agrees = _UPGRADE + b"Sec-WebSocket-Protocol: mqtt\r\n"
        result = check_server(probe, upgraded(requests=requests, headers=agrees), headers=headers)
        assert result.outcome is Outcome.UP, result.error
    for line in (b"Authorization: Bearer s3cret", b"Sec-WebSocket-Protocol: mqtt", b"Cookie: a=b"):
        assert requests[0].count(line) == 1
    keys = {
        line for request in requests for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
    }
    assert len(keys) == 2, "each has one of its own"


def test_wss_tells_what_https_does(probe: Probe) -> None:
    result = check_server(probe, upgraded(), server_tls=server_context(), expect=Expectations(certificate_days=30))
    assert (result.outcome, result.kind, result.tls_version) == (Outcome.UP, "wss", "TLSv1.3"), result.error
    assert result.tls_not_after is not None
    context = server_context(AUTHORITY.issue_cert("localhost", not_after=now_and(days=9)))
    soon = check_server(probe, upgraded(), server_tls=context, expect=Expectations(certificate_days=30))
    assert soon.outcome is Outcome.CERTIFICATE_EXPIRING


@pytest.mark.parametrize(
    ("leaf", "why"),
    [
        (AUTHORITY.issue_cert("other.example"), "Hostname mismatch, certificate is not valid for 'localhost'."),
        (STRANGER.issue_cert("localhost"), "unable to get local issuer certificate"),
    ],
)
def test_a_certificate_that_is_not_right_is_a_tls_error(probe: Probe, leaf: Any, why: str) -> None:
    result = check_server(probe, upgraded(), server_tls=server_context(leaf))
    assert result.outcome is Outcome.TLS_ERROR
    assert result.error == f"in the TLS handshake: certificate refused: {why}"
    unseen = check_server(probe, upgraded(), server_tls=server_context(leaf), tls=Tls(verify=False))
    assert (unseen.outcome, unseen.tls_not_after) == (Outcome.UP, None)


@pytest.mark.parametrize("server_tls", [None, server_context()])
def test_messages_are_sent_and_awaited(probe: Probe, server_tls: ssl.SSLContext | None) -> None:
    heard: list[tuple[int, bytes]] = []

    def behave(connection: socket.socket) -> None:
        connection.sendall(frame(b"welcome"))
        heard.append(read_frame(connection))
        connection.sendall(frame(b"noise") + frame(b"pong \xe2\x9c\x93"))
        heard.append(read_frame(connection))

    dialogue = expect("^welcome$"), send(b'{"op":"ping"}'), expect("^pong .$")
    result = check_server(
        probe, upgraded(behave), *dialogue, server_tls=server_tls, server_ends=lambda: len(heard) == 2
    )
    assert (result.outcome, result.error, result.answer) == (Outcome.UP, None, "welcome")
    assert heard == [(1, b'{"op":"ping"}'), (8, b"\x03\xe8")], "and it takes its leave"


def test_the_response_time_is_from_our_last_word_to_the_message_that_was_awaited(probe: Probe) -> None:
    def late(connection: socket.socket) -> None:
        time.sleep(0.6)
        connection.sendall(frame(b"hello"))
        read_frame(connection)
        time.sleep(0.2)
        connection.sendall(frame(b"world"))
        hang(connection)

    dialogue = expect("hello"), send(b"x"), expect("world")
    result = check_server(probe, upgraded(late), *dialogue)
    # Half of what it waited: a busy machine may take a moment to see that our word is sent.
    assert 0.1 <= (result.response_time or 0) <= result.total_time - 0.6
    slow = check_server(probe, upgraded(late), *dialogue, expect=Expectations(max_response_time=0.1))
    assert slow.outcome is Outcome.SLOW


def test_what_comes_with_the_upgrade_is_not_waited_for(probe: Probe) -> None:
    both = upgraded(said=frame(b"one") + frame(b"two"))
    assert check_server(probe, both, expect("one"), expect("two")).outcome is Outcome.UP
    assert check_server(probe, both, expect("^o"), expect("^t"), server_tls=server_context()).outcome is Outcome.UP
    assert check_server(probe, both).answer in ("one", None)


def test_a_byte_that_is_no_utf_8_hides_nothing_from_a_dialogue(probe: Probe) -> None:
    behaviour = upgraded(said=frame(b"price \xff 42", 2))
    assert check_server(probe, behaviour, expect(r"^price.*\d+$")).outcome is Outcome.UP


def test_a_message_in_parts_is_one(probe: Probe) -> None:
    def behave(connection: socket.socket) -> None:
        for part in (
            frame(b"all is ", ends=False),
            frame(b"ping", 9),
            frame(b"", 0, ends=False),
            frame(b"w", 0, ends=False)[:1],
            frame(b"w", 0, ends=False)[1:],
            frame(b"ell", 0),
        ):
            connection.sendall(part)
            time.sleep(0.02)
        hang(connection)

    result = check_server(probe, upgraded(behave), expect("^all is well$"))
    assert (result.outcome, result.answer) == (Outcome.UP, "all is well"), result.error


def test_a_ping_is_answered_while_a_message_is_awaited(probe: Probe) -> None:
    def behave(connection: socket.socket) -> None:
        connection.sendall(frame(b"are you there", 9))
        if read_frame(connection) == (10, b"are you there"):
            connection.sendall(frame(b"good"))
        hang(connection)

    assert check_server(probe, upgraded(behave), expect("good")).outcome is Outcome.UP


def byte_by_byte(connection: socket.socket, text: bytes) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in text:
        connection.sendall(bytes([byte]))
        time.sleep(0.01)


def test_a_ping_that_comes_in_pieces_is_answered_once_and_whole(probe: Probe) -> None:
    heard: list[tuple[int, bytes]] = []

    def behave(connection: socket.socket) -> None:
        byte_by_byte(connection, frame(b"hello", 9))
        heard.append(read_frame(connection))
        connection.sendall(frame(b"good"))
        heard.append(read_frame(connection))

    check = check_server(probe, upgraded(behave), expect("good"), server_ends=lambda: len(heard) == 2)
    assert check.outcome is Outcome.UP
    assert heard == [(10, b"hello"), (8, b"\x03\xe8")]


def test_a_leave_that_comes_in_pieces_is_told_with_its_code(probe: Probe) -> None:
    def behave(connection: socket.socket) -> None:
        byte_by_byte(connection, frame(b"\x03\xf0go away", 8))
        hang(connection)

    result = check_server(probe, upgraded(behave), expect("good"))
    assert result.outcome is Outcome.READ_ERROR
    assert result.error == "waiting for 'good': the server closed the WebSocket with 1008"


def test_a_long_message_is_sent_whole(probe: Probe) -> None:
    text = os.urandom(1 << 20).hex().encode()
    heard: list[bool] = []

    def late(connection: socket.socket) -> None:
        time.sleep(0.3)
        heard.append(read_frame(connection) == (1, text))
        connection.sendall(frame(b"all"))
        hang(connection)

    for server_tls in (None, server_context()):
        assert (
            check_server(probe, upgraded(late), send(text), expect("all"), server_tls=server_tls).outcome is Outcome.UP
        )
    assert heard == [True, True]


@pytest.mark.parametrize("status", [b"200 OK", b"302 Found\r\nLocation: /elsewhere", b"401 Unauthorized", b"503 Busy"])
@pytest.mark.parametrize("then", [hang, lambda _: None])
def test_a_refused_upgrade_is_told_by_its_status(probe: Probe, status: bytes, then: Behaviour) -> None:
    refused = answer(b"HTTP/1.1 " + status + b"\r\nContent-Length: 9\r\n\r\n", then=then)
    result = check_server(probe, refused)
    code = int(status[:3])
    assert (result.outcome, result.http_status) == (Outcome.STATUS_MISMATCH, code)
    assert result.error == f"status {code}, expected 101"


@pytest.mark.parametrize("accept", [b"AAAA", b"", b"\x1b[2J"])
def test_an_upgrade_of_another_request_counts_for_nothing(probe: Probe, accept: bytes) -> None:
    result = check_server(probe, upgraded(accept=accept))
    assert result.outcome in (Outcome.HEADER_MISMATCH, Outcome.READ_ERROR)
    assert "Sec-WebSocket-Accept" in str(result.error) or accept == b"\x1b[2J"
    assert str(result.error).isprintable()
    bare = check_server(
        probe, answer(b"HTTP/1.1 101 Up\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", then=hang)
    )
    assert bare.outcome is Outcome.HEADER_MISMATCH
    assert str(bare.error).startswith("header Sec-WebSocket-Accept is not there, expected ")


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        (b"Connection: Upgrade\r\n", "header Upgrade is not there, expected 'websocket'"),
        (b"Upgrade: h2c\r\nConnection: Upgrade\r\n", "header Upgrade is 'h2c', expected 'websocket'"),
        (b"Upgrade: websocket\r\n" + _UPGRADE, "header Upgrade is 'websocket, websocket', expected 'websocket'"),
        (b"Upgrade: websocket\r\n", "header Connection is not there, expected 'Upgrade'"),
        (b"Upgrade: websocket\r\nConnection: close\r\n", "header Connection is 'close', expected 'Upgrade'"),
        (
            _UPGRADE + b"Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n",
            "header Sec-WebSocket-Extensions is 'permessage-deflate; client_no_context_takeover', nobody asked for it",
        ),
        (
            _UPGRADE + b"Sec-WebSocket-Protocol: \x1b[2J\r\n",
            r"header Sec-WebSocket-Protocol is '\x1b[2J', nobody asked for it",
        ),
    ],
)
def test_an_upgrade_that_browsers_refuse_is_a_header_mismatch(probe: Probe, headers: bytes, error: str) -> None:
    result = check_server(probe, upgraded(headers=headers))
    assert (result.outcome, result.error, result.http_status) == (Outcome.HEADER_MISMATCH, error, 101)


@pytest.mark.parametrize(
    "headers",
    [
        b"upgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\n",
        b"Upgrade: websocket\r\nConnection: keep-alive\r\nConnection: Upgrade\r\n",
        _UPGRADE + b"Sec-WebSocket-Protocol:\r\nSec-WebSocket-Extensions:\r\n",
        _UPGRADE + b"Server: nginx\r\nSet-Cookie: a=b\r\n",
    ],
)
def test_an_upgrade_that_browsers_take_is_up(probe: Probe, headers: bytes) -> None:
    result = check_server(probe, upgraded(headers=headers))
    assert (result.outcome, result.error) == (Outcome.UP, None)


@pytest.mark.parametrize(
    ("answered", "error"),
    [
        (b"Sec-WebSocket-Protocol: prices.v1\r\n", None),
        (b"Sec-WebSocket-Protocol: prices.v2\r\n", None),
        (b"", "header Sec-WebSocket-Protocol is not there, expected one of those that were asked for"),
        (
            b"Sec-WebSocket-Protocol: Prices.v1\r\n",
            "header Sec-WebSocket-Protocol is 'Prices.v1', expected one of those that were asked for",
        ),
        (
            b"Sec-WebSocket-Protocol: prices.v2, prices.v1\r\n",
            "header Sec-WebSocket-Protocol is 'prices.v2, prices.v1', expected one of those that were asked for",
        ),
    ],
)
def test_of_the_protocols_that_were_asked_for_one_is_the_answer(
    probe: Probe, answered: bytes, error: str | None
) -> None:
    asked = {"sec-websocket-protocol": "prices.v2, prices.v1"}
    result = check_server(probe, upgraded(headers=_UPGRADE + answered), headers=asked)
    assert (result.outcome, result.error) == (Outcome.HEADER_MISMATCH if error else Outcome.UP, error)


def test_an_extension_that_was_asked_for_may_be_agreed_on(probe: Probe) -> None:
    agrees = upgraded(headers=_UPGRADE + b"Sec-WebSocket-Extensions: X-Mux; max=4\r\n")
    assert check_server(probe, agrees, headers={"Sec-WebSocket-Extensions": "x-other, X-Mux"}).outcome is Outcome.UP


@dataclass(frozen=True)
class Case:
    """What a server does, and what a check that awaits 'good' must say of it."""

    behaviour: Behaviour
    outcome: Outcome
    error: str
    timeout: float = ENOUGH


def reset_later(connection: socket.socket) -> None:
    time.sleep(0.1)
    reset(connection)


_CLOSED = "the server closed the connection"
_BROKE = "waiting for 'good': the server broke the rules of WebSocket: "
HOSTILE = {
    "accepts and says nothing": Case(
        hang, Outcome.TIMEOUT, "not done within 0.5 s: waiting for the first byte", TIMEOUT
    ),
    "closes at once": Case(lambda _: None, Outcome.READ_ERROR, f"waiting for the first byte: {_CLOSED}"),
    "resets": Case(answer(then=reset), Outcome.READ_ERROR, f"waiting for the first byte: {_CLOSED} (Connection reset"),
    "drips": Case(drop_by_drop(b"x"), Outcome.READ_ERROR, ""),
    "speaks another protocol": Case(answer(b"220 mail.example ESMTP\r\n"), Outcome.READ_ERROR, ""),
    "stops in the header": Case(
        answer(b"HTTP/1.1 101 Up\r\nUpgr", then=hang), Outcome.TIMEOUT, "not done within 0.5 s: ", TIMEOUT
    ),
    "closes in the header": Case(
        answer(b"HTTP/1.1 101 Up\r\nUpgr"), Outcome.READ_ERROR, f"reading the response: {_CLOSED}"
    ),
    "floods header lines": Case(
        answer(b"HTTP/1.1 101 Up\r\n", then=without_end(b"X: y\r\n" * 999)), Outcome.READ_ERROR, ""
    ),
    "is a page": Case(page(b"good"), Outcome.STATUS_MISMATCH, "status 200, expected 101"),
    "says nothing after the upgrade": Case(
        upgraded(), Outcome.TIMEOUT, "not done within 0.5 s: waiting for 'good'", TIMEOUT
    ),
    "closes after the upgrade": Case(
        upgraded(lambda _: None), Outcome.READ_ERROR, f"waiting for 'good': {_CLOSED} without an answer"
    ),
    "takes its leave after the upgrade": Case(
        upgraded(said=frame(b"\x03\xf0go", 8)),
        Outcome.READ_ERROR,
        "waiting for 'good': the server closed the WebSocket with 1008",
    ),
    "takes its leave after another message": Case(
        upgraded(said=frame(b"no") + frame(b"", 8)),
        Outcome.BODY_MISMATCH,
        "waiting for 'good': the server closed the WebSocket, after 'no'",
    ),
    "says another thing": Case(
        upgraded(said=frame(b"\x1b[2Jbad")),
        Outcome.BODY_MISMATCH,
        r"waiting for 'good': what came does not match: '\x1b[2Jbad'",
        TIMEOUT,
    ),
    "says it in two messages": Case(
        upgraded(said=frame(b"go") + frame(b"od")),
        Outcome.BODY_MISMATCH,
        "waiting for 'good': what came does not match: 'good'",
        TIMEOUT,
    ),
    "never ends a message": Case(
        upgraded(said=frame(b"good", ends=False)),
        Outcome.BODY_MISMATCH,
        "waiting for 'good': what came does not match: 'good'",
        TIMEOUT,
    ),
    "sends a frame of 10 MB": Case(
        upgraded(lambda connection: connection.sendall(frame(b"x" * (10 << 20)))),
        Outcome.BODY_MISMATCH,
        "waiting for 'good': nothing in the first 65536 bytes matches: 'xxx",
    ),
    "sends messages without end": Case(
        upgraded(without_end(frame(b"bad") * 999)),
        Outcome.BODY_MISMATCH,
        "waiting for 'good': nothing in the first 65536 bytes matches: 'bad",
    ),
    "sends empty messages without end": Case(
        upgraded(without_end(frame(b"") * 999)),
        Outcome.BODY_MISMATCH,
        "waiting for 'good': nothing in the first 65536 bytes matches: ''",
    ),
    "pings without end": Case(
        upgraded(without_end(frame(b"p", 9) * 999)),
        Outcome.BODY_MISMATCH,
        "waiting for 'good': nothing in the first 65536 bytes matches: ''",
    ),
    "sends a frame of no kind": Case(upgraded(said=b"\x83\x02hi"), Outcome.READ_ERROR, f"{_BROKE}invalid opcode: 83"),
    "masks its frames": Case(upgraded(said=b"\x81\x82AAAAhi"), Outcome.READ_ERROR, f"{_BROKE}masked input frame"),
    "packs a message that nobody asked to be packed": Case(
        upgraded(said=b"\xc1\x02hi"), Outcome.READ_ERROR, f"{_BROKE}invalid reserved bits: c1"
    ),
    "begins a message within another": Case(
        upgraded(said=frame(b"go", ends=False) + frame(b"od")),
        Outcome.BODY_MISMATCH,
        f"{_BROKE}fragmented message interrupted by new TEXT msg, after 'go'",
    ),
    "sends a ping of a kilobyte": Case(
        upgraded(said=frame(b"x" * 1000, 9)), Outcome.READ_ERROR, f"{_BROKE}received PING frame is too big"
    ),
    "claims a frame of all the bytes there are": Case(
        upgraded(said=b"\x81\x7f" + b"\xff" * 8), Outcome.READ_ERROR, f"{_BROKE}frame length longer than 63 bits"
    ),
    "resets after the upgrade": Case(
        upgraded(reset_later),
        Outcome.READ_ERROR,
        f"waiting for 'good': {_CLOSED} (Connection reset by peer)",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_server_that(probe: Probe, name: str) -> None:
    case = HOSTILE[name]
    result = check_server(probe, case.behaviour, expect("good"), timeout=case.timeout)
    assert result.outcome is case.outcome, result.error
    assert str(result.error).startswith(case.error)
    assert str(result.error).isprintable()
    assert (result.answer or "").isprintable()
    assert result.remote_ip == "127.0.0.1"


def test_a_server_that_does_not_read_is_a_timeout(probe: Probe) -> None:
    over = threading.Event()
    deaf = upgraded(lambda _: over.wait(60))
    for server_tls in (None, server_context()):
        result = check_server(probe, deaf, send(b"x" * (32 << 20)), server_tls=server_tls, timeout=2)
        assert (result.outcome, result.error) == (Outcome.TIMEOUT, "not done within 2 s: sending")
    over.set()


def test_a_secret_that_a_server_says_back_stands_nowhere(probe: Probe) -> None:
    behaviour = upgraded(said=frame(b"no user s3cret"))
    headers = {"Authorization": "Bearer s3cret"}
    result = check_server(probe, behaviour, expect("x"), headers=headers, secrets=("s3cret",), timeout=TIMEOUT)
    assert result.answer == "no user ***"
    assert "s3cret" not in str(result.error)


@pytest.mark.parametrize("server_tls", [None, server_context()])
def test_no_descriptor_is_left_whatever_the_end(probe: Probe, server_tls: ssl.SSLContext | None) -> None:
    def run() -> None:
        for behaviour in (hang, lambda _: None, upgraded(), upgraded(accept=b"A"), upgraded(reset), page(b"x")):
            check_server(probe, behaviour, expect("y"), server_tls=server_tls, timeout=0.2)
        check_server(probe, upgraded(), server_tls=server_tls)

    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    run()
    before = count()
    run()
    wait_until(lambda: count() <= before, "the descriptors of the servers are closed")

"""A stream: its connection, its dialogue, its TLS, and servers that keep to no protocol."""

import errno
import os
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from tests.certificates import issue, pem, server_of
from tests.deadline import check_in_time
from tests.hostile import (
    AUTHORITY,
    STRANGER,
    Behaviour,
    HostileServer,
    full_backlog,
    hang,
    now_and,
    reset,
    server_context,
)
from tests.streams import GREETING, drop_by_drop, goes_over_to_tls, mail, say, turns, without_end
from tests.unit.check.test_as_browsers import Pki
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
MAIL = sorted(GREETING)


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


STARTTLS = Step(starttls=True)


def check(probe: Probe, url: str, *dialogue: Step, **more: Any) -> CheckResult:
    settings: dict[str, Any] = {"name": "t", "url": url, "interval": 60, "timeout": ENOUGH, "dialogue": dialogue}
    target = Target(**(settings | more))
    result = check_in_time(probe, target, SLOT)
    assert decode(encode(result)) == result
    return result


def at(server: HostileServer, kind: str = "tcp") -> str:
    return f"{kind}://localhost:{server.port}"


def check_server(
    probe: Probe,
    behaviour: Behaviour,
    *dialogue: Step,
    kind: str = "tcp",
    server_tls: ssl.SSLContext | None = None,
    **more: Any,
) -> CheckResult:
    with HostileServer(behaviour, server_tls) as server:
        return check(probe, at(server, kind), *dialogue, **more)


# Without a dialogue


def test_a_port_that_accepts_is_up(probe: Probe) -> None:
    result = check_server(probe, hang)
    assert (result.outcome, result.error, result.kind, result.answer) == (Outcome.UP, None, "tcp", None)
    assert (result.remote_ip, result.tls_version, result.http_status) == ("127.0.0.1", None, None)
    assert (result.response_time or 0) >= (result.phases.connect or 0) > 0
    assert (result.phases.tls, result.phases.first_byte, result.phases.transfer) == (None, None, None)
    assert result.total_time < ENOUGH / 2, "nothing is waited for"


def test_a_port_that_refuses_is_a_connect_error(probe: Probe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = check(probe, f"tcp://localhost:{port}")
    assert (result.outcome, result.error) == (Outcome.CONNECT_ERROR, "connecting: Connection refused")
    assert result.response_time is None


def test_a_port_that_does_not_answer_is_a_timeout(probe: Probe) -> None:
    with full_backlog() as port:
        result = check(probe, f"tcp://127.0.0.1:{port}", timeout=TIMEOUT)
    assert (result.outcome, result.error) == (Outcome.TIMEOUT, "not done within 0.5 s: connecting")


def test_no_descriptors_left_is_our_own_fault(probe: Probe) -> None:
    with HostileServer(hang) as server:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        target = Target("t", f"tcp://127.0.0.1:{server.port}", 60, ENOUGH)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            result = probe.check(target, SLOT)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert result.outcome is Outcome.AGENT_ERROR
    assert os.strerror(errno.EMFILE) in str(result.error)


def test_tls_tells_its_version_its_certificate_and_its_time(probe: Probe) -> None:
    ends = now_and(days=20).replace(microsecond=0)
    context = server_context(AUTHORITY.issue_cert("localhost", not_after=ends))
    result = check_server(probe, hang, kind="tls", server_tls=context)
    assert (result.outcome, result.error) == (Outcome.UP, None)
    assert (result.tls_version, result.tls_not_after) == ("TLSv1.3", ends)
    assert (result.response_time or 0) >= (result.phases.tls or 0) > 0


WAYS: dict[str, tuple[str, tuple[Step, ...], Callable[[Callable[[], ssl.SSLContext]], HostileServer]]] = {
    "tls": ("tls", (), lambda context: HostileServer(hang, context())),
    "tcp with starttls": ("tcp", (STARTTLS,), lambda context: HostileServer(goes_over_to_tls(context=context))),
    **{kind: (kind, (), lambda context, kind=kind: HostileServer(mail(kind, context=context))) for kind in MAIL},  # type: ignore[misc]
}
"""How a connection becomes TLS: the kind, its dialogue, and a server with such a certificate."""


@pytest.mark.parametrize(
    ("leaf", "why"),
    [
        (
            lambda: AUTHORITY.issue_cert("localhost", not_before=now_and(days=-9), not_after=now_and(days=-1)),
            "certificate refused: certificate has expired",
        ),
        (
            lambda: AUTHORITY.issue_cert("other.example"),
            "certificate refused: Hostname mismatch, certificate is not valid for 'localhost'.",
        ),
        (
            lambda: STRANGER.issue_cert("localhost"),
            "certificate refused: unable to get local issuer certificate",
        ),
    ],
)
@pytest.mark.parametrize("way", WAYS)
def test_a_certificate_that_is_not_right_is_a_tls_error(
    probe: Probe, leaf: Callable[[], Any], why: str, way: str
) -> None:
    kind, dialogue, made = WAYS[way]
    with made(lambda: server_context(leaf())) as server:
        result = check(probe, at(server, kind), *dialogue)
    assert (result.outcome, result.error) == (Outcome.TLS_ERROR, f"in the TLS handshake: {why}")


@pytest.mark.parametrize("way", WAYS)
def test_a_name_in_the_subject_alone_counts_for_nobody(probe: Probe, tmp_path: Path, way: str) -> None:
    pki = Pki(tmp_path)
    kind, dialogue, made = WAYS[way]
    with made(lambda: server_of(issue("localhost", pki.root))) as server:
        result = check(probe, at(server, kind), *dialogue, tls=Tls(ca=pki.ca))
    assert result.outcome is Outcome.TLS_ERROR
    assert str(result.error).startswith("in the TLS handshake: certificate refused: ")


@pytest.mark.parametrize("way", WAYS)
def test_a_certificate_or_an_intermediate_that_ends_soon_is_told(probe: Probe, tmp_path: Path, way: str) -> None:
    pki = Pki(tmp_path)
    kind, dialogue, made = WAYS[way]
    middle = issue("middle", pki.root, days=10)
    with made(lambda: server_of(issue("localhost", middle, names=("localhost",)), middle)) as server:
        soon = check(probe, at(server, kind), *dialogue, tls=Tls(ca=pki.ca), expect=Expectations(certificate_days=30))
        up = check(probe, at(server, kind), *dialogue, tls=Tls(ca=pki.ca), expect=Expectations(certificate_days=5))
    assert soon.outcome is Outcome.CERTIFICATE_EXPIRING
    assert str(soon.error).startswith("the certificate ends in ")
    assert (up.outcome, up.tls_version) == (Outcome.UP, "TLSv1.3"), up.error
    assert up.tls_not_after is not None
    assert up.tls_not_after > now_and(days=200), "it is the server's own that is told"


@pytest.mark.parametrize("way", WAYS)
def test_an_authority_of_the_target_need_not_be_a_root(probe: Probe, tmp_path: Path, way: str) -> None:
    pki = Pki(tmp_path)
    authority = tmp_path / "middle.pem"
    authority.write_bytes(pki.middle[0].public_bytes(serialization.Encoding.PEM))
    kind, dialogue, made = WAYS[way]
    with made(lambda: server_of(issue("localhost", pki.middle, names=("localhost",)))) as server:
        result = check(probe, at(server, kind), *dialogue, tls=Tls(ca=authority))
    assert result.outcome is Outcome.UP, result.error


@pytest.mark.parametrize("way", WAYS)
def test_a_certificate_that_is_not_looked_at_may_be_any(probe: Probe, way: str) -> None:
    kind, dialogue, made = WAYS[way]
    with made(lambda: server_context(STRANGER.issue_cert("other.example"))) as server:
        result = check(probe, at(server, kind), *dialogue, tls=Tls(verify=False))
    assert (result.outcome, result.tls_version, result.tls_not_after) == (Outcome.UP, "TLSv1.3", None), result.error


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("dialogue", [(), (STARTTLS,)])
def test_what_speaks_no_tls_is_a_tls_error(probe: Probe, dialogue: tuple[Step, ...], verify: bool) -> None:
    kind = "tcp" if dialogue else "tls"
    result = check_server(probe, say(b"HTTP/1.1 400 Bad\r\n\r\n"), *dialogue, kind=kind, tls=Tls(verify=verify))
    assert result.outcome is Outcome.TLS_ERROR
    assert str(result.error).startswith("in the TLS handshake: ")


@pytest.mark.parametrize("way", WAYS)
def test_a_version_of_tls_older_than_the_target_takes_is_a_tls_error(probe: Probe, way: str) -> None:
    kind, dialogue, made = WAYS[way]
    with made(lambda: server_context(maximum_version=ssl.TLSVersion.TLSv1_2)) as server:
        assert check(probe, at(server, kind), *dialogue).tls_version == "TLSv1.2"
        assert check(probe, at(server, kind), *dialogue, tls=Tls(minimum="1.3")).outcome is Outcome.TLS_ERROR


@pytest.mark.parametrize("way", WAYS)
def test_a_server_that_asks_for_our_certificate_gets_it(probe: Probe, tmp_path: Path, way: str) -> None:
    ours = tmp_path / "ours.pem"
    AUTHORITY.issue_cert("ours").private_key_and_cert_chain_pem.write_to_path(str(ours))
    kind, dialogue, made = WAYS[way]

    def context() -> ssl.SSLContext:
        made = server_context(verify_mode=ssl.CERT_REQUIRED, maximum_version=ssl.TLSVersion.TLSv1_2)
        AUTHORITY.configure_trust(made)
        return made

    with made(context) as server:
        with_it = check(probe, at(server, kind), *dialogue, tls=Tls(certificate=ours))
        without = check(probe, at(server, kind), *dialogue)
    assert (with_it.outcome, without.outcome) == (Outcome.UP, Outcome.TLS_ERROR), with_it.error


# Dialogues


def test_a_dialogue_that_goes_as_it_says_is_up_and_its_banner_is_the_answer(probe: Probe) -> None:
    heard: list[bytes] = []
    behaviour = turns((b"", b"220 mail.example ESMTP\r\n"), (b"EHLO", b"250-mail\r\n250 OK\r\n"), heard=heard)
    result = check_server(probe, behaviour, expect("^220 .*ESMTP"), send(b"EHLO webmon\r\n"), expect("^250 "))
    assert (result.outcome, result.error, result.answer) == (Outcome.UP, None, "220 mail.example ESMTP")
    assert heard[1:2] == [b"EHLO webmon\r\n"]
    spent = [result.phases.connect, result.phases.first_byte, result.phases.transfer]
    assert all(phase is not None and phase >= 0 for phase in spent)
    assert sum(phase or 0 for phase in spent) <= result.total_time


def test_the_response_time_is_from_our_last_word_to_what_was_awaited(probe: Probe) -> None:
    def late(connection: socket.socket) -> None:
        time.sleep(0.6)
        connection.sendall(b"hello\n")
        connection.recv(100)
        time.sleep(0.2)
        connection.sendall(b"world\n")

    dialogue = expect("hello"), send(b"x"), expect("world")
    result = check_server(probe, late, *dialogue)
    # Half of what it waited: a busy machine may take a moment to see that our word is sent.
    assert 0.1 <= (result.response_time or 0) <= result.total_time - 0.6
    assert (result.phases.first_byte or 0) >= 0.5
    slow = check_server(probe, late, *dialogue, expect=Expectations(max_response_time=0.1))
    assert slow.outcome is Outcome.SLOW
    assert "over the limit of 0.1 s" in str(slow.error)


@pytest.mark.parametrize("cut", range(1, 12))
def test_it_counts_for_nothing_how_what_comes_is_cut(probe: Probe, cut: int) -> None:
    said = b"220 hi\r\nready\r\n"

    def behave(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(said[:cut])
        time.sleep(0.02)
        connection.sendall(said[cut:])
        hang(connection)

    result = check_server(probe, behave, expect("^220"), expect("^ready"))
    assert result.outcome is Outcome.UP, result.error


def in_parts(*parts: bytes, seconds: float = 0.1) -> Behaviour:
    """Say something part by part, each in a packet of its own."""

    def behave(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for part in parts:
            connection.sendall(part)
            time.sleep(seconds)
        hang(connection)

    return behave


WHOLE_LINES = {
    "a line": (r"^\+PONG$",),
    "a line with its end": (r"^\+PONG\r\n",),
    "a line and its CR": (r"^\+PONG\r$",),
    "two lines": (r"^\+PONG$\n^\+OK$",),
    "two lines with their ends": (r"PONG\r\n\+OK\r\n",),
    "two lines, one by one": (r"^\+PONG$", r"^\+OK$"),
    "all lines": (r"(?s)PONG.*OK",),
    "an empty line": (r"^\+PONG$", r"^\+OK$", r"^$\n^end$"),
    "parts of a line": ("PO", "N", "G\r", r"^\+OK"),
    "the end of a line": ("PON", "^G$|G", r"\r\n", r"^\+OK$"),
    "what begins all": (r"\A\+PONG\r\n", r"\A\+OK"),
}


@pytest.mark.parametrize("name", WHOLE_LINES)
@pytest.mark.parametrize("kind", ["tcp", "tls"])
def test_a_line_ends_where_its_cr_lf_is(probe: Probe, name: str, kind: str) -> None:
    said = b"+PONG\r\n+OK\r\n\r\nend\r\n"
    dialogue = [expect(pattern) for pattern in WHOLE_LINES[name]]
    server_tls = server_context() if kind == "tls" else None
    for behaviour in (say(said), in_parts(*(said[at : at + 1] for at in range(len(said))), seconds=0.001)):
        result = check_server(probe, behaviour, *dialogue, kind=kind, server_tls=server_tls)
        assert result.outcome is Outcome.UP, result.error


@pytest.mark.parametrize("pattern", ["^22$", r"^22\b", r"\A22\z"])
def test_a_line_does_not_end_where_a_packet_does(probe: Probe, pattern: str) -> None:
    result = check_server(probe, in_parts(b"22", b"0 hi\n"), expect(pattern), timeout=1)
    assert result.outcome is Outcome.BODY_MISMATCH, result.error


def test_a_prompt_is_there_though_its_line_does_not_end(probe: Probe) -> None:
    behaviour = turns((b"", b"Debian\r\nlogin: "), (b"bob\r\n", b"Password: "), (b"pw\r\n", b"\r\n$ "))
    rest = send(b"bob\r\n"), expect("^Password: "), send(b"pw\r\n"), expect(r"^\$ ")
    assert check_server(probe, behaviour, expect("^login: "), *rest).outcome is Outcome.UP
    whole = expect("^login: $"), send(b"bob\r\n"), expect("^Password: $"), send(b"pw\r\n"), expect(r"^\$ $")
    result = check_server(probe, behaviour, *whole, expect=Expectations(max_response_time=0.3))
    assert result.outcome is Outcome.UP, result.error


@pytest.mark.parametrize("pattern", [r"^\+PONG\r\n$", r"^\+PONG\s+$", r"PONG\r\n\z"])
def test_a_pattern_may_go_up_to_the_end_of_what_comes(probe: Probe, pattern: str) -> None:
    result = check_server(probe, say(b"+PONG\r\n"), expect(pattern))
    assert result.outcome is Outcome.UP, result.error


def test_what_closes_ends_its_last_line(probe: Probe) -> None:
    for kind, tls in (("tcp", None), ("tls", server_context())):
        result = check_server(probe, say(b"all is well", then=None), expect("^all.*well$"), kind=kind, server_tls=tls)
        assert result.outcome is Outcome.UP, result.error


def test_answers_without_lines_each_begin_anew(probe: Probe) -> None:
    behaviour = turns((b"", b"READY"), (b"x", b"DONE"))
    result = check_server(probe, behaviour, expect("^READY"), send(b"x"), expect("^DONE"))
    assert result.outcome is Outcome.UP, result.error


def test_a_byte_that_is_no_utf_8_hides_nothing_from_a_dialogue(probe: Probe) -> None:
    behaviour = say(b"220 M\xfcller ESMTP Postfix\r\n221 bye\r\n")
    dialogue = expect("^220 .*ESMTP"), expect("Postfix"), expect("^221")
    assert check_server(probe, behaviour, *dialogue).outcome is Outcome.UP


def test_a_long_text_is_sent_whole(probe: Probe) -> None:
    text = b"x" * (8 << 20)
    heard: list[int] = []

    def late(connection: socket.socket) -> None:
        time.sleep(0.3)
        left = len(text)
        while left and (part := connection.recv(1 << 20)):
            left -= len(part)
        heard.append(left)
        connection.sendall(b"all\n")
        hang(connection)

    for way, tls in (("tcp", None), ("tls", server_context())):
        assert check_server(probe, late, send(text), expect("all"), kind=way, server_tls=tls).outcome is Outcome.UP
    with HostileServer(goes_over_to_tls(then=late)) as server:
        assert check(probe, at(server), STARTTLS, send(text), expect("all")).outcome is Outcome.UP
    assert heard == [0, 0, 0]


def test_what_tls_holds_already_is_not_waited_for(probe: Probe) -> None:
    lines = b"".join(b"%d\n" % number for number in range(1000))
    dialogue = [expect(f"^{number}$") for number in (0, 500, 999)]
    assert check_server(probe, say(lines), *dialogue, kind="tls", server_tls=server_context()).outcome is Outcome.UP
    assert check_server(probe, goes_over_to_tls(then=say(lines)), STARTTLS, *dialogue).outcome is Outcome.UP


@dataclass(frozen=True)
class Case:
    """What a server does to a dialogue, and what a check must say of it."""

    behaviour: Behaviour
    outcome: Outcome
    error: str
    answer: str | None = None
    dialogue: tuple[Step, ...] = (expect("^220"), send(b"QUIT\r\n"), expect("^221"))
    timeout: float = ENOUGH


_CLOSED = "the server closed the connection"
HOSTILE = {
    "accepts and says nothing": Case(
        hang, Outcome.TIMEOUT, "not done within 0.5 s: waiting for '^220'", timeout=TIMEOUT
    ),
    "closes at once": Case(say(then=None), Outcome.READ_ERROR, f"waiting for '^220': {_CLOSED} without an answer"),
    "says the wrong thing and stays": Case(
        say(b"554 no\r\n"),
        Outcome.BODY_MISMATCH,
        r"waiting for '^220': what came does not match: '554 no\r\n'",
        "554 no",
        timeout=TIMEOUT,
    ),
    "says the wrong thing and closes": Case(
        say(b"554 no\r\n", then=None),
        Outcome.BODY_MISMATCH,
        rf"waiting for '^220': {_CLOSED}, after '554 no\r\n'",
        "554 no",
    ),
    "closes at our word": Case(
        say(b"220 hi\r\n", then=lambda connection: connection.recv(100)),
        Outcome.READ_ERROR,
        f"waiting for '^221': {_CLOSED} without an answer",
        "220 hi",
    ),
    "has nothing to say to us": Case(
        say(b"220 hi\r\n"),
        Outcome.TIMEOUT,
        "not done within 0.5 s: waiting for '^221'",
        "220 hi",
        timeout=TIMEOUT,
    ),
    "says half of what is awaited and closes": Case(
        say(b"+PON", then=None),
        Outcome.BODY_MISMATCH,
        rf"waiting for '^\\+PONG$': {_CLOSED}, after '+PON'",
        "+PON",
        dialogue=(expect(r"^\+PONG$"),),
    ),
    "refuses us where anything but a refusal is right": Case(
        turns((b"", b"220 mail.example\r\n"), (b"QUIT", b"554 go away\r\n")),
        Outcome.BODY_MISMATCH,
        r"waiting for '^[^45]': what came does not match: '554 go away\r\n'",
        "220 mail.example",
        dialogue=(expect("^220 "), send(b"QUIT\r\n"), expect("^[^45]")),
        timeout=TIMEOUT,
    ),
    "has what should begin a line amid one": Case(
        say(b"220 hi 221 x\r\n"),
        Outcome.BODY_MISMATCH,
        r"waiting for '^221': what came does not match: '221 x\r\n'",
        "220 hi 221 x",
        dialogue=(expect("^220 hi "), expect("^221")),
        timeout=TIMEOUT,
    ),
    "drips": Case(
        drop_by_drop(b"x"),
        Outcome.BODY_MISMATCH,
        "waiting for '^220': what came does not match: 'xx",
        "x",
        timeout=TIMEOUT,
    ),
    "talks without end and without a line": Case(
        without_end(b"x" * 65536),
        Outcome.BODY_MISMATCH,
        "waiting for '^220': nothing in the first 65536 bytes matches: 'xxx",
        "x",
    ),
    "talks without end, line by line": Case(
        without_end(b"221 hi\r\n" * 999),
        Outcome.BODY_MISMATCH,
        "waiting for '^220': nothing in the first 65536 bytes matches: '221",
        "221",
    ),
    "says rubbish": Case(
        say(b"\0\xff\xfe\x80\r\n", then=None),
        Outcome.BODY_MISMATCH,
        rf"waiting for '^220': {_CLOSED}, after '\x00\ufffd".replace("\\ufffd", "\ufffd"),
        "\ufffd",
    ),
    "steers the terminal": Case(
        say(b"\x1b[2J\x1b]0;owned\x07 554\r\n", then=None),
        Outcome.BODY_MISMATCH,
        rf"waiting for '^220': {_CLOSED}, after '\x1b[2J\x1b]0;owned\x07 554\r\n'",
        "[2J ]0;owned 554",
    ),
    "speaks no TLS": Case(
        turns((b"", b"220 hi\r\n"), (b"\x16\x03", b"what?\r\n")),
        Outcome.TLS_ERROR,
        "in the TLS handshake: wrong version number",
        "220 hi",
        dialogue=(expect("^220.*\\n"), STARTTLS),
    ),
    "says nothing where TLS should begin": Case(
        say(b"220 hi\r\n"),
        Outcome.TIMEOUT,
        "not done within 0.5 s: in the TLS handshake",
        "220 hi",
        dialogue=(expect("^220"), STARTTLS),
        timeout=TIMEOUT,
    ),
    "never ends the line before TLS": Case(
        say(b"220", then=without_end(b"x" * 65536)),
        Outcome.TLS_ERROR,
        "in the TLS handshake: the go-ahead to TLS is a line without end",
        "220",
        dialogue=(expect("^220"), STARTTLS),
    ),
    "closes where TLS should begin": Case(
        say(b"220 hi\r\n", then=lambda connection: connection.recv(1)),
        Outcome.TLS_ERROR,
        f"in the TLS handshake: {_CLOSED}",
        "220 hi",
        dialogue=(expect("^220"), STARTTLS),
    ),
    "says more than its go-ahead before TLS": Case(
        say(b"220 go\r\n250 injected\r\n", then=goes_over_to_tls()),
        Outcome.TLS_ERROR,
        "in the TLS handshake: plain text stands behind the go-ahead to TLS, which anybody may have put there",
        "220 go",
        dialogue=(expect("^220"), STARTTLS, expect("^250 injected")),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_server_that(probe: Probe, name: str) -> None:
    case = HOSTILE[name]
    result = check_server(probe, case.behaviour, *case.dialogue, timeout=case.timeout)
    assert result.outcome is case.outcome, result.error
    assert str(result.error).startswith(case.error)
    assert (result.answer or "").startswith(case.answer or "") if case.answer else result.answer is None
    assert result.remote_ip == "127.0.0.1"
    assert (result.answer or "").isprintable()
    assert str(result.error).isprintable()


def test_a_reset_is_told(probe: Probe) -> None:
    # The reset may come before the client knows that it is connected.
    result = check_server(probe, reset, expect("x"))
    assert result.outcome in (Outcome.CONNECT_ERROR, Outcome.READ_ERROR), result.error

    def late(connection: socket.socket) -> None:
        connection.recv(1)
        reset(connection)

    result = check_server(probe, late, send(b"x"), expect("y"))
    assert result.error == f"waiting for 'y': {_CLOSED} (Connection reset by peer)"
    assert result.outcome is Outcome.READ_ERROR


def test_a_server_that_does_not_read_is_a_timeout(probe: Probe) -> None:
    def deaf(_: socket.socket) -> None:
        time.sleep(2)

    for kind, tls in (("tcp", None), ("tls", server_context())):
        result = check_server(probe, deaf, send(b"x" * (32 << 20)), kind=kind, server_tls=tls, timeout=TIMEOUT)
        assert (result.outcome, result.error) == (Outcome.TIMEOUT, "not done within 0.5 s: sending")


def test_a_secret_that_a_server_says_back_stands_nowhere(probe: Probe) -> None:
    behaviour = turns((b"AUTH", b"no user s3cret here\r\n"))
    dialogue = send(b"AUTH s3cret\r\n"), expect("^OK")
    result = check_server(probe, behaviour, *dialogue, timeout=TIMEOUT, secrets=("s3cret",))
    assert result.answer == "no user *** here"
    assert "no user *** here" in str(result.error)


def test_starttls_may_stand_anywhere_in_a_dialogue(probe: Probe) -> None:
    for go_ahead in (b"220 go ahead\r\n", b"220\n"):

        def behave(connection: socket.socket) -> None:
            connection.sendall(b"220 mail.example\r\n")
            assert connection.recv(100) == b"STARTTLS\r\n"
            for byte in go_ahead:  # noqa: B023
                connection.sendall(bytes([byte]))
            with server_context().wrap_socket(connection, server_side=True) as secure:
                turns((b"EHLO", b"250 secret\r\n"))(secure)

        result = check_server(
            probe,
            behave,
            expect("^220"),
            send(b"STARTTLS\r\n"),
            expect("^220"),
            STARTTLS,
            send(b"EHLO webmon\r\n"),
            expect("^250 secret"),
        )
        assert (result.outcome, result.tls_version) == (Outcome.UP, "TLSv1.3"), result.error
        assert result.answer == "220 mail.example"
        assert (result.phases.tls or 0) > 0


def test_starttls_takes_a_certificate_with_a_name_that_is_no_text(probe: Probe, tmp_path: Path) -> None:
    root = issue("root")
    names = b"\x30\x18\x82\x0bm\xfcller.test\x82\x09localhost"
    more = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.17"), names)
    context = server_of(issue("localhost", root, more=more))
    ca = tmp_path / "root.pem"
    ca.write_bytes(pem(root))
    behaviour = goes_over_to_tls(context=lambda: context)
    result = check_server(probe, behaviour, STARTTLS, tls=Tls(ca=ca))
    assert (result.outcome, result.error, result.tls_version) == (Outcome.UP, None, "TLSv1.3")


# Mail


@pytest.mark.parametrize("kind", MAIL)
def test_a_mail_server_is_up_by_its_greeting_its_starttls_and_its_certificate(probe: Probe, kind: str) -> None:
    heard: list[bytes] = []
    with HostileServer(mail(kind, heard=heard)) as server:
        result = check(probe, at(server, kind))
        wait_until(lambda: any(word in heard[-1] for word in (b"QUIT", b"LOGOUT")), "that it takes its leave")
    assert (result.outcome, result.error, result.kind) == (Outcome.UP, None, kind)
    assert result.answer == GREETING[kind].decode().strip()
    assert (result.tls_version, result.tls_not_after is not None) == ("TLSv1.3", True)
    spent = [result.phases.connect, result.phases.first_byte, result.phases.tls, result.phases.transfer]
    assert all(phase is not None and phase >= 0 for phase in spent)
    assert sum(phase or 0 for phase in spent) <= result.total_time
    assert 0 < (result.response_time or 0) <= result.total_time


def test_the_phases_of_a_mail_server_tell_where_the_time_went(probe: Probe) -> None:
    def context() -> ssl.SSLContext:
        time.sleep(0.4)
        return server_context()

    def behave(connection: socket.socket) -> None:
        time.sleep(0.2)
        mail("smtp", context=context)(connection)

    result = check_server(probe, behave, kind="smtp")
    assert (result.phases.first_byte or 0) >= 0.15
    assert (result.phases.tls or 0) >= 0.35
    assert (result.phases.first_byte or 0) + (result.phases.transfer or 0) <= result.total_time - 0.35


NO_STARTTLS = {
    "smtp": b"250 mail.example\r\n",
    "imap": b"* CAPABILITY IMAP4rev1\r\nTAG OK\r\n",
    "pop3": b"+OK\r\n.\r\n",
}
REFUSES = {"smtp": b"454 no\r\n", "imap": b"TAG NO no\r\n", "pop3": b"-ERR no\r\n"}
UNWELCOME = {"smtp": b"554 go away\r\n", "imap": b"* BYE go away\r\n", "pop3": b"-ERR go away\r\n"}


@pytest.mark.parametrize("kind", MAIL)
@pytest.mark.parametrize("verify", [True, False])
def test_a_mail_server_without_starttls_is_a_tls_error(probe: Probe, kind: str, verify: bool) -> None:
    tls = Tls(verify=verify)
    with HostileServer(mail(kind, capabilities=NO_STARTTLS[kind])) as server:
        result = check(probe, at(server, kind), tls=tls)
    assert result.outcome is Outcome.TLS_ERROR
    assert str(result.error).endswith(": the server offers no STARTTLS")
    with HostileServer(mail(kind, go_ahead=REFUSES[kind])) as server:
        result = check(probe, at(server, kind), tls=tls)
    assert result.outcome is Outcome.TLS_ERROR
    assert ": the server refused STARTTLS: " in str(result.error)


@pytest.mark.parametrize("kind", MAIL)
def test_a_mail_server_that_refuses_us_is_told_with_its_words(probe: Probe, kind: str) -> None:
    with HostileServer(say(UNWELCOME[kind])) as server:
        result = check(probe, at(server, kind))
    told = UNWELCOME[kind].decode().strip()
    assert (result.outcome, result.answer) == (Outcome.BODY_MISMATCH, told)
    assert result.error == f"reading the response: the server refused us: {told!r}"


@pytest.mark.parametrize("refusal", [b"550 go away\r\n", b"502-no\r\n502 such\r\n", b"421 later\r\n"])
def test_a_mail_server_that_refuses_our_name_is_told_with_its_words(probe: Probe, refusal: bytes) -> None:
    with HostileServer(mail("smtp", capabilities=refusal)) as server:
        result = check(probe, at(server, "smtp"))
    told = refusal.decode().splitlines()[-1]
    assert (result.outcome, result.answer) == (Outcome.BODY_MISMATCH, "220 mail.example ESMTP")
    assert result.error == f"reading the response: the server refused us: {told!r}"


@pytest.mark.parametrize("kind", MAIL)
def test_a_nul_in_what_a_mail_server_says_is_told(probe: Probe, kind: str) -> None:
    greeting = GREETING[kind].replace(b"\r\n", b" \0\r\n")
    with HostileServer(mail(kind, greeting=greeting)) as server:
        result = check(probe, at(server, kind))
    why = "what the server says has a NUL in it"
    assert (result.outcome, result.error) == (Outcome.READ_ERROR, f"waiting for the first byte: {why}")
    with HostileServer(mail(kind, capabilities=greeting)) as server:
        result = check(probe, at(server, kind))
    assert (result.outcome, result.error) == (Outcome.READ_ERROR, f"reading the response: {why}")


@pytest.mark.parametrize("kind", MAIL)
def test_what_stands_in_plain_behind_a_go_ahead_is_never_taken_for_tls(probe: Probe, kind: str) -> None:
    go_ahead = {"smtp": b"220 go\r\n", "imap": b"TAG OK\r\n", "pop3": b"+OK\r\n"}[kind]
    with HostileServer(mail(kind, go_ahead=go_ahead + b"250 injected\r\n")) as server:
        result = check(probe, at(server, kind))
    assert (result.outcome, result.tls_version) == (Outcome.TLS_ERROR, None)
    assert str(result.error).endswith("plain text stands behind the go-ahead to TLS, which anybody may have put there")


@pytest.mark.parametrize("kind", MAIL)
@pytest.mark.parametrize(
    ("behaviour", "outcome", "why"),
    [
        (hang, Outcome.TIMEOUT, "not done within 0.5 s: waiting for the first byte"),
        (say(then=None), Outcome.READ_ERROR, f"waiting for the first byte: {_CLOSED}"),
        (drop_by_drop(b"2"), Outcome.TIMEOUT, "not done within 0.5 s: waiting for the first byte"),
        (without_end(b"2" * 65536), Outcome.READ_ERROR, "waiting for the first byte: too long: a line"),
        (say(b"\x16\x03\x01\0\0\r\n"), Outcome.READ_ERROR, ""),
        (
            say(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            Outcome.READ_ERROR,
            "waiting for the first byte: not ",
        ),
    ],
)
def test_a_mail_server_that_is_none(probe: Probe, kind: str, behaviour: Behaviour, outcome: Outcome, why: str) -> None:
    result = check_server(probe, behaviour, kind=kind, timeout=TIMEOUT if outcome is Outcome.TIMEOUT else ENOUGH)
    assert result.outcome is outcome, result.error
    assert str(result.error).startswith(why)


def test_a_greeting_cannot_steer_a_terminal(probe: Probe) -> None:
    result = check_server(probe, mail("smtp", greeting=b"220 \x1b[2Jhi\r\n"), kind="smtp")
    assert (result.outcome, result.answer) == (Outcome.UP, "220 [2Jhi")


def test_a_greeting_of_many_lines_has_an_end(probe: Probe) -> None:
    result = check_server(probe, without_end(b"220-x\r\n" * 9999), kind="smtp")
    assert result.outcome is Outcome.READ_ERROR
    assert result.error == "reading the response: too long: what the server says"


# What is left


@pytest.mark.parametrize("kind", ["tcp", "tls", *MAIL])
def test_no_descriptor_is_left_whatever_the_end(probe: Probe, kind: str) -> None:
    def run() -> None:
        for behaviour in (hang, say(then=None), reset, say(b"x\r\n"), drop_by_drop(b"x"), goes_over_to_tls()):
            dialogue = (expect("y"),) if kind in ("tcp", "tls") else ()
            check_server(probe, behaviour, *dialogue, kind=kind, timeout=0.2)
        if kind == "tcp":
            check_server(probe, goes_over_to_tls(), STARTTLS)
            check_server(probe, hang, STARTTLS, timeout=0.2)

    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    run()
    before = count()
    run()
    wait_until(lambda: count() <= before, "the descriptors of the servers are closed")

"""The health check of gRPC: against the real gRPC, and against servers that say whatever a test wants."""

import contextlib
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.deadline import check_in_time
from tests.hostile import (
    AUTHORITY,
    HOSTILE,
    Behaviour,
    HostileServer,
    answer,
    drip,
    flood,
    greeted,
    hang,
    leave,
    now_and,
    page,
    reset_when_greeted,
    server_context,
)
from webmon.check import course
from webmon.check.flow import Trace
from webmon.check.kinds import grpc
from webmon.check.probe import Probe, utc_now
from webmon.check.resolver import resolve_here
from webmon.check.result import CheckResult, Outcome, decode, encode
from webmon.check.target import Target, Tls
from webmon.check.verdict import Expectations

ENOUGH: Final = 10.0
TIMEOUT: Final = 0.3
"""Of checks that are meant to reach their deadline."""
GRPC: Final = ("content-type", "application/grpc")
DONE: Final = (("grpc-status", "0"),)
Fields = tuple[tuple[str, str], ...]


@pytest.fixture(autouse=True, scope="module")
def a_machine_that_is_busy_is_no_subject_here() -> Iterator[None]:
    """With short timeouts, a machine that holds the tests up would make our own fault of each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course, "_HELD_UP_SECS", 60.0)
        yield


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(scope="module")
def probe(authority: Path) -> Iterator[Probe]:
    made = Probe(agent="here", resolve=resolve_here, authorities=(authority,))
    yield made
    made.close()


def check(probe: Probe, url: str, trace: Trace | None = None, **more: Any) -> CheckResult:
    settings: dict[str, Any] = {"name": "t", "url": url, "interval": 60, "timeout": ENOUGH}
    target = Target(**(settings | more))
    result = check_in_time(probe, target, utc_now(), trace)
    assert decode(encode(result)) == result
    return result


def check_server(probe: Probe, behaviour: Behaviour, service: str = "", **more: Any) -> CheckResult:
    with HostileServer(behaviour) as server:
        return check(probe, f"grpc://localhost:{server.port}/{service}", **more)


class Call(NamedTuple):
    """What a client sent."""

    headers: dict[str, str]
    body: bytes


def message(payload: bytes, flag: int = 0) -> bytes:
    return bytes([flag]) + len(payload).to_bytes(4) + payload


SERVING: Final = message(b"\x08\x01")


def speaks(
    head: Fields = (GRPC,),
    body: bytes = SERVING,
    trailers: Fields = DONE,
    *,
    status: str = "200",
    calls: list[Call] | None = None,
    then: Behaviour | None = None,
) -> Behaviour:
    """Answer a call by HTTP/2 when it has come whole; without body and trailers the headers are all."""

    def behave(connection: socket.socket) -> None:
        protocol = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        protocol.initiate_connection()
        stream, call = hear_call(protocol, connection)
        if calls is not None:
            calls.append(call)
        protocol.send_headers(stream, [(":status", status), *head], end_stream=not body and not trailers)
        for at in range(0, len(body), 16384):
            is_last = at + 16384 >= len(body) and not trailers and then is None
            protocol.send_data(stream, body[at : at + 16384], end_stream=is_last)
        if trailers:
            protocol.send_headers(stream, trailers, end_stream=True)
        connection.sendall(protocol.data_to_send())
        (then or hang)(connection)

    return behave


def hear_call(protocol: Any, connection: socket.socket) -> tuple[int, Call]:
    """Read a call to its end; give its stream with it."""
    asked: dict[Any, Any] = {}
    sent = b""
    while True:
        connection.sendall(protocol.data_to_send())
        if not (data := connection.recv(65536)):
            raise ConnectionResetError
        for event in protocol.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                asked = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                sent += event.data
            elif isinstance(event, h2.events.StreamEnded):
                return event.stream_id, Call(asked, sent)


def secure(*alpn: str, **settings: Any) -> ssl.SSLContext:
    context = server_context(**settings)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


# The real gRPC


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Give the ports of a server of the real gRPC: without TLS, and with it."""
    folder, leaf = tmp_path_factory.mktemp("grpc"), AUTHORITY.issue_cert("localhost", not_after=now_and(days=40))
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    leaf.cert_chain_pems[0].write_to_path(str(certificate))
    leaf.private_key_pem.write_to_path(str(key))
    command = [sys.executable, "-m", "tests.grpc_server", str(certificate), str(key)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            plain, with_tls = map(int, process.stdout.readline().split())
            yield plain, with_tls
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("service", "outcome", "answer_", "error"),
    [
        ("", Outcome.UP, "SERVING", None),
        ("/", Outcome.UP, "SERVING", None),
        ("/shop.Cart", Outcome.UP, "SERVING", None),
        ("/shop.Search", Outcome.BODY_MISMATCH, "NOT_SERVING", "the service is NOT_SERVING, expected SERVING"),
        (
            "/shop.None",
            Outcome.STATUS_MISMATCH,
            None,
            "the server knows no service 'shop.None' (grpc-status NOT_FOUND)",
        ),
    ],
)
@pytest.mark.parametrize("scheme", ["grpc", "grpcs"])
def test_the_real_grpc_is_understood(  # noqa: PLR0917 (its parameters)
    probe: Probe,
    real: tuple[int, int],
    scheme: str,
    service: str,
    outcome: Outcome,
    answer_: str | None,
    error: str | None,
) -> None:
    has_tls = scheme == "grpcs"
    result = check(probe, f"{scheme}://localhost:{real[has_tls]}{service}")
    assert (result.outcome, result.answer, result.error) == (outcome, answer_, error)
    assert (result.kind, result.http_status, result.http_version) == (scheme, 200, "2")
    assert result.remote_ip == "127.0.0.1"
    assert result.response_time is not None
    assert (result.tls_version is not None, result.tls_not_after is not None) == (has_tls, has_tls)
    phases = result.phases
    assert None not in (phases.dns, phases.connect, phases.first_byte, phases.transfer)
    assert (phases.tls is not None) == has_tls


def test_a_certificate_that_ends_soon_and_a_slow_answer_are_told_as_for_http(
    probe: Probe, real: tuple[int, int]
) -> None:
    url = f"grpcs://localhost:{real[1]}/shop.Cart"
    ending = check(probe, url, expect=Expectations(certificate_days=41))
    assert (ending.outcome, ending.answer) == (Outcome.CERTIFICATE_EXPIRING, "SERVING")
    assert str(ending.error).endswith("days, expected 41 at least")
    assert check(probe, url, expect=Expectations(certificate_days=39)).outcome is Outcome.UP
    assert check(probe, url, expect=Expectations(max_response_time=1e-9)).outcome is Outcome.SLOW


def test_a_certificate_that_nobody_trusts_is_a_tls_error(real: tuple[int, int]) -> None:
    strict = Probe(agent="here", resolve=resolve_here)
    try:
        result = check(strict, f"grpcs://localhost:{real[1]}/")
        trusting = check(strict, f"grpcs://localhost:{real[1]}/", tls=Tls(verify=False), name="other")
    finally:
        strict.close()
    assert (result.outcome, result.answer) == (Outcome.TLS_ERROR, None)
    assert "certificate refused" in str(result.error)
    assert (trusting.outcome, trusting.tls_not_after) == (Outcome.UP, None)


# What is asked


def test_the_call_is_the_one_that_the_standard_names(probe: Probe) -> None:
    calls: list[Call] = []
    trace = Trace()
    with HostileServer(speaks(calls=calls)) as server:
        url = f"grpc://localhost:{server.port}/shop.C%C3%A4rt"
        assert check(probe, url, trace).outcome is Outcome.UP
    (call,) = calls
    assert call.headers[":method"] == "POST"
    assert call.headers[":scheme"] == "http"
    assert call.headers[":path"] == "/grpc.health.v1.Health/Check"
    assert call.headers[":authority"] == f"localhost:{server.port}"
    assert (call.headers["content-type"], call.headers["te"]) == ("application/grpc", "trailers")
    assert call.headers["user-agent"].startswith("webmon/")
    assert not {"connection", "accept-encoding", "expect"} & call.headers.keys()
    name = "shop.Cärt".encode()
    assert call.body == message(b"\x0a" + bytes([len(name)]) + name)
    assert trace.last is not None


def test_a_server_as_a_whole_is_asked_for_without_a_name(probe: Probe) -> None:
    calls: list[Call] = []
    assert check_server(probe, speaks(calls=calls)).outcome is Outcome.UP
    assert calls[0].body == message(b"")


def test_a_long_name_of_a_service_is_sent_whole(probe: Probe) -> None:
    calls: list[Call] = []
    assert check_server(probe, speaks(calls=calls), "s" * 300).outcome is Outcome.UP
    assert calls[0].body == message(b"\x0a\xac\x02" + b"s" * 300)


def test_the_time_of_an_answer_is_that_to_its_headers(probe: Probe) -> None:
    result = check_server(probe, speaks(body=SERVING[:3], trailers=(), then=hang), timeout=TIMEOUT)
    assert (result.outcome, result.http_status) == (Outcome.TIMEOUT, 200)
    assert result.response_time is not None
    assert result.response_time < TIMEOUT
    assert str(result.error) == "not done within 0.3 s: reading the response"


# What is answered


@pytest.mark.parametrize(
    ("payload", "answer_", "error"),
    [
        (b"\x08\x01", "SERVING", None),
        (b"", "UNKNOWN", "the service is UNKNOWN, expected SERVING"),
        (b"\x08\x00", "UNKNOWN", "the service is UNKNOWN, expected SERVING"),
        (b"\x08\x02", "NOT_SERVING", "the service is NOT_SERVING, expected SERVING"),
        (b"\x08\x03", "SERVICE_UNKNOWN", "the service is SERVICE_UNKNOWN, expected SERVING"),
        (
            b"\x08\x2a",
            "in a state that is not known (42)",
            "the service is in a state that is not known (42), expected SERVING",
        ),
        (b"\x08\x02\x08\x01", "SERVING", None),
        (b"\x12\x03abc\x08\x81\x80\x00\x19" + bytes(8) + b"\x25" + bytes(4) + b"\x80\x01\x07", "SERVING", None),
    ],
    ids=["serving", "nothing", "zero", "not serving", "no such", "new", "the last counts", "among unknown fields"],
)
def test_the_state_of_the_service_is_told(probe: Probe, payload: bytes, answer_: str, error: str | None) -> None:
    result = check_server(probe, speaks(body=message(payload)))
    assert result.outcome is (Outcome.BODY_MISMATCH if error else Outcome.UP)
    assert (result.answer, result.error) == (answer_, error)


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        (
            (("grpc-status", "12"), ("grpc-message", "unknown service grpc.health.v1.Health")),
            "the server has no health service (grpc-status UNIMPLEMENTED: unknown service grpc.health.v1.Health)",
        ),
        (
            (("grpc-status", "5"), ("grpc-message", "unknown service")),
            "the server knows no service 'shop' (grpc-status NOT_FOUND: unknown service)",
        ),
        (
            (("grpc-status", "16"), ("grpc-message", "who%20are%0ayou %E2%82%AC %1B[2J%zz")),
            "expected grpc-status OK, came grpc-status UNAUTHENTICATED: who are you € [2J%zz",
        ),
        ((("grpc-status", "14"),), "expected grpc-status OK, came grpc-status UNAVAILABLE"),
        ((("grpc-status", "99"),), "expected grpc-status OK, came grpc-status '99'"),
        ((("grpc-status", "0x0"),), "expected grpc-status OK, came grpc-status '0x0'"),
    ],
)
@pytest.mark.parametrize("is_trailers_only", [True, False])
def test_another_status_is_told_by_its_name_and_its_message(
    probe: Probe, fields: Fields, error: str, is_trailers_only: bool
) -> None:
    behaviour = speaks((GRPC, *fields), b"", ()) if is_trailers_only else speaks(body=b"", trailers=fields)
    result = check_server(probe, behaviour, "shop")
    assert (result.outcome, result.error, result.answer) == (Outcome.STATUS_MISMATCH, error, None)
    assert result.http_status == 200


def test_a_message_without_end_is_cut(probe: Probe) -> None:
    result = check_server(probe, speaks((GRPC, ("grpc-status", "2"), ("grpc-message", "x" * 9000)), b"", ()))
    assert str(result.error).startswith("expected grpc-status OK, came grpc-status UNKNOWN: xxx")
    assert len(str(result.error)) == 500


def test_a_server_as_a_whole_that_is_not_found_is_told_as_that(probe: Probe) -> None:
    result = check_server(probe, speaks((GRPC, ("grpc-status", "5")), b"", ()))
    assert result.error == "the server knows nothing of itself as a whole (grpc-status NOT_FOUND)"


@pytest.mark.parametrize("status", ["404", "503", "302"])
def test_another_status_of_http_is_told_as_received(probe: Probe, status: str) -> None:
    result = check_server(probe, speaks((GRPC, ("location", "/other")), b"", (), status=status))
    assert (result.outcome, result.http_status) == (Outcome.STATUS_MISMATCH, int(status))
    assert (result.error, result.redirects) == (f"status {status}, expected 200", 0)


READING: Final = "reading the response: "


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (speaks((("content-type", "text/html"),)), "the answer is not one of gRPC: its content-type is 'text/html'"),
        (
            speaks((("content-type", "application/grpc-web"),)),
            "the answer is not one of gRPC: its content-type is 'application/grpc-web'",
        ),
        (speaks(()), "the answer is not one of gRPC: it names no content-type"),
        (speaks(trailers=()), "the answer has no grpc-status"),
        (speaks(trailers=(("x", "y"),)), "the answer has no grpc-status"),
        (speaks(body=message(b"\x08\x01", 1)), "the answer is compressed, which was not asked for"),
        (speaks(body=message(b"\x08\x01", 7)), "the answer of 7 bytes is not one message of gRPC"),
        (speaks(body=b""), "the answer of 0 bytes is not one message of gRPC"),
        (speaks(body=SERVING[:6]), "the answer of 6 bytes is not one message of gRPC"),
        (speaks(body=SERVING * 2), "the answer of 14 bytes is not one message of gRPC"),
        (speaks(body=message(b"\x08")), "the answer of 6 bytes is none of a health check"),
        (speaks(body=message(b"\x08" + b"\x80" * 11)), "the answer of 17 bytes is none of a health check"),
        (speaks(body=message(b"\x12\x7fabc")), "the answer of 10 bytes is none of a health check"),
        (speaks(body=message(b"\x00\x01")), "the answer of 7 bytes is none of a health check"),
        (speaks(body=message(b"\x0b\x08\x01\x0c")), "the answer of 9 bytes is none of a health check"),
        (speaks(body=message(b"\x12" + b"\xff" * 9 + b"\x01")), "the answer of 16 bytes is none of a health check"),
        (speaks(body=message(bytes(65530))), "the answer of 65535 bytes is none of a health check"),
    ],
)
def test_what_is_no_answer_of_a_health_check_is_a_read_error(probe: Probe, behaviour: Behaviour, error: str) -> None:
    result = check_server(probe, behaviour)
    assert (result.outcome, result.error, result.answer) == (Outcome.READ_ERROR, READING + error, None)


def test_a_body_that_never_ends_is_given_up_at_its_limit(probe: Probe) -> None:
    def without_end(connection: socket.socket) -> None:
        while True:
            connection.sendall((16384).to_bytes(3) + b"\x00\x00" + (1).to_bytes(4) + bytes(16384))

    result = check_server(probe, speaks(body=SERVING, trailers=(), then=without_end))
    assert (result.outcome, result.error) == (Outcome.READ_ERROR, READING + "the answer is longer than 64 KB")
    assert (result.body_bytes or 0) < 256 << 10


def test_trailers_without_end_are_given_up(probe: Probe) -> None:
    trailers = tuple((f"x-{number}", "y" * 1000) for number in range(300))
    result = check_server(probe, speaks(trailers=trailers))
    assert result.outcome is Outcome.READ_ERROR


@pytest.mark.parametrize("content_type", ["application/grpc+proto", "application/grpc; a=b", "Application/GRPC"])
def test_a_content_type_may_say_more(probe: Probe, content_type: str) -> None:
    assert check_server(probe, speaks((("content-type", content_type),))).outcome is Outcome.UP


# What is no server of gRPC


@pytest.mark.parametrize(
    ("behaviour", "outcome", "error"),
    [
        (page(b"Welcome"), Outcome.READ_ERROR, "waiting for the first byte: what answers speaks no HTTP/2"),
        (greeted(b"220 mail\r\n"), Outcome.READ_ERROR, "waiting for the first byte: what answers speaks no HTTP/2"),
        (flood(b"", bytes(65536)), Outcome.READ_ERROR, "waiting for the first byte: "),
        (leave, Outcome.READ_ERROR, "waiting for the first byte: "),
        (reset_when_greeted, Outcome.READ_ERROR, "waiting for the first byte: "),
        (hang, Outcome.TIMEOUT, "not done within 0.3 s: waiting for the first byte"),
        (
            drip(b"", b"\x00", 0.1),
            Outcome.TIMEOUT,
            "not done within 0.3 s: waiting for the first byte",
        ),
        (speaks(then=hang, trailers=()), Outcome.TIMEOUT, "not done within 0.3 s: reading the response"),
    ],
)
def test_what_speaks_something_else_or_nothing_has_its_outcome_in_time(
    probe: Probe, behaviour: Behaviour, outcome: Outcome, error: str
) -> None:
    result = check_server(probe, behaviour, timeout=TIMEOUT if outcome is Outcome.TIMEOUT else ENOUGH)
    assert result.outcome is outcome
    assert str(result.error).startswith(error)


@pytest.mark.parametrize("alpn", [(), ("http/1.1",)])
@pytest.mark.parametrize("behaviour", [answer(b"HTTP/1.1 200 OK\r\n\r\n"), speaks()], ids=["http/1.1", "grpc"])
def test_a_server_that_does_not_agree_on_http_2_is_a_tls_error(
    probe: Probe, alpn: tuple[str, ...], behaviour: Behaviour
) -> None:
    with HostileServer(behaviour, secure(*alpn)) as server:
        result = check(probe, f"grpcs://localhost:{server.port}/")
    assert result.outcome is Outcome.TLS_ERROR
    assert str(result.error).endswith("the server did not agree on HTTP/2 in the TLS handshake (ALPN h2)")


def test_a_server_that_agrees_on_http_2_is_up(probe: Probe) -> None:
    with HostileServer(speaks(), secure("h2", "http/1.1")) as server:
        assert check(probe, f"grpcs://localhost:{server.port}/").outcome is Outcome.UP


@pytest.mark.parametrize("scheme", ["grpc", "grpcs"])
def test_nobody_there_is_a_connect_error(probe: Probe, scheme: str) -> None:
    result = check(probe, f"{scheme}://localhost:1/")
    assert (result.outcome, result.error) == (Outcome.CONNECT_ERROR, "connecting: Connection refused")


@pytest.mark.parametrize("name", sorted(name for name in HOSTILE if not name.startswith("redirects")))
def test_what_hostile_sites_do_is_never_up_and_never_our_own_fault(probe: Probe, name: str) -> None:
    with HOSTILE[name].server() as server:
        scheme = "grpcs" if server.url.startswith("https:") else "grpc"
        result = check(probe, f"{scheme}://localhost:{server.port}/", timeout=TIMEOUT)
    assert result.outcome.is_down, result


def test_nothing_is_left_of_a_check(probe: Probe) -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    check_server(probe, speaks())
    before = descriptors()
    for behaviour in (speaks(), hang, page(b"x"), leave):
        check_server(probe, behaviour, timeout=TIMEOUT)
    assert descriptors() <= before + 1  # a server's own connection may still be closing


# Any bytes


@given(st.binary(max_size=300))
def test_no_bytes_whatever_break_the_reader(body: bytes) -> None:
    for text in (body, message(body)):
        with contextlib.suppress(ValueError):  # and nothing else
            assert grpc.state(text) >= 0


@given(st.text(max_size=300).filter(lambda text: text.isprintable()))
def test_the_name_of_a_service_is_written_as_protobuf_has_it(service: str) -> None:
    body = grpc.request(service)
    name = service.encode()
    assert int.from_bytes(body[1:5]) == len(body) - 5
    assert body.endswith(name)
    assert len(body) == 5 + (0 if not name else 2 + (len(name) >= 128) + len(name))


def test_what_a_certificate_has_left_is_that_of_the_last_connection(probe: Probe) -> None:
    leaf = AUTHORITY.issue_cert("localhost", not_after=now_and(days=3))
    context = server_context(leaf)
    context.set_alpn_protocols(["h2"])
    with HostileServer(speaks(), context) as server:
        result = check(probe, f"grpcs://localhost:{server.port}/")
    assert result.tls_not_after is not None
    assert result.tls_not_after - result.time < timedelta(days=3, seconds=1)

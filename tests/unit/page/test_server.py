"""The listeners: clients that are slow, idle, many, or send what is no request."""

import contextlib
import http.client
import socket
import ssl
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import trustme

from tests.unit.page import fakes
from tests.unit.page.faces import Shown
from tests.waiting import wait_until
from webmon.errors import UserError
from webmon.page import protocol
from webmon.page.access import by_certificate
from webmon.page.operator_app import operator_app
from webmon.page.operator_site import OperatorSite
from webmon.page.public_app import public_app
from webmon.page.server import Face, Server, bind
from webmon.page.site import PublicSite
from webmon.settings import CertificateAuth, HostPort

ANY = HostPort("127.0.0.1", 0)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"

Serve = Callable[..., int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    started = []

    def begin(*, operator: bool = False, auth: CertificateAuth | None = None) -> int:
        shown = Shown(fakes.many(3))
        taken = bind(ANY, "PAGE_ADDRESS")
        port: int = taken.getsockname()[1]
        app = (
            operator_app(OperatorSite(lambda: shown.look, shown.public_file, shown.clock), access=by_certificate)
            if operator
            else public_app(PublicSite(lambda: shown.look, shown.public_file, shown.clock))
        )
        server = Server([Face(app, taken, auth)])
        server.start()
        started.append(server)
        return port

    yield begin
    for server in started:
        server.stop()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def read_all(client: socket.socket) -> bytes:
    got = b""
    while part := client.recv(65536):
        got += part
    return got


def test_one_connection_answers_one_request_after_the_other(serve: Serve) -> None:
    client = http.client.HTTPConnection("127.0.0.1", serve(), timeout=10)
    for _ in range(3):
        client.request("GET", "/")
        answer = client.getresponse()
        assert answer.status == 200
        assert b"Everything works" in answer.read()
    client.request("HEAD", "/")
    assert client.getresponse().read() == b""
    client.close()


def test_no_answer_on_a_kept_connection_waits_for_the_clients_acknowledgement(serve: Serve) -> None:
    client = http.client.HTTPConnection("127.0.0.1", serve(), timeout=10)
    took = []
    for _ in range(21):
        began = time.monotonic()
        client.request("GET", "/icon/up.svg")
        client.getresponse().read()
        took.append(time.monotonic() - began)
    client.close()
    # Linux delays an acknowledgement by 40 ms; what else the machine does makes some answers late, not most.
    assert statistics.median(took) < 0.03


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\nHost: x\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\nabc",
    ],
    ids=["nothing", "half a line", "half a head", "half a body"],
)
def test_who_does_not_go_on_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECS", 0.3)
    with connect(serve()) as client:
        client.sendall(sent)
        began = time.monotonic()
        with contextlib.suppress(ConnectionResetError):
            read_all(client)
        assert time.monotonic() - began < 8


def test_who_drips_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECS", 0.4)
    with connect(serve()) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")

        def is_cut_off() -> bool:
            try:
                client.sendall(b"X: y\r\n")
                client.settimeout(0.02)
                return client.recv(1) == b""
            except TimeoutError:
                return False
            except OSError:
                return True

        wait_until(is_cut_off, seconds=8)


def test_who_takes_no_answer_is_cut_off(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECS", 0.5)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(10)
        client.connect(("127.0.0.1", serve()))

        def is_cut_off() -> bool:
            try:
                client.send(GET * 50)
            except BlockingIOError:
                return False
            except OSError:
                return True
            return False

        client.setblocking(False)
        wait_until(is_cut_off, seconds=8)


def test_ten_megabytes_are_not_read_for_a_request(serve: Serve) -> None:
    with connect(serve()) as client:
        client.sendall(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert read_all(client).startswith(b"HTTP/1.1 400 ")


def test_ten_megabytes_of_a_body_are_refused_without_being_kept(serve: Serve) -> None:
    with connect(serve()) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 405 ")
        for _ in range(10):
            client.sendall(b"x" * 1_000_000)
        client.sendall(GET)
        came = b""
        while b"HTTP/1.1 200 " not in came:
            more = client.recv(65536)
            assert more, came
            came += more


@pytest.mark.parametrize("sent", [b"\x16\x03\x01\x02\x00", b"\r\n\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_no_request_costs_its_own_connection_alone(serve: Serve, sent: bytes) -> None:
    port = serve()
    with connect(port) as client:
        client.sendall(sent + b"\n\n")
        client.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            read_all(client)
    with connect(port) as client:
        client.sendall(GET)
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_more_clients_than_there_is_room_for_are_told_so(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MOST_CLIENTS", 5)
    port = serve()
    idle = [connect(port) for _ in range(5)]
    with connect(port) as client:
        client.sendall(GET)
        assert client.recv(65536).startswith(b"HTTP/1.1 503 ")
    for one in idle:
        one.close()

    def is_answered() -> bool:
        with connect(port) as client:
            client.sendall(GET)
            return client.recv(65536).startswith(b"HTTP/1.1 200 ")

    wait_until(is_answered)


def test_an_address_that_is_taken_is_told_with_its_variable() -> None:
    with bind(ANY, "PAGE_ADDRESS") as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"^PAGE_OPERATOR_ADDRESS: 127\.0\.0\.1:{port}: Address already in use"):
            bind(HostPort("127.0.0.1", port), "PAGE_OPERATOR_ADDRESS")


def test_an_operator_is_known_by_a_certificate(serve: Serve, tmp_path: Path) -> None:
    authority, others = trustme.CA(), trustme.CA()
    ours = authority.issue_cert("localhost")
    paths = {name: tmp_path / name for name in ("ca.pem", "page.pem", "page.key")}
    authority.cert_pem.write_to_path(paths["ca.pem"])
    ours.cert_chain_pems[0].write_to_path(paths["page.pem"])
    ours.private_key_pem.write_to_path(paths["page.key"])
    port = serve(operator=True, auth=CertificateAuth(*paths.values()))

    def get(by: trustme.CA | None) -> tuple[int, str]:
        context = ssl.create_default_context(cafile=paths["ca.pem"])
        if by is not None:
            by.issue_cert("kim@example.org", common_name="kim").configure_cert(context)
        client = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
        try:
            client.request("GET", "/")
            answer = client.getresponse()
            return answer.status, answer.read().decode()
        finally:
            client.close()

    status, text = get(authority)
    assert status == 200
    assert 'You are <span dir="auto">kim</span>' in text
    for stranger in (None, others):
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            get(stranger)


def test_a_stop_ends_connections_and_leaves_nothing() -> None:
    shown = Shown(fakes.many(3))
    taken = bind(ANY, "PAGE_ADDRESS")
    before = psutil.Process().num_fds()
    server = Server([Face(public_app(PublicSite(lambda: shown.look, shown.public_file, shown.clock)), taken)])
    server.start()
    with connect(taken.getsockname()[1]) as client:
        client.sendall(GET)
        assert client.recv(10)
        server.stop()
        with contextlib.suppress(ConnectionResetError):
            read_all(client)
    assert psutil.Process().num_fds() <= before

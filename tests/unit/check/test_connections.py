"""How a check comes to its connection: through a proxy, or on the one that the check before has left."""

import base64
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.deadline import check_in_time
from tests.hostile import OK, Behaviour, HostileServer, answer, full_backlog, hang, hear, leave, page, redirect, reset
from tests.http2 import with_headers
from tests.http_proxy import HttpProxy
from tests.waiting import wait_until
from webmon.check import course
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe, utc_now
from webmon.check.resolver import resolve_here
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Proxy, Target, Tls
from webmon.check.verdict import Expectations

AUTHORITY = trustme.CA()
JOE = "Basic " + base64.b64encode(b"joe:s3cret").decode()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(autouse=True)
def a_machine_that_is_busy_is_no_subject_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "_HELD_UP_SECS", 60.0)


@pytest.fixture
def probe(authority: Path) -> Iterator[Probe]:
    made = Probe(agent="here", resolve=resolve_here, authorities=(authority,))
    yield made
    made.close()


def tls(name: str = "localhost") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(name).configure_cert(context)
    return context


def target(url: str, **more: Any) -> Target:
    settings: dict[str, Any] = {"name": "t", "url": url, "interval": 60, "timeout": 10}
    return Target(**(settings | more))


def check(probe: Probe, url: str, **more: Any) -> CheckResult:
    return check_in_time(probe, target(url, **more), utc_now())


# Through a proxy


def at(server: HostileServer, authorization: str | None = None) -> Proxy:
    return Proxy("localhost", server.port, authorization)


@pytest.mark.parametrize("secure", [False, True])
def test_a_site_is_seen_through_a_proxy(probe: Probe, secure: bool) -> None:
    behaviour = HttpProxy(JOE)
    seen: list[bytes] = []

    def site_behaviour(connection: socket.socket) -> None:
        seen.append(hear(connection))
        connection.sendall(OK + b"Content-Length: 7\r\n\r\nWelcome")

    with HostileServer(site_behaviour, tls=tls() if secure else None) as site, HostileServer(behaviour) as proxy:
        result = check(
            probe, site.url + "a?b", proxy=at(proxy, JOE), expect=Expectations(body=compile_pattern("Welcome"))
        )
    assert (result.outcome, result.error, result.http_status) == (Outcome.UP, None, 200)
    assert result.remote_ip is None
    assert (result.tls_not_after is not None) == secure
    (asked,) = behaviour.requests
    where = f"localhost:{site.port}"
    assert asked.startswith(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n".encode() if secure else b"GET http://")
    assert b"Proxy-Authorization" not in seen[0]
    assert not (secure and b"webmon" in asked)


def test_redirects_go_through_the_proxy_too(probe: Probe) -> None:
    behaviour = HttpProxy()
    with (
        HostileServer(page(b"end"), tls=tls()) as end,
        HostileServer(redirect(lambda: end.url)) as start,
        HostileServer(behaviour) as proxy,
    ):
        result = check(probe, start.url, proxy=at(proxy))
    assert (result.outcome, result.redirects) == (Outcome.UP, 1), result.error
    assert [request.split()[0] for request in behaviour.requests] == [b"GET", b"CONNECT"]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_proxy_that_refuses_us_is_not_taken_for_the_site(probe: Probe, scheme: str) -> None:
    with HostileServer(HttpProxy(JOE)) as proxy:
        result = check(probe, f"{scheme}://localhost:1/", proxy=at(proxy))
    assert (result.outcome, result.http_status, result.phases.tls) == (Outcome.CONNECT_ERROR, None, None)
    assert f"the proxy localhost:{proxy.port} " in str(result.error)
    assert "407 Proxy Authentication Required" in str(result.error)


@pytest.mark.parametrize("behaviour", [HttpProxy(), HttpProxy(refusal=b"403 No"), HttpProxy(refusal=b"301 Moved")])
def test_a_proxy_that_does_not_reach_the_site_says_so(probe: Probe, behaviour: HttpProxy) -> None:
    with HostileServer(behaviour) as proxy:
        result = check(probe, "https://localhost:1/", proxy=at(proxy))
    assert (result.outcome, result.http_status) == (Outcome.CONNECT_ERROR, None)
    refused = f"connecting: the proxy localhost:{proxy.port} refused to connect to localhost:1: "
    assert str(result.error).startswith(refused)
    assert (result.phases.connect or 0) > 0


def test_what_a_proxy_says_of_our_password_is_not_repeated(probe: Probe) -> None:
    with HostileServer(HttpProxy(refusal=b"403 not with s3cret")) as proxy:
        result = check(probe, "https://localhost:1/", proxy=at(proxy, JOE), secrets=("s3cret", JOE))
    assert str(result.error).endswith("403 not with ***")
    assert JOE not in repr(Proxy("a", 1, JOE))


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        (answer(b"220 mail ESMTP\r\n"), "what came is no HTTP header: Invalid response header"),
        (hear, "the server closed the connection without an answer"),
        (answer(then=reset), "the server closed the connection (Connection reset by peer)"),
    ],
)
def test_what_is_no_proxy_is_told(probe: Probe, behaviour: Behaviour, why: str) -> None:
    with HostileServer(behaviour) as proxy:
        result = check(probe, "https://localhost:1/", proxy=at(proxy))
    assert result.outcome is Outcome.CONNECT_ERROR
    assert str(result.error).startswith(f"the proxy localhost:{proxy.port}: connecting: {why}")


def test_a_proxy_that_cannot_be_reached_is_told(probe: Probe) -> None:
    result = check(probe, "https://localhost/", proxy=Proxy("localhost", 1))
    assert result.outcome is Outcome.CONNECT_ERROR
    assert result.error == "the proxy localhost:1: connecting: Connection refused"
    result = check(probe, "https://localhost/", proxy=Proxy("nobody.invalid", 1))
    assert result.outcome is Outcome.CONNECT_ERROR
    assert str(result.error).startswith("the proxy nobody.invalid:1: resolving the name: ")


def test_a_proxy_that_hangs_holds_the_deadline(probe: Probe) -> None:
    with HostileServer(hang) as proxy:
        result = check(probe, "https://localhost:1/", proxy=at(proxy), timeout=1)
        assert result.error == f"not done within 1 s: the proxy localhost:{proxy.port}: connecting"
    assert (result.outcome, result.phases.first_byte) == (Outcome.TIMEOUT, None)
    with full_backlog() as port:
        result = check(probe, "http://localhost:1/", proxy=Proxy("127.0.0.1", port), timeout=1)
    assert result.outcome is Outcome.TIMEOUT


def test_behind_a_proxy_the_sites_certificate_is_still_the_sites(probe: Probe) -> None:
    with HostileServer(page(b"hi"), tls=tls("other.example")) as site, HostileServer(HttpProxy()) as proxy:
        result = check(probe, site.url, proxy=at(proxy))
        assert (result.outcome, "proxy" in str(result.error)) == (Outcome.TLS_ERROR, False)
        assert check(probe, site.url, proxy=at(proxy), tls=Tls(verify=False)).outcome is Outcome.UP


# On the connection of the check before


class Served:
    """Answers every request on a connection with the same page, until it has answered so many."""

    def __init__(self, response: bytes = OK + b"Content-Length: 2\r\n\r\nhi", most: int = 1000) -> None:
        self.requests: list[bytes] = []
        self._response = response
        self._most = most

    def __call__(self, connection: socket.socket) -> None:
        for _ in range(self._most):
            if not (request := hear(connection)):
                return
            self.requests.append(request)
            connection.sendall(self._response)


def test_a_reused_connection_has_no_phases_before_the_request(probe: Probe) -> None:
    served = Served()
    with HostileServer(served, tls=tls()) as server:
        first, second = (check(probe, server.url, connection="reused") for _ in range(2))
        assert server.connections == 1
    assert (first.outcome, second.outcome) == (Outcome.UP, Outcome.UP), second.error
    assert first.phases.tls is not None
    assert (second.phases.dns, second.phases.connect, second.phases.tls) == (None, None, None)
    assert second.phases.first_byte is not None
    assert (second.remote_ip, second.tls_version, second.tls_not_after) == (
        first.remote_ip,
        first.tls_version,
        first.tls_not_after,
    )
    assert all(b"Connection: keep-alive" in request for request in served.requests)


def test_a_connection_that_the_server_closed_meanwhile_is_not_used(probe: Probe) -> None:
    served = Served(most=1)
    with HostileServer(served) as server:
        for _ in range(3):
            assert check(probe, server.url, connection="reused").outcome is Outcome.UP
            time.sleep(0.02)
        assert (server.connections, len(served.requests)) == (3, 3)


@pytest.mark.parametrize("end", [hear, answer(then=reset)])
@pytest.mark.parametrize("secure", [False, True])
def test_a_request_is_sent_again_where_the_server_closed_just_then(probe: Probe, end: Behaviour, secure: bool) -> None:
    def behave(connection: socket.socket) -> None:
        Served(most=1)(connection)
        end(connection)

    with HostileServer(behave, tls=tls() if secure else None) as server:
        for _ in range(2):
            result = check(probe, server.url, connection="reused")
            assert result.outcome is Outcome.UP, result.error
        assert server.connections == 2
    assert result.phases.connect is not None


@pytest.mark.parametrize(("method", "outcome"), [("GET", Outcome.UP), ("PUT", Outcome.STATUS_MISMATCH)])
def test_a_kept_connection_of_which_the_server_says_that_it_idled_is_left_for_another(
    probe: Probe, method: Any, outcome: Outcome
) -> None:
    def behave(connection: socket.socket) -> None:
        Served(most=1)(connection)
        answer(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")(connection)

    with HostileServer(behave) as server:
        found = [check(probe, server.url, connection="reused", method=method).outcome for _ in range(2)]
        assert found == [Outcome.UP, outcome]


def test_a_new_connection_whose_answer_is_408_is_judged_by_it(probe: Probe) -> None:
    served = Served(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n", most=1)
    with HostileServer(served) as server:
        assert check(probe, server.url, connection="reused").http_status == 408
        assert len(served.requests) == 1


@pytest.mark.parametrize("rest", [OK + b"Content-", OK + b"Content-Length: 9\r\n\r\nabc"])
def test_an_answer_that_breaks_off_is_not_asked_for_again(probe: Probe, rest: bytes) -> None:
    def behave(connection: socket.socket) -> None:
        Served(most=1)(connection)
        answer(rest)(connection)

    with HostileServer(behave) as server:
        assert check(probe, server.url, connection="reused").outcome is Outcome.UP
        assert check(probe, server.url, connection="reused").outcome is Outcome.READ_ERROR
        assert server.connections == 1


def test_a_reused_connection_that_hangs_holds_the_deadline(probe: Probe) -> None:
    def behave(connection: socket.socket) -> None:
        Served(most=1)(connection)
        hang(connection)

    with HostileServer(behave) as server:
        assert check(probe, server.url, connection="reused").outcome is Outcome.UP
        result = check(probe, server.url, connection="reused", timeout=1)
        assert check(probe, server.url, connection="reused").outcome is Outcome.UP
        assert server.connections == 2
    assert result.outcome is Outcome.TIMEOUT


@pytest.mark.parametrize(
    "response",
    [
        OK + b"Connection: Close\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"Content-Length: 2\r\n\r\nhi and more",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        OK + b"Content-Length: 2000\r\n\r\n" + bytes(2000),
        b"HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
def test_a_connection_is_left_only_after_a_good_response_that_was_read_to_its_end(
    probe: Probe, response: bytes
) -> None:
    with HostileServer(Served(response)) as server:
        for _ in range(2):
            check(probe, server.url, connection="reused", body_limit=1000)
        assert server.connections == 2


def test_redirects_on_one_origin_share_the_connection(probe: Probe) -> None:
    def behave(connection: socket.socket) -> None:
        while request := hear(connection):
            moved = request.split()[1] == b"/"
            start = b"HTTP/1.1 302 Found\r\nLocation: /there\r\n" if moved else OK
            connection.sendall(start + b"Content-Length: 0\r\n\r\n")

    with HostileServer(behave) as server:
        for _ in range(2):
            assert check(probe, server.url, connection="reused").redirects == 1
        assert server.connections == 1


def reset_a_little_later(connection: socket.socket) -> None:
    time.sleep(0.1)  # so that what was sent is not lost with it
    reset(connection)


@pytest.mark.parametrize(
    ("page_of_it", "then"),
    [
        (b"Content-Length: 99\r\n\r\nabc", hang),
        (b"Content-Length: 99\r\n\r\nabc", leave),
        (b"Content-Length: 99\r\n\r\nabc", reset_a_little_later),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", hang),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", hang),
    ],
    ids=["hangs", "ends", "is reset", "has bad chunks", "has no last chunk"],
)
@pytest.mark.parametrize("secure", [False, True])
def test_a_redirect_is_followed_whatever_its_own_page_does(
    probe: Probe, page_of_it: bytes, then: Behaviour, secure: bool
) -> None:
    def behave(connection: socket.socket) -> None:
        while request := hear(connection):
            if request.split()[1] == b"/":
                connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /there\r\n" + page_of_it)
                then(connection)
                return
            connection.sendall(OK + b"Content-Length: 2\r\n\r\nhi")

    with HostileServer(behave, tls=tls() if secure else None) as server:
        for _ in range(2):
            result = check(probe, server.url, connection="reused")
            assert (result.outcome, result.error, result.redirects) == (Outcome.UP, None, 1)
            assert result.total_time < 5


def test_a_redirect_with_a_page_of_its_own_leaves_its_connection_to_the_next_request(probe: Probe) -> None:
    def behave(connection: socket.socket) -> None:
        while request := hear(connection):
            moved = request.split()[1] == b"/"
            start = b"HTTP/1.1 302 Found\r\nLocation: /there\r\n" if moved else OK
            connection.sendall(start + b"Content-Length: 4\r\n\r\nhi")
            time.sleep(0.1)
            connection.sendall(b"hi")

    with HostileServer(behave) as server:
        for _ in range(2):
            result = check(probe, server.url, connection="reused")
            assert (result.outcome, result.redirects) == (Outcome.UP, 1)
        time.sleep(1)  # nothing that was to be done about the redirect's page comes later
        assert check(probe, server.url, connection="reused").outcome is Outcome.UP
        assert server.connections == 1


def by_what_is_said_of_the_connection(response: bytes) -> Behaviour:
    """Answer each request with the same, and close the connection where that is asked for."""

    def behave(connection: socket.socket) -> None:
        while request := hear(connection):
            connection.sendall(response)
            if b"Connection: close" in request:
                return

    return behave


ASKED_AGAIN = {
    "a length that is no number": OK + b"Content-Length: many\r\n\r\nWelcome",
    "br": OK + b"Content-Encoding: br\r\nContent-Length: 11\r\n\r\n" + bytes.fromhex("0b038057656c636f6d6503"),
}


@pytest.mark.parametrize("what", ASKED_AGAIN)
def test_what_is_asked_for_again_is_asked_for_on_a_connection_of_its_own(probe: Probe, what: str) -> None:
    expect = Expectations(body=compile_pattern("^Welcome$"))
    with HostileServer(by_what_is_said_of_the_connection(ASKED_AGAIN[what])) as server:
        for _ in range(2):
            result = check(probe, server.url, connection="reused", expect=expect)
            assert (result.outcome, result.error) == (Outcome.UP, None)


def test_a_header_that_http_2_does_not_have_is_passed_over_on_a_reused_connection(probe: Probe) -> None:
    context = tls()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with HostileServer(with_headers(("connection", "close")), context) as server:
        for _ in range(2):
            result = check(probe, server.url, connection="reused")
            assert (result.outcome, result.error, result.http_version) == (Outcome.UP, None, "1.1")


def test_another_origin_has_another_connection(probe: Probe) -> None:
    with HostileServer(Served()) as one, HostileServer(Served()) as two:
        for server in (one, two, one):
            assert check(probe, server.url, connection="reused").outcome is Outcome.UP
        assert (one.connections, two.connections) == (1, 1)


def test_where_a_server_is_that_closes_each_connection_is_looked_up_again_in_time() -> None:
    later = 0.0
    lookups: list[float] = []

    def resolve(_: str, port: int, timeout: float) -> Any:
        lookups.append(later)
        return resolve_here("127.0.0.1", port, timeout)

    probe = Probe(agent="here", resolve=resolve)
    probe.monotonic = lambda: time.monotonic() + later
    with HostileServer(Served(most=1)) as server:
        url = server.url.replace("localhost", "site.example")
        for later in (0.0, 300.0, 590.0, 700.0, 900.0):  # noqa: B007 (the clock reads it)
            assert check(probe, url, connection="reused").outcome is Outcome.UP
            time.sleep(0.02)
    probe.close()
    assert lookups == [0.0, 700.0]


def test_a_connection_is_not_used_for_ever(authority: Path) -> None:
    later = 0.0
    probe = Probe(agent="here", resolve=resolve_here)
    probe.monotonic = lambda: time.monotonic() + later
    with HostileServer(Served()) as server:
        for later, connections in ((0.0, 1), (300.0, 1), (700.0, 2)):  # noqa: B007 (the clock reads it)
            assert check(probe, server.url, connection="reused").outcome is Outcome.UP
            assert server.connections == connections
    probe.close()


def test_after_a_reload_no_old_connection_is_used(probe: Probe) -> None:
    with HostileServer(Served()) as server:
        one = target(server.url, connection="reused")
        probe.check(one, utc_now())
        probe.prepare([one])
        probe.check(one, utc_now())
        assert server.connections == 2


def test_a_check_that_outlasts_a_reload_leaves_no_connection(probe: Probe) -> None:
    asked, goes_on = threading.Event(), threading.Event()
    ended: list[bool] = []

    def behave(connection: socket.socket) -> None:
        hear(connection)
        asked.set()
        goes_on.wait(10)
        connection.sendall(OK + b"Content-Length: 2\r\n\r\nhi")
        ended.append(not hear(connection))

    with HostileServer(behave) as server, ThreadPoolExecutor(1) as pool:
        future = pool.submit(check, probe, server.url, connection="reused")
        assert asked.wait(10)
        probe.prepare([])
        goes_on.set()
        assert future.result().outcome is Outcome.UP
        wait_until(lambda: ended == [True], "the connection is closed")


def test_a_probe_that_is_closed_keeps_no_descriptor(authority: Path) -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    before = count()
    probe = Probe(agent="here", resolve=resolve_here, authorities=(authority,))
    with HostileServer(Served(), tls=tls()) as server:
        check(probe, server.url, connection="reused")
        probe.close()
    assert count() <= before


def test_targets_in_many_threads_each_keep_their_own(probe: Probe) -> None:
    servers = [HostileServer(Served(OK + b"Content-Length: 6\r\n\r\npage %d" % number)) for number in range(8)]

    def run(number: int) -> list[Outcome]:
        one = target(
            servers[number].url,
            name=str(number),
            connection="reused",
            expect=Expectations(body=compile_pattern(f"page {number}")),
        )
        return [probe.check(one, utc_now()).outcome for _ in range(10)]

    for server in servers:
        server.__enter__()
    with ThreadPoolExecutor(8) as pool:
        assert {outcome for outcomes in pool.map(run, range(8)) for outcome in outcomes} == {Outcome.UP}
    assert [server.connections for server in servers] == [1] * 8
    for server in servers:
        server.__exit__(None, None, None)

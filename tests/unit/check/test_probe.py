"""One check against servers that misbehave: the right outcome, in time, and nothing left for the next check."""

import errno
import gzip
import os
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.deadline import check_in_time
from tests.hostile import (
    AUTHORITY,
    HOSTILE,
    OK,
    STRANGER,
    Behaviour,
    Hostile,
    HostileServer,
    answer,
    bomb,
    full_backlog,
    hang,
    hear,
    now_and,
    page,
    redirect,
    reset,
    server_context,
)
from webmon.check import course, failure, trust
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe
from webmon.check.resolver import Addresses, resolve_here
from webmon.check.result import CheckResult, Outcome, decode, encode
from webmon.check.target import BODY_LIMIT, MAX_REDIRECTS, Proxy, Target, Tls
from webmon.check.verdict import Expectations

TIMEOUT = 0.3
"""Of checks that are meant to reach their deadline."""
ENOUGH = 10.0
"""Of all others, on however busy a machine."""
SLOT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture(autouse=True, scope="module")
def a_machine_that_is_busy_is_no_subject_here() -> Iterator[None]:
    """With short timeouts, a machine that holds the tests up would make our own fault of each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course, "_HELD_UP_SECS", 60.0)
        yield


_open: list[Probe] = []


@pytest.fixture(autouse=True)
def close_probes() -> Iterator[None]:
    """Close what `made` makes when its test ends."""
    yield
    while _open:
        _open.pop().close()


def made(**more: Any) -> Probe:
    """Make a probe that lives as long as the test."""
    settings: dict[str, Any] = {"agent": "here", "resolve": resolve_here} | more
    _open.append(Probe(**settings))
    return _open[-1]


def make_target(url: str, **more: Any) -> Target:
    settings: dict[str, Any] = {"name": "t", "url": url, "interval": 60, "timeout": ENOUGH}
    return Target(**(settings | more))


def check(url: str, probe: Probe | None = None, **more: Any) -> CheckResult:
    result = check_in_time(probe or made(), make_target(url, **more), SLOT)
    assert decode(encode(result)) == result
    return result


def check_server(behaviour: Behaviour, **more: Any) -> CheckResult:
    with HostileServer(behaviour) as server:
        return check(server.url, **more)


@pytest.fixture(scope="module")
def hostile_results(authority: Path) -> Iterator[Callable[[str], CheckResult]]:
    """All hostile checks at once, each in a thread: many of them wait for their deadline."""
    probe = Probe(agent="here", resolve=resolve_here, authorities=(authority,))
    probe.prepare([make_target("http://localhost/")])

    def run(hostile: Hostile) -> CheckResult:
        with hostile.server() as server:
            return check(server.url, probe=probe, timeout=TIMEOUT if hostile.outcome is Outcome.TIMEOUT else ENOUGH)

    with ThreadPoolExecutor(8) as pool:
        futures = {name: pool.submit(run, hostile) for name, hostile in HOSTILE.items()}
        yield lambda name: futures[name].result()
    probe.close()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_server_that(name: str, hostile_results: Callable[[str], CheckResult]) -> None:
    result = hostile_results(name)
    assert result.outcome is HOSTILE[name].outcome, result.error
    assert (result.error is None) == (result.outcome is Outcome.UP)
    assert result.body_bytes is None or result.body_bytes <= BODY_LIMIT


def test_a_connection_that_is_reset_at_once_is_the_sites_failure_in_whatever_phase() -> None:
    # The reset may come before the client knows that it is connected.
    assert check_server(reset).outcome in (Outcome.CONNECT_ERROR, Outcome.READ_ERROR)


@pytest.mark.parametrize("headers", [b"Content-Encoding: deflate", b"Content-Length: 3\r\nContent-Length: 4"])
def test_the_status_that_came_is_told_whatever_the_body(headers: bytes) -> None:
    result = check_server(answer(OK + headers + b"\r\n\r\n", then=hang), timeout=1)
    assert result.outcome in (Outcome.TIMEOUT, Outcome.READ_ERROR)
    assert (result.http_status, result.http_version, result.body_bytes) == (200, "1.1", 0)


def test_the_time_of_a_result_is_the_checks_own() -> None:
    before = datetime.now(UTC)
    result = check_server(page(b"hello"))
    assert result.scheduled_at == SLOT
    assert before <= result.time <= datetime.now(UTC)
    assert result.interval == 60
    assert result.agent == "here"


def test_a_body_that_ends_early_is_told_in_bytes() -> None:
    result = check_server(answer(OK + b"Content-Length: 99\r\n\r\nabc"))
    assert result.error == "reading the response: the body ended after 3 of 99 bytes"


def test_a_good_page_is_up_with_what_a_person_asks_next() -> None:
    result = check_server(page(b"hello world"), expect=Expectations(body=compile_pattern("w.rld")))
    assert (result.outcome, result.error) == (Outcome.UP, None)
    assert (result.http_status, result.http_version, result.body_bytes) == (200, "1.1", 11)
    assert result.regex_match is True
    assert result.remote_ip == "127.0.0.1"
    assert result.phases.tls is None
    spent = [result.phases.dns, result.phases.connect, result.phases.first_byte, result.phases.transfer]
    assert all(phase is not None and phase >= 0 for phase in spent)
    assert sum(phase or 0 for phase in spent) <= result.total_time
    assert result.response_time is not None
    assert result.response_time <= result.total_time


def test_phases_tell_where_the_time_went() -> None:
    def late(connection: socket.socket) -> None:
        hear(connection)
        time.sleep(0.1)
        connection.sendall(OK + b"Content-Length: 2\r\n\r\n")
        time.sleep(0.2)
        connection.sendall(b"hi")

    result = check_server(late)
    # A busy machine may take a moment to see that the request is sent.
    assert 0.05 <= (result.phases.first_byte or 0) < 1
    assert 0.15 <= (result.phases.transfer or 0) < 1
    assert 0.05 <= (result.response_time or 0) <= result.total_time
    assert 0.3 <= result.total_time < 3


def test_response_time_and_phases_include_redirects() -> None:
    def late(connection: socket.socket) -> None:
        path = hear(connection).split()[1]
        time.sleep(0.1)
        if path == b"/":
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /page\r\nContent-Length: 0\r\n\r\n")
        else:
            connection.sendall(OK + b"Content-Length: 2\r\n\r\nhi")

    result = check_server(late)
    assert (result.outcome, result.redirects) == (Outcome.UP, 1)
    assert 0.15 <= (result.phases.first_byte or 0) <= (result.response_time or 0) < 3


def test_a_response_over_the_limit_is_slow() -> None:
    def late(connection: socket.socket) -> None:
        time.sleep(0.1)
        page(b"hello")(connection)

    result = check_server(late, expect=Expectations(max_response_time=0.05))
    assert result.outcome is Outcome.SLOW
    assert result.error is not None
    assert "0.05" in result.error


def test_a_wrong_status_is_told_as_received() -> None:
    result = check_server(page(b"oops", status=b"503 Busy"))
    assert (result.outcome, result.http_status) == (Outcome.STATUS_MISMATCH, 503)
    assert result.error == "status 503, expected 200-299"


def test_a_status_that_was_asked_for_is_up() -> None:
    assert check_server(page(b"", status=b"404 No"), expect=Expectations(status=((404, 404),))).outcome is Outcome.UP


def test_no_response_invents_no_status() -> None:
    result = check_server(hang, timeout=TIMEOUT)
    assert result.http_status is None
    assert result.response_time is None
    assert result.regex_match is None
    assert result.phases.transfer is None


def test_a_page_without_the_pattern_is_a_mismatch_that_names_it() -> None:
    result = check_server(page(b"something else"), expect=Expectations(body=compile_pattern("Welcome")))
    assert (result.outcome, result.regex_match) == (Outcome.BODY_MISMATCH, False)
    assert result.error is not None
    assert "'Welcome'" in result.error


def test_a_page_made_for_backtracking_costs_no_time() -> None:
    result = check_server(page(b"a" * 100_000 + b"!"), expect=Expectations(body=compile_pattern(r"(a+)+$")))
    assert result.outcome is Outcome.BODY_MISMATCH
    assert result.total_time < 2


def test_a_pattern_matches_in_a_page_that_is_no_utf8() -> None:
    result = check_server(
        page(b"\xff\xfe gr\xc3\xbc\xc3\x9fe \x80"), expect=Expectations(body=compile_pattern("gr[üu]ße"))
    )
    assert result.regex_match is True


def test_a_gzip_bomb_is_cut_at_the_limit() -> None:
    result = check_server(page(bomb(20), b"Content-Encoding: gzip"))
    assert (result.outcome, result.body_bytes, result.body_truncated) == (Outcome.UP, BODY_LIMIT, True)


def test_a_compressed_page_is_searched_as_people_see_it() -> None:
    result = check_server(
        page(gzip.compress(b"Welcome"), b"Content-Encoding: gzip"),
        expect=Expectations(body=compile_pattern("^Welcome$")),
    )
    assert (result.outcome, result.body_bytes) == (Outcome.UP, 7)


def test_a_pattern_past_the_limit_says_how_much_was_searched() -> None:
    result = check_server(
        page(b"x" * 2000 + b"Welcome"), body_limit=1000, expect=Expectations(body=compile_pattern("Welcome"))
    )
    assert (result.outcome, result.body_truncated) == (Outcome.BODY_MISMATCH, True)
    assert result.error is not None
    assert "the first 1000 bytes" in result.error


def test_a_body_of_just_the_limit_is_not_cut() -> None:
    result = check_server(page(b"x" * 1000), body_limit=1000)
    assert (result.body_bytes, result.body_truncated) == (1000, False)


def test_redirects_share_one_deadline() -> None:
    def late(connection: socket.socket) -> None:
        time.sleep(0.6)
        redirect(lambda: "/again")(connection)

    result = check_server(late, timeout=1)
    assert (result.outcome, result.http_status, result.redirects) == (Outcome.TIMEOUT, 302, 1)


def test_a_redirect_to_a_hang_is_a_timeout_with_the_status_that_came() -> None:
    with HostileServer(hang) as end, HostileServer(redirect(lambda: end.url)) as start:
        result = check(start.url, timeout=1)
    assert (result.outcome, result.http_status, result.redirects) == (Outcome.TIMEOUT, 302, 1)


def test_the_last_of_too_many_redirects_is_reported() -> None:
    result = check_server(redirect(lambda: "/again"))
    assert (result.redirects, result.http_status) == (MAX_REDIRECTS, 302)


def test_a_cookie_lives_as_long_as_the_check() -> None:
    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        request = hear(connection)
        seen.append(request)
        if b"Cookie: k=v" in request:
            connection.sendall(OK + b"Content-Length: 0\r\n\r\n")
        else:
            connection.sendall(b"HTTP/1.1 302 F\r\nSet-Cookie: k=v\r\nLocation: /in\r\nContent-Length: 0\r\n\r\n")

    probe = made(resolve=resolve_here)
    with HostileServer(behave) as server:
        one = make_target(server.url)
        for _ in range(2):
            assert probe.check(one, SLOT).redirects == 1
    assert [b"Cookie" in request for request in seen] == [False, True, False, True]


def test_each_check_has_a_connection_of_its_own() -> None:
    with HostileServer(page(b"hi")) as server:
        probe = made(resolve=resolve_here)
        for _ in range(3):
            assert probe.check(make_target(server.url), SLOT).outcome is Outcome.UP
        assert server.connections == 3


def test_no_descriptor_is_left_behind() -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    probe = made(resolve=resolve_here)
    target = make_target("http://localhost:1/", timeout=0.1)
    probe.check(target, SLOT)
    for behaviour in (hang, reset, page(b"hi"), answer(OK + b"Content-Length: 99\r\n\r\nabc"), redirect(lambda: "/")):
        with HostileServer(behaviour) as server:
            before = count() - server.connections
            probe.check(make_target(server.url, timeout=0.1), SLOT)
        assert count() <= before


def test_a_closed_port_is_a_connect_error() -> None:
    result = check("http://localhost:1/")
    assert (result.outcome, result.error) == (Outcome.CONNECT_ERROR, "connecting: Connection refused")
    assert result.phases.first_byte is None


@pytest.mark.parametrize("http_version", ["auto", "1.1"])
def test_a_server_that_accepts_and_speaks_no_tls_is_a_timeout_in_the_handshake(http_version: str) -> None:
    with HostileServer(hang) as server:
        result = check(server.url.replace("http", "https"), timeout=2, http_version=http_version)
    assert (result.outcome, result.error) == (Outcome.TIMEOUT, "not done within 2 s: in the TLS handshake")
    assert (result.phases.connect or 0) < (result.phases.tls or 0)


def test_a_header_of_a_proxy_that_is_none_is_the_proxys_fault() -> None:
    with HostileServer(answer(OK + b"no colon\r\n\r\n")) as server:
        result = check("https://localhost:1/", proxy=Proxy("127.0.0.1", server.port))
    assert result.outcome is Outcome.CONNECT_ERROR, result.error


def test_a_port_that_does_not_answer_is_a_timeout_while_connecting() -> None:
    with full_backlog() as port:
        result = check(f"http://127.0.0.1:{port}/", timeout=TIMEOUT)
    assert result.outcome is Outcome.TIMEOUT
    assert result.error == "not done within 0.3 s: connecting"
    assert result.remote_ip is None


def test_a_dead_address_leaves_time_for_the_next() -> None:
    with HostileServer(page(b"hi")) as server, full_backlog("127.0.0.2", server.port):

        def two(_host: str, port: int, _timeout: float) -> Addresses:
            return [(socket.AF_INET, ("127.0.0.2", port)), (socket.AF_INET, ("127.0.0.1", port))]

        result = check(f"http://two.example:{server.port}/", probe=made(resolve=two), timeout=5)
    assert result.outcome is Outcome.UP
    assert result.remote_ip == "127.0.0.1"
    assert 0.15 < (result.phases.connect or 0) < 1, "the next address is tried after 0.2 s (RFC 8305), not at the end"


def test_an_unknown_name_is_a_dns_error() -> None:
    def nobody(*_: object) -> Addresses:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    result = check("http://nobody.example/", probe=made(resolve=nobody))
    assert result.outcome is Outcome.DNS_ERROR
    assert result.error == "resolving the name: Name or service not known"


def test_a_resolver_that_gives_up_in_time_is_a_timeout() -> None:
    def slow(_host: str, _port: int, timeout: float) -> Addresses:
        time.sleep(timeout)
        raise TimeoutError

    result = check("http://slow.example/", probe=made(resolve=slow), timeout=TIMEOUT)
    assert (result.outcome, result.error) == (Outcome.TIMEOUT, "not done within 0.3 s: resolving the name")


@pytest.mark.parametrize("number", sorted(failure.OWN_FAULTS))
def test_what_the_kernel_refuses_us_is_no_fault_of_the_site(number: int) -> None:
    def fail(*_: object) -> Addresses:
        raise OSError(number, os.strerror(number))

    result = check("http://example.org/", probe=made(resolve=fail))
    assert result.outcome is Outcome.AGENT_ERROR
    assert os.strerror(number) in str(result.error)


def test_no_descriptors_left_is_our_own_fault() -> None:
    with HostileServer(page(b"hi")) as server:
        target = make_target(server.url)
        probe = made(resolve=lambda *_: [(socket.AF_INET, ("127.0.0.1", server.port))])
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            result = probe.check(target, SLOT)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert result.outcome is Outcome.AGENT_ERROR
    assert os.strerror(errno.EMFILE) in str(result.error)


def test_a_bug_of_ours_is_our_own_fault() -> None:
    def broken(*_: object) -> Addresses:
        raise ZeroDivisionError("oops")

    result = check("http://example.org/", probe=made(resolve=broken))
    assert result.outcome is Outcome.AGENT_ERROR
    assert "ZeroDivisionError: oops" in str(result.error)


def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert check_server(page(b"hi")).outcome is Outcome.UP


def test_an_error_is_one_short_line_whatever_the_server_says() -> None:
    result = check_server(answer(b"bad \x1b[31m\0line " + b"x" * 3000 + b"\r\n\r\n"))
    assert result.error is not None
    assert len(result.error) <= 500
    assert result.error.isprintable()


# TLS


def check_tls(context: ssl.SSLContext, authority: Path, **more: Any) -> CheckResult:
    with HostileServer(more.pop("behaviour", page(b"hi")), tls=context) as server:
        return check(server.url, probe=made(resolve=resolve_here, authorities=(authority,)), **more)


def test_a_certificate_of_a_given_authority_is_trusted(authority: Path) -> None:
    ends = now_and(days=9)
    result = check_tls(server_context(AUTHORITY.issue_cert("localhost", not_after=ends)), authority)
    assert result.outcome is Outcome.UP, result.error
    assert result.tls_version == "TLSv1.3"
    assert result.tls_not_after == ends.replace(microsecond=0)
    assert result.phases.tls is not None


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("has a certificate that has expired", "certificate refused: certificate has expired"),
        ("has a certificate that is not valid yet", "certificate refused: certificate is not yet valid"),
        ("has a certificate for another name", "certificate refused: Hostname mismatch"),
        ("has a certificate of an unknown authority", "certificate refused: unable to get local issuer"),
        ("wants our certificate by TLS 1.3", "certificate"),
        ("has no TLS where it should", "what answers speaks no TLS (it looks like HTTP)"),
        ("closes at a greeting", "the server closed the connection"),
        ("resets at a greeting", "the server closed the connection (Connection reset by peer)"),
    ],
)
def test_the_reason_is_told_of_a_server_that(
    name: str, reason: str, hostile_results: Callable[[str], CheckResult]
) -> None:
    result = hostile_results(name)
    assert reason in str(result.error)
    assert result.http_status is None


def test_a_new_certificate_is_seen_by_the_next_check(authority: Path) -> None:
    probe = made(resolve=resolve_here, authorities=(authority,))
    for days in (9, 90, 9):
        ends = now_and(days=days).replace(microsecond=0)
        context = server_context(AUTHORITY.issue_cert("localhost", not_after=ends))
        with HostileServer(page(b"hi"), tls=context) as server:
            for _ in range(2):
                assert check(server.url, probe=probe).tls_not_after == ends


def test_a_bad_certificate_is_taken_where_the_target_says_so(authority: Path) -> None:
    result = check_tls(server_context(STRANGER.issue_cert("localhost")), authority, tls=Tls(verify=False))
    assert result.outcome is Outcome.UP


def test_a_targets_own_authority_is_trusted_for_it_alone(authority: Path, tmp_path: Path) -> None:
    path = tmp_path / "stranger.pem"
    STRANGER.cert_pem.write_to_path(str(path))
    context = server_context(STRANGER.issue_cert("localhost"))
    assert check_tls(context, authority, tls=Tls(ca=path)).outcome is Outcome.UP
    assert check_tls(context, authority).outcome is Outcome.TLS_ERROR


def test_the_checks_of_one_tls_setting_read_its_files_once(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[ssl.SSLContext] = []
    original = trust.tls_context

    def counted(**more: Any) -> ssl.SSLContext:
        read.append(original(**more))
        return read[-1]

    monkeypatch.setattr(trust, "tls_context", counted)
    probe = made(authorities=(authority,))
    with HostileServer(page(b"hi"), tls=server_context(AUTHORITY.issue_cert("localhost"))) as server:
        for _ in range(3):
            assert check(server.url, probe=probe).outcome is Outcome.UP
    assert len(read) == 1


def test_our_certificate_is_wanted_after_the_handshake_however_the_timing(authority: Path) -> None:
    with HOSTILE["wants our certificate by TLS 1.3"].server() as server:
        probe = made(resolve=resolve_here, authorities=(authority,))
        results = [check(server.url, probe=probe) for _ in range(20)]
    assert {result.outcome for result in results} == {Outcome.TLS_ERROR}
    assert results[0].phases.first_byte is not None


def test_checks_in_many_threads_do_not_mix() -> None:
    pages = {f"page {number}": HostileServer(page(b"this is page %d." % number)) for number in range(8)}
    probe = made(resolve=resolve_here)
    wrong: list[CheckResult] = []

    def run(text: str, server: HostileServer) -> None:
        target = make_target(server.url, expect=Expectations(body=compile_pattern(rf"\b{text}\.")))
        wrong.extend(r for r in (probe.check(target, SLOT) for _ in range(10)) if r.outcome is not Outcome.UP)

    threads = [threading.Thread(target=run, args=item) for item in pages.items()]
    for server in pages.values():
        server.__enter__()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for server in pages.values():
        server.__exit__(None, None, None)
    assert wrong == []

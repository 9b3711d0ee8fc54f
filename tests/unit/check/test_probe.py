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
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.hostile import (
    OK,
    Behaviour,
    HostileServer,
    answer,
    bomb,
    drip,
    flood,
    full_backlog,
    hang,
    hear,
    leave,
    page,
    redirect,
    reset,
    reset_when_greeted,
)
from webmon.check import transport
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe
from webmon.check.result import CheckResult, Outcome, decode, encode
from webmon.check.target import BODY_LIMIT, MAX_REDIRECTS, Target, Tls
from webmon.check.transport import Addresses, resolve_here
from webmon.check.verdict import Expectations

TIMEOUT = 0.3
"""Of checks that are meant to reach their deadline."""
ENOUGH = 10.0
"""Of all others, on however busy a machine."""
SLOT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def make_target(url: str, **more: Any) -> Target:
    settings: dict[str, Any] = {"name": "t", "url": url, "interval": 60, "timeout": ENOUGH}
    return Target(**(settings | more))


def check(url: str, probe: Probe | None = None, **more: Any) -> CheckResult:
    probe = probe or Probe(agent="here", resolve=resolve_here)
    began = time.monotonic()
    result = probe.check(make_target(url, **more), SLOT)
    assert time.monotonic() - began < more.get("timeout", ENOUGH) + 2, "the deadline was not kept"
    assert decode(encode(result)) == result
    return result


def check_server(behaviour: Behaviour, **more: Any) -> CheckResult:
    with HostileServer(behaviour) as server:
        return check(server.url, **more)


HOSTILE: dict[str, tuple[Behaviour, Outcome]] = {
    "accepts and says nothing": (hang, Outcome.TIMEOUT),
    "closes without a word": (hear, Outcome.READ_ERROR),
    "resets instead of an answer": (answer(then=reset), Outcome.READ_ERROR),
    "resets in the header": (answer(OK + b"Content-", then=reset), Outcome.READ_ERROR),
    "resets in the body": (answer(OK + b"Content-Length: 99\r\n\r\nabc", then=reset), Outcome.READ_ERROR),
    "stops in the status line": (answer(b"HTTP/1.", then=hang), Outcome.TIMEOUT),
    "drips a header": (drip(OK + b"X: ", b"x"), Outcome.TIMEOUT),
    "drips header lines": (drip(OK, b"X: y\r\n"), Outcome.TIMEOUT),
    "drips a body": (drip(OK + b"Content-Length: 9999\r\n\r\n", b"x"), Outcome.TIMEOUT),
    "drips a chunked body": (drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"), Outcome.TIMEOUT),
    "claims more than it sends": (answer(OK + b"Content-Length: 99\r\n\r\nabc"), Outcome.READ_ERROR),
    "claims less than it sends": (answer(OK + b"Content-Length: 3\r\n\r\nabcdefgh"), Outcome.UP),
    "claims no number": (answer(OK + b"Content-Length: many\r\n\r\nabc"), Outcome.UP),
    "claims a negative length": (answer(OK + b"Content-Length: -5\r\n\r\nabc"), Outcome.UP),
    "sends no end of chunks": (answer(OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), Outcome.READ_ERROR),
    "sends a chunk without a size": (answer(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc"), Outcome.READ_ERROR),
    "floods a body": (flood(OK + b"\r\n", bytes(65536)), Outcome.UP),
    "floods header lines": (flood(OK, b"X: y\r\n"), Outcome.READ_ERROR),
    "sends a header of a megabyte": (answer(OK + b"X: " + b"x" * (1 << 20) + b"\r\n\r\n"), Outcome.READ_ERROR),
    "sends NUL in a header": (page(b"fine", b"X: a\0b"), Outcome.UP),
    "speaks another protocol": (answer(b"220 mail.example ESMTP\r\n", then=hang), Outcome.READ_ERROR),
    "answers with status 1000": (answer(b"HTTP/1.1 1000 Odd\r\n\r\n"), Outcome.READ_ERROR),
    "sends broken gzip": (page(b"no gzip", b"Content-Encoding: gzip"), Outcome.READ_ERROR),
    "redirects for ever": (redirect(lambda: "/again"), Outcome.TOO_MANY_REDIRECTS),
    "redirects out of HTTP": (redirect(lambda: "ftp://localhost/"), Outcome.STATUS_MISMATCH),
    "redirects to nonsense": (redirect(lambda: "http://[::1/"), Outcome.STATUS_MISMATCH),
    "redirects to an endless name": (redirect(lambda: f"http://{'x' * 300}/"), Outcome.STATUS_MISMATCH),
    "redirects to bytes": (answer(b"HTTP/1.1 302 F\r\nLocation: /\xff\xfe\r\n\r\n"), Outcome.STATUS_MISMATCH),
}


@pytest.fixture(scope="module")
def hostile_results() -> Iterator[Callable[[str], CheckResult]]:
    """All hostile checks at once, each in a thread: most of them wait for their deadline."""
    probe = Probe(agent="here", resolve=resolve_here)
    probe.prepare([make_target("http://localhost/")])

    def run(behaviour: Behaviour, outcome: Outcome) -> CheckResult:
        return check_server(behaviour, probe=probe, timeout=TIMEOUT if outcome is Outcome.TIMEOUT else ENOUGH)

    with ThreadPoolExecutor(8) as pool:
        futures = {name: pool.submit(run, *case) for name, case in HOSTILE.items()}
        yield lambda name: futures[name].result()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_server_that(name: str, hostile_results: Callable[[str], CheckResult]) -> None:
    result = hostile_results(name)
    assert result.outcome is HOSTILE[name][1], result.error
    assert (result.error is None) == (result.outcome is Outcome.UP)


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
    assert 0.1 <= (result.phases.first_byte or 0) < 1
    assert 0.15 <= (result.phases.transfer or 0) < 1
    assert 0.1 <= (result.response_time or 0) <= result.total_time
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
    assert 0.2 <= (result.phases.first_byte or 0) <= (result.response_time or 0) < 3


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

    probe = Probe(agent="here", resolve=resolve_here)
    with HostileServer(behave) as server:
        one = make_target(server.url)
        for _ in range(2):
            assert probe.check(one, SLOT).redirects == 1
    assert [b"Cookie" in request for request in seen] == [False, True, False, True]


def test_each_check_has_a_connection_of_its_own() -> None:
    with HostileServer(page(b"hi")) as server:
        probe = Probe(agent="here", resolve=resolve_here)
        for _ in range(3):
            assert probe.check(make_target(server.url), SLOT).outcome is Outcome.UP
        assert server.connections == 3


def test_no_descriptor_is_left_behind() -> None:
    def count() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    probe = Probe(agent="here", resolve=resolve_here)
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


def test_a_port_that_does_not_answer_is_a_timeout_while_connecting() -> None:
    with full_backlog() as port:
        result = check(f"http://127.0.0.1:{port}/", timeout=TIMEOUT)
    assert result.outcome is Outcome.TIMEOUT
    assert result.error == "not done within 0.3 s: connecting"
    assert result.remote_ip is None


def test_a_dead_address_leaves_time_for_the_next() -> None:
    with full_backlog() as port, HostileServer(page(b"hi")) as server:

        def two(*_: object) -> Addresses:
            return [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET, ("127.0.0.1", server.port))]

        result = check(server.url, probe=Probe(agent="here", resolve=two), timeout=1)
    assert result.outcome is Outcome.UP
    assert (result.phases.connect or 0) > 0.3


def test_an_unknown_name_is_a_dns_error() -> None:
    def nobody(*_: object) -> Addresses:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    result = check("http://nobody.example/", probe=Probe(agent="here", resolve=nobody))
    assert result.outcome is Outcome.DNS_ERROR
    assert result.error == "resolving the name: Name or service not known"


def test_a_resolver_that_gives_up_in_time_is_a_timeout() -> None:
    def slow(_host: str, _port: int, timeout: float) -> Addresses:
        time.sleep(timeout)
        raise TimeoutError

    result = check("http://slow.example/", probe=Probe(agent="here", resolve=slow), timeout=TIMEOUT)
    assert (result.outcome, result.error) == (Outcome.TIMEOUT, "not done within 0.3 s: resolving the name")


@pytest.mark.parametrize("number", sorted(transport.OWN_FAULTS))
def test_what_the_kernel_refuses_us_is_no_fault_of_the_site(number: int) -> None:
    def fail(*_: object) -> Addresses:
        raise OSError(number, os.strerror(number))

    result = check("http://example.org/", probe=Probe(agent="here", resolve=fail))
    assert result.outcome is Outcome.AGENT_ERROR
    assert os.strerror(number) in str(result.error)


def test_no_descriptors_left_is_our_own_fault() -> None:
    with HostileServer(page(b"hi")) as server:
        target = make_target(server.url)
        probe = Probe(agent="here", resolve=lambda *_: [(socket.AF_INET, ("127.0.0.1", server.port))])
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

    result = check("http://example.org/", probe=Probe(agent="here", resolve=broken))
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

AUTHORITY = trustme.CA()
STRANGER = trustme.CA()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    AUTHORITY.cert_pem.write_to_path(str(path))
    return path


def server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def now_and(**delta: float) -> datetime:
    return datetime.now(UTC) + timedelta(**delta)


def check_tls(context: ssl.SSLContext, authority: Path, **more: Any) -> CheckResult:
    with HostileServer(more.pop("behaviour", page(b"hi")), tls=context) as server:
        return check(server.url, probe=Probe(agent="here", resolve=resolve_here, authorities=(authority,)), **more)


def test_a_certificate_of_a_given_authority_is_trusted(authority: Path) -> None:
    ends = now_and(days=9)
    result = check_tls(server_context(AUTHORITY.issue_cert("localhost", not_after=ends)), authority)
    assert result.outcome is Outcome.UP, result.error
    assert result.tls_version == "TLSv1.3"
    assert result.tls_not_after == ends.replace(microsecond=0)
    assert result.phases.tls is not None


BAD_CERTIFICATES: dict[str, tuple[Callable[[], trustme.LeafCert], str]] = {
    "expired": (
        lambda: AUTHORITY.issue_cert("localhost", not_before=now_and(days=-9), not_after=now_and(days=-1)),
        "certificate has expired",
    ),
    "not valid yet": (lambda: AUTHORITY.issue_cert("localhost", not_before=now_and(days=1)), "not yet valid"),
    "for another name": (lambda: AUTHORITY.issue_cert("other.example"), "mismatch"),
    "of an unknown authority": (lambda: STRANGER.issue_cert("localhost"), "unable to get local issuer"),
}


@pytest.mark.parametrize("name", BAD_CERTIFICATES)
def test_a_certificate_is_refused_that_is(name: str, authority: Path) -> None:
    issue, reason = BAD_CERTIFICATES[name]
    result = check_tls(server_context(issue()), authority)
    assert result.outcome is Outcome.TLS_ERROR
    assert reason in str(result.error)
    assert result.http_status is None


def test_a_bad_certificate_is_taken_where_the_target_says_so(authority: Path) -> None:
    result = check_tls(server_context(STRANGER.issue_cert("localhost")), authority, tls=Tls(verify=False))
    assert result.outcome is Outcome.UP


def test_a_targets_own_authority_is_trusted_for_it_alone(authority: Path, tmp_path: Path) -> None:
    path = tmp_path / "stranger.pem"
    STRANGER.cert_pem.write_to_path(str(path))
    context = server_context(STRANGER.issue_cert("localhost"))
    assert check_tls(context, authority, tls=Tls(ca=path)).outcome is Outcome.UP
    assert check_tls(context, authority).outcome is Outcome.TLS_ERROR


def test_the_checks_of_one_tls_setting_share_a_context(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[ssl.SSLContext] = []
    original = transport.tls_context

    def counted(**more: Any) -> ssl.SSLContext:
        made.append(original(**more))
        return made[-1]

    monkeypatch.setattr("webmon.check.probe.tls_context", counted)
    probe = Probe(agent="here", resolve=resolve_here, authorities=(authority,))
    with HostileServer(page(b"hi"), tls=server_context(AUTHORITY.issue_cert("localhost"))) as server:
        for _ in range(3):
            assert check(server.url, probe=probe).outcome is Outcome.UP
    assert len(made) == 1


def test_an_old_tls_version_is_refused(authority: Path) -> None:
    context = server_context(AUTHORITY.issue_cert("localhost"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    assert check_tls(context, authority).outcome is Outcome.TLS_ERROR


def test_no_common_cipher_is_a_tls_error(authority: Path) -> None:
    context = server_context(AUTHORITY.issue_cert("localhost"))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
    assert check_tls(context, authority).outcome is Outcome.TLS_ERROR


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [(hang, Outcome.TIMEOUT), (reset_when_greeted, Outcome.TLS_ERROR), (leave, Outcome.TLS_ERROR)],
)
def test_a_handshake_that_goes_nowhere(behaviour: Behaviour, outcome: Outcome) -> None:
    with HostileServer(behaviour) as server:
        timeout = TIMEOUT if outcome is Outcome.TIMEOUT else ENOUGH
        result = check(server.url.replace("http:", "https:"), timeout=timeout)
    assert result.outcome is outcome, result.error
    assert result.phases.tls is not None
    assert result.phases.first_byte is None


def test_a_body_that_drips_over_tls_holds_the_deadline(authority: Path) -> None:
    context = server_context(AUTHORITY.issue_cert("localhost"))
    result = check_tls(context, authority, behaviour=drip(OK + b"\r\n", b"x"), timeout=1)
    assert (result.outcome, result.http_status) == (Outcome.TIMEOUT, 200)


def test_checks_in_many_threads_do_not_mix() -> None:
    pages = {f"page {number}": HostileServer(page(b"this is page %d." % number)) for number in range(8)}
    probe = Probe(agent="here", resolve=resolve_here)
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

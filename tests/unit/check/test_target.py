"""How a target is asked and what its answer must be like; its secrets stay where they belong."""

import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.hostile import OK, Behaviour, HostileServer, answer, hang, hear, page, redirect
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe, utc_now
from webmon.check.resolver import Addresses, resolve_here
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target, Tls
from webmon.check.verdict import Expectations

SECRET = "s3cret-t0ken"


def check(url: str, **more: Any) -> CheckResult:
    authorities = more.pop("authorities", ())
    resolve = more.pop("resolve", resolve_here)
    settings: dict[str, Any] = {"name": "t", "url": url, "interval": 60, "timeout": 10}
    with contextlib.closing(Probe(agent="here", resolve=resolve, authorities=authorities)) as probe:
        return probe.check(Target(**(settings | more)), utc_now())


def check_server(behaviour: Behaviour, **more: Any) -> CheckResult:
    with HostileServer(behaviour) as server:
        return check(server.url, **more)


class Listener:
    """Keeps the requests that it gets, with their bodies, and answers each as it is told."""

    def __init__(self, answer_to: Callable[[bytes], bytes] = lambda _: b"200 OK\r\n") -> None:
        self.requests: list[bytes] = []
        self._answer_to = answer_to

    def __call__(self, connection: socket.socket) -> None:
        request = hear(connection)
        head, _, body = request.partition(b"\r\n\r\n")
        for line in head.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                while len(body) < int(line.split(b":")[1]):
                    body += connection.recv(65536)
        self.requests.append(head + b"\r\n\r\n" + body)
        path = head.split()[1]
        connection.sendall(b"HTTP/1.1 " + self._answer_to(path) + b"Content-Length: 0\r\n\r\n")


def moved(status: bytes, to: Callable[[], str]) -> Callable[[bytes], bytes]:
    def answer_to(path: bytes) -> bytes:
        return status + b" Moved\r\nLocation: " + to().encode() + b"\r\n" if path == b"/" else b"200 OK\r\n"

    return answer_to


def test_method_headers_and_body_are_sent_as_the_target_says() -> None:
    listener = Listener()
    result = check_server(listener, method="PUT", headers={"user-agent": "ours", "X-Team": "web"}, body=b"hello")
    assert result.outcome is Outcome.UP
    (request,) = listener.requests
    head, _, body = request.partition(b"\r\n\r\n")
    assert head.startswith(b"PUT / HTTP/1.1\r\n")
    assert head.lower().count(b"user-agent: ours") == 1
    assert b"webmon" not in head
    assert b"X-Team: web" in head
    assert b"Content-Length: 5" in head
    assert body == b"hello"


def test_an_answer_to_head_has_no_body_whatever_it_claims() -> None:
    result = check_server(answer(OK + b"Content-Length: 999\r\n\r\n"), method="HEAD")
    assert (result.outcome, result.body_bytes) == (Outcome.UP, 0)


def test_a_target_that_follows_no_redirect_judges_the_first_answer() -> None:
    result = check_server(redirect(lambda: "/there"), max_redirects=None, expect=Expectations(status=((301, 302),)))
    assert (result.outcome, result.http_status, result.redirects) == (Outcome.UP, 302, 0)


@pytest.mark.parametrize("most", [0, 3])
def test_a_targets_own_number_of_redirects_counts(most: int) -> None:
    result = check_server(redirect(lambda: "/again"), max_redirects=most)
    assert (result.outcome, result.redirects) == (Outcome.TOO_MANY_REDIRECTS, most)
    assert result.error == f"more than {most} redirects"


@pytest.mark.parametrize(
    ("status", "method"), [(b"301", b"GET"), (b"302", b"GET"), (b"303", b"GET"), (b"307", b"POST"), (b"308", b"POST")]
)
def test_a_redirected_post_stays_one_only_where_the_status_says_so(status: bytes, method: bytes) -> None:
    listener = Listener(moved(status, lambda: "/there"))
    check_server(listener, method="POST", headers={"Content-Type": "text/plain"}, body=b"hello")
    _, second = listener.requests
    assert second.startswith(method + b" /there ")
    assert second.endswith(b"hello") == (method == b"POST")
    assert (b"Content-Type" in second) == (method == b"POST")


@pytest.mark.parametrize(
    ("status", "second_is"),
    [(b"301", b"PUT"), (b"302", b"PUT"), (b"303", b"GET"), (b"307", b"PUT"), (b"308", b"PUT")],
)
def test_a_redirected_put_is_never_one_without_its_body(status: bytes, second_is: bytes) -> None:
    listener = Listener(moved(status, lambda: "/there"))
    check_server(listener, method="PUT", headers={"Content-Type": "text/plain"}, body=b"hello")
    _, second = listener.requests
    assert second.startswith(second_is + b" /there ")
    assert second.endswith(b"hello") == (second_is == b"PUT")


def test_a_redirect_whose_page_never_comes_is_followed_at_once() -> None:
    def behave(connection: socket.socket) -> None:
        if hear(connection).startswith(b"GET / "):
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /there\r\n\r\n")
            hang(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")

    result = check_server(behave)
    assert (result.outcome, result.redirects, result.body_bytes) == (Outcome.UP, 1, 2)


def test_credentials_go_along_on_the_same_origin_and_not_to_another() -> None:
    headers = {"Authorization": f"Bearer {SECRET}", "X-Key": f"k {SECRET}", "X-Team": "web", "Cookie": "session=1"}
    end = Listener()
    with HostileServer(end) as other:
        for to, secret_comes in ((lambda: "/there", True), (lambda: other.url, False)):
            start = Listener(moved(b"302", to))
            with HostileServer(start) as server:
                assert check(server.url, headers=headers, secrets=(SECRET,)).outcome is Outcome.UP
            last = start.requests[-1] if secret_comes else end.requests[-1]
            assert (SECRET.encode() in last) == secret_comes
            assert (b"session=1" in last) == secret_comes
            assert b"X-Team: web" in last


def test_a_body_with_a_secret_is_not_sent_on_to_another_origin() -> None:
    end = Listener()
    with HostileServer(end) as other:
        result = check_server(
            Listener(moved(b"307", lambda: other.url)), method="POST", body=SECRET.encode(), secrets=(SECRET,)
        )
    assert (result.outcome, result.http_status) == (Outcome.STATUS_MISMATCH, 307)
    assert end.requests == []


ECHOES: dict[str, Behaviour] = {
    "as it is": answer(SECRET.encode() + b"\r\n\r\n"),
    "cut in the middle": answer(b"x" * 452 + b" " + SECRET.encode() + b"\r\n\r\n"),
    "in a header that is shown": page(b"", b"Server: " + SECRET.encode()),
}


@pytest.mark.parametrize("name", ECHOES)
def test_a_secret_that_a_server_sends_back_stands_in_no_error(name: str) -> None:
    result = check_server(
        ECHOES[name],
        headers={"X-Key": SECRET},
        secrets=(SECRET,),
        expect=Expectations(headers=(("Server", compile_pattern("^nginx")),)),
    )
    assert result.outcome in (Outcome.READ_ERROR, Outcome.HEADER_MISMATCH)
    assert result.error is not None
    assert "***" in result.error
    assert SECRET[:4] not in result.error


def test_an_error_stays_short_where_a_secret_is_shorter_than_what_stands_for_it() -> None:
    result = check_server(answer(b"e" * 600 + b"\r\n\r\n"), secrets=("e",))
    assert result.error is not None
    assert len(result.error) <= 500


def test_a_secret_in_a_bug_of_ours_stands_in_no_log(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object) -> Addresses:
        raise ZeroDivisionError(f"oops {SECRET}")

    with caplog.at_level(logging.ERROR):
        result = check("http://example.org/", resolve=broken, secrets=(SECRET,))
    assert result.outcome is Outcome.AGENT_ERROR
    assert "ZeroDivisionError: oops ***" in caplog.text
    assert SECRET not in caplog.text + str(result.error)


JSON = page(b"{}", b"Content-Type: application/json", b"Server: Apache/2.4", b"X-Two: a", b"X-Two: b")


@pytest.mark.parametrize(
    ("expect", "error"),
    [
        ({"headers": {"content-type": "^application/json$", "X-Two": "a, b"}}, None),
        ({"headers_not": {"Server": "nginx", "X-None": "."}}, None),
        (
            {"headers": {"Content-Type": "html"}},
            "header Content-Type is 'application/json', which does not match 'html'",
        ),
        ({"headers": {"X-None": ""}}, "there is no header X-None, expected one that matches ''"),
        (
            {"headers_not": {"Server": "Apache"}},
            "header Server is 'Apache/2.4', which matches 'Apache' and must not",
        ),
    ],
)
def test_headers_are_held_against_their_patterns(expect: dict[str, dict[str, str]], error: str | None) -> None:
    patterns: dict[str, Any] = {
        key: tuple((name, compile_pattern(text)) for name, text in value.items()) for key, value in expect.items()
    }
    result = check_server(JSON, expect=Expectations(**patterns))
    assert result.outcome is (Outcome.HEADER_MISMATCH if error else Outcome.UP)
    assert result.error == error


def test_a_body_that_must_not_match_is_a_mismatch_where_it_does() -> None:
    expect = Expectations(body=compile_pattern("Wel"), body_not=compile_pattern("(?i)error"))
    assert check_server(page(b"Welcome"), expect=expect).outcome is Outcome.UP
    result = check_server(page(b"Welcome, ERROR 7"), expect=expect)
    assert (result.outcome, result.regex_match) == (Outcome.BODY_MISMATCH, True)
    assert result.error == "something in the body matches '(?i)error', and nothing may"


def only(family: socket.AddressFamily, port: int) -> Callable[..., Addresses]:
    both = [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]
    return lambda *_: [address for address in both if address[0] == family or family is socket.AF_UNSPEC]


def test_the_ip_version_of_a_target_is_kept() -> None:
    with HostileServer(page(b"hi")) as server:
        url = f"http://site.example:{server.port}/"
        result = check(url, ip_version=4, resolve=only(socket.AF_UNSPEC, server.port))
        assert (result.outcome, result.remote_ip) == (Outcome.UP, "127.0.0.1")
        result = check(url, ip_version=6, resolve=only(socket.AF_INET, server.port))
    assert (result.outcome, result.error) == (
        Outcome.DNS_ERROR,
        "resolving the name: the name has no IPv6 address",
    )


# TLS


class Pki:
    """An authority, and what a server and a client have of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca = self.write("ca.pem", self.authority.cert_pem)
        client = self.authority.issue_cert("client")
        self.certificate = self.write("cert.pem", client.cert_chain_pems[0])
        self.key = self.write("key.pem", client.private_key_pem)

    def write(self, name: str, blob: trustme.Blob) -> Path:
        blob.write_to_path(str(self.folder / name))
        return self.folder / name

    def server(self, **certificate: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert("localhost", **certificate).configure_cert(context)
        return context

    def check(self, context: ssl.SSLContext, **more: Any) -> CheckResult:
        with HostileServer(page(b"hi"), tls=context) as server:
            return check(server.url, authorities=(self.ca,), **more)


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@pytest.mark.parametrize(("days", "outcome"), [(9, Outcome.UP), (11, Outcome.CERTIFICATE_EXPIRING)])
def test_a_certificate_that_ends_soon_is_told(pki: Pki, days: float, outcome: Outcome) -> None:
    context = pki.server(not_after=datetime.now(UTC) + timedelta(days=10, hours=1))
    result = pki.check(context, expect=Expectations(certificate_days=days))
    assert result.outcome is outcome
    if outcome is not Outcome.UP:
        assert result.error == "the certificate ends in 10.0 days, expected 11 at least"


def test_a_connection_without_tls_has_no_certificate_to_end() -> None:
    assert check_server(page(b"hi"), expect=Expectations(certificate_days=9)).outcome is Outcome.UP


def test_a_server_that_asks_for_our_certificate_gets_it(pki: Pki) -> None:
    context = pki.server()
    pki.authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    assert pki.check(context, tls=Tls(certificate=pki.certificate, key=pki.key)).outcome is Outcome.UP
    assert pki.check(context).outcome.is_down


def test_a_version_of_tls_older_than_the_target_takes_is_a_tls_error(pki: Pki) -> None:
    context = pki.server()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert pki.check(context).tls_version == "TLSv1.2"
    assert pki.check(context, tls=Tls(minimum="1.3")).outcome is Outcome.TLS_ERROR


def test_a_rotated_secret_makes_another_target() -> None:
    def make(token: str) -> Target:
        return Target(name="t", url="http://a/", interval=60, timeout=5, headers={"X-Key": token}, secrets=(token,))

    assert make("a") == make("a")
    assert make("a") != make("b")
    assert SECRET not in repr(make(SECRET))


def test_what_a_target_may_take_bounds_a_check_that_hangs() -> None:
    assert check_server(hang, method="POST", body=b"x", timeout=0.2).outcome is Outcome.TIMEOUT

"""What libcurl's codes mean: the phase decides first, and what only this host can be to blame for is no site's."""

import errno
import os
import socket
from typing import Any

import pytest

from webmon.check import failure as failure_module
from webmon.check.failure import Failure, judge
from webmon.check.result import Outcome

LOOPBACK = ((socket.AF_INET, "127.0.0.1"),)


def of(code: int, text: str = "", phase: Any = "first_byte", **more: Any) -> tuple[Outcome, str]:
    return judge(Failure(code, text, phase, **({"addresses": LOOPBACK, "host": "h"} | more)))


@pytest.mark.parametrize(
    ("found", "outcome", "text"),
    [
        (of(7, "x", "connect", errno=errno.ECONNREFUSED), Outcome.CONNECT_ERROR, "connecting: Connection refused"),
        (of(52), Outcome.READ_ERROR, "waiting for the first byte: the server closed the connection without an answer"),
        (
            of(18, "transfer closed", "transfer", received=3, expected=99),
            Outcome.READ_ERROR,
            "reading the response: the body ended after 3 of 99 bytes",
        ),
        (
            of(56, "Recv failure: Connection reset by peer", "transfer", errno=errno.ECONNRESET),
            Outcome.READ_ERROR,
            "reading the response: the server closed the connection (Connection reset by peer)",
        ),
        (
            of(64, "STARTTLS not supported.", "transfer", said=b"250 OK\r\n"),
            Outcome.TLS_ERROR,
            "reading the response: the server offers no STARTTLS",
        ),
        (
            of(8, "Got unexpected smtp-server response: 554", "transfer", said=b"554 \x1b[2J\r\n"),
            Outcome.BODY_MISMATCH,
            r"reading the response: the server refused us: '554 \x1b[2J'",
        ),
        (
            of(55, "Send failure: Broken pipe", doing="sending"),
            Outcome.READ_ERROR,
            "sending: the server closed the connection",
        ),
        (
            of(60, "SSL certificate problem: certificate has expired", "tls"),
            Outcome.TLS_ERROR,
            "in the TLS handshake: certificate refused: certificate has expired",
        ),
        (
            of(60, "SSL: no alternative certificate subject name matches target host name 'h'", "tls"),
            Outcome.TLS_ERROR,
            "in the TLS handshake: certificate refused: Hostname mismatch, certificate is not valid for 'h'.",
        ),
        (
            of(35, "TLS connect error: error:0A000410:SSL routines::ssl/tls alert handshake failure", "tls"),
            Outcome.TLS_ERROR,
            "in the TLS handshake: ssl/tls alert handshake failure",
        ),
        (
            of(35, "TLS connect error: error:0A000126:SSL routines::unexpected eof while reading", "tls"),
            Outcome.TLS_ERROR,
            "in the TLS handshake: the server closed the connection",
        ),
        (
            of(56, "OpenSSL SSL_read: error:0A00045C:SSL routines::tlsv13 alert certificate required, errno 0"),
            Outcome.TLS_ERROR,
            "waiting for the first byte: tlsv13 alert certificate required",
        ),
        (
            of(56, "Recv failure: Connection reset by peer", wants_certificate=True),
            Outcome.TLS_ERROR,
            "waiting for the first byte: the server asked for our certificate, and closed the connection without one",
        ),
        (
            of(7, "", "connect", proxy="p:3128", errno=errno.ECONNREFUSED),
            Outcome.CONNECT_ERROR,
            "the proxy p:3128: connecting: Connection refused",
        ),
        (
            of(7, "", "connect", proxy="p:3128", proxy_status=407, proxy_reason="Who Are You", host="h:443"),
            Outcome.CONNECT_ERROR,
            "connecting: the proxy p:3128 refused to connect to h:443: 407 Who Are You",
        ),
        (
            of(43, "Invalid response header", "connect", proxy="p:3128"),
            Outcome.CONNECT_ERROR,
            "the proxy p:3128: connecting: Invalid response header",
        ),
        (of(43, "", "connect"), Outcome.AGENT_ERROR, "connecting: libcurl's error 43"),
        (
            of(0, "", "transfer"),
            Outcome.READ_ERROR,
            "reading the response: the connection was closed in the midst of the header",
        ),
        (of(18, "", "transfer"), Outcome.READ_ERROR, "reading the response: the body ended too early"),
        (of(100, ""), Outcome.READ_ERROR, "waiting for the first byte: too long: a line"),
        (of(27, "Out of memory", "connect"), Outcome.AGENT_ERROR, "connecting: Out of memory"),
        (of(59, "", "tls"), Outcome.AGENT_ERROR, "in the TLS handshake: libcurl's error 59"),
        (of(7, "", "connect", errno=errno.EMFILE), Outcome.AGENT_ERROR, "connecting: Too many open files"),
        (of(7, "", "connect", errno=errno.EADDRNOTAVAIL), Outcome.AGENT_ERROR, os.strerror(errno.EADDRNOTAVAIL)),
        (of(1, "odd", "transfer"), Outcome.READ_ERROR, "reading the response: not HTTP: odd"),
        (of(99, "", "transfer"), Outcome.READ_ERROR, "reading the response: libcurl's error 99"),
    ],
)
def test_a_code_means(found: tuple[Outcome, str], outcome: Outcome, text: str) -> None:
    assert found[0] is outcome
    assert found[1].endswith(text)


@pytest.mark.parametrize("number", [errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES])
@pytest.mark.parametrize(("has_way", "outcome"), [(True, Outcome.CONNECT_ERROR), (False, Outcome.AGENT_ERROR)])
def test_what_a_router_may_have_said_is_ours_only_where_the_kernel_knows_no_way(
    number: int, has_way: bool, outcome: Outcome, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failure_module, "has_way", lambda *_: has_way)
    assert of(7, "", "connect", errno=number) == (outcome, f"connecting: {os.strerror(number)}")


def test_the_kernel_knows_a_way_to_loopback_and_none_of_a_kind_that_is_no_kind() -> None:
    assert failure_module.has_way(socket.AF_INET, "127.0.0.1")
    assert not failure_module.has_way(socket.AF_INET, "::1")

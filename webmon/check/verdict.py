"""The rules: what a response, or a failure, says of the target."""

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from webmon.check.http1 import HttpError
from webmon.check.pattern import Pattern
from webmon.check.result import ERROR_LIMIT, Outcome
from webmon.check.transport import OWN_FAULTS, OwnFaultError, Phase, ProxyError

ANY_SUCCESS: Final = ((200, 299),)

_BY_PHASE: Final[dict[Phase | None, Outcome]] = {
    None: Outcome.AGENT_ERROR,
    "dns": Outcome.DNS_ERROR,
    "connect": Outcome.CONNECT_ERROR,
    "tls": Outcome.TLS_ERROR,
    "first_byte": Outcome.READ_ERROR,
    "transfer": Outcome.READ_ERROR,
}

_DOING: Final[dict[Phase | None, str]] = {
    None: "before it began",
    "dns": "resolving the name",
    "connect": "connecting",
    "tls": "in the TLS handshake",
    "first_byte": "waiting for the first byte",
    "transfer": "reading the response",
}

_BROKEN_OFF: Final = (ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)
"""Errors of TLS that tell no more than that the connection ended."""

_RESOLVER_OWN_FAULTS: Final = frozenset({socket.EAI_MEMORY, socket.EAI_SYSTEM})


@dataclass(frozen=True, slots=True)
class Expectations:
    """What a response must be like for its target to be up."""

    status: tuple[tuple[int, int], ...] = ANY_SUCCESS
    """Ranges of status codes, both ends included."""
    body: Pattern | None = None
    """What the body must match."""
    body_not: Pattern | None = None
    """What it must not match."""
    headers: tuple[tuple[str, Pattern], ...] = ()
    """Headers that must be there and match."""
    headers_not: tuple[tuple[str, Pattern], ...] = ()
    """Headers that must not match, where they are there."""
    certificate_days: float | None = None
    """Days that the certificate of the last connection must have left; a connection without TLS has none."""
    max_response_time: float | None = None
    """Seconds; a response that took longer is slow."""


class Verdict(NamedTuple):
    """An outcome, and for all but `up` one line for people."""

    outcome: Outcome
    error: str | None = None


def one_line(text: str) -> str:
    """Make any text, a server's own included, fit for CheckResult.error."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= ERROR_LIMIT else line[: ERROR_LIMIT - 1] + "…"


class Response(NamedTuple):
    """What the rules look at, of a response that came whole."""

    status: int
    headers: Mapping[str, str]
    """Names in any case; values as Latin-1, several of one name with commas."""
    body: bytes
    body_truncated: bool
    response_time: float
    """Seconds to its headers."""
    certificate_left: timedelta | None
    """What the certificate of its connection has left; None without TLS."""


def of_response(expected: Expectations, response: Response, *, regex_match: bool | None) -> Verdict:
    """Judge a response that came whole: the first rule that it breaks is told.

    Args:
        expected: what the target asks for.
        response: what came.
        regex_match: whether the body matches `expected.body`; None where that is not asked.
    """
    status = response.status
    if not any(low <= status <= high for low, high in expected.status):
        return Verdict(Outcome.STATUS_MISMATCH, f"status {status}, expected {show_status(expected.status)}")
    if (fault := _header_fault(expected, response.headers)) is not None:
        return Verdict(Outcome.HEADER_MISMATCH, one_line(fault))
    if (fault := _body_fault(expected, response, regex_match)) is not None:
        return Verdict(Outcome.BODY_MISMATCH, one_line(fault))
    days, left = expected.certificate_days, response.certificate_left
    if days is not None and left is not None and left < timedelta(days=days):
        text = f"the certificate ends in {left / timedelta(days=1):.1f} days, expected {days:g} at least"
        return Verdict(Outcome.CERTIFICATE_EXPIRING, text)
    limit = expected.max_response_time
    if limit is not None and response.response_time > limit:
        return Verdict(Outcome.SLOW, f"response time {response.response_time:.3f} s, over the limit of {limit:g} s")
    return Verdict(Outcome.UP)


def _header_fault(expected: Expectations, headers: Mapping[str, str]) -> str | None:
    for name, pattern in expected.headers:
        value = headers.get(name)
        if value is None:
            return f"there is no header {name}, expected one that matches {pattern.text!r}"
        if not pattern.found_in(_raw(value)):
            return f"header {name} is {value!r}, which does not match {pattern.text!r}"
    for name, pattern in expected.headers_not:
        value = headers.get(name)
        if value is not None and pattern.found_in(_raw(value)):
            return f"header {name} is {value!r}, which matches {pattern.text!r} and must not"
    return None


def _body_fault(expected: Expectations, response: Response, regex_match: bool | None) -> str | None:
    where = f"the first {len(response.body)} bytes of the body" if response.body_truncated else "the body"
    if regex_match is False and expected.body is not None:
        return f"nothing in {where} matches {expected.body.text!r}"
    if expected.body_not is not None and expected.body_not.found_in(response.body):
        return f"something in {where} matches {expected.body_not.text!r}, and nothing may"
    return None


def _raw(value: str) -> bytes:
    """Give a header's value as it came: it is read as Latin-1."""
    return value.encode("latin-1")


def of_failure(error: Exception, phase: Phase | None, timeout: float) -> Verdict:
    """Judge what stopped a check.

    The kind of the exception and the phase decide, never the text. What no server and no network can cause, such as
    a bug of ours, is our fault and not the target's.
    """
    root = _root(error)
    doing = f"{error}: {_DOING[phase]}" if isinstance(error, ProxyError) and root is not error else _DOING[phase]
    if isinstance(root, TimeoutError):
        return Verdict(Outcome.TIMEOUT, f"not done within {timeout:g} s: {doing}")
    if _is_own(root):
        return Verdict(Outcome.AGENT_ERROR, one_line(f"{doing}: {_reason(root)}"))
    if isinstance(error, ProxyError):
        return Verdict(Outcome.CONNECT_ERROR, one_line(f"{doing}: {_reason(root)}"))
    if isinstance(root, ssl.SSLError) and not isinstance(root, _BROKEN_OFF):
        # In TLS 1.3 a server judges our certificate after the handshake: its alert comes in place of the response.
        return Verdict(Outcome.TLS_ERROR, one_line(f"{doing}: {_reason(root)}"))
    if isinstance(error, OSError | HttpError):
        return Verdict(_BY_PHASE[phase], one_line(f"{doing}: {_reason(root)}"))
    return Verdict(Outcome.AGENT_ERROR, one_line(f"webmon's own fault {doing}: {type(root).__name__}: {root}"))


def show_status(ranges: tuple[tuple[int, int], ...]) -> str:
    """Write ranges of codes as people do: `200-299, 404`."""
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)


def _root(error: BaseException) -> BaseException:
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def _is_own(root: BaseException) -> bool:
    if isinstance(root, socket.gaierror):
        return root.errno in _RESOLVER_OWN_FAULTS
    if isinstance(root, ssl.SSLError):  # its errno is OpenSSL's, not the kernel's
        return False
    return isinstance(root, OwnFaultError) or (isinstance(root, OSError) and root.errno in OWN_FAULTS)


def _reason(root: BaseException) -> str:
    if isinstance(root, ssl.SSLCertVerificationError):
        return f"certificate refused: {root.verify_message}"
    if isinstance(root, ssl.SSLError):
        return (root.reason or str(root)).replace("_", " ").lower()
    if isinstance(root, HttpError | ProxyError):
        return str(root)
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    return f"{type(root).__name__}: {root}" if str(root) else type(root).__name__

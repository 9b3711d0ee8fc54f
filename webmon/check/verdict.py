"""The rules: what a response, or a failure, says of the target."""

import http.client
import socket
import ssl
from dataclasses import dataclass
from typing import Final

import urllib3.exceptions

from webmon.check.pattern import Pattern
from webmon.check.result import ERROR_LIMIT, Outcome
from webmon.check.transport import OWN_FAULTS, OwnFaultError, Phase

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

_RESOLVER_OWN_FAULTS: Final = frozenset({socket.EAI_MEMORY, socket.EAI_SYSTEM})


@dataclass(frozen=True, slots=True)
class Expectations:
    """What a response must be like for its target to be up."""

    status: tuple[tuple[int, int], ...] = ANY_SUCCESS
    """Ranges of status codes, both ends included."""
    body: Pattern | None = None
    """What the body must match."""
    max_response_time: float | None = None
    """Seconds; a response that took longer is slow."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An outcome, and for all but `up` one line for people."""

    outcome: Outcome
    error: str | None = None


def one_line(text: str) -> str:
    """Make any text, a server's own included, fit for CheckResult.error."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= ERROR_LIMIT else line[: ERROR_LIMIT - 1] + "…"


def of_response(
    expected: Expectations, *, status: int, response_time: float, regex_match: bool | None, body_part: str = "the body"
) -> Verdict:
    """Judge a response that came whole.

    Args:
        expected: what the target asks for.
        status: the last response's code.
        response_time: seconds to its headers.
        regex_match: whether the body matched; None where no pattern was asked.
        body_part: what of the body was searched.
    """
    if not any(low <= status <= high for low, high in expected.status):
        return Verdict(Outcome.STATUS_MISMATCH, f"status {status}, expected {show_status(expected.status)}")
    if regex_match is False and expected.body is not None:
        return Verdict(Outcome.BODY_MISMATCH, one_line(f"nothing in {body_part} matches {expected.body.text!r}"))
    limit = expected.max_response_time
    if limit is not None and response_time > limit:
        return Verdict(Outcome.SLOW, f"response time {response_time:.3f} s, over the limit of {limit:g} s")
    return Verdict(Outcome.UP)


def of_failure(error: Exception, phase: Phase | None, timeout: float) -> Verdict:
    """Judge what stopped a check.

    The kind of the exception and the phase decide, never the text. What no server and no network can cause, such as
    a bug of ours, is our fault and not the target's.
    """
    root = _root(error)
    doing = _DOING[phase]
    if isinstance(root, TimeoutError):
        return Verdict(Outcome.TIMEOUT, f"not done within {timeout:g} s: {doing}")
    if _is_own(root):
        return Verdict(Outcome.AGENT_ERROR, one_line(f"{doing}: {_reason(root)}"))
    if isinstance(error, OSError | http.client.HTTPException | urllib3.exceptions.HTTPError):
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
    if isinstance(root, http.client.RemoteDisconnected):
        return "the server closed the connection without an answer"
    if isinstance(root, http.client.IncompleteRead) and root.expected is not None:
        read = root.partial if isinstance(root.partial, int) else len(root.partial)  # urllib3 counts, http.client keeps
        return f"the body ended after {read} of {read + root.expected} bytes"
    if isinstance(root, OSError) and root.strerror:
        return root.strerror
    return f"{type(root).__name__}: {root}" if str(root) else type(root).__name__

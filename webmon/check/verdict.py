"""The rules: what a response, or a failure, says of the target."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, NamedTuple

from webmon.check.pattern import Pattern
from webmon.check.result import ERROR_LIMIT, Outcome

ANY_SUCCESS: Final = ((200, 299),)


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
    json: tuple["JsonRule", ...] = ()
    """What the body, read as JSON, must hold."""
    rcode: str = "NOERROR"
    """What a resolver must answer (dns)."""
    certificate_days: float | None = None
    """Days that the certificate of the last connection must have left; a connection without TLS has none."""
    max_response_time: float | None = None
    """Seconds; a response that took longer is slow."""


@dataclass(frozen=True, slots=True)
class JsonRule:
    """What stands at a place of a JSON body; every comparison that is given must hold for a value that is found."""

    path: str
    """RFC 9535."""
    equals: str | float | bool | None = None
    has_equals: bool = False
    """Whether `equals` is asked: null is a value."""
    matches: Pattern | None = None
    above: float | None = None
    below: float | None = None


class Verdict(NamedTuple):
    """An outcome, and for all but `up` one line for people."""

    outcome: Outcome
    error: str | None = None


def one_line(text: str, limit: int = ERROR_LIMIT) -> str:
    """Make any text, a server's own included, fit for CheckResult.error, or another field of so many characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


class Response(NamedTuple):
    """What the rules look at, of a response that came whole."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case; values as Latin-1, several of one name with commas."""
    body: bytes
    texts: tuple[bytes, ...]
    """The body as UTF-8, in each of the ways in which it may be read (see charset)."""
    body_truncated: bool
    response_time: float
    """Seconds to its headers."""
    certificate_left: timedelta | None
    """What the first of the certificates that were relied on has left; None without TLS."""

    def header(self, name: str) -> str | None:
        """Give the value of a header, whose name may be in any case."""
        return self.headers.get(name.lower())

    def find(self, pattern: Pattern) -> bytes | None:
        """Give the first part of the body that a pattern matches, as UTF-8, or None."""
        return next((found for text in self.texts if (found := pattern.find(text)) is not None), None)


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
    if (fault := _header_fault(expected, response)) is not None:
        return Verdict(Outcome.HEADER_MISMATCH, one_line(fault))
    if (fault := _body_fault(expected, response, regex_match)) is not None:
        return Verdict(Outcome.BODY_MISMATCH, one_line(fault))
    return of_answer(expected, certificate_left=response.certificate_left, response_time=response.response_time)


def of_answer(expected: Expectations, *, certificate_left: timedelta | None, response_time: float | None) -> Verdict:
    """Judge what every kind of answer has: how long its certificate is good for, and how long it took.

    Args:
        expected: what the target asks for.
        certificate_left: what the first of the certificates that were relied on has left; None without TLS.
        response_time: seconds; None where nothing was waited for.
    """
    days, left = expected.certificate_days, certificate_left
    if days is not None and left is not None and left < timedelta(days=days):
        text = f"the certificate ends in {left / timedelta(days=1):.1f} days, expected {days:g} at least"
        return Verdict(Outcome.CERTIFICATE_EXPIRING, text)
    limit = expected.max_response_time
    if limit is not None and response_time is not None and response_time > limit:
        return Verdict(Outcome.SLOW, f"response time {response_time:.3f} s, over the limit of {limit:g} s")
    return Verdict(Outcome.UP)


def _header_fault(expected: Expectations, response: Response) -> str | None:
    for name, pattern in expected.headers:
        value = response.header(name)
        if value is None:
            return f"there is no header {name}, expected one that matches {pattern.text!r}"
        if not pattern.found_in(_raw(value)):
            return f"header {name} is {value!r}, which does not match {pattern.text!r}"
    for name, pattern in expected.headers_not:
        value = response.header(name)
        if value is not None and pattern.found_in(_raw(value)):
            return f"header {name} is {value!r}, which matches {pattern.text!r} and must not"
    return None


def _body_fault(expected: Expectations, response: Response, regex_match: bool | None) -> str | None:
    where = f"the first {len(response.body)} bytes of the body" if response.body_truncated else "the body"
    if regex_match is False and expected.body is not None:
        return f"nothing in {where} matches {expected.body.text!r}"
    if expected.body_not is not None and response.find(expected.body_not) is not None:
        return f"something in {where} matches {expected.body_not.text!r}, and nothing may"
    return None


def _raw(value: str) -> bytes:
    """Give a header's value as it came: it is read as Latin-1."""
    return value.encode("latin-1")


def show_status(ranges: tuple[tuple[int, int], ...]) -> str:
    """Write ranges of codes as people do: `200-299, 404`."""
    return ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)

"""One check as a person reads it: outcome, what was on the way, and where the time went.

What a server sent is shown with its control characters taken out, so that no page can steer the terminal.
"""

import itertools
from collections.abc import Iterator
from datetime import UTC, timedelta
from functools import partial
from typing import Final

from webmon.check import json_body, verdict
from webmon.check.flow import Trace
from webmon.check.kind import HTTP
from webmon.check.result import CheckResult
from webmon.check.target import Target
from webmon.check.verdict import Expectations, Response, one_line, show_status
from webmon.render import some

_BAR: Final = 40
"""Characters of the longest bar."""
_EXCERPT: Final = 200
"""Characters of a matched text that are shown."""
_NAMES: Final = 5
"""Names of a certificate that are shown."""
_ANY_STATUS: Final = ((100, 999),)


def lines(target: Target, result: CheckResult, trace: Trace) -> Iterator[str]:
    """Give what a check found, line by line.

    Args:
        target: what was checked.
        result: what the topic would get.
        trace: what the check saw beside it.
    """
    yield f"{result.outcome}  {one_line(result.target)}" + (f": {result.error}" if result.error else "")
    yield ""
    facts = [f"{word:<12} {text}" for word, text in _facts(target, result, trace)]
    yield from facts
    yield from [""] * bool(facts)
    yield from _chart(result)


def _facts(target: Target, result: CheckResult, trace: Trace) -> Iterator[tuple[str, str]]:
    for number, (status, url) in enumerate(trace.responses):
        word = "redirect" if number < result.redirects else "response"
        yield word, target.without_secrets(one_line(f"{status} {url}"))
    if trace.last is not None:
        for word, (kept, text) in zip(_first("expected"), _rules(target.expect, trace.last), strict=False):
            yield word, f"{'yes' if kept else 'NO ':<4} {target.without_secrets(one_line(text))}"
    if result.answer:
        yield "answer", one_line(result.answer)
    if result.body_bytes is not None:
        kind = trace.last.header("Content-Type") or "no type" if trace.last else "a response that did not end"
        of = f" of {kind}, HTTP/{result.http_version}" if target.kind in HTTP else ""
        cut = ", and it went on past the limit" if result.body_truncated else ""
        yield "body", one_line(f"{result.body_bytes} bytes{of}{cut}")
    if target.proxy is not None:
        yield "proxy", str(target.proxy)
    if result.remote_ip is not None:
        yield "address", result.remote_ip
    if result.tls_version is not None:
        yield "TLS", result.tls_version
        for word, text in zip(_first("certificate"), _certificate(target, result, trace), strict=False):
            yield word, one_line(text)


def _first(word: str) -> Iterator[str]:
    """Give the word for the first line and none for those that go on."""
    return itertools.chain([word], itertools.repeat(""))


def _rules(expected: Expectations, response: Response) -> Iterator[tuple[bool, str]]:
    """Say of each thing that is expected whether it is so, and what there is: not only of the first that is not."""
    for rule, found in _each(expected, response):
        regex_match = response.find(rule.body) is not None if rule.body else None
        judged = verdict.of_response(rule, response, regex_match=regex_match)
        yield judged.error is None, judged.error or found


def _each(expected: Expectations, response: Response) -> Iterator[tuple[Expectations, str]]:
    """Take the expectations apart; give each alone, and what to say where it is met."""
    yield Expectations(status=expected.status), f"status {response.status} is one of {show_status(expected.status)}"
    alone = partial(Expectations, status=_ANY_STATUS)
    for name, pattern in expected.headers:
        yield alone(headers=((name, pattern),)), f"header {name} is {response.header(name)!r}"
    for name, pattern in expected.headers_not:
        shown = repr(response.header(name)) if response.header(name) is not None else "not there"
        yield alone(headers_not=((name, pattern),)), f"header {name} is {shown}, and not {pattern.text!r}"
    if expected.body is not None:
        text = one_line((response.find(expected.body) or b"").decode(errors="replace"))
        shown = repr(text[:_EXCERPT]) + ("…" if len(text) > _EXCERPT else "")
        yield alone(body=expected.body), f"{expected.body.text!r} matches {shown}"
    if expected.body_not is not None:
        yield alone(body_not=expected.body_not), f"nothing matches {expected.body_not.text!r}"
    for rule in expected.json:
        yield alone(json=(rule,)), json_body.shown(rule, response.body)
    if (days := expected.certificate_days) is not None and response.certificate_left is not None:
        yield alone(certificate_days=days), f"the certificate has {days:g} days left at least"
    if (limit := expected.max_response_time) is not None:
        yield alone(max_response_time=limit), f"response time {response.response_time:.3f} s, at most {limit:g} s"


def _certificate(target: Target, result: CheckResult, trace: Trace) -> Iterator[str]:
    if result.tls_not_after is None:
        yield "not looked at" + ("" if target.tls.verify else ": the target says tls.verify: false")
        return
    days = (result.tls_not_after - result.time) / timedelta(days=1)
    yield f"ends {result.tls_not_after.astimezone(UTC):%Y-%m-%d %H:%M} UTC, in {days:.0f} days"
    if trace.chain is None:
        return
    if names := trace.chain.names:
        yield f"for {some(names, _NAMES)}"
    if parts := [trace.chain.issuer[key] for key in ("O", "CN") if key in trace.chain.issuer]:
        yield f"by {', '.join(parts)}"


def _chart(result: CheckResult) -> Iterator[str]:
    phases = result.phases
    spent = {
        "dns": phases.dns,
        "connect": phases.connect,
        "tls": phases.tls,
        "first byte": phases.first_byte,
        "transfer": phases.transfer,
    }
    longest = max((seconds for seconds in spent.values() if seconds), default=0.0)
    for phase, seconds in spent.items():
        if seconds is None:
            yield f"{phase:<12} {'-':>10}"
        else:
            bar = "#" * round(_BAR * seconds / longest) if longest else ""
            yield f"{phase:<12} {_milliseconds(seconds)}  {bar}".rstrip()
    yield f"{'total':<12} {_milliseconds(result.total_time)}"


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:>7.1f} ms"

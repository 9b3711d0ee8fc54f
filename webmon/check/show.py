"""One check as a person reads it: outcome, what was on the way, and where the time went.

What a server sent is shown with its control characters taken out, so that no page can steer the terminal.
"""

from collections.abc import Iterator
from datetime import UTC, timedelta
from typing import Final

from webmon.check.probe import Trace
from webmon.check.result import CheckResult
from webmon.check.target import Target
from webmon.check.verdict import one_line, show_status

_BAR: Final = 40
"""Characters of the longest bar."""
_EXCERPT: Final = 200
"""Characters of a matched text that are shown."""


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
    if result.http_status is not None:
        yield "expected", f"status {show_status(target.expect.status)}"
    if result.body_bytes is not None:
        cut = ", and it went on past the limit" if result.body_truncated else ""
        yield "body", f"{result.body_bytes} bytes, HTTP/{result.http_version}{cut}"
    if target.expect.body is not None:
        shown = _match(target.expect.body.text, result.regex_match, trace.matched)
        yield "pattern", target.without_secrets(shown)
    if target.proxy is not None:
        yield "proxy", str(target.proxy)
    if result.remote_ip is not None:
        yield "address", result.remote_ip
    if result.tls_version is not None:
        yield "TLS", result.tls_version
        yield "certificate", _certificate(result, verified=target.tls.verify)


def _match(pattern: str, found: bool | None, matched: bytes | None) -> str:
    if found is None:
        return f"{pattern!r} was not looked for: no body came"
    if matched is None:
        return f"{pattern!r} matches nothing"
    text = one_line(matched.decode(errors="replace"))
    return f"{pattern!r} matches {text[:_EXCERPT]!r}" + ("…" if len(text) > _EXCERPT else "")


def _certificate(result: CheckResult, *, verified: bool) -> str:
    if result.tls_not_after is None:
        return "not looked at" if verified else "not looked at: the target says tls.verify: false"
    days = (result.tls_not_after - result.time) / timedelta(days=1)
    return f"ends {result.tls_not_after.astimezone(UTC):%Y-%m-%d %H:%M} UTC, in {days:.0f} days"


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

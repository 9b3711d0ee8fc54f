"""One check of one target, from its slot to its result."""

import logging
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

import requests
from requests.cookies import RequestsCookieJar
from requests.sessions import SessionRedirectMixin
from requests.utils import requote_uri

from webmon.check import verdict
from webmon.check.adapter import CheckAdapter
from webmon.check.kept import KeptConnections
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target, Tls
from webmon.check.transport import Deadline, OwnFaultError, Resolve, Stopwatch, Trust, tls_context
from webmon.check.verdict import Response, Verdict

_log = logging.getLogger(__name__)
_OF_ONE_HOST: Final = ("Authorization", "Cookie", "Host")
"""Headers that a redirect to another origin must not carry there."""
_redirects = SessionRedirectMixin()


def utc_now() -> datetime:
    """Give the wall clock's time."""
    return datetime.now(UTC)


@dataclass(slots=True)
class _Seen:
    """What a check has seen so far; it lives as long as the check."""

    status: int | None = None
    http_version: str | None = None
    response_time: float | None = None
    redirects: int = 0
    regex_match: bool | None = None
    body_bytes: int | None = None
    body_truncated: bool = False


@dataclass(slots=True)
class Trace:
    """What a check saw that its result does not keep: for a person who looks on, never stored."""

    responses: list[tuple[int, str]] = field(default_factory=list)
    """Status and URL of each response, redirects first."""
    certificate: Mapping[str, Any] = field(default_factory=dict)
    """The last server's, as ssl.SSLSocket.getpeercert() gives it; empty without TLS, or where it was not verified."""
    last: Response | None = None
    """The response that was judged."""


class Probe:
    """Makes checks; many threads may share one. Of a check it keeps a connection at most, where the target says so."""

    def __init__(
        self,
        *,
        agent: str,
        resolve: Resolve,
        authorities: tuple[Path, ...] = (),
        now: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what all checks share.

        Args:
            agent: the vantage's id.
            resolve: how names become addresses.
            authorities: PEM files trusted beside the system's store.
            now: the wall clock, for the times in results.
            monotonic: the clock of all durations, in seconds.
        """
        self._agent = agent
        self._resolve = resolve
        self._authorities = authorities
        self._now = now
        self._monotonic = monotonic
        self._trusts: dict[Tls, Trust] = {}
        self._kept = KeptConnections(monotonic)

    def check(self, target: Target, scheduled_at: datetime, trace: Trace | None = None) -> CheckResult:
        """Check a target now; takes its timeout at the longest, whatever the server does, and never raises.

        Args:
            target: what to check.
            scheduled_at: the slot that the check belongs to.
            trace: gets what a person who looks on wants to see beside the result.
        """
        began = self._now()
        deadline = Deadline(target.timeout, self._monotonic)
        started = self._monotonic()
        watch = Stopwatch(self._monotonic)
        seen = _Seen()
        kept = self._kept if target.connection == "reused" else None
        adapter: CheckAdapter | None = None
        try:
            adapter = CheckAdapter(
                target=target,
                deadline=deadline,
                watch=watch,
                resolve=self._resolve,
                trust=self._trust(target.tls),
                idle=kept.take(target.name) if kept else None,
            )
            judged = self._run(target, adapter, watch, seen, trace)
            # After any failure a check begins anew.
            if kept is not None and judged.outcome.is_up and (idle := adapter.leave()) is not None:
                kept.put(target.name, idle)
        # A failure of any kind has to become a result: what is no failure of the target's is told as our own.
        except Exception as error:  # noqa: BLE001
            judged = verdict.of_failure(error, watch.phase, target.timeout)
            if judged.outcome is Outcome.AGENT_ERROR and not isinstance(error, OSError | OwnFaultError):
                trace_back = target.without_secrets(traceback.format_exc())
                _log.error("%(target)s: webmon's own fault\n%(trace)s", {"target": target.name, "trace": trace_back})
        finally:
            watch.enter(None)
            if adapter is not None:
                adapter.close()
        connection = adapter.connection if adapter else None
        return CheckResult(
            target=target.name,
            url=target.url,
            labels=dict(target.labels),
            agent=self._agent,
            scheduled_at=scheduled_at,
            time=began,
            interval=target.interval,
            outcome=judged.outcome,
            error=verdict.one_line(target.without_secrets(judged.error)) if judged.error else None,
            http_status=seen.status,
            response_time=seen.response_time,
            total_time=self._monotonic() - started,
            phases=watch.phases(),
            regex_match=seen.regex_match,
            body_bytes=seen.body_bytes,
            body_truncated=seen.body_truncated,
            http_version=seen.http_version,
            redirects=seen.redirects,
            remote_ip=connection.remote_ip if connection else None,
            tls_version=connection.tls_version if connection else None,
            tls_not_after=connection.tls_not_after if connection else None,
        )

    def prepare(self, targets: Iterable[Target]) -> None:
        """Read the certificate files (anew) for these targets, so that no check spends its time on it.

        No connection is reused from before.

        Raises:
            OSError: a file cannot be read.
        """
        self._trusts = {tls: self._make_trust(tls) for tls in {target.tls for target in targets}}
        before, self._kept = self._kept, KeptConnections(self._monotonic)
        before.close()

    def close(self) -> None:
        """Close the connections that were kept for the next checks; checks may still run."""
        self._kept.close()

    def _trust(self, tls: Tls) -> Trust:
        # Two threads that come first may both make it; one is kept, and both work.
        if (trust := self._trusts.get(tls)) is None:
            trust = self._trusts[tls] = self._make_trust(tls)
        return trust

    def _make_trust(self, tls: Tls) -> Trust:
        return Trust(
            tls_context(
                verify=tls.verify,
                authorities=self._authorities + ((tls.ca,) if tls.ca else ()),
                certificate=(tls.certificate, tls.key) if tls.certificate else None,
                minimum=tls.minimum,
            )
        )

    def _run(
        self, target: Target, adapter: CheckAdapter, watch: Stopwatch, seen: _Seen, trace: Trace | None
    ) -> Verdict:
        """Send the request, follow the redirects and judge the last response."""
        request, cookies = target.request, RequestsCookieJar()
        while True:
            response = adapter.send(request)
            seen.status = response.status_code
            seen.response_time = watch.since_first_request()
            if trace is not None:
                trace.responses.append((seen.status, str(request.url)))
                trace.certificate = adapter.connection.certificate() if adapter.connection else {}
            seen.http_version = response.raw.version_string.removeprefix("HTTP/")
            if not response.is_redirect or target.max_redirects is None:
                break
            following = _follow(target, request, response, cookies)
            if following is None:
                break
            if seen.redirects == target.max_redirects:
                return Verdict(Outcome.TOO_MANY_REDIRECTS, f"more than {target.max_redirects} redirects")
            seen.redirects += 1
            request = following
        body = self._read(response, seen, target.body_limit)
        if target.expect.body is not None:
            seen.regex_match = target.expect.body.found_in(body)
        not_after = adapter.connection.tls_not_after if adapter.connection else None
        last = Response(
            status=seen.status,
            headers=response.headers,
            body=body,
            body_truncated=seen.body_truncated,
            response_time=seen.response_time,
            certificate_left=not_after - self._now() if not_after else None,
        )
        if trace is not None:
            trace.last = last
        return verdict.of_response(target.expect, last, regex_match=seen.regex_match)

    def _read(self, response: requests.Response, seen: _Seen, limit: int) -> bytes:
        """Read the body up to the limit; `seen` tells how far it came also where this raises."""
        chunks: list[bytes] = []
        seen.body_bytes = 0
        for chunk in response.iter_content(None):
            seen.body_truncated = seen.body_bytes + len(chunk) > limit
            chunks.append(chunk[: limit - seen.body_bytes])
            seen.body_bytes += len(chunks[-1])
            if seen.body_truncated:
                break
        return b"".join(chunks)


def _follow(
    target: Target, request: requests.PreparedRequest, response: requests.Response, cookies: RequestsCookieJar
) -> requests.PreparedRequest | None:
    """Make the request that a redirect asks for, with the cookies set on the way.

    What is meant for one origin stays there: credentials and secrets are not carried to another.

    Returns:
        None where the Location names no page of HTTP, or where another origin would get a body that holds a secret:
        the redirect is then the last response.
    """
    following = request.copy()
    try:
        location = _redirects.get_redirect_target(response) or ""
        following.prepare_url(urljoin(str(request.url), requote_uri(location)), None)
        parts = urlsplit(str(following.url))
        (parts.hostname or "").encode("idna")
    except (ValueError, requests.RequestException):
        return None
    if parts.scheme not in ("http", "https") or parts.port == 0:
        return None
    elsewhere = _is_elsewhere(str(request.url), str(following.url))
    if elsewhere:
        for name, value in list(following.headers.items()):
            if name.title() in _OF_ONE_HOST or target.holds_secret(str(value)):
                del following.headers[name]
    _redirects.rebuild_method(following, response)
    if response.status_code not in (307, 308):
        following.body = None
        for name in ("Content-Length", "Content-Type", "Transfer-Encoding"):
            following.headers.pop(name, None)
    elif elsewhere and isinstance(following.body, bytes) and target.holds_secret(following.body.decode()):
        return None
    cookies.update(response.cookies)
    following.headers.pop("Cookie", None)
    following.prepare_cookies(cookies)
    own = target.request.headers.get("Cookie")
    if own and not _is_elsewhere(target.url, str(following.url)):
        following.headers["Cookie"] = "; ".join(filter(None, (own, following.headers.get("Cookie"))))
    return following


def _is_elsewhere(here: str, there: str) -> bool:
    """Tell whether credentials for one URL are not for the other; the rule is requests' own."""
    return bool(_redirects.should_strip_auth(here, there))  # type: ignore[no-untyped-call]

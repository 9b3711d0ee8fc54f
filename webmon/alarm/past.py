"""What is stored of the past, as a replay asks for it: when something may have changed, and the results around that.

Runs of results that are up and as before are not read: rollups by hour tell where there is nothing else, and the times
of failures stand in the table of errors.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from webmon.check.result import Outcome
from webmon.store.reader import Session

_HOUR: Final = timedelta(hours=1)
_SECOND: Final = timedelta(seconds=1)
_MARGIN: Final = timedelta(seconds=30)
_LEAD: Final = 1
"""Intervals before something happened that are read, too: so the judge knows who looked when."""
_TAIL: Final = 4
"""And after it: as many ups as end what was open, by default; where they do not, more is read."""
_PROBE: Final = timedelta(hours=3)
_TARGETS: Final = "SELECT id, target, url, labels, last_seen FROM {targets}"
_SERIES: Final = "SELECT s.id, s.target_id, a.agent FROM {series} AS s JOIN {agents} AS a ON a.id = s.agent_id"
# An hour in which each check was up, none slow, one missing at most, at the interval of the hour before, says nothing.
_HOURS: Final = """
WITH h AS (
    SELECT
        target_id, agent_id, hour, results, slow, down + agent_error AS bad,
        covered_secs / nullif(results - agent_error, 0) AS secs, lag(hour) OVER w AS before, lead(hour) OVER w AS after,
        lag(covered_secs / nullif(results - agent_error, 0)) OVER w AS secs_before
    FROM {hours} WHERE hour >= %(since)s - INTERVAL '1 hour' AND hour < %(until)s + INTERVAL '1 hour'
    WINDOW w AS (PARTITION BY target_id, agent_id ORDER BY hour)
), told AS (
    SELECT
        *,
        before IS DISTINCT FROM hour - INTERVAL '1 hour' OR after IS DISTINCT FROM hour + INTERVAL '1 hour'
        OR slow > 0 OR secs IS NULL OR secs <= 0 OR results < floor(3600 / secs) - 1
        OR secs_before IS NULL OR abs(secs - secs_before) > 0.001 * secs AS whole
    FROM h WHERE hour >= %(since)s AND hour < %(until)s
)
SELECT s.id, t.target_id, t.hour, t.bad, coalesce(t.secs, t.secs_before, 60)::float8, t.whole
FROM told AS t JOIN {series} AS s USING (target_id, agent_id)
WHERE t.whole OR t.bad > 0
"""
_FAILURES: Final = """
SELECT series_id, time FROM {errors} WHERE time >= %(since)s AND time < %(until)s AND error IS NOT NULL
"""
_CERTIFICATES: Final = """
SELECT s.id, c.tls_not_after
FROM unnest(%(series)s::integer[]) AS s (id)
CROSS JOIN LATERAL (
    SELECT m.context_id FROM {metrics} AS m
    WHERE m.series_id = s.id AND m.time >= %(since)s AND m.time < %(until)s ORDER BY m.time DESC LIMIT 1
) AS m
JOIN {contexts} AS c ON c.id = m.context_id
"""
_ROWS: Final = """
SELECT
    m.series_id, m.time, c.interval_secs, m.outcome, m.http_status, m.total_secs, c.tls_not_after, e.error
FROM unnest(%(series)s::integer[], %(begins)s::timestamptz[], %(ends)s::timestamptz[]) AS w (series_id, begins, ends)
CROSS JOIN LATERAL (
    SELECT * FROM {metrics} AS m
    WHERE m.series_id = w.series_id AND m.time >= w.begins AND m.time < w.ends
        AND m.time >= %(since)s AND m.time < %(until)s
) AS m
JOIN {contexts} AS c ON c.id = m.context_id
LEFT JOIN {errors} AS e
    ON e.series_id = m.series_id AND e.time = m.time AND e.time >= %(since)s AND e.time < %(until)s
ORDER BY m.time
"""


@dataclass(frozen=True, slots=True)
class Target:
    """A target as it is described now."""

    name: str
    url: str
    labels: dict[str, str]
    last_seen: datetime
    """An hour before its last result at most."""


class Span(NamedTuple):
    """A time in which a target's results are to be read."""

    begin: datetime
    end: datetime


class Seen(NamedTuple):
    """A stored result."""

    target: int
    agent: str
    time: datetime
    interval: float
    outcome: Outcome
    http_status: int | None
    total_secs: float
    tls_not_after: datetime | None
    error: str | None


_OUTCOMES: Final = tuple(Outcome)


class Past:
    """Reads the store in one session, of which every statement sees the same moment."""

    def __init__(self, session: Session) -> None:
        """Read who and what there is."""
        self._session = session
        # Of many series a few minutes each: the index by time alone (BRIN) would have all of a day read for them.
        session.rows("SELECT set_config('enable_bitmapscan', 'off', true)")
        self.targets: dict[int, Target] = {
            number: Target(name, url, labels, seen) for number, name, url, labels, seen in session.rows(_TARGETS)
        }
        self._series: dict[int, tuple[int, str]] = {}
        self._of_target: dict[int, list[int]] = defaultdict(list)
        for number, target, agent in session.rows(_SERIES):
            if target in self.targets:
                self._series[number] = (target, agent)
                self._of_target[target].append(number)
        self._probed: tuple[datetime, dict[int, Any]] | None = None

    def eventful(self, since: datetime, until: datetime) -> dict[int, list[Span]]:
        """Give the spans of each target outside which its results are up, as before, and come as they should.

        Args:
            since: a whole hour, UTC.
            until: likewise.
        """
        asked = {"since": since, "until": until}
        failures: dict[tuple[int, datetime], list[datetime]] = defaultdict(list)
        for series, time in self._session.rows(_FAILURES, asked):
            failures[series, time.replace(minute=0, second=0, microsecond=0)].append(time)
        found: dict[int, list[Span]] = defaultdict(list)
        for series, target, hour, bad, secs, whole in self._session.rows(_HOURS, asked):
            times = failures.get((series, hour), [])
            lead, tail = _MARGIN + timedelta(seconds=_LEAD * secs), _MARGIN + timedelta(seconds=_TAIL * secs)
            if whole or len(times) != bad:
                found[target].append(Span(hour - lead, hour + _HOUR + tail))
            else:
                found[target] += (Span(time - lead, time + tail) for time in times)
        for target, hour in self._renewals(since, until):
            found[target].append(Span(hour - _MARGIN, hour + _HOUR + _MARGIN))
        return {target: merged(spans) for target, spans in found.items()}

    def results(self, spans: Sequence[tuple[int, Span]]) -> Iterator[Seen]:
        """Give the results of targets in spans, in the order of their times."""
        series, begins, ends = [], [], []
        for target, span in spans:
            for number in self._of_target[target]:
                series.append(number)
                begins.append(span.begin)
                ends.append(span.end)
        if not series:
            return
        asked = {"series": series, "begins": begins, "ends": ends, "since": min(begins), "until": max(ends)}
        for number, time, secs, outcome, status, total, ends_at, error in self._session.stream(_ROWS, asked):
            target, agent = self._series[number]
            yield Seen(target, agent, time, secs, _OUTCOMES[outcome - 1], status, total, ends_at, error)

    def _renewals(self, since: datetime, until: datetime) -> Iterator[tuple[int, datetime]]:
        """Give hours in which a target showed another certificate than in the one before.

        Looked for at the ends of the span, and where those differ in each hour: one that came and went again between
        is not found.
        """
        before = self._probed[1] if self._probed and self._probed[0] == since else self._probe(self._series, since)
        after = self._probe(self._series, until)
        self._probed = (until, after)
        differing = [number for number in self._series if before.get(number) != after.get(number)]
        if not differing:
            return
        shown = {number: before.get(number) for number in differing}
        hour = since
        while hour < until:
            now = self._probe(differing, hour + _HOUR)
            for number in differing:
                if now.get(number) != shown[number]:
                    yield self._series[number][0], hour
                shown[number] = now.get(number)
            hour += _HOUR

    def _probe(self, series: Iterable[int], at: datetime) -> dict[int, Any]:
        return dict(self._session.rows(_CERTIFICATES, {"series": list(series), "since": at - _PROBE, "until": at}))


def merged(spans: Iterable[Span]) -> list[Span]:
    """Give spans in order, those that touch as one, at whole seconds."""
    found: list[Span] = []
    for span in sorted(Span(_second(span.begin), _second(span.end + _SECOND)) for span in spans):
        if found and span.begin <= found[-1].end:
            found[-1] = Span(found[-1].begin, max(found[-1].end, span.end))
        else:
            found.append(span)
    return found


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def whole_hour(moment: datetime) -> datetime:
    """Give the hour that a moment is in, UTC."""
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)

"""`webmon slowest`: the percentiles of response times, from the rollups' histograms, within 5 %."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from webmon.render import Column, Form, as_milliseconds, show
from webmon.report import rolled_up
from webmon.report.choice import By, Target, targets
from webmon.report.span import Moment, Span, span
from webmon.settings import ReportSettings
from webmon.store.reader import look

# Two kinds of rows: how often a bucket occurs; and without a bucket, the extremes.
_HISTOGRAMS: Final = """
WITH held AS MATERIALIZED (SELECT * FROM {source} AS rollups WHERE responses > 0)
SELECT h.target_id, a.agent, u.bucket, sum(u.count)::bigint, NULL::real, NULL::real
FROM held AS h JOIN {agents} AS a ON a.id = h.agent_id
CROSS JOIN LATERAL unnest(h.buckets, h.counts) AS u (bucket, count)
GROUP BY 1, 2, 3
UNION ALL
SELECT h.target_id, a.agent, NULL, sum(h.slow), min(h.response_min), max(h.response_max)
FROM held AS h JOIN {agents} AS a ON a.id = h.agent_id
GROUP BY 1, 2
"""
_ZERO_BUCKET: Final = -32_768
"""What the store counts a response time of 0 in."""


@dataclasses.dataclass
class Responses:
    """One line of the answer: the response times of a group."""

    group: str | None
    span: Span
    slow: int = 0
    """How many were over the limit of their target."""
    least: float = float("inf")
    """Seconds."""
    most: float = 0.0
    """Seconds."""
    histogram: dict[int, int] = dataclasses.field(default_factory=dict)
    """How often each bucket occurs; bucket n holds what is at least 1.1 ** n, and less than 1.1 ** (n + 1), seconds."""

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.histogram.values())

    def percentile(self, share: float) -> float:
        """Give the seconds that a share of the responses does not exceed (nearest rank), within 5 %."""
        rank, counted = share * self.count, 0
        for bucket, count in sorted(self.histogram.items()):
            counted += count
            if counted >= rank:
                middle: float = 0.0 if bucket == _ZERO_BUCKET else 1.1 ** (bucket + 0.5)
                return min(max(middle, self.least), self.most)
        return self.most


def run(
    settings: ReportSettings,
    *,
    form: Form,
    since: Moment,
    until: Moment | None,
    patterns: Sequence[str] | None,
    by: By,
    limit: int,
) -> int:
    """Print the groups with the longest response times of a span.

    Raises:
        UserError: the database is not there or refuses us; no such target; an empty span.
    """
    with look(settings, "slowest") as session:
        whole = rolled_up.answered(session, span(since, until, session.now()))
        chosen = targets(session, patterns)
        names = ("target_id", "agent_id", "responses", "slow", "response_min", "response_max", "buckets", "counts")
        source = rolled_up.source(session, whole, names, chosen if patterns else None)
        found = responses(session.rows(_HISTOGRAMS, source=source), chosen, whole, by)
    shown = found[:limit]
    more = f"; the first {limit} of {len(found)}" if len(found) > limit else ""
    show(form, columns(by), shown, nothing=f"no response from {whole}", title=f"{whole}{more}")
    return 0


def responses(rows: Iterable[Sequence[Any]], chosen: Mapping[int, Target], asked: Span, by: By) -> list[Responses]:
    """Group the histograms; the longest 95th percentile comes first."""
    groups: dict[str | None, Responses] = {}
    for target_id, agent, bucket, count, least, most in rows:
        name = by.group(chosen[target_id], agent)
        group = groups.setdefault(name, Responses(name, asked))
        if bucket is None:
            group.slow += count
            group.least = min(group.least, least)
            group.most = max(group.most, most)
        else:
            group.histogram[bucket] = group.histogram.get(bucket, 0) + count
    return sorted(groups.values(), key=lambda group: (-group.percentile(0.95), -group.most, group.group or ""))


def columns(by: By) -> tuple[Column[Responses], ...]:
    """Give the columns of an answer that is grouped so."""

    def time(head: str, name: str, seconds: Callable[[Responses], float]) -> Column[Responses]:
        return Column(head, lambda r: as_milliseconds(seconds(r)), name=name, value=seconds, right=True)

    return (
        Column(by.head, lambda r: r.group or "-", name=by.kind, value=lambda r: r.group, is_text=True),
        Column(name="since", value=lambda r: r.span.since),
        Column(name="until", value=lambda r: r.span.until),
        Column("RESPONSES", lambda r: f"{r.count}", name="responses", value=lambda r: r.count, right=True),
        Column("SLOW", lambda r: f"{r.slow}", name="slow", value=lambda r: r.slow, right=True),
        time("P50", "response_p50", lambda r: r.percentile(0.5)),
        time("P95", "response_p95", lambda r: r.percentile(0.95)),
        time("P99", "response_p99", lambda r: r.percentile(0.99)),
        time("MAX", "response_max", lambda r: r.most),
    )

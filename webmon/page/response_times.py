"""Percentiles of response times, from the rollups' histograms, as `webmon slowest` has them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from psycopg2 import sql as psql

from webmon.page import collect_sql as sql
from webmon.page import spans
from webmon.page.kept import Kept
from webmon.page.scene import Basis
from webmon.page.snapshot import RESPONSE_WINDOWS, Responses
from webmon.page.spans import Key
from webmon.report import rolled_up, slowest
from webmon.report.span import Span
from webmon.store.reader import Session

_AGAIN: Final = 1
"""Spans of what is kept that each snapshot reads again: all of it in less than two minutes, at ten seconds each."""


class _Histogram(NamedTuple):
    buckets: dict[int, int]
    least: float
    most: float


class ResponseTimes:
    """Reads them one after the other."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._number = 0
        self._histograms: Kept[dict[int, _Histogram]] = Kept()
        self._base: dict[int, dict[int, _Histogram]] = {}
        self._base_of: Any = None

    def read(self, session: Session, basis: Basis) -> dict[int, list[Responses]]:
        """Give the percentiles of each target."""
        self._number += 1
        now = basis.now
        windows = spans.windows(now, basis.floors, RESPONSE_WINDOWS)
        keys = [part for key in spans.cut(now, windows.values()) for part in spans.split(key, now)]
        over = [key for key in keys if key.until is not None]
        hot = [key for key in keys if key.until is None]
        reads = self._histograms.wanted(over, [key for key in over if key.holds(basis.marked)], _AGAIN)
        found = _read_histograms(session, basis, [*reads, *hot])
        for key, histograms in zip(reads, found, strict=False):
            self._histograms.put(key, histograms, self._number)
        latest = _merged(found[len(reads) :])
        base_of = (self._histograms.version, tuple(over), tuple(span.since for span in windows.values()))
        if base_of != self._base_of:
            self._base = {
                length: _merged(self._histograms[key] for key in over if key.since >= span.since)
                for length, span in windows.items()
            }
            self._base_of = base_of
        answer: dict[int, list[Responses]] = {}
        for length, span in windows.items():
            for number, histogram in _merged((self._base[length], latest)).items():
                answer.setdefault(number, []).append(_percentiles(length, span, histogram))
        return answer


def _read_histograms(session: Session, basis: Basis, keys: Sequence[Key]) -> list[dict[int, _Histogram]]:
    selects: list[psql.Composed] = []
    for number, key in enumerate(keys):
        columns = psql.SQL(sql.HISTOGRAM_COLUMNS).format(n=psql.Literal(number))
        selects += rolled_up.of_span(session, key.span(basis.now), columns, marked=basis.marked, now=basis.now)
    buckets: list[dict[int, dict[int, int]]] = [{} for _ in keys]
    extremes: list[dict[int, tuple[float, float]]] = [{} for _ in keys]
    if selects:
        source = psql.SQL(" UNION ALL ").join(selects)
        for number, target, bucket, count, least, most in session.each(sql.HISTOGRAMS, source=source):
            if bucket is None:
                extremes[number][target] = (least, most)
            else:
                buckets[number].setdefault(target, {})[bucket] = int(count)
    return [
        {target: _Histogram(ours, *extreme.get(target, (0.0, 0.0))) for target, ours in bucket.items()}
        for bucket, extreme in zip(buckets, extremes, strict=True)
    ]


def _merged(several: Iterable[Mapping[int, _Histogram]]) -> dict[int, _Histogram]:
    total: dict[int, _Histogram] = {}
    for histograms in several:
        for target, (buckets, least, most) in histograms.items():
            had = total.get(target)
            if had is None:
                total[target] = _Histogram(buckets, least, most)
                continue
            sums = dict(had.buckets)
            for bucket, count in buckets.items():
                sums[bucket] = sums.get(bucket, 0) + count
            total[target] = _Histogram(sums, min(had.least, least), max(had.most, most))
    return total


def _percentiles(days: int, span: Span, histogram: _Histogram) -> Responses:
    line = slowest.Responses(None, span, 0, histogram.least, histogram.most, histogram.buckets)
    return Responses(
        days=days,
        count=line.count,
        p50=line.percentile(0.5),
        p95=line.percentile(0.95),
        p99=line.percentile(0.99),
        most=line.most,
    )

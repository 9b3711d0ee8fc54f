"""Which spans a snapshot needs, cut so that few of them change from one snapshot to the next; pure.

The windows of the uptimes end now and begin with a whole hour, so a window is the sum of the spans from its beginning
on. A span that is over changes by late results alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple

from webmon.page.snapshot import BARS, WINDOWS
from webmon.report import rolled_up
from webmon.report.span import Span

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)


class Key(NamedTuple):
    """A span, by what stays the same while time goes on."""

    since: datetime
    until: datetime | None
    """None: it goes until now."""

    def span(self, now: datetime) -> Span:
        """Give it as it is now."""
        return Span(self.since, self.until or now)

    def holds(self, moments: Iterable[datetime]) -> bool:
        """Tell whether one of the moments is in it."""
        return any(self.since <= moment and (self.until is None or moment < self.until) for moment in moments)


class Floors(NamedTuple):
    """Times before which something may have been dropped; None: nothing was."""

    rows: datetime | None = None
    hours: datetime | None = None
    days: datetime | None = None


def midnight(day: date) -> datetime:
    """Give when a day (UTC) begins."""
    return datetime.combine(day, time(), UTC)


def windows(now: datetime, floors: Floors, lengths: Sequence[int] = WINDOWS) -> dict[int, Span]:
    """Give the spans of uptimes by their days, as `webmon uptime --since 30d` has them."""
    return {
        days: rolled_up.between(Span(now - timedelta(days=days), now), now, hours=floors.hours, days=floors.days)
        for days in lengths
    }


def cut(now: datetime, asked: Iterable[Span]) -> list[Key]:
    """Give the spans that add up to each of some windows, the oldest first.

    Besides where a window begins they end at the midnights around that, at the first of each month, and at the midnight
    before now: what is whole days is one row instead of 24.
    """
    begins = {window.since for window in asked if window.since < now}
    first = min(begins, default=now)
    today = midnight(now.date())
    edges = {*begins, today, *_months(first, now)}
    for begin in begins:
        before = midnight(begin.date())
        edges |= {before, before + DAY}
    inside = sorted(edge for edge in edges if first <= edge < now)
    return [Key(since, until) for since, until in zip(inside, [*inside[1:], None], strict=True)]


def running(key: Key, now: datetime) -> bool:
    """Tell whether a span is of the day that runs."""
    return key.until is None or key.until > midnight(now.date())


def split(key: Key, now: datetime) -> Iterator[Key]:
    """Give the two parts of a span that goes until now: what is over, and the last hour or two, which is marked."""
    last = now.replace(minute=0, second=0, microsecond=0) - HOUR
    if key.until is None and key.since < last:
        yield Key(key.since, last)
        yield Key(last, None)
    else:
        yield key


def past_days(now: datetime, floors: Floors) -> list[date]:
    """Give the days that have a bar, the oldest first, without the one that runs and those that are not kept."""
    today = now.date()
    days = [today - timedelta(days=ago) for ago in range(BARS - 1, 0, -1)]
    return [day for day in days if floors.days is None or midnight(day) >= floors.days]


def _months(since: datetime, until: datetime) -> Iterator[datetime]:
    year, month = since.year, since.month
    while (first := datetime(year, month, 1, tzinfo=UTC)) < until:
        if first > since:
            yield first
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)


# Maintenance ----------------------------------------------------------------------------------------------------------

Times = tuple[tuple[datetime, datetime], ...]
"""From when to when, in order, without overlaps."""


def merged(times: Iterable[tuple[datetime, datetime]]) -> Times:
    """Join what overlaps or touches."""
    found: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(times):
        if begin >= end:
            continue
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return tuple(found)


def within(times: Times, since: datetime, until: datetime) -> Times:
    """Give the part of some times that is in a span."""
    clipped = ((max(begin, since), min(end, until)) for begin, end in times)
    return tuple((begin, end) for begin, end in clipped if begin < end)


def seconds(times: Times) -> float:
    """Add them up."""
    return sum((end - begin).total_seconds() for begin, end in times)


def atoms(keys: Sequence[Key], off: Mapping[int, Times], now: datetime) -> Iterator[tuple[Key, dict[int, Times]]]:
    """Give the pieces of days in which some target is in maintenance, none across an edge of a span, with the times.

    A piece of the day that runs ends with the maintenance in it, or now.
    """
    edges = {key.since for key in keys}
    days: set[datetime] = set()
    for times in off.values():
        for begin, end in times:
            day = midnight(begin.date())
            while day < end:
                days.add(day)
                day += DAY
    for day in sorted(days):
        cuts = sorted({day, *(edge for edge in edges if day < edge < day + DAY)})
        for since, until in zip(cuts, [*cuts[1:], day + DAY], strict=True):
            inside = {target: ours for target, times in off.items() if (ours := within(times, since, min(until, now)))}
            if inside:
                yield Key(since, until if until <= now else None), inside

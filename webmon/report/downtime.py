"""Reading the stretches of failure: rollups say in which hours to look, rows say from when to when."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from webmon.report import incidents_sql as sql
from webmon.report import rolled_up
from webmon.report.span import Span
from webmon.report.status import STALE_INTERVALS
from webmon.report.stretches import Run, Stretch, join
from webmon.store.reader import Session

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)


def read(session: Session, span: Span, *, only: Collection[int] | None, now: datetime) -> list[Stretch]:
    """Give the stretches with a failure in a span of whole hours, each from its true beginning to its true end.

    Args:
        session: a look at the store.
        span: of hours of which rows are kept.
        only: the numbers of the targets that are asked about; None: all.
        now: the time of the look.
    """
    source = rolled_up.hours_with_failures(session, span, only)
    bad: dict[int, list[datetime]] = {}
    series: dict[int, tuple[int, str]] = {}
    for target_id, agent, series_id, hours in session.rows(sql.BAD_HOURS, source=source):
        series[series_id] = (target_id, agent)
        bad[series_id] = hours
    stretches = _read(session, bad)
    for stretch in stretches:
        stretch.target_id, stretch.agent = series[stretch.series_id]
    _see_what_is_open(session, stretches, now)
    return stretches


def _read(session: Session, bad: Mapping[int, Sequence[datetime]]) -> list[Stretch]:
    """Read the rows of the hours with a failure, and an hour around them; look up what those do not show."""
    runs: list[Run] = []
    for day, pieces in by_day(_pieces(bad)):
        asked = {
            "series": [series_id for series_id, _, _ in pieces],
            "begins": [since for _, since, _ in pieces],
            "ends": [until for _, _, until in pieces],
            "first": day,
            "last": day + _DAY,
        }
        runs += [Run(*row) for row in session.rows(sql.RUNS, asked)]
    runs.sort()
    runs += _what_follows(session, runs, bad)
    runs += _downs_before(session, runs)
    return join(runs)


def _pieces(bad: Mapping[int, Sequence[datetime]]) -> Iterator[tuple[int, datetime, datetime]]:
    """Give (series, from, to) of what is to be read, none across midnight: each hour, the one after, and one before."""
    for series_id, hours in bad.items():
        wanted = {hours[0] - _HOUR, *hours, *(hour + _HOUR for hour in hours)}
        begin = end = min(wanted)
        for hour in sorted(wanted):
            if hour != end or end.hour == 0:
                if end > begin:
                    yield series_id, begin, end
                begin = hour
            end = hour + _HOUR
        yield series_id, begin, end


def _what_follows(session: Session, runs: Sequence[Run], bad: Mapping[int, Sequence[datetime]]) -> Iterator[Run]:
    """Look for the end of each run that is still down where the hours that were read end, and its last failure."""
    followers: dict[int, list[Run]] = {}
    for run in runs:
        followers.setdefault(run.series_id, []).append(run)
    unended = []
    for series_id, ours in followers.items():
        hours = set(bad[series_id])
        for run, following in zip(ours, (*ours[1:], None), strict=True):
            after = run.last.replace(minute=0, second=0, microsecond=0) + _HOUR
            ends = following is not None and not following.is_down and following.first < after + _HOUR
            if run.is_down and after not in hours and not ends:
                unended.append(run)
    if not unended:
        return
    asked = {
        "series": [run.series_id for run in unended],
        "times": [run.last for run in unended],
        "first": min(run.last for run in unended),
    }
    for series_id, up, down, place in session.rows(sql.AFTER, asked):
        if up is not None:
            yield Run(series_id, up, up, False, [])
        if down is not None:
            yield Run(series_id, down, down, True, [place])


def _downs_before(session: Session, runs: Sequence[Run]) -> list[Run]:
    """Look for the beginning of what was down already before the hours that were read."""
    firsts: dict[int, Run] = {}
    for run in runs:
        if run.series_id not in firsts or run.first < firsts[run.series_id].first:
            firsts[run.series_id] = run
    down = [run for run in firsts.values() if run.is_down]
    if not down:
        return []
    asked = {
        "series": [run.series_id for run in down],
        "times": [run.first for run in down],
        "last": max(run.first for run in down),
    }
    return [Run(number, time, time, True, [place]) for number, time, place in session.rows(sql.DOWN_SINCE, asked)]


def _see_what_is_open(session: Session, stretches: Iterable[Stretch], now: datetime) -> None:
    unended = {stretch.series_id: stretch for stretch in stretches if stretch.ended is None}
    for series_id, interval in at(session, sql.INTERVALS, [(s.series_id, s.last_failure) for s in unended.values()]):
        silence = (now - unended[series_id].last_failure).total_seconds()
        unended[series_id].is_open = silence <= STALE_INTERVALS * interval


def at(session: Session, statement: str, places: Sequence[tuple[int, datetime]]) -> Iterator[tuple[Any, ...]]:
    """Run a statement about (series, time) once for each day of them; give what it found."""
    for _, pieces in by_day((series_id, time, time) for series_id, time in places):
        times = [time for _, time, _ in pieces]
        asked = {"series": [series_id for series_id, _, _ in pieces], "times": times}
        yield from session.rows(statement, asked | {"first": min(times), "last": max(times)})


def by_day(
    pieces: Iterable[tuple[int, datetime, datetime]],
) -> Iterator[tuple[datetime, list[tuple[int, datetime, datetime]]]]:
    """Give each day's (anything, from, to), by when they begin, with its midnight (UTC); the oldest day first."""
    days: dict[datetime, list[tuple[int, datetime, datetime]]] = {}
    for piece in pieces:
        midnight = piece[1].replace(hour=0, minute=0, second=0, microsecond=0)
        days.setdefault(midnight, []).append(piece)
    yield from sorted(days.items())

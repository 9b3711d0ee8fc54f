"""The rollups of a span: whole days from those by day, what is left of it and what is marked from those by hour."""

import dataclasses
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

from psycopg2 import sql

from webmon.report.span import Span
from webmon.store.reader import Session

_DAY: Final = timedelta(days=1)
# Days of which some hour is marked; the view of the hours adds the rows themselves for those.
_MARKED: Final = """
SELECT DISTINCT (hour AT TIME ZONE 'UTC')::date FROM {marks} WHERE hour >= %(since)s AND hour < %(until)s
"""
_DAYS: Final = "SELECT {columns} FROM {daily} WHERE day >= {since_day} AND day < {until_day}{ours}"
_HOURS: Final = "SELECT {columns} FROM {hours} WHERE hour >= {since} AND hour < {until}{ours}"
_ROLLED_HOURS: Final = "SELECT {columns} FROM {hourly} WHERE hour >= {since} AND hour < {until}"
_BAD_HOURS: Final = """
SELECT target_id, agent_id, hour FROM {hours} WHERE hour >= {since} AND hour < {until} AND down > 0{ours}
"""
_BAD_OF_DAYS: Final = """
SELECT d.target_id, d.agent_id, h.hour
FROM (SELECT * FROM {daily} WHERE day >= {since_day} AND day < {until_day} AND down > 0{ours}) AS d
CROSS JOIN LATERAL (
    SELECT hour FROM {hourly} AS h
    WHERE h.target_id = d.target_id AND h.agent_id = d.agent_id AND h.down > 0
        AND h.hour >= {since} AND h.hour < {until}
        AND h.hour >= d.day::timestamp AT TIME ZONE 'UTC' AND h.hour < (d.day + 1)::timestamp AT TIME ZONE 'UTC'
) AS h
"""


@dataclasses.dataclass(frozen=True)
class Part:
    """A stretch of the span that one kind of rollup answers."""

    since: datetime
    until: datetime
    whole_days: bool


def floor(session: Session, kind: str) -> datetime | None:
    """Give the time before which `rows`, `hours` or `days` may have been dropped; None where nothing was."""
    floors: dict[str, datetime] = dict(session.rows("SELECT kind, floor FROM {floors}"))
    return floors.get(kind)


def answered(session: Session, asked: Span) -> Span:
    """Give the span that can be answered: whole hours around what is asked, or whole days where hours are gone.

    It begins no earlier than what is kept, so that what was dropped is not taken for silence.
    """
    return between(asked, session.now(), hours=floor(session, "hours"), days=floor(session, "days"))


def between(asked: Span, now: datetime, *, hours: datetime | None, days: datetime | None) -> Span:
    """Give what `answered` gives, by the times before which rollups by hour and by day may have been dropped."""
    span = asked.whole_hours(now)
    since, until = span.since, span.until
    if hours is not None and since < hours:
        since = _midnight(since.date())
    if hours is not None and until < hours and until != _midnight(until.date()):
        until = min(_midnight(until.date()) + _DAY, now)
    if days is not None and since < days:
        since = min(_midnight(days.date()), until)
    return Span(since, until)


def source(session: Session, span: Span, columns: Sequence[str], only: Collection[int] | None) -> sql.Composed:
    """Give a subquery of the rollups of a span of whole hours, with these of the columns that both kinds have.

    The days that nothing is marked in come from the rollups by day, as they are one row instead of 24. `only` has the
    numbers of the targets that are asked about; None: all.
    """
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    return _union(session, span, only, by_day=_DAYS, by_hour=_HOURS, columns=names)


def of_span(
    session: Session, span: Span, columns: sql.Composable, *, marked: Collection[datetime], now: datetime
) -> Iterator[sql.Composed]:
    """Give the queries whose rows are the rollups of a span of whole hours, of all targets.

    Args:
        session: a look at the store.
        span: what is asked about.
        columns: what is selected; both kinds of rollups must have it.
        marked: the hours that are marked.
        now: the time of the look.
    """
    for part in parts(span, {hour.date() for hour in marked}, now):
        by_hour = _HOURS if any(part.since <= hour < part.until for hour in marked) else _ROLLED_HOURS
        yield session.fill(
            _DAYS if part.whole_days else by_hour,
            since=sql.Literal(part.since),
            until=sql.Literal(part.until),
            since_day=sql.Literal(part.since.date()),
            until_day=sql.Literal(part.until.date()),
            ours=sql.SQL(""),
            columns=columns,
        )


def hours_with_failures(session: Session, span: Span, only: Collection[int] | None) -> sql.Composed:
    """Give a subquery of target_id, agent_id and hour of the rollups by hour that have a failure."""
    return _union(session, span, only, by_day=_BAD_OF_DAYS, by_hour=_BAD_HOURS)


def _union(
    session: Session,
    span: Span,
    only: Collection[int] | None,
    *,
    by_day: str,
    by_hour: str,
    columns: sql.Composable | None = None,
) -> sql.Composed:
    marked = {day for (day,) in session.rows(_MARKED, {"since": span.since, "until": span.until})}
    ours = sql.SQL("" if only is None else " AND target_id = ANY ({})").format(sql.Literal(list(only or ())))
    selects = [
        session.fill(
            by_day if part.whole_days else by_hour,
            since=sql.Literal(part.since),
            until=sql.Literal(part.until),
            since_day=sql.Literal(part.since.date()),
            until_day=sql.Literal(part.until.date()),
            ours=ours,
            columns=columns or sql.SQL(""),
        )
        # One that holds nothing where the span does not either.
        for part in [*parts(span, marked, session.now())] or [Part(span.since, span.until, whole_days=False)]
    ]
    return sql.SQL("({})").format(sql.SQL(" UNION ALL ").join(selects))


def parts(span: Span, marked: Collection[date], now: datetime) -> Iterator[Part]:
    """Cut a span into as few parts as can be; the day that runs is whole where the span ends now."""
    since = span.since
    while since < span.until:
        until, whole = _next(since, span.until, marked, now)
        begin = since
        since = until
        while since < span.until:
            until, same = _next(since, span.until, marked, now)
            if same != whole:
                break
            since = until
        yield Part(begin, since, whole_days=whole)


def _next(since: datetime, end: datetime, marked: Collection[date], now: datetime) -> tuple[datetime, bool]:
    """Give the end of the day's part that begins here, and whether it is a whole day that nothing is marked in."""
    midnight = _midnight(since.date())
    tomorrow = midnight + _DAY
    is_whole = since == midnight and (end >= tomorrow or end >= now) and since.date() not in marked
    return (tomorrow, True) if is_whole else (min(end, tomorrow), False)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)

"""`webmon incidents`: when a target was down, for how long, which vantages saw it, and what the first failure said.

A vantage's stretch begins with a failure and ends with the next result that is up. Silence and agent_error neither
begin nor end one. Stretches of one target that overlap, whatever the vantage, are one incident; stretches of a target
that comes and goes are as many incidents.
"""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, NamedTuple

from webmon.check.result import Outcome
from webmon.render import Column, Form, as_duration, as_minute, show
from webmon.report import rolled_up
from webmon.report.choice import Target, targets
from webmon.report.span import Moment, Span, span
from webmon.report.status import STALE_INTERVALS
from webmon.settings import ReportSettings
from webmon.store.reader import Session, look

_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)

_BAD_HOURS: Final = """
SELECT s.target_id, a.agent, s.id, array_agg(h.hour ORDER BY h.hour)
FROM {source} AS h JOIN {series} AS s USING (target_id, agent_id) JOIN {agents} AS a ON a.id = h.agent_id
GROUP BY 1, 2, 3
"""
# Each statement below is about the hours of one day, and names its bounds as constants, so that the planner leaves
# out all chunks but that day's: to do so for each row anew takes a hundred times as long.
_RUNS: Final = """
WITH held AS (
    SELECT b.series_id, b.since, m.time, m.outcome, m.outcome > 2 AS is_down
    FROM unnest(%(series)s::integer[], %(begins)s::timestamptz[], %(ends)s::timestamptz[])
        AS b (series_id, since, until)
    CROSS JOIN LATERAL (
        SELECT time, outcome FROM {metrics} AS m
        WHERE m.series_id = b.series_id AND m.time >= b.since AND m.time < b.until
            AND m.time >= %(first)s AND m.time < %(last)s AND m.outcome < 13
    ) AS m
), changes AS (
    SELECT *, is_down IS DISTINCT FROM lag(is_down) OVER (PARTITION BY series_id, since ORDER BY time) AS begins
    FROM held
), numbered AS (
    SELECT *, count(*) FILTER (WHERE begins) OVER (PARTITION BY series_id, since ORDER BY time) AS run FROM changes
)
SELECT series_id, min(time), max(time), is_down, array_agg(DISTINCT outcome) FROM numbered
GROUP BY series_id, since, run, is_down
"""
_UP_AFTER: Final = """
SELECT asked.id, m.time
FROM unnest(%(series)s::integer[], %(times)s::timestamptz[]) AS asked (id, time)
CROSS JOIN LATERAL (
    SELECT time FROM {metrics} AS m
    WHERE m.series_id = asked.id AND m.time > asked.time AND m.time >= %(first)s AND m.outcome <= 2
    ORDER BY time LIMIT 1
) AS m
"""
_DOWN_SINCE: Final = """
SELECT asked.id, m.time, m.outcome
FROM unnest(%(series)s::integer[], %(times)s::timestamptz[]) AS asked (id, time)
LEFT JOIN LATERAL (
    SELECT time FROM {metrics} AS m
    WHERE m.series_id = asked.id AND m.time < asked.time AND m.time < %(last)s AND m.outcome <= 2
    ORDER BY time DESC LIMIT 1
) AS up ON true
CROSS JOIN LATERAL (
    SELECT time, outcome FROM {metrics} AS m
    WHERE m.series_id = asked.id AND m.time > coalesce(up.time, '-infinity') AND m.time < asked.time
        AND m.time < %(last)s AND m.outcome BETWEEN 3 AND 12
    ORDER BY time LIMIT 1
) AS m
"""
_INTERVALS: Final = """
SELECT m.series_id, c.interval_secs FROM {metrics} AS m JOIN {contexts} AS c ON c.id = m.context_id
WHERE (m.series_id, m.time) IN (SELECT * FROM unnest(%(series)s::integer[], %(times)s::timestamptz[]))
    AND m.time >= %(first)s AND m.time <= %(last)s
"""
_ERRORS: Final = """
SELECT e.series_id, e.time, e.error FROM {errors} AS e
WHERE (e.series_id, e.time) IN (SELECT * FROM unnest(%(series)s::integer[], %(times)s::timestamptz[]))
    AND e.time >= %(first)s AND e.time <= %(last)s
"""
_WATCHING: Final = """
SELECT asked.n, array_agg(a.agent ORDER BY a.agent)
FROM unnest(%(targets)s::integer[], %(begins)s::timestamptz[], %(ends)s::timestamptz[])
    WITH ORDINALITY AS asked (target_id, since, until, n)
JOIN {series} AS s USING (target_id)
JOIN {agents} AS a ON a.id = s.agent_id
CROSS JOIN LATERAL (
    SELECT FROM {metrics} AS m
    WHERE m.series_id = s.id AND m.time >= asked.since AND m.time <= asked.until
        AND m.time >= %(first)s AND m.time <= %(last)s AND m.outcome < 13 LIMIT 1
) AS m
GROUP BY 1
"""


class Run(NamedTuple):
    """Results of one series, one after the other, that are all up or all down."""

    series_id: int
    first: datetime
    last: datetime
    is_down: bool
    outcomes: list[int]
    """Places in the list of outcomes, from 1."""


@dataclasses.dataclass
class Stretch:
    """One vantage's failures of one target, with none between them that is up."""

    series_id: int
    began: datetime
    """When the first check that failed began."""
    last_failure: datetime
    outcomes: set[int]
    """Places in the list of outcomes, from 1."""
    ended: datetime | None = None
    """When the first check that was up again began; None where none was."""
    is_open: bool = False
    """Whether it goes on: not ended, and the vantage is not silent."""
    target_id: int = 0
    agent: str = ""


class State(StrEnum):
    """How an incident stands."""

    OPEN = "open"
    ENDED = "ended"
    UNKNOWN = "unknown"
    """The vantages that saw it have told nothing of the target since."""


@dataclasses.dataclass
class Incident:
    """One target's stretches that overlap."""

    target: Target
    stretches: list[Stretch]
    now: datetime
    error: str | None = None
    """What the first failure said."""
    watching: list[str] = dataclasses.field(default_factory=list)
    """The vantages that had a result of the target meanwhile, an agent_error aside."""

    @property
    def state(self) -> State:
        """How it stands."""
        if any(stretch.is_open for stretch in self.stretches):
            return State.OPEN
        last = max(self.stretches, key=lambda stretch: stretch.ended or stretch.last_failure)
        return State.UNKNOWN if last.ended is None else State.ENDED

    @property
    def began(self) -> datetime:
        """When the first check that failed began."""
        return self.stretches[0].began

    @property
    def ended(self) -> datetime | None:
        """When it was over; None where that is not known."""
        return self.until if self.state is State.ENDED else None

    @property
    def until(self) -> datetime:
        """When it was over, or how far it is known to go."""
        if self.state is State.OPEN:
            return self.now
        return max(stretch.ended or stretch.last_failure for stretch in self.stretches)

    @property
    def seconds(self) -> float:
        """How long it lasted, as far as is known."""
        return (self.until - self.began).total_seconds()

    @property
    def vantages(self) -> list[str]:
        """Those that saw it."""
        return sorted({stretch.agent for stretch in self.stretches})

    @property
    def outcomes(self) -> list[str]:
        """What the checks found, without repeats."""
        places = {place for stretch in self.stretches for place in stretch.outcomes}
        return [outcome.value for place, outcome in enumerate(Outcome, 1) if place in places]


def run(
    settings: ReportSettings, *, form: Form, since: Moment, until: Moment | None, patterns: Sequence[str] | None
) -> int:
    """Print the incidents of a span: those that go on first, then the newest.

    Raises:
        UserError: the database is not there or refuses us; no such target; an empty span.
    """
    with look(settings, "incidents") as session:
        asked = span(since, until, session.now())
        chosen = targets(session, patterns)
        kept_since = rolled_up.floor(session, "rows")
        found = read(session, asked, chosen, kept_since=kept_since, only=chosen if patterns else None)
    found.sort(key=lambda incident: (incident.state is not State.OPEN, -incident.began.timestamp()))
    title = str(asked)
    if kept_since is not None and kept_since > asked.since:
        title += f"; results from before {as_minute(kept_since)} are not kept any more"
    show(
        form,
        COLUMNS,
        found,
        nothing=f"no incident from {title}",
        title=title,
        colour=lambda incident: _COLOURS.get(incident.state),
    )
    return 0


def read(
    session: Session,
    asked: Span,
    chosen: dict[int, Target],
    *,
    kept_since: datetime | None,
    only: Collection[int] | None,
) -> list[Incident]:
    """Give the incidents that were going on at some time of the span, each from its true beginning to its true end.

    Of what was before `kept_since` there are rollups at most, which tell no times.
    """
    now = session.now()
    whole = asked.whole_hours(now)
    if kept_since is not None:
        whole = Span(min(max(whole.since, kept_since), whole.until), whole.until)
    source = rolled_up.hours_with_failures(session, whole, only)
    bad: dict[int, list[datetime]] = {}
    series: dict[int, tuple[int, str]] = {}
    for target_id, agent, series_id, hours in session.rows(_BAD_HOURS, source=source):
        series[series_id] = (target_id, agent)
        bad[series_id] = hours
    stretches = _stretches(session, bad)
    for stretch in stretches:
        stretch.target_id, stretch.agent = series[stretch.series_id]
    _see_what_is_open(session, stretches, now)
    incidents = [
        incident
        for incident in merge(stretches, chosen, now)
        if incident.began < asked.until and incident.until >= asked.since
    ]
    _explain(session, incidents)
    return incidents


def _stretches(session: Session, bad: Mapping[int, Sequence[datetime]]) -> list[Stretch]:
    """Read the rows of the hours with a failure, and an hour around them; look up what those do not show."""
    runs: list[Run] = []
    for day, pieces in _by_day(_pieces(bad)):
        asked = {
            "series": [series_id for series_id, _, _ in pieces],
            "begins": [since for _, since, _ in pieces],
            "ends": [until for _, _, until in pieces],
            "first": day,
            "last": day + _DAY,
        }
        runs += [Run(*row) for row in session.rows(_RUNS, asked)]
    runs.sort()
    runs += _ups_not_read(session, runs, bad)
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


def _by_day(
    pieces: Iterable[tuple[int, datetime, datetime]],
) -> Iterator[tuple[datetime, list[tuple[int, datetime, datetime]]]]:
    days: dict[datetime, list[tuple[int, datetime, datetime]]] = {}
    for piece in pieces:
        midnight = piece[1].replace(hour=0, minute=0, second=0, microsecond=0)
        days.setdefault(midnight, []).append(piece)
    yield from sorted(days.items())


def _ups_not_read(session: Session, runs: Sequence[Run], bad: Mapping[int, Sequence[datetime]]) -> list[Run]:
    """Look for the end of each run that is still down where the hours that were read end; what follows is later."""
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
        return []
    asked = {
        "series": [run.series_id for run in unended],
        "times": [run.last for run in unended],
        "first": min(run.last for run in unended),
    }
    return [Run(series_id, time, time, False, []) for series_id, time in session.rows(_UP_AFTER, asked)]


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
    return [Run(number, time, time, True, [place]) for number, time, place in session.rows(_DOWN_SINCE, asked)]


def join(runs: Iterable[Run]) -> list[Stretch]:
    """Make a stretch of the runs of a series that are down and have none between them that is up."""
    stretches: list[Stretch] = []
    last: Stretch | None = None
    for run in sorted(runs):
        if last is not None and (last.series_id != run.series_id or last.ended is not None):
            last = None
        if run.is_down and last is not None:
            last.last_failure = run.last
            last.outcomes |= set(run.outcomes)
        elif run.is_down:
            last = Stretch(run.series_id, run.first, run.last, set(run.outcomes))
            stretches.append(last)
        elif last is not None:
            last.ended = run.first
    return stretches


def _see_what_is_open(session: Session, stretches: Iterable[Stretch], now: datetime) -> None:
    unended = {stretch.series_id: stretch for stretch in stretches if stretch.ended is None}
    for series_id, interval in _at(session, _INTERVALS, [(s.series_id, s.last_failure) for s in unended.values()]):
        silence = (now - unended[series_id].last_failure).total_seconds()
        unended[series_id].is_open = silence <= STALE_INTERVALS * interval


def _at(session: Session, statement: str, places: Sequence[tuple[int, datetime]]) -> Iterator[tuple[Any, ...]]:
    """Run a statement on (series, time) of each day."""
    for _, pieces in _by_day((series_id, time, time) for series_id, time in places):
        times = [time for _, time, _ in pieces]
        asked = {"series": [series_id for series_id, _, _ in pieces], "times": times}
        yield from session.rows(statement, asked | {"first": min(times), "last": max(times)})


def merge(stretches: Iterable[Stretch], chosen: dict[int, Target], now: datetime) -> list[Incident]:
    """Make one incident of the stretches of a target that overlap."""
    incidents: list[Incident] = []
    until = now
    for stretch in sorted(stretches, key=lambda stretch: (stretch.target_id, stretch.began)):
        end = now if stretch.is_open else stretch.ended or stretch.last_failure
        if incidents and incidents[-1].target.id == stretch.target_id and stretch.began <= until:
            incidents[-1].stretches.append(stretch)
            until = max(until, end)
        else:
            incidents.append(Incident(chosen[stretch.target_id], [stretch], now))
            until = end
    return incidents


def _explain(session: Session, incidents: Sequence[Incident]) -> None:
    firsts = [(incident.stretches[0].series_id, incident.began) for incident in incidents]
    errors = {(series_id, time): error for series_id, time, error in _at(session, _ERRORS, firsts)}
    for incident, first in zip(incidents, firsts, strict=True):
        incident.error = errors.get(first)
    for _, pieces in _by_day((number, incident.began, incident.until) for number, incident in enumerate(incidents)):
        asked = {
            "targets": [incidents[number].target.id for number, _, _ in pieces],
            "begins": [began for _, began, _ in pieces],
            "ends": [until for _, _, until in pieces],
            "first": min(began for _, began, _ in pieces),
            "last": max(until for _, _, until in pieces),
        }
        for place, agents in session.rows(_WATCHING, asked):
            incidents[pieces[place - 1][0]].watching = agents


_COLOURS: Final = {State.OPEN: "1;31", State.UNKNOWN: "35"}


def _end(incident: Incident) -> str:
    if incident.ended is None:
        return incident.state.value
    text = as_minute(incident.ended)
    day, _, minute = text.partition(" ")
    return minute if as_minute(incident.began).startswith(day) else text


def _length(incident: Incident) -> str:
    least = ">= " if incident.state is State.UNKNOWN else ""
    return least + as_duration(incident.seconds)


def _seen_by(incident: Incident) -> str:
    count = f"{len(incident.vantages)} of {len(incident.watching)}"
    return count if incident.vantages == incident.watching else f"{count}: {', '.join(incident.vantages)}"


COLUMNS: Final[tuple[Column[Incident], ...]] = (
    Column("TARGET", lambda i: i.target.name, name="target", value=lambda i: i.target.name, is_text=True),
    Column(name="url", value=lambda i: i.target.url),
    Column(name="labels", value=lambda i: i.target.labels),
    Column(name="state", value=lambda i: i.state.value),
    Column("BEGAN", lambda i: as_minute(i.began), name="began", value=lambda i: i.began),
    Column("ENDED", _end, name="ended", value=lambda i: i.ended),
    Column(name="last_failure", value=lambda i: max(stretch.last_failure for stretch in i.stretches)),
    Column("LASTED", _length, name="seconds", value=lambda i: i.seconds, right=True),
    Column("SEEN BY", _seen_by, name="vantages", value=lambda i: i.vantages, is_text=True),
    Column(name="watching", value=lambda i: i.watching),
    Column("OUTCOME", lambda i: ", ".join(i.outcomes), name="outcomes", value=lambda i: i.outcomes, is_text=True),
    Column("FIRST ERROR", lambda i: i.error or "", name="error", value=lambda i: i.error, is_text=True),
)

"""`webmon incidents`: when a target was down, for how long, which vantages saw it, and what the first failure said.

Stretches of failure of one target that overlap, whatever the vantage, are one incident; those of a target that comes
and goes are as many incidents. stretches.py says what one is, and downtime.py reads them.
"""

import dataclasses
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from webmon.check.result import Outcome
from webmon.render import Column, Form, as_duration, as_minute, show
from webmon.report import downtime, incidents_sql, rolled_up
from webmon.report.choice import Target, targets
from webmon.report.span import Moment, Span, span
from webmon.report.status import STALE_INTERVALS, possible
from webmon.report.stretches import Stretch
from webmon.settings import ReportSettings
from webmon.store.reader import Session, look


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
    ((longest,),) = session.rows(incidents_sql.LONGEST)
    # Between two checks that fail a target is down all the time: of one that is checked each day no failure need be
    # in the span.
    before = timedelta(seconds=STALE_INTERVALS * possible(longest))
    whole = Span(asked.since - before, asked.until).whole_hours(now)
    if kept_since is not None:
        whole = Span(min(max(whole.since, kept_since), whole.until), whole.until)
    stretches = downtime.read(session, whole, only=only, now=now)
    incidents = [
        incident
        for incident in merge(stretches, chosen, now)
        if incident.began < asked.until and incident.until >= asked.since
    ]
    _explain(session, incidents)
    return incidents


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
    errors = {(series_id, time): error for series_id, time, error in downtime.at(session, incidents_sql.ERRORS, firsts)}
    for incident, first in zip(incidents, firsts, strict=True):
        incident.error = errors.get(first)
    for _, pieces in downtime.by_day(
        (number, incident.began, incident.until) for number, incident in enumerate(incidents)
    ):
        asked = {
            "targets": [incidents[number].target.id for number, _, _ in pieces],
            "begins": [began for _, began, _ in pieces],
            "ends": [until for _, _, until in pieces],
            "first": min(began for _, began, _ in pieces),
            "last": max(until for _, _, until in pieces),
        }
        for place, agents in session.rows(incidents_sql.WATCHING, asked):
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

"""`webmon uptime`: which share of the checks found a target up, and how much of the time was watched at all."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from webmon.render import Column, Form, as_milliseconds, as_percent, show
from webmon.report import rolled_up
from webmon.report.choice import By, Target, targets
from webmon.report.span import Moment, Span, span
from webmon.settings import ReportSettings
from webmon.store.reader import Session, look

_SUMS: Final = ("up", "slow", "down", "agent_error", "covered_secs", "responses", "response_sum")
_OF_SERIES: Final = """
SELECT target_id, agent_id, sum(up), sum(slow), sum(down), sum(agent_error),
    sum(covered_secs::double precision), sum(responses), sum(response_sum)
FROM {source} AS held GROUP BY 1, 2
"""
_AGENTS: Final = "SELECT id, agent, first_seen FROM {agents}"


class Agent(NamedTuple):
    """A vantage."""

    id: int
    name: str
    first_seen: datetime


class Counts(NamedTuple):
    """What was found of one target from one vantage."""

    target_id: int
    agent_id: int
    up: int
    """Slow ones too."""
    slow: int
    down: int
    agent_error: int
    covered_secs: float
    """The intervals of the results that say something of the target, added up."""
    responses: int
    response_sum: float
    """Seconds."""


@dataclasses.dataclass
class Uptime:
    """One line of the answer, added up over targets and vantages."""

    group: str | None
    span: Span
    up: int = 0
    slow: int = 0
    down: int = 0
    agent_error: int = 0
    covered_secs: float = 0
    owed_secs: float = 0
    """Seconds that would be covered, had every vantage given every result that its schedule owed."""
    responses: int = 0
    response_sum: float = 0

    @property
    def results(self) -> int:
        """How many checks there are."""
        return self.up + self.down + self.agent_error

    @property
    def uptime(self) -> float | None:
        """The share of the checks that found it up, of those that say something of it; None where none does."""
        told = self.up + self.down
        return self.up / told if told else None

    @property
    def coverage(self) -> float:
        """The share of the time that was watched."""
        return self.covered_secs / self.owed_secs if self.owed_secs else 0.0

    @property
    def response_mean(self) -> float | None:
        """Seconds."""
        return self.response_sum / self.responses if self.responses else None

    def add(self, counts: Counts, owed_secs: float) -> None:
        """Add what one vantage found of one target, in the seconds that it owed; `owed` says which."""
        self.up += counts.up
        self.slow += counts.slow
        self.down += counts.down
        self.agent_error += counts.agent_error
        # The last interval goes past the end; two vantages of one name would cover the time twice.
        self.covered_secs += min(counts.covered_secs, owed_secs)
        self.owed_secs += owed_secs
        self.responses += counts.responses
        self.response_sum += counts.response_sum


def run(
    settings: ReportSettings, *, form: Form, since: Moment, until: Moment | None, patterns: Sequence[str] | None, by: By
) -> int:
    """Print the uptime of each group in a span.

    Raises:
        UserError: the database is not there or refuses us; no such target; an empty span.
    """
    with look(settings, "uptime") as session:
        whole, found = read(session, since=since, until=until, patterns=patterns, by=by)
    show(
        form,
        columns(by),
        found,
        nothing="no target yet: the first result of an agent brings it",
        title=str(whole),
        colour=lambda line: "35" if line.uptime is None else None,
    )
    return 0


def read(
    session: Session, *, since: Moment, until: Moment | None, patterns: Sequence[str] | None, by: By
) -> tuple[Span, list[Uptime]]:
    """Ask the database; give the span that is answered, and a line for each group.

    Raises:
        UserError: no such target; an empty span.
    """
    whole = rolled_up.answered(session, span(since, until, session.now()))
    chosen = targets(session, patterns)
    agents = {row[0]: Agent(*row) for row in session.rows(_AGENTS)}
    source = rolled_up.source(session, whole, ("target_id", "agent_id", *_SUMS), chosen if patterns else None)
    counts = [Counts(*row) for row in session.rows(_OF_SERIES, source=source)]
    return whole, uptimes(counts, chosen, agents, whole, by)


def owed(asked: Span, *first_seen: datetime) -> float:
    """Give the seconds of a span that are owed by what was first seen then: a vantage, of a target."""
    return max(0.0, (asked.until - max(asked.since, *first_seen)).total_seconds())


def uptimes(
    counts: Iterable[Counts], chosen: Mapping[int, Target], agents: Mapping[int, Agent], asked: Span, by: By
) -> list[Uptime]:
    """Group what was found; the lowest uptime comes first, what was never checked last.

    A vantage owes results from the first one of the target and of its own on. One that has none of a target in the
    whole span was not asked to check it.
    """
    if by.kind == "agent":
        names: set[str | None] = {agent.name for agent in agents.values()}
    else:
        names = {by.group(target, "") for target in chosen.values()}
    groups = {name: Uptime(name, asked) for name in names}
    for found in counts:
        target, agent = chosen[found.target_id], agents[found.agent_id]
        groups[by.group(target, agent.name)].add(found, owed(asked, target.first_seen, agent.first_seen))
    return sorted(groups.values(), key=lambda line: (2 if line.uptime is None else line.uptime, line.group or ""))


def columns(by: By) -> tuple[Column[Uptime], ...]:
    """Give the columns of an answer that is grouped so."""
    return (
        Column(by.head, lambda u: u.group or "-", name=by.kind, value=lambda u: u.group, is_text=True),
        Column(name="since", value=lambda u: u.span.since),
        Column(name="until", value=lambda u: u.span.until),
        Column("UPTIME", lambda u: as_percent(u.uptime), name="uptime", value=lambda u: u.uptime, right=True),
        Column("COVERAGE", lambda u: as_percent(u.coverage), name="coverage", value=lambda u: u.coverage, right=True),
        Column("CHECKS", lambda u: f"{u.results}", name="results", value=lambda u: u.results, right=True),
        Column(name="up", value=lambda u: u.up),
        Column("SLOW", lambda u: f"{u.slow}", name="slow", value=lambda u: u.slow, right=True),
        Column("DOWN", lambda u: f"{u.down}", name="down", value=lambda u: u.down, right=True),
        Column(
            "AGENT_ERROR", lambda u: f"{u.agent_error}", name="agent_error", value=lambda u: u.agent_error, right=True
        ),
        Column(
            "MEAN",
            lambda u: as_milliseconds(u.response_mean),
            name="response_mean",
            value=lambda u: u.response_mean,
            right=True,
        ),
    )

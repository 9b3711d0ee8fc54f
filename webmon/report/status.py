"""`webmon status`: a line for each target, from the last result of each vantage."""

import dataclasses
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from webmon.check.result import Outcome
from webmon.report.session import look
from webmon.report.table import Column, Form, as_milliseconds, show
from webmon.settings import ReportSettings

STALE_INTERVALS: Final = 2.5
"""Intervals without a result after which a vantage counts as silent: one may be missed, and one may be on its way."""

# A vantage that was silent for ten intervals, and an hour, before another's newest result is no longer one.
_LATEST: Final = """
SELECT t.target, t.url, t.labels, l.agent, l.time, l.interval, l.outcome::text, l.http_status, l.resp_time, l.error,
    now()
FROM {targets} AS t
LEFT JOIN (SELECT *, max(time) OVER (PARTITION BY target) AS newest FROM {latest}) AS l
    ON l.target = t.target AND l.time > l.newest - greatest(10 * l.interval, 3600) * INTERVAL '1 second'
ORDER BY t.target, l.agent
"""


class State(StrEnum):
    """What a person wants to know of a target; in the order of urgency."""

    DOWN = "DOWN"
    DEGRADED = "degraded"
    STALE = "stale"
    NO_DATA = "no data"
    UP = "up"


@dataclasses.dataclass(frozen=True)
class Vantage:
    """The last result of one vantage for one target."""

    agent: str
    time: datetime
    interval: float
    """Seconds."""
    outcome: Outcome
    http_status: int | None
    response_time: float | None
    """Seconds."""
    error: str | None
    age: float
    """Seconds since the check, by the database's clock."""

    @property
    def is_stale(self) -> bool:
        """Whether it has been silent for too long to speak for the present."""
        return self.age > STALE_INTERVALS * self.interval


@dataclasses.dataclass(frozen=True)
class TargetStatus:
    """One target as its vantages saw it last."""

    target: str
    url: str
    labels: dict[str, str]
    vantages: tuple[Vantage, ...]

    @property
    def state(self) -> State:
        """Weigh the vantages that are not silent; an agent_error is our own fault and says nothing of the target."""
        if not self.vantages:
            return State.NO_DATA
        present = [vantage.outcome for vantage in self.vantages if not vantage.is_stale]
        if not present:
            return State.STALE
        telling = [outcome for outcome in present if outcome is not Outcome.AGENT_ERROR]
        if not telling:
            return State.NO_DATA
        if all(outcome.is_down for outcome in telling):
            return State.DOWN
        return State.UP if all(outcome is Outcome.UP for outcome in telling) else State.DEGRADED

    @property
    def age(self) -> float | None:
        """Seconds since the last check of any vantage."""
        return min((vantage.age for vantage in self.vantages), default=None)

    @property
    def response_time(self) -> float | None:
        """Seconds that the slowest vantage waited, of those that are not silent."""
        times = (v.response_time for v in self.vantages if not v.is_stale and v.response_time is not None)
        return max(times, default=None)

    @property
    def error(self) -> str | None:
        """The newest error among vantages that are not silent."""
        failed = [vantage for vantage in self.vantages if vantage.error and not vantage.is_stale]
        return min(failed, key=lambda vantage: vantage.age).error if failed else None


def run(settings: ReportSettings, *, form: Form) -> int:
    """Print the status of every target.

    Raises:
        UserError: the database is not there or refuses us.
    """
    show(
        form,
        COLUMNS,
        read(settings),
        nothing="no target yet: the first result of an agent brings it",
        colour=lambda status: _COLOURS[status.state],
    )
    return 0


def read(settings: ReportSettings) -> list[TargetStatus]:
    """Ask the database; give the targets with the most urgent first.

    Raises:
        UserError: the database is not there or refuses us.
    """
    with look(settings, "status") as session:
        rows = session.rows(_LATEST)
    urgency = list(State)
    return sorted(_statuses(rows), key=lambda status: (urgency.index(status.state), status.target))


def _statuses(rows: Iterable[tuple[Any, ...]]) -> list[TargetStatus]:
    found: dict[str, TargetStatus] = {}
    for target, url, labels, agent, time, interval, outcome, http_status, response, error, now in rows:
        status = found.setdefault(target, TargetStatus(target, url, labels, ()))
        if agent is not None:
            age = max(0.0, (now - time) / timedelta(seconds=1))
            vantage = Vantage(agent, time, interval, Outcome(outcome), http_status, response, error, age)
            found[target] = dataclasses.replace(status, vantages=(*status.vantages, vantage))
    return list(found.values())


_COLOURS: Final = {State.UP: "32", State.DOWN: "1;31", State.DEGRADED: "33", State.STALE: "35", State.NO_DATA: "35"}

COLUMNS: Final[tuple[Column[TargetStatus], ...]] = (
    Column(name="target", value=lambda status: status.target),
    Column(name="url", value=lambda status: status.url),
    Column(name="labels", value=lambda status: status.labels),
    Column("STATE", lambda status: status.state.value, name="state", value=lambda status: status.state.value),
    Column("TARGET", lambda status: status.target, is_text=True),
    Column(
        "RESPONSE",
        lambda status: as_milliseconds(status.response_time),
        name="response_time",
        value=lambda status: status.response_time,
        right=True,
    ),
    Column("AGE", lambda status: _age(status.age), name="age", value=lambda status: status.age),
    Column("VANTAGES", lambda status: _seen_by(status) or "-", is_text=True),
    Column("ERROR", lambda status: status.error or "", name="error", value=lambda status: status.error, is_text=True),
    Column(name="vantages", value=lambda status: [_as_document(vantage) for vantage in status.vantages]),
)


def _as_document(vantage: Vantage) -> dict[str, Any]:
    return {
        "agent": vantage.agent,
        "time": vantage.time.isoformat(),
        "age": vantage.age,
        "stale": vantage.is_stale,
        "outcome": vantage.outcome.value,
        "http_status": vantage.http_status,
        "response_time": vantage.response_time,
        "error": vantage.error,
    }


def _seen_by(status: TargetStatus) -> str:
    return ", ".join(
        f"{vantage.agent} {vantage.outcome.value}{' (stale)' if vantage.is_stale else ''}"
        for vantage in status.vantages
    )


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"

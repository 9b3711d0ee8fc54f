"""`webmon status`: a line for each target, from the last result of each vantage."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from math import inf
from typing import Any, Final, NamedTuple

from webmon.check.kind import kind_of
from webmon.check.result import INTERVAL_LIMIT, Outcome
from webmon.render import Column, Form, as_milliseconds, show
from webmon.settings import ReportSettings
from webmon.store.reader import Session, look

STALE_INTERVALS: Final = 2.5
"""Intervals without a result after which a vantage counts as silent: one may be missed, and one may be on its way."""

_SHORTEST: Final = timedelta(days=1)
_MOMENT: Final = timedelta(microseconds=1)
_GONE_INTERVALS: Final = 10
_GONE_SECS: Final = 3600
"""Intervals, and seconds at least, that a vantage may be behind another's newest result; then it is one no more."""

_TARGETS: Final = "SELECT id, target, url, labels FROM {targets}"
# What is marked may be missing in the rollups by day, which tell where older results are.
_BOUNDS: Final = """
SELECT (SELECT min(hour) FROM {marks}), (SELECT max(interval_secs) FROM {contexts})
"""
# The newest result of each series in a stretch of time. Its bounds stand in it as constants, so that the planner leaves
# out all chunks but those few, and the cost does not grow with the years.
OF_NEWEST: Final = """
FROM {series} AS s
CROSS JOIN LATERAL (
    SELECT * FROM {metrics} AS m
    WHERE m.series_id = s.id AND m.time >= %(since)s AND m.time < %(until)s ORDER BY m.time DESC LIMIT 1
) AS m
JOIN {agents} AS a ON a.id = s.agent_id
JOIN {contexts} AS c ON c.id = m.context_id
LEFT JOIN {errors} AS e
    ON e.series_id = m.series_id AND e.time = m.time AND e.time >= %(since)s AND e.time < %(until)s
WHERE %(targets)s::integer[] IS NULL OR s.target_id = ANY (%(targets)s)
"""
_NEWEST: Final = f"""
SELECT s.target_id, a.agent, m.time, c.interval_secs, m.outcome, m.http_status, e.answer, m.response_secs, e.error
{OF_NEWEST}
"""
LAST_DAYS: Final = """
SELECT last.day, array_agg(last.target_id)
FROM (
    SELECT s.target_id, max(d.day) AS day
    FROM {series} AS s
    CROSS JOIN LATERAL (
        SELECT day FROM {daily} AS d WHERE d.target_id = s.target_id AND d.agent_id = s.agent_id
        ORDER BY day DESC LIMIT 1
    ) AS d
    WHERE s.target_id = ANY (%(targets)s)
    GROUP BY 1
) AS last
GROUP BY 1
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
    answer: str | None
    """What came where the target is not HTTP."""
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
    def kind(self) -> str:
        """The kind of probe."""
        return kind_of(self.url)

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
        now = session.now()
        targets = session.rows(_TARGETS)
        seen = _newest(session, now, [target_id for target_id, *_ in targets])
    urgency = list(State)
    statuses = [
        TargetStatus(target, url, labels, _present(seen.get(target_id, ())))
        for target_id, target, url, labels in targets
    ]
    return sorted(statuses, key=lambda status: (urgency.index(status.state), status.target))


def _newest(session: Session, now: datetime, targets: Sequence[int]) -> dict[int, list[Vantage]]:
    """Give the newest results of each target's vantages: the older ones of a target that has none of the last days."""
    ((oldest_mark, longest),) = session.rows(_BOUNDS)
    back = look_back(now, oldest_mark, longest)
    found: dict[int, list[Vantage]] = {}
    _read(session, found, now, {"since": back.since, "until": back.until, "targets": None})
    silent = [target_id for target_id in targets if _silent_secs(found, target_id) > back.seen_secs]
    for day, ours in session.rows(LAST_DAYS, {"targets": silent}):
        since, until = back.around(day)
        _read(session, found, now, {"since": since, "until": until, "targets": ours})
    return {target_id: _of_each(vantages) for target_id, vantages in found.items()}


class Back(NamedTuple):
    """How far back newest results are looked for."""

    since: datetime
    until: datetime
    reach: timedelta
    """How far before a target's newest result its other vantages are looked for."""
    seen_secs: float
    """Of a target whose newest result is older than this, not all of its vantages may have been seen."""

    def around(self, day: date) -> tuple[datetime, datetime]:
        """Give where the vantages of targets are that had their last result on a day."""
        midnight = datetime.combine(day, time(), UTC)
        return midnight - self.reach, midnight + timedelta(days=1)


def look_back(now: datetime, oldest_mark: datetime | None, longest: float | None) -> Back:
    """Give how far to look: by the oldest hour that is marked, and the longest interval of any target."""
    behind = timedelta(seconds=max(_GONE_INTERVALS * possible(longest), _GONE_SECS))
    reach = max(_SHORTEST, behind)
    since = min(now - reach - behind, oldest_mark or now)
    # A result may have a time that has not come yet, as clocks differ: it hides no present one, and is seen then.
    return Back(since, now + _MOMENT, reach, (now - since - behind).total_seconds())


def is_gone(behind_secs: float, interval: float) -> bool:
    """Tell whether a vantage is so far behind a target's newest result that it is one no more."""
    return behind_secs >= max(_GONE_INTERVALS * interval, _GONE_SECS)


def _of_each(vantages: Iterable[Vantage]) -> list[Vantage]:
    """Give the newest of each agent: what is looked for twice may be found twice."""
    return list({vantage.agent: vantage for vantage in sorted(vantages, key=lambda one: -one.age)}.values())


def possible(interval: float | None) -> float:
    """Give an interval as the agents have it: results of older releases may have brought any number."""
    return 0.0 if interval is None else interval if interval <= INTERVAL_LIMIT else float(INTERVAL_LIMIT)


def _read(session: Session, found: dict[int, list[Vantage]], now: datetime, asked: dict[str, Any]) -> None:
    outcomes = list(Outcome)
    for target_id, agent, moment, interval, place, http_status, answer, response, error in session.rows(_NEWEST, asked):
        age = max(0.0, (now - moment).total_seconds())
        vantage = Vantage(agent, moment, interval, outcomes[place - 1], http_status, answer, response, error, age)
        found.setdefault(target_id, []).append(vantage)


def _silent_secs(found: Mapping[int, Sequence[Vantage]], target_id: int) -> float:
    """Give the age of a target's newest result; endless where none was found."""
    return min((vantage.age for vantage in found.get(target_id, ())), default=inf)


def _present(vantages: Sequence[Vantage]) -> tuple[Vantage, ...]:
    """Leave out the vantages that have been silent for so long that they are none any more."""
    newest = min((vantage.age for vantage in vantages), default=0.0)
    present = (vantage for vantage in vantages if not is_gone(vantage.age - newest, vantage.interval))
    return tuple(sorted(present, key=lambda vantage: vantage.agent))


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
    Column(name="kind", value=lambda status: status.kind),
)


def _as_document(vantage: Vantage) -> dict[str, Any]:
    return {
        "agent": vantage.agent,
        "time": vantage.time.isoformat(),
        "age": vantage.age,
        "stale": vantage.is_stale,
        "outcome": vantage.outcome.value,
        "http_status": vantage.http_status,
        "answer": vantage.answer,
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

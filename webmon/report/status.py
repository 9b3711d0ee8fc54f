"""`webmon status`: a line for each target, from the last result of each vantage."""

import dataclasses
import json
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

import psycopg2

from webmon import postgres
from webmon.check.result import Outcome
from webmon.errors import UserError
from webmon.postgres import DatabaseAwayError
from webmon.settings import ReportSettings
from webmon.tables import Tables

STALE_INTERVALS: Final = 2.5
"""Intervals without a result after which a vantage counts as silent: one may be missed, and one may be on its way."""

# A target's newest result is one step in the index; the vantages are then looked for near it only, so that the cost
# does not grow with the years. One that was silent for ten intervals, and an hour, is no longer a vantage of it.
_LATEST: Final = """
SELECT t.target, t.url, t.labels, a.agent, last.time, last.interval_secs, last.outcome::text, last.http_status,
    last.response_secs, e.error, now()
FROM {targets} AS t
LEFT JOIN LATERAL (
    SELECT m.time, m.interval_secs FROM {metrics} AS m WHERE m.target_id = t.id ORDER BY m.time DESC LIMIT 1
) AS newest ON true
LEFT JOIN LATERAL (
    SELECT DISTINCT ON (m.agent_id) m.* FROM {metrics} AS m
    WHERE m.target_id = t.id AND m.time <= newest.time
        AND m.time > newest.time - greatest(10 * newest.interval_secs, 3600) * INTERVAL '1 second'
    ORDER BY m.agent_id, m.time DESC
) AS last ON true
LEFT JOIN {agents} AS a ON a.id = last.agent_id
LEFT JOIN {errors} AS e ON e.target_id = last.target_id AND e.time = last.time AND e.agent_id = last.agent_id
ORDER BY t.target, a.agent
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


def run(settings: ReportSettings, *, as_json: bool) -> int:
    """Print the status of every target.

    Raises:
        UserError: the database is not there or refuses us.
    """
    statuses = read(settings)
    if as_json:
        print(json.dumps([as_document(status) for status in statuses], indent=2, ensure_ascii=False))
    elif statuses:
        coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for line in lines(statuses, coloured=coloured):
            print(line)
    else:
        print("no target yet: the first result of an agent brings it")
    return 0


def read(settings: ReportSettings) -> list[TargetStatus]:
    """Ask the database; give the targets with the most urgent first.

    Raises:
        UserError: the database is not there or refuses us.
    """
    tables = Tables(settings.postgres.table)
    try:
        connection = postgres.connect(settings.postgres, application="webmon-status", autocommit=True)
        try:
            with connection.cursor() as cursor:
                # Compiling would take longer than the query.
                cursor.execute("SET jit = off")
                cursor.execute(tables.fill(_LATEST))
                rows = cursor.fetchall()
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise UserError(str(postgres.explain(error, settings.postgres))) from error
    except DatabaseAwayError as error:
        raise UserError(str(error)) from error
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


def as_document(status: TargetStatus) -> dict[str, Any]:
    """Give a target's status as JSON has it: times in UTC, durations in seconds."""
    return {
        "target": status.target,
        "url": status.url,
        "labels": status.labels,
        "state": status.state.value,
        "age": status.age,
        "response_time": status.response_time,
        "vantages": [
            {
                "agent": vantage.agent,
                "time": vantage.time.isoformat(),
                "age": vantage.age,
                "stale": vantage.is_stale,
                "outcome": vantage.outcome.value,
                "http_status": vantage.http_status,
                "response_time": vantage.response_time,
                "error": vantage.error,
            }
            for vantage in status.vantages
        ],
    }


_COLOURS: Final = {State.UP: "32", State.DOWN: "1;31", State.DEGRADED: "33", State.STALE: "35", State.NO_DATA: "35"}
_HEAD: Final = ("STATE", "TARGET", "RESPONSE", "AGE", "VANTAGES", "ERROR")


def lines(statuses: Sequence[TargetStatus], *, coloured: bool) -> list[str]:
    """Lay the table out: a head, and a line for each target."""
    rows = [_HEAD, *(_cells(status) for status in statuses)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    laid = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if coloured:
        for number, status in enumerate(statuses, 1):
            end = len(status.state.value)
            laid[number] = f"\033[{_COLOURS[status.state]}m{laid[number][:end]}\033[0m{laid[number][end:]}"
    return laid


def _cells(status: TargetStatus) -> tuple[str, ...]:
    vantages = ", ".join(
        f"{vantage.agent} {vantage.outcome.value}{' (stale)' if vantage.is_stale else ''}"
        for vantage in status.vantages
    )
    response = "-" if status.response_time is None else f"{status.response_time * 1000:.0f} ms"
    return (
        status.state.value,
        _printable(status.target),
        response,
        _age(status.age),
        _printable(vantages) or "-",
        _printable(status.error or ""),
    )


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def _printable(text: str) -> str:
    """Keep what a target sent from steering the terminal."""
    return "".join(char if char.isprintable() else " " for char in text)

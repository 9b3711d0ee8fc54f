"""The judge: what agents acknowledged to themselves, held against the rows, the rollups and what the sites served."""

import bisect
import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from webmon.check.result import Outcome


class Key(NamedTuple):
    """What makes a result one of its own."""

    agent: str
    target: str
    time: datetime


class Noted(NamedTuple):
    """What the recorder has of a result beside its key."""

    scheduled_at: datetime
    outcome: Outcome


Ledger = dict[Key, Noted]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What became of a case's results."""

    made: int
    """Results that agents acknowledged to themselves."""
    rows: int
    missing: int
    """Results without a row."""
    repeated: int
    """Rows beyond one a result."""
    unrecorded: int
    """Rows of which no recorder knows."""
    altered: int
    """Rows with another outcome than the result had."""
    wrongly_down: int
    """Rows that call a site down while it served."""
    longest_gap: float
    """Seconds without a check of a healthy target, above its interval."""

    def faults(self, allowed: Mapping[str, int]) -> list[str]:
        """Tell what breaks the promise; some counts may be as much as is allowed of them, others are 0."""
        told = {
            "missing": self.missing,
            "repeated": self.repeated,
            "that no agent made": self.unrecorded,
            "with another outcome": self.altered,
            "that call a healthy site down": self.wrongly_down,
        }
        found = [
            f"{count} {'results' if what == 'missing' else 'rows'} {what}"
            for what, count in told.items()
            if count > allowed.get(what, 0)
        ]
        return found if self.made else ["no result was made", *found]


def read_ledger(lines: Iterable[str], prefix: str) -> Ledger:
    """Read a recorder's lines, of the targets whose names begin so; twice the same is once."""
    ledger = {}
    for line in lines:
        fields = line.rstrip("\n").split("\t")
        # The last line of a host that lost its power may be cut off.
        if len(fields) == 5 and fields[1].startswith(prefix):
            agent, target, time, scheduled_at, outcome = fields
            key = Key(agent, target, datetime.fromisoformat(time))
            ledger[key] = Noted(datetime.fromisoformat(scheduled_at), Outcome(outcome))
    return ledger


class Sites:
    """What the sites served, by their own log."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Read the log of tests/faults/site.py."""
        self._answers = sorted(float(line.split()[1]) for line in lines if line.count(" ") == 4)

    def served(self, since: datetime, within: timedelta) -> bool:
        """Tell whether an answer was sent then, to whomever: all sites are one server, so that all were up."""
        start = since.timestamp()
        place = bisect.bisect_left(self._answers, start)
        return place < len(self._answers) and self._answers[place] <= start + within.total_seconds()


def judge(
    ledger: Ledger,
    rows: Sequence[tuple[Key, Outcome]],
    sites: Sites,
    *,
    interval: float,
    timeout: float,
    is_healthy: Callable[[Key], bool] = lambda _: True,
    was_down: Callable[[Key], bool] = lambda _: False,
) -> Verdict:
    """Hold the rows against what was recorded.

    Args:
        ledger: what agents acknowledged to themselves.
        rows: every row of the same targets.
        sites: what was served.
        interval: of the targets, in seconds.
        timeout: of a check, in seconds.
        is_healthy: whether a target is one of the sites that are up.
        was_down: whether such a site was down at that time, as the case wanted.
    """
    counts = Counter(key for key, _ in rows)
    outcomes = dict(rows)
    return Verdict(
        made=len(ledger),
        rows=len(rows),
        missing=len(ledger.keys() - counts.keys()),
        repeated=len(rows) - len(counts),
        unrecorded=len(counts.keys() - ledger.keys()),
        altered=sum(outcomes[key] is not noted.outcome for key, noted in ledger.items() if key in outcomes),
        wrongly_down=sum(
            outcome.is_down
            and is_healthy(key)
            and not was_down(key)
            and sites.served(key.time, timedelta(seconds=timeout))
            for key, outcome in rows
        ),
        longest_gap=longest_gap({key: noted for key, noted in ledger.items() if is_healthy(key)}, interval),
    )


def longest_gap(ledger: Ledger, interval: float) -> float:
    """Give the longest time between two checks of a target by the same agent, less the interval it should be."""
    slots: dict[tuple[str, str], list[datetime]] = {}
    for key, noted in ledger.items():
        slots.setdefault((key.agent, key.target), []).append(noted.scheduled_at)
    gaps = [
        (after - before).total_seconds() - interval
        for times in map(sorted, slots.values())
        for before, after in itertools.pairwise(times)
    ]
    return max(gaps, default=0.0)


def rows_of(found: Iterable[tuple[str, str, datetime, str]]) -> list[tuple[Key, Outcome]]:
    """Make the judge's rows of the database's: agent, target, time, outcome."""
    return [(Key(agent, target, time.astimezone(UTC)), Outcome(outcome)) for agent, target, time, outcome in found]


ROLLUPS_THAT_DIFFER = {
    what: f"""
WITH ours AS (
    SELECT s.id, s.target_id, s.agent_id FROM {{t_series}} AS s JOIN {{t_targets}} AS t ON t.id = s.target_id
    WHERE starts_with(t.target, %s)
), counted AS (
    SELECT {bucket} AS bucket, o.target_id, o.agent_id, count(*)::bigint AS results,
        sum((m.outcome <= 2)::integer)::bigint AS up, sum((m.outcome = 2)::integer)::bigint AS slow,
        sum((m.outcome BETWEEN 3 AND 12)::integer)::bigint AS down,
        sum((m.outcome = 13)::integer)::bigint AS agent_error
    FROM {{t}} AS m JOIN ours AS o ON o.id = m.series_id
    GROUP BY 1, 2, 3
), told AS (
    SELECT {column} AS bucket, target_id, agent_id, results::bigint, up::bigint, slow::bigint, down::bigint,
        agent_error::bigint
    FROM {{t_{what}}} WHERE target_id IN (SELECT target_id FROM ours)
)
SELECT count(*) FROM (
    (TABLE counted EXCEPT ALL TABLE told) UNION ALL (TABLE told EXCEPT ALL TABLE counted)
) AS differing
"""  # noqa: S608 - the parts are the three lines below
    for what, column, bucket in (
        ("hours", "hour", "date_trunc('hour', m.time, 'UTC')"),
        ("days", "day", "(m.time AT TIME ZONE 'UTC')::date"),
        ("hourly", "hour", "date_trunc('hour', m.time, 'UTC')"),
        ("daily", "day", "(m.time AT TIME ZONE 'UTC')::date"),
    )
}
"""How many rollups say something else than the rows of the targets whose names begin with the value; by where."""


def rollup_faults(differing: Mapping[str, int]) -> list[str]:
    """Tell which rollups do not agree with the rows."""
    return [f"{count} rollups of {where} differ from the rows" for where, count in differing.items() if count]

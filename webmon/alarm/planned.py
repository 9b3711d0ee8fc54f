"""The planned windows of the rules file as records of the log: history and page have them from there.

They change nothing in the judge, which asks the rules.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from webmon.alarm import maintenance, records
from webmon.alarm.match import Match
from webmon.alarm.moments import as_milliseconds
from webmon.alarm.quiet import PLANNED
from webmon.alarm.records import make_id

AHEAD: Final = timedelta(days=14)
_DAY: Final = timedelta(days=1)


def windows(planned: Iterable[maintenance.Maintenance], now: datetime) -> Iterator[records.Maintenance]:
    """Give those that are on, or begin within AHEAD."""
    for window in planned:
        seen = set()
        day = now.astimezone(UTC).date()
        for ahead in range(AHEAD.days + 1):
            for begin, end in window.when.near(day + ahead * _DAY):
                if begin in seen or end <= now or begin > now + AHEAD:
                    continue
                seen.add(begin)
                begins, until = as_milliseconds(begin), as_milliseconds(end)
                yield records.Maintenance(
                    id=PLANNED + make_id("window", window.name, begins),
                    match=_match(window.match),
                    begins=begins,
                    until=until,
                    public=window.public,
                    name=window.name,
                )


def is_planned(record: records.Maintenance) -> bool:
    """Tell whether a record is one of these."""
    return record.id.startswith(PLANNED)


def _match(match: Match) -> str:
    said = [*match.names, *(f"{key}={value}" for key, value in match.labels.items())]
    return ", ".join(said) or "*"

"""The planned windows of the rules file as records of the log: history and page have them from there.

They change nothing in the judge, which asks the rules.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from webmon.alarm import maintenance, records
from webmon.alarm.moments import as_milliseconds, as_moment
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
                for number, match in enumerate(window.match.texts()):
                    parts = (window.name, begins, number) if number else (window.name, begins)
                    yield records.Maintenance(
                        id=PLANNED + make_id("window", *parts),
                        match=match,
                        begins=begins,
                        until=until,
                        public=window.public,
                        name=window.name,
                    )


def orders(
    planned: Iterable[maintenance.Maintenance], known: Mapping[str, records.Record], now: int
) -> Iterator[records.Maintenance]:
    """Give what is to be ordered so that the log has the planned windows, and those no more that are planned no longer.

    What was maintenance already stays so.

    Args:
        planned: windows of the rules.
        known: orders of the log, by their keys.
        now: milliseconds.
    """
    wanted = {window.key: window for window in windows(planned, as_moment(now))}
    for window in wanted.values():
        if known.get(window.key) != window:
            yield window
    for key, order in known.items():
        if isinstance(order, records.Maintenance) and is_planned(order) and key not in wanted and order.until > now:
            yield msgspec.structs.replace(order, until=max(order.begins, now))


def is_planned(record: records.Maintenance) -> bool:
    """Tell whether a record is one of these."""
    return record.id.startswith(PLANNED)

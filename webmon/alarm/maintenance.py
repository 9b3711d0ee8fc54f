"""Windows of maintenance: when they are, in the time that a place's clocks show, and for which targets.

`for` is time that passes. A local time that a day does not have, as clocks go forward, takes the offset before the gap;
one that a day has twice, as they go back, is the first (RFC 5545, 3.3.5 and 3.3.6). A month without the day has no
window (3.3.10).
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from webmon.alarm.match import Match

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
EVERY: Final = (
    r"^(?:(?:(Mon|Tue|Wed|Thu|Fri|Sat|Sun|daily)|day ([1-9]|[12][0-9]|3[01])) )?([01][0-9]|2[0-3]):([0-5][0-9])$"
)
_DAY: Final = timedelta(days=1)
_MOST_APART: Final = 64
"""Days from one window to the next at most: from December 31st to January 31st, or over a month without the day."""
_SPARE: Final = timedelta(hours=2)
"""No two windows of a rule meet, however clocks are changed."""


@dataclass(frozen=True, slots=True)
class Every:
    """A window that comes again."""

    at: time
    """Local time of its begin."""
    lasts: timedelta
    zone: ZoneInfo
    weekday: int | None = None
    """From 0, Monday; None with no `day`: daily."""
    day: int | None = None
    """Of the month."""

    @property
    def longest(self) -> timedelta:
        """What it must be shorter than, so that one is over before the next."""
        return _DAY * (28 if self.day is not None else 1 if self.weekday is None else 7) - _SPARE

    def is_on(self, day: date) -> bool:
        """Tell whether one begins on a local day."""
        if self.day is not None:
            return day.day == self.day
        return self.weekday is None or day.weekday() == self.weekday

    def near(self, day: date) -> Iterator[tuple[datetime, datetime]]:
        """Give begin and end, in UTC, of those that touch a day of UTC."""
        first, after = _midnight(day), _midnight(day + _DAY)
        for back in range(self.lasts.days + 2, -2, -1):
            local = day - back * _DAY
            if not self.is_on(local):
                continue
            # Of a time that comes twice, fold=0 is the first; of one that does not exist, it has the offset before.
            begin = datetime.combine(local, self.at, tzinfo=self.zone).astimezone(UTC)
            end = begin + self.lasts
            if begin < after and end > first:
                yield begin, end


@dataclass(frozen=True, slots=True)
class Once:
    """A window that comes once."""

    begin: datetime
    end: datetime

    def near(self, day: date) -> Iterator[tuple[datetime, datetime]]:  # noqa: ARG002 (as Every has it)
        """Give begin and end."""
        yield self.begin, self.end


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A window of the rules file: webmon.alarm.conditions.Window."""

    name: str
    when: Every | Once
    match: Match = field(default_factory=Match)
    public: bool = False

    def covers(self, target_name: str, labels: Mapping[str, str], moment: datetime) -> bool:
        """Tell whether it holds for a target then: from its begin on, at its end no more."""
        return self._now(moment) is not None and self.match.fits(target_name, labels)

    def ends_after(self, moment: datetime) -> datetime:
        """Give when what holds at a moment ends, else the next one, in UTC; the moment itself where none comes."""
        day = moment.astimezone(UTC).date()
        for ahead in range(_MOST_APART):
            for _, end in _near(self.when, day + ahead * _DAY):
                if moment < end:
                    return end
        return moment

    def _now(self, moment: datetime) -> tuple[datetime, datetime] | None:
        near = _near(self.when, moment.astimezone(UTC).date())
        return next((span for span in near if span[0] <= moment < span[1]), None)


def every(text: str, lasts: timedelta, zone: ZoneInfo) -> Every:
    """Read `Sun 02:00`, `day 1 02:00`, `daily 02:00` or `02:00`.

    Raises:
        ValueError: it is none of these.
    """
    match = re.fullmatch(EVERY, text)
    if match is None:
        raise ValueError(text)
    word, day, hour, minute = match.groups()
    weekday = WEEKDAYS.index(word) if word in WEEKDAYS else None
    return Every(time(int(hour), int(minute)), lasts, zone, weekday, int(day) if day else None)


@functools.lru_cache(maxsize=4096)
def _near(when: Every | Once, day: date) -> tuple[tuple[datetime, datetime], ...]:
    return tuple(when.near(day))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)

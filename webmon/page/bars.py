"""Bars and percentages: what is shown of what was counted. Percentages are cut, never rounded up.

Maintenance is on neither side of an uptime, and so is silence: beside each uptime stands which share was watched.
"""

import functools
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from webmon.page.snapshot import BARS, Day, Tally, Target, Window
from webmon.render import hundredths


class Uptime(msgspec.Struct, frozen=True, kw_only=True):
    """The uptime of a span: hundredths of a percent, cut (9998 is 99.98 %)."""

    days: int
    uptime: int | None
    """None: nothing tells of it. 10000: no check failed."""
    watched: int
    """Of the time, maintenance aside."""
    maintenance: int
    """Of the whole time."""


class Bar(msgspec.Struct, frozen=True, kw_only=True):
    """One day (UTC) of a target: shares of the day, of what is past of it, that add up to 1."""

    day: date
    up: float = 0.0
    """Slow ones aside."""
    slow: float = 0.0
    down: float = 0.0
    maintenance: float = 0.0
    unwatched: float = 1.0
    numbers: Uptime

    @property
    def is_known(self) -> bool:
        """Whether anything is told of that day."""
        return self.unwatched < 1


def uptime(tally: Tally, days: int) -> Uptime:
    """Give the numbers of a tally."""
    share = tally.uptime
    return Uptime(
        days=days,
        uptime=None if share is None else hundredths(share),
        watched=hundredths(tally.watched),
        maintenance=hundredths(tally.maintenance),
    )


def uptimes(windows: Sequence[Window]) -> list[Uptime]:
    """Give the numbers of each span."""
    return [uptime(window.tally, window.days) for window in windows]


def bar(day: date, tally: Tally) -> Bar:
    """Give a day's bar: what was watched is divided as its checks are."""
    maintenance = tally.maintenance
    watched = tally.watched * (1 - maintenance) if tally.told else 0.0
    each = watched / tally.told if tally.told else 0.0
    return Bar(
        day=day,
        up=(tally.up - tally.slow) * each,
        slow=tally.slow * each,
        down=tally.down * each,
        maintenance=maintenance,
        unwatched=max(0.0, 1 - maintenance - watched),
        numbers=uptime(tally, 1),
    )


def bars(target: Target, as_of: datetime) -> list[Bar]:
    """Give the bars of a target's last days, the oldest first; the last one is the day of the snapshot."""
    known = {one.day: one for one in target.days}
    last = as_of.date()
    days = [last - timedelta(days=ago) for ago in range(BARS - 1, -1, -1)]
    return [_made.bar(known[day], as_of) if day in known else _unknown(day) for day in days]


class _Made:
    """The bars of the last snapshot: days that are over are the same objects in the next one."""

    def __init__(self) -> None:
        self._as_of: datetime | None = None
        self._before: dict[int, tuple[Day, Bar]] = {}
        self._now: dict[int, tuple[Day, Bar]] = {}

    def bar(self, one: Day, as_of: datetime) -> Bar:
        """Give a day's bar."""
        if as_of != self._as_of:
            self._as_of, self._before, self._now = as_of, self._now, {}
        found = self._now.get(id(one)) or self._before.get(id(one))
        # The number of an object that is gone may be another's.
        if found is None or found[0] is not one:
            found = one, bar(one.day, one.tally)
        self._now[id(one)] = found
        return found[1]


_made: Final = _Made()


@functools.lru_cache(maxsize=2 * BARS)
def _unknown(day: date) -> Bar:
    return bar(day, Tally())

"""When each target is checked: fixed slots on the wall clock.

A target's slots are offset + k * interval since the epoch. The offset comes from the names of target and agent, so it
spreads targets over the interval, keeps vantages apart, and is the same after a restart. All times here are whole
microseconds, for slots must not drift by rounding.
"""

import hashlib
import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from webmon.check.target import Target

SECOND: Final = 1_000_000
"""Microseconds."""
PAUSE: Final = 3 * SECOND
"""A look at the clock is due every second; when none came for so long, the process or the host stood still."""
STEP: Final = SECOND
"""How far the wall clock may part from the monotonic one between two looks before it counts as set anew."""


def offset(target: str, agent: str, interval: int) -> int:
    """Give where in its interval an agent checks a target: from 0 to below the interval, evenly spread."""
    digest = hashlib.blake2b(f"{agent}\0{target}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) * interval >> 64


def slot_after(now: int, interval: int, at: int) -> int:
    """Give the first slot later than now, of those at `at` + k * interval."""
    return now + interval - (now - at) % interval


@dataclass(frozen=True, slots=True)
class Due:
    """A target to check now."""

    target: Target
    slot: int

    @property
    def scheduled_at(self) -> datetime:
        """Give the slot as a moment, exact to the microsecond."""
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=self.slot)


@dataclass(slots=True)
class _Entry:
    target: Target
    interval: int
    at: int
    slot: int


class Schedule:
    """The slots of a list of targets; pure: it has no clock and no thread, each call is told the time.

    A slot is kept when its check begins before the target's next slot; else it is missed. After a pause of the process
    or a step of the wall clock the slots behind are missed and none is made up for, so there is no burst.
    """

    def __init__(self, agent: str) -> None:
        """Start with no targets."""
        self.kept = 0
        self.missed = 0
        self.missed_standing_still = 0
        """Those of the missed that a pause or a step of the clock cost."""
        self._agent = agent
        self._entries: dict[str, _Entry] = {}
        self._queue: list[tuple[int, str]] = []
        self._busy: set[str] = set()
        self._wall = self._monotonic = 0

    def __len__(self) -> int:
        """Give the number of targets."""
        return len(self._entries)

    def replace(self, targets: Iterable[Target], now: int) -> None:
        """Take another list; targets that stay, at the same interval, keep their next slot."""
        entries = {}
        for target in targets:
            interval = round(target.interval * SECOND)
            old = self._entries.get(target.name)
            if old is not None and old.interval == interval:
                entries[target.name] = _Entry(target, interval, old.at, old.slot)
            else:
                at = offset(target.name, self._agent, interval)
                entries[target.name] = _Entry(target, interval, at, slot_after(now, interval, at))
        self._entries = entries
        self._sort()

    def look(self, wall: int, monotonic: int) -> None:
        """Note the time, once a second at least.

        Args:
            wall: the wall clock.
            monotonic: the monotonic clock, which stands still while the host is suspended.
        """
        passed = monotonic - self._monotonic
        stepped = abs(wall - self._wall - passed) > STEP
        first = self._wall == 0
        self._wall, self._monotonic = wall, monotonic
        if first or not (stepped or passed > PAUSE):
            return
        lost = 0
        for entry in self._entries.values():
            if entry.slot <= wall:
                lost += 1 + (wall - entry.slot) // entry.interval
            entry.slot = slot_after(wall, entry.interval, entry.at)
        self._sort()
        self.missed += lost
        self.missed_standing_still += lost

    def is_due(self, wall: int, monotonic: int) -> bool:
        """Tell whether a check is to begin; slots that have come and cannot be kept are counted as missed by that."""
        self.look(wall, monotonic)
        while self._queue and self._queue[0][0] <= wall:
            slot, name = self._queue[0]
            if slot + self._entries[name].interval > wall and name not in self._busy:
                return True
            self._advance()
            self.missed += 1
        return False

    def take(self, wall: int, monotonic: int) -> Due | None:
        """Give the target whose slot came first, or None while none is due. The caller says when it is done()."""
        if not self.is_due(wall, monotonic):
            return None
        slot, name = self._queue[0]
        self._advance()
        self._busy.add(name)
        self.kept += 1
        return Due(self._entries[name].target, slot)

    def done(self, name: str) -> None:
        """Say that the check of a target has ended."""
        self._busy.discard(name)

    def next_slot(self) -> int | None:
        """Give the slot that comes next; None while there are no targets."""
        return self._queue[0][0] if self._queue else None

    def _advance(self) -> None:
        """Go on to the next slot of the target whose slot comes first."""
        slot, name = self._queue[0]
        entry = self._entries[name]
        entry.slot = slot + entry.interval
        heapq.heapreplace(self._queue, (entry.slot, name))

    def _sort(self) -> None:
        self._queue = [(entry.slot, name) for name, entry in self._entries.items()]
        heapq.heapify(self._queue)

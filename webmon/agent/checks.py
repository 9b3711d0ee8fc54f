"""What is due is begun, in the loop that carries all checks: no check waits for another, and none for a thread."""

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Protocol

from webmon.agent.schedule import SECOND, Due, Schedule
from webmon.check.loop import Timer
from webmon.check.result import CheckResult
from webmon.check.target import Target

_log = logging.getLogger(__name__)

_TELL_SECS: Final = 60.0
"""How often missed slots are logged."""
_LOOK_SECS: Final = 1.0
"""How often the schedule is shown the time where nothing is due."""
STUCK_SECS: Final = 15.0
"""How far past its time what must go on may be, before it counts as standing still."""

Begin = Callable[[Due, Callable[[CheckResult], None]], None]
"""Begins a check; it calls back with the result, in the loop."""


class Carrier(Protocol):
    """What of the loop is needed here."""

    turned: float
    """When it last turned, on the monotonic clock."""

    def call(self, what: Callable[[], None]) -> None:
        """Have something done in the loop, soon; from any thread."""

    def at(self, moment: float, what: Callable[[], None]) -> Timer:
        """Have something done in the loop at a moment of the monotonic clock."""


class Checks:
    """Takes what is due from a schedule and begins it; all of it but `replace_targets` and `stop` in the loop."""

    def __init__(
        self,
        schedule: Schedule,
        loop: Carrier,
        begin: Begin,
        take: Callable[[Target, CheckResult], None],
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the schedule, the loop, what begins a check and what takes its result; and the clocks, in seconds."""
        self._schedule = schedule
        self._loop = loop
        self._begin = begin
        self._take = take
        self._wall = wall
        self._monotonic = monotonic
        self._running: dict[str, tuple[Due, float]] = {}
        self._timer: Timer | None = None
        self._stopping = False
        self._idle = threading.Condition()
        """For who waits for the last check to end."""
        self._told = (0, 0)
        self._told_at = float("-inf")

    def __len__(self) -> int:
        """Give how many checks run."""
        return len(self._running)

    def replace_targets(self, targets: tuple[Target, ...]) -> None:
        """Give the schedule another list; checks that run go on. From any thread."""

        def replace() -> None:
            self._schedule.replace(targets, _micro(self._wall()))
            self._turn()

        self._loop.call(replace)

    def faults(self) -> list[str]:
        """Tell what stands still: that nobody keeps the time, or that a check goes on for ever."""
        now = self._monotonic()
        found = []
        if (late := now - self._loop.turned) > STUCK_SECS:
            found.append(f"schedule: due checks have not been looked for in {late:.0f} s")
        over = [(now - began - due.target.timeout, due.target.name) for due, began in list(self._running.values())]
        if over and max(over)[0] > STUCK_SECS:
            found.append(f"checks: {max(over)[1]} should have ended {max(over)[0]:.0f} s ago")
        return found

    def stop(self, timeout: float) -> int:
        """Begin no new check and wait so many seconds for those that run; give how many are left behind."""

        def stop() -> None:
            with self._idle:
                self._stopping = True
                self._idle.notify_all()

        self._loop.call(stop)
        with self._idle:
            self._idle.wait_for(lambda: self._stopping and not self._running, timeout)
            return len(self._running)

    def _turn(self) -> None:
        """Begin all that is due, and come again when something may be."""
        if self._timer is not None:
            self._timer.cancel()
        if self._stopping:
            return
        wall, monotonic = self._wall(), self._monotonic()
        while (due := self._schedule.take(_micro(wall), _micro(monotonic))) is not None:
            self._running[due.target.name] = due, monotonic
            self._begin(due, self._taking(due))
            wall, monotonic = self._wall(), self._monotonic()
        self._tell_missed()
        slot = self._schedule.next_slot()
        wait = _LOOK_SECS if slot is None else max(0.0, min(slot / SECOND - wall, _LOOK_SECS))
        self._timer = self._loop.at(monotonic + wait, self._turn)

    def _taking(self, due: Due) -> Callable[[CheckResult], None]:
        def take(result: CheckResult) -> None:
            self._schedule.done(due.target.name)
            self._take(due.target, result)
            with self._idle:
                del self._running[due.target.name]
                self._idle.notify_all()

        return take

    def _tell_missed(self) -> None:
        missed, standing_still = self._schedule.missed, self._schedule.missed_standing_still
        now = self._monotonic()
        if standing_still > self._told[1]:
            _log.warning(
                "the process was paused, or the clock was set: %(missed)d slots were missed",
                {"missed": standing_still - self._told[1]},
            )
            self._told = missed, standing_still
        elif missed > self._told[0] and now - self._told_at >= _TELL_SECS:
            _log.warning(
                "%(missed)d slots were missed: the check before still ran, or this host was too busy",
                {"missed": missed - self._told[0]},
            )
            self._told, self._told_at = (missed, standing_still), now


def _micro(seconds: float) -> int:
    return round(seconds * SECOND)

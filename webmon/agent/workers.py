"""The threads that check: a free one takes the target whose slot came first."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from typing import Final

from webmon.agent.schedule import SECOND, Due, Schedule
from webmon.check.target import Target

_log = logging.getLogger(__name__)

_TELL_SECS: Final = 60.0
"""How often missed slots are logged."""


def wall() -> int:
    """Give the wall clock in whole microseconds since the epoch."""
    return time.time_ns() // 1000


def monotonic() -> int:
    """Give the monotonic clock in whole microseconds."""
    return time.monotonic_ns() // 1000


def targets_per_thread(target: Target) -> int:
    """Give how many targets like this one share a thread.

    A thread does interval / timeout checks in an interval when each takes its whole timeout, and one more target can
    wait for its turn meanwhile: at 60 s and 15 s five share one, and four that hang leave room for the fifth.
    """
    return math.floor(Fraction(target.interval) / Fraction(target.timeout)) + 1


def threads_needed(targets: Iterable[Target]) -> int:
    """Give how many threads keep every slot of the targets, however many of them hang."""
    return math.ceil(sum(Fraction(1, targets_per_thread(target)) for target in targets))


class Workers:
    """Threads that take what is due from a schedule and perform it."""

    def __init__(self, schedule: Schedule, perform: Callable[[Due], None]) -> None:
        """Take the schedule, and what to do with a due target; `perform` is called in many threads at once."""
        self._schedule = schedule
        self._perform = perform
        self._changed = threading.Condition()
        self._stopping = False
        self._timekeeper: threading.Thread | None = None
        self._threads: list[threading.Thread] = []
        self._told = (0, 0)
        self._told_at = float("-inf")

    def start(self, count: int) -> None:
        """See that at least so many threads run."""
        while len(self._threads) < count:
            thread = threading.Thread(target=self._work, name=f"check-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def __len__(self) -> int:
        """Give the number of threads."""
        return len(self._threads)

    def are_alive(self) -> bool:
        """Tell whether every thread still runs."""
        return all(thread.is_alive() for thread in self._threads)

    def replace_targets(self, targets: tuple[Target, ...]) -> None:
        """Give the schedule another list."""
        with self._changed:
            self._schedule.replace(targets, wall())
            self._changed.notify_all()

    def look(self) -> None:
        """Show the schedule the time, once a second, also while every thread is busy; tell of missed slots."""
        with self._changed:
            self._schedule.look(wall(), monotonic())
            self._changed.notify()
            missed, standing_still = self._schedule.missed, self._schedule.missed_standing_still
        if standing_still > self._told[1]:
            _log.warning(
                "the process stood still, or the clock was set: %d slots are missed", standing_still - self._told[1]
            )
            self._told = missed, standing_still
        elif missed > self._told[0] and time.monotonic() - self._told_at >= _TELL_SECS:
            _log.warning(
                "%d slots are missed: the check before still ran, or every thread was busy", missed - self._told[0]
            )
            self._told, self._told_at = (missed, standing_still), time.monotonic()

    def stop(self, timeout: float) -> int:
        """Start no new check and wait so many seconds for those that run; give how many are left behind."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return sum(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (due := self._next()) is not None:
            try:
                self._perform(due)
            # A thread that dies would take its share of the checks with it, unseen.
            except Exception:  # noqa: BLE001
                _log.exception("%s: webmon's own fault, no result", due.target.name)
            finally:
                with self._changed:
                    self._schedule.done(due.target.name)

    def _next(self) -> Due | None:
        """Wait for a due target; None when it is time to stop."""
        me = threading.current_thread()
        with self._changed:
            while not self._stopping:
                due = self._schedule.take(wall(), monotonic())
                if due is not None:
                    self._changed.notify()  # another keeps the time from here
                    return due
                if self._timekeeper is not None:
                    self._changed.wait()
                    continue
                # One idle thread waits for the next slot and the rest for it: a hundred need not wake at each.
                self._timekeeper = me
                slot = self._schedule.next_slot()
                self._changed.wait(None if slot is None else max(0.0, min((slot - wall()) / SECOND, 1.0)))
                self._timekeeper = None
        return None

"""The threads that check: one keeps the time and hands each target that is due to another, which checks it.

Threads come as they are needed, up to as many as can have a check at once where every check takes its whole timeout. So
no check waits for a thread, however many targets hang; and a list that is well needs a few.
"""

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from webmon.agent.schedule import SECOND, Due, Schedule
from webmon.check.target import Target
from webmon.daemon import threads

_log = logging.getLogger(__name__)

_TELL_SECS: Final = 60.0
"""How often missed slots, and threads that cannot be had, are logged."""
_IDLE_SECS: Final = 120.0
"""How long a thread without work stays: longer than most intervals, so that those of a busy moment meet the next."""
_TRY_AGAIN_SECS: Final = 5.0
"""How long no thread is asked for after the system gave none."""
_LOCK_SECS: Final = 1.0
"""How long a look at the parts waits for the lock."""
STUCK_SECS: Final = 15.0
"""How far past its time what must go on may be, before it counts as standing still."""


class Clock:
    """The time of this host."""

    def wall(self) -> int:
        """Give the wall clock in whole microseconds since the epoch."""
        return time.time_ns() // 1000

    def monotonic(self) -> float:
        """Give the monotonic clock in seconds."""
        return time.monotonic()

    def wait(self, changed: threading.Condition, seconds: float) -> None:
        """Wait until something changes, so many seconds at most."""
        changed.wait(seconds)


class _Worker:
    """A thread, and what it was handed; the lock of Workers guards all but the waiting."""

    def __init__(self, now: float) -> None:
        self.due: Due | None = None
        """What it checks; None while it is idle, and for the word to end."""
        self.since = now
        """When it was handed that, or became idle."""
        self.wake = threading.Lock()
        self.wake.acquire()

    def hand(self, due: Due | None, now: float) -> None:
        """Give it a check, or nothing for the word to end."""
        self.due, self.since = due, now
        self.wake.release()


class Workers:
    """Takes what is due from a schedule and has it performed."""

    def __init__(self, schedule: Schedule, perform: Callable[[Due], None], clock: Clock | None = None) -> None:
        """Take the schedule, and what to do with a due target; `perform` is called in many threads at once."""
        self.most = 0
        """How many threads there may be."""
        self._schedule = schedule
        self._perform = perform
        self._clock = clock or Clock()
        self._changed = threading.Condition()
        """For the thread that keeps the time, and for who waits for the last check to end."""
        self._workers: set[_Worker] = set()
        self._idle: list[_Worker] = []
        """Those that became idle first come first; the last one is handed the next check, so that others may leave."""
        self._starved = False
        """Whether something is due and there is no thread for it."""
        self._starved_since = 0.0
        self._ask_again = 0.0
        self._turned = self._clock.monotonic()
        self._stopping = False
        self._timekeeper = threads.Thread("schedule", self._keep_time)
        self._told = (0, 0)
        self._told_at = float("-inf")
        self._refused_told = float("-inf")

    def start(self) -> None:
        """Begin to check what is due."""
        self._turned = self._clock.monotonic()
        self._timekeeper.start()

    def __len__(self) -> int:
        """Give the number of threads."""
        return len(self._workers)

    def busy(self) -> int:
        """Give how many checks run."""
        return len(self._workers) - len(self._idle)

    def replace_targets(self, targets: tuple[Target, ...]) -> None:
        """Give the schedule another list; checks that run go on."""
        with self._changed:
            self._schedule.replace(targets, self._clock.wall())
            # Those of the old list may hang on for their timeout.
            self.most = self._schedule.most_at_once() + self.busy()
            self._changed.notify_all()

    def look(self) -> None:
        """Show the schedule the time, once a second; tell of missed slots, and let idle threads leave."""
        now = self._clock.monotonic()
        with self._changed:
            self._schedule.look(*self._time())
            while self._idle and now - self._idle[0].since > _IDLE_SECS:
                self._workers.remove(self._idle[0])
                self._idle.pop(0).hand(None, now)
            missed, standing_still = self._schedule.missed, self._schedule.missed_standing_still
        if standing_still > self._told[1]:
            _log.warning(
                "the process stood still, or the clock was set: %(missed)d slots are missed",
                {"missed": standing_still - self._told[1]},
            )
            self._told = missed, standing_still
        elif missed > self._told[0] and now - self._told_at >= _TELL_SECS:
            _log.warning(
                "%(missed)d slots are missed: the check before still ran, or every thread was busy",
                {"missed": missed - self._told[0]},
            )
            self._told, self._told_at = (missed, standing_still), now

    def faults(self) -> list[str]:
        """Tell what stands still: that nobody keeps the time, that a check goes on for ever, that no thread is left."""
        now = self._clock.monotonic()
        if not self._changed.acquire(timeout=_LOCK_SECS):
            return ["schedule: its lock is held"]
        try:
            late = now - self._turned
            running = [(worker.due, worker.since) for worker in self._workers if worker.due is not None]
            starved = now - self._starved_since if self._starved else 0.0
        finally:
            self._changed.release()
        found = []
        if late > STUCK_SECS:
            found.append(f"schedule: nobody has looked what is due for {late:.0f} s")
        over = [(now - began - due.target.timeout, due.target.name) for due, began in running]
        if over and max(over)[0] > STUCK_SECS:
            found.append(f"checks: {max(over)[1]} should have ended {max(over)[0]:.0f} s ago")
        patience = STUCK_SECS + max((due.target.timeout for due, _ in running), default=0.0)
        if starved > patience:
            found.append(f"threads: none was free or could be had for {starved:.0f} s")
        return found

    def stop(self, timeout: float) -> int:
        """Start no new check and wait so many seconds for those that run; give how many are left behind."""
        with self._changed:
            self._stopping = True
            for worker in self._idle:
                worker.hand(None, worker.since)
            self._workers.difference_update(self._idle)
            self._idle.clear()
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._workers, timeout)
            return len(self._workers)

    def _keep_time(self) -> None:
        with self._changed:
            while not self._stopping:
                self._turned = self._clock.monotonic()
                self._clock.wait(self._changed, self._hand_out())

    def _hand_out(self) -> float:
        """Hand out what is due; give how many seconds there are until something may be to do."""
        while self._schedule.is_due(*self._time()):
            if not self._idle and not self._hire():
                if not self._starved:
                    self._starved, self._starved_since = True, self._clock.monotonic()
                return 1.0
            self._starved = False
            if (due := self._schedule.take(*self._time())) is not None:
                self._idle.pop().hand(due, self._clock.monotonic())
        self._starved = False
        slot = self._schedule.next_slot()
        return 1.0 if slot is None else max(0.0, min((slot - self._clock.wall()) / SECOND, 1.0))

    def _time(self) -> tuple[int, int]:
        """Give both clocks as the schedule takes them."""
        return self._clock.wall(), round(self._clock.monotonic() * SECOND)

    def _hire(self) -> bool:
        """Make a thread, which is idle; tell whether it could be had."""
        now = self._clock.monotonic()
        if len(self._workers) >= self.most or now < self._ask_again:
            return False
        worker = _Worker(now)
        try:
            threads.Thread("check", functools.partial(self._work, worker)).start()
        except RuntimeError as error:
            self._ask_again = now + _TRY_AGAIN_SECS
            if now - self._refused_told >= _TELL_SECS:
                self._refused_told = now
                _log.error("the system gives no more than %d threads (%s): checks wait", len(self._workers), error)
            return False
        self._workers.add(worker)
        self._idle.append(worker)
        return True

    def _work(self, worker: _Worker) -> None:
        while True:
            worker.wake.acquire()
            due = worker.due
            if due is None:
                return
            try:
                self._perform(due)
            # One target's check must not end those of all others.
            except Exception:  # noqa: BLE001
                _log.exception("%(target)s: webmon's own fault, no result", {"target": due.target.name})
            with self._changed:
                worker.due, worker.since = None, self._clock.monotonic()
                self._schedule.done(due.target.name)
                if self._stopping:
                    self._workers.remove(worker)
                    self._changed.notify_all()
                    return
                self._idle.append(worker)
                if self._starved:
                    self._changed.notify_all()

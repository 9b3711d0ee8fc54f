"""A clock that the test moves on, for the threads that check."""

import threading
from typing import Final

from tests.waiting import wait_until
from webmon.agent.schedule import SECOND
from webmon.agent.workers import Clock

_START: Final = 1_767_225_600 * SECOND
"""2026-01-01, in microseconds since the epoch."""


class SteppedClock(Clock):
    """A clock that stands still until it is moved on."""

    def __init__(self) -> None:
        self._passed = 0
        self._changed: threading.Condition | None = None
        self._waits = 0
        """How often the one who keeps the time began to wait."""

    def wall(self) -> int:
        return _START + self._passed

    def monotonic(self) -> float:
        return self._passed / SECOND

    def wait(self, changed: threading.Condition, seconds: float) -> None:  # noqa: ARG002
        """Wait until something changes, be it the time."""
        self._changed = changed
        self._waits += 1
        changed.notify_all()
        changed.wait()

    def move(self, seconds: float) -> None:
        """Move on, and wake who waits."""
        self._passed += round(seconds * SECOND)
        if self._changed is not None:
            with self._changed:
                self._changed.notify_all()

    def step(self, seconds: float) -> None:
        """Move on, and return when the one who keeps the time has looked at it and waits again."""
        wait_until(lambda: self._changed is not None, "one who keeps the time")
        assert self._changed is not None
        with self._changed:
            before = self._waits
            self.move(seconds)
            assert self._changed.wait_for(lambda: self._waits > before, 30)

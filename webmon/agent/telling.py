"""What an agent tells of itself: in a result every few seconds, for it has no other way to the operator's page."""

import threading
import time
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from webmon import __version__
from webmon.check.result import AgentStatus, CheckResult

EVERY_SECS: Final = 10.0
"""From one result that tells it to the next; the first after a start tells it, too."""


class Telling:
    """Adds it to the results that are due; many threads share it."""

    def __init__(self, waiting: Callable[[], int], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take what counts the results in the outbox, and a clock in seconds."""
        self.certificate_ends: datetime | None = None
        """When our certificate for Kafka ends: who makes this looks after it, as that reads files."""
        self._waiting = waiting
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._due = float("-inf")

    def add(self, result: CheckResult) -> CheckResult:
        """Give the result, and with it how we are where that is due."""
        if self._monotonic() < self._due:
            return result
        with self._lock:
            now = self._monotonic()
            if now < self._due:
                return result
            self._due = now + EVERY_SECS
        status = AgentStatus(version=__version__, waiting=self._waiting(), certificate_ends=self.certificate_ends)
        return msgspec.structs.replace(result, agent_status=status)

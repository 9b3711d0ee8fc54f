"""The heartbeat: a URL is called as long as results are judged and alarms are told; silence there is the alarm.

It has a thread of its own: a receiver that hangs delays nothing.
"""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from webmon.alarm.senders.http import Poster
from webmon.daemon import threads
from webmon.daemon.outage import Outage

_log = logging.getLogger(__name__)

_DEADLINE: Final = 10.0
_TURN: Final = 0.5


class Heartbeat:
    """Calls one URL."""

    def __init__(
        self, url: str, every: float, is_well: Callable[[], bool], stop: threading.Event, authority: Path | None = None
    ) -> None:
        """Take where, how often (seconds), when, and until when; it raises as Poster."""
        self._poster = Poster(url, authority, deadline=min(_DEADLINE, max(1.0, every)))
        self._every = every
        self._is_well = is_well
        self._stop = stop
        self.sent = 0
        """Calls that were answered with 2xx."""
        self.outage = Outage("waiting for whom ALARM_HEARTBEAT_URL names", "ALARM_HEARTBEAT_URL answers again")

    def start(self) -> None:
        """Begin."""
        threads.Thread("heartbeat", self._run).start()

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop.is_set():
            if time.monotonic() < due or not self._is_well():
                self._stop.wait(_TURN)
                continue
            due = time.monotonic() + self._every
            answer = self._poster.get()
            if answer.state == "taken":
                self.sent += 1
                self.outage.ends()
            else:
                self.outage.begins(answer.said)

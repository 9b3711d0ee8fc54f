"""Connections between the checks of targets that say `connection: reused`: at most one of each target."""

import threading
import time
from collections.abc import Callable
from typing import Final

from webmon.check.adapter import Idle

_OLDEST_SECS: Final = 600.0
"""A connection is not used for longer, so that a new address or a new certificate of the site is seen by then."""


class KeptConnections:
    """Keeps idle connections by the name of their target; many threads may share it."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Keep none yet."""
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._idle: dict[str, Idle] = {}
        self._is_closed = False

    def take(self, target: str) -> Idle | None:
        """Give the target's connection, if there is one that is not too old; it is the caller's from here on."""
        with self._lock:
            idle = self._idle.pop(target, None)
        if idle is not None and self._monotonic() - idle.connection.opened > _OLDEST_SECS:
            idle.connection.close()
            return None
        return idle

    def put(self, target: str, idle: Idle) -> None:
        """Keep a connection for the target's next check."""
        with self._lock:
            unwanted = idle if self._is_closed else self._idle.get(target)
            if not self._is_closed:
                self._idle[target] = idle
        if unwanted is not None:
            unwanted.connection.close()

    def close(self) -> None:
        """Close all, and whatever a check that still runs puts here later."""
        with self._lock:
            self._is_closed = True
            unwanted, self._idle = self._idle, {}
        for idle in unwanted.values():
            idle.connection.close()

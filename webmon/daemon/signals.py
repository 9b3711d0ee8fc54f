"""Signals of a long-running component, as something to wait for."""

import faulthandler
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import Final

from webmon.daemon import threads

_STOP: Final = frozenset({signal.SIGTERM, signal.SIGINT})


class Signals:
    """SIGTERM and SIGINT, and SIGHUP where it is asked for.

    They are blocked and waited for in a thread, not handled: a handler runs in the midst of whatever the main thread
    does. That may be inside a database driver, where Python runs none; and an Event that it sets may be one whose lock
    the main thread holds.

    SIGABRT, by which systemd's watchdog kills, leaves every thread's stack on stderr, where the journal reads it. So
    do the signals of a crash, as far as faulthandler sees: a hundred threads.
    """

    def __init__(self, *, hears_hangup: bool = False, at_stop: Callable[[], None] | None = None) -> None:
        """Block them, in this thread and in all that it starts: call it before any other thread is made.

        Args:
            hears_hangup: whether SIGHUP is given by wait(); else it ends the process, as it does by default.
            at_stop: called in the thread of the signals after SIGTERM or SIGINT, for an end by force.
        """
        self.stop = threading.Event()
        """Set by SIGTERM and SIGINT."""
        self._at_stop = at_stop
        self._came: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._heard = {*_STOP, signal.SIGABRT, *([signal.SIGHUP] if hears_hangup else [])}
        faulthandler.enable(file=2)
        signal.pthread_sigmask(signal.SIG_BLOCK, self._heard)
        threads.Thread("signals", self._listen).start()

    def wait(self, seconds: float) -> int | None:
        """Give the signal that comes within so many seconds; None where none does."""
        try:
            return self._came.get(timeout=seconds)
        except queue.Empty:
            return None

    def _listen(self) -> None:
        while True:
            # Not sigtimedwait: on Python 3.11 it makes up a signal where SIGCONT ends it past its time.
            number = signal.sigwait(self._heard)
            if number == signal.SIGABRT:
                _abort()
            if number in _STOP:
                self.stop.set()
            self._came.put(number)
            if number in _STOP and self._at_stop is not None:
                self._at_stop()


def _abort() -> None:
    """Die of SIGABRT, and leave every thread's stack; faulthandler would write those of the newest hundred alone."""
    sys.stderr.write(f"SIGABRT: what every thread is doing (most recent call last)\n{threads.stacks()}")
    sys.stderr.flush()
    faulthandler.disable()
    os.abort()

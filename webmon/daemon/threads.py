"""Threads that a component cannot do without: where one dies, the process ends with the reason, and systemd starts it.

A thread that died unseen would leave a process that looks alive and does a part of its work no more.
"""

import faulthandler
import logging
import os
import signal
import sys
import threading
import traceback
from collections import defaultdict
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

_STOP_SECS: Final = 25.0
"""How long the process may take to stop after a thread died: more than any component needs."""

_died: list[str] = []
"""Names of the threads that did."""


class Thread(threading.Thread):
    """A thread that goes on until the process is to stop."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        """Take what it does; it is not started yet."""
        super().__init__(target=work, name=name, daemon=True)

    def run(self) -> None:
        """Do it; whatever it raises, nobody foresaw."""
        try:
            super().run()
        except BaseException:  # noqa: BLE001
            end_process(self.name)


def end_process(name: str) -> None:
    """Tell of what a thread died, and stop in good order as at SIGTERM; in the thread, while it handles the exception.

    A process that does not stop in time is ended by force, and leaves every thread's stack on stderr.
    """
    _died.append(name)
    try:
        _log.critical(
            "the thread %(thread)s died of what nobody foresaw, so the process ends, for systemd to start it again",
            {"thread": name},
            exc_info=True,
        )
    finally:
        faulthandler.dump_traceback_later(_STOP_SECS, exit=True, file=2)
        os.kill(os.getpid(), signal.SIGTERM)


def exit_status() -> int:
    """Give the exit status of a process that stopped: 1 where a thread died, else 0."""
    return 1 if _died else 0


def stacks() -> str:
    """Write what every thread is doing, the threads that do the same together: an agent may have hundreds that wait."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    doing: dict[str, list[str]] = defaultdict(list)
    for ident, frame in sys._current_frames().items():  # noqa: SLF001 (public, for debuggers)
        doing["".join(traceback.format_stack(frame))].append(names.get(ident, "a thread of a library"))
    return "".join(f"{_shown(who)}:\n{stack}" for stack, who in sorted(doing.items(), key=lambda item: len(item[1])))


def _shown(names: list[str]) -> str:
    counted = sorted({name: names.count(name) for name in names}.items())
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counted)

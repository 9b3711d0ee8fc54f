"""`webmon alarm` that is killed (SIGKILL) at a named point: `python -m tests.integration.killed POINT alarm ...`.

The points are before and after a write of an episode into the log, and before and after a send; the first time that it
comes by there, the process ends as if its host had lost power.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from webmon.alarm.delivery import Delivery
from webmon.alarm.writer import LogWriter
from webmon.cli import main

POINTS = ("before-write", "after-write", "before-send", "after-send")


def at(point: str) -> None:
    """Let this process be killed there."""
    when, _, what = point.partition("-")
    kind: type[Any] = LogWriter if what == "write" else Delivery
    usual: Callable[..., Any] = kind._send

    def is_there(arguments: tuple[Any, ...]) -> bool:
        # Epoch and position are written before anything is judged.
        return kind is Delivery or any(key.startswith("episode/") for key, _ in arguments[1])

    def send(*arguments: Any) -> Any:
        if when == "before" and is_there(arguments):
            os.kill(os.getpid(), signal.SIGKILL)
        done = usual(*arguments)
        if when == "after" and is_there(arguments):
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    kind._send = send


if __name__ == "__main__":
    at(sys.argv[1])
    sys.exit(main(sys.argv[2:]))

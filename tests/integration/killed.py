"""`webmon alarm` that is killed (SIGKILL) at a named point: `python -m tests.integration.killed POINT COUNT alarm ...`.

The points are before and after a write of the log, and before and after a send; the COUNT-th time that it comes by
there, the process ends as if its host had lost power.
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


def at(point: str, count: int) -> None:
    """Let this process be killed there."""
    when, _, what = point.partition("-")
    kind: type[Any] = LogWriter if what == "write" else Delivery
    usual: Callable[..., Any] = kind._send
    left = [count]

    def die() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def send(*arguments: Any) -> Any:
        if when == "before":
            die()
        done = usual(*arguments)
        if when == "after":
            die()
        return done

    kind._send = send


if __name__ == "__main__":
    at(sys.argv[1], int(sys.argv[2]))
    sys.exit(main(sys.argv[3:]))

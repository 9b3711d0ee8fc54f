"""Wait for a condition instead of sleeping."""

import time
from collections.abc import Callable

import pytest


def wait_until(
    condition: Callable[[], bool], what: str | Callable[[], str] = "what was awaited", seconds: float = 60
) -> None:
    """Return once the condition holds; fail with what was awaited when it does not in so many seconds.

    Args:
        condition: asked again and again.
        what: is awaited; asked for at the failure where it tells what is there instead.
        seconds: at most.
    """
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        if now > deadline:
            pytest.fail(f"not within {seconds:g} s: {what() if callable(what) else what}")
        # A look that takes its time is not to take the time of what it waits for.
        time.sleep(min(max(0.02, now - asked), 0.5))

"""Wait for a condition instead of sleeping."""

import time
from collections.abc import Callable

import pytest


def wait_until(condition: Callable[[], bool], what: str = "what was awaited", seconds: float = 30) -> None:
    """Return once the condition holds; fail with what was awaited when it does not in so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)

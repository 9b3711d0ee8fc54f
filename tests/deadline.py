"""A check that must keep its deadline, on a machine that may hold all of us up."""

import threading
import time
from datetime import datetime

from webmon.check.flow import Trace
from webmon.check.probe import Probe
from webmon.check.result import CheckResult
from webmon.check.target import Target

SPARE = 0.5
"""Seconds that a check may last longer than its timeout."""
_WAIT = 2.0
"""And that who waits for it may wait longer, in another thread."""


def late(probe: Probe) -> float:
    """Give for how many seconds the loop of a probe was held up by now, the turn in which it is included."""
    turned = threading.Event()
    probe.loop.call(lambda: probe.loop.call(turned.set))
    assert turned.wait(30)
    return probe.loop.late


def check_in_time(probe: Probe, target: Target, scheduled_at: datetime, trace: Trace | None = None) -> CheckResult:
    """Check a target; it lasts no longer than its timeout, but for what the loop was held up meanwhile."""
    before, began = probe.loop.late, time.monotonic()
    result = probe.check(target, scheduled_at, trace)
    took = time.monotonic() - began
    if result.total_time > target.timeout + SPARE or took > target.timeout + _WAIT:
        held_up = late(probe) - before
        assert result.total_time <= target.timeout + SPARE + held_up, "the deadline was not kept"
        assert took <= target.timeout + _WAIT + 2 * held_up, "who waited for the result waited for longer than it says"
    return result

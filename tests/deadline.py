"""A check that must keep its deadline, on a machine that may hold all of us up."""

import threading
from datetime import datetime

from webmon.check.flow import Trace
from webmon.check.probe import Probe
from webmon.check.result import CheckResult
from webmon.check.target import Target

SPARE = 0.5
"""Seconds that a check may last longer than its timeout."""


def late(probe: Probe) -> float:
    """Give for how many seconds the loop of a probe was held up by now, the turn in which it is included."""
    turned = threading.Event()
    probe.loop.call(lambda: probe.loop.call(turned.set))
    assert turned.wait(30)
    return probe.loop.late


def check_in_time(probe: Probe, target: Target, scheduled_at: datetime, trace: Trace | None = None) -> CheckResult:
    """Check a target; it lasts no longer than its timeout, but for what the loop was held up meanwhile."""
    before = probe.loop.late
    result = probe.check(target, scheduled_at, trace)
    if result.total_time > target.timeout + SPARE:
        assert result.total_time <= target.timeout + SPARE + late(probe) - before, "the deadline was not kept"
    return result

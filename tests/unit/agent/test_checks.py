"""Checks are begun when they are due, whatever the others do; with a clock that the test owns."""

import heapq
import itertools
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from webmon.agent.checks import STUCK_SECS, Checks
from webmon.agent.schedule import Due, Schedule
from webmon.check.loop import Timer
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target

START = 1_800_000_000.0


class Clock:
    """A loop whose time passes when the test says so."""

    def __init__(self) -> None:
        self.now = self.turned = 0.0
        self.lateness = 0.0
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()

    def call(self, what: Callable[[], None]) -> None:
        what()

    def at(self, moment: float, what: Callable[[], None]) -> Timer:
        timer = Timer(what)
        heapq.heappush(self._timers, (moment, next(self._numbers), timer))
        return timer

    def pass_seconds(self, seconds: float) -> None:
        end = self.now + seconds
        while self._timers and self._timers[0][0] <= end:
            moment, _, timer = heapq.heappop(self._timers)
            self.now = self.turned = max(self.now, moment)
            if timer.what is not None:
                timer.what()
        self.now = end


def make_targets(count: int, interval: float = 60, timeout: float = 15) -> tuple[Target, ...]:
    return tuple(Target(name=str(n), url=f"http://{n}.x/", interval=interval, timeout=timeout) for n in range(count))


class Stage:
    """Checks that take as long as the test says."""

    def __init__(self, hang: dict[str, float] | None = None) -> None:
        self.clock = Clock()
        self.late: dict[str, list[float]] = {}
        self.done: Counter[str] = Counter()
        self.schedule = Schedule("here")
        self.checks = Checks(
            self.schedule,
            self.clock,
            self._begin,
            lambda target, _: self.done.update([target.name]),
            wall=lambda: START + self.clock.now,
            monotonic=lambda: self.clock.now,
        )
        self._hang = hang or {}

    def _begin(self, due: Due, done: Callable[[CheckResult], None]) -> None:
        self.late.setdefault(due.target.name, []).append(START + self.clock.now - due.slot / 1e6)
        result = CheckResult(
            target=due.target.name,
            url=due.target.url,
            agent="here",
            scheduled_at=due.scheduled_at,
            time=datetime.now(UTC),
            interval=due.target.interval,
            outcome=Outcome.UP,
            total_time=0,
        )
        self.clock.at(self.clock.now + self._hang.get(due.target.name, 0.01), lambda: done(result))


def test_checks_begin_when_they_are_due() -> None:
    stage = Stage()
    stage.checks.replace_targets(make_targets(10, 5, 1))
    stage.clock.pass_seconds(50)
    assert set(stage.done.values()) <= {9, 10}
    assert all(0 <= late < 1e-3 for values in stage.late.values() for late in values)
    assert stage.schedule.missed == 0


def test_no_slot_of_a_healthy_target_is_missed_however_many_hang() -> None:
    stage = Stage({str(n): 0.9 for n in range(400)})
    stage.checks.replace_targets(make_targets(410, 1, 0.9))
    stage.clock.pass_seconds(3)
    assert stage.schedule.missed == 0
    assert all(stage.done[str(n)] >= 2 for n in range(410))
    assert len(stage.checks) > 300


def test_a_target_is_never_checked_twice_at_once() -> None:
    stage = Stage({"0": 2.5})
    stage.checks.replace_targets(make_targets(1, 1, 1))
    stage.clock.pass_seconds(10)
    assert stage.done["0"] <= 4
    assert stage.schedule.missed >= 5


def test_checks_of_the_old_list_go_on_beside_those_of_the_new_one() -> None:
    stage = Stage({str(n): 60 for n in range(5)})
    stage.checks.replace_targets(make_targets(5, 1, 1))
    stage.clock.pass_seconds(1.5)
    assert len(stage.checks) == 5
    stage.checks.replace_targets(tuple(replace(t, name=f"new{t.name}") for t in make_targets(5, 1, 1)))
    stage.clock.pass_seconds(1.5)
    assert all(stage.done[f"new{n}"] for n in range(5))
    stage.clock.pass_seconds(60)
    assert all(stage.done[str(n)] == 1 for n in range(5))


def test_missed_slots_are_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage({"0": 3})
    stage.checks.replace_targets(make_targets(1, 1, 1))
    with caplog.at_level(logging.WARNING):
        stage.clock.pass_seconds(50)
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("slots were missed: the check before still ran, or this host was too busy")


def test_a_pause_of_the_host_makes_no_burst_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    stage.checks.replace_targets(make_targets(20, 5, 1))
    stage.clock.pass_seconds(10)
    before = stage.done.total()
    stage.clock.now += 100
    with caplog.at_level(logging.WARNING):
        stage.clock.pass_seconds(0.5)
    assert stage.done.total() - before < 10
    assert any("the process was paused, or the clock was set" in record.getMessage() for record in caplog.records)


def test_a_loop_that_stands_still_is_a_fault() -> None:
    stage = Stage()
    stage.checks.replace_targets(make_targets(1))
    stage.clock.pass_seconds(1)
    assert stage.checks.faults() == []
    stage.clock.now += STUCK_SECS + 2
    assert stage.checks.faults() == ["schedule: due checks have not been looked for in 17 s"]


def test_a_check_that_goes_on_for_ever_is_a_fault() -> None:
    stage = Stage({"0": 1000})
    stage.checks.replace_targets(make_targets(1, 30, 1))
    stage.clock.pass_seconds(60)
    stage.clock.turned = stage.clock.now
    (fault,) = stage.checks.faults()
    assert fault.startswith("checks: 0 should have ended ")


def test_after_the_stop_nothing_begins_and_what_is_left_behind_is_told() -> None:
    stage = Stage({"0": 1000})
    stage.checks.replace_targets(make_targets(5, 1, 1))
    stage.clock.pass_seconds(2)
    begun = sum(map(len, stage.late.values()))
    assert stage.checks.stop(0) == 1
    stage.clock.pass_seconds(5)
    assert sum(map(len, stage.late.values())) == begun

"""The threads: how many there are, and that those that hang hold up no other target."""

import threading
import time
from collections import Counter

import pytest

from tests.waiting import wait_until
from webmon.agent.schedule import Due, Schedule
from webmon.agent.workers import Workers, threads_needed
from webmon.check.target import Target


def make_targets(count: int, interval: float = 60, timeout: float = 15) -> tuple[Target, ...]:
    return tuple(Target(name=str(n), url=f"http://{n}/", interval=interval, timeout=timeout) for n in range(count))


@pytest.mark.parametrize(
    ("count", "interval", "timeout", "threads"),
    [
        (1, 60, 15, 1),
        (5, 60, 15, 1),
        (6, 60, 15, 2),
        (101, 60, 15, 21),
        (15, 10, 4, 5),
        (4, 10, 10, 2),
        (9, 1, 0.1, 1),
    ],
)
def test_threads_follow_from_interval_and_timeout(count: int, interval: float, timeout: float, threads: int) -> None:
    assert threads_needed(make_targets(count, interval, timeout)) == threads


def test_each_target_counts_by_its_own_interval_and_timeout() -> None:
    assert threads_needed(make_targets(5) + make_targets(3, 10, 4)) == 2


class Recorder:
    """Performs checks that take as long as the test says."""

    def __init__(self, hang: dict[str, float] | None = None) -> None:
        self.late: dict[str, list[float]] = {}
        self.done: Counter[str] = Counter()
        self.release = threading.Event()
        self._hang = hang or {}

    def __call__(self, due: Due) -> None:
        self.late.setdefault(due.target.name, []).append(time.time() - due.slot / 1e6)
        self.release.wait(self._hang.get(due.target.name, 0))
        self.done[due.target.name] += 1


def run(recorder: Recorder, targets: tuple[Target, ...], threads: int) -> tuple[Workers, Schedule]:
    schedule = Schedule("here")
    workers = Workers(schedule, recorder)
    workers.start(threads)
    workers.replace_targets(targets)
    return workers, schedule


def test_checks_begin_when_they_are_due() -> None:
    recorder = Recorder()
    workers, _ = run(recorder, make_targets(10, 0.5, 0.1), 2)
    wait_until(lambda: sum(recorder.done.values()) >= 30)
    workers.stop(1)
    late = sorted(value for values in recorder.late.values() for value in values)
    assert late[0] >= 0
    assert late[len(late) // 2] < 0.25


def test_four_that_hang_do_not_stop_the_fifth() -> None:
    hanging = {str(n): 0.2 for n in range(4)}
    recorder = Recorder(hanging)
    targets = make_targets(5, 0.8, 0.2)
    workers, _ = run(recorder, targets, threads_needed(targets))
    assert len(workers) == 1
    wait_until(lambda: recorder.done["4"] >= 3, seconds=10)
    workers.stop(1)


def test_a_check_that_fails_does_not_take_its_thread_along() -> None:
    done: list[str] = []

    def perform(due: Due) -> None:
        done.append(due.target.name)
        raise ZeroDivisionError

    schedule = Schedule("here")
    workers = Workers(schedule, perform)
    workers.start(1)
    workers.replace_targets(make_targets(1, 0.05, 0.05))
    wait_until(lambda: len(done) >= 3)
    assert workers.are_alive()
    assert workers.stop(1) == 0


def test_stop_begins_no_check_and_waits_for_those_that_run() -> None:
    recorder = Recorder({"0": 0.3})
    workers, schedule = run(recorder, make_targets(1, 0.05, 0.05), 1)
    wait_until(lambda: "0" in recorder.late)
    assert workers.stop(5) == 0
    assert recorder.done["0"] == 1
    assert schedule.kept == 1


def test_stop_leaves_a_check_behind_that_does_not_end() -> None:
    recorder = Recorder({"0": 60})
    workers, _ = run(recorder, make_targets(1, 0.05, 0.05), 1)
    wait_until(lambda: "0" in recorder.late)
    assert workers.stop(0.1) == 1
    recorder.release.set()


def test_idle_threads_sleep() -> None:
    workers, _ = run(Recorder(), make_targets(1), 50)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.2
    workers.stop(1)


def test_missed_slots_are_logged_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder({"0": 60})
    workers, schedule = run(recorder, make_targets(1, 0.05, 0.05), 2)
    wait_until(lambda: schedule.missed > 3)
    workers.look()
    workers.look()
    assert [record.message.partition(" ")[2] for record in caplog.records] == [
        "slots are missed: the check before still ran, or every thread was busy"
    ]
    recorder.release.set()
    workers.stop(1)

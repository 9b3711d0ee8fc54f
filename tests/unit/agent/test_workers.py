"""The threads: how many there are, and that those that hang hold up no other target."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.waiting import wait_until
from webmon.agent import workers as workers_module
from webmon.agent.schedule import Due, Schedule
from webmon.agent.workers import Workers
from webmon.check.target import Target
from webmon.daemon import threads


def make_targets(count: int, interval: float = 60, timeout: float = 15) -> tuple[Target, ...]:
    return tuple(Target(name=str(n), url=f"http://{n}/", interval=interval, timeout=timeout) for n in range(count))


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


def run(perform: Callable[[Due], None], targets: tuple[Target, ...]) -> tuple[Workers, Schedule]:
    schedule = Schedule("here")
    workers = Workers(schedule, perform)
    workers.start()
    workers.replace_targets(targets)
    return workers, schedule


def test_checks_begin_when_they_are_due() -> None:
    recorder = Recorder()
    workers, _ = run(recorder, make_targets(10, 0.5, 0.1))
    wait_until(lambda: sum(recorder.done.values()) >= 30)
    workers.stop(1)
    late = sorted(value for values in recorder.late.values() for value in values)
    assert late[0] >= 0
    assert late[len(late) // 2] < 0.25


def test_no_slot_of_a_healthy_target_is_missed_however_many_hang() -> None:
    hanging = {str(n): 0.9 for n in range(40)}
    recorder = Recorder(hanging)
    workers, schedule = run(recorder, make_targets(50, 1, 0.9))
    wait_until(lambda: all(recorder.done[str(n)] >= 3 for n in range(50)))
    assert schedule.missed == 0
    assert max(late for n in range(40, 50) for late in recorder.late[str(n)]) < 0.5
    assert 30 < len(workers) <= workers.most <= 50
    workers.stop(1)


def test_threads_come_as_they_are_needed_and_leave_when_they_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "_IDLE_SECS", 0.3)
    recorder = Recorder({str(n): 60 for n in range(20)})
    workers, _ = run(recorder, make_targets(20, 0.5, 0.5))
    wait_until(lambda: workers.busy() == 20)
    recorder.release.set()
    workers.replace_targets(make_targets(20, 60, 0.5))
    wait_until(lambda: len(workers) <= 2, seconds=10)
    workers.stop(1)


def test_a_list_that_is_well_needs_few_threads() -> None:
    recorder = Recorder()
    workers, _ = run(recorder, make_targets(40, 4, 4))
    wait_until(lambda: len(recorder.done) == 40)
    assert len(workers) < 20  # a machine that is busy lets some become due at once
    assert workers.most == 40
    workers.stop(1)


def test_checks_of_the_old_list_that_hang_take_no_thread_from_the_new_one() -> None:
    recorder = Recorder({str(n): 60 for n in range(5)})
    workers, _ = run(recorder, make_targets(5, 1, 1))
    wait_until(lambda: workers.busy() == 5)
    workers.replace_targets(tuple(replace(target, name=f"new{target.name}") for target in make_targets(5, 1, 1)))
    wait_until(lambda: all(recorder.done[f"new{n}"] for n in range(5)))
    recorder.release.set()
    workers.stop(1)


def test_a_system_that_gives_no_more_threads_makes_checks_wait_and_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = threading.Thread.start
    given: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        if thread.name == "check":
            if len(given) == 2:
                raise RuntimeError("can't start new thread")
            given.append(thread)
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    recorder = Recorder({str(n): 0.05 for n in range(10)})
    workers, _ = run(recorder, make_targets(10, 1, 1))
    wait_until(lambda: len(recorder.done) == 10)
    assert len(workers) == 2
    assert [record.message for record in caplog.records] == [
        "the system gives no more than 2 threads (can't start new thread): checks wait"
    ]
    assert workers.faults() == []
    workers.stop(1)


def test_a_check_that_fails_does_not_take_its_thread_along() -> None:
    done: list[str] = []

    def perform(due: Due) -> None:
        done.append(due.target.name)
        raise ZeroDivisionError

    workers, _ = run(perform, make_targets(1, 0.05, 0.05))
    wait_until(lambda: len(done) >= 3)
    assert len(workers) == 1
    assert workers.stop(1) == 0


def test_stop_begins_no_check_and_waits_for_those_that_run() -> None:
    recorder = Recorder({"0": 0.3})
    workers, schedule = run(recorder, make_targets(1, 0.05, 0.05))
    wait_until(lambda: "0" in recorder.late)
    assert workers.stop(5) == 0
    assert recorder.done["0"] == 1
    assert schedule.kept == 1


def test_stop_leaves_five_hundred_checks_behind_that_do_not_end() -> None:
    recorder = Recorder({str(n): 60 for n in range(500)})
    workers, _ = run(recorder, make_targets(500, 1, 1))
    wait_until(lambda: workers.busy() == 500)
    began = time.monotonic()
    assert workers.stop(0.1) == 500
    assert time.monotonic() - began < 5
    recorder.release.set()


def test_idle_threads_sleep() -> None:
    recorder = Recorder({str(n): 60 for n in range(50)})
    workers, _ = run(recorder, make_targets(50, 0.5, 0.5))
    wait_until(lambda: workers.busy() == 50)
    workers.replace_targets(())
    recorder.release.set()
    wait_until(lambda: workers.busy() == 0)
    before = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - before < 0.2
    workers.stop(1)


def test_missed_slots_are_logged_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder({"0": 60})
    workers, schedule = run(recorder, make_targets(1, 0.05, 0.05))
    wait_until(lambda: schedule.missed > 3)
    workers.look()
    workers.look()
    assert [record.message.partition(" ")[2] for record in caplog.records] == [
        "slots are missed: the check before still ran, or every thread was busy"
    ]
    recorder.release.set()
    workers.stop(1)


def test_a_fault_of_the_schedule_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[str] = []
    monkeypatch.setattr(threads, "end_process", died.append)
    workers, schedule = run(Recorder(), make_targets(1, 0.05, 0.05))
    monkeypatch.setattr(schedule, "take", lambda *_: 1 / 0)
    wait_until(lambda: died == ["schedule"])
    workers.stop(1)


def test_a_fault_of_a_thread_that_checks_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[str] = []
    monkeypatch.setattr(threads, "end_process", died.append)
    workers, schedule = run(Recorder(), make_targets(1, 0.05, 0.05))
    monkeypatch.setattr(schedule, "done", lambda _: 1 / 0)
    wait_until(lambda: died == ["check"])
    workers.stop(0)


def test_a_check_that_does_not_end_by_itself_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "STUCK_SECS", 0.1)
    recorder = Recorder({"0": 60})
    workers, _ = run(recorder, make_targets(2, 0.2, 0.2))
    wait_until(lambda: workers.busy() == 1)
    assert workers.faults() == []
    wait_until(lambda: workers.faults() == ["checks: 0 should have ended 0 s ago"])
    recorder.release.set()
    wait_until(lambda: workers.faults() == [])
    workers.stop(1)


def test_nobody_who_looks_what_is_due_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "STUCK_SECS", 0.1)
    workers = Workers(Schedule("here"), Recorder())
    wait_until(lambda: workers.faults() == ["schedule: nobody has looked what is due for 0 s"])
    with workers._changed:
        held = ThreadPoolExecutor(1).submit(workers.faults).result()
    assert held == ["schedule: its lock is held"]


def test_no_thread_for_what_is_due_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_module, "STUCK_SECS", 1.5)  # the time is looked at each second
    monkeypatch.setattr(Workers, "_hire", lambda _: False)
    workers, _ = run(Recorder(), make_targets(1, 0.1, 0.1))
    wait_until(lambda: workers.faults() == ["threads: none was free or could be had for 2 s"])
    workers.stop(1)

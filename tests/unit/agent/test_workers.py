"""The threads: how many there are, and that those that hang hold up no other target. The test moves the clock."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from tests.clock import SteppedClock
from tests.waiting import wait_until
from webmon.agent import workers as workers_module
from webmon.agent.schedule import SECOND, Due, Schedule
from webmon.agent.workers import Workers
from webmon.check.target import Target
from webmon.daemon import threads


def make_targets(count: int, interval: float = 60, timeout: float = 15) -> tuple[Target, ...]:
    return tuple(Target(name=str(n), url=f"http://{n}/", interval=interval, timeout=timeout) for n in range(count))


def renamed(targets: tuple[Target, ...]) -> tuple[Target, ...]:
    return tuple(replace(target, name=f"new{target.name}") for target in targets)


FOR_EVER = 1e9


class Stage:
    """Workers, and checks that take as long as the test says, on a clock that it moves."""

    def __init__(
        self,
        targets: tuple[Target, ...],
        takes: dict[str, float] | None = None,
        perform: Callable[[Due], None] | None = None,
    ) -> None:
        """Take the targets, the seconds that a check of some of them takes, and what to do instead of that."""
        self.clock = SteppedClock()
        self.schedule = Schedule("here")
        self.late: dict[str, list[float]] = {}
        self.done: Counter[str] = Counter()
        self._takes = takes or {}
        self._running: dict[threading.Event, float] = {}
        """The end of each check that takes time."""
        self.workers = Workers(self.schedule, perform or self._perform, self.clock)
        self.workers.start()
        self.workers.replace_targets(targets)

    def _perform(self, due: Due) -> None:
        self.late.setdefault(due.target.name, []).append((self.clock.wall() - due.slot) / SECOND)
        if takes := self._takes.get(due.target.name):
            over = threading.Event()
            self._running[over] = self.clock.monotonic() + takes
            over.wait()
        self.done[due.target.name] += 1

    def end_checks(self, until: float = FOR_EVER * 2) -> None:
        """Let those end that take no longer than until then."""
        for over, end in list(self._running.items()):
            if end <= until:
                del self._running[over]
                over.set()

    def all_settled(self) -> bool:
        """Tell whether all that runs are checks that take time."""
        return self.workers.busy() == len(self._running)

    def pass_time(self, seconds: float, step: float = 0.05) -> None:
        """Let time pass, step by step; at each, all that is due begins and all that is over ends."""
        for _ in range(round(seconds / step)):
            self.clock.step(step)
            self.end_checks(self.clock.monotonic())
            self.workers.look()
            end = time.monotonic() + 30
            while not self.all_settled():
                assert time.monotonic() < end
                time.sleep(0.0005)

    def close(self) -> None:
        """End all checks and stop."""
        self.end_checks()
        assert self.workers.stop(5) == 0


def test_checks_begin_when_they_are_due() -> None:
    stage = Stage(make_targets(10, 0.5, 0.1))
    stage.pass_time(2)
    assert sum(stage.done.values()) == 40
    late = [value for values in stage.late.values() for value in values]
    assert 0 <= min(late) <= max(late) <= 0.05
    stage.close()


def test_no_slot_of_a_healthy_target_is_missed_however_many_hang() -> None:
    stage = Stage(make_targets(50, 1, 0.9), {str(n): 0.9 for n in range(40)})
    stage.pass_time(4)
    assert all(stage.done[str(n)] >= 3 for n in range(50))
    assert stage.schedule.missed == 0
    assert max(late for n in range(40, 50) for late in stage.late[str(n)]) <= 0.05
    assert 30 < len(stage.workers) <= stage.workers.most <= 50
    stage.close()


def test_threads_come_as_they_are_needed_and_leave_when_they_are_not() -> None:
    stage = Stage(make_targets(20, 0.5, 0.5), {str(n): FOR_EVER for n in range(20)})
    stage.pass_time(0.5)
    assert stage.workers.busy() == 20
    # Were the one that is idle for longest handed the next check, none of twenty would be idle for two minutes.
    stage.workers.replace_targets(renamed(make_targets(12, 60, 0.5)))
    stage.end_checks()
    stage.pass_time(110, 1)
    assert len(stage.workers) == 20
    stage.pass_time(80, 1)
    assert len(stage.workers) <= 2
    stage.close()
    wait_until(lambda: not any(thread.name == "check" for thread in threading.enumerate()))


def test_a_list_that_is_well_needs_few_threads() -> None:
    stage = Stage(make_targets(40, 4, 4))
    stage.pass_time(4)
    assert len(stage.done) == 40
    assert len(stage.workers) <= 6  # so many became due within one step
    assert stage.workers.most == 40
    stage.close()


def test_checks_of_the_old_list_that_hang_take_no_thread_from_the_new_one() -> None:
    stage = Stage(make_targets(5, 1, 1), {str(n): FOR_EVER for n in range(5)})
    stage.pass_time(1)
    assert stage.workers.busy() == 5
    stage.workers.replace_targets(renamed(make_targets(5, 1, 1)))
    stage.pass_time(1)
    assert all(stage.done[f"new{n}"] for n in range(5))
    stage.close()


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
    stage = Stage(make_targets(10, 1, 1), {str(n): 0.05 for n in range(10)})
    stage.pass_time(1.3)
    assert len(stage.done) == 10
    assert len(stage.workers) == 2
    assert caplog.messages == ["the system gives no more than 2 threads (can't start new thread): checks wait"]
    assert stage.workers.faults() == []
    stage.close()


def test_a_check_that_fails_does_not_take_its_thread_along() -> None:
    done: list[str] = []

    def perform(due: Due) -> None:
        done.append(due.target.name)
        raise ZeroDivisionError

    stage = Stage(make_targets(1, 0.05, 0.05), perform=perform)
    stage.pass_time(0.15)
    assert len(done) == 3
    assert len(stage.workers) == 1
    stage.close()


def test_stop_begins_no_check_and_waits_for_those_that_run() -> None:
    stage = Stage(make_targets(1, 0.05, 0.05), {"0": FOR_EVER})
    stage.pass_time(0.05)
    stopped = ThreadPoolExecutor(1).submit(stage.workers.stop, 5)
    stage.clock.move(1)
    assert not stopped.done()
    stage.end_checks()
    assert stopped.result() == 0
    assert stage.done["0"] == 1
    assert stage.schedule.kept == 1


def test_stop_leaves_five_hundred_checks_behind_that_do_not_end() -> None:
    stage = Stage(make_targets(500, 1, 1), {str(n): FOR_EVER for n in range(500)})
    stage.pass_time(1)
    assert stage.workers.busy() == 500
    began = time.monotonic()
    assert stage.workers.stop(0.1) == 500
    assert time.monotonic() - began < 5
    stage.end_checks()


def test_idle_threads_sleep() -> None:
    stage = Stage(make_targets(50, 0.5, 0.5), {str(n): FOR_EVER for n in range(50)})
    stage.pass_time(0.5)
    assert stage.workers.busy() == 50
    stage.end_checks()
    wait_until(stage.all_settled)
    assert len(stage.workers) == 50
    before = time.process_time()
    time.sleep(0.2)
    assert time.process_time() - before < 0.1
    stage.close()


def test_missed_slots_are_logged_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage(make_targets(1, 0.05, 0.05), {"0": FOR_EVER})
    stage.pass_time(1)
    told = "slots are missed: the check before still ran, or every thread was busy"
    assert caplog.messages == [f"1 {told}"]
    stage.pass_time(60, 1)
    assert [message.partition(" ")[2] for message in caplog.messages] == [told, told]
    assert sum(int(message.partition(" ")[0]) for message in caplog.messages) == stage.schedule.missed
    stage.close()


def test_a_fault_of_the_schedule_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[str] = []
    monkeypatch.setattr(threads, "end_process", died.append)
    stage = Stage(make_targets(1, 0.05, 0.05))
    monkeypatch.setattr(stage.schedule, "take", lambda *_: 1 / 0)
    stage.clock.move(0.05)
    wait_until(lambda: died == ["schedule"])
    stage.close()


def test_a_fault_of_a_thread_that_checks_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    died: list[str] = []
    monkeypatch.setattr(threads, "end_process", died.append)
    stage = Stage(make_targets(1, 0.05, 0.05))
    monkeypatch.setattr(stage.schedule, "done", lambda _: 1 / 0)
    stage.clock.move(0.05)
    wait_until(lambda: died == ["check"])
    stage.workers.stop(0)


def test_a_check_that_does_not_end_by_itself_is_a_fault() -> None:
    stage = Stage(make_targets(2, 0.2, 0.2), {"0": FOR_EVER})
    stage.pass_time(0.2)
    assert stage.workers.busy() == 1
    assert stage.workers.faults() == []
    stage.pass_time(17, 1)
    [fault] = stage.workers.faults()
    assert fault.startswith("checks: 0 should have ended 17 s ago")
    stage.end_checks()
    wait_until(lambda: stage.workers.faults() == [])
    stage.close()


def test_nobody_who_looks_what_is_due_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SteppedClock()
    workers = Workers(Schedule("here"), print, clock)
    assert workers.faults() == []
    clock.move(16)
    assert workers.faults() == ["schedule: nobody has looked what is due for 16 s"]
    monkeypatch.setattr(workers_module, "_LOCK_SECS", 0.01)
    with workers._changed:
        held = ThreadPoolExecutor(1).submit(workers.faults).result()
    assert held == ["schedule: its lock is held"]


def test_no_thread_for_what_is_due_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Workers, "_hire", lambda _: False)
    stage = Stage(make_targets(1, 0.1, 0.1))
    stage.pass_time(0.1)
    assert stage.workers.faults() == []
    stage.pass_time(16, 1)
    assert stage.workers.faults() == ["threads: none was free or could be had for 16 s"]
    stage.close()

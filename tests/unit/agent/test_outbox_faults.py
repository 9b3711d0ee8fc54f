"""The outbox on a disk that fails at any statement, before it or after it took effect: nothing is lost without a count.

A publisher that the test plays reads, sends and acknowledges. What is on the topic twice must have been under way when
the outbox began anew; what was acknowledged is not handed out again.
"""

import contextlib
import fcntl
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from webmon.agent import outbox as outbox_module
from webmon.agent.outbox import Outbox
from webmon.agent.spool import Disk, Row

LIMIT: Final = 10_000_000
CODES: Final = {"full": sqlite3.SQLITE_FULL, "broken": sqlite3.SQLITE_IOERR, "corrupt": sqlite3.SQLITE_CORRUPT}


class Faults:
    """Says of each statement whether it fails: one after another from a plan, else none."""

    def __init__(self) -> None:
        self.plan: list[str | None] = []

    def next(self) -> str | None:
        return self.plan.pop(0) if self.plan else None


class FaultyConnection:
    """A connection whose statements fail as they are told: `full`, or `full!` for after it took effect."""

    def __init__(self, connection: sqlite3.Connection, faults: Faults) -> None:
        self._connection = connection
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def execute(self, *arguments: Any) -> Any:
        return self._run("execute", *arguments)

    def executemany(self, *arguments: Any) -> Any:
        return self._run("executemany", *arguments)

    def executescript(self, *arguments: Any) -> Any:
        return self._run("executescript", *arguments)

    def _run(self, how: str, *arguments: Any) -> Any:
        fault = self._faults.next()
        if fault is None:
            return getattr(self._connection, how)(*arguments)
        if fault.endswith("!"):
            getattr(self._connection, how)(*arguments)
        error = sqlite3.OperationalError(f"made to fail: {fault}")
        error.sqlite_errorcode = CODES[fault.removesuffix("!")]
        raise error


@contextlib.contextmanager
def faulty() -> Iterator[Faults]:
    """Let every database fail as the plan says."""
    faults = Faults()
    original = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *a, **m: FaultyConnection(original(*a, **m), faults))
        patch.setattr(outbox_module, "_RETRY_SECS", 0.0)
        yield faults


fault = st.sampled_from([f"{name}{when}" for name in ("full", "broken") for when in ("", "!")])
plans = st.lists(st.one_of(st.none(), fault), max_size=12)


class Publishing(RuleBasedStateMachine):
    """Results are put, read, sent and acknowledged while statements fail; at the end all are accounted for."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = contextlib.ExitStack()
        folder = self._stack.enter_context(tempfile.TemporaryDirectory())
        self.faults = self._stack.enter_context(faulty())
        self.path = Path(folder) / "outbox.sqlite"
        self.put = 0
        self.dropped = 0
        self.sent: Counter[bytes] = Counter()
        self.resent: Counter[bytes] = Counter()
        """How often a result was under way when a reader began anew, so that it may come twice."""
        self.acknowledged: set[int] = set()
        self.may_come_again: set[int] = set()
        """Acknowledged, but the disk failed at the stop before it could note that."""
        self.in_flight: dict[int, bytes] = {}
        self.open()

    def open(self) -> None:
        self.outbox = Outbox(self.path, LIMIT, writes=False)
        self.sent_up_to, self.opened = 0, self.outbox.opened

    @rule(count=st.integers(1, 5))
    def puts(self, count: int) -> None:
        for _ in range(count):
            self.put += 1
            self.outbox.put(b"key", b"%d" % self.put)

    @rule()
    def settles(self) -> None:
        self.outbox.settle()

    @rule(most=st.integers(1, 6))
    def sends(self, most: int) -> None:
        if self.outbox.opened != self.opened:
            self.sent_up_to, self.opened = 0, self.outbox.opened
        for row in self.outbox.read(self.sent_up_to, most):
            assert row.id not in self.acknowledged - self.may_come_again, "it was acknowledged"
            self.sent_up_to = row.id
            if row.id not in self.in_flight:
                self.sent[row.value] += 1
                self.in_flight[row.id] = row.value

    @precondition(lambda self: self.in_flight)
    @rule(data=st.data())
    def acknowledges(self, data: st.DataObject) -> None:
        ids = data.draw(st.lists(st.sampled_from(sorted(self.in_flight)), unique=True, min_size=1))
        for number in ids:
            del self.in_flight[number]
        self.acknowledged.update(ids)
        self.outbox.remove(ids)

    @rule(plan=plans)
    def fails(self, plan: list[str | None]) -> None:
        self.faults.plan = plan

    @rule()
    def recovers(self) -> None:
        self.faults.plan = []

    @rule()
    def restarts(self) -> None:
        self.resent.update(self.in_flight.values())
        self.in_flight.clear()
        if not self.outbox.close(5):
            self.may_come_again |= self.acknowledged
        self.dropped += self.outbox.dropped
        self.faults.plan = []
        self.open()

    @invariant()
    def counts_are_never_below_what_is_there(self) -> None:
        assert self.outbox.dropped >= 0
        assert len(self.outbox) >= 0

    def teardown(self) -> None:
        self.faults.plan = []
        for _ in range(4):
            self.outbox.settle()
        assert self.outbox.is_on_disk
        for _ in range(50):
            self.sends(10)
            if self.in_flight:
                self.acknowledged.update(self.in_flight)
                self.outbox.remove(list(self.in_flight))
                self.in_flight.clear()
            self.outbox.settle()
        assert len(self.outbox) == 0
        assert self.outbox.close(5)
        self.dropped += self.outbox.dropped
        unsent = self.put - len(self.sent)
        assert unsent <= self.dropped, f"{unsent} results were never sent, and {self.dropped} are counted"
        if not self.dropped:
            assert not unsent
        for value, times in self.sent.items():
            again = bool(self.may_come_again) * times
            assert times <= 1 + self.resent[value] + again, f"{value!r} was sent {times} times"
        self._stack.close()


TestPublishing = Publishing.TestCase
TestPublishing.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


def opened(path: Path, count: int = 0) -> Outbox:
    """Give an outbox with so many committed results."""
    made = Outbox(path, LIMIT, writes=False)
    for number in range(count):
        made.put(b"key", b"%d" % number)
    assert made.settle()
    return made


def values(rows: list[Row]) -> list[bytes]:
    return [row.value for row in rows]


def fail_at(outbox: Outbox, statement: str, error: sqlite3.Error, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a statement of the open file take effect and fail all the same, once."""
    disk = outbox._spool
    assert isinstance(disk, Disk)
    original = disk._db

    class Once:
        def __getattr__(self, name: str) -> Any:
            return getattr(original, name)

        def execute(self, text: str, *more: Any) -> Any:
            done = original.execute(text, *more)
            if text == statement:
                raise error
            return done

    monkeypatch.setattr(disk, "_db", Once())


IO_ERROR: Final = sqlite3.OperationalError("disk I/O error")
IO_ERROR.sqlite_errorcode = sqlite3.SQLITE_IOERR


def test_a_commit_that_fails_after_it_took_effect_makes_no_result_twice_and_the_file_is_used_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_RETRY_SECS", 0.0)
    outbox = opened(path, 2)
    outbox.put(b"key", b"2")
    fail_at(outbox, "COMMIT", IO_ERROR, monkeypatch)
    assert not outbox.settle()
    assert outbox.settle()
    assert outbox.is_on_disk
    assert values(outbox.read(0, 9)) == [b"0", b"1", b"2"]
    assert (len(outbox), outbox.dropped) == (3, 0)
    assert outbox.close(5)


def test_what_was_acknowledged_is_not_handed_out_again_after_the_disk_failed_to_forget_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_RETRY_SECS", 0.0)
    outbox = opened(path, 3)
    outbox.remove([row.id for row in outbox.read(0, 2)])
    fail_at(outbox, "BEGIN IMMEDIATE", IO_ERROR, monkeypatch)
    assert not outbox.settle()
    assert outbox.settle()
    assert values(outbox.read(0, 9)) == [b"2"]
    assert outbox.close(5)
    assert values(opened(path).read(0, 9)) == [b"2"]


def test_a_file_that_is_damaged_while_memory_stands_in_is_set_aside(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(outbox_module, "_RETRY_SECS", 0.0)
    outbox = opened(path, 2)
    outbox.put(b"key", b"2")
    with faulty() as faults:
        faults.plan = ["full"] * 99
        fail_at(outbox, "BEGIN IMMEDIATE", IO_ERROR, monkeypatch)
        assert not outbox.settle()
        assert outbox.settle()
        assert not outbox.is_on_disk
    for file in path.parent.glob("outbox.sqlite*"):
        if file.suffix != ".lock":
            file.write_bytes(b"no database any more" * 500)
    assert outbox.settle()
    assert outbox.is_on_disk
    assert values(outbox.read(0, 9)) == [b"2"]
    assert outbox.dropped == 2, "what was in the damaged file"
    assert len(list(path.parent.glob("outbox.sqlite.corrupt-*Z"))) == 1
    assert "2 results that were in it are not sent" in caplog.text
    outbox.close(5)


def test_what_is_lost_at_a_stop_is_counted_and_told_with_its_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    outbox = opened(path, 1)
    outbox.put(b"key", b"1")
    outbox.put(b"key", b"2")
    with faulty() as faults:
        faults.plan = ["broken"] * 99
        fail_at(outbox, "BEGIN IMMEDIATE", IO_ERROR, monkeypatch)
        assert not outbox.close(5)
    assert outbox.dropped == 2
    (line,) = [record.getMessage() for record in caplog.records if "are lost" in record.getMessage()]
    assert f"outbox {path}: its disk failed: 2 results of 2" in line
    assert line.endswith(" UTC are lost")
    assert values(opened(path).read(0, 9)) == [b"0"]


def test_what_a_failed_transaction_would_have_dropped_is_counted_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_RETRY_SECS", 0.0)
    outbox = Outbox(path, 300_000, writes=False)
    for number in range(2000):
        outbox.put(b"key", b"%d".ljust(200) % number)
    fail_at(outbox, "COMMIT", IO_ERROR, monkeypatch)
    assert not outbox.settle()
    assert outbox.settle()
    assert outbox.close(5)
    again = opened(path)
    assert len(again) + outbox.dropped == 2000
    assert again.dropped == 0


def test_a_drained_outbox_is_removed_before_another_agent_may_have_it(path: Path) -> None:
    outbox = opened(path, 1)
    outbox.remove([row.id for row in outbox.read(0, 9)])
    assert outbox.close(5, remove_empty=True)
    assert list(path.parent.iterdir()) == []
    kept = opened(path, 1)
    assert kept.close(5, remove_empty=True)
    assert path.exists()


def test_an_agent_that_waits_for_the_lock_of_a_removed_outbox_gets_a_new_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = fcntl.flock
    removed: list[bool] = []

    def flock(descriptor: int, how: int) -> None:
        original(descriptor, how)
        if not removed:
            removed.append(True)
            path.with_name(path.name + ".lock").unlink()  # as whoever drains does, in this moment

    monkeypatch.setattr(fcntl, "flock", flock)
    outbox = opened(path, 1)
    assert path.with_name(path.name + ".lock").exists()
    outbox.close(5)


def test_a_result_that_came_during_a_commit_is_not_taken_for_one_that_was_committed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_PENDING_BYTES", 10)
    outbox = opened(path)
    outbox.put(b"k", b"aaa")
    outbox.put(b"k", b"bbb")
    change = outbox._spool.change

    def slowly(*arguments: Any) -> None:
        change(*arguments)
        outbox.put(b"k", b"ccc")  # for which the oldest, which is committed already, gives way

    monkeypatch.setattr(outbox._spool, "change", slowly)
    assert outbox.settle()
    monkeypatch.undo()
    assert outbox.settle()
    assert values(outbox.read(0, 9)) == [b"aaa", b"bbb", b"ccc"]
    outbox.close(5)


def test_what_was_acknowledged_while_memory_stood_in_does_not_come_back_with_the_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_RETRY_SECS", 0.0)
    outbox = opened(path)
    with faulty() as faults:
        faults.plan = ["full"] * 9
        fail_at(outbox, "BEGIN IMMEDIATE", IO_ERROR, monkeypatch)
        assert not outbox.settle()
        outbox.put(b"key", b"0")
        outbox.put(b"key", b"1")
        assert outbox.settle()
    outbox.remove([row.id for row in outbox.read(0, 1)])
    assert outbox.settle()
    assert outbox.is_on_disk
    assert values(outbox.read(0, 9)) == [b"1"]
    outbox.close(5)


def test_what_a_last_commit_that_failed_has_left_is_on_disk_after_the_stop(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outbox = opened(path)
    outbox.put(b"key", b"0")
    fail_at(outbox, "BEGIN IMMEDIATE", IO_ERROR, monkeypatch)
    assert outbox.close(5)
    assert outbox.dropped == 0
    assert values(opened(path).read(0, 9)) == [b"0"]

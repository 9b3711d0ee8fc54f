"""What becomes of messages that end the process: the topic and the tables are in memory, the note on a disk."""

import functools
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.contract.faults import DiedError, Plan
from tests.contract.memory import KAFKA, MemoryPair
from tests.contract.sink import results
from webmon.check.result import CheckResult
from webmon.kafka.client import Withheld
from webmon.sink import consumer
from webmon.sink.in_hand import InHand
from webmon.sink.loop import Loop, StoppedError
from webmon.sink.state import State
from webmon.sink.writer import Stored


class Deadly:
    """Tables that end the process with some results in a batch, whatever else is in it."""

    def __init__(self, pair: MemoryPair, deadly: set[int]) -> None:
        self._store = pair.store
        self._deadly = {result.time for result in results(*deadly)}
        self.sizes: list[int] = []

    def check(self) -> None:
        """They are there."""

    def store(self, batch: Sequence[CheckResult]) -> Stored:
        self.sizes.append(len(batch))
        if any(one.time in self._deadly for one in batch):
            raise DiedError
        return self._store.store(batch)


def start(pair: MemoryPair, rows: Any, directory: Path | None) -> tuple[Loop, InHand]:
    state = State(clock=pair.clock)
    in_hand = InHand(directory)
    join = functools.partial(consumer.join, KAFKA, lambda: pair.consumer(Plan(), batch_size=5000))
    loop = Loop(
        KAFKA, state, join=join, rows=rows, letters=pair.dead_letters, stop=pair.stop(), in_hand=in_hand,
        look=lambda *_, **__: None, clock=pair.clock,
    )  # fmt: skip
    loop.start()
    return loop, in_hand


def turn(loop: Loop) -> None:
    for _ in range(20):
        loop.step()


def live(pair: MemoryPair, rows: Any, directory: Path | None) -> bool:
    """Start a sink and turn it until all is in its place; False where it was ended before."""
    loop, in_hand = start(pair, rows, directory)
    try:
        turn(loop)
    except DiedError:
        return False
    finally:
        in_hand.close()
        # Whoever is ended leaves the group.
        loop.close()
    return True


@pytest.mark.parametrize(("deadly", "ends"), [({17}, 3), ({17, 18, 60}, 9)], ids=["one", "three"])
def test_a_message_that_ends_the_process_is_set_aside_by_its_place_and_the_others_are_stored(
    deadly: set[int], ends: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pair = MemoryPair()
    pair.publish(results(*range(100)))
    rows = Deadly(pair, deadly)
    lives = [live(pair, rows, tmp_path) for _ in range(ends + 1)]
    assert lives == [False] * ends + [True]
    assert len(pair.store.rows) == 100 - len(deadly)
    assert pair.committed() == 100
    assert len(pair.dead_letters.sent) == len(deadly)
    for record, reason in pair.dead_letters.sent:
        assert (record.key, record.value, record.headers) == (None, b"", [])
        assert isinstance(record.value, Withheld)
        assert reason == "it ended the sink 3 times, so that it is not looked at any more"
    assert sum("is set aside" in record.getMessage() for record in caplog.records) == len(deadly)
    # What comes after goes in batches again.
    rows.sizes.clear()
    pair.publish(results(*range(100, 200)))
    assert live(pair, rows, tmp_path)
    assert rows.sizes == [100]


def test_a_process_that_is_ended_once_takes_nothing_apart(tmp_path: Path) -> None:
    pair = MemoryPair()
    pair.publish(results(*range(100)))
    assert not live(pair, Deadly(pair, {3}), tmp_path)
    rows = Deadly(pair, set())
    assert live(pair, rows, tmp_path)
    assert rows.sizes == [100]
    # What is in its place counts no more.
    pair.publish(results(*range(100, 103)))
    assert not live(pair, Deadly(pair, {101}), tmp_path)
    assert live(pair, rows, tmp_path)
    assert rows.sizes == [100, 3]
    assert pair.dead_letters.sent == []


def test_a_sink_that_is_stopped_while_it_waits_was_not_ended_by_what_it_had_in_hand(tmp_path: Path) -> None:
    pair = MemoryPair()
    pair.publish(results(*range(3)))
    loop, in_hand = start(pair, SimpleNamespace(check=lambda: None, store=_stop), tmp_path)
    with pytest.raises(StoppedError):
        turn(loop)
    in_hand.close()
    assert (tmp_path / "in-hand-1").read_bytes() == b""


def _stop(_: Sequence[CheckResult]) -> Stored:
    raise StoppedError


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"ends": 1}', '{"ends": "x", "in_hand": []}', '{"ends": 1, "in_hand": [1]}']
)
def test_a_note_that_was_written_in_part_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "in-hand-1").write_text(text, encoding="utf-8")
    pair = MemoryPair()
    pair.publish(results(*range(3)))
    assert live(pair, pair.store, tmp_path)
    assert len(pair.store.rows) == 3


def test_each_process_of_a_host_has_a_note_of_its_own(tmp_path: Path) -> None:
    one, other = InHand(tmp_path), InHand(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["in-hand-1", "in-hand-2"]
    one.close()
    other.close()


def test_a_note_that_cannot_be_kept_is_done_without(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pair = MemoryPair()
    pair.publish(results(*range(3)))
    assert live(pair, pair.store, tmp_path / "missing")
    assert "what is in hand is not noted" in caplog.text

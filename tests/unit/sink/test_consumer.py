"""When a batch closes; the client is a topic on a clock of its own, so that no time passes."""

from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition

from tests.contract.memory import KAFKA
from webmon.settings import Sink
from webmon.sink.consumer import BatchConsumer


class Topic:
    """A topic to which a message comes every `every` seconds from `first` on, and the time."""

    def __init__(self) -> None:
        """Begin at an hour of uptime."""
        self.now = 3600.0
        self.first = self.now
        self.every = 0.001
        self.read = 0
        self.size = 2
        """Bytes of each message."""

    def poll(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        """Give what has come, or wait for the next; the call itself takes a moment."""
        due = self.first + self.read * self.every
        self.now += 0.0005
        if due > self.now + timeout_ms / 1000:
            self.now += timeout_ms / 1000
            return {}
        self.now = max(self.now, due)
        come = int((self.now - self.first) / self.every) + 1
        offsets = range(self.read, min(max(come, self.read + 1), self.read + max_records))
        self.read = offsets.stop
        records = [SimpleNamespace(offset=at, partition=0, topic="t", size_in_bytes=self.size) for at in offsets]
        return {TopicPartition("t", 0): records}

    def subscribe(self, _topics: list[str]) -> None:
        """Take any."""

    def assignment(self) -> set[TopicPartition]:
        """Give the one partition."""
        return {TopicPartition("t", 0)}

    def paused(self) -> set[TopicPartition]:
        """Give none."""
        return set()

    def end_offsets(self, partitions: list[TopicPartition], **_: Any) -> dict[TopicPartition, int]:
        """Tell that nothing waits: what is due comes with the next poll."""
        return dict.fromkeys(partitions, self.read)

    def position(self, _partition: TopicPartition, **_: Any) -> int:
        """Give where the reading is."""
        return self.read


@pytest.fixture
def topic() -> Topic:
    """The topic that the consumers of a test read."""
    return Topic()


def reader(topic: Topic, *, secs: float, size: int = 5000) -> BatchConsumer:
    """Give a consumer of it."""
    sink = Sink.model_construct(batch_secs=secs, batch_size=size)
    return BatchConsumer(KAFKA, sink, make_client=lambda **_: topic, clock=lambda: topic.now)


def batch_of(consumer: BatchConsumer) -> list[Any]:
    """Poll until there is a batch."""
    while not (batch := consumer.poll()):
        pass
    return batch


def test_no_message_waits_longer_for_a_batch_because_the_one_before_takes_time_to_store(topic: Topic) -> None:
    ours = reader(topic, secs=1.0)
    batch_of(ours)
    for _ in range(5):
        handed_out = topic.now
        topic.now += 0.4
        assert len(batch_of(ours)) == pytest.approx(1000, abs=20)
        assert topic.now - handed_out == pytest.approx(1.0, abs=0.01)


def test_a_message_after_a_silence_is_not_held_for_company_that_may_never_come(topic: Topic) -> None:
    topic.every = 10.0
    topic.first += 10.0
    ours = reader(topic, secs=1.0)
    for number in range(3):
        assert [record.offset for record in batch_of(ours)] == [number]
        assert topic.now - (topic.first + number * topic.every) < 0.3


def test_messages_that_come_all_the_time_make_no_more_batches_than_one_in_batch_secs(topic: Topic) -> None:
    topic.every = 0.1
    ours = reader(topic, secs=2.0)
    began = topic.now
    for _ in range(10):
        batch_of(ours)
    assert topic.now - began == pytest.approx(20.0, abs=0.2)


def test_a_slow_database_gets_what_has_come_meanwhile_in_one_batch_not_in_pieces(topic: Topic) -> None:
    ours = reader(topic, secs=1.0)
    batch_of(ours)
    topic.now += 4.0
    before = topic.now
    assert len(batch_of(ours)) > 4000
    assert topic.now - before < 0.3


def test_a_full_batch_closes_at_once(topic: Topic) -> None:
    ours = reader(topic, secs=60.0, size=100)
    assert len(batch_of(ours)) == 100
    assert topic.now - topic.first < 0.2


def test_a_batch_closes_by_the_bytes_of_its_messages(topic: Topic) -> None:
    ours = reader(topic, secs=60.0)
    topic.size, topic.every = 1_000_000, 0.000001
    assert len(batch_of(ours)) <= 500

"""The sink's neighbours in memory, on a clock that only goes on where somebody waits."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from kafka import OffsetAndMetadata, TopicPartition

from tests.contract.faults import Faulty, Plan
from tests.contract.sink import Pair
from webmon.check.result import CheckResult, encode, headers
from webmon.kafka.decode import Unreadable
from webmon.settings import Kafka, Sink
from webmon.sink.consumer import BatchConsumer
from webmon.sink.loop import Letters, Rows
from webmon.sink.writer import Stored

PARTITIONS: Final = 3
KAFKA: Final = Kafka.model_construct(
    hosts=["broker"], port=9093, topic="results", dead_letter_topic="results.dead-letters", group="sinks",
    access_certificate=Path("cert.pem"), access_key=Path("key.pem"), ca_certificate=Path("ca.pem"),
)  # fmt: skip


class Clock:
    """Seconds that go on where somebody waits."""

    def __init__(self) -> None:
        """Begin at an hour of uptime."""
        self.now = 3600.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


class Stop(threading.Event):
    """An event for which nobody waits in earnest."""

    def __init__(self, clock: Clock) -> None:
        """Take the clock."""
        super().__init__()
        self._clock = clock

    def wait(self, timeout: float | None = None) -> bool:
        """Let the time pass."""
        self._clock.now += timeout or 0.0
        return self.is_set()


class Topic:
    """A topic and the group that reads it: what Kafka keeps."""

    def __init__(self, clock: Clock) -> None:
        """Begin without a message."""
        self.clock = clock
        self.records: list[list[Any]] = [[] for _ in range(PARTITIONS)]
        self.committed: dict[int, int] = defaultdict(int)
        self.members: list[Client] = []
        self.watch: Callable[[int, int], None] = lambda *_: None
        """Is told each offset that the group is given."""

    def publish(self, key: bytes, value: bytes) -> None:
        """Put a message on the partition of its key."""
        partition = sum(key) % PARTITIONS
        records = self.records[partition]
        records.append(
            SimpleNamespace(
                topic=KAFKA.topic,
                partition=partition,
                offset=len(records),
                key=key,
                value=value,
                headers=headers(),
                size_in_bytes=len(key) + len(value) + 15,
                timestamp=int(time.time() * 1000),
                timestamp_type=1,
            )
        )

    def client(self, **_: Any) -> "Client":
        """Make a client, as KafkaConsumer() does."""
        return Client(self)


class Client:
    """What BatchConsumer uses of kafka-python's KafkaConsumer."""

    def __init__(self, topic: Topic) -> None:
        """Take the topic; nothing is read yet."""
        self._topic = topic
        self.positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self.is_deaf = False
        """Whether it gives nothing any more, and no error, as kafka-python was seen to do."""

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group."""
        assert topics == [KAFKA.topic]
        self._topic.members.append(self)

    def partitions_for_topic(self, topic: str) -> set[int]:
        """Give the partitions of a topic that there is."""
        return set(range(PARTITIONS)) if topic == KAFKA.topic else set()

    def assignment(self) -> set[TopicPartition]:
        """Give its partitions."""
        return set(self.positions)

    def poll(self, *, timeout_ms: int, max_records: int = 500) -> dict[TopicPartition, list[Any]]:
        """Take part in the group; give what waits, or let the time pass."""
        self._share()
        found: dict[TopicPartition, list[Any]] = {}
        for place in self.positions.keys() - self._paused if not self.is_deaf else ():
            begin = self.positions[place]
            if records := self._topic.records[place.partition][begin : begin + max_records]:
                found[place] = records
                self.positions[place] += len(records)
                max_records -= len(records)
        # A call takes a moment, also one that does not wait.
        self._topic.clock.now += 0.001 if found else max(0.001, timeout_ms / 1000)
        return found

    def _share(self) -> None:
        """Give up partitions that are more than our share, and take those that nobody has, as Kafka's clients do."""
        share = -(-PARTITIONS // len(self._topic.members))
        for place in list(self.positions)[share:]:
            del self.positions[place]
            self._paused.discard(place)
        for partition in range(PARTITIONS):
            place = TopicPartition(KAFKA.topic, partition)
            if len(self.positions) < share and not any(place in member.positions for member in self._topic.members):
                self.positions[place] = self._topic.committed[partition]

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], *, timeout_ms: int) -> None:
        """Keep the group's offsets, as they are given."""
        assert timeout_ms > 0
        for place, told in offsets.items():
            assert place in self.positions
            self._topic.watch(place.partition, told.offset)
            self._topic.committed[place.partition] = told.offset

    def highwater(self, place: TopicPartition) -> int:
        """Give the offset of the next message that will come."""
        return len(self._topic.records[place.partition])

    def end_offsets(self, places: Sequence[TopicPartition], *, timeout_ms: int) -> dict[TopicPartition, int]:
        """Ask for the offsets of the next messages."""
        assert timeout_ms > 0
        return {place: self.highwater(place) for place in places}

    def position(self, place: TopicPartition, *, timeout_ms: int) -> int:
        """Give the offset that is read next."""
        assert timeout_ms > 0
        return self.positions[place]

    def pause(self, *places: TopicPartition) -> None:
        """Give no records of partitions."""
        self._paused |= set(places)

    def paused(self) -> set[TopicPartition]:
        """Give those of which it gives none."""
        return set(self._paused)

    def resume(self, *places: TopicPartition) -> None:
        """Give records again."""
        self._paused -= set(places)

    def seek(self, place: TopicPartition, offset: int) -> None:
        """Read on from an offset."""
        self.positions[place] = offset

    def close(self, *, autocommit: bool, timeout_ms: int) -> None:
        """Leave the group."""
        assert timeout_ms > 0
        assert not autocommit
        self._topic.members.remove(self)


class Store:
    """What webmon.sink.writer makes of PostgreSQL: one row for each series and time, and no NUL in it."""

    def __init__(self) -> None:
        """Begin without a row."""
        self.rows: dict[tuple[str, str, datetime], CheckResult] = {}
        self.refuses: Callable[[CheckResult], bool] = lambda _: False
        """What it takes none of beside, as a database may for a reason that no reader of messages knows."""

    def check(self) -> None:
        """It is always there."""

    def store(self, results: Iterable[CheckResult]) -> Stored:
        """Add what is new."""
        added, repeats = 0, 0
        refused = []
        for place, result in enumerate(results):
            key = (result.target, result.agent, result.time)
            texts = [result.target, result.agent, result.url, result.error or "", result.answer or ""]
            if "\0" in "".join([*texts, *result.labels.values()]):
                refused.append((place, "A string literal cannot contain NUL (0x00) characters."))
            elif self.refuses(result):
                refused.append((place, "refused"))
            elif key in self.rows:
                repeats += 1
            else:
                self.rows[key] = result
                added += 1
        return Stored(added, repeats, refused)


class DeadLetters:
    """The dead-letter topic."""

    def __init__(self) -> None:
        """Begin without a letter."""
        self.sent: list[Unreadable] = []

    def send(self, unreadable: Sequence[Unreadable]) -> None:
        """Keep them."""
        self.sent += unreadable


class MemoryPair(Pair):
    """All of it in memory."""

    kafka = KAFKA

    def __init__(self) -> None:
        """Begin with nothing."""
        self.clock: Clock = Clock()
        self.topic = Topic(self.clock)
        self.store = Store()
        self.dead_letters = DeadLetters()

    def publish(self, values: Sequence[CheckResult | bytes]) -> None:
        for value in values:
            if isinstance(value, CheckResult):
                self.topic.publish(value.target.encode(), encode(value))
            else:
                self.topic.publish(b"key", value)

    def stop(self) -> threading.Event:
        return Stop(self.clock)

    def consumer(self, plan: Plan, *, batch_size: int) -> BatchConsumer:
        return BatchConsumer(
            KAFKA,
            Sink.model_construct(batch_size=batch_size, batch_secs=1.0),
            make_client=lambda **_: Faulty(self.topic.client(), plan),
            clock=self.clock,
        )

    def rows(self) -> Rows:
        return self.store

    def letters(self) -> Letters:
        return self.dead_letters

    def stored(self) -> list[tuple[str, datetime]]:
        return [(target, time) for target, _, time in self.store.rows]

    def committed(self) -> int:
        return sum(self.topic.committed.values())

    def dead(self, count: int) -> list[bytes | None]:
        assert len(self.dead_letters.sent) >= count
        return [record.value for record, _ in self.dead_letters.sent]

"""What the judge reads: the alarm log, the orders and the results, each from where it is to go on.

It belongs to no group: the judge reads all partitions by itself.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from webmon.alarm.log import Position, explain
from webmon.kafka import client
from webmon.kafka.decode import Record
from webmon.kafka.reach import KafkaAwayError
from webmon.kafka.still import Still
from webmon.settings import Kafka

_ASK_MS: Final = 5_000
_SILENT_SECS: Final = 15.0
_MOST: Final = 5_000
"""Records of one turn: 60 ms."""
_FETCH_WAIT_MS: Final = 100
"""A broker answers no later. kafka-python asks it for nothing else meanwhile, so what comes to a partition that was not
asked for waits as long."""
_FRESH_MS: Final = 10_000
"""So long after Kafka was heard of nothing is behind, if nothing is known to wait."""
FIRST_WINDOW: Final = 900_000
"""Milliseconds that a judge looks back where there was none before."""

Pairs = list[tuple[str, bytes | None]]


class Came(NamedTuple):
    """What one turn brought."""

    results: list[Record]
    orders: list[Record]
    log: Pairs


class Reader:
    """Used by one thread."""

    def __init__(
        self,
        kafka: Kafka,
        *,
        make_client: Callable[..., Any] = KafkaConsumer,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the settings.

        Raises:
            kafka.errors.KafkaError: no broker took us.
        """
        self._kafka = kafka
        self._clock = clock
        self._monotonic = monotonic
        self._client = make_client(
            **client.consumer_args(kafka)
            | {"group_id": None, "max_poll_records": _MOST, "fetch_max_wait_ms": _FETCH_WAIT_MS}
        )
        self._still = Still(monotonic)
        self._log = TopicPartition(kafka.alarm_topic, 0)
        self._orders = TopicPartition(kafka.orders_topic, 0)
        self._results: list[TopicPartition] = []
        self._next: dict[int, int] = {}
        """The next offset of each partition of the results."""
        self._judged_before: dict[int, int] = {}
        """Offsets up to which a judge before us judged."""
        self._newest: dict[int, int] = {}
        """The newest arrival that was read of each partition."""
        self._caught_up: dict[int, int] = {}
        """When a partition was last read to its end, by our clock."""
        self._heard = 0
        """When Kafka was last heard of, by our clock."""
        self._next_order: int | None = None
        self._arrived = 0

    @property
    def topic(self) -> str:
        """The topic of the results."""
        return self._kafka.topic

    # The log

    def read_log(self, tick: Callable[[], None]) -> dict[str, bytes]:
        """Read all of the log, the newest value under each key.

        Raises:
            KafkaAwayError: Kafka gives nothing.
            kafka.errors.KafkaError: it refuses.
        """
        self._client.assign([self._log])
        self._client.seek_to_beginning(self._log)
        values: dict[str, bytes] = {}
        apply(values, self.to_the_end_of_log(tick))
        return values

    def to_the_end_of_log(self, tick: Callable[[], None], least: int = 0) -> Pairs:
        """Read the log up to what is its end now, and nothing else.

        Args:
            tick: called at least every half second; what it raises ends this.
            least: an offset that the end has at least.

        Raises:
            KafkaAwayError: Kafka gives nothing.
        """
        found: Pairs = []
        others = self._client.assignment() - {self._log}
        self._client.pause(*others)
        try:
            end = max(self._client.end_offsets([self._log], timeout_ms=_ASK_MS)[self._log], least)
            silent_since = self._monotonic()
            while (self._client.position(self._log, timeout_ms=_ASK_MS) or 0) < end:
                tick()
                got = self._client.poll(timeout_ms=500, max_records=_MOST)
                found += _pairs(got.get(self._log, ()))
                if got:
                    silent_since = self._monotonic()
                elif self._monotonic() - silent_since > _SILENT_SECS:
                    raise KafkaAwayError(f"Kafka gives nothing of topic {self._kafka.alarm_topic}")
        except kafka_errors.KafkaTimeoutError as error:
            raise KafkaAwayError(explain(error, self._kafka)) from error
        finally:
            self._client.resume(*others)
            self._still.begin()
        return found

    # All of it

    def begin(self, position: Position | None, *, now: int) -> None:
        """Go on from a position, and a window before it; the log goes on from where it was read to.

        Args:
            position: what the judge before us wrote; None: there was none.
            now: milliseconds since the epoch.

        Raises:
            KafkaAwayError: Kafka does not answer.
            kafka.errors.UnknownTopicOrPartitionError: there is no such topic, or we may not see it.
        """
        partitions = self._client.partitions_for_topic(self._kafka.topic)
        if not partitions:
            raise kafka_errors.UnknownTopicOrPartitionError(self._kafka.topic)
        self._results = [TopicPartition(self._kafka.topic, number) for number in sorted(partitions)]
        log_at = self._client.position(self._log, timeout_ms=_ASK_MS) or 0
        all_of = [self._log, self._orders, *self._results]
        try:
            ends = self._client.end_offsets(self._results, timeout_ms=_ASK_MS)
            firsts = self._client.beginning_offsets([*self._results, self._orders])
            since = (position.arrived if position and position.arrived else now) - (
                max(position.window, FIRST_WINDOW) if position else FIRST_WINDOW
            )
            found = self._client.offsets_for_times(dict.fromkeys(self._results, max(0, since)), timeout_ms=_ASK_MS)
        except kafka_errors.KafkaTimeoutError as error:
            raise KafkaAwayError(explain(error, self._kafka)) from error
        self._client.assign(all_of)
        self._client.seek(self._log, log_at)
        for partition in self._results:
            number, end, first = partition.partition, ends[partition], firsts[partition]
            # Without a position all that is there only counts for what comes: the next tick tells what is still so.
            judged = position.results.get(str(number), first) if position else end
            judged = min(judged, end)  # another topic of the same name has less
            window = found.get(partition)
            start = max(first, min(judged, window.offset if window is not None else end))
            self._judged_before[number], self._next[number] = judged, start
            self._client.seek(partition, start)
        known = position.orders if position and position.orders is not None else firsts[self._orders]
        self._next_order = max(known, firsts[self._orders])
        self._client.seek(self._orders, self._next_order)
        self._arrived = position.arrived if position else 0
        self._heard = now

    def poll(self, seconds: float) -> Came:
        """Wait so long at most for what comes; an empty turn is one, too.

        Raises:
            kafka.errors.KafkaError: above all an AuthorizationError.
            StoodStillError: nothing comes, though there is something; another reader is to go on.
        """
        got = self._client.poll(timeout_ms=int(seconds * 1000), max_records=_MOST)
        self._still.polled(self._client, gave=bool(got))
        results: list[Record] = []
        for partition in self._results:
            if records := got.get(partition):
                results += records
                number = partition.partition
                self._next[number] = records[-1].offset + 1
                self._newest[number] = records[-1].timestamp
                self._arrived = max(self._arrived, records[-1].timestamp)
        orders = got.get(self._orders, [])
        if orders:
            self._next_order = orders[-1].offset + 1
        if got:
            self.hear()
        return Came(results, orders, _pairs(got.get(self._log, ())))

    def is_judged(self, record: Record) -> bool:
        """Tell whether the judge before us judged a result already."""
        return bool(record.offset < self._judged_before.get(record.partition, 0))

    def hear(self, at: int | None = None) -> None:
        """Take that Kafka answered: at a moment, in milliseconds since the epoch, or just now."""
        self._heard = max(self._heard, round(self._clock() * 1000) if at is None else at)

    def silent_ms(self, now: int) -> int:
        """Give for how long Kafka was not heard of."""
        return max(0, now - self._heard)

    def lag(self, now: int, ends: Mapping[int, int]) -> int:
        """Give how far what was read is behind the clock, in milliseconds.

        Args:
            now: milliseconds since the epoch.
            ends: the ends of the results' partitions, as somebody else saw them of late.
        """
        lag = 0 if self.silent_ms(now) <= _FRESH_MS else self.silent_ms(now)
        for partition in self._results:
            number = partition.partition
            end = max(self._client.highwater(partition) or 0, ends.get(number, 0))
            if self._next[number] >= end:
                self._caught_up[number] = now
                continue
            since = max(self._caught_up.get(number, 0), self._newest.get(number, 0))
            lag = max(lag, now - since)
        return lag

    def position(self, window: int, now: int) -> Position:
        """Give up to where was read, for the log."""
        judged = self._judged_before
        return Position(
            results={str(number): max(offset, judged.get(number, 0)) for number, offset in self._next.items()},
            orders=self._next_order,
            arrived=self._arrived,
            window=window,
            at=now,
        )

    def partitions_changed(self) -> bool:
        """Tell whether the topic has other partitions than those that are read."""
        known = self._client.partitions_for_topic(self._kafka.topic)
        return bool(known) and known != {partition.partition for partition in self._results}

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close(autocommit=False, timeout_ms=1000)


def apply(values: dict[str, bytes], pairs: Iterable[tuple[str, bytes | None]]) -> None:
    """Let what was read of the log be known by its keys."""
    for key, value in pairs:
        if value is None:
            values.pop(key, None)
        else:
            values[key] = value


def _pairs(records: Iterable[Record]) -> Pairs:
    return [((record.key or b"").decode("utf-8", "replace"), record.value) for record in records]

"""The sink's place in its consumer group: records in batches, offsets after they are stored."""

import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from webmon.errors import UserError
from webmon.kafka import client, reach
from webmon.kafka.decode import Record
from webmon.kafka.reach import KafkaAwayError
from webmon.kafka.still import UNANSWERED, Still
from webmon.settings import Kafka, Sink

log = logging.getLogger(__name__)

_JOIN_SECS: Final = 30.0
_POLL_SECS: Final = 0.5
"""One call waits no longer, so that signals and the watchdog get their turn."""
_COMMIT_SECS: Final = 3.0
_MOST_AT_ONCE: Final = 500
"""Messages that one call gives, so that the bound on bytes is looked at often enough; a call costs 0.25 ms."""
_GATHER_SECS: Final = 0.2
"""A batch whose time is over when its first records come, after a long store or a silence, still takes what waits."""
_BATCH_BYTES: Final = 16 * 1024 * 1024
"""Keys, values and headers that close a batch: a result has half a kilobyte, but what is none may have megabytes."""


def join(kafka: Kafka, make: Callable[[], "BatchConsumer"], tick: Callable[[], None]) -> "BatchConsumer":
    """Become a member of the group that reads the topic; partitions are ours by then, if there are enough of them.

    Args:
        kafka: which topic and group, for what is told of them.
        make: makes the consumer.
        tick: called at least every half second; what it raises ends this.

    Raises:
        UserError: no such topic or group, or no right to read it.
        KafkaAwayError: no broker took us.
    """
    try:
        with contextlib.ExitStack() as undo:
            consumer = make()
            undo.callback(consumer.close)
            # The first poll tells what we may not do; only then is a topic that we don't see a missing one.
            consumer.idle()
            if not consumer.topic_is_there():
                raise kafka_errors.UnknownTopicOrPartitionError(kafka.topic)
            consumer.join(tick)
            undo.pop_all()
    except kafka_errors.KafkaError as error:
        line = explain(error, kafka)
        if isinstance(error, reach.REFUSALS):
            raise UserError(line) from error
        raise KafkaAwayError(line) from error
    return consumer


def explain(error: kafka_errors.KafkaError, kafka: Kafka) -> str:
    """Say in one line what an error of the consumer means."""
    return reach.explain(error, kafka, wanted=f"READ topic {kafka.topic} as group {kafka.group}")


class BatchConsumer:
    """A member of the group that hands out batches.

    No listener follows the rebalances, and none is needed: a batch whose partition went to another sink meanwhile is
    stored by both, the second time as repeats, and an offset is committed only after all before it is stored.
    """

    def __init__(
        self,
        settings: Kafka,
        sink: Sink,
        *,
        make_client: Callable[..., Any] = KafkaConsumer,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Join the group.

        Raises:
            kafka.errors.KafkaError: no broker took us; see reach.check_reachable for the cause.
        """
        self._sink = sink
        self._topic = settings.topic
        self._clock = clock
        self._client = make_client(
            **client.consumer_args(settings),
            # So that a restart of one sink does not stop the others.
            partition_assignment_strategy=[CooperativeStickyAssignor],
            max_poll_records=_MOST_AT_ONCE,
        )
        self._client.subscribe([settings.topic])
        self._pending: list[Record] = []
        self._pending_bytes = 0
        self._closes_at = 0.0
        self._handed_out_at = clock()
        self._may_be_paused = False
        self._still = Still(clock, unanswered=UNANSWERED)
        self._next: dict[TopicPartition, int] = {}
        self._offsets: dict[TopicPartition, OffsetAndMetadata] = {}
        self._commit_again_at = 0.0

    def topic_is_there(self) -> bool:
        """Ask the broker whether we see the topic."""
        return bool(self._client.partitions_for_topic(self._topic))

    def join(self, tick: Callable[[], None] = lambda: None) -> None:
        """Poll until partitions are ours, for half a minute: a group of more sinks than partitions gives some none.

        Raises:
            kafka.errors.KafkaError: above all an AuthorizationError, for the group or the topic.
        """
        until = self._clock() + _JOIN_SECS
        while not self._client.assignment() and self._clock() < until:
            tick()
            self.idle()

    def partitions(self) -> list[int]:
        """Give the partitions that are ours now."""
        return sorted(partition for _, partition in self._client.assignment())

    def lags(self) -> dict[int, int]:
        """Give how many records wait on each of our partitions, by what the last fetch told."""
        waiting = {}
        for partition in self._client.assignment() & self._next.keys():
            # It may have gone to another sink just now. Whatever else it is, no batch may be lost for a number.
            with contextlib.suppress(kafka_errors.KafkaError):
                end = self._client.highwater(partition)
                waiting[partition.partition] = max(0, (end or 0) - self._next[partition])
        return waiting

    def poll(self) -> list[Record]:
        """Wait for records, half a second at most; give a batch once it is full or old enough, else nothing.

        It is full at the size that was set, or with so many bytes that memory asks for an end. Its age counts from
        when the one before was handed out: its first records may have come while that was stored.

        Raises:
            kafka.errors.KafkaError: above all an AuthorizationError. No record is left out by that.
            StoodStillError: another consumer is to go on where this one got nothing more.
        """
        if self._may_be_paused:
            self._resume()
            self._still.begin()
        if self._offsets and self._clock() >= self._commit_again_at:
            self._commit()
        size = self._sink.batch_size
        wait = _POLL_SECS
        if self._pending:
            wait = min(wait, max(0.0, self._closes_at - self._clock()))
        most = min(size - len(self._pending), _MOST_AT_ONCE)
        got = self._client.poll(timeout_ms=int(wait * 1000), max_records=most)
        self._still.polled(self._client, gave=bool(got))
        if got and not self._pending:
            whole = self._handed_out_at + self._sink.batch_secs
            self._closes_at = max(whole, self._clock() + min(_GATHER_SECS, self._sink.batch_secs))
        for partition, records in got.items():
            self._pending.extend(records)
            self._pending_bytes += sum(record.size_in_bytes for record in records)
            self._next[partition] = records[-1].offset + 1
        is_full = len(self._pending) >= size or self._pending_bytes >= _BATCH_BYTES
        if not self._pending or not (is_full or self._clock() >= self._closes_at):
            return []
        self._handed_out_at = self._clock()
        batch, self._pending, self._pending_bytes = self._pending, [], 0
        return batch

    def commit(self, batch: list[Record]) -> None:
        """Tell the group that a batch is stored. Where that fails it is tried again later: repeats do no harm.

        Raises:
            kafka.errors.AuthorizationError: we may not; it is tried again all the same.
        """
        # Of each partition the last: they came in order.
        for record in {record.partition: record for record in batch}.values():
            partition = TopicPartition(record.topic, record.partition)
            known = self._offsets.get(partition)
            if known is None or record.offset >= known.offset:
                self._offsets[partition] = OffsetAndMetadata(record.offset + 1, "", -1)
        self._commit()

    def _commit(self) -> None:
        ours = self._client.assignment()
        self._offsets = {partition: offset for partition, offset in self._offsets.items() if partition in ours}
        if not self._offsets:
            return
        try:
            self._client.commit(self._offsets, timeout_ms=int(_COMMIT_SECS * 1000))
        except kafka_errors.AuthorizationError:
            raise
        except kafka_errors.KafkaError as error:
            log.debug("offsets not committed, trying again: %s %s", type(error).__name__, error)
            self._commit_again_at = self._clock() + 2.0
        else:
            self._offsets.clear()

    def idle(self) -> None:
        """Stay a member for half a second without taking records: what polls is alive to the group.

        Raises:
            kafka.errors.KafkaError: above all an AuthorizationError.
        """
        self._may_be_paused = True
        # A partition may go to another sink while we look at the list of ours; then there is nothing to do about it.
        with contextlib.suppress(kafka_errors.IllegalStateError):
            self._client.pause(*self._client.assignment())
        got = self._client.poll(timeout_ms=int(_POLL_SECS * 1000))
        for partition, records in got.items():
            # Of a partition that was given to us in this very call: put back, so that waiting costs no memory.
            with contextlib.suppress(kafka_errors.IllegalStateError):
                self._client.seek(partition, records[0].offset)

    def _resume(self) -> None:
        for partition in self._client.paused():
            with contextlib.suppress(kafka_errors.IllegalStateError):
                self._client.resume(partition)
        self._may_be_paused = bool(self._client.paused())

    def close(self) -> None:
        """Leave the group; records that were not handed out are read by who comes next."""
        self._client.close(autocommit=False, timeout_ms=int(_COMMIT_SECS * 1000))

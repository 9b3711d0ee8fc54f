"""The alarm log: who owns its one partition judges; what stands in it is all that a judge must know.

Beside the records (webmon/alarm/records.py) it has two keys of its own: `position`, up to where was judged, and
`epoch`, whose turn it is. Whoever gets the partition from the group begins with the epoch after the last one; a judge
that reads a later one than its own ends.
"""

import contextlib
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

from webmon.kafka import client, reach
from webmon.settings import Kafka

POSITION: Final = "position"
EPOCH: Final = "epoch"
_SESSION_MS: Final = 6_000
"""After so long the group gives the log of a judge that died or was frozen to another; brokers take no less."""
_POLL_MS: Final = 60_000
"""A judge whose loop stands still for so long is none, though its process answers the group."""
_ASK_MS: Final = 3_000


class Position(msgspec.Struct, omit_defaults=True, kw_only=True):
    """Up to where was judged; times are milliseconds since the epoch."""

    results: dict[str, int] = {}
    """The next offset of each partition of the results."""
    orders: int | None = None
    """The next offset of the orders."""
    arrived: int = 0
    """Arrival of the newest result that was judged."""
    window: int = 0
    """How much before that the next judge must see again."""
    at: int = 0
    """When this was written."""


class Epoch(msgspec.Struct, kw_only=True):
    """A judge's beginning."""

    number: int
    host: str
    at: int
    """Milliseconds since the epoch of Unix."""


class SupersededError(Exception):
    """Another judge has the log, or we have it no more: nothing more may be written or sent."""


class Membership(ConsumerRebalanceListener):  # type: ignore[misc]
    """A place in the judges' group. One thread uses it; it reads nothing."""

    def __init__(self, kafka: Kafka, *, make_client: Callable[..., Any] = KafkaConsumer) -> None:
        """Join the group.

        Raises:
            kafka.errors.KafkaError: no broker took us.
        """
        self._topic = kafka.alarm_topic
        self._partition = TopicPartition(kafka.alarm_topic, 0)
        self.gaps = 0
        """How often the log was ours no more."""
        self._client = make_client(
            **client.consumer_args(kafka)
            | {
                "group_id": kafka.alarm_group,
                "session_timeout_ms": _SESSION_MS,
                "max_poll_interval_ms": _POLL_MS,
                # Who joins takes the log from nobody.
                "partition_assignment_strategy": [CooperativeStickyAssignor],
            }
        )
        self._client.subscribe([kafka.alarm_topic], listener=self)

    def on_partitions_assigned(self, assigned: list[TopicPartition]) -> None:
        """Fetch nothing: webmon.alarm.reader does."""
        with contextlib.suppress(kafka_errors.IllegalStateError):
            self._client.pause(*assigned)

    def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        """Take that it goes to another."""
        self.gaps += self._partition in revoked

    def on_partitions_lost(self, lost: list[TopicPartition]) -> None:
        """Take that the group did not hear of us for too long."""
        self.gaps += self._partition in lost

    @property
    def is_ours(self) -> bool:
        """Whether the log is ours, as far as we know."""
        return self._partition in self._client.assignment()

    def topic_is_there(self) -> bool:
        """Ask the broker whether we see the topic."""
        return bool(self._client.partitions_for_topic(self._topic))

    def poll(self, seconds: float) -> None:
        """Stay a member: at least once a second.

        Raises:
            kafka.errors.KafkaError: above all an AuthorizationError.
        """
        self._client.poll(timeout_ms=int(seconds * 1000), max_records=1)

    def ask(self) -> bool:
        """Ask the group whether the log is ours; a broker that is away raises.

        Raises:
            kafka.errors.KafkaError: nobody can tell now.
        """
        try:
            # What is committed is of no use to anybody; but the group takes it of its members alone.
            self._client.commit({self._partition: OffsetAndMetadata(0, "", -1)}, timeout_ms=_ASK_MS)
        except (kafka_errors.CommitFailedError, kafka_errors.IllegalStateError):
            return False
        return self.is_ours

    def close(self) -> None:
        """Leave the group: another judge has the log at once."""
        self._client.close(autocommit=False, timeout_ms=_ASK_MS)


def epoch_of(value: bytes | None) -> Epoch | None:
    """Read the record `epoch`; None where it is none."""
    try:
        return None if value is None else msgspec.json.decode(value, type=Epoch)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def position_of(value: bytes | None) -> Position | None:
    """Read the record `position`; None where it is none."""
    try:
        return None if value is None else msgspec.json.decode(value, type=Position)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def next_epoch(values: Mapping[str, bytes], now: int) -> Epoch:
    """Give the epoch after the last one of a log."""
    last = epoch_of(values.get(EPOCH))
    return Epoch(number=(last.number if last else 0) + 1, host=socket.gethostname(), at=now)


def explain(error: kafka_errors.KafkaError, kafka: Kafka) -> str:
    """Say in one line what an error of a consumer means."""
    return reach.explain(error, kafka, wanted=f"READ topic {kafka.alarm_topic} as group {kafka.alarm_group}")

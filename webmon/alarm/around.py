"""What is to be seen around the judge: how far the sinks are, the dead letters, our certificate, the rollups.

Two threads ask, so that neither a Kafka nor a database that hangs delays the judge. What we have no right to see, or
what is away, is not known, and nothing is told of it; that the database is away is no alarm of its own, as it shows in
results that are not stored.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import psycopg2
from kafka import KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors

from webmon.daemon import threads
from webmon.errors import UserError
from webmon.kafka import certificate, client
from webmon.settings import Kafka, Postgres
from webmon.store import postgres as store
from webmon.store.names import Tables
from webmon.store.postgres import DatabaseAwayError

_log = logging.getLogger(__name__)

EVERY_SECS: Final = 5.0
_ASK_MS: Final = 5_000
_DATABASE_SECS: Final = 120.0
_LATE_ROLLUP: Final = "SELECT min(hour) AT TIME ZONE 'UTC' FROM {marks} WHERE hour < now() - interval '2 hours'"
"""An hour is rolled up when it is over; of one that ended an hour ago no mark should be left."""


@dataclass(frozen=True)
class Seen:
    """What Kafka said at a moment."""

    at: float
    """Seconds since the epoch."""
    ends: Mapping[int, int]
    """Of the results' partitions."""
    stored: Mapping[int, int] | None = None
    """What the sinks committed of them; None: not to be seen."""
    dead: int | None = None
    """The sum of the dead letters' ends; None: not to be seen."""


@dataclass
class Around:
    """Whoever asks, and what was seen last; any thread may read it."""

    kafka: Kafka
    postgres: Postgres
    stop: threading.Event
    make_client: Callable[..., Any] = KafkaConsumer
    seen: Seen | None = None
    rollups: str | None = None
    """What is wrong with the rollups; nothing: they are well; None: not to be seen, as while the database is away."""
    certificate_ends: datetime | None = None
    _hidden: set[str] = field(default_factory=set)
    """What we may not see, which was told."""

    def start(self) -> None:
        """Begin to look."""
        threads.Thread("around", self._watch_kafka).start()
        threads.Thread("rollups", self._watch_database).start()

    def _watch_kafka(self) -> None:
        consumer: Any = None
        expiry = certificate.Expiry(self.kafka)
        while not self.stop.is_set():
            self.certificate_ends = expiry()
            try:
                if consumer is None:
                    # As the sinks' group it may ask what they committed; it never joins.
                    consumer = self.make_client(**client.consumer_args(self.kafka) | {"bootstrap_timeout_ms": _ASK_MS})
                self.seen = self._ask(consumer)
            except kafka_errors.KafkaError as error:
                _log.debug("Kafka says nothing of itself: %s %s", type(error).__name__, error)
                if consumer is not None:
                    consumer.close(autocommit=False, timeout_ms=500)
                consumer = None
            self.stop.wait(EVERY_SECS)
        if consumer is not None:
            consumer.close(autocommit=False, timeout_ms=500)

    def _ask(self, consumer: Any) -> Seen:
        kafka = self.kafka
        results = [TopicPartition(kafka.topic, number) for number in consumer.partitions_for_topic(kafka.topic) or ()]
        at = time.time()
        ends = consumer.end_offsets(results, timeout_ms=_ASK_MS) if results else {}
        stored = self._if_allowed(
            f"DESCRIBE group {kafka.group}",
            lambda: {one.partition: consumer.committed(one, timeout_ms=_ASK_MS) or 0 for one in results},
        )
        dead = self._if_allowed(f"DESCRIBE topic {kafka.dead_letter_topic}", lambda: self._dead(consumer))
        return Seen(at, {one.partition: end for one, end in ends.items()}, stored, dead)

    def _dead(self, consumer: Any) -> int | None:
        name = self.kafka.dead_letter_topic
        letters = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
        return sum(consumer.end_offsets(letters, timeout_ms=_ASK_MS).values()) if letters else None

    def _if_allowed(self, right: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except (kafka_errors.AuthorizationError, kafka_errors.UnknownTopicOrPartitionError):
            if right not in self._hidden:
                self._hidden.add(right)
                _log.warning(
                    "Kafka does not let us %(right)s, so nothing is told of that: `webmon init` gives that right to "
                    "KAFKA_ALARM_PRINCIPALS",
                    {"right": right},
                )
            return None

    def _watch_database(self) -> None:
        tables = Tables(self.postgres.table)
        while not self.stop.is_set():
            try:
                with (
                    store.session(self.postgres, application="webmon-alarm-around", autocommit=True) as connection,
                    connection.cursor() as cursor,
                ):
                    cursor.execute(tables.fill(_LATE_ROLLUP))
                    ((hour,),) = cursor.fetchall()
                    self.rollups = f"the hour from {hour:%Y-%m-%d %H:%M} UTC is not rolled up yet" if hour else ""
            except (psycopg2.Error, DatabaseAwayError, UserError) as error:
                self.rollups = None
                _log.debug("the rollups can't be looked at: %s", error)
            self.stop.wait(_DATABASE_SECS)

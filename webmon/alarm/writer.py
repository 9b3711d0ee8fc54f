"""Writes the alarm log: what changed, in its order, each record acknowledged by all replicas in sync.

In a thread of its own, so that a Kafka that is away stops neither judging nor telling: what waits is written later, of
each key the newest.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from kafka import errors as kafka_errors

from webmon.alarm.records import Change
from webmon.daemon import threads
from webmon.daemon.outage import Outage
from webmon.errors import UserError
from webmon.kafka import client, reach
from webmon.kafka.reach import KafkaAwayError
from webmon.settings import Kafka

_log = logging.getLogger(__name__)

ACKNOWLEDGE_SECS: Final = 5.0
"""How long an acknowledgement may take until another producer tries."""
_LONGEST_WAIT: Final = 5.0
LARGEST: Final = 900_000
"""Bytes of a record: brokers take a megabyte."""
_AT_ONCE: Final = 2000
_LOOK_SECS: Final = 0.5
_ONE_BATCH: Final = {"linger_ms": 5, "batch_size": 900_000, "max_block_ms": 5000}
"""What one turn changed stands in the log as a whole or not at all: a batch is one thing to a broker."""


class LogWriter:
    """Takes changes from one thread, and tells it which of them the log has."""

    def __init__(
        self,
        kafka: Kafka,
        *,
        may_write: Callable[[], bool],
        make_producer: Callable[..., Any] = client.Producer,
        look: Callable[..., None] = reach.check_reachable,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the settings; nothing is connected yet.

        Args:
            kafka: whose log.
            may_write: whether we judge, as far as can be told now: one that stood still may not before it asked.
            make_producer: makes what sends.
            look: raises UserError or KafkaAwayError where no broker can be reached.
            clock: gives seconds that only grow.
        """
        self._kafka = kafka
        self._may_write = may_write
        self._make_producer = make_producer
        self._look = look
        self._clock = clock
        self._producer: Any = None
        self._waiting: dict[str, tuple[bytes | None, float]] = {}
        """By key, in the order of the last change; with the moment since when the key has waited."""
        self._changed = threading.Condition()
        self._stop = False
        self.written = 0
        """Records that were acknowledged."""
        self.outage = Outage(
            "waiting for Kafka to take the alarm log", "no longer waiting for Kafka to take the alarm log", clock=clock
        )
        self._thread = threads.Thread("alarm log", self._run)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def put(self, changes: Iterable[Change]) -> None:
        """Take changes."""
        now = self._clock()
        with self._changed:
            for key, value in changes:
                if value is not None and len(value) > LARGEST:
                    _log.error("a bug in webmon: %s has %d bytes and is not written", key, len(value))
                    continue
                # At the end, where it waits already: what was put before this value is written before it.
                since = self._waiting.pop(key, (None, now))[1]
                self._waiting[key] = (value, since)
            self._changed.notify()

    def has(self, keys: Iterable[str]) -> bool:
        """Tell whether the log has the newest of these."""
        with self._changed:
            return not any(key in self._waiting for key in keys)

    def __len__(self) -> int:
        """Give how many keys wait."""
        with self._changed:
            return len(self._waiting)

    def waits_secs(self) -> float:
        """Give since when the oldest change waits, in seconds ago; 0 where none does."""
        with self._changed:
            oldest = min((since for _, since in self._waiting.values()), default=None)
        return 0.0 if oldest is None else self._clock() - oldest

    def write(self, key: str, value: bytes) -> int:
        """Write one record now, and give its offset; before `start`, or with nothing waiting.

        Raises:
            UserError: no such topic, or no right to write it.
            KafkaAwayError: not acknowledged in time.
        """
        try:
            sent = self._send([(key, value)])
        except kafka_errors.KafkaError as error:
            self._give_up_producer()
            line = self._explain(error)
            if isinstance(error, reach.REFUSALS):
                raise UserError(line) from error
            raise KafkaAwayError(line) from error
        return int(sent[0].offset)

    def forget(self) -> None:
        """Drop what waits: another judge writes the log."""
        with self._changed:
            self._waiting.clear()
        self.outage.ends()

    def drain(self, seconds: float) -> None:
        """Wait until what waits is written, so long at most."""
        until = self._clock() + seconds
        with self._changed:
            while self._waiting and self._may_write() and not self.outage.lasts and self._clock() < until:
                self._changed.wait(0.05)

    def close(self) -> None:
        """End."""
        with self._changed:
            self._stop = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(2.0)
        self._give_up_producer()

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            try:
                self._send([(key, value) for key, (value, _) in batch])
            except UserError as error:
                self._failed(str(error), lasting=True)
            except (kafka_errors.KafkaError, KafkaAwayError) as error:
                line = self._explain(error) if isinstance(error, kafka_errors.KafkaError) else str(error)
                self._failed(line, lasting=isinstance(error, reach.REFUSALS))
            else:
                self.outage.ends()
                with self._changed:
                    for key, taken in batch:
                        if self._waiting.get(key) is taken:
                            del self._waiting[key]
                    self.written += len(batch)
                    self._changed.notify()

    def _next(self) -> list[tuple[str, tuple[bytes | None, float]]] | None:
        with self._changed:
            while not self._stop:
                if self._waiting and self._may_write():
                    return list(self._waiting.items())[:_AT_ONCE]
                self._changed.wait(_LOOK_SECS)
        return None

    def _send(self, records: list[tuple[str, bytes | None]]) -> list[Any]:
        if self._producer is None:
            self._look(self._kafka)
            self._producer = self._make_producer(**client.producer_args(self._kafka) | _ONE_BATCH)
        topic = self._kafka.alarm_topic
        waiting = [self._producer.send(topic, key=key.encode(), value=value, partition=0) for key, value in records]
        until = self._clock() + ACKNOWLEDGE_SECS
        return [future.get(timeout=max(0.1, until - self._clock())) for future in waiting]

    def _failed(self, cause: str, *, lasting: bool) -> None:
        self._give_up_producer()
        self.outage.begins(cause, lasting=lasting)
        with self._changed:
            self._changed.wait_for(lambda: self._stop, min(self.outage.next_wait(), _LONGEST_WAIT))

    def _give_up_producer(self) -> None:
        if self._producer is not None:
            self._producer.abandon(timeout=1)
        self._producer = None

    def _explain(self, error: kafka_errors.KafkaError) -> str:
        return reach.explain(error, self._kafka, wanted=f"WRITE topic {self._kafka.alarm_topic}")

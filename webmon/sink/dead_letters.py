"""What can't be stored goes to a topic of its own: the original bytes, with where they came from and why."""

import dataclasses
import logging
from collections.abc import Sequence
from typing import Any, Final

from kafka import KafkaProducer
from kafka import errors as kafka_errors

from webmon import kafka
from webmon.kafka import KafkaAwayError
from webmon.settings import Kafka, UserError
from webmon.sink.reading import Record, Unreadable

log = logging.getLogger(__name__)

ACKNOWLEDGE_SECS: Final = 10.0
_CUT: Final = 100_000
"""Bytes that are kept of a message which the dead-letter topic finds too large."""


@dataclasses.dataclass(frozen=True)
class _Letter:
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


def letter(record: Record, reason: str) -> _Letter:
    """Address a record: key, value and headers as they came, and ours beside them."""
    ours = {
        "webmon-reason": reason,
        "webmon-topic": record.topic,
        "webmon-partition": str(record.partition),
        "webmon-offset": str(record.offset),
    }
    headers = [*record.headers, *((name, value.encode("utf-8", "backslashreplace")) for name, value in ours.items())]
    return _Letter(record.key, record.value, headers)


class DeadLetters:
    """The way to the dead-letter topic; its producer is made with the first letter, as most sinks never need one."""

    def __init__(self, settings: Kafka) -> None:
        """Take the settings; nothing is connected yet."""
        self._settings = settings
        self._producer: Any = None

    def send(self, unreadable: Sequence[Unreadable]) -> None:
        """Send letters and wait until Kafka has them all. After an error send all again: a letter may come twice.

        Raises:
            UserError: no such topic, or no right to write it.
            KafkaAwayError: not acknowledged in time.
        """
        topic = self._settings.dead_letter_topic
        letters = [letter(record, reason) for record, reason in unreadable]
        try:
            if self._producer is None:
                kafka.check_reachable(self._settings)
                self._producer = KafkaProducer(**kafka.producer_args(self._settings), max_request_size=64 * 1024 * 1024)
            waiting = [(one, self._put(one)) for one in letters]
            for one, future in waiting:
                try:
                    future.get(timeout=ACKNOWLEDGE_SECS)
                except kafka_errors.MessageSizeTooLargeError:
                    self._put(self._cut(one)).get(timeout=ACKNOWLEDGE_SECS)
        except kafka_errors.KafkaError as error:
            self.close()
            line = kafka.explain(error, self._settings, wanted=f"WRITE topic {topic}")
            if isinstance(error, (kafka_errors.AuthorizationError, kafka_errors.UnknownTopicOrPartitionError)):
                raise UserError(line) from error
            raise KafkaAwayError(line) from error

    def close(self) -> None:
        """End the producer; a letter that it still holds was never said to be sent."""
        if self._producer is not None:
            try:
                self._producer.close(timeout=1)
            except kafka_errors.KafkaError as error:
                log.debug("the producer of dead letters did not end well: %s", error)
        self._producer = None

    def _put(self, one: _Letter) -> Any:
        return self._producer.send(self._settings.dead_letter_topic, key=one.key, value=one.value, headers=one.headers)

    def _cut(self, one: _Letter) -> _Letter:
        length = len(one.value or b"")
        return _Letter(None, (one.value or b"")[:_CUT], [*one.headers, ("webmon-cut-from", str(length).encode())])

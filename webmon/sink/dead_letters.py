"""What can't be stored goes to a topic of its own: the original bytes, with where they came from and why."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Final

from kafka import errors as kafka_errors

from webmon.errors import UserError
from webmon.kafka import client, reach
from webmon.kafka.client import Withheld
from webmon.kafka.decode import Record, Unreadable
from webmon.kafka.reach import KafkaAwayError
from webmon.settings import Kafka

ACKNOWLEDGE_SECS: Final = 10.0
LARGEST: Final = 64 * 1024 * 1024
"""Bytes that a producer lets pass: what is too large is the topic's to say (max.message.bytes)."""
_AT_ONCE: Final = 8 * 1024 * 1024
"""Bytes that are given to the producer before their acknowledgements are waited for: it copies them."""
_CUT: Final = 100_000
"""Bytes that are kept of a message which the dead-letter topic finds too large."""

REASON: Final = "webmon-reason"
TOPIC: Final = "webmon-topic"
PARTITION: Final = "webmon-partition"
OFFSET: Final = "webmon-offset"
CUT_FROM: Final = "webmon-cut-from"
"""Our headers, behind those of the message: why it is here, where it stood, how many bytes it had before it was cut."""


def _wait(waiting: Sequence[Any]) -> None:
    for future in waiting:
        future.get(timeout=ACKNOWLEDGE_SECS)


@dataclasses.dataclass(frozen=True)
class _Letter:
    key: bytes | None
    value: bytes | None
    theirs: Sequence[tuple[str, bytes]]
    """Headers of the message."""
    ours: Sequence[tuple[str, bytes]]

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """All of them."""
        return [*self.theirs, *self.ours]


def letter(record: Record, reason: str) -> _Letter:
    """Address a record: key, value and headers as they came, and ours beside them."""
    ours = {
        REASON: reason,
        TOPIC: record.topic,
        PARTITION: str(record.partition),
        OFFSET: str(record.offset),
    }
    value = record.value
    if isinstance(value, Withheld):
        ours[CUT_FROM] = str(value.size)
        value = b""
    # kafka-python sends no header without a value; another client has some.
    theirs = [(name, content or b"") for name, content in record.headers]
    encoded = [(name, text.encode("utf-8", "backslashreplace")) for name, text in ours.items()]
    # kafka-python sends no message without both; another client of Kafka may have.
    nothing = record.key is None and value is None
    return _Letter(record.key, b"" if nothing else value, theirs, encoded)


def _cut(one: _Letter) -> _Letter:
    """Leave a part of the value, and of the headers ours alone: theirs may be as large as the rest."""
    value = one.value or b""
    ours = {name: content[:_CUT] for name, content in one.ours}
    ours.setdefault(CUT_FROM, str(len(value)).encode())
    return _Letter(None, value[:_CUT], (), list(ours.items()))


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
        letters = [letter(record, reason) for record, reason in unreadable]
        try:
            try:
                self._send(letters)
            except kafka_errors.MessageSizeTooLargeError:
                self._send_one_by_one(letters)
        except kafka_errors.KafkaError as error:
            self.close()
            line = reach.explain(error, self._settings, wanted=f"WRITE topic {self._settings.dead_letter_topic}")
            if isinstance(error, reach.REFUSALS):
                raise UserError(line) from error
            raise KafkaAwayError(line) from error

    def _send_one_by_one(self, letters: Sequence[_Letter]) -> None:
        """Find the letter that is too large, and cut it.

        An idempotent kafka-python producer (3.0.12) answers to all that it is given after such a letter with the same
        error, so none of the answers so far says which one it was, and each such letter needs a new producer after it.
        """
        self.close()
        for one in letters:
            try:
                self._send([one])
            except kafka_errors.MessageSizeTooLargeError:
                self.close()
                self._send([_cut(one)])

    def _send(self, letters: Sequence[_Letter]) -> None:
        if self._producer is None:
            reach.check_reachable(self._settings)
            self._producer = client.Producer(**client.producer_args(self._settings), max_request_size=LARGEST)
        topic = self._settings.dead_letter_topic
        waiting: list[Any] = []
        size = 0
        for one in letters:
            waiting.append(self._producer.send(topic, key=one.key, value=one.value, headers=one.headers))
            size += len(one.value or b"") + len(one.key or b"")
            if size >= _AT_ONCE:
                _wait(waiting)
                waiting, size = [], 0
        _wait(waiting)

    def close(self) -> None:
        """End the producer; a letter that it still holds was never said to be sent."""
        if self._producer is not None:
            self._producer.abandon(timeout=1)
        self._producer = None

"""Partitions that stand still: nothing comes of them, without an error, though records wait there.

Seen of kafka-python 3.0.12 on a busy machine whose brokers were restarted one after the other: a member of its group,
which polled and kept its partitions, was given nothing of them any more, for minutes, until it was ended. What a client
knows of a partition's end is of its last fetch, so it said that nothing waits. Who reads therefore asks the brokers now
and then, and goes on with another client.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from kafka import TopicPartition
from kafka import errors as kafka_errors

from webmon.kafka.reach import KafkaAwayError

_SECS: Final = 15.0
"""Between two looks at least."""
_CHANCES: Final = 1000
"""Polls between two looks at least: behind a backlog each partition has its turn, however long a batch is stored."""
_EMPTY: Final = 50
"""Polls that one counts for which gives nothing at all: all that was fetched is given by then."""
_ASK_MS: Final = 1000
UNANSWERED: Final = 8
"""Looks in a row without an answer, two minutes at least: another client may hear more than this one."""


class StoodStillError(KafkaAwayError):
    """Records wait on partitions of ours, and the client gives none of them."""


class Still:
    """Looks after the partitions of one client; in the thread that polls."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, unanswered: int | None = None) -> None:
        """Take a clock, whose seconds only grow, and how many looks in a row may have no answer; None: all of them."""
        self._clock = clock
        self._most_unanswered = unanswered
        self._unanswered = 0
        self.begin()

    def begin(self) -> None:
        """Begin anew, as nothing was asked for for a while."""
        self._seen: dict[TopicPartition, tuple[int, int]] = {}
        """Where we were in each partition, and where it ended, at the last look."""
        self._chances = 0
        self._look_at = self._clock() + _SECS

    def polled(self, client: Any, *, gave: bool) -> None:
        """Take that a client was polled, and whether it gave anything; now and then ask the brokers for the ends.

        Raises:
            StoodStillError: a partition had records at the last look, and it gave none since; or too many looks in a
                row had no answer.
        """
        self._chances += 1 if gave else _EMPTY
        if self._clock() < self._look_at or self._chances < _CHANCES:
            return
        before = self._seen
        self.begin()
        try:
            partitions = sorted(client.assignment() - client.paused())
            ends = client.end_offsets(partitions, timeout_ms=_ASK_MS) if partitions else {}
            places = {partition: client.position(partition, timeout_ms=_ASK_MS) for partition in partitions}
        except kafka_errors.KafkaError as error:
            # A broker is away, or a partition went elsewhere: nothing can be told.
            self._unanswered += 1
            if self._unanswered == self._most_unanswered:
                said = f"{type(error).__name__}: {error}"
                raise StoodStillError(f"no broker says to this client where its partitions end: {said}") from error
            return
        self._unanswered = 0
        self._seen = {partition: (place, ends[partition]) for partition, place in places.items() if place is not None}
        waiting = {
            partition: end - place
            for partition, (place, end) in before.items()
            if place < end and self._seen.get(partition, (None,))[0] == place
        }
        if waiting:
            told = ", ".join(f"{partition.partition} ({count})" for partition, count in waiting.items())
            topics = " and ".join(sorted({partition.topic for partition in waiting}))
            raise StoodStillError(f"records wait on partitions of {topics} and none comes: {told}")

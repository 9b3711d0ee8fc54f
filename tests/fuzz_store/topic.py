"""A topic in memory, and where its dead letters go; the loop of the sink between them is the real one."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final

from tests.fuzz_store.messages import Message
from webmon.check.result import CheckResult
from webmon.kafka.decode import Unreadable
from webmon.sink.consumer import BatchConsumer
from webmon.sink.writer import Stored, Writer

_BY_BROKER: Final = 1
"""timestamp_type of a topic with LogAppendTime."""


class Topic(BatchConsumer):
    """Gives one batch at a time, and notes how far the group is."""

    def __init__(self) -> None:
        """Begin without a message."""
        self.next: list[Any] = []
        self.committed = 0
        self._offset = 0

    def put(self, messages: Sequence[Message], milliseconds: int) -> None:
        """Put messages into the next batch, as a broker got them at a time."""
        for message in messages:
            record = SimpleNamespace(
                topic="results", partition=0, offset=self._offset, key=b"key", value=message.value,
                headers=list(message.headers), timestamp=milliseconds, timestamp_type=_BY_BROKER,
            )  # fmt: skip
            self.next.append(record)
            self._offset += 1

    def poll(self) -> list[Any]:
        """Give what is there."""
        batch, self.next = self.next, []
        return batch

    def commit(self, batch: Sequence[Any] = ()) -> None:
        """Note that they are in their place."""
        self.committed += len(batch)

    def idle(self) -> None:
        """Be a member of the group."""

    def lags(self) -> dict[int, int]:
        """Nothing waits that was not given."""
        return {0: 0}

    def partitions(self) -> list[int]:
        """Give the only one."""
        return [0]

    def close(self) -> None:
        """Leave the group."""


class Letters:
    """The dead letters of a batch."""

    def __init__(self) -> None:
        """Begin without one."""
        self.sent: list[Unreadable] = []

    def send(self, unreadable: Sequence[Unreadable]) -> None:
        """Keep them."""
        self.sent += unreadable


class Rows:
    """The real writer, and what it was given."""

    def __init__(self, writer: Writer) -> None:
        """Take it."""
        self._writer = writer
        self.asked: list[CheckResult] = []
        self.stored: list[Stored] = []

    def check(self) -> None:
        """See that the tables are there."""
        self._writer.check()

    def store(self, results: Sequence[CheckResult]) -> Stored:
        """Add what is new; a batch may be given again."""
        stored = self._writer.store(results)
        self.asked, self.stored = [*results], [*self.stored, stored]
        return stored

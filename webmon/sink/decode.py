"""From a record of the topic to a CheckResult, or to the reason why it can't be one."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from webmon.check.result import CheckResult, UnreadableResultError, decode, headers, schema_of
from webmon.kafka.client import Withheld
from webmon.sink import bugs

Record = Any
"""kafka-python's ConsumerRecord, which comes without types: topic, partition, offset, key, value, headers."""

OLDEST: Final = timedelta(days=366)
"""An older one has a wrong clock, whoever brings it: also where an old topic is read again."""
LATE: Final = timedelta(days=100)
"""How long after its check a result may come onto the topic: an agent's outbox and a dead letter wait less. A chunk
costs each query, and whoever spreads results over the past makes no more of them than 90 days of rows have anyway."""
AHEAD: Final = timedelta(hours=1)
"""How far a clock may be ahead; Kafka's own brokers take no more (message.timestamp.after.max.ms)."""

_OURS: Final = headers()
"""What nearly every record has: those of an agent of this release."""


class Read(NamedTuple):
    """A record and what it says."""

    record: Record
    result: CheckResult


class Unreadable(NamedTuple):
    """A record that can't be stored, and why, in one line."""

    record: Record
    reason: str


def read(records: Iterable[Record], *, now: datetime) -> tuple[list[Read], list[Unreadable]]:
    """Tell the readable records from the others, each in the order of the topic."""
    readable: list[Read] = []
    unreadable: list[Unreadable] = []
    late, newest = now - LATE, now + AHEAD
    for record in records:
        try:
            result = _result(record)
            if not (late <= result.time <= newest and late <= result.scheduled_at <= newest):
                _see_times(record, result, now)
        except UnreadableResultError as error:
            unreadable.append(Unreadable(record, _withheld(record) or str(error)))
        except Exception as error:  # noqa: BLE001 - whatever one message does, it stops no other
            unreadable.append(Unreadable(record, bugs.tell(error)))
        else:
            readable.append(Read(record, result))
    return readable, unreadable


def _withheld(record: Record) -> str | None:
    value = record.value
    if not isinstance(value, Withheld):
        return None
    where = "the record" if value.first == record.offset else f"the batch from offset {value.first} to {record.offset}"
    return f"{where} was not read: {value.reason}"


def _result(record: Record) -> CheckResult:
    if record.value is None:
        raise UnreadableResultError("the message has no value")
    if record.headers == _OURS:
        return decode(record.value)
    # A header may stand twice or hold no value; the last one that says something counts.
    said = {name: value for name, value in record.headers if value is not None}
    return decode(record.value, schema=schema_of(said))


def _see_times(record: Record, result: CheckResult, now: datetime) -> None:
    """Judge times that are seldom right.

    Raises:
        UnreadableResultError: ahead, of another year, or come onto the topic too late.
    """
    # When the broker took the record (LogAppendTime, as `webmon init` sets it): it stays where a topic is read again.
    came = now if record.timestamp > 1000 * now.timestamp() else datetime.fromtimestamp(record.timestamp / 1000, UTC)
    for name, moment in (("time", result.time), ("scheduled_at", result.scheduled_at)):
        if not now - OLDEST <= moment <= now + AHEAD:
            raise UnreadableResultError(
                f"{name} {moment.isoformat()} is not between {OLDEST.days} days ago and {AHEAD.seconds // 3600} h ahead"
            )
        if moment < came - LATE:
            raise UnreadableResultError(
                f"{name} {moment.isoformat()} is more than {LATE.days} days before it came, {came.isoformat()}"
            )

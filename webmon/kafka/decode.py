"""From a record of the topic to a CheckResult, or to the reason why it can't be one: what it is, whose, and of when."""

import functools
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from webmon.check.result import CheckResult, UnreadableResultError, decode, headers, schema_of
from webmon.kafka import bugs, mac
from webmon.kafka.agents import Agents
from webmon.kafka.client import Withheld

Record = Any
"""kafka-python's ConsumerRecord, which comes without types: topic, partition, offset, key, value, headers, timestamp
(milliseconds since the epoch) and timestamp_type."""

OLDEST: Final = timedelta(days=366)
"""An older one has a wrong clock, whoever brings it: also where an old topic is read again."""
LATE: Final = timedelta(days=100)
"""How long after its check a result may come onto the topic: an agent's outbox and a dead letter wait less. A chunk
costs each query, and whoever spreads results over the past makes no more of them than 90 days of rows have anyway."""
AHEAD: Final = timedelta(seconds=30)
"""How far a result may be ahead of the moment when Kafka got it. A host without NTP goes wrong by a second or two a
day, which playbooks/verify.yml tells from two seconds on; what is further ahead would hide what is present."""
_BY_BROKER: Final = 1
"""A record's timestamp_type where the broker wrote the timestamp (LogAppendTime). A producer can't claim that."""
_LAST: Final = 253_370_764_800_000
"""The year 9999, in milliseconds: what comes after it is no moment to Python."""

_OURS: Final = headers()[0]
"""What nearly every record has: that of an agent of this release, and a MAC behind it where it has a key."""
_MAC: Final = mac.HEADER
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Read(NamedTuple):
    """A record and what it says."""

    record: Record
    result: CheckResult


class Unreadable(NamedTuple):
    """A record that can't be stored, and why, in one line."""

    record: Record
    reason: str


def read(
    records: Iterable[Record], *, now: datetime, agents: Agents | None = None
) -> tuple[list[Read], list[Unreadable]]:
    """Tell the readable records from the others, each in the order of the topic.

    Args:
        records: of the topic.
        now: the moment, by our clock.
        agents: whom we believe; None for anybody who may write the topic.
    """
    readable: list[Read] = []
    unreadable: list[Unreadable] = []
    late, ahead = now - LATE, now + AHEAD
    for record in records:
        try:
            result, signed = _result(record)
            if agents is not None:
                agents.see_origin(result.agent, record.key, record.value, signed, record.timestamp)
            # By the broker's clock, or ours where an agent wrote the timestamp.
            newest = _after(record.timestamp) if record.timestamp_type == _BY_BROKER else ahead
            if not (late <= result.time <= newest and late <= result.scheduled_at <= newest):
                _see_times(record, result, now, newest)
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


def _result(record: Record) -> tuple[CheckResult, bytes | None]:
    """Give what a record says, and its MAC where it has one."""
    if record.value is None:
        raise UnreadableResultError("the message has no value")
    said = record.headers
    if said and said[0] == _OURS:
        if len(said) == 1:
            return decode(record.value), None
        if len(said) == 2 and said[1][0] == _MAC:
            return decode(record.value), said[1][1]
    # A header may stand twice or hold no value; the last one that says something counts.
    by_name = {name: value for name, value in said if value is not None}
    return decode(record.value, schema=schema_of(by_name)), by_name.get(_MAC)


@functools.lru_cache(maxsize=16)  # the records of a producer's batch have one
def _after(timestamp: int) -> datetime:
    """Give what no time of a result may be after that the broker got at a moment (milliseconds since the epoch)."""
    return _EPOCH + timedelta(milliseconds=min(timestamp, _LAST)) + AHEAD


def _see_times(record: Record, result: CheckResult, now: datetime, newest: datetime) -> None:
    """Judge times that are seldom right.

    Raises:
        UnreadableResultError: ahead, of another year, or come onto the topic too late.
    """
    # Who wrote the timestamp does not matter here: whoever reads an old topic again finds it as it was.
    came = now if record.timestamp > 1000 * now.timestamp() else datetime.fromtimestamp(record.timestamp / 1000, UTC)
    for name, moment in (("time", result.time), ("scheduled_at", result.scheduled_at)):
        if not now - OLDEST <= moment <= newest:
            raise UnreadableResultError(
                f"{name} {moment.isoformat()} is not between {OLDEST.days} days ago and {AHEAD.seconds} s after Kafka "
                f"got it ({newest - AHEAD:%Y-%m-%d %H:%M:%S} UTC): is the agent's clock right?"
            )
        if moment < came - LATE:
            raise UnreadableResultError(
                f"{name} {moment.isoformat()} is more than {LATE.days} days before it came, {came.isoformat()}"
            )

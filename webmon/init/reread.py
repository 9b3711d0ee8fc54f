"""`webmon reread`: the sinks' place in the topic is set back, so that they read again what a restored database lacks.

What is stored already changes nothing when it is read again, so too far back costs time alone. Without a time it is the
topic's beginning: a sink that was behind stored messages long after they came, so when a backup ended does not say
which messages it has.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import OffsetSpec

from webmon.daemon import log
from webmon.errors import UserError
from webmon.kafka import client, reach
from webmon.kafka.reach import KafkaAwayError
from webmon.settings import InitSettings, Kafka

_SOMEBODY_READS: Final = (
    kafka_errors.UnknownMemberIdError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.RebalanceInProgressError,
)
"""What a group with members answers who is none of them."""


class _Place(NamedTuple):
    """Where a partition is to be read again from."""

    offset: int
    end: int
    time: float | None
    """When Kafka got the message there, in seconds of the epoch; None at the end."""
    begin: int
    """The offset of the first message that Kafka still has."""
    unread: int
    """Messages before that which the group has not read yet."""

    def is_later_than(self, wanted: float) -> bool:
        """Tell whether messages of after that time may have been removed before this one."""
        return 0 < self.begin == self.offset and self.time is not None and self.time > wanted


def run(settings: InitSettings, since: datetime | None) -> int:
    """Set the sinks' group back, and say what will be read again.

    Args:
        settings: of init, whose certificate may do it.
        since: when Kafka got the first message that is read again; None for all that the topic has.

    Raises:
        UserError: a sink runs, the topic is not there, the time is still to come, or Kafka can't be asked or does not
            let us.
    """
    log.configure(settings.common.log_level)
    if since is not None and since > datetime.now(UTC):
        raise UserError(f"--since: {_utc(since.timestamp())} UTC is still to come; right would be a time that is past")
    kafka = settings.kafka
    try:
        reach.check_reachable(kafka)
        admin = client.Admin(**client.admin_args(kafka))
        try:
            lines = set_back(admin, kafka, since)
        finally:
            admin.close()
    except KafkaAwayError as error:
        raise UserError(str(error)) from error
    except kafka_errors.KafkaError as error:
        raise UserError(reach.explain(error, kafka, wanted=f"READ as group {kafka.group}")) from error
    for line in lines:
        print(line)
    return 0


def set_back(admin: Any, kafka: Kafka, since: datetime | None) -> list[str]:
    """Commit for each partition where it is to be read from, never beyond where it is read to; give lines for people.

    Raises:
        UserError: the group has members, whose own places would win.
        kafka.errors.KafkaError: Kafka refuses or can't be asked.
    """
    (topic,) = admin.describe_topics([kafka.topic])
    if topic["error_code"]:
        raise kafka_errors.for_code(topic["error_code"])(kafka.topic)
    partitions = [TopicPartition(kafka.topic, one["partition_index"]) for one in topic["partitions"]]
    committed = admin.list_group_offsets({kafka.group: None})[kafka.group]
    places = _places(admin, {one: committed[one].offset if one in committed else -1 for one in partitions}, since)
    answers = admin.alter_group_offsets(
        kafka.group, {one: OffsetAndMetadata(place.offset - place.unread, "", -1) for one, place in places.items()}
    )
    for error in answers.values():
        if error in _SOMEBODY_READS:
            raise UserError(
                f"a sink reads as group {kafka.group}, and nobody else may set its place; right would be systemctl "
                "stop 'webmon-sink*' on every host of the group sinks first. Nothing was changed"
            )
        if error is not kafka_errors.NoError:
            raise error(f"the place of group {kafka.group}")
    return list(_told(kafka, list(places.values()), since))


def _places(
    admin: Any, committed: Mapping[TopicPartition, int], since: datetime | None
) -> dict[TopicPartition, _Place]:
    """Find where each partition is to be read from; `committed` is where the group is, less than 0: nowhere yet."""
    partitions = list(committed)
    begins = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
    ends = admin.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    # By the brokers' timestamps, which only grow; -1 where no message is so young.
    found = admin.list_partition_offsets(
        dict.fromkeys(partitions, 0 if since is None else int(since.timestamp() * 1000))
    )
    places = {}
    for one, at in found.items():
        begin, end = begins[one].offset, ends[one].offset
        offset, when = (end, None) if at.offset < 0 else (at.offset, at.timestamp / 1000)
        # Where it never was it would begin with the first.
        places[one] = _Place(offset, end, when, begin, unread=max(0, offset - max(begin, committed[one])))
    return places


def _told(kafka: Kafka, places: Sequence[_Place], since: datetime | None) -> Iterator[str]:
    times = [place.time for place in places if place.time is not None]
    if times:
        count, first = sum(place.end - place.offset for place in places), _utc(min(times))
        yield f"changed  group {kafka.group}: {count} messages of {kafka.topic} are read again, from {first} UTC on"
    else:
        yield f"changed  group {kafka.group}: {kafka.topic} has no message to read again"
    if unread := sum(place.unread for place in places):
        yield f"{unread} messages that came before were not read yet, and will be"
    if since is not None and any(place.is_later_than(since.timestamp()) for place in places):
        yield (
            f"{kafka.topic} no longer has all that came since {_utc(since.timestamp())} UTC: what it has removed, and "
            "the database has not, is lost"
        )


def _utc(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"

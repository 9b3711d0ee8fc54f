"""The topics: created where they are missing, grown where they are too small, never shrunk."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType

from webmon.errors import UserError
from webmon.init.step import Step
from webmon.settings import Init, Kafka

_HOUR_MS: Final = 3_600_000
_DEAD_LETTER_HOURS: Final = 720
"""A person has to look at them first, so they stay a month at least."""
_DEAD_LETTER_BYTES: Final = 10 * 1024 * 1024
"""Room for whatever the results' topic took, with the headers that a dead letter gets on top."""
_OLDEST_MS: Final = 86_400_000
"""How old a record may say that it is when it comes: an agent sends it with the time of now, and what a sink makes of
its result's age hangs on that (webmon/kafka/decode.py)."""
_ALARMS: Final[Mapping[str, int | str]] = {
    "cleanup.policy": "compact",
    # The segment that is being written is never compacted: a judge that takes over reads all of it. Rolled by the
    # broker's timestamps, or one that is ahead would keep it open for years.
    "message.timestamp.type": "LogAppendTime",
    "segment.ms": _HOUR_MS,
    "segment.bytes": 16 * 1024 * 1024,
    "min.cleanable.dirty.ratio": "0.2",
    # A judge that stands by, or comes back, still sees what is no more.
    "delete.retention.ms": 24 * _HOUR_MS,
}
_ORDERS: Final[Mapping[str, int | str]] = {
    "message.timestamp.type": "LogAppendTime",
    # A judge may be away for a week; an order that is older wakes nobody.
    "retention.ms": 7 * 24 * _HOUR_MS,
    # Whoever may write it, such as a page's host that was taken, can fill no disk: a thousand of the largest orders.
    "retention.bytes": 100_000_000,
    "segment.bytes": 16 * 1024 * 1024,
}
_SEGMENT: Final = 1 << 30
"""Bytes of a segment, as brokers have it: Kafka deletes whole ones, and keeps that much more than it is told."""
_KNOWN_SECS: Final = 15.0
"""How long the last of several brokers may take to know a topic that another one has."""
_NO_ERROR, _UNKNOWN_TOPIC, _ALREADY_EXISTS = 0, 3, 36
"""Kafka's error codes (https://kafka.apache.org/protocol#protocol_error_codes)."""


def ensure_topics(admin: KafkaAdminClient, kafka: Kafka, init: Init) -> Iterator[Step]:
    """See to the topics of results and dead letters, and where there are judges to the alarm log and the orders.

    Raises:
        UserError: the cluster refuses, and says why.
        kafka.errors.KafkaError: it could not be asked.
    """
    retention = init.retention_hours * _HOUR_MS
    yield from _ensure(
        admin,
        kafka.topic,
        init.partitions,
        init.replication,
        # The broker's timestamps: a sink judges by them what an agent claims of the time.
        {"retention.ms": retention, "message.timestamp.type": "LogAppendTime"},
    )
    yield from _ensure(
        admin,
        kafka.dead_letter_topic,
        1,
        init.replication,
        {
            "retention.ms": max(retention, _DEAD_LETTER_HOURS * _HOUR_MS),
            "max.message.bytes": _DEAD_LETTER_BYTES,
        },
    )
    yield from _ensure_configs(admin, kafka.topic, {"message.timestamp.before.max.ms": _OLDEST_MS})
    # So that nobody who may write can fill a disk: a broker whose disk is full stops.
    most = init.retention_bytes
    segment = {"segment.bytes": max(most // 8, 1 << 20)} if most // 8 < _SEGMENT else {}
    for name in (kafka.topic, kafka.dead_letter_topic):
        yield from _ensure_configs(admin, name, {"retention.bytes": most} | segment)
    if init.alarm_principals is not None:
        yield from _ensure(admin, kafka.alarm_topic, 1, init.replication, _ALARMS)
        yield from _ensure(admin, kafka.orders_topic, 1, init.replication, _ORDERS)


def _ensure(
    admin: KafkaAdminClient, name: str, partitions: int, replication: int | None, configs: Mapping[str, int | str]
) -> Iterator[Step]:
    found = _describe(admin, name)
    if found is None and _create(admin, name, partitions, replication, configs):
        made = _described(admin, name)
        yield Step("created", f"topic {name} ({_shape(made)})")
        return
    if found is None:  # another init made it meanwhile
        found = _described(admin, name)
    count = len(found["partitions"])
    if count < partitions:
        admin.create_partitions({name: partitions})
        yield Step("changed", f"topic {name} ({count} -> {partitions} partitions)")
    elif count > partitions:
        yield Step(
            "unchanged",
            f"topic {name} ({_shape(found)}; asked for were {partitions}, but Kafka takes no partition away)",
        )
    else:
        yield Step("unchanged", f"topic {name} ({_shape(found)}){_other_replication(found, replication)}")
    yield from _ensure_configs(admin, name, configs)


def _describe(admin: KafkaAdminClient, name: str) -> dict[str, Any] | None:
    topic: dict[str, Any] = admin.describe_topics([name])[0]
    if topic["error_code"] == _UNKNOWN_TOPIC:
        return None
    if topic["error_code"] != _NO_ERROR:
        raise kafka_errors.for_code(topic["error_code"])(name)
    return topic


def _described(admin: KafkaAdminClient, name: str) -> dict[str, Any]:
    """Wait until the cluster knows a new topic and has a leader for each partition, then describe it."""
    admin.wait_for_topics([name])
    # Of several brokers each hears of it by itself, and any may be asked.
    until = time.monotonic() + _KNOWN_SECS
    while (topic := _describe(admin, name)) is None:
        if time.monotonic() > until:
            raise kafka_errors.UnknownTopicOrPartitionError(name)
        time.sleep(0.1)
    return topic


def _create(
    admin: KafkaAdminClient, name: str, partitions: int, replication: int | None, configs: Mapping[str, int | str]
) -> bool:
    """Create a topic; False where it is there already."""
    answer = admin.create_topics(
        {
            name: {
                "num_partitions": partitions,
                "replication_factor": -1 if replication is None else replication,
                "configs": {key: str(value) for key, value in configs.items()},
            }
        },
        raise_errors=False,
    )["topics"][0]
    code = answer["error_code"]
    if code == _ALREADY_EXISTS:
        return False
    if code != _NO_ERROR:
        error = kafka_errors.for_code(code)
        if issubclass(error, kafka_errors.AuthorizationError):
            raise UserError(
                f"Kafka does not let us create topic {name}: make it there yourself, with {partitions} "
                "partitions, or give init's principal the right to CREATE topics; then run `webmon init` again"
            )
        hint = "KAFKA_TOPIC_REPLICATION: " if error is kafka_errors.InvalidReplicationFactorError else ""
        raise UserError(f"{hint}Kafka can't create topic {name}: {answer['error_message'] or error.__name__}")
    return True


def _shape(topic: dict[str, Any]) -> str:
    count = len(topic["partitions"])
    return f"{count} partition{'s' if count != 1 else ''}, replication {_replication(topic)}"


def _replication(topic: dict[str, Any]) -> int:
    return min(len(partition["replica_nodes"]) for partition in topic["partitions"])


def _other_replication(topic: dict[str, Any], wanted: int | None) -> str:
    if wanted is None or wanted == _replication(topic):
        return ""
    return f"; KAFKA_TOPIC_REPLICATION is {wanted}: only Kafka's kafka-reassign-partitions changes that"


def _ensure_configs(admin: KafkaAdminClient, name: str, wanted: Mapping[str, int | str]) -> Iterator[Step]:
    try:
        yield from _configs(admin, name, wanted)
    except (kafka_errors.UnsupportedVersionError, kafka_errors.IncompatibleBrokerVersion):
        yield Step("not set", f"settings of topic {name}: this service lets nobody set them so; what it has stays")


def _configs(admin: KafkaAdminClient, name: str, wanted: Mapping[str, int | str]) -> Iterator[Step]:
    what = f"settings of topic {name}"
    found = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)], config_filter="all")
    values = {key: config["value"] for key, config in found["topic"][name].items()}
    if not values:  # how kafka-python gives a refusal
        yield Step("not set", f"{what}: the cluster does not show them to us; what it has stays")
        return
    if strange := [key for key in wanted if key not in values]:
        yield Step("not set", f"{what}: these brokers have no {', '.join(strange)}")
        return
    differing = {key: str(value) for key, value in wanted.items() if values.get(key) != str(value)}
    if not differing:
        yield Step("unchanged", f"{what} ({', '.join(f'{key}={value}' for key, value in wanted.items())})")
        return
    change = ", ".join(f"{key} {values.get(key)} -> {value}" for key, value in differing.items())
    answer = admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name, configs=differing)], incremental=True, raise_on_unknown=False
    )
    # kafka-python does not raise for a value or a caller that the broker refuses; the answer holds it as text.
    fault = answer["topic"][name]
    if fault == "OK":
        yield Step("changed", f"{what} ({change})")
    else:
        yield Step("not set", f"{what} ({change}): the cluster refuses: {fault}")

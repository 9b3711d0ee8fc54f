"""How the sinks' place is set back; a real broker is in tests/integration/test_real_reread.py."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from kafka import OffsetAndMetadata, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import OffsetSpec

from webmon.errors import UserError
from webmon.init.reread import run, set_back
from webmon.settings import Common, InitSettings, Kafka

KAFKA = Kafka.model_validate(
    {
        "KAFKA_HOST": "broker",
        "KAFKA_PORT": 9093,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "PLAIN",
        "KAFKA_SASL_USERNAME": "init",
        "KAFKA_SASL_PASSWORD": "secret-word",
    },
    context={"workspace": Path()},
)
FIRST, SECOND = (TopicPartition(KAFKA.topic, number) for number in range(2))


class At(NamedTuple):
    offset: int
    timestamp: int


class Cluster:
    """A topic with messages of given times (s of the epoch) on each partition, of which the first were removed."""

    def __init__(self, messages: Mapping[TopicPartition, list[int]], *, removed: int = 0) -> None:
        self.messages, self.removed = messages, removed
        self.answer: type[kafka_errors.KafkaError] = kafka_errors.NoError
        self.read_to: dict[TopicPartition, int] = {}
        self.committed: dict[TopicPartition, int] = {}

    def describe_topics(self, names: list[str]) -> list[dict[str, Any]]:
        assert names == [KAFKA.topic]
        return [{"error_code": 0, "partitions": [{"partition_index": one.partition} for one in self.messages]}]

    def list_partition_offsets(self, wanted: Mapping[TopicPartition, Any]) -> dict[TopicPartition, At]:
        return {one: self._find(one, what) for one, what in wanted.items()}

    def _find(self, one: TopicPartition, what: Any) -> At:
        times = self.messages[one]
        if what is OffsetSpec.EARLIEST:
            return At(self.removed, -1)
        if what is OffsetSpec.LATEST:
            return At(self.removed + len(times), -1)
        later = [place for place, time in enumerate(times) if time * 1000 >= what]
        return At(self.removed + later[0], times[later[0]] * 1000) if later else At(-1, -1)

    def list_group_offsets(self, wanted: Mapping[str, None]) -> dict[str, dict[TopicPartition, OffsetAndMetadata]]:
        assert list(wanted) == [KAFKA.group]
        return {KAFKA.group: {one: OffsetAndMetadata(place, "", -1) for one, place in self.read_to.items()}}

    def alter_group_offsets(self, group: str, offsets: Mapping[TopicPartition, Any]) -> dict[TopicPartition, Any]:
        assert group == KAFKA.group
        self.committed = {one: at.offset for one, at in offsets.items()}
        return dict.fromkeys(offsets, self.answer)


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_without_a_time_all_is_read_again_that_the_topic_has() -> None:
    cluster = Cluster({FIRST: [100, 200], SECOND: [150]}, removed=7)
    lines = set_back(cluster, KAFKA, None)
    assert cluster.committed == {FIRST: 7, SECOND: 7}
    assert lines == [
        "changed  group webmon-sink: 3 messages of webmon-results are read again, from 1970-01-01 00:01:40 UTC on"
    ]


def test_since_a_time_what_came_before_is_left_and_a_partition_without_younger_ones_stays_at_its_end() -> None:
    cluster = Cluster({FIRST: [100, 200, 300], SECOND: [150]})
    cluster.read_to = {FIRST: 3, SECOND: 1}
    lines = set_back(cluster, KAFKA, at(200))
    assert cluster.committed == {FIRST: 1, SECOND: 1}
    assert lines == [
        "changed  group webmon-sink: 2 messages of webmon-results are read again, from 1970-01-01 00:03:20 UTC on"
    ]


def test_what_was_not_read_yet_is_passed_over_by_no_time() -> None:
    cluster = Cluster({FIRST: [100, 200, 300, 400, 500], SECOND: [100, 150]}, removed=3)
    cluster.read_to = {FIRST: 5, SECOND: 1}  # the latter is of what was removed since
    lines = set_back(cluster, KAFKA, at(400))
    assert cluster.committed == {FIRST: 5, SECOND: 3}
    assert lines == [
        "changed  group webmon-sink: 2 messages of webmon-results are read again, from 1970-01-01 00:06:40 UTC on",
        "3 messages that came before were not read yet, and will be",
    ]
    lines = set_back(cluster, KAFKA, at(900))
    assert cluster.committed == {FIRST: 5, SECOND: 3}
    assert lines[0] == "changed  group webmon-sink: webmon-results has no message to read again"
    cluster.read_to = {FIRST: 8, SECOND: -1}
    set_back(cluster, KAFKA, at(200))
    assert cluster.committed == {FIRST: 4, SECOND: 3}, "where nobody ever read, all of it is unread"


def test_a_time_that_is_still_to_come_is_refused_before_anything_is_asked() -> None:
    settings = InitSettings.__new__(InitSettings)
    object.__setattr__(settings, "common", Common.model_validate({}, context={"workspace": Path()}))
    object.__setattr__(settings, "kafka", KAFKA)
    with pytest.raises(UserError, match=r"--since: .* UTC is still to come; right would be a time that is past"):
        run(settings, datetime.now(UTC) + timedelta(hours=1))


def test_what_kafka_has_removed_of_the_time_is_told() -> None:
    (_, line) = set_back(Cluster({FIRST: [100], SECOND: [120]}, removed=3), KAFKA, at(50))
    assert line.startswith("webmon-results no longer has all that came since 1970-01-01 00:00:50 UTC")
    # Nothing was ever removed: the topic is younger than that.
    assert len(set_back(Cluster({FIRST: [100], SECOND: [120]}), KAFKA, at(50))) == 1


def test_an_empty_topic_has_nothing_to_read_again() -> None:
    assert set_back(Cluster({FIRST: [], SECOND: []}), KAFKA, None) == [
        "changed  group webmon-sink: webmon-results has no message to read again"
    ]


@pytest.mark.parametrize("error", [kafka_errors.UnknownMemberIdError, kafka_errors.RebalanceInProgressError])
def test_while_a_sink_reads_nothing_is_set_back(error: type[kafka_errors.KafkaError]) -> None:
    cluster = Cluster({FIRST: [100]})
    cluster.answer = error
    with pytest.raises(UserError, match=r"a sink reads as group webmon-sink.*right would be systemctl stop"):
        set_back(cluster, KAFKA, None)


def test_what_kafka_refuses_is_raised() -> None:
    cluster = Cluster({FIRST: [100]})
    cluster.answer = kafka_errors.GroupAuthorizationFailedError
    with pytest.raises(kafka_errors.GroupAuthorizationFailedError):
        set_back(cluster, KAFKA, None)

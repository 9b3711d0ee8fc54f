"""Partitions of which nothing comes though records wait there."""

from typing import Any

import pytest
from kafka import TopicPartition
from kafka import errors as kafka_errors

from webmon.kafka.still import Still, StoodStillError

ONE, TWO = TopicPartition("results", 1), TopicPartition("results", 2)


class Client:
    """What is looked at of a consumer, on a clock that goes on by half a second a poll."""

    def __init__(self, *, unanswered: int | None = None) -> None:
        self.now = 0.0
        self.places = {ONE: 10, TWO: 20}
        self.ends = {ONE: 10, TWO: 20}
        self.off: set[TopicPartition] = set()
        self.away = False
        self.still = Still(lambda: self.now, unanswered=unanswered)

    def assignment(self) -> set[TopicPartition]:
        return set(self.places)

    def paused(self) -> set[TopicPartition]:
        return self.off

    def end_offsets(self, partitions: list[TopicPartition], **_: Any) -> dict[TopicPartition, int]:
        if self.away:
            raise kafka_errors.KafkaTimeoutError
        return {partition: self.ends[partition] for partition in partitions}

    def position(self, partition: TopicPartition, **_: Any) -> int:
        return self.places[partition]

    def polls(self, times: int, *, gave: bool = False, secs: float = 0.5) -> None:
        for _ in range(times):
            self.now += secs
            self.still.polled(self, gave=gave)


@pytest.fixture
def client() -> Client:
    return Client()


def test_a_partition_that_gives_nothing_of_what_waits_there_is_told_with_its_count(client: Client) -> None:
    client.ends[TWO] = 25
    with pytest.raises(StoodStillError, match=r"^records wait on partitions of results and none comes: 2 \(5\)$"):
        client.polls(120)
    assert client.now <= 60


def test_it_is_told_too_where_the_others_give(client: Client) -> None:
    client.ends[TWO] = 25
    with pytest.raises(StoodStillError):
        client.polls(3000, gave=True, secs=0.05)


def test_nothing_is_told_where_nothing_waits_or_where_it_came_late(client: Client) -> None:
    client.polls(200)
    for _ in range(10):
        client.ends[TWO] += 5
        client.polls(25)  # one look at most
        client.places[TWO] = client.ends[TWO]


def test_a_partition_whose_turn_has_not_come_is_not_told(client: Client) -> None:
    client.ends[TWO] = 25
    client.polls(900, gave=True, secs=5.0)  # a batch takes long to store; behind others much waits


def test_a_client_that_gets_no_answer_for_minutes_is_told_where_another_can_go_on() -> None:
    client = Client(unanswered=8)
    client.away = True
    client.polls(200)
    assert client.now < 120
    client.away = False
    client.polls(40)  # it was heard: it counts anew
    client.away = True
    client.polls(200)
    with pytest.raises(StoodStillError, match=r"^no broker says to this client where its partitions end: KafkaTimeout"):
        client.polls(100)


def test_a_broker_that_is_away_tells_nothing(client: Client) -> None:
    client.ends[TWO] = 25
    client.away = True
    client.polls(500)


def test_what_was_paused_has_its_time_anew(client: Client) -> None:
    client.ends[TWO] = 25
    for _ in range(10):
        client.polls(40)
        client.still.begin()

"""The sink's contract in memory; and what only memory can prove: any failures, in any order."""

import contextlib
from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kafka import errors as kafka_errors

from tests.contract.faults import DiedError, Plan
from tests.contract.memory import MemoryPair
from tests.contract.sink import SinkContract, TurnedSink, keys, result, results
from webmon.check.result import UnreadableResultError, decode, encode
from webmon.errors import UserError
from webmon.kafka.reach import KafkaAwayError
from webmon.store.postgres import DatabaseAwayError

ERRORS: Final[dict[str, list[Callable[[str], Exception]]]] = {
    "store": [DatabaseAwayError, UserError, kafka_errors.KafkaError, DiedError],
    "send": [KafkaAwayError, UserError, kafka_errors.KafkaError, DiedError],
    "poll": [kafka_errors.KafkaError, kafka_errors.TopicAuthorizationFailedError, DiedError],
    "commit": [kafka_errors.KafkaError, kafka_errors.GroupAuthorizationFailedError, DiedError],
    "pause": [kafka_errors.IllegalStateError, kafka_errors.KafkaError],
    "resume": [kafka_errors.IllegalStateError, kafka_errors.KafkaError],
    "highwater": [kafka_errors.IllegalStateError, kafka_errors.KafkaError],
}
FAULTS: Final = [
    (moment, call, error)
    for call, errors in ERRORS.items()
    for error in errors
    # kafka-python's poll() keeps no record that it does not give: it fails before it takes them.
    for moment in ("before", "after")
    if (moment, call) != ("after", "poll")
]
STEPS: Final = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 8)),
        st.tuples(st.just("publish junk"), st.just(None)),
        st.tuples(st.just("turn"), st.integers(0, 1)),
        st.tuples(st.just("start or end"), st.integers(0, 1)),
        st.tuples(st.just("plan"), st.sampled_from(FAULTS)),
    ),
    max_size=60,
)


class TestInMemory(SinkContract):
    """The suite."""

    @pytest.fixture
    def pair(self) -> MemoryPair:
        """A topic and a database of this test."""
        return MemoryPair()

    def test_what_the_database_alone_refuses_is_a_dead_letter_too(self, pair: MemoryPair, plan: Plan) -> None:
        pair.store.refuses = lambda one: one.target == "site3"
        pair.publish(results(*range(7)))
        sink = TurnedSink(pair, plan)
        self.stores_all(sink, pair, results(0, 1, 2, 4, 5, 6), messages=7)
        assert pair.dead(1) == [encode(result(3))]
        sink.loop.close()

    def test_a_client_that_gives_nothing_though_results_wait_is_replaced(
        self, pair: MemoryPair, plan: Plan, caplog: pytest.LogCaptureFixture
    ) -> None:
        pair.publish(results(*range(6)))
        sink = TurnedSink(pair, plan)
        self.stores_all(sink, pair, results(*range(6)), messages=6)
        (deaf,) = pair.topic.members
        deaf.is_deaf = True
        pair.publish(results(*range(6, 20)))
        self.stores_all(sink, pair, results(*range(20)), messages=20)
        assert deaf not in pair.topic.members
        assert "and none comes" in caplog.text
        sink.loop.close()


class Fleet:
    """Two sinks of one group, of which each may be away; the group is told nothing that is not in its place."""

    def __init__(self) -> None:
        self.pair = MemoryPair()
        self.plan = Plan()
        self.sinks: dict[int, TurnedSink] = {}
        self.results = self.junk = 0
        self.pair.topic.watch = self.look

    def look(self, partition: int, offset: int) -> None:
        """See that all that the group is to have behind it is a row or a dead letter."""
        letters = {(record.partition, record.offset) for record, _ in self.pair.dead_letters.sent}
        for record in self.pair.topic.records[partition][:offset]:
            try:
                one = decode(record.value)
            except UnreadableResultError:
                assert (partition, record.offset) in letters
            else:
                assert (one.target, one.agent, one.time) in self.pair.store.rows

    def do(self, step: str, value: Any) -> None:
        match step:
            case "publish":
                self.pair.publish([result(self.results + number) for number in range(value)])
                self.results += value
            case "publish junk":
                self.pair.publish([b"junk %d" % self.junk])
                self.junk += 1
            case "plan":
                moment, call, error = value
                getattr(self.plan, moment)(call, error("planned"))
            case "start or end" if value in self.sinks:
                self.sinks.pop(value).loop.close()
            case "start or end":
                self.start(value)
            case "turn" if value in self.sinks:
                self.turn(value)

    def start(self, place: int) -> None:
        # Its process ends by either, and systemd starts another one.
        with contextlib.suppress(DiedError, UserError):
            self.sinks[place] = TurnedSink(self.pair, self.plan, batch_size=5)

    def turn(self, place: int) -> None:
        try:
            self.sinks[place].loop.step()
        except DiedError:
            self.sinks.pop(place).loop.close()

    def end_well(self) -> None:
        """Let nothing fail any more, until the group has everything behind it."""
        self.plan.heal()
        if not self.sinks:
            self.start(0)
        for _ in range(400):
            if self.pair.committed() == self.results + self.junk:
                return
            for place in list(self.sinks):
                self.turn(place)
        pytest.fail(f"{self.pair.committed()} of {self.results + self.junk} behind the group")


@given(STEPS)
@settings(deadline=None, max_examples=150)
def test_whatever_fails_in_whatever_order_no_result_is_lost_and_none_is_a_row_twice(
    steps: list[tuple[str, Any]],
) -> None:
    fleet = Fleet()
    for step, value in steps:
        fleet.do(step, value)
    fleet.end_well()
    assert sorted(fleet.pair.stored()) == keys([result(number) for number in range(fleet.results)])
    dead = {record.value for record, _ in fleet.pair.dead_letters.sent}
    assert dead == {b"junk %d" % number for number in range(fleet.junk)}

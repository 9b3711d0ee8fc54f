"""What the sink's pair of a consumer and a writer must do, and the loop between them, whatever fails.

The suite runs in memory on a clock of its own (tests/unit/sink/test_contract.py), and on a real broker and a real
database (tests/integration/test_real_contract.py): what is proved of the doubles is true of what they stand for.
"""

import abc
import functools
import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from kafka import errors as kafka_errors

from tests.contract.faults import DiedError, Faulty, Plan
from webmon.check.result import CheckResult, Outcome, encode
from webmon.errors import UserError
from webmon.kafka.decode import Record
from webmon.kafka.reach import KafkaAwayError
from webmon.settings import Kafka
from webmon.sink.consumer import BatchConsumer, join
from webmon.sink.loop import Letters, Loop, Rows
from webmon.sink.state import State
from webmon.store.postgres import DatabaseAwayError

_BEGAN: Final = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
_TURNS: Final = 200
"""A loop that has not done it by then never will: a turn takes half a second at most."""


def result(number: int, **changes: object) -> CheckResult:
    """Make a result of the last hours; each number is a check of its own, of one of seven targets."""
    moment = _BEGAN + timedelta(seconds=number)
    values: dict[str, Any] = {
        "target": f"site{number % 7}",
        "url": f"https://site{number % 7}.example/",
        "agent": f"vantage{number % 3}",
        "scheduled_at": moment,
        "time": moment,
        "interval": 60.0,
        "outcome": Outcome.UP,
        "http_status": 200,
        "response_time": 0.125,
        "total_time": 0.25,
    }
    return CheckResult(**(values | changes))


def results(*numbers: int) -> list[CheckResult]:
    """Make several."""
    return [result(number) for number in numbers]


class Pair(abc.ABC):
    """A topic of three partitions with the group that reads it, and a database."""

    kafka: Kafka
    clock: Callable[[], float]

    @abc.abstractmethod
    def publish(self, values: Sequence[CheckResult | bytes]) -> None:
        """Put messages on the topic, those of a target on one partition."""

    @abc.abstractmethod
    def stop(self) -> threading.Event:
        """Give what a sink is stopped by; to wait for it lets the clock go on."""

    @abc.abstractmethod
    def consumer(self, plan: Plan, *, batch_size: int) -> BatchConsumer:
        """Make a consumer of the topic, whose client fails as planned."""

    @abc.abstractmethod
    def rows(self) -> Rows:
        """Give a session with the database."""

    @abc.abstractmethod
    def letters(self) -> Letters:
        """Give a way to the dead letters."""

    @abc.abstractmethod
    def stored(self) -> list[tuple[str, datetime]]:
        """Give target and time of each row."""

    @abc.abstractmethod
    def committed(self) -> int:
        """Give how many messages the group has behind it, over all partitions."""

    @abc.abstractmethod
    def dead(self, count: int) -> list[bytes | None]:
        """Give the values of the dead letters, once there are so many."""


class TurnedSink:
    """A sink that a test turns."""

    def __init__(
        self,
        pair: Pair,
        plan: Plan,
        *,
        batch_size: int = 5000,
        look: Callable[..., None] = lambda *_, **__: None,
        note: Callable[..., None] = lambda *_: None,
    ) -> None:
        """Start it, as a member of the group."""
        self.state = State(clock=pair.clock)

        def make() -> BatchConsumer:
            return pair.consumer(plan, batch_size=batch_size)

        self.loop = Loop(
            pair.kafka,
            self.state,
            join=functools.partial(join, pair.kafka, make),
            rows=Faulty(pair.rows(), plan),
            letters=Faulty(pair.letters(), plan),
            stop=pair.stop(),
            note=note,
            look=look,
            clock=pair.clock,
        )
        self.loop.start()

    def turn_until(self, condition: Callable[[], bool], what: str) -> None:
        """Turn it until a condition holds."""
        for _ in range(_TURNS):
            if condition():
                return
            self.loop.step()
        pytest.fail(f"not in {_TURNS} turns: {what}; it says: {self.state.summary()}")

    def turn_until_dead(self) -> None:
        """Turn it until it dies, and let the group know."""
        with pytest.raises(DiedError):
            self.turn_until(lambda: False, "dead")
        self.loop.close()


def take(consumer: BatchConsumer) -> list[Record]:
    """Poll until there is a batch."""
    for _ in range(_TURNS):
        if batch := consumer.poll():
            return batch
    pytest.fail(f"no batch in {_TURNS} polls")


def keys(wanted: Sequence[CheckResult]) -> list[tuple[str, datetime]]:
    """Give what Pair.stored() gives of them, in order."""
    return sorted((one.target, one.time) for one in wanted)


class SinkContract:
    """The suite; who has a fixture `pair` inherits it."""

    @pytest.fixture
    def plan(self) -> Plan:
        """What goes wrong."""
        return Plan()

    def stores_all(self, sink: TurnedSink, pair: Pair, wanted: Sequence[CheckResult], *, messages: int) -> None:
        """Turn a sink until the group has all behind it; then each result is a row, once."""
        sink.turn_until(lambda: pair.committed() == messages, f"{messages} behind the group")
        sink.turn_until(lambda: sink.state.waits_for() == "", "nothing waited for")
        assert sorted(pair.stored()) == keys(wanted)

    def test_each_result_becomes_a_row_and_the_group_has_it_behind_it(self, pair: Pair, plan: Plan) -> None:
        pair.publish(results(*range(20)))
        sink = TurnedSink(pair, plan, batch_size=6)
        self.stores_all(sink, pair, results(*range(20)), messages=20)
        assert (sink.state.metrics.rows, sink.state.metrics.repeats) == (20, 0)
        sink.loop.close()

    def test_the_next_sink_goes_on_at_the_very_message_where_the_last_one_ended(self, pair: Pair, plan: Plan) -> None:
        pair.publish(results(*range(20)))
        first = TurnedSink(pair, plan)
        self.stores_all(first, pair, results(*range(20)), messages=20)
        first.loop.close()
        pair.publish(results(*range(20, 40)))
        second = TurnedSink(pair, plan)
        self.stores_all(second, pair, results(*range(40)), messages=40)
        assert (second.state.metrics.rows, second.state.metrics.repeats) == (20, 0)
        second.loop.close()

    def test_a_sink_that_dies_before_its_batch_is_stored_loses_none_of_it(self, pair: Pair, plan: Plan) -> None:
        pair.publish(results(*range(12)))
        plan.before("store", DiedError())
        TurnedSink(pair, plan).turn_until_dead()
        assert (pair.stored(), pair.committed()) == ([], 0)
        second = TurnedSink(pair, plan)
        self.stores_all(second, pair, results(*range(12)), messages=12)
        assert second.state.metrics.repeats == 0
        second.loop.close()

    def test_a_sink_that_dies_between_the_two_commits_doubles_nothing(self, pair: Pair, plan: Plan) -> None:
        pair.publish(results(*range(12)))
        plan.after("store", DiedError())
        TurnedSink(pair, plan, batch_size=12).turn_until_dead()
        assert (sorted(pair.stored()), pair.committed()) == (keys(results(*range(12))), 0)
        second = TurnedSink(pair, plan)
        self.stores_all(second, pair, results(*range(12)), messages=12)
        assert (second.state.metrics.rows, second.state.metrics.repeats) == (0, 12)
        second.loop.close()

    def test_a_database_that_is_away_is_waited_for_and_its_present_cause_told(self, pair: Pair, plan: Plan) -> None:
        told: list[tuple[str, int]] = []

        def look() -> None:
            told.append((sink.state.waits_for(), pair.committed()))

        pair.publish(results(*range(12)))
        sink = TurnedSink(pair, plan)
        plan.before("store", DatabaseAwayError("connection refused"), UserError("the password is wrong"), look)
        self.stores_all(sink, pair, results(*range(12)), messages=12)
        assert told == [("waiting for the database: the password is wrong", 0)]
        assert sink.state.database.count == 1
        sink.loop.close()

    @pytest.mark.parametrize("moment", ["before", "after"])
    def test_an_error_of_the_brokers_kind_while_a_batch_is_stored_loses_none_of_it(
        self, pair: Pair, plan: Plan, moment: str
    ) -> None:
        pair.publish(results(*range(12)))
        sink = TurnedSink(pair, plan)
        getattr(plan, moment)("store", kafka_errors.IllegalStateError("partition is not ours"))
        sink.turn_until(lambda: sink.state.database.count == 1, "the error met")
        pair.publish(results(*range(12, 24)))
        self.stores_all(sink, pair, results(*range(24)), messages=24)
        sink.loop.close()

    def test_an_error_of_the_consumer_while_the_database_is_away_loses_nothing(self, pair: Pair, plan: Plan) -> None:
        pair.publish(results(*range(12)))
        sink = TurnedSink(pair, plan)

        def database_and_broker() -> Exception:
            plan.before("poll", kafka_errors.TopicAuthorizationFailedError("no"), kafka_errors.KafkaError("broken"))
            plan.before("resume", kafka_errors.KafkaError("broken"))
            return DatabaseAwayError("connection refused")

        plan.before("store", database_and_broker)
        self.stores_all(sink, pair, results(*range(12)), messages=12)
        assert sink.state.reading.count >= 1
        sink.loop.close()

    def test_what_the_group_refuses_to_take_is_told_and_given_again(self, pair: Pair, plan: Plan) -> None:
        pair.publish(results(*range(12)))
        sink = TurnedSink(pair, plan, batch_size=12)
        plan.before("commit", *[kafka_errors.GroupAuthorizationFailedError("no")] * 2)
        sink.turn_until(lambda: sink.state.reading.lasts, "told")
        assert sink.state.waits_for().startswith(
            "waiting for Kafka to let us read: Kafka does not let our certificate ("
        )
        self.stores_all(sink, pair, results(*range(12)), messages=12)
        assert (sink.state.metrics.rows, sink.state.metrics.repeats) == (12, 0)
        sink.loop.close()

    def test_a_right_to_read_that_was_withdrawn_is_told_and_nothing_is_left_out(self, pair: Pair, plan: Plan) -> None:
        sink = TurnedSink(pair, plan)
        plan.before("poll", *[kafka_errors.TopicAuthorizationFailedError("no")] * 3)
        pair.publish(results(*range(12)))
        sink.turn_until(lambda: sink.state.reading.lasts, "told")
        assert f" READ topic {pair.kafka.topic} as group {pair.kafka.group}" in sink.state.waits_for()
        self.stores_all(sink, pair, results(*range(12)), messages=12)
        sink.loop.close()

    def test_a_password_that_is_no_longer_right_is_told_once_as_long_as_it_is_not(
        self, pair: Pair, plan: Plan, caplog: pytest.LogCaptureFixture
    ) -> None:
        wrong = False

        def look(*_: object, **__: object) -> None:
            if wrong:
                raise UserError("refuses our user")

        sink = TurnedSink(pair, plan, look=look)
        wrong = True
        # Now and then: kafka-python raises it where it happens to connect, and gives no records and no error meanwhile.
        refused = kafka_errors.SaslAuthenticationFailedError("no")
        plan.before("poll", refused, lambda: None, refused, lambda: None, refused)
        for _ in range(5):
            sink.loop.step()
        assert sink.state.waits_for() == "waiting for Kafka: refuses our user"
        told = [one.getMessage() for one in caplog.records if "waiting for Kafka" in one.getMessage()]
        assert told == ["waiting for Kafka: refuses our user"]
        wrong = False
        pair.publish(results(*range(12)))
        self.stores_all(sink, pair, results(*range(12)), messages=12)
        assert not sink.state.broker.lasts
        sink.loop.close()

    def test_a_broker_that_is_away_is_told_as_that_also_where_the_consumer_raises_it(
        self, pair: Pair, plan: Plan
    ) -> None:
        away = False

        def look(*_: object, **__: object) -> None:
            if away:
                raise KafkaAwayError("connection refused")

        sink = TurnedSink(pair, plan, look=look)
        away = True
        plan.before("poll", *[kafka_errors.KafkaConnectionError("111 ECONNREFUSED")] * 3)
        for _ in range(3):
            sink.loop.step()
        assert sink.state.waits_for() in ("", "waiting for Kafka: connection refused")
        assert (sink.state.broker.count, sink.state.reading.count) == (1, 0)
        away = False
        pair.publish(results(*range(12)))
        self.stores_all(sink, pair, results(*range(12)), messages=12)
        sink.loop.close()

    def test_an_offset_that_is_told_late_does_not_set_the_group_back(self, pair: Pair, plan: Plan) -> None:
        pair.publish([result(7 * number) for number in range(12)])
        consumer = pair.consumer(plan, batch_size=6)
        consumer.join()
        first, second = take(consumer), take(consumer)
        plan.before("commit", kafka_errors.RebalanceInProgressError("wait"))
        consumer.commit(second)
        assert pair.committed() == 0
        consumer.commit(first)
        assert pair.committed() == 12
        consumer.close()

    def test_what_is_no_result_is_a_dead_letter_before_the_group_has_it_behind_it(self, pair: Pair, plan: Plan) -> None:
        refused = result(3, error="a\0b")
        pair.publish([*results(0, 1), b"{junk", refused, *results(4, 5)])
        sink = TurnedSink(pair, plan, batch_size=6)
        behind: list[int] = []
        plan.before("send", KafkaAwayError("connection refused"), lambda: behind.append(pair.committed()))
        self.stores_all(sink, pair, results(0, 1, 4, 5), messages=6)
        assert behind == [0]
        assert len(pair.dead(2)) == 2
        assert b"{junk" in pair.dead(2)
        assert sink.state.metrics.dead_letters == 2
        sink.loop.close()

    def test_what_is_out_of_bounds_is_a_dead_letter_and_stops_nothing(self, pair: Pair, plan: Plan) -> None:
        last = datetime.max.replace(tzinfo=UTC)
        extremes = [
            result(7, tls_not_after=last),
            result(14, tls_not_after=last - timedelta(microseconds=1)),
            result(21, tls_not_after=last.replace(microsecond=0), interval=86_400.0, total_time=604_800.0),
        ]
        bad = [
            *(result(number, interval=1e12) for number in (1, 2)),
            *(result(number, interval=3e38) for number in (3, 4)),
            result(5, total_time=3e38),
            result(6, remote_ip="nowhere"),
            result(8, redirects=40_000),
        ]
        pair.publish([*extremes, *bad, *results(9, 10)])
        sink = TurnedSink(pair, plan)
        self.stores_all(sink, pair, [*extremes, *results(9, 10)], messages=12)
        assert sorted(filter(None, pair.dead(7))) == sorted(map(encode, bad))
        sink.loop.close()

    def test_a_sink_that_dies_before_its_dead_letters_are_sent_leaves_them_to_the_next(
        self, pair: Pair, plan: Plan
    ) -> None:
        pair.publish([*results(0, 1), b"{junk"])
        plan.before("send", DiedError())
        TurnedSink(pair, plan, batch_size=3).turn_until_dead()
        second = TurnedSink(pair, plan)
        self.stores_all(second, pair, results(0, 1), messages=3)
        assert pair.dead(1) == [b"{junk"]
        second.loop.close()

    def test_a_result_that_is_there_already_is_a_repeat_wherever_it_stands(self, pair: Pair) -> None:
        rows = pair.rows()
        rows.check()
        first = rows.store([*results(0, 1, 2), result(1)])
        assert (first.added, first.repeats, first.refused) == (3, 1, [])
        again = rows.store(results(4, 2, 1, 0))
        assert (again.added, again.repeats) == (1, 3)
        assert sorted(pair.stored()) == keys(results(0, 1, 2, 4))

    def test_a_result_whose_content_the_database_refuses_takes_no_other_with_it(self, pair: Pair) -> None:
        bad = [result(2, error="a\0b"), result(5, target="never\0seen"), result(7, answer="a\0b")]
        stored = pair.rows().store([*results(0, 1), bad[0], *results(3, 4), bad[1], result(6), bad[2]])
        assert (stored.added, stored.repeats) == (5, 0)
        assert [place for place, _ in stored.refused] == [2, 5, 7]
        assert all("0x00" in reason and "\n" not in reason for _, reason in stored.refused)
        assert sorted(pair.stored()) == keys(results(0, 1, 3, 4, 6))

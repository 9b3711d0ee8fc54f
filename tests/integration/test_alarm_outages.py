"""The judge beside a second one, and through outages: of Kafka, of the database, of a receiver."""

import signal
import sys
import time
from collections.abc import Iterator
from functools import partial

import pytest

from tests.integration.alarms import RULES, Alarms
from tests.integration.proxy import relay
from tests.integration.stage import Stage
from tests.receiver import Receiver, cut, status
from tests.waiting import wait_until
from webmon.check.result import Outcome

pytestmark = pytest.mark.apart

UP, DOWN = Outcome.UP, Outcome.TIMEOUT


@pytest.fixture(scope="module")
def alarms(judged_stage: Stage) -> Iterator[Alarms]:
    with Receiver() as receiver:
        yield Alarms(judged_stage, receiver)


@pytest.fixture(autouse=True)
def _nobody_is_left(alarms: Alarms) -> Iterator[None]:
    yield
    alarms.end()


def test_another_judge_tells_within_15_s_of_the_death_of_the_first(alarms: Alarms) -> None:
    group = alarms.group()
    first = alarms.start(KAFKA_ALARM_GROUP_ID=group)
    first.wait_for_line("judging")
    second = alarms.start(KAFKA_ALARM_GROUP_ID=group)
    second.wait_for_line("standing by")
    alarms.publish(UP, target="killed")
    first.process.kill()
    killed = time.monotonic()
    alarms.publish(DOWN, target="killed")
    alarms.wait(lambda: alarms.said("killed") == ["opened killed"], "the alarm by the second judge", 15)
    assert time.monotonic() - killed < 15


def test_another_judge_tells_within_30_s_of_a_freeze_and_the_first_wakes_and_sends_nothing(alarms: Alarms) -> None:
    group = alarms.group()
    first = alarms.start(KAFKA_ALARM_GROUP_ID=group)
    first.wait_for_line("judging")
    second = alarms.start(KAFKA_ALARM_GROUP_ID=group)
    second.wait_for_line("standing by")
    alarms.publish(UP, target="frozen")
    first.process.send_signal(signal.SIGSTOP)
    alarms.publish(DOWN, target="frozen")
    alarms.wait(lambda: alarms.said("frozen") == ["opened frozen"], "the alarm by the second judge", 30)
    wait_until(lambda: alarms.noted("frozen", "sent") == ["opened"], "that it is noted")
    # What is due meanwhile is the second one's, and the first would find it on the topic.
    second.process.send_signal(signal.SIGSTOP)
    alarms.publish(UP, target="frozen")
    first.process.send_signal(signal.SIGCONT)
    first.wait_for_line("judging no more", 20)
    assert alarms.said("frozen") == ["opened frozen"]
    second.process.send_signal(signal.SIGCONT)
    alarms.wait(lambda: alarms.said("frozen") == ["opened frozen", "ended frozen"], "the ending", 30)
    assert len([one for one in alarms.told() if one["target"] == "frozen"]) == 2


def warm_up(alarms: Alarms) -> None:
    """Have an alarm told, so that what is measured next is no first connection."""
    target = f"warm{len(alarms.told())}"
    alarms.publish(UP, DOWN, target=target)
    alarms.wait(partial(alarms.said, target), "the first alarm")


def test_alarms_come_as_fast_while_the_database_is_away(alarms: Alarms) -> None:
    services = alarms.stage.services
    with relay(services.postgres_host, services.postgres_port) as way:
        way.refuse()
        judge = alarms.start(
            KAFKA_ALARM_GROUP_ID=alarms.group(),
            POSTGRES_HOST="127.0.0.1",
            POSTGRES_PORT=str(way.port),
            POSTGRES_SSL="require",
        )
        judge.wait_for_line("judging")
        warm_up(alarms)
        alarms.publish(UP, target="undatabased")
        published = time.monotonic()
        alarms.publish(DOWN, target="undatabased")
        alarms.wait(lambda: bool(alarms.said("undatabased")), "the alarm", 5)
        assert time.monotonic() - published < 3
        assert "Traceback" not in judge.said()


def test_a_kafka_that_is_away_is_told_from_memory_and_again_when_it_is_back(alarms: Alarms) -> None:
    services = alarms.stage.services
    with Receiver() as beats, relay(services.kafka_host, services.kafka_port) as way:
        through = [
            *(sys.executable, "-m", "tests.integration.through"),
            *(f"{services.kafka_host}:{services.kafka_port}", str(way.port), "alarm"),
        ]
        judge = alarms.start(
            program=through,
            KAFKA_ALARM_GROUP_ID=alarms.group(),
            ALARM_HEARTBEAT_URL=beats.url,
            ALARM_HEARTBEAT_SECS="1",
        )
        judge.wait_for_line("judging")
        alarms.publish(UP, target="unreached")
        wait_until(lambda: len(beats.requests) > 1, "a heartbeat")
        way.refuse()
        away = time.monotonic()

        def of_kafka() -> list[str]:
            return [one["event"] for one in alarms.told() if one["target"] == "kafka"]

        wait_until(lambda: time.monotonic() - away > 40, "the delay from which on nobody is called", 50)
        told = len(beats.requests)
        wait_until(lambda: of_kafka() == ["opened"], "Kafka's absence told", 90 - (time.monotonic() - away))
        assert len(beats.requests) <= told + 1
        way.open()
        alarms.publish(DOWN, target="unreached")
        alarms.wait(lambda: bool(alarms.said("unreached")), "the alarm after the outage", 40)
        wait_until(lambda: of_kafka() == ["opened", "ended"], "the end of Kafka's absence", 40)
        wait_until(lambda: len(beats.requests) > told + 1, "a heartbeat again", 40)
        assert judge.process.poll() is None


def test_a_receiver_that_is_back_gets_one_message_of_what_is_over(alarms: Alarms) -> None:
    alarms.receiver.behaviours[:] = [status(503), cut, status(500)] * 100
    judge = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
    judge.wait_for_line("judging")
    alarms.publish(UP, DOWN, target="over")
    alarms.publish(UP, DOWN, target="lasts")
    alarms.wait(lambda: alarms.said("over") and alarms.said("lasts"), "a try of both")
    alarms.publish(UP, target="over")
    wait_until(lambda: alarms.noted("over", "waiting") == ["over"], "the end in the log")
    alarms.receiver.behaviours.clear()
    alarms.wait(lambda: alarms.noted("over", "sent") and alarms.noted("lasts", "sent"), "what is due", 60)
    assert (alarms.noted("over", "sent"), alarms.said("over")[-1]) == (["over"], "over over")
    assert (alarms.noted("lasts", "sent"), alarms.said("lasts")[-1]) == (["opened"], "opened lasts")


def test_a_channel_that_hangs_delays_no_other(alarms: Alarms) -> None:
    with Receiver(*[lambda handler: handler.receiver.over.wait()] * 100) as hangs:
        alarms.rules(
            RULES.format(confirm=1, group=0, url=alarms.receiver.url).replace("to: [hook]", "to: [hangs, hook]")
            + f'  hangs: {{webhook: {{url: "{hangs.url}"}}}}\n'
        )
        judge = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
        judge.wait_for_line("judging")
        warm_up(alarms)
        for number in range(3):
            published = time.monotonic()
            alarms.publish(UP, DOWN, target=f"quick{number}")
            alarms.wait(partial(alarms.said, f"quick{number}"), "the alarm", 5)
            assert time.monotonic() - published < 3
        assert hangs.requests

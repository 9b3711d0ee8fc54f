"""An alarm is told and ended by real processes, through reloads and orders."""

import json
import signal
import time
from collections.abc import Iterator

import pytest

from tests.integration.alarms import Alarms
from tests.integration.stage import Stage
from tests.receiver import Receiver
from tests.waiting import wait_until
from webmon.alarm import orders
from webmon.check.result import Outcome

UP, DOWN = Outcome.UP, Outcome.TIMEOUT


@pytest.fixture
def alarms(stage: Stage) -> Iterator[Alarms]:
    with Receiver() as receiver:
        yield Alarms(stage, receiver)


def test_a_site_that_fails_is_told_and_its_ending_too(alarms: Alarms) -> None:
    judge = alarms.start()
    judge.wait_for_line("judging")
    alarms.publish(UP, DOWN)
    alarms.wait(lambda: alarms.said() == ["opened shop"], "the opening")
    alarms.publish(UP)
    alarms.wait(lambda: alarms.said() == ["opened shop", "ended shop"], "the ending")
    opening, ending = alarms.told()
    assert opening["subject"] == "DOWN shop: timeout (1 of 1 vantage)"
    assert opening["episode"] == ending["episode"]
    assert ending["duration"] >= 0
    assert judge.stop() < 10
    assert judge.process.returncode == 0
    assert "Traceback" not in judge.said()


def test_a_judge_that_takes_over_goes_on_where_the_one_before_ended(alarms: Alarms) -> None:
    first = alarms.start()
    first.wait_for_line("judging")
    alarms.publish(UP, DOWN)
    alarms.wait(lambda: alarms.said() == ["opened shop"], "the opening")
    first.stop()
    alarms.publish(UP)
    second = alarms.start()
    second.wait_for_line("as number 2")
    alarms.wait(lambda: alarms.said() == ["opened shop", "ended shop"], "the ending")
    alarms.publish(DOWN)
    alarms.wait(lambda: len(alarms.said()) == 3, "the next opening")
    assert alarms.said()[2] == "opened shop"
    assert len({message["key"] for message in alarms.told()}) == 3


def test_rules_are_read_anew_and_faulty_ones_refused(alarms: Alarms) -> None:
    judge = alarms.start()
    judge.wait_for_line("judging")
    alarms.publish(UP)
    good = alarms.rules_path.read_text()
    alarms.rules(good.replace("confirm: 1", "confirm: zero") + "chanels: {}\n")
    judge.process.send_signal(signal.SIGHUP)
    judge.wait_for_line("the reload is refused: the old rules and targets go on")
    assert f"{alarms.rules_path}:1:" in judge.said()
    assert "chanels" in judge.said()
    alarms.rules(good.replace("confirm: 1", "confirm: 2"))
    judge.process.send_signal(signal.SIGHUP)
    judge.wait_for_line("were read anew")
    assert alarms.told() == []
    alarms.publish(DOWN)
    alarms.publish(DOWN, target="bank")
    alarms.publish(DOWN, target="bank")
    alarms.wait(lambda: bool(alarms.said()), "an opening")
    assert alarms.said() == ["opened bank"]


def test_an_order_is_taken_and_what_is_none_is_told_and_stops_nothing(alarms: Alarms) -> None:
    judge = alarms.start()
    judge.wait_for_line("judging")
    kafka = alarms.stage.kafka_settings("init")
    producer = alarms.stage.producer("init")
    producer.send(kafka.orders_topic, value=b"reboot\x1b[2J").get(timeout=20)
    now = round(time.time() * 1000)
    orders.send(kafka, orders.Silence(id="s1", match="sh*", begins=now, until=now + 3_600_000, by="ann"))
    judge.wait_for_line("order: silence of ann")
    assert "is no order" in judge.said()
    alarms.publish(DOWN)
    alarms.publish(DOWN, target="bank")
    alarms.wait(lambda: bool(alarms.said()), "an opening")
    assert alarms.said() == ["opened bank"]
    orders.send(kafka, orders.Silence(id="s1", match="sh*", begins=now, until=now + 1, by="ann"))
    alarms.wait(lambda: "opened shop" in alarms.said(), "what is still so when the silence ends")
    orders.send(kafka, orders.Ack(episode=alarms.told()[0]["episode"], by="ann", at=now))
    wait_until(lambda: b'"ack":{"by":"ann"' in b"".join(alarms.log().values()), "the acknowledgement in the log")
    orders.send(kafka, orders.Resend(notice=notice_of(alarms, "bank"), by="ann", at=now))
    alarms.wait(lambda: alarms.said().count("opened bank") == 2, "the message again")


def notice_of(alarms: Alarms, target: str) -> str:
    """Give the id of a notice of a target."""
    values = [json.loads(value) for key, value in alarms.log().items() if key.startswith(("episode/", "notice/"))]
    (episode,) = (one["id"] for one in values if one.get("subject") == target)
    return str(next(one["id"] for one in values if one.get("episode") == episode))

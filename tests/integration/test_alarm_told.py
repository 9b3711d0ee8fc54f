"""An alarm is told and ended by real processes, through a restart, reloads and orders, and history has all of it."""

import json
import re
import signal
import time
from collections.abc import Iterator

import pytest

from tests.integration.alarms import Alarms
from tests.integration.stage import Program, Stage
from tests.receiver import Receiver
from tests.waiting import wait_until
from webmon.alarm import orders
from webmon.check.result import Outcome

UP, DOWN = Outcome.UP, Outcome.TIMEOUT


@pytest.fixture(scope="module")
def alarms(judged_stage: Stage) -> Iterator[Alarms]:
    with Receiver() as receiver:
        yield Alarms(judged_stage, receiver)


@pytest.fixture(autouse=True)
def _nobody_is_left(alarms: Alarms) -> Iterator[None]:
    yield
    alarms.end()


def judging(alarms: Alarms, agents_path: str | None = None) -> Program:
    judge = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group(), ALARM_AGENTS_PATH=agents_path)
    judge.wait_for_line("judging")
    return judge


def test_a_site_that_fails_is_told_and_its_ending_too_and_history_has_both(alarms: Alarms) -> None:
    judge = judging(alarms)
    alarms.publish(UP, DOWN)
    alarms.wait(lambda: alarms.said("shop") == ["opened shop"], "the opening")
    alarms.publish(UP)
    alarms.wait(lambda: alarms.said("shop") == ["opened shop", "ended shop"], "the ending")
    opening, ending = (one for one in alarms.told() if one["target"] == "shop")
    assert opening["subject"] == "DOWN shop: timeout (1 of 1 vantage)"
    assert opening["acknowledge"] == f"webmon alarms ack {opening['episode']} --by NAME"
    assert opening["episode"] == ending["episode"]
    assert ending["duration"] >= 0
    stored = "SELECT count(*) FROM {t_notices} WHERE episode = %s AND state = 'sent'"
    wait_until(lambda: alarms.stage.sql(stored, opening["episode"]) == [(2,)], "both in the history")
    assert judge.stop() < 10
    assert judge.process.returncode == 0
    assert "Traceback" not in judge.said()


def test_a_judge_that_takes_over_goes_on_where_the_one_before_ended(alarms: Alarms) -> None:
    first = judging(alarms)
    alarms.publish(UP, DOWN, target="handed")
    alarms.wait(lambda: alarms.said("handed") == ["opened handed"], "the opening")
    before = alarms.epoch()
    first.stop()
    alarms.publish(UP, target="handed")
    judging(alarms)
    assert alarms.epoch() == before + 1
    alarms.wait(lambda: alarms.said("handed") == ["opened handed", "ended handed"], "the ending")
    alarms.publish(DOWN, target="handed")
    alarms.wait(lambda: len(alarms.said("handed")) == 3, "the next opening")
    assert len({one["key"] for one in alarms.of("handed")}) == 3


def test_rules_are_read_anew_and_faulty_ones_refused(alarms: Alarms) -> None:
    judge = judging(alarms)
    good = alarms.rules_path.read_text()
    try:
        alarms.rules(good.replace("confirm: 1", "confirm: zero") + "chanels: {}\n")
        judge.process.send_signal(signal.SIGHUP)
        judge.wait_for_line("the reload is refused: the old rules and targets go on")
        assert f"{alarms.rules_path}:1:" in judge.said()
        assert "chanels" in judge.said()
        alarms.rules(good.replace("confirm: 1", "confirm: 2"))
        judge.process.send_signal(signal.SIGHUP)
        judge.wait_for_line("were read anew")
        alarms.publish(UP, DOWN, target="once")
        alarms.publish(UP, DOWN, DOWN, target="twice")
        alarms.wait(lambda: bool(alarms.said("twice")), "an opening")
        assert alarms.said("once") == []
    finally:
        alarms.rules(good)


def test_what_people_order_is_taken_and_what_is_no_order_stops_nothing(alarms: Alarms) -> None:
    targets = alarms.stage.directory / "targets.yml"
    targets.write_text("targets: [{name: quiet, url: 'https://quiet.example.org/'}]\n")
    judge = judging(alarms)
    kafka = alarms.stage.kafka_settings("alarm")
    alarms.stage.producer("alarm").send(kafka.orders_topic, value=b"reboot\x1b[2J").get(timeout=20)
    judge.wait_for_line("is no order")
    assert "\x1b" not in judge.said()
    unknown = alarms.order("silence", "qiet", "--for", "1h", "--reason", "x", ALARM_TARGETS_PATH=str(targets))
    assert unknown.returncode == 2
    assert "'qiet' matches no target" in unknown.stderr
    done = alarms.order(
        "silence", "qui*", "--for", "1h", "--reason", "known", "--by", "ann", ALARM_TARGETS_PATH=str(targets)
    )
    assert done.returncode == 0, done.stderr
    said = re.fullmatch(r"silence (\S+): qui\* \(1 target\), until .* UTC\n", done.stdout)
    assert said, done.stdout
    judge.wait_for_line("order: silence of ann")
    alarms.publish(UP, DOWN, target="quiet")
    alarms.publish(UP, DOWN, target="loud")
    alarms.wait(lambda: bool(alarms.said("loud")), "an opening")
    assert alarms.said("quiet") == []
    assert alarms.order("end", said[1][:8]).returncode == 0
    alarms.wait(lambda: alarms.said("quiet") == ["opened quiet"], "what is still so when the silence ends")
    episode = alarms.of("loud")[0]["episode"]
    taken = alarms.order("ack", episode[:13], "--by", "ann", "--note", "on it")
    assert taken.stdout == "acknowledged: down of loud, by ann\n", taken.stderr
    wait_until(lambda: b'"ack":{"by":"ann"' in alarms.log()[f"episode/{episode}"], "it in the log")
    again = alarms.order("ack", episode)
    assert again.returncode == 2
    assert "ann has acknowledged it already" in again.stderr
    notice = next(key for key, value in alarms.log().items() if json.loads(value).get("episode") == episode)
    assert alarms.order("resend", notice.removeprefix("notice/")).returncode == 0
    alarms.wait(lambda: alarms.said("loud") == ["opened loud", "opened loud"], "the message again")
    maintained = alarms.order("maintenance", "loud", "--for", "5m", ALARM_TARGETS_PATH=None)
    assert maintained.returncode == 2, "the database knows no such target, as no sink stored a result of it"
    announced = alarms.order("announce", "Slow today", "--text", "We know.", "--episode", episode)
    assert announced.returncode == 0, announced.stderr
    wait_until(lambda: any(key.startswith("announcement/") for key in alarms.log()), "it in the log")


def test_whoever_judges_only_believes_agents_that_sign(alarms: Alarms) -> None:
    keys = alarms.stage.directory / "agents"
    keys.write_text(f"a {'k' * 40}\nolder {'k' * 40} always\n")
    keys.chmod(0o600)
    judging(alarms, str(keys))
    alarms.publish(UP, DOWN, target="forged")
    alarms.publish(UP, DOWN, target="believed", agent="older")
    alarms.wait(lambda: bool(alarms.said("believed")), "an opening")
    assert alarms.said("forged") == []


def test_an_order_may_come_before_there_is_a_judge(alarms: Alarms) -> None:
    kafka = alarms.stage.kafka_settings("alarm")
    now = round(time.time() * 1000)
    orders.send(kafka, orders.Silence(id="early", match="early", begins=now, until=now + 3_600_000, by="ann"))
    judging(alarms)
    wait_until(lambda: "silence/early" in alarms.log(), "it in the log")

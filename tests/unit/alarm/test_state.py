"""What systemd, /healthz and Prometheus are told of a judge."""

from collections import Counter

from prometheus_client.exposition import generate_latest
from prometheus_client.registry import CollectorRegistry

from webmon.alarm.state import State


def exposition(state: State) -> str:
    registry = CollectorRegistry()
    registry.register(state)
    return generate_latest(registry).decode()


def test_what_was_sent_and_what_waits_is_shown_by_channel() -> None:
    state = State()
    state.judging, state.epoch, state.lag = True, 7, 1.5
    state.sends.update({("mail", "taken"): 3, ("hook", "again"): 2})
    state.open = Counter(down=2)
    state.waiting = {"hook": 4}
    state.note_delay(0.3)
    state.note_delay(5000.0)
    shown = exposition(state)
    for line in (
        "webmon_alarm_judging 1.0",
        "webmon_alarm_epoch 7.0",
        "webmon_alarm_lag_seconds 1.5",
        'webmon_alarm_sends_total{answer="taken",channel="mail"} 3.0',
        'webmon_alarm_episodes{condition="down"} 2.0',
        'webmon_alarm_notices_waiting{channel="hook"} 4.0',
        'webmon_alarm_delay_seconds_bucket{le="0.5"} 1.0',
        'webmon_alarm_delay_seconds_bucket{le="+Inf"} 2.0',
        'webmon_alarm_waiting{for="kafka"} 0.0',
    ):
        assert line in shown


def test_one_that_stands_by_says_so_and_lives() -> None:
    now = [0.0]
    state = State(clock=lambda: now[0])
    assert state.summary() == "standing by"
    now[0] = 59.0
    assert state.is_alive()
    now[0] = 61.0
    assert not state.is_alive()
    state.tick()
    assert state.is_alive()


def test_who_is_waited_for_is_said_with_the_cause() -> None:
    state = State()
    state.judging, state.is_held = True, True
    state.kafka.begins("connection refused")
    assert state.waits_for() == "waiting for Kafka: connection refused"
    assert "nothing is sent until it is sure that nobody else judges" in state.summary()

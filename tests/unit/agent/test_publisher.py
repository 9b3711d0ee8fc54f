"""The publisher against a producer that the test owns; tests/integration has the real broker."""

import hmac
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import errors as kafka_errors
from kafka.future import Future
from pydantic import SecretStr

from tests.waiting import wait_until
from webmon.agent import publisher as publisher_module
from webmon.agent.outbox import Outbox
from webmon.agent.publisher import MOST_IN_FLIGHT, Publisher
from webmon.agent.spool import Row
from webmon.daemon import outage
from webmon.errors import UserError
from webmon.kafka import reach
from webmon.settings import Kafka

SETTINGS = Kafka.model_construct(
    hosts=["broker"], port=9093, topic="results", access_certificate=Path("c"), access_key=Path("k"),
    ca_certificate=Path("ca"), group="g",
)  # fmt: skip


class Producer:
    """Takes records and settles them as the test says."""

    def __init__(self, broker: "Broker") -> None:
        self.sent: list[tuple[bytes, bytes]] = []
        self.futures: list[Future] = []
        self.headers: list[tuple[str, bytes]] = []
        """Of the last record."""
        self.abandoned = False
        self._broker = broker

    def send(self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]]) -> Future:
        assert topic == "results"
        self.headers = headers
        future = Future()
        self.sent.append((key, value))
        self.futures.append(future)
        self._broker.settle(value, future)
        return future

    def abandon(self, *, timeout: float) -> None:
        self.abandoned = timeout > 0


class Broker:
    """Makes producers; what happens to their records can be changed at any time."""

    def __init__(self) -> None:
        self.producers: list[Producer] = []
        self.settle: Callable[[bytes, Future], None] = acknowledge

    def make(self, **_: Any) -> Producer:
        self.producers.append(Producer(self))
        return self.producers[-1]

    @property
    def values(self) -> list[bytes]:
        return [value for producer in self.producers for _, value in producer.sent]


def acknowledge(_: bytes, future: Future) -> None:
    future.success(None)


def stay_silent(_: bytes, future: Future) -> None:
    pass


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox.sqlite", 10_000_000)
    yield opened
    opened.close(5)


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> Broker:
    monkeypatch.setattr(reach, "check_reachable", lambda _: None)
    monkeypatch.setattr(reach, "why_silent", lambda _: "Kafka answers, but acknowledges no record")
    monkeypatch.setattr(publisher_module, "_BURST_SECS", 0.02)
    monkeypatch.setattr(outage, "FIRST_WAIT_SECS", 0.02)
    monkeypatch.setattr(outage, "LONGEST_WAIT_SECS", 0.05)
    monkeypatch.setattr(publisher_module, "_CLOSE_SECS", 0.2)
    return Broker()


@pytest.fixture
def publisher(outbox: Outbox, broker: Broker) -> Iterator[Publisher]:
    made = Publisher(SETTINGS, outbox, stall_secs=0.3, make_producer=broker.make)
    made.start()
    yield made
    made.stop(5)
    assert not made.is_alive()


def put(outbox: Outbox, *numbers: int) -> None:
    for number in numbers:
        outbox.put(b"key%d" % number, b"%d" % number)


def test_a_result_is_sent_and_leaves_the_outbox_when_acknowledged(
    outbox: Outbox, broker: Broker, publisher: Publisher
) -> None:
    put(outbox, 1, 2, 3)
    wait_until(lambda: len(outbox) == 0 and publisher.acknowledged == 3)
    assert broker.producers[0].sent == [(b"key1", b"1"), (b"key2", b"2"), (b"key3", b"3")]
    assert publisher.last_acknowledged is not None


def test_a_result_stays_in_the_outbox_until_it_is_acknowledged(outbox: Outbox, broker: Broker) -> None:
    patient = Publisher(SETTINGS, outbox, stall_secs=60, make_producer=broker.make)
    patient.start()
    broker.settle = stay_silent
    put(outbox, 1)
    wait_until(lambda: broker.values == [b"1"])
    assert len(outbox.read(0, 9)) == 1
    broker.producers[0].futures[0].success(None)
    wait_until(lambda: len(outbox) == 0)
    patient.stop(5)


def test_a_producer_without_acknowledgements_is_given_up_and_all_is_sent_again(
    outbox: Outbox, broker: Broker, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    broker.settle = stay_silent
    put(outbox, 1, 2)
    wait_until(lambda: len(broker.producers) >= 2)
    assert broker.producers[0].abandoned
    broker.settle = acknowledge
    wait_until(lambda: len(outbox) == 0)
    assert set(broker.values) == {b"1", b"2"}
    assert caplog.text.count("nothing acknowledged for 0.3 s: Kafka answers, but") == 1
    assert "publishing again after" in caplog.text


def test_one_late_record_is_no_stall_while_others_are_acknowledged(outbox: Outbox, broker: Broker) -> None:
    stall_secs = 1.5  # a busy disk may take a second of it
    publisher = Publisher(SETTINGS, outbox, stall_secs=stall_secs, make_producer=broker.make)
    publisher.start()
    broker.settle = lambda value, future: None if value == b"0" else future.success(None)
    began, numbers = time.monotonic(), itertools.count()
    while time.monotonic() < began + 1.5 * stall_secs:
        put(outbox, next(numbers))
        time.sleep(0.03)
    assert len(broker.producers) == 1
    publisher.stop(5)


@pytest.mark.parametrize(
    "error",
    [
        kafka_errors.TopicAuthorizationFailedError(),
        kafka_errors.KafkaTimeoutError("late"),
        kafka_errors.InvalidTimestampError("out of range"),
        # What kafka-python makes of several timestamps out of range.
        kafka_errors.InvalidRecordError("Timestamp 1 of message with offset 0 is out of range"),
    ],
    ids=lambda e: type(e).__name__,
)
def test_a_refusal_keeps_all_and_is_told_once(
    error: Exception, outbox: Outbox, broker: Broker, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    broker.settle = lambda _, future: future.failure(error)
    put(outbox, 1, 2)
    wait_until(lambda: len(broker.producers) >= 4)
    assert len(outbox) == 2
    assert caplog.text.count("not publishing") == 1
    assert publisher.away_cause
    assert publisher.errors[type(error).__name__] >= 3
    broker.settle = acknowledge
    wait_until(lambda: len(outbox) == 0)
    assert caplog.text.count("publishing again") == 1
    assert publisher.away_cause == ""


def test_a_record_that_hangs_alone_gets_another_producer(
    outbox: Outbox, broker: Broker, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher_module, "_LONGEST_SECS", 0.6)
    broker.settle = lambda value, future: None if value == b"0" and len(broker.producers) == 1 else future.success(None)
    number = 0
    while len(broker.producers) == 1:
        put(outbox, number)
        number += 1
        time.sleep(0.03)
        assert number < 1000
    wait_until(lambda: len(outbox) == 0)
    assert broker.values.count(b"0") == 2
    assert publisher.errors == {"stalled": 1}


def test_a_broker_that_goes_away_is_told_before_the_producer_counts_as_dead(
    outbox: Outbox, broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away: list[Exception] = []

    def check(_: Kafka) -> None:
        if away:
            raise away[0]

    monkeypatch.setattr(reach, "check_reachable", check)
    monkeypatch.setattr(publisher_module, "_LOOK_SECS", 0.1)
    publisher = Publisher(SETTINGS, outbox, stall_secs=60, make_producer=broker.make)
    publisher.start()
    # It goes as it is sent something: of a silence it is looked at once.
    broker.settle = lambda _, __: away.append(reach.KafkaAwayError("nobody there"))
    put(outbox, 1)
    wait_until(lambda: "nobody there" in caplog.text)
    assert broker.producers[0].abandoned
    # What waiting does not mend is told at once, although the outage was told before.
    away[0] = UserError("the certificate has expired")
    wait_until(lambda: "the certificate has expired" in caplog.text)
    assert caplog.text.count("not publishing") == 2
    assert {"away", "refused"} <= publisher.errors.keys()
    away.clear()
    broker.settle = acknowledge
    wait_until(lambda: len(outbox) == 0)
    publisher.stop(5)


def test_a_record_that_kafka_never_takes_blocks_no_other(
    outbox: Outbox, broker: Broker, publisher: Publisher, caplog: pytest.LogCaptureFixture
) -> None:
    def settle(value: bytes, future: Future) -> None:
        if value == b"1":
            future.failure(kafka_errors.MessageSizeTooLargeError("too large"))
        else:
            future.success(None)

    broker.settle = settle
    put(outbox, 1, 2)
    wait_until(lambda: len(outbox) == 0)
    assert (publisher.refused, publisher.acknowledged) == (1, 1)
    assert "Kafka refuses a result of key1 (1 bytes)" in caplog.text
    assert len(broker.producers) == 1


def test_what_is_in_flight_is_bounded(outbox: Outbox, broker: Broker, publisher: Publisher) -> None:
    broker.settle = stay_silent
    put(outbox, *range(MOST_IN_FLIGHT + 500))
    wait_until(lambda: len(broker.values) >= MOST_IN_FLIGHT)
    assert len(broker.producers[0].sent) == MOST_IN_FLIGHT
    broker.settle = acknowledge
    wait_until(lambda: len(outbox) == 0)


@pytest.mark.parametrize("error", [reach.KafkaAwayError("nobody there"), UserError("wrong certificate", "and so on")])
def test_a_broker_that_is_away_is_tried_again_and_its_cause_told_once(
    error: Exception, outbox: Outbox, broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = threading.Event()
    away.set()
    tries: list[None] = []

    def check(_: Kafka) -> None:
        tries.append(None)
        if away.is_set():
            raise error

    monkeypatch.setattr(reach, "check_reachable", check)
    publisher = Publisher(SETTINGS, outbox, make_producer=broker.make)
    publisher.start()
    put(outbox, 1)
    wait_until(lambda: len(tries) >= 4)
    assert caplog.text.count("not publishing: ") == 1
    away.clear()
    wait_until(lambda: len(outbox) == 0)
    assert caplog.text.count("publishing again") == 1
    publisher.stop(5)


def test_stop_waits_a_moment_for_the_last_acknowledgements(
    outbox: Outbox, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def soon(_: bytes, future: Future) -> None:
        threading.Timer(0.1, future.success, [None]).start()

    broker.settle = soon
    monkeypatch.setattr(publisher_module, "_CLOSE_SECS", 5)
    publisher = Publisher(SETTINGS, outbox, make_producer=broker.make)
    publisher.start()
    put(outbox, 1)
    wait_until(lambda: broker.values == [b"1"])
    publisher.stop(5)
    assert publisher.acknowledged == 1
    wait_until(lambda: len(outbox) == 0)


def test_rows_that_come_back_with_the_disk_are_sent_too(outbox: Outbox, broker: Broker, publisher: Publisher) -> None:
    put(outbox, 1)
    wait_until(lambda: publisher.acknowledged == 1)
    with outbox._lock:
        outbox._spool.change([Row(5, b"key", b"older")], (), 1_000_000)
        outbox.opened += 1
    wait_until(lambda: b"older" in broker.values and len(outbox) == 0)


def test_what_is_in_flight_is_not_sent_again_when_the_outbox_is_read_anew(outbox: Outbox, broker: Broker) -> None:
    publisher = Publisher(SETTINGS, outbox, stall_secs=60, make_producer=broker.make)
    publisher.start()
    broker.settle = stay_silent
    put(outbox, 1, 2)
    wait_until(lambda: len(broker.values) == 2)
    outbox.opened += 1
    put(outbox, 3)
    wait_until(lambda: b"3" in broker.values)
    assert broker.values == [b"1", b"2", b"3"]
    for future in broker.producers[0].futures:
        future.success(None)
    wait_until(lambda: len(outbox) == 0)
    publisher.stop(5)


@pytest.mark.parametrize("mac_key", [None, SecretStr("k" * 32)])
def test_each_record_says_its_schema_and_with_a_key_its_mac(
    outbox: Outbox, broker: Broker, mac_key: SecretStr | None
) -> None:
    put(outbox, 1)  # it may be older than the key: what waits is signed when it is sent
    publisher = Publisher(SETTINGS, outbox, mac_key=mac_key, make_producer=broker.make)
    publisher.start()
    wait_until(lambda: len(outbox) == 0, "it is sent")
    publisher.stop(5)
    signed = [("mac", hmac.digest(b"k" * 32, b"\0\0\0\x04key11", "sha256"))] if mac_key else []
    assert broker.producers[0].headers == [("schema", b"2"), *signed]

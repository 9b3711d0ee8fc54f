"""From the outbox to a real broker: acknowledged before it leaves, told when it cannot, nothing lost on the way."""

import contextlib
import gc
import itertools
import json
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.admin import ConfigResource, ConfigResourceType

from tests.agent_process import AgentProcess
from tests.hostile import HostileServer, hang, page
from tests.integration import watched
from tests.integration.stage import Stage, recent
from tests.waiting import wait_until
from webmon.agent.outbox import Outbox
from webmon.agent.publisher import MOST_IN_FLIGHT, Publisher
from webmon.check.result import encode
from webmon.kafka import client
from webmon.settings import Kafka

Start = Callable[..., Publisher]


@pytest.fixture(autouse=True)
def _quiet_client() -> Iterator[None]:
    """Silence the client's own log, as the agent does; pytest would keep its connections with the lines."""
    logger = logging.getLogger("kafka")
    logger.setLevel(logging.CRITICAL)
    yield
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox.sqlite", 100_000_000)
    yield opened
    opened.close(5)


@pytest.fixture
def start(stage: Stage, outbox: Outbox) -> Iterator[Start]:
    """Start a publisher, ended with the test."""
    started: list[Publisher] = []

    def begin(settings: Kafka | None = None, **more: Any) -> Publisher:
        started.append(Publisher(settings or stage.kafka_settings("agent"), outbox, **more))
        started[-1].start()
        return started[-1]

    yield begin
    for publisher in started:
        publisher.stop(20)
        assert not publisher.is_alive()


def put(outbox: Outbox, numbers: range) -> None:
    for number in numbers:
        result = recent(number)
        outbox.put(result.target.encode(), encode(result))


def wait_until_empty(outbox: Outbox, seconds: float = 30) -> None:
    wait_until(lambda: len(outbox) == 0, "an empty outbox", seconds)


def published(stage: Stage) -> list[tuple[bytes, str]]:
    """Read the topic from its beginning: target and time of each result, partition by partition."""
    return [(result.target.encode(), json.loads(encode(result))["time"]) for result in watched.published(stage)]


def times(numbers: range) -> set[str]:
    return {json.loads(encode(recent(number)))["time"] for number in numbers}


def test_a_record_carries_key_value_and_schema(stage: Stage, outbox: Outbox, start: Start) -> None:
    put(outbox, range(1))
    start()
    wait_until_empty(outbox)
    ours = stage.kafka_settings("init")
    with contextlib.closing(KafkaConsumer(ours.topic, **(client.consumer_args(ours) | {"group_id": None}))) as consumer:
        found: list[Any] = []
        until = time.monotonic() + 15
        while not found and time.monotonic() < until:
            found += itertools.chain(*consumer.poll(500).values())
    (record,) = found
    assert (record.key, record.value) == (b"site0", encode(recent(0)))
    assert record.headers == [("schema", b"2")]


def test_a_backlog_goes_out_whole_and_in_the_order_of_each_target(stage: Stage, outbox: Outbox, start: Start) -> None:
    numbers = range(3 * MOST_IN_FLIGHT)
    put(outbox, numbers)
    start()
    wait_until_empty(outbox, 60)
    found = published(stage)
    assert len(found) == len(numbers)
    for key in {key for key, _ in found}:
        of_one = [time for found_key, time in found if found_key == key]
        assert of_one == sorted(of_one)


def test_a_record_that_is_too_large_blocks_no_other(
    stage: Stage, outbox: Outbox, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    outbox.put(b"site0", b"x" * 2_000_000)
    put(outbox, range(10))
    publisher = start()
    wait_until_empty(outbox)
    assert (publisher.refused, publisher.acknowledged) == (1, 10)
    assert "Kafka refuses a result of site0 (2000000 bytes)" in caplog.text


def test_a_certificate_without_the_right_is_told_and_nothing_is_lost(
    stage: Stage, outbox: Outbox, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    put(outbox, range(10))
    refused = start(stage.kafka_settings("sink"))
    wait_until(lambda: refused.away_cause != "", "a cause")
    assert f"Kafka does not let our certificate ({stage.certificate('sink')[0]}) WRITE topic" in refused.away_cause
    refused.stop(20)
    assert len(outbox) == 10
    assert caplog.text.count("not publishing") == 1
    start()
    wait_until_empty(outbox)
    assert {time for _, time in published(stage)} == times(range(10))


def test_an_expired_certificate_is_told(stage: Stage, outbox: Outbox, start: Start, tmp_path: Path) -> None:
    certificate, key = stage.services.issue(tmp_path, "agent", days=-1)
    expired = stage.kafka_settings("agent").model_copy(update={"access_certificate": certificate, "access_key": key})
    put(outbox, range(3))
    publisher = start(expired)
    wait_until(lambda: "certificate has expired" in publisher.away_cause, "the cause")
    assert len(outbox) == 3


def test_a_clock_that_is_hours_ahead_is_told_where_the_broker_judges_it_and_costs_no_result(
    stage: Stage, outbox: Outbox, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    # As a service may have it that does not let init set its topics.
    theirs = ConfigResource(ConfigResourceType.TOPIC, stage.topic, configs={"message.timestamp.type": "CreateTime"})
    with stage.admin() as admin:
        assert admin.alter_configs([theirs], incremental=True)["topic"][stage.topic] == "OK"
    put(outbox, range(10))
    hours = 3

    class Ahead(client.Producer):
        def send(self, *arguments: Any, **more: Any) -> Any:
            return super().send(*arguments, **more, timestamp_ms=int(time.time() * 1000) + hours * 3_600_000)

    publisher = start(make_producer=Ahead)
    wait_until(lambda: sum(publisher.errors.values()) >= 2, "a second try")
    print(publisher.errors, publisher.away_cause)
    assert len(outbox) == 10
    assert publisher.refused == 0
    assert "is this host's clock right?" in publisher.away_cause
    hours = 0
    wait_until_empty(outbox)
    assert caplog.text.count("not publishing") == 1
    assert {time for _, time in published(stage)} == times(range(10))


def test_a_topic_that_is_deleted_is_told_and_when_made_again_gets_the_rest(
    stage: Stage, outbox: Outbox, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = start(stall_secs=5)
    put(outbox, range(50))
    wait_until_empty(outbox)
    with stage.admin() as admin:
        admin.delete_topics([stage.topic])
        wait_until(lambda: stage.topic not in admin.list_topics(), "that it is gone")
    put(outbox, range(50, 60))
    wait_until(lambda: "there is no such topic" in publisher.away_cause, lambda: f"the cause: {publisher.away_cause}")
    print(publisher.errors)
    assert len(outbox) == 10
    stage.init()
    put(outbox, range(60, 70))
    wait_until_empty(outbox)
    assert {time for _, time in published(stage)} >= times(range(50, 70))
    assert caplog.text.count("not publishing") == 1


# kafka-python leaves the socket of a refused connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.apart
def test_a_broker_that_stops_and_comes_back_gets_everything(
    stage: Stage, outbox: Outbox, start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = start(stall_secs=5)
    put(outbox, range(100))
    wait_until_empty(outbox)
    stage.services.stop_broker()
    try:
        put(outbox, range(100, 200))
        wait_until(lambda: publisher.away_cause != "", "the cause")
        assert len(outbox) == 100
        assert caplog.text.count("not publishing") == 1
        assert "connection refused" in caplog.text
    finally:
        stage.services.start_broker()
    put(outbox, range(200, 300))
    wait_until_empty(outbox, 90)
    assert caplog.text.count("publishing again after") == 1
    assert {time for _, time in published(stage)} == times(range(300))
    publisher.stop(20)
    gc.collect()


def test_an_agent_that_is_killed_again_and_again_loses_no_result(stage: Stage, tmp_path: Path) -> None:
    """What counts as measured is what is on disk; the gap of a slot between two lives is the only loss there is."""
    settings = stage.kafka_settings("agent")
    values = {
        "KAFKA_HOST": settings.hosts[0],
        "KAFKA_PORT": settings.port,
        "KAFKA_TOPIC_NAME": settings.topic,
        "KAFKA_ACCESS_CERTIFICATE": settings.access_certificate,
        "KAFKA_ACCESS_KEY": settings.access_key,
        "KAFKA_CA_CERTIFICATE": settings.ca_certificate,
        "MONITORING_TARGETS_PATH": "targets.txt",
        "MONITORING_RETRY_SECS": 1,
        "MONITORING_AGENT_ID": "killed",
    }
    workspace = tmp_path / "agent"
    workspace.mkdir()
    env_file = workspace / ".env"
    env_file.touch(0o600)
    env_file.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("webmon")), "agent", "--env-file", str(env_file)]
    seen: set[str] = set()
    with HostileServer(page(b"hello")) as server:
        (workspace / "targets.txt").write_text("".join(f"{server.url}{n}\n" for n in range(20)), encoding="utf-8")
        for end in (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM):
            with (
                (workspace / "log").open("a", encoding="utf-8") as log,
                subprocess.Popen(command, stderr=log) as process,
            ):
                before = server.connections
                wait_until(lambda since=before: server.connections > since + 100, "100 checks", 60)  # type: ignore[misc]
                seen |= _waiting(workspace / "outbox.sqlite")
                os.kill(process.pid, end)
                status = process.wait(20)
        assert status == 0
        seen |= _waiting(workspace / "outbox.sqlite")
    rest = Outbox(workspace / "outbox.sqlite", 10_000_000)
    last = Publisher(settings, rest)
    last.start()
    wait_until_empty(rest)
    last.stop(20)
    rest.close(5)
    found = [time for _, time in published(stage)]
    assert seen <= set(found)
    assert len(set(found)) > 150


def test_a_stop_does_not_wait_for_ever_for_a_check(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path)
    agent.configure(MONITORING_RETRY_SECS="30", MONITORING_TIMEOUT_SECS="30")
    with HostileServer(hang) as server:
        agent.target(*(f"{server.url}{number}" for number in range(30)))
        agent.start()
        wait_until(lambda: server.connections > 0, "a check")
        began = time.monotonic()
        agent.send(signal.SIGTERM)
        assert agent.wait(20) == 0
    assert time.monotonic() - began < 20
    agent.close()
    assert "checks were still running and were abandoned" in agent.log.read_text()


def _waiting(path: Path) -> set[str]:
    """Read which results wait on disk, beside the agent that runs."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        return {json.loads(value)["time"] for (value,) in db.execute("SELECT value FROM results")}

"""An agent and three brokers, two of which must have a result: one that dies costs nothing, two of them a wait."""

import contextlib
import gc
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.hostile import HostileServer, page
from tests.integration.brokers import Brokers
from tests.integration.stage import Stage, recent
from tests.integration.watched import Key, Seen, Watched, assert_costs_little, finish, key, observe, published
from tests.waiting import wait_until
from webmon.agent.outbox import Outbox
from webmon.agent.publisher import STALL_SECS, Publisher
from webmon.check.result import encode

# kafka-python leaves the sockets of refused connections to the garbage collector.
pytestmark = [
    pytest.mark.apart,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PER_SECOND = 400
"""Results that the killed broker's test sends: what 24,000 targets a minute give."""


@pytest.fixture(scope="module")
def wide_stage(brokers: Brokers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A stage on the three brokers, with three copies of everything."""
    stage = Stage(brokers.services, tmp_path_factory.mktemp("wide"))
    try:
        stage.init(KAFKA_TOPIC_PARTITIONS="6", KAFKA_TOPIC_REPLICATION="3")
        yield stage
    finally:
        stage.remove()


def test_a_broker_that_is_killed_under_load_costs_no_result(
    brokers: Brokers, wide_stage: Stage, tmp_path: Path
) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite", 100_000_000)
    publisher = Publisher(wide_stage.kafka_settings("agent"), outbox)
    sent: set[Key] = set()
    over = threading.Event()

    def feed() -> None:
        while not over.wait(0.1):
            for _ in range(PER_SECOND // 10):
                result = recent(len(sent), agent="load")
                outbox.put(result.target.encode(), encode(result))
                sent.add(key(result))

    feeding = threading.Thread(target=feed)
    feeding.start()
    publisher.start()
    try:
        wait_until(lambda: publisher.acknowledged > 2 * PER_SECOND, "a load")
        brokers.tell("kafka3", "systemctl kill -s KILL kafka")  # the unit starts it again in 5 s
        worst, last, end = 0.0, time.monotonic(), time.monotonic() + 20
        while time.monotonic() < end:
            if (now := publisher.last_acknowledged or 0.0) > last:
                worst, last = max(worst, now - last), now
            time.sleep(0.01)
    finally:
        over.set()
        feeding.join()
    wait_until(lambda: len(outbox) == 0, "an empty outbox", 60)
    publisher.stop(20)
    outbox.close(5)
    gc.collect()
    found = [key(result) for result in published(wide_stage) if result.agent == "load"]
    twice = len(found) - len(set(found))
    print(f"{len(sent)} results, {twice} of them twice; worst wait between two bursts {worst:.1f} s")
    assert set(found) == sent
    assert worst < STALL_SECS


@pytest.fixture(scope="module")
def without_quorum(brokers: Brokers, wide_stage: Stage) -> Seen:
    """An agent while two of the three brokers are away: one was stopped, one killed."""
    brokers.wait_until_whole(wide_stage)
    with HostileServer(page(b"hello")) as server, contextlib.ExitStack() as ending:
        agent = Watched(wide_stage, "watching", server.url, wide_stage.certificate("agent"))
        ending.callback(agent.close)
        agent.start()
        wait_until(lambda: any(r.agent == agent.name for r in published(wide_stage)), "the first results")
        ending.callback(_start, brokers)
        brokers.tell("kafka4", "systemctl stop kafka")
        brokers.tell("kafka3", "systemctl kill -s KILL kafka; systemctl stop kafka")
        seen, _ = observe([agent], lambda seconds: seconds > STALL_SECS + 6 and "not publishing" in agent.said())
        _start(brokers)
        brokers.wait_until_whole(wide_stage)
        finish(wide_stage, [agent], seen)
        return seen[agent.name]


def _start(brokers: Brokers) -> None:
    """Start those that are away, side by side: alone neither has a quorum."""
    with ThreadPoolExecutor() as both:
        list(both.map(lambda name: brokers.tell(name, "systemctl start kafka"), ("kafka3", "kafka4")))


def test_a_lost_quorum_loses_no_result(without_quorum: Seen) -> None:
    assert len(without_quorum.waited) > 100
    assert without_quorum.waited <= {key(result) for result in without_quorum.published}
    assert without_quorum.missed_slots() == 0


def test_a_lost_quorum_costs_the_agent_next_to_nothing(without_quorum: Seen) -> None:
    assert_costs_little(without_quorum)


def test_a_lost_quorum_is_told_in_one_line(without_quorum: Seen) -> None:
    (line,) = without_quorum.during.splitlines()
    assert "answers, but acknowledges no record" in line
    assert line.count("connection refused") == 2
    assert len(without_quorum.lines("publishing again after")) == 1

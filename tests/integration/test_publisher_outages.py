"""The agent through outages of a real broker: nothing lost, little used, the cause in one line, the schedule kept.

An outage takes its time, so each is gone through once, by several agents together, and the tests look at what was seen.
"""

import contextlib
import dataclasses
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from tests.hostile import HostileServer, page
from tests.integration.services import Services
from tests.integration.stage import Stage, recent
from tests.integration.watched import (
    MOST_GROWTH,
    TARGETS,
    Key,
    Seen,
    Usage,
    Watched,
    assert_costs_little,
    busiest,
    cores,
    finish,
    key,
    observe,
    published,
)
from tests.waiting import wait_until
from webmon.agent.outbox import Outbox
from webmon.agent.publisher import MOST_IN_FLIGHT, Publisher
from webmon.check.result import encode

FROZEN_SECS = 120
BACKLOG = 60_000
"""Results that wait when the broker freezes: more than may be in flight."""
MOST_CORES_WAITING = 0.08
"""What only waits for a broker; kafka-python's own clients took 0.15 where they got a sixth of the machine."""

# kafka-python leaves the sockets of refused connections to the garbage collector.
pytestmark = [
    pytest.mark.apart,
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def outage_stage(services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(services, tmp_path_factory.mktemp("outages"))
    try:
        # More partitions than requests that may be under way: from there on kafka-python would spin.
        stage.init(KAFKA_TOPIC_PARTITIONS="12")
        yield stage
    finally:
        stage.remove()


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with HostileServer(page(b"hello")) as server:
        yield server.url


@dataclasses.dataclass(frozen=True)
class Freeze:
    """What was seen of agents and a sink while a broker was frozen."""

    steady: Seen
    loaded: Seen
    backlog: set[Key]
    """What the loaded one had before it started."""
    sink: list[Usage]
    scattered: float
    """How much of a core a publisher in this process used, with more partitions to send to than requests under way."""


def scatter(outbox: Outbox) -> float:
    """Put results of many targets, one by one, so that each is a request of its own; give what of a core that took."""
    cpu, began = time.process_time(), time.monotonic()
    for number in range(20):
        outbox.put(b"scattered%d" % number, encode(recent(number, agent="scattered")))
        time.sleep(0.6)
    return (time.process_time() - cpu) / (time.monotonic() - began)


@pytest.fixture(scope="module")
def frozen(outage_stage: Stage, site: str, brokers_on_their_way: object) -> Freeze:
    """Two agents with a broker that is frozen for two minutes, one at its daily work, one amid a backlog; and a sink.

    Meanwhile the three brokers of test_three_brokers.py are installed.
    """
    with contextlib.ExitStack() as ending:
        agents = []
        for name in ("steady", "loaded"):
            agents.append(Watched(outage_stage, name, site, outage_stage.certificate("agent")))
            ending.callback(agents[-1].close)
        steady, loaded = agents
        backlog = [recent(number, agent="loaded", target=f"old{number % 50}") for number in range(BACKLOG)]
        loaded.fill(backlog)
        sink = outage_stage.start_sink()
        steady.start()
        wait_until(lambda: outage_stage.committed() > 0, "the sink's first batch")
        outbox = Outbox(outage_stage.directory / "scattered.sqlite", 1_000_000)
        ending.callback(outbox.close, 5)
        publisher = Publisher(outage_stage.kafka_settings("agent"), outbox)
        ending.callback(publisher.stop, 20)
        publisher.start()
        outbox.put(b"first", encode(recent(agent="scattered")))
        wait_until(lambda: publisher.acknowledged == 1, "a publisher at work")
        # Last, as a quiet machine sends all of it in a few seconds.
        loaded.start()
        wait_until(lambda: loaded.count_waiting() < BACKLOG - MOST_IN_FLIGHT, "a backlog on its way")
        with outage_stage.services.frozen_broker(), ThreadPoolExecutor() as beside:
            scattered = beside.submit(scatter, outbox)
            seen, (of_sink,) = observe(agents, lambda seconds: seconds > FROZEN_SECS, [sink.process.pid])
        finish(outage_stage, agents, seen)
        wait_until(lambda: len(outbox) == 0, "an empty outbox", 60)
        return Freeze(seen["steady"], seen["loaded"], {key(result) for result in backlog}, of_sink, scattered.result())


def test_a_frozen_broker_loses_no_result(frozen: Freeze) -> None:
    assert len(frozen.loaded.waited) > BACKLOG / 10, "the broker froze too late for this test"
    for seen in (frozen.steady, frozen.loaded):
        assert seen.waited <= {key(result) for result in seen.published}
    assert frozen.backlog <= {key(result) for result in frozen.loaded.published}


def test_a_frozen_broker_keeps_no_check_from_its_slot(frozen: Freeze) -> None:
    for seen in (frozen.steady, frozen.loaded):
        waited = {target for _, target, _ in seen.waited if not target.startswith("old")}
        assert len(waited) == TARGETS
        assert seen.missed_slots() == 0


def test_a_frozen_broker_costs_the_agent_next_to_nothing(frozen: Freeze) -> None:
    assert_costs_little(frozen.steady)
    assert_costs_little(frozen.loaded)
    most = max(usage.resident for usage in frozen.loaded.usage)
    assert most - frozen.steady.usage[0].resident < MOST_GROWTH, "what waits must wait on disk"


def test_a_frozen_broker_does_not_make_the_client_spin(frozen: Freeze) -> None:
    print(f"{frozen.scattered:.3f} of a core")
    assert frozen.scattered < MOST_CORES_WAITING


def test_a_frozen_broker_costs_the_sink_next_to_nothing(frozen: Freeze) -> None:
    print(f"{cores(frozen.sink):.3f} of a core, at most {busiest(frozen.sink):.3f}")
    assert busiest(frozen.sink[2:]) < 2 * MOST_CORES_WAITING  # it first stores what it has just read


def test_a_frozen_broker_is_told_in_one_line(frozen: Freeze) -> None:
    for seen in (frozen.steady, frozen.loaded):
        assert len(seen.during.splitlines()) == 1, seen.during
        assert "accepts the connection but is silent" in seen.during
        assert len(seen.lines("publishing again after")) == 1


@pytest.fixture(scope="module")
def killed(outage_stage: Stage, site: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """Three agents whose broker is killed: all is well with one; the certificate of another expires while the broker
    is down, and is renewed afterwards; a third loses its right to write when the broker is back, and is given it again.
    """
    directory = tmp_path_factory.mktemp("certificates")
    with contextlib.ExitStack() as ending:
        agents = {}
        for name, unit in (("healthy", "agent"), ("expiring", "agent"), ("withdrawn", "sink")):
            agents[name] = Watched(outage_stage, name, site, outage_stage.certificate(unit))
            ending.callback(agents[name].close)
        outage_stage.let_write("sink", True)
        for agent in agents.values():
            agent.start()
        wait_until(
            lambda: agents.keys() <= {result.agent for result in published(outage_stage)}, "results of all three"
        )
        # Of no effect yet: the agent's connection was made with the one before.
        expires = datetime.now(UTC) + timedelta(seconds=10)
        agents["expiring"].renew(outage_stage.services.issue(directory, "agent", days=10 / 86_400))
        outage_stage.services.kill_broker()
        try:
            seen, _ = observe(
                list(agents.values()),
                lambda _: (
                    datetime.now(UTC) > expires
                    and all("connection refused" in agent.said() for agent in agents.values())
                ),
            )
        finally:
            outage_stage.services.start_broker()
        agents["withdrawn"].wait_until_said("publishing again", 60)
        outage_stage.let_write("sink", False)
        agents["withdrawn"].wait_until_said("does not let our certificate", 60)
        agents["expiring"].wait_until_said("certificate has expired", 60)
        agents["expiring"].renew(outage_stage.services.issue(directory, "agent"))
        refused, _ = observe([agents["withdrawn"]], lambda seconds: seconds > 6)
        seen["withdrawn"].waited |= refused["withdrawn"].waited
        outage_stage.let_write("sink", True)
        finish(outage_stage, list(agents.values()), seen)
        return seen


def test_a_killed_broker_loses_no_result(killed: dict[str, Seen]) -> None:
    for seen in killed.values():
        assert len(seen.waited) > 5 * TARGETS
        assert seen.waited <= {key(result) for result in seen.published}
        assert seen.missed_slots() == 0


def test_a_killed_broker_costs_the_agent_next_to_nothing(killed: dict[str, Seen]) -> None:
    for seen in killed.values():
        assert_costs_little(seen)


def test_a_killed_broker_is_told_in_one_line(killed: dict[str, Seen]) -> None:
    for seen in killed.values():
        assert len(seen.during.splitlines()) == 1, seen.during
        assert "connection refused" in seen.during
    assert len(killed["healthy"].lines("publishing")) == 2, killed["healthy"].said
    assert len(killed["healthy"].lines("publishing again after")) == 1


def test_a_certificate_that_expired_is_told_in_one_line_and_a_new_one_needs_no_restart(killed: dict[str, Seen]) -> None:
    seen = killed["expiring"]
    assert len(seen.lines("not publishing")) == 2, seen.said  # the broker was away before
    assert len(seen.lines("refuses our certificate")) == 1
    assert len(seen.lines("certificate has expired")) == 1
    assert len(seen.lines("publishing again after")) == 1


def test_a_right_that_is_withdrawn_is_told_in_one_line_and_a_new_one_needs_no_restart(killed: dict[str, Seen]) -> None:
    seen = killed["withdrawn"]
    assert len(seen.lines("not publishing")) == 2, seen.said  # the broker was away before
    assert len(seen.lines("does not let our certificate")) == 1
    assert len(seen.lines("publishing again after")) == 2

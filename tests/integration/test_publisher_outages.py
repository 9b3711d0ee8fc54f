"""The agent through outages of a real broker: nothing lost, little used, the cause in one line, the schedule kept.

An outage takes its time, so each is gone through once, by several agents together, and the tests look at what was seen.
"""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.hostile import HostileServer, page
from tests.integration.services import Services
from tests.integration.stage import Stage, recent
from tests.integration.watched import (
    MOST_CORES,
    MOST_GROWTH,
    Seen,
    Watched,
    cores,
    finish,
    key,
    missed_slots,
    observe,
    published,
    used,
)
from tests.waiting import wait_until
from webmon.agent.publisher import MOST_IN_FLIGHT

FROZEN_SECS = 120
BACKLOG = 60_000
"""Results that wait when the broker freezes: more than may be in flight."""
MOST_CORES_OF_SINK = 0.06
"""It waits and asks; 15 s of spin in two minutes would be twice that."""


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


@pytest.fixture(scope="module")
def freeze(outage_stage: Stage, site: str, brokers_on_their_way: object) -> tuple[dict[str, Seen], float]:
    """Two agents with a broker that is frozen for two minutes, one at its daily work, one amid a backlog; and a sink.

    What was seen of the agents, and how much of a core the sink used. Meanwhile the three brokers of test_three_brokers.py are installed.
    """
    with contextlib.ExitStack() as ending:
        agents = []
        for name in ("steady", "loaded"):
            agents.append(Watched(outage_stage, name, site, 10, outage_stage.certificate("agent")))
            ending.callback(agents[-1].close)
        steady, loaded = agents
        loaded.fill(recent(number, agent="loaded", target=f"old{number % 50}") for number in range(BACKLOG))
        sink = outage_stage.start_sink().process.pid
        steady.start()
        wait_until(lambda: any(r.agent == "steady" for r in published(outage_stage)), "the first results on the topic")
        loaded.start()
        wait_until(lambda: loaded.count_waiting() < BACKLOG - MOST_IN_FLIGHT, "a backlog on its way")
        said = {agent.name: len(agent.said()) for agent in agents}
        with outage_stage.services.frozen_broker():
            before = used(sink)
            seen = observe(agents, lambda seconds: seconds > FROZEN_SECS)
            of_sink = cores(before, used(sink))
        finish(outage_stage, agents, seen, said)
        return seen, of_sink


@pytest.fixture(scope="module")
def frozen(freeze: tuple[dict[str, Seen], float]) -> dict[str, Seen]:
    return freeze[0]


def test_a_frozen_broker_loses_no_result(frozen: dict[str, Seen]) -> None:
    assert len(frozen["loaded"].waited) > BACKLOG / 10, "the broker froze too late for this test"
    for seen in frozen.values():
        assert seen.waited <= {key(result) for result in seen.published}
    assert {key(recent(n, agent="loaded", target=f"old{n % 50}")) for n in range(BACKLOG)} <= {
        key(result) for result in frozen["loaded"].published
    }


def test_a_frozen_broker_keeps_no_check_from_its_slot(frozen: dict[str, Seen]) -> None:
    for name, seen in frozen.items():
        mine = [result for result in seen.published if not result.target.startswith("old")]
        assert len({result.target for result in mine}) == 10
        assert max(r.time for r in mine) - min(r.time for r in mine) > timedelta(seconds=FROZEN_SECS)
        assert missed_slots(mine, name) == {}


def test_a_frozen_broker_costs_the_agent_next_to_nothing(frozen: dict[str, Seen]) -> None:
    for name, seen in frozen.items():
        print(f"{name}: {seen.cores:.3f} of a core, {(seen.most - seen.before.resident) / 2**20:.1f} MB more")
        assert seen.cores < MOST_CORES
        assert seen.most - frozen["steady"].before.resident < MOST_GROWTH
        assert seen.after.files <= seen.before.files + 10


def test_a_frozen_broker_costs_the_sink_next_to_nothing(freeze: tuple[dict[str, Seen], float]) -> None:
    print(f"{freeze[1]:.3f} of a core")
    assert freeze[1] < MOST_CORES_OF_SINK


def test_a_frozen_broker_is_told_in_one_line(frozen: dict[str, Seen]) -> None:
    for seen in frozen.values():
        assert len(seen.said.splitlines()) == 2, seen.said
        assert len(seen.lines("accepts the connection but is silent")) == 1
        assert len(seen.lines("publishing again after")) == 1


@pytest.fixture(scope="module")
def killed(outage_stage: Stage, site: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    """Three agents whose broker is killed: all is well with one; the certificate of another expires while the broker
    is down, and is renewed afterwards; a third loses its right to write when the broker is back, and is given it again.
    """
    directory = tmp_path_factory.mktemp("certificates")
    lifetime = timedelta(seconds=15)
    with contextlib.ExitStack() as ending:
        expires = datetime.now(UTC) + lifetime
        pairs = {
            "healthy": outage_stage.certificate("agent"),
            "expiring": outage_stage.services.issue(directory, "agent", days=lifetime / timedelta(days=1)),
            "withdrawn": outage_stage.certificate("sink"),
        }
        outage_stage.let_write("sink", True)
        agents = {name: Watched(outage_stage, name, site, 10, pair) for name, pair in pairs.items()}
        for agent in agents.values():
            ending.callback(agent.close)
            agent.start()
        wait_until(
            lambda: agents.keys() <= {result.agent for result in published(outage_stage)}, "results of all three"
        )
        said = {agent.name: len(agent.said()) for agent in agents.values()}
        assert datetime.now(UTC) < expires, "the certificate expired too soon for this test"
        outage_stage.services.kill_broker()
        try:
            seen = observe(
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
        refused = observe([agents["withdrawn"]], lambda seconds: seconds > 6)
        seen["withdrawn"].waited |= refused["withdrawn"].waited
        outage_stage.let_write("sink", True)
        finish(outage_stage, list(agents.values()), seen, said)
        return seen


def test_a_killed_broker_loses_no_result(killed: dict[str, Seen]) -> None:
    for name, seen in killed.items():
        assert len(seen.waited) > 50
        assert seen.waited <= {key(result) for result in seen.published}
        assert missed_slots(seen.published, name) == {}


def test_a_killed_broker_costs_the_agent_next_to_nothing(killed: dict[str, Seen]) -> None:
    for name, seen in killed.items():
        print(f"{name}: {seen.cores:.3f} of a core, {(seen.most - seen.before.resident) / 2**20:.1f} MB more")
        assert seen.cores < MOST_CORES
        assert seen.most - seen.before.resident < MOST_GROWTH


def test_a_killed_broker_is_told_in_one_line(killed: dict[str, Seen]) -> None:
    assert len(killed["healthy"].said.splitlines()) == 2, killed["healthy"].said
    assert len(killed["healthy"].lines("connection refused")) == 1
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

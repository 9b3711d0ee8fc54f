"""The gate between two hosts of a rollout: what it takes for a service that works, and what not."""

import importlib.util
import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

import pytest

from tests.lab.steps import TOP

AGENT = "15 targets, 1.5 checks/s; slots kept {kept}, missed 0; outbox {waiting} results; last acknowledgement {ago}"
SINK = "{rows} rows stored, 0 repeats, {dead} dead letters, {waiting} waiting on the topic"


@pytest.fixture(scope="module")
def gate() -> ModuleType:
    """The program, which stands with the role that ships it."""
    spec = importlib.util.spec_from_file_location("gate", TOP / "roles/release/files/gate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gate"] = module
    spec.loader.exec_module(module)
    return module


def agent(kept: int = 30, waiting: int = 0, ago: str = "1 s ago") -> str:
    return AGENT.format(kept=kept, waiting=waiting, ago=ago)


def sink(rows: int = 30, dead: int = 0, waiting: int = 0) -> str:
    return SINK.format(rows=rows, dead=dead, waiting=waiting)


def verdict(gate: ModuleType, unit: str, said: Iterable[str], **changed: Any) -> tuple[float, str]:
    """Read a service that was restarted at second 0, once a second; give when and what the verdict was.

    `said` is its status from second to second, the last of them for ever after; `changed` is what else its readings
    have, from second 5 on.
    """
    watch = gate.Watch(unit)
    states = list(said)
    for second in range(1000):
        values = {"active": True, "state": "active", "run": "first", "status": states[min(second, len(states) - 1)]}
        values |= changed if second >= 5 else {}
        found = watch.look(gate.Reading(at=float(second), up_secs=float(second), **values))
        if found is not None:
            assert found.works == found.text.startswith("works"), found
            return second, found.text
    pytest.fail("no verdict")


def test_an_agent_whose_results_kafka_acknowledges_works_once_it_was_up_for_a_while(gate: ModuleType) -> None:
    assert verdict(gate, "webmon-agent.service", [agent(kept=3, ago="none yet"), agent()]) == (
        10,
        "works: 30 checks, Kafka acknowledged a result 1 s ago",
    )


def test_a_sink_that_stores_rows_works_once_it_was_up_for_a_while(gate: ModuleType) -> None:
    assert verdict(gate, "webmon-sink@2.service", ["", sink()]) == (
        10,
        "works: 30 results stored, 0 wait on the topic",
    )


@pytest.mark.parametrize("unit", ["webmon-alarm.service", "webmon-page.service"])
def test_a_judge_or_a_page_works_once_it_was_up_for_a_while_and_has_what_it_needs(gate: ModuleType, unit: str) -> None:
    assert verdict(gate, unit, ["", "standing by"]) == (10, "works: standing by")
    judging = "judging, 3 results, 0 open, 0 s behind; waiting for the database: it is away"
    assert verdict(gate, unit, [judging]) == (10, f"works: {judging}")
    waits = "standing by; waiting for Kafka: kafka1:9093 refuses connections"
    blind = "no snapshot yet; 1 groups are public"
    for lacks in (waits, blind):
        assert verdict(gate, unit, [lacks]) == (90, f"waits for a neighbour in 90 s; it says: {lacks}")
    assert verdict(gate, unit, [""]) == (90, "has not said how it is in 90 s; it says: nothing")


@pytest.mark.parametrize("unit", ["webmon-agent.service", "webmon-sink.service", "webmon-alarm.service"])
def test_one_that_is_down_or_was_restarted_does_not_work_and_nothing_more_is_waited_for(
    gate: ModuleType, unit: str
) -> None:
    down = {"active": False, "state": "activating (auto-restart), result exit-code"}
    assert verdict(gate, unit, [""], **down) == (5, "is not up: activating (auto-restart), result exit-code")
    assert verdict(gate, unit, [""], run="second") == (5, "fell over and was restarted, 5 s after the change")


def test_an_agent_that_has_nothing_acknowledged_does_not_work(gate: ModuleType) -> None:
    second, text = verdict(gate, "webmon-agent.service", [agent(waiting=30, ago="none yet")])
    assert second == 40, "the interval of a target, which is at most 15 / 1.5 s, and a grace"
    assert text.startswith("Kafka acknowledged no result in 40 s; it says: 15 targets")


def test_an_agent_that_makes_no_check_does_not_work(gate: ModuleType) -> None:
    assert verdict(gate, "webmon-agent.service", [agent(kept=0, ago="none yet")]) == (
        40,
        f"has not made a check in 40 s; it says: {agent(kept=0, ago='none yet')}",
    )


def test_one_that_says_nothing_of_itself_does_not_work(gate: ModuleType) -> None:
    assert verdict(gate, "webmon-agent.service", [""]) == (120, "has not said how it is in 120 s; it says: nothing")
    assert verdict(gate, "webmon-sink.service", [""]) == (90, "has not joined its group in 90 s; it says: nothing")


def test_an_agent_without_a_check_that_is_due_must_only_stay_up(gate: ModuleType) -> None:
    hourly = "2 targets, 0.000556 checks/s; slots kept 0, missed 0; outbox 0 results; last acknowledgement none yet"
    assert verdict(gate, "webmon-agent.service", [hourly]) == (120, "works: none of its checks was due")
    no_target = "0 targets, 0 checks/s; slots kept 0, missed 0; outbox 0 results; last acknowledgement none yet"
    assert verdict(gate, "webmon-agent.service", [no_target]) == (10, "works: no target is its own")


def test_a_sink_that_finds_nothing_on_its_topic_must_only_stay_up(gate: ModuleType) -> None:
    assert verdict(gate, "webmon-sink.service", [sink(rows=0)]) == (20, "works: there is nothing on the topic to store")


def test_a_backlog_must_grow_less(gate: ModuleType) -> None:
    grows = [sink(waiting=5000 + second) for second in range(1000)]
    second, text = verdict(gate, "webmon-sink.service", grows)
    assert (second, text[:45]) == (90, "5090 messages wait on the topic, and no fewer")
    shrinks = [sink(waiting=50_000 - second) for second in range(1000)]
    assert verdict(gate, "webmon-sink.service", shrinks)[0] == 10
    grows = [agent(waiting=5000 + second) for second in range(1000)]
    assert "wait in its outbox, and no fewer in 40 s" in verdict(gate, "webmon-agent.service", grows)[1]


def test_a_sink_that_can_read_nothing_or_waits_for_a_neighbour_does_not_work(gate: ModuleType) -> None:
    assert verdict(gate, "webmon-sink.service", [sink(rows=0, dead=30)])[1].startswith(
        "took 30 messages for dead letters and 0 for results in 90 s"
    )
    assert verdict(gate, "webmon-sink.service", [sink() + "; waiting for the database"])[1].startswith(
        "waits for a neighbour in 90 s"
    )


def test_an_agent_that_says_it_is_not_well_does_not_work(gate: ModuleType) -> None:
    assert verdict(gate, "webmon-agent.service", [agent() + "; not publishing: no broker"])[1].startswith(
        "is not well in 40 s"
    )

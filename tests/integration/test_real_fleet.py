"""What the store holds of the fleet: what agents and sinks say of themselves, on a real broker and a real database."""

import contextlib
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from tests.agent_process import AgentProcess
from tests.hostile import HostileServer, page
from tests.integration.stage import SINK_PASSWORD, Stage, recent
from tests.integration.test_real_page import moment
from tests.integration.test_real_retention import retention
from tests.waiting import wait_until
from webmon import __version__
from webmon.check.result import AgentStatus, CheckResult
from webmon.kafka.decode import Unreadable
from webmon.page.memory import Memory
from webmon.page.snapshot import Snapshot
from webmon.sink.fleet import Fleet
from webmon.sink.state import State
from webmon.sink.writer import Writer

NOW = datetime.now(UTC)


@pytest.fixture(scope="module", autouse=True)
def _now() -> None:
    """What a test calls now is now in the database, too: a module is read long before its tests run."""
    globals()["NOW"] = datetime.now(UTC)


def said(agent: str, ago: float, **changes: Any) -> CheckResult:
    """Give a result in which an agent tells of itself, some seconds before now."""
    at = NOW - timedelta(seconds=ago)
    values: dict[str, Any] = {"version": "1.2.3", "waiting": 7} | changes
    return recent(target="shop", agent=agent, time=at, scheduled_at=at, agent_status=AgentStatus(**values))


def snapshot(stage: Stage) -> Snapshot:
    """Read what the page shows."""
    with moment(stage) as session:
        return Memory(10).read(session)


@contextlib.contextmanager
def sink(stage: Stage, name: str = "sink1", **changes: Any) -> Iterator[Fleet]:
    """Give the part of a sink that writes of the fleet; a test has it write."""
    made = Fleet(stage.settings("sink").postgres, name, State(), **changes)
    try:
        yield made
    finally:
        made.stop(5)
        made._close()


def stored(stage: Stage, *results: CheckResult) -> list[CheckResult]:
    """Store results, as a sink does before it notes them."""
    store = Writer(stage.settings("sink").postgres)
    store.store(results)
    store.close()
    return list(results)


def rows(stage: Stage) -> list[tuple[Any, ...]]:
    """Give what is there of agents."""
    return stage.sql("SELECT name, version, waiting FROM {t_fleet} WHERE kind = 'agent' ORDER BY name")


def test_an_agent_and_a_sink_are_shown_with_version_outbox_lag_certificates_and_dead_letters(stage: Stage) -> None:
    workspace = stage.directory / "agent"
    workspace.mkdir()
    agent = AgentProcess(workspace)
    with contextlib.closing(agent), HostileServer(page(b"hello")) as server:
        agent.configure(**stage.way_to_kafka(stage.certificate("agent")), MONITORING_AGENT_ID="oslo")
        agent.target(server.url)
        agent.start()
        stage.start_sink()
        stage.publish([b"junk"])

        def shown() -> bool:
            fleet = snapshot(stage).fleet
            of_agents = [one for one in fleet.agents if one.said]
            return bool(of_agents) and [sink.dead_letters for sink in fleet.sinks or ()] == [1]

        wait_until(shown, "both said how they are", 60)
    # Idle, the sink goes on to say how it is.
    ((before,),) = stage.sql("SELECT now()")
    later = "SELECT count(*) FROM {t_fleet} WHERE kind = 'sink' AND waiting = 0 AND at > %s"
    wait_until(lambda: stage.sql(later, before) == [(1,)], "the sink said it again", 60)
    fleet = snapshot(stage).fleet
    (one,) = fleet.agents
    assert one.said
    assert (one.name, one.said.version) == ("oslo", __version__)
    assert one.said.waiting is not None
    assert one.said.certificate_ends is not None
    assert fleet.sinks is not None
    (ours,) = fleet.sinks
    assert (ours.name, ours.version, ours.waiting) == (socket.gethostname(), __version__, 0)
    assert ours.certificate_ends is not None
    assert ours.since is not None
    assert ours.stored_at is not None
    assert ours.since < ours.stored_at <= ours.at + timedelta(seconds=5)
    assert ours.dead_letter_at is not None
    assert "JSON is malformed" in ours.dead_letter_reason


def test_only_what_is_newer_replaces_what_is_there_and_nothing_is_ahead(stage: Stage) -> None:
    with sink(stage) as first, sink(stage, "sink2") as second:
        first.note(stored(stage, said("a", 10, waiting=1), said("b", -20, waiting=2)), [], NOW)
        first._pass()
        assert rows(stage) == [("a", "1.2.3", 1), ("b", "1.2.3", 2)]
        assert stage.sql("SELECT count(*) FROM {t_fleet} WHERE at > now()") == [(0,)]
        second.note([said("a", 60, waiting=3), said("b", 0, waiting=4)], [], NOW)
        second._pass()
        assert rows(stage) == [("a", "1.2.3", 1), ("b", "1.2.3", 2)]
        second.note([said("a", 5, waiting=5)], [], NOW)
        second._pass()
    assert rows(stage) == [("a", "1.2.3", 5), ("b", "1.2.3", 2)]
    assert [one.name for one in snapshot(stage).fleet.sinks or ()] == ["sink1", "sink2"]


def test_an_agent_without_a_row_of_its_own_gets_none_here(stage: Stage) -> None:
    with sink(stage) as ours:
        ours.note([*stored(stage, said("a", 1)), said("never stored", 1)], [], NOW)
        ours._pass()
    assert [name for name, _, _ in rows(stage)] == ["a"]


def test_extremes_that_an_agent_may_say_are_stored_and_shown(stage: Stage) -> None:
    far = datetime.max.replace(tzinfo=UTC)
    extremes = [
        said("\U0001f300" * 200, 1, version="\U0001f300" * 50, waiting=2**53 - 1, certificate_ends=far),
        said("%s '; -- {fleet}", 1, version="\u202e", certificate_ends=datetime.min.replace(tzinfo=UTC)),
        said("c", 1, version="", waiting=0),
    ]
    with sink(stage) as ours:
        ours.note(stored(stage, *extremes), [Unreadable(None, "x\0y" * 900)], NOW)
        ours._pass()
    found = snapshot(stage)
    assert found.history is not None
    assert found.history.fault == ""
    ends = {one.name: one.said.certificate_ends for one in found.fleet.agents if one.said}
    assert set(ends) == {one.agent for one in extremes}
    assert ends["\U0001f300" * 200] == far
    assert len((found.fleet.sinks or [])[0].dead_letter_reason) == 500


def test_a_restart_keeps_the_newest_reason_and_counts_anew(stage: Stage) -> None:
    with sink(stage) as before:
        before._state.metrics.dead_letters = 9
        before.note([recent()], [Unreadable(None, "not JSON")], NOW)
        before._pass()
    with sink(stage) as after:
        after._pass()
    (ours,) = snapshot(stage).fleet.sinks or []
    assert (ours.dead_letters, ours.dead_letter_at, ours.dead_letter_reason) == (0, NOW, "not JSON")
    assert ours.stored_at == NOW


def test_who_keeps_the_table_from_sinks_holds_up_no_row(stage: Stage) -> None:
    with stage.database() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(f'LOCK TABLE "{stage.table}_fleet" IN ACCESS EXCLUSIVE MODE')
        program = stage.start_sink()
        stage.publish([said("a", number) for number in range(50)])
        wait_until(lambda: stage.count() == 50, "all stored", 40)
        # It has tried by now, and waits.
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass"
        wait_until(lambda: stage.sql(waiting, f"{stage.table}_fleet") == [(1,)], "the fleet waits", 40)
        stage.publish([said("a", 50 + number) for number in range(50)])
        wait_until(lambda: stage.count() == 100, "all stored", 40)
        cursor.execute("ROLLBACK")
    wait_until(lambda: [name for name, _, _ in rows(stage)] == ["a"], "the fleet is told again", 60)
    assert program.process.poll() is None
    assert "Traceback" not in program.said()


def test_a_sink_without_the_right_stores_all_the_same_and_says_so_once(stage: Stage) -> None:
    stage.sql(f"REVOKE ALL ON {{t_fleet}} FROM {stage.roles[0]}")
    program = stage.start_sink()
    stage.publish([said("a", 1)])
    wait_until(lambda: stage.count() == 1, "stored")
    program.wait_for_line("fleet: waiting: ", 40)
    assert program.process.poll() is None
    assert f"FAILED   rights in the database: role '{stage.roles[0]}' lacks" in stage.doctor("sink").stdout


def test_a_row_that_no_program_can_read_is_refused(stage: Stage) -> None:
    add = "INSERT INTO {t_fleet} (kind, name, at, version, dead_letter_reason, certificate_ends) VALUES"
    for values in (
        ("agent", "x" * 201, NOW, "1", "", None),
        ("sink", "", NOW, "1", "", None),
        ("judge", "x", NOW, "1", "", None),
        ("sink", "x", NOW, "x" * 51, "", None),
        ("sink", "x", NOW, "1", "x" * 501, None),
        ("sink", "x", "infinity", "1", "", None),
        ("sink", "x", NOW, "1", "", "infinity"),
        ("sink", "x", NOW, "1", "", "10000-01-01T00:00Z"),
        ("sink", "x", "-infinity", "1", "", None),
    ):
        with stage.database(stage.roles[0], SINK_PASSWORD) as cursor, pytest.raises(psycopg2.errors.CheckViolation):
            cursor.execute(f"{add} (%s, %s, %s, %s, %s, %s)".replace("{t_fleet}", f'"{stage.table}_fleet"'), values)


def test_what_was_silent_for_a_month_goes_and_a_dry_run_only_tells(stage: Stage) -> None:
    stage.sql(
        "INSERT INTO {t_fleet} (kind, name, at, version) VALUES ('sink', 'old', now() - INTERVAL '31 days', '1'),"
        " ('agent', 'old', now() - INTERVAL '31 days', '1'), ('sink', 'young', now() - INTERVAL '29 days', '1')"
    )
    line = f"{stage.table}_fleet: 2 of agents and sinks that were silent for 30 days"
    assert retention(stage, "--dry-run") == [f"would go  {line}", "0 chunks, 0 B, and 2 names would go"]
    assert retention(stage)[0] == f"dropped  {line}"
    assert stage.sql("SELECT name FROM {t_fleet}") == [("young",)]
    assert retention(stage) == ["nothing is older than it is kept"]


def test_a_store_of_the_schema_before_shows_history_and_vantages_and_a_sink_of_this_release_asks_for_init(
    stage: Stage,
) -> None:
    stored(stage, said("a", 1))
    stage.sql("DELETE FROM {t_migrations} WHERE version = 9")
    stage.sql("DROP TABLE {t_fleet}")
    found = snapshot(stage)
    assert found.history is not None
    assert found.fleet.sinks is None
    assert [(one.name, one.said) for one in found.fleet.agents] == [("a", None)]
    program = stage.start_sink()
    program.wait_for_line("and this webmon needs 9: run `webmon init` of this release")
    assert program.process.wait(30) == 2


def test_a_row_that_another_wrote_badly_hides_no_other_and_nothing_else(stage: Stage) -> None:
    stage.sql(
        "INSERT INTO {t_fleet} (kind, name, at, version) VALUES"
        " ('sink', 'bare', now(), '1'), ('agent', 'bare', now(), '1')"
    )
    with sink(stage) as ours:
        ours.note(stored(stage, said("a", 1)), [], NOW)
        ours._pass()
    found = snapshot(stage)
    assert [one.name for one in found.fleet.sinks or ()] == ["bare", "sink1"]
    assert [one.name for one in found.fleet.agents if one.said] == ["a"]


def test_sinks_of_one_host_write_beside_each_other_and_wait_for_nobody(stage: Stage) -> None:
    agents = [f"a{number}" for number in range(100)]
    stored(stage, *(said(name, 100) for name in agents))
    faults: list[Exception] = []
    with sink(stage, "one", pass_secs=0.01) as first, sink(stage, "two", pass_secs=0.01) as second:
        for ours, order in ((first, agents), (second, agents[::-1])):
            ours._failed = faults.append  # type: ignore[method-assign, assignment]
            ours.note([said(name, 1) for name in order], [], NOW)
            ours.start()
        wait_until(lambda: len(rows(stage)) == 100, "all told", 30)
        for number in range(20):
            for ours, order in ((first, agents), (second, agents[::-1])):
                ours.note([said(name, -number / 1000) for name in order], [], NOW)
        wait_until(lambda: not (first._agents or second._agents), "all told again", 30)
    assert faults == []

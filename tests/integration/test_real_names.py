"""Names of what is kept, and no others: `webmon retention` removes them while sinks go on; on a real TimescaleDB."""

import itertools
import random
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from tests.integration.stage import Stage, recent
from tests.integration.test_real_rollups import worker
from tests.waiting import wait_until
from webmon.check.result import CheckResult
from webmon.doctor import database
from webmon.doctor.finding import Level
from webmon.init import retention as removing
from webmon.init.retention import retain
from webmon.settings import Retention
from webmon.sink import dimensions
from webmon.sink.dimensions import Dimensions
from webmon.sink.writer import ADD_NEW, Writer
from webmon.store.names import Tables
from webmon.store.unused import SPARE

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
DANGLING = {
    "rows without their series": "SELECT count(*) FROM {t} WHERE series_id NOT IN (SELECT id FROM {t_series})",
    "rows without their context": "SELECT count(*) FROM {t} WHERE context_id NOT IN (SELECT id FROM {t_contexts})",
    "series without a target": "SELECT count(*) FROM {t_series} WHERE target_id NOT IN (SELECT id FROM {t_targets})",
    "series without an agent": "SELECT count(*) FROM {t_series} WHERE agent_id NOT IN (SELECT id FROM {t_agents})",
    "history without its target": (
        "SELECT count(*) FROM {t_target_history} WHERE target_id NOT IN (SELECT id FROM {t_targets})"
    ),
    "hours without their target": "SELECT count(*) FROM {t_hours} WHERE target_id NOT IN (SELECT id FROM {t_targets})",
    "days without their target": "SELECT count(*) FROM {t_days} WHERE target_id NOT IN (SELECT id FROM {t_targets})",
    "days without their agent": "SELECT count(*) FROM {t_days} WHERE agent_id NOT IN (SELECT id FROM {t_agents})",
}


@pytest.fixture(autouse=True)
def to_the_day(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let sinks tell the very day, so that a test needs no results of months."""
    monkeypatch.setattr(dimensions, "SPARE", timedelta(0))


def at(days_ago: float, **changes: Any) -> CheckResult:
    """Make a result of so many days before this day began."""
    moment = MIDNIGHT - timedelta(days=days_ago)
    return recent(**({"target": "shop", "agent": "a", "time": moment, "scheduled_at": moment} | changes))


def kept(rows: int, hours: int = 730, days: int = 3650) -> dict[str, str]:
    """Give the variables of how many days what is kept."""
    ages = {"ROWS": rows, "HOURLY": hours, "DAILY": days}
    return {f"POSTGRES_KEEP_{what}_DAYS": str(age) for what, age in ages.items()}


def retention(stage: Stage, *arguments: str, **ages: str) -> list[str]:
    done = stage.run("retention", *arguments, **ages)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def names(stage: Stage) -> tuple[list[str], list[str], int, list[str]]:
    """Give the targets, the agents, how many series there are, and the addresses of the contexts."""
    return (
        [name for (name,) in stage.sql("SELECT target FROM {t_targets} ORDER BY 1")],
        [name for (name,) in stage.sql("SELECT agent FROM {t_agents} ORDER BY 1")],
        stage.sql("SELECT count(*) FROM {t_series}")[0][0],
        [str(ip) for (ip,) in stage.sql("SELECT remote_ip FROM {t_contexts} ORDER BY 1")],
    )


def dangling(stage: Stage) -> dict[str, int]:
    """Give what points to something that is not there."""
    counts = {what: stage.sql(statement)[0][0] for what, statement in DANGLING.items()}
    return {what: count for what, count in counts.items() if count}


def test_what_no_kept_row_uses_goes_and_rollups_keep_the_names_that_they_need(stage: Stage) -> None:
    store = Writer(stage.settings("sink").postgres)
    store.store([at(5.5, target="old", agent="b", remote_ip="192.0.2.1")])
    store.store([at(0.5, remote_ip="192.0.2.2")])
    store.close()
    before = names(stage)
    assert before == (["old", "shop"], ["a", "b"], 2, ["192.0.2.1", "192.0.2.2"])
    told = retention(stage, "--dry-run", **kept(3))
    assert told[-3:-1] == [
        f"would go  {stage.table}_contexts: 1 that nothing kept uses",
        f"would go  {stage.table}_series: 1 that nothing kept uses",
    ]
    assert told[-1].endswith(", and 2 names would go")
    assert names(stage) == before

    assert retention(stage, **kept(3)) == [line.replace("would go", "dropped") for line in told]
    # The rollups of the old target are kept, so it has its name and its vantage.
    assert names(stage) == (["old", "shop"], ["a", "b"], 1, ["192.0.2.2"])
    assert "old" in stage.answer("uptime", "--since", "10d")
    assert retention(stage, **kept(3)) == ["nothing is older than it is kept"]


def test_a_sink_of_an_earlier_release_which_tells_nothing_may_take_its_place_for_a_month(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dimensions, "SPARE", SPARE)
    store = Writer(stage.settings("sink").postgres)
    store.store([at(40.5, target="old", remote_ip="192.0.2.1")])
    store.store([at(30.5, remote_ip="192.0.2.2")])
    store.close()
    retention(stage, **kept(1))
    assert names(stage)[2:] == (1, ["192.0.2.2"])


def test_targets_and_agents_go_with_their_last_rollup(stage: Stage) -> None:
    store = Writer(stage.settings("sink").postgres)
    store.store([at(250.5, target="old", agent="b")])
    store.store([at(0.5)])
    store.close()
    # A chunk of days is as long as a season.
    gone = retention(stage, **kept(3, 20, 100))
    assert [line for line in gone if "nothing kept uses" in line] == [
        f"dropped  {stage.table}_series: 1 that nothing kept uses",
        f"dropped  {stage.table}_targets: 1 that nothing kept uses",
        f"dropped  {stage.table}_agents: 1 that nothing kept uses",
    ]
    assert names(stage)[:3] == (["shop"], ["a"], 1)
    assert stage.sql("SELECT count(*) FROM {t_target_history}") == [(1,)]
    assert dangling(stage) == {}


def test_a_target_that_was_last_told_of_before_its_last_rollup_keeps_its_name(stage: Stage) -> None:
    _shorten_chunks(stage)
    store = Writer(stage.settings("sink").postgres)
    # Within an hour of the one before, so that the second is not told in last_seen.
    for hours in (-0.5, 0.3):
        store.store([at(3 - hours / 24)])
    store.close()
    retention(stage, **kept(1, 3, 3))
    assert names(stage)[:3] == (["shop"], ["a"], 0)
    assert stage.sql("SELECT results FROM {t_days}") == [(1,)]
    assert dangling(stage) == {}


def test_a_late_row_that_comes_before_the_floor_keeps_its_names(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Writer(stage.settings("sink").postgres)
    store.store([at(5.5)])
    raise_floor = removing._raise_floor

    def store_and_raise(connection: Any, tables: Tables, kind: str, floor: datetime) -> None:
        if kind == "rows":
            # In a chunk of its own, which retention has not seen when it looked what is to go.
            store.store([at(4.5, target="late", remote_ip="192.0.2.1")])
        raise_floor(connection, tables, kind, floor)

    monkeypatch.setattr(removing, "_raise_floor", store_and_raise)
    owner = _owner(stage)
    for _ in retain(owner, Tables(stage.table), Retention.model_validate(kept(3)), dry_run=False):
        pass
    owner.close()
    store.close()
    assert stage.sql("SELECT target, host(remote_ip) FROM {t_view}") == [("late", "192.0.2.1")]
    assert dangling(stage) == {}


@pytest.mark.parametrize("autocommit", ["True", "False"])
def test_a_sink_that_remembers_what_was_removed_adds_it_anew(stage: Stage, autocommit: str) -> None:
    _shorten_chunks(stage)
    store = Writer(stage.settings("sink", POSTGRES_AUTOCOMMIT=autocommit).postgres)
    store.store([at(5.5, remote_ip="192.0.2.1"), at(5.5, target="old", agent="b", remote_ip="192.0.2.1")])
    retention(stage, **kept(3, 3, 3))
    assert names(stage) == ([], [], 0, [])
    back = [at(0.5, remote_ip="192.0.2.1"), at(0.5, target="old", remote_ip="192.0.2.1")]
    assert store.store(back).added == 2
    store.close()
    assert names(stage) == (["old", "shop"], ["a"], 2, ["192.0.2.1"])
    assert stage.sql("SELECT target, agent, host(remote_ip) FROM {t_view} ORDER BY 1") == [
        ("old", "a", "192.0.2.1"),
        ("shop", "a", "192.0.2.1"),
    ]
    assert dangling(stage) == {}


def _shorten_chunks(stage: Stage) -> None:
    """Let rollups go as soon as rows."""
    for what in ("hourly", "daily"):
        stage.sql("SELECT set_chunk_time_interval(%s::regclass, INTERVAL '1 day')", Tables(stage.table).name(what))


def test_what_is_known_and_told_costs_no_statement(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    execute, executed = Writer._execute, []

    def record(self: Writer, cursor: Any, statement: str, *arguments: Any, **parts: Any) -> None:
        executed.append(statement)
        execute(self, cursor, statement, *arguments, **parts)

    monkeypatch.setattr(Writer, "_execute", record)
    store = Writer(stage.settings("sink").postgres)
    for minutes in (0, 1, 2):
        executed.clear()
        store.store([at(0.5 - minutes / 1440, target=f"t{number}") for number in range(5)])
    assert executed == ["TRUNCATE webmon_incoming", ADD_NEW]
    store.close()


@pytest.mark.parametrize("days_ago", [0.5, 5.4999], ids=["young", "too old"])
def test_retention_may_come_between_any_two_statements_of_a_sink(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, days_ago: float
) -> None:
    """The names of a sink's memory come back, with an agent that is new to the target and the other way round."""
    _shorten_chunks(stage)
    owner, execute = _owner(stage), Writer._execute
    ages = Retention.model_validate(kept(3, 3, 3))
    place = executed = 0
    removed: list[set[str]] = []

    def execute_between(self: Writer, *arguments: Any, **parts: Any) -> None:
        nonlocal executed
        executed += 1
        if executed == place:
            removed.append(
                {str(gone).split(":")[0] for gone in retain(owner, Tables(stage.table), ages, dry_run=False)}
            )
        execute(self, *arguments, **parts)

    monkeypatch.setattr(Writer, "_execute", execute_between)
    for number in itertools.count(1):
        # What is older than the floor would bring no name.
        stage.sql("DELETE FROM {t_floors}")
        store = Writer(stage.settings("sink").postgres)
        old = {"target": f"t{number}", "agent": f"a{number}", "remote_ip": f"192.0.2.{number}"}
        back = [at(days_ago, **old | other) for other in ({}, {"agent": f"n{number}"}, {"target": f"n{number}"})]
        place = 0
        store.store([at(5.5, **old)])
        place, executed = number, 0
        told = store.store(back)
        store.close()
        assert (told.added, len(told.refused)) in ([(3, 0)] if days_ago < 3 else [(3, 0), (0, 3)])
        assert dangling(stage) == {}, f"before statement {number}"
        if executed < place:
            break
    owner.close()
    assert len(removed) > 8, "statements of a batch with names that are new"
    assert {f"{stage.table}_{what}" for what in ("contexts", "series", "targets", "agents")} <= removed[0]
    shown = stage.sql("SELECT target, agent, host(remote_ip) FROM {t_view}")
    if days_ago < 3:
        assert {row for row in shown if row[2] == back[0].remote_ip} == {(r.target, r.agent, r.remote_ip) for r in back}
        assert len(set(shown)) == 3 * number


def test_rows_below_the_floor_leave_no_name_behind(stage: Stage) -> None:
    retention(stage, **kept(3, 3, 3))
    store = Writer(stage.settings("sink").postgres)
    told = store.store([at(0.5), *(at(4, target=f"t{number}", agent=f"a{number}") for number in range(5))])
    store.close()
    assert (told.added, [place for place, _ in told.refused]) == (1, [1, 2, 3, 4, 5])
    assert names(stage)[:3] == (["shop"], ["a"], 1)


def test_retention_waits_for_a_sink_that_is_adding_a_series_of_an_old_target(stage: Stage) -> None:
    _shorten_chunks(stage)
    store = Writer(stage.settings("sink").postgres)
    store.store([at(5.5)])
    store.close()
    tables = Tables(stage.table)
    sink = worker(stage)
    with sink, sink.cursor() as cursor:
        names_of = Dimensions(
            lambda cursor, statement, values: cursor.execute(tables.fill(statement, with_values=True), values)
        )
        names_of.look_up(cursor, [at(5.4999, agent="new")])
        running = threading.Thread(target=retention, args=(stage,), kwargs=kept(3, 3, 3))
        running.start()
        waiting = (
            "SELECT 1 FROM pg_stat_activity WHERE application_name = 'webmon-retention' AND wait_event_type = 'Lock'"
        )
        wait_until(lambda: bool(stage.sql(waiting)), "retention waits", 60)
    running.join()
    sink.close()
    assert dangling(stage) == {}
    assert names(stage)[:3] == (["shop"], ["new"], 1)


def test_no_row_ever_points_to_what_retention_removed_while_sinks_go_on(stage: Stage) -> None:
    days, batches, rng = 9, 8, random.Random(4)
    _shorten_chunks(stage)
    settings = [stage.settings("sink", POSTGRES_AUTOCOMMIT=flag).postgres for flag in ("True", "False")]
    sinks = [Writer(each) for each in settings]
    owner = _owner(stage)
    removed: dict[str, int] = {}
    expected = set()

    def retain_until(done: threading.Event, age: int) -> None:
        ages = Retention.model_validate(kept(age, age, age))
        while not done.is_set():
            for gone in retain(owner, Tables(stage.table), ages, dry_run=False):
                what = str(gone).split(":", 1)[0]
                removed[what] = removed.get(what, 0) + getattr(gone, "count", 1)

    for day in range(days, 0, -1):
        # What is seen on this day: some of all names, many of which were removed since they were last seen.
        chosen = [rng.sample(range(20), 5) for _ in ("targets", "agents", "addresses")]
        plan = [[_batch(rng, day, chosen) for _ in range(batches)] for _ in sinks]
        expected |= {(r.target, r.agent, r.time, r.remote_ip) for of_sink in plan for batch in of_sink for r in batch}
        done = threading.Event()
        remover = threading.Thread(target=retain_until, args=(done, day + 1))
        remover.start()
        storing = [threading.Thread(target=_store, args=pair) for pair in zip(sinks, plan, strict=True)]
        for one in storing:
            one.start()
        for one in storing:
            one.join()
        done.set()
        remover.join()
        assert dangling(stage) == {}, f"{day} days ago"
    owner.close()
    for sink in sinks:
        sink.close()
    for what in ("contexts", "series", "targets", "agents"):
        assert removed.get(f"{stage.table}_{what}", 0) > 10, removed
    floor = MIDNIGHT - timedelta(days=2)
    rows = stage.sql("SELECT target, agent, time, host(remote_ip) FROM {t_view} WHERE time >= %s", floor)
    assert set(rows) == {row for row in expected if row[2] >= floor}
    assert names(stage)[2] <= 60, "what is not used for days is not there"


def _batch(rng: random.Random, day: int, chosen: Sequence[Sequence[int]]) -> list[CheckResult]:
    targets, agents, addresses = chosen
    return [
        at(
            day - rng.random() * 0.999,
            target=f"t{rng.choice(targets)}",
            agent=f"a{rng.choice(agents)}",
            remote_ip=f"192.0.2.{rng.choice(addresses)}",
        )
        for _ in range(20)
    ]


def _store(sink: Writer, batches: Sequence[Sequence[CheckResult]]) -> None:
    for batch in batches:
        sink.store(batch)


def _owner(stage: Stage) -> Any:
    services = stage.services
    return psycopg2.connect(
        host=services.postgres_host,
        port=services.postgres_port,
        dbname=services.database,
        user=services.owner,
        password=services.owner_password,
        sslmode="require",
    )


def test_contexts_stay_bounded_where_a_site_answers_from_ever_new_addresses(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for module in (dimensions, database):
        monkeypatch.setattr(module, "MOST_CONTEXTS", 4)
    # Counted before each batch, not every five minutes.
    monkeypatch.setattr(dimensions, "_COUNT_SECS", 0.0)
    store = Writer(stage.settings("sink").postgres)
    expires = [MIDNIGHT + timedelta(days=60 + number) for number in range(20)]
    for number in range(20):
        addressed = recent(number, remote_ip=f"192.0.2.{number}", tls_not_after=expires[number])
        assert store.store([addressed]).added == 1
    # Four with the address, four with the certificate's end alone, one for all others.
    assert stage.sql("SELECT count(*), count(remote_ip), count(tls_not_after) FROM {t_contexts}") == [(9, 4, 8)]
    assert stage.count() == 20
    assert caplog.text.count("the database holds 4 contexts: new ones leave out the address") == 1
    told = {
        (sample.name, *sample.labels.values()): sample.value for family in store.metrics() for sample in family.samples
    }
    assert told["webmon_sink_names", "contexts"] == 9
    assert told["webmon_sink_names", "targets"] == 7
    assert told["webmon_sink_reduced_contexts_total",] == 16
    # A known one is found as it is.
    store.store([recent(100, remote_ip="192.0.2.1", tls_not_after=expires[1])])
    assert stage.sql("SELECT host(remote_ip) FROM {t_view} ORDER BY time DESC LIMIT 1") == [("192.0.2.1",)]
    store.close()
    findings = database.examine(stage.settings("report").postgres, None, wants_results=False)
    (names_told,) = [finding for finding in findings if finding.subject == "names"]
    assert names_told.level is Level.WARNING
    assert "7 targets, 3 agents" in names_told.text

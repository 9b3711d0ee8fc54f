"""Rows and rollups against a plain dictionary, whatever happens in whatever order; on a real TimescaleDB."""

import contextlib
import math
import random
import struct
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from psycopg2 import sql

from tests.integration.stage import SINK_PASSWORD, Stage, recent
from tests.waiting import wait_until
from webmon.check.result import CheckResult, Outcome
from webmon.sink import rollups as rollups_worker
from webmon.sink.rollups import Rollups
from webmon.sink.writer import Writer
from webmon.store.names import Tables
from webmon.store.rollups import roll_up

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
FUTURE = MIDNIGHT + timedelta(days=10)
COLUMNS = (
    *("target", "agent", "results", "up", "slow", "down", "agent_error", "covered_secs", "responses"),
    *("response_sum", "response_min", "response_max", "failures", "buckets", "counts"),
)


def expected(results: Sequence[CheckResult], bucket_of: Callable[[datetime], Any]) -> dict[Any, tuple[Any, ...]]:
    """Roll up in plain Python: {(bucket, target, agent): the other columns}."""
    grouped = defaultdict(list)
    for result in results:
        grouped[bucket_of(result.time), result.target, result.agent].append(result)
    return {key: _rollup(of_key) for key, of_key in grouped.items()}


def _rollup(results: list[CheckResult]) -> tuple[Any, ...]:
    outcomes = Counter(result.outcome for result in results)
    down = [outcomes[outcome] for outcome in Outcome if outcome.is_down]
    times = [result.response_time for result in results if result.response_time is not None]
    histogram = sorted(Counter(math.floor(math.log(t) / math.log(1.1)) if t else -32768 for t in times).items())
    return (
        len(results),
        outcomes[Outcome.UP] + outcomes[Outcome.SLOW],
        outcomes[Outcome.SLOW],
        sum(down),
        outcomes[Outcome.AGENT_ERROR],
        sum(result.interval for result in results if result.outcome is not Outcome.AGENT_ERROR),
        len(times),
        sum(times),
        min(times, default=None),
        max(times, default=None),
        down if any(down) else None,
        [bucket for bucket, _ in histogram],
        [count for _, count in histogram],
    )


def stored(sql: Callable[[str], list[tuple[Any, ...]]], view: str, bucket: str) -> dict[Any, tuple[Any, ...]]:
    """Read rollups as `expected` gives them; `view` is hours, days, or the tables below them."""
    rows = sql(
        f"SELECT {bucket}, {', '.join(COLUMNS)} FROM {{t_{view}}}"  # noqa: S608
        " JOIN {t_targets} AS t ON t.id = target_id JOIN {t_agents} AS a ON a.id = agent_id"
    )
    found = {tuple(row[:3]): tuple(row[3:]) for row in rows}
    assert len(found) == len(rows), "a bucket stands twice"
    return found


def by_hour(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)


def worker(stage: Stage) -> Any:
    """Connect as a sink's worker does."""
    services = stage.services
    return psycopg2.connect(
        host=services.postgres_host,
        port=services.postgres_port,
        dbname=services.database,
        user=stage.roles[0],
        password=SINK_PASSWORD,
        sslmode="require",
    )


@st.composite
def a_result(draw: st.DrawFn) -> CheckResult:
    hours = draw(st.sampled_from([0, 1, 24]))
    moment = MIDNIGHT + timedelta(hours=hours, minutes=draw(st.integers(0, 29)))
    outcome = draw(st.sampled_from([Outcome.UP, Outcome.UP, Outcome.SLOW, Outcome.TIMEOUT, Outcome.AGENT_ERROR]))
    answered = outcome in (Outcome.UP, Outcome.SLOW)
    return recent(
        target=draw(st.sampled_from(["t1", "t2"])),
        agent=draw(st.sampled_from(["a1", "a2"])),
        time=moment,
        scheduled_at=moment,
        interval=draw(st.sampled_from([30.0, 60.0])),
        outcome=outcome,
        # What a real holds as it is, so that sums are exact.
        response_time=draw(st.sampled_from([0.0, 0.125, 0.25, 0.8125])) if answered else None,
        error=None if answered else "broken",
    )


GATE = """
CREATE OR REPLACE FUNCTION {{t_gate}}() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('gate.n', (coalesce(nullif(current_setting('gate.n', true), ''), '0')::integer + 1)::text, true);
    IF current_setting('gate.n')::integer = {step} THEN PERFORM pg_advisory_xact_lock({number}); END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER gate BEFORE INSERT ON {{t_hourly}} FOR EACH STATEMENT EXECUTE FUNCTION {{t_gate}}();
CREATE OR REPLACE TRIGGER gate BEFORE INSERT ON {{t_daily}} FOR EACH STATEMENT EXECUTE FUNCTION {{t_gate}}();
"""
"""Has the INSERT of that number in a transaction wait at an advisory lock."""


class StoreMachine(RuleBasedStateMachine):
    """Two sinks that take from a topic, the worker, and what may befall them."""

    stage: Stage
    cursor: Any
    """The owner's."""

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        gate = sql.Identifier(f"{self.stage.table}_gate")
        self.cursor.execute(Tables(self.stage.table).fill(statement.replace("{t_", "{"), gate=gate))
        return self.cursor.fetchall() if self.cursor.description else []

    def __init__(self) -> None:
        super().__init__()
        self.sql("TRUNCATE {metrics}, {errors}, {marks}, {hourly}, {daily}")
        self.sinks = [self.new_sink(), self.new_sink()]
        self.topic: list[CheckResult] = []
        self.committed = 0
        self.model: dict[tuple[str, str, datetime], CheckResult] = {}
        self.worker = worker(self.stage)
        self.number = int(self.stage.name[-7:], 16)

    def new_sink(self) -> Writer:
        return Writer(self.stage.settings("sink").postgres)

    def deliver(self, sink: int, batch: Sequence[CheckResult]) -> None:
        new = {(result.target, result.agent, result.time): result for result in reversed(batch)}
        told = self.sinks[sink].store(batch)
        assert told.added == len(new.keys() - self.model.keys())
        assert told.added + told.repeats == len(batch)
        self.model = new | self.model

    @rule(results=st.lists(a_result(), min_size=1, max_size=8))
    def publish(self, results: list[CheckResult]) -> None:
        # A vantage makes one check of a target at a time: the same key is the same result.
        known = {(result.target, result.agent, result.time): result for result in reversed(self.topic)}
        for result in results:
            self.topic.append(known.setdefault((result.target, result.agent, result.time), result))

    @rule(sink=st.integers(0, 1), size=st.integers(1, 10), commits=st.booleans())
    def take(self, sink: int, size: int, commits: bool) -> None:
        """A sink that does not come to commit leaves its batch to whoever has the partition next."""
        batch = self.topic[self.committed : self.committed + size]
        self.deliver(sink, batch)
        if commits:
            self.committed += len(batch)

    @rule(sink=st.integers(0, 1), seed=st.integers(0, 1000))
    def take_again_in_another_order(self, sink: int, seed: int) -> None:
        batch = random.Random(seed).sample(self.topic, k=len(self.topic) // 2)
        self.deliver(sink, batch)

    @rule(sink=st.integers(0, 1))
    def restart_sink(self, sink: int) -> None:
        self.sinks[sink].close()
        self.sinks[sink] = self.new_sink()

    @rule(hours=st.sampled_from([1, 24, 240]))
    def roll_up(self, hours: int) -> None:
        roll_up(self.worker, Tables(self.stage.table), before=MIDNIGHT + timedelta(hours=hours))

    @rule(
        sink=st.integers(0, 1),
        dies=st.booleans(),
        step=st.integers(1, 3),
        results=st.lists(a_result(), min_size=1, max_size=4),
    )
    def roll_up_while_a_batch_comes(self, sink: int, dies: bool, step: int, results: list[CheckResult]) -> None:
        """Before one of its INSERTs the owner's function waits until a batch has come; it may come to nothing then."""
        self.gate(step)
        self.sql(f"SELECT pg_advisory_lock({self.number})")
        rolling = threading.Thread(target=self.roll_up_or_nothing)
        rolling.start()
        try:
            wait_until(lambda: not rolling.is_alive() or self.is_waiting(), "the gate, or the end")
            before = len(self.topic)
            self.publish(results)
            self.deliver(sink, self.topic[before:])
            self.compare()
            if dies:
                self.worker.cancel()
                rolling.join()
        finally:
            self.sql(f"SELECT pg_advisory_unlock({self.number})")
            rolling.join()
            self.gate(0)

    def gate(self, step: int) -> None:
        self.sql(GATE.format(step=step, number=self.number))

    def is_waiting(self) -> bool:
        waiting = f"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = {self.number}"  # noqa: S608
        return bool(self.sql(waiting))

    def roll_up_or_nothing(self) -> None:
        with contextlib.suppress(psycopg2.extensions.QueryCanceledError):
            roll_up(self.worker, Tables(self.stage.table), before=FUTURE)

    @invariant()
    def compare(self) -> None:
        results = list(self.model.values())
        rows = self.sql("SELECT target, agent, time, outcome, error FROM {t_view}")
        assert sorted(rows) == sorted((r.target, r.agent, r.time, r.outcome.value, r.error) for r in results)
        assert stored(self.sql, "hours", "hour") == expected(results, by_hour)
        assert stored(self.sql, "days", "day") == expected(results, datetime.date)
        if not self.sql("SELECT hour FROM {t_marks}"):
            assert stored(self.sql, "hourly", "hour") == expected(results, by_hour)
            assert stored(self.sql, "daily", "day") == expected(results, datetime.date)

    def teardown(self) -> None:
        roll_up(self.worker, Tables(self.stage.table), before=FUTURE)
        assert self.sql("SELECT hour FROM {t_marks}") == []
        self.compare()
        for sink in self.sinks:
            sink.close()
        self.worker.close()
        self.sql("DROP FUNCTION IF EXISTS {t_gate} CASCADE")


def test_any_interleaving_gives_the_rows_and_rollups_of_a_plain_dictionary(stage: Stage) -> None:
    with stage.database() as cursor:
        run_state_machine_as_test(
            type("Machine", (StoreMachine,), {"stage": stage, "cursor": cursor}),
            settings=settings(
                max_examples=15,
                stateful_step_count=14,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                # A failure is told as it was found: each step is some statements long.
                phases=(Phase.explicit, Phase.generate),
            ),
        )


def test_a_closed_hour_is_rolled_up_within_seconds_by_one_worker_of_several(stage: Stage) -> None:
    configured = stage.settings("sink").postgres
    workers = [Rollups(configured, pass_secs=0.1) for _ in range(3)]
    for one in workers:
        one.start()
    store = Writer(configured)
    old = [recent(number) for number in range(200)]
    running = recent(time=datetime.now(UTC), scheduled_at=datetime.now(UTC))
    store.store([*old, running])
    wait_until(lambda: stage.sql("SELECT count(*) FROM {t_marks}") == [(1,)], "all but the hour that runs", 10)
    # A worker counts what the database has acknowledged.
    wait_until(lambda: sum(one.rolled for one in workers) >= 3, "each hour of an agent")
    assert sum(one.rolled for one in workers) == 3, "each hour of an agent once"
    assert stored(stage.sql, "hourly", "hour") == expected(old, by_hour)
    late = [recent(number) for number in range(200, 300)]
    store.store(late)
    assert stored(stage.sql, "hours", "hour") == expected([*old, *late, running], by_hour)
    wait_until(lambda: stored(stage.sql, "hourly", "hour") == expected([*old, *late], by_hour), "late results", 10)
    store.close()
    for one in workers:
        one.stop(5)
        assert not one.is_alive()
        assert one.fault is None


def test_the_hour_that_runs_is_rolled_up_too_where_its_marks_have_become_many(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups_worker, "_RUNNING_SECS", 0.0)
    monkeypatch.setattr(rollups_worker, "_RUNNING_MARKS", 2)
    worker = Rollups(stage.settings("sink").postgres, pass_secs=0.1)
    worker.start()
    store = Writer(stage.settings("sink").postgres)
    now = datetime.now(UTC)
    for agent in ("a", "b", "c"):
        store.store([recent(time=now, scheduled_at=now, agent=agent)])
    wait_until(lambda: stage.sql("SELECT count(*) < 2 FROM {t_marks}") == [(True,)], "the marks of this hour gone", 10)
    store.close()
    worker.stop(5)
    assert worker.fault is None


def test_a_sink_rolls_up_what_it_stored(stage: Stage) -> None:
    results = [recent(number) for number in range(60)]
    stage.publish(results)
    sink = stage.start_sink()
    wait_until(lambda: stored(stage.sql, "hourly", "hour") == expected(results, by_hour), "the hours", 30)
    wait_until(lambda: stored(stage.sql, "daily", "day") == expected(results, datetime.date), "their days")
    assert sink.stop() < 5


def test_intervals_as_a_release_before_took_them_end_no_rollup_and_no_report(stage: Stage) -> None:
    store = Writer(stage.settings("sink").postgres)
    bad = [recent(number, target="shop", agent="broken", interval=3e38) for number in range(2)]
    good = [recent(number, target="shop", agent="well") for number in range(2)]
    store.store([*bad, *good])
    store.close()
    assert stage.sql("SELECT agent, results FROM {t_uptime_hourly} ORDER BY agent") == [("broken", 2), ("well", 2)]
    worker = Rollups(stage.settings("sink").postgres, pass_secs=0.1)
    worker.start()
    wait_until(lambda: stage.sql("SELECT count(*) FROM {t_marks}") == [(0,)], "all rolled up", 10)
    worker.stop(5)
    assert worker.fault is None
    assert stage.sql("SELECT agent, results FROM {t_uptime_daily} ORDER BY agent") == [("broken", 2), ("well", 2)]


def test_an_hour_that_cannot_be_rolled_up_is_told_and_stops_no_other_day(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    store = Writer(stage.settings("sink").postgres)
    moment = recent().time - timedelta(days=1)
    bad = recent(agent="broken", response_time=float("inf"), time=moment, scheduled_at=moment)
    good = [recent(number, agent="well") for number in range(2)]
    store.store([bad, *good])
    store.close()
    worker = Rollups(stage.settings("sink").postgres, pass_secs=0.1)
    worker.start()
    wait_until(lambda: stored(stage.sql, "hourly", "hour") == expected(good, by_hour), "the hour of the other", 10)
    wait_until(lambda: worker.passed_at is not None, "a pass")
    worker.stop(5)
    assert worker.fault is None
    (told,) = [record.getMessage() for record in caplog.records]
    assert "of the agent broken cannot be rolled up" in told
    assert "SELECT" not in told


def test_a_worker_waits_for_its_database_and_says_what_only_the_user_can_mend(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    away = Rollups(stage.settings("sink", POSTGRES_PORT="1").postgres, pass_secs=0.05)
    refused = Rollups(stage.settings("sink", POSTGRES_PASSWORD="wrong-4711").postgres, pass_secs=0.05)
    for one in (away, refused):
        one.start()
        wait_until(lambda one=one: one.fault is not None, "a fault")  # type: ignore[misc]
        assert one.is_alive()
        one.stop(5)
    assert away.fault
    assert "refused" in away.fault
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "POSTGRES_PASSWORD" in caplog.text
    assert "wrong-4711" not in caplog.text


reals = st.floats(min_value=0, max_value=3.4028234663852886e38, allow_nan=False, width=32)


@pytest.mark.parametrize("kind", ["any", "of a site"])
def test_percentiles_are_within_5_percent_of_exact_ones(shared_stage: Stage, kind: str) -> None:
    values = reals if kind == "any" else st.floats(0.0009765625, 30, width=32)
    statement = Tables(shared_stage.table).fill(
        "SELECT {percentile}(array_agg(bucket ORDER BY bucket), array_agg(n::integer ORDER BY bucket), %s)"
        " FROM (SELECT {bucket_of}(v) AS bucket, count(*) AS n FROM unnest(%s::real[]) AS v GROUP BY 1) AS b",
        with_values=True,
    )
    with shared_stage.database() as cursor:

        @settings(max_examples=150, deadline=None)
        @given(
            times=st.lists(values, min_size=1, max_size=40),
            share=st.one_of(st.sampled_from([0.5, 0.95, 0.99, 1.0]), st.floats(0.001, 1)),
        )
        def check(times: list[float], share: float) -> None:
            cursor.execute(statement, (share, times))
            exact = sorted(times)[max(0, math.ceil(share * len(times)) - 1)]
            assert cursor.fetchone()[0] == pytest.approx(exact, rel=0.05, abs=0)

        check()
        cursor.execute(Tables(shared_stage.table).fill("SELECT {percentile}('{{}}', '{{}}', 0.5)"))
        assert cursor.fetchone() == (None,)
        (smallest,) = struct.unpack("f", b"\1\0\0\0")
        for value in (0.0, smallest, 3.4e38):
            cursor.execute(statement, (0.5, [value]))
            assert cursor.fetchone()[0] == pytest.approx(value, rel=0.05, abs=0)

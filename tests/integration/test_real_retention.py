"""`webmon retention` on a real database: whole chunks go, and nothing younger than its age."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest

from tests.integration.stage import SINK_PASSWORD, Stage, recent
from tests.integration.test_real_rollups import FUTURE, by_hour, expected, stored, worker
from tests.waiting import wait_until
from webmon.alarm.conditions import Condition, Severity
from webmon.alarm.records import Announcement, Episode, Maintenance, Notice, Record, Silence, make_id
from webmon.check.result import CheckResult
from webmon.sink.writer import Writer
from webmon.store.names import Tables
from webmon.store.rollups import roll_up

MIDNIGHT = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def aged(days: float, **changes: Any) -> CheckResult:
    """Make a result of so many days before this day began."""
    moment = MIDNIGHT - timedelta(days=days)
    return recent(**({"target": "shop", "agent": "a", "time": moment, "scheduled_at": moment} | changes))


def retention(stage: Stage, *arguments: str, **ages: str) -> list[str]:
    done = stage.run("retention", *arguments, **ages)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_what_is_older_than_its_age_goes_and_a_dry_run_only_tells(stage: Stage) -> None:
    store = Writer(stage.settings("sink").postgres)
    old = [aged(5.5, error="broken"), aged(4.5)]
    young = [aged(1.5), aged(0.5)]
    store.store([*old, *young])
    told = retention(stage, "--dry-run", POSTGRES_KEEP_ROWS_DAYS="3")
    assert [line.split(":")[0] for line in told[:3]] == [
        f"would go  {stage.table}",
        f"would go  {stage.table}",
        f"would go  {stage.table}_errors",
    ]
    day = MIDNIGHT - timedelta(days=6)
    assert f"{day:%Y-%m-%d} 00:00 to {day + timedelta(days=1):%Y-%m-%d} 00:00 UTC, " in told[0]
    assert told[3].startswith("3 chunks, ")
    assert stage.count() == 4
    assert stage.sql("SELECT count(*) FROM {t_floors}") == [(0,)]

    gone = retention(stage, POSTGRES_KEEP_ROWS_DAYS="3")
    assert gone[:3] == [line.replace("would go", "dropped") for line in told[:3]]
    assert stage.count() == 2
    assert stage.sql("SELECT count(*) FROM {t_errors}") == [(0,)]
    # The rollups of what went had not been made yet: they were made before.
    assert stored(stage.sql, "hours", "hour") == expected([*old, *young], by_hour)
    assert stored(stage.sql, "days", "day") == expected([*old, *young], datetime.date)
    assert retention(stage, POSTGRES_KEEP_ROWS_DAYS="3") == ["nothing is older than it is kept"]

    # What comes later than its age is refused, and takes nothing from its hour.
    late = aged(4.5 - 1 / 1440)
    result = store.store([late, aged(0.25), old[1]])
    store.close()
    assert (result.added, result.repeats) == (1, 0)
    assert [place for place, _ in result.refused] == [0, 2]
    assert "older than the rows that are kept, which begin with" in result.refused[0][1]
    assert stored(stage.sql, "hours", "hour") == expected([*old, *young, aged(0.25)], by_hour)


def test_rollups_have_ages_of_their_own(stage: Stage) -> None:
    store = Writer(stage.settings("sink").postgres)
    results = [aged(300), aged(200), aged(30), aged(0.5)]
    store.store(results)
    store.close()
    retention(stage, POSTGRES_KEEP_ROWS_DAYS="1", POSTGRES_KEEP_HOURLY_DAYS="60", POSTGRES_KEEP_DAILY_DAYS="250")
    roll_up(worker(stage), Tables(stage.table), before=FUTURE)
    assert stage.count() == 1
    assert stored(stage.sql, "hours", "hour") == expected(results[2:], by_hour)
    days = stored(stage.sql, "days", "day")
    # A chunk of days is as long as a season: it goes when its last day is old enough.
    assert expected(results[1:], datetime.date).items() <= days.items()
    retention(stage, POSTGRES_KEEP_ROWS_DAYS="1", POSTGRES_KEEP_HOURLY_DAYS="1", POSTGRES_KEEP_DAILY_DAYS="100")
    assert min(stored(stage.sql, "days", "day"))[0] > (MIDNIGHT - timedelta(days=200)).date()


def test_alarms_that_are_over_go_with_the_rollups_by_day_and_their_notices_with_them(stage: Stage) -> None:
    def days(ago: float) -> int:
        return round((MIDNIGHT - timedelta(days=ago)).timestamp() * 1000)

    def episode(name: str, since: float, closed: float | None) -> Episode:
        over = None if closed is None else days(closed)
        given: dict[str, Any] = {"condition": Condition.DOWN, "severity": Severity.CRITICAL, "since": days(since)}
        return Episode(id=make_id(name), subject=name, opened=days(since), closed=over, **given)

    def notice(name: str) -> Notice:
        given: dict[str, Any] = {"event": "opened", "made": days(500), "due": days(500), "group": "g", "channel": name}
        return Notice(id=make_id("notice", name), episode=make_id(name), **given)

    told: list[Record] = [
        *(episode("old", 500, 401), episode("long", 500, 399), episode("open", 500, None)),
        *(notice(name) for name in ("old", "long", "open", "lost")),
        Silence(id="old", match="*", begins=days(500), until=days(401)),
        Silence(id="young", match="*", begins=days(500), until=days(1)),
        Maintenance(id="old", match="*", begins=days(500), until=days(401)),
        Announcement(id="old", title="t", begins=days(500), until=days(401)),
        Announcement(id="for ever", title="t", begins=days(500)),
    ]
    stage.remember(told)
    ages = dict.fromkeys(("POSTGRES_KEEP_ROWS_DAYS", "POSTGRES_KEEP_HOURLY_DAYS", "POSTGRES_KEEP_DAILY_DAYS"), "400")
    expected = [("notices", 2), ("episodes", 1), ("silences", 1), ("maintenance", 1), ("announcements", 1)]
    lines = [f"{stage.table}_{what}: {count} that are over" for what, count in expected]
    would = retention(stage, "--dry-run", **ages)
    assert would == [*(f"would go  {line}" for line in lines), "0 chunks, 0 B, and 6 rows of alarms would go"]
    assert retention(stage, **ages)[:-1] == [f"dropped  {line}" for line in lines]
    assert retention(stage, **ages) == ["nothing is older than it is kept"]
    left = "SELECT {} FROM {{t_{}}} ORDER BY 1"
    for what, column, kept in (
        *(("episodes", "subject", ["long", "open"]), ("notices", "channel", ["long", "open"])),
        *(("silences", "id", ["young"]), ("maintenance", "id", []), ("announcements", "id", ["for ever"])),
    ):
        assert [one for (one,) in stage.sql(left.format(column, what))] == kept


def test_what_is_younger_than_its_age_survives_while_a_backlog_is_replayed(stage: Stage) -> None:
    minutes = range(0, 6 * 1440, 4)
    results = [aged(minute / 1440, target=f"t{minute % 3}", agent="a") for minute in minutes]
    young = [result for result in results if result.time >= MIDNIGHT - timedelta(days=3)]
    old = [result for result in results if result.time < MIDNIGHT - timedelta(days=3)]
    stage.start_sink(SINK_BATCH_SIZE="50").wait_for_line("storing")
    producer = stage.producer()

    def send() -> None:
        for start in range(0, len(results), 100):
            stage.publish(results[start : start + 100], producer=producer)

    sending = threading.Thread(target=send)
    sending.start()
    dropped = []
    while sending.is_alive():
        dropped += retention(stage, POSTGRES_KEEP_ROWS_DAYS="3")
    sending.join()
    wait_until(lambda: stage.committed() == len(results), "all read", 60)
    dropped += retention(stage, POSTGRES_KEEP_ROWS_DAYS="3")
    rows = stage.sql("SELECT target, agent, time FROM {t_view}")
    assert sorted(rows) == sorted((result.target, result.agent, result.time) for result in young)
    # Each older one was stored and rolled up before the floor was raised, or refused and is a dead letter.
    hours = stored(stage.sql, "hours", "hour")
    assert expected(young, by_hour).items() <= hours.items()
    counted = sum(rollup[0] for rollup in hours.values())
    assert counted + len(stage.dead_letters(len(results) - counted)) == len(young) + len(old)


def test_a_role_that_does_not_own_the_tables_is_refused_with_one_line(stage: Stage) -> None:
    store = Writer(stage.settings("sink").postgres)
    store.store([aged(9)])
    store.close()
    done = stage.run(
        "retention",
        POSTGRES_KEEP_ROWS_DAYS="1",
        POSTGRES_USER=stage.roles[0],
        POSTGRES_PASSWORD=SINK_PASSWORD,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert stage.count() == 1
    with (
        stage.database(stage.roles[0], SINK_PASSWORD) as cursor,
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
    ):
        cursor.execute(Tables(stage.table).fill("SELECT drop_chunks({metrics_name}, now())"))


def test_the_floor_waits_for_a_sink_that_is_adding_rows_and_its_hour_is_rolled_up(stage: Stage) -> None:
    tables = Tables(stage.table)
    store = Writer(stage.settings("sink").postgres)
    store.store([aged(5.5)])
    store.close()
    sink = worker(stage)
    with sink, sink.cursor() as cursor:
        # What an INSERT takes, of a release before too.
        cursor.execute(tables.fill("LOCK TABLE ONLY {metrics} IN ROW EXCLUSIVE MODE"))
        running = threading.Thread(target=retention, args=(stage,), kwargs={"POSTGRES_KEEP_ROWS_DAYS": "3"})
        running.start()
        waiting = "SELECT 1 FROM pg_locks WHERE mode = 'ShareLock' AND NOT granted AND relation = %s::regclass"
        wait_until(lambda: bool(stage.sql(waiting, stage.table)), "the floor waits", 60)
        # A minute later in the same hour, which retention has just rolled up.
        cursor.execute(
            tables.fill(
                "INSERT INTO {metrics} (time, series_id, context_id, delay_secs, total_secs, response_secs, outcome)"
                " SELECT time + INTERVAL '1 minute', series_id, context_id, 0, 1, 0.125, 1 FROM {metrics};"
                "INSERT INTO {marks} SELECT date_trunc('hour', min(time), 'UTC'), 1 FROM {metrics}"
            )
        )
    running.join()
    sink.close()
    assert stage.count() == 0
    both = [aged(5.5), aged(5.5 - 1 / 1440)]
    assert stored(stage.sql, "hours", "hour") == expected(both, by_hour)
    assert stored(stage.sql, "days", "day") == expected(both, datetime.date)

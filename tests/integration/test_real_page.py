"""The page's snapshots from a real database: the same numbers as the commands that report, to the digit."""

import contextlib
import http.client
import json
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg2 import sql

from tests.integration.stage import Stage
from tests.integration.test_real_reports import check as check_of_day
from tests.integration.test_real_reports import put, roll_up
from tests.sockets import free_port
from tests.waiting import wait_until
from webmon.check.result import CheckResult, Outcome
from webmon.page.chart import Charts
from webmon.page.chart import read as read_chart
from webmon.page.collect import Collector
from webmon.page.memory import Memory
from webmon.page.snapshot import RESPONSE_WINDOWS, WINDOWS, Snapshot, Tally, Target
from webmon.report import rolled_up, slowest, status, uptime
from webmon.report.choice import By, targets
from webmon.report.span import Span
from webmon.settings import Page, PageSettings, ReportSettings
from webmon.store import postgres, reader
from webmon.store.names import Tables
from webmon.store.reader import Session

NOW = datetime.now(UTC)
UP, SLOW, DOWN, OURS = Outcome.UP, Outcome.SLOW, Outcome.TIMEOUT, Outcome.AGENT_ERROR
MOST_STATEMENTS: Final = 8
BY: Final = By("target")


@pytest.fixture(scope="module", autouse=True)
def _now() -> None:
    """What a test calls now is now in the database, too: a module is read long before its tests run."""
    globals()["NOW"] = datetime.now(UTC)


def check(target: str, agent: str, ago: timedelta, outcome: Outcome = UP, **changes: Any) -> CheckResult:
    """Give a result of some time ago."""
    return check_of_day(target, agent, NOW - ago, outcome, **changes)


@contextlib.contextmanager
def moment(stage: Stage) -> Iterator[Session]:
    """Give one moment of the database, as a reader."""
    of_reader = stage.settings("report").postgres
    with contextlib.closing(postgres.connect(of_reader, application="test", autocommit=False)) as connection:
        reader.prepare(connection)
        with reader.moment(connection, Tables(stage.table), statement_secs=30) as session:
            yield session


def page_settings(stage: Stage, path: Path, **changes: Any) -> PageSettings:
    """Give the settings of a page that reads as a reader."""
    of_reports: ReportSettings = stage.settings("report", **changes)
    page = Page.model_validate({"PAGE_CACHE_PATH": "snapshot.json"}, context={"workspace": path})
    return PageSettings(of_reports.common, None, of_reports.postgres, page)


def tally_of(target: Target, days: int) -> Tally:
    return next(window.tally for window in target.uptime if window.days == days)


def counted(session: Session, name: str, since: datetime) -> tuple[int, int]:
    """Count the rows themselves, up and down."""
    statement = """
        SELECT count(*) FILTER (WHERE m.outcome <= 2), count(*) FILTER (WHERE m.outcome BETWEEN 3 AND 12)
        FROM {metrics} AS m JOIN {series} AS s ON s.id = m.series_id JOIN {targets} AS t ON t.id = s.target_id
        WHERE t.target = %s AND m.time >= %s AND m.time < now()
    """
    ((up, down),) = session.rows(statement, (name, since))
    return up, down


def agrees(memory: Memory, session: Session, days: Sequence[int] = (0, 1, 2, 30)) -> Snapshot:
    """Read a snapshot; its numbers must be those of the commands, and of plain SQL, in the same moment."""
    before = session.statements
    found = memory.read(session)
    assert session.statements - before <= MOST_STATEMENTS
    ours = {target.name: target for target in found.targets}
    for length in WINDOWS:
        whole, lines = uptime.read(session, since=timedelta(days=length), until=None, patterns=None, by=BY)
        for line in lines:
            tally = tally_of(ours[line.group or ""], length)
            theirs = (line.up, line.slow, line.down, line.agent_error, line.uptime, line.coverage)
            shown = (tally.up, tally.slow, tally.down, tally.agent_error, tally.uptime, tally.watched)
            assert shown == theirs, (line.group, length)
            assert (tally.up, tally.down) == counted(session, line.group or "", whole.since)
    for ago in days:
        since = datetime.combine(found.as_of.date() - timedelta(days=ago), datetime.min.time(), UTC)
        until = min(since + timedelta(days=1), found.as_of)
        _, lines = uptime.read(session, since=since, until=until, patterns=None, by=BY)
        for line in lines:
            day = next((one.tally for one in ours[line.group or ""].days if one.day == since.date()), Tally())
            assert (day.up, day.down, day.uptime, day.watched) == (line.up, line.down, line.uptime, line.coverage)
    for length in RESPONSE_WINDOWS:
        whole = rolled_up.answered(session, Span(found.as_of - timedelta(days=length), found.as_of))
        names = ("target_id", "agent_id", "responses", "slow", "response_min", "response_max", "buckets", "counts")
        source = rolled_up.source(session, whole, names, None)
        rows = session.rows(slowest._HISTOGRAMS, source=source)
        for group in slowest.responses(rows, targets(session, None), whole, BY):
            times = next(one for one in ours[group.group or ""].responses if one.days == length)
            assert (times.count, times.p50, times.p95, times.p99, times.most) == (
                group.count, group.percentile(0.5), group.percentile(0.95), group.percentile(0.99), group.most
            )  # fmt: skip
    return found


@st.composite
def histories(draw: st.DrawFn) -> list[CheckResult]:
    """Give results of the last 90 days, many of them of the last ones and around midnight."""
    chance = random.Random(draw(st.integers()))
    found = []
    for _ in range(draw(st.integers(1, 120))):
        ago = timedelta(seconds=chance.uniform(0, chance.choice([1, 1, 2, 2, 8, 31, 80, 89]) * 86_400))
        if chance.random() < 0.2:
            midnight = (NOW - ago).replace(hour=0, minute=0, second=0, microsecond=0)
            ago = max(timedelta(0), NOW - midnight + timedelta(microseconds=chance.choice([-1, 0, 1])))
        outcome = chance.choice([UP, UP, UP, SLOW, DOWN, OURS])
        response = None if outcome in (DOWN, OURS) else chance.choice([0.001, 0.25, 2.5])
        target, agent = chance.choice(["one", "two"]), chance.choice("ab")
        interval = chance.choice([30, 60, 600, 3600])
        found.append(check(target, agent, ago, outcome, interval=interval, response_time=response))
    return found


def test_numbers_are_those_of_the_commands_and_of_sql_on_random_histories(stage: Stage) -> None:
    memory = Memory(10)

    @settings(
        max_examples=5,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(histories(), st.booleans())
    def what_comes_late(results: list[CheckResult], rolls_up: bool) -> None:
        put(stage, results)
        with moment(stage) as session:
            agrees(memory, session)
        if rolls_up:
            roll_up(stage)
            with moment(stage) as session:
                agrees(memory, session)

    what_comes_late()
    # What is kept is the same as what is read anew.
    with moment(stage) as session:
        assert Memory(10).read(session) == memory.read(session)


def test_what_was_marked_and_rolled_up_between_two_snapshots_is_seen_within_some(stage: Stage) -> None:
    memory = Memory(10)
    put(stage, [check("shop", "a", timedelta(days=ago, hours=1)) for ago in range(89)])
    roll_up(stage)
    with moment(stage) as session:
        memory.read(session)
    put(stage, [check("shop", "a", timedelta(days=50, hours=2), DOWN)])
    roll_up(stage)
    for _ in range(30):
        with moment(stage) as session:
            found = memory.read(session)
    assert tally_of(found.targets[0], 90).down == 1
    day = (NOW - timedelta(days=50, hours=2)).date()
    assert [one.day for one in found.targets[0].days if one.tally.down] == [day]


def test_maintenance_is_on_neither_side_and_its_share_is_told(stage: Stage) -> None:
    day = NOW.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
    put(
        stage,
        [
            check(name, "a", NOW - (day + timedelta(minutes=10 * slot)), DOWN if 60 <= slot < 75 else UP, interval=600)
            for name in ("shop", "docs")
            for slot in range(144)
        ],
    )
    # From 10:20 to 12:10: of the checks from 10:00 to 12:30 that failed these are not counted.
    begins, until = day + timedelta(hours=10, minutes=20), day + timedelta(hours=12, minutes=10)
    stage.sql(
        "INSERT INTO {t_maintenance} VALUES ('x', 'work', 'sh*', %s, %s, 'kim', '', true), "
        "('y', 'work', 'shop', %s, %s, 'kim', '', true)",
        begins,
        until - timedelta(minutes=10),
        begins + timedelta(minutes=30),
        until,
    )
    for rolls_up in (False, True):
        if rolls_up:
            roll_up(stage)
        with moment(stage) as session:
            found = {target.name: target for target in Memory(10).read(session).targets}
        for tally in (tally_of(found["shop"], 7), next(o.tally for o in found["shop"].days if o.day == day.date())):
            assert (tally.up, tally.down) == (129, 4)
            assert tally.maintenance_secs == 110 * 60
        whole_day = next(one.tally for one in found["shop"].days if one.day == day.date())
        assert (whole_day.owed_secs, whole_day.covered_secs) == (86_400 - 110 * 60, 133 * 600)
        assert tally_of(found["docs"], 7).down == 15
        assert tally_of(found["docs"], 7).maintenance == 0


def test_newest_results_are_those_of_status_also_of_a_target_that_is_silent_for_weeks(stage: Stage) -> None:
    put(
        stage,
        [
            check("shop", "a", timedelta(seconds=30), SLOW, tls_not_after=NOW + timedelta(days=9), redirects=2),
            check("shop", "b", timedelta(seconds=20), DOWN, error="no\nanswer <b>"),
            check("old", "a", timedelta(days=40), DOWN, error="gone"),
            check("old", "b", timedelta(days=40, minutes=3)),
            check("old", "c", timedelta(days=44)),
        ],
    )
    roll_up(stage)
    memory = Memory(10)
    theirs = {one.target: one for one in status.read(stage.settings("report"))}
    for _ in range(2):
        with moment(stage) as session:
            found = {target.name: target for target in memory.read(session).targets}
        assert {
            name: [(v.name, v.outcome, v.error, v.time) for v in target.vantages] for name, target in found.items()
        } == {name: [(v.agent, v.outcome, v.error, v.time) for v in one.vantages] for name, one in theirs.items()}
    first, second = found["shop"].vantages
    assert (first.redirects, first.certificate_ends) == (2, NOW + timedelta(days=9))
    assert (second.http_status, second.error) == (None, "no\nanswer <b>")


def test_a_target_of_which_nothing_is_kept_is_there_and_not_known(stage: Stage) -> None:
    put(stage, [check("gone", "a", timedelta(days=3)), check("shop", "a", timedelta(seconds=9))])
    stage.sql("DELETE FROM {t} WHERE time < now() - INTERVAL '1 day'")
    stage.sql("DELETE FROM {t_marks}")
    memory = Memory(10)
    for _ in range(2):
        with moment(stage) as session:
            found = {target.name: target for target in memory.read(session).targets}
        assert (found["gone"].vantages, found["gone"].days) == ([], [])
        assert [tally.tally.uptime for tally in found["gone"].uptime] == [None] * len(WINDOWS)
    with moment(stage) as session:
        chart = read_chart(session, "shop", 3600)
    assert [(name, [point.outcome for point in points]) for name, points in chart.vantages.items()] == [("a", [UP])]


def test_a_chart_has_the_last_hours_of_one_target_and_its_last_errors(stage: Stage) -> None:
    put(
        stage,
        [check("shop", "a", timedelta(hours=5, minutes=minute), DOWN, error=f"error {minute}") for minute in range(30)]
        + [check("shop", "b", timedelta(minutes=1)), check("docs", "a", timedelta(minutes=1))]
        + [check("shop", "b", timedelta(hours=7))],
    )
    with moment(stage) as session:
        chart = read_chart(session, "shop", 6 * 3600)
    assert {name: len(points) for name, points in chart.vantages.items()} == {"a": 30, "b": 1}
    times = [point.time for point in chart.vantages["a"]]
    assert times == sorted(times)
    assert [error for *_, error in chart.errors] == [f"error {minute}" for minute in range(20)]
    assert (chart.until - chart.since) == timedelta(hours=6)
    asked = Charts(stage.settings("report").postgres)
    target = Target(name="shop", url="https://shop.example/", first_seen=NOW)
    first = asked(target, 6 * 3600.0)
    assert asked(target, 6 * 3600.0) is first


def test_a_refresh_reads_no_more_chunks_of_results_than_those_of_the_last_day(stage: Stage) -> None:
    put(stage, [check("shop", "a", timedelta(days=ago, hours=1)) for ago in range(89)])
    roll_up(stage)
    memory = Memory(10)
    with moment(stage) as session:
        memory.read(session)
        read: set[str] = set()
        each = session.each

        def explained(statement: str, values: Any = None, **parts: sql.Composable) -> Iterator[tuple[Any, ...]]:
            plan = json.dumps(list(each("EXPLAIN (FORMAT JSON) " + statement, values, **parts)))
            read.update(re.findall(r'"Relation Name": "(_hyper_\w+)"', plan))
            return each(statement, values, **parts)

        session.each = explained  # type: ignore[method-assign]
        memory.read(session)
    chunks = stage.sql(
        "SELECT chunk_name, range_end FROM timescaledb_information.chunks WHERE hypertable_name = %s", stage.table
    )
    assert len(chunks) >= 89
    assert read
    of_results = {name: end for name, end in chunks if name in read}
    assert all(end >= NOW - timedelta(hours=27) for end in of_results.values())
    assert len(of_results) <= 3


def test_the_history_of_alarms_is_read_and_a_schema_before_it_has_none(stage: Stage) -> None:
    put(stage, [check("shop", "a", timedelta(seconds=30))])
    stage.sql(
        """
        INSERT INTO {t_episodes} (
            id, condition, subject, severity, since, opened, reason, url, labels, detail, seen, voters, held, late,
            ack_by, ack_at
        ) VALUES (
            '00000000-0000-5000-8000-000000000001', 'down', 'shop', 'critical', now(), now(), '', '',
            '{{"team": "a"}}', 'refused', '[{{"vantage": "a", "outcome": "timeout"}}]', 1, '', false, 'kim', now()
        )
        """
    )
    stage.sql(
        "INSERT INTO {t_announcements} VALUES ('n', 'Sorry', 'We work on it', now(), NULL, 'kim',"
        " '00000000-0000-5000-8000-000000000001')"
    )
    with moment(stage) as session:
        history = Memory(10).read(session).history
    assert history is not None
    (episode,) = history.episodes
    assert (episode.subject, episode.is_open, episode.ack_by, episode.labels) == ("shop", True, "kim", {"team": "a"})
    assert [(seen.vantage, seen.outcome, seen.error) for seen in episode.seen] == [("a", "timeout", None)]
    assert history.announcements[0].episode == episode.id
    # What no program can read stops nothing else.
    stage.sql("INSERT INTO {t_maintenance} VALUES ('x', 'work', '*', now(), 'infinity', 'kim', '', true)")
    with moment(stage) as session:
        broken = Memory(10).read(session)
    assert broken.history is not None
    assert broken.history.fault.startswith("maintenance: ")
    assert (broken.history.episodes, broken.history.maintenance) == ([episode], [])
    assert [target.name for target in broken.targets] == ["shop"]
    stage.sql("DELETE FROM {t_migrations} WHERE version >= 8")
    stage.sql("DROP TABLE {t_episodes}")
    with moment(stage) as session:
        found = Memory(10).read(session)
    assert (found.history, len(found.targets)) == (None, 1)


def test_a_database_that_refuses_leaves_the_last_snapshot_and_says_why(stage: Stage, tmp_path: Path) -> None:
    put(stage, [check("shop", "a", timedelta(seconds=30))])
    collector = Collector(page_settings(stage, tmp_path))
    assert collector.refresh()
    assert (collector.look.trouble, collector.look.from_disk, collector.statements <= MOST_STATEMENTS) == (
        "", False, True
    )  # fmt: skip
    collector.stop()
    for changes, told in (
        ({"POSTGRES_PASSWORD": "wrong"}, "refuses the role"),
        ({"POSTGRES_PORT": "1"}, "connection refused"),
        ({"POSTGRES_TABLE": "nothing_of_ours"}, "is POSTGRES_TABLE right?"),
    ):
        started = Collector(page_settings(stage, tmp_path, **changes))
        started.recall()
        assert not started.refresh()
        look = started.look
        assert look.snapshot == collector.look.snapshot
        assert look.from_disk
        assert told in look.trouble
        assert "wrong" not in look.trouble
        assert look.trouble_since is not None
    stage.sql("DELETE FROM {t_migrations} WHERE version >= 7")
    assert not collector.refresh()
    assert "the schema of the store is at version 6, and the page needs 7" in collector.look.trouble
    assert collector.look.snapshot is not None


def test_a_slow_database_is_given_up_after_its_time_and_read_again(stage: Stage, tmp_path: Path) -> None:
    put(stage, [check("shop", "a", timedelta(seconds=30))])
    collector = Collector(page_settings(stage, tmp_path), statement_secs=2)
    assert collector.refresh()
    with stage.database() as cursor:
        cursor.execute("BEGIN")
        cursor.execute(Tables(stage.table).fill("LOCK TABLE {targets} IN ACCESS EXCLUSIVE MODE"))
        try:
            assert not collector.refresh()
        finally:
            cursor.execute("ROLLBACK")
    assert "statement timeout" in collector.look.trouble
    assert collector.look.snapshot is not None
    assert collector.refresh()
    assert collector.look.trouble == ""
    collector.stop()


def get(address: str, path: str) -> tuple[int, str]:
    host, _, port = address.rpartition(":")
    with contextlib.closing(http.client.HTTPConnection(host, int(port), timeout=10)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def answers(address: str, path: str, status: int, word: str) -> bool:
    with contextlib.suppress(OSError):
        found, text = get(address, path)
        return found == status and word in text
    return False


def test_it_runs_shows_what_is_public_anew_after_a_reload_and_the_doctor_finds_it_well(
    stage: Stage, tmp_path: Path
) -> None:
    # As of now and not of when the module began: the doctor looks at how old the newest is.
    now = datetime.now(UTC)
    put(stage, [check_of_day("shop", "a", now), check_of_day("internal", "a", now)])
    public, operator, metrics = (f"127.0.0.1:{free_port()}" for _ in range(3))
    page_file = tmp_path / "page.yml"
    page_file.write_text("title: Ours\ngroups: [{name: All, targets: [{target: shop, as: Checkout}]}]\n")
    # No way to Kafka: nobody can act, and all the rest works.
    without_kafka = dict.fromkeys(
        ["KAFKA_HOST", "KAFKA_PORT", "KAFKA_ACCESS_CERTIFICATE", "KAFKA_ACCESS_KEY", "KAFKA_CA_CERTIFICATE"]
    )
    env_file = stage.env_file(
        "report",
        **without_kafka,
        _WORKSPACE_PATH=str(tmp_path),
        PAGE_ADDRESS=public,
        PAGE_OPERATOR_ADDRESS=operator,
        PAGE_METRICS_ADDRESS=metrics,
        PAGE_FILE_PATH="page.yml",
        PAGE_EXPORT_PATH="copy",
        PAGE_REFRESH_SECS="1",
    )
    command = [str(Path(sys.executable).with_name("webmon")), "page", "--env-file", str(env_file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()) as process:
        try:
            wait_until(lambda: answers(public, "/", 200, "Checkout"), "the public page shows the target", 60)
            assert "internal" not in get(public, "/")[1]
            wait_until(lambda: answers(operator, "/", 200, "internal"), "the operator sees all")
            assert get(metrics, "/healthz")[0] == 200
            found = get(metrics, "/metrics")[1]
            assert re.search(r"^webmon_page_refresh_last_statements [1-8]\.0$", found, re.MULTILINE)
            assert re.search(r"^webmon_page_snapshot_age_seconds [0-9.]+$", found, re.MULTILINE)
            page_file.write_text("title: Ours\ngroups: [{name: All, targets: [{target: shop, as: Till}]}]\n")
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: answers(public, "/", 200, "Till"), "the page's file is read again")
            wait_until((tmp_path / "copy" / "index.html").exists, "the copy is there")
            doctor = subprocess.run(
                [command[0], "doctor", "page", "--env-file", str(env_file), "--json"],
                capture_output=True, text=True, check=False, timeout=60, cwd=Path.cwd(),
            )  # fmt: skip
            levels = {one["subject"]: one["level"] for one in json.loads(doctor.stdout)}
            assert levels | {"acts": "warning"} == levels
            assert {subject for subject, level in levels.items() if level == "FAILED"} == set()
            assert {"public", "snapshot", "copy", "service", "database"} <= levels.keys()
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert (tmp_path / "snapshot.json").stat().st_mode & 0o777 == 0o600

"""What the store gives back: upgrades, rollups that are exact at any moment, rights; on a real TimescaleDB."""

import io
import json
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql
from pydantic import SecretStr

from tests.integration.stage import Stage, recent
from webmon.check.result import URL_LIMIT, CheckResult, Outcome
from webmon.errors import UserError
from webmon.sink import rows
from webmon.sink.writer import ADD_NEW, SESSION, Writer
from webmon.store import version
from webmon.store.migrations import apply, shipped
from webmon.store.names import Tables

OLD_ROWS = """
INSERT INTO {targets} (target, url, labels, described_at) VALUES
    ('never', 'https://never.example/', '{{}}', '2026-01-01T00:00Z'),
    ('shop', 'https://shop.example/', '{{"team": "a"}}', '2026-01-01T00:00Z');
INSERT INTO {agents} (agent) VALUES ('one'), ('two');
INSERT INTO {metrics} (
    time, target_id, agent_id, outcome, interval_secs, delay_secs, total_secs, response_secs, http_status, redirects,
    regex_match
) VALUES
    ('2026-11-01T10:00:00Z', 2, 1, 'up', 60, 0.5, 0.25, 0.125, 200, 1, true),
    ('2026-11-01T10:01:00Z', 2, 1, 'certificate_expiring', 60, 0.5, 0.25, 0.125, 200, 1, NULL),
    ('2026-11-02T11:02:00Z', 2, 2, 'dns_error', 30, 0.5, 0.25, NULL, NULL, 0, NULL);
INSERT INTO {errors} VALUES ('2026-11-02T11:02:00Z', 2, 2, 'no such name');
"""


def test_a_database_of_the_first_schema_upgrades_with_its_data(bare_stage: Stage) -> None:
    tables = Tables(bare_stage.table)
    with bare_stage.database() as cursor:
        apply(cursor, tables, shipped()[:1])
        cursor.execute(tables.fill(OLD_ROWS))
    told = bare_stage.init()
    for name in (
        "0002_rollups.sql",
        "0003_rollup_joins.sql",
        "0004_names_in_use.sql",
        "0005_answers.sql",
        "0006_rollups_of_the_owner.sql",
        "0007_long_urls.sql",
        "0008_alarms.sql",
        "0009_fleet.sql",
    ):
        assert f"changed  schema {bare_stage.table}: {name}" in told

    def at(text: str) -> datetime:
        return datetime.fromisoformat(f"2026-{text}+00:00")

    columns = (
        "time, agent, outcome, regex_match, http_status, redirects, interval, delay, resp_time, error, kind, answer"
    )
    assert bare_stage.sql(f"SELECT {columns} FROM {{t_view}} ORDER BY time") == [  # noqa: S608
        (at("11-01T10:00"), "one", "up", True, 200, 1, 60, 0.5, 0.125, None, "https", None),
        (at("11-01T10:01"), "one", "certificate_expiring", None, 200, 1, 60, 0.5, 0.125, None, "https", None),
        (at("11-02T11:02"), "two", "dns_error", None, None, 0, 30, 0.5, None, "no such name", "https", None),
    ]
    assert bare_stage.sql("SELECT target, first_seen, last_seen FROM {t_targets} ORDER BY target") == [
        ("never", at("01-01T00:00"), at("01-01T00:00")),
        ("shop", at("11-01T10:00"), at("11-02T11:02")),
    ]
    assert bare_stage.sql("SELECT agent, first_seen, last_seen FROM {t_agents} ORDER BY agent") == [
        ("one", at("11-01T10:00"), at("11-01T10:01")),
        ("two", at("11-02T11:02"), at("11-02T11:02")),
    ]
    assert bare_stage.sql("SELECT day::text, up, down FROM {t_days} ORDER BY day") == [
        ("2026-11-01", 1, 1),
        ("2026-11-02", 0, 1),
    ]
    # Sinks of the release before don't tell what they use: it counts as used for a month.
    for what in ("series", "contexts"):
        assert bare_stage.sql(f"SELECT DISTINCT used_until - current_date FROM {{t_{what}}}") == [(30,)]  # noqa: S608
    # The same rows come again, from the topic: they are there.
    moment = at("11-01T10:00")
    store = Writer(bare_stage.settings("sink").postgres)
    again = store.store([recent(target="shop", agent="one", time=moment, scheduled_at=moment)])
    store.close()
    assert (again.added, again.repeats) == (0, 1)


def test_answers_come_to_a_database_with_data_and_a_sink_of_the_release_before_goes_on_beside(
    bare_stage: Stage,
) -> None:
    tables = Tables(bare_stage.table)
    columns = sql.SQL(", ").join(map(sql.Identifier, rows.COLUMNS))
    session = SESSION.replace("answer text, ", "")
    add_new = ADD_NEW.replace("time, answer, error", "time, error").replace("answer IS NOT NULL OR ", "")
    assert "answer" not in session + add_new
    start = recent(0).time

    def begin(cursor: Any) -> None:
        cursor.execute(tables.fill(session, statement_secs=sql.SQL("30")))

    def add(cursor: Any, minute: int) -> None:
        """Add a row as the release before does: its COPY and its INSERTs name the columns that it knows."""
        row = {"time": start + timedelta(minutes=minute), "series_id": 1, "context_id": 1, "delay_secs": 0.5}
        row |= {"total_secs": 0.25, "outcome": 1, "http_status": 200}
        text = "\t".join(str(row.get(name, r"\N")) for name in rows.COLUMNS) + "\t\\N\n"
        cursor.execute("TRUNCATE webmon_incoming")
        copy = sql.SQL("COPY webmon_incoming ({columns}, error) FROM STDIN").format(columns=columns)
        cursor.copy_expert(copy, io.StringIO(text))
        cursor.execute(tables.fill(add_new, columns=columns))
        assert cursor.fetchone()[0] == 1

    def columns_of(what: str) -> list[str]:
        with bare_stage.database() as cursor:
            cursor.execute(tables.fill(f"SELECT * FROM {{{what}}} LIMIT 0"))  # noqa: S608
            return [column.name for column in cursor.description]

    with bare_stage.database() as early, bare_stage.database() as late:
        apply(early, tables, shipped()[:4])
        early.execute(
            tables.fill(
                "INSERT INTO {targets} (target, url, described_at, first_seen, last_seen)"
                " VALUES ('mail', 'SMTP://mail.example', now(), now(), now());"
                "INSERT INTO {agents} (agent, first_seen, last_seen) VALUES ('a', now(), now());"
                "INSERT INTO {series} (target_id, agent_id) VALUES (1, 1);"
                "INSERT INTO {contexts} (interval_secs, redirects, body_truncated, fingerprint)"
                " VALUES (60, 0, false, gen_random_uuid())"
            )
        )
        before = {what: columns_of(what) for what in ("view", "latest")}
        begin(early)
        add(early, 0)
        assert f"changed  schema {bare_stage.table}: 0005_answers.sql" in bare_stage.init()
        begin(late)
        add(early, 1)
        add(late, 2)
    for what, known in before.items():
        assert columns_of(what) == [*known, "kind", "answer"]
    store = Writer(bare_stage.settings("sink").postgres)
    moment = start + timedelta(minutes=3)
    came = recent(target="mail", agent="a", url="SMTP://mail.example", time=moment, scheduled_at=moment, answer="220 ü")
    assert store.store([came]).added == 1
    store.close()
    assert bare_stage.sql("SELECT http_status, kind, answer FROM {t_view} ORDER BY time") == [
        *[(200, "smtp", None)] * 3,
        (200, "smtp", "220 ü"),
    ]
    assert bare_stage.sql("SELECT target, kind, answer FROM {t_latest}") == [("mail", "smtp", "220 ü")]


def test_a_target_is_called_by_a_url_as_long_as_any_and_a_sink_of_the_release_before_goes_on_beside(
    bare_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Noise, or the server would press it into a short one; four bytes a character.
    noise = ["".join(chr(0x10000 + byte) for byte in random.Random(seed).randbytes(7_980)) for seed in range(3)]
    urls = [f"https://{one}/" for one in noise]
    assert all(len(url) <= URL_LIMIT for url in urls)
    tables = Tables(bare_stage.table)
    with bare_stage.database() as cursor:
        apply(cursor, tables, [one for one in shipped() if one.version < 7])
    settings = bare_stage.settings("sink").postgres.model_copy(
        update={"user": bare_stage.services.owner, "password": SecretStr(bare_stage.services.owner_password)}
    )
    monkeypatch.setattr(version, "SCHEMA_VERSION", 5)
    before = Writer(settings)
    assert before.store([recent(0, target="short")]).added == 1
    assert "index row" in before.store([recent(1, target=urls[0])]).refused[0][1]
    assert f"changed  schema {bare_stage.table}: 0007_long_urls.sql" in bare_stage.init()
    after = Writer(bare_stage.settings("sink").postgres)
    for store in (before, after):
        told = store.store([recent(2, target="short"), *(recent(3, target=url, url=url) for url in urls)])
        assert (told.added, told.refused) == ((4, []) if store is before else (0, []))
        store.close()
    assert sorted(bare_stage.sql("SELECT target, url FROM {t_targets}")) == sorted(
        [*((url, url) for url in urls), ("short", recent(2).url)]
    )


def test_the_history_of_alarms_has_a_bound_for_each_text_whoever_writes_it(stage: Stage) -> None:
    assert stage.sql("SELECT topic_id, next_offset, epoch, written FROM {t_alarm_position}") == [(None, 0, 0, None)]
    rest = "'critical', now(), now(), '', '', '{{}}', '', '[]', 3, '', false"
    columns = "id, condition, subject, severity, since, opened, reason, url, labels, detail, seen, voters, held, late"
    add = f"INSERT INTO {{t_episodes}} ({columns}) VALUES (gen_random_uuid(), %s, %s, {rest})"  # noqa: S608
    # A target may be called by a URL that no index of the other kind takes.
    stage.sql(add, "down", "https://" + "\U0001f300" * 7_000)
    for condition, subject in (("down" * 20, "shop"), ("down", "x" * 8_001)):
        with pytest.raises(psycopg2.errors.CheckViolation):
            stage.sql(add, condition, subject)
    for what in ("silences", "maintenance", "announcements"):
        with pytest.raises(psycopg2.errors.CheckViolation):
            stage.sql(
                f"INSERT INTO {{t_{what}}} SELECT (jsonb_populate_record(NULL::{{t_{what}}}, %s)).*",
                json.dumps(
                    {"id": "1", "match": "x" * 8_001, "title": "x" * 201, "text": "", "by": "", "reason": ""}
                    | {"name": "", "public": False}
                    | {"begins": "2026-01-01T00:00Z", "until": "2026-01-01T00:00Z"}
                ),
            )
    with pytest.raises(psycopg2.errors.UniqueViolation):
        stage.sql("INSERT INTO {t_alarm_position} DEFAULT VALUES")


def test_what_was_just_stored_is_in_hours_and_days_at_once(stage: Stage) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    outcomes = [Outcome.UP, Outcome.SLOW, Outcome.UP, Outcome.TIMEOUT, Outcome.AGENT_ERROR]
    times = [0.1, 3.0, 0.2, None, None]
    store = Writer(stage.settings("sink").postgres)
    for number, (outcome, response) in enumerate(zip(outcomes, times, strict=True)):
        moment = hour + timedelta(minutes=number)
        at = {"time": moment, "scheduled_at": moment}
        store.store([recent(target="shop", agent="a", outcome=outcome, response_time=response, **at)])
    store.close()
    columns = "results, up, slow, down, agent_error, covered_secs, responses, response_min, response_max, failures"
    expected = (5, 3, 1, 1, 1, 240.0, 3, pytest.approx(0.1), 3.0, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    assert stage.sql(f"SELECT hour, {columns}, counts FROM {{t_hours}}") == [(hour, *expected, [1, 1, 1])]  # noqa: S608
    assert stage.sql(f"SELECT day, {columns}, counts FROM {{t_days}}") == [(hour.date(), *expected, [1, 1, 1])]  # noqa: S608
    columns = "target, agent, url, uptime, coverage, response_p50, response_p99"
    ((*names, uptime, coverage, middle, most),) = stage.sql(f"SELECT {columns} FROM {{t_uptime_hourly}}")  # noqa: S608
    assert names == ["shop", "a", "https://site0.example/"]
    assert (uptime, coverage) == (0.75, pytest.approx(240 / 3600))
    assert middle == pytest.approx(0.2, rel=0.05)
    assert most == pytest.approx(3.0, rel=0.05)
    assert stage.sql("SELECT uptime FROM {t_uptime_daily}") == [(0.75,)]
    assert stage.sql("SELECT target, agent, outcome FROM {t_latest}") == [("shop", "a", "agent_error")]


def test_targets_and_agents_know_when_they_were_first_and_last_seen(stage: Stage) -> None:
    start = recent(0).time - timedelta(days=1)

    def at(hours: float) -> CheckResult:
        moment = start + timedelta(hours=hours)
        return recent(target="shop", agent="a", time=moment, scheduled_at=moment)

    def seen(what: str) -> list[tuple[float, float]]:
        rows = stage.sql(f"SELECT first_seen, last_seen FROM {{t_{what}}}")  # noqa: S608
        return [((first - start) / timedelta(hours=1), (last - start) / timedelta(hours=1)) for first, last in rows]

    for settings in (stage.settings("sink"), stage.settings("sink", POSTGRES_AUTOCOMMIT="False")):
        store = Writer(settings.postgres)
        store.store([at(1), at(0), at(2)])
        assert seen("targets") == seen("agents") == [(0, 2)]
        # At most an hour behind: a row for each check is enough to write.
        store.store([at(2.5)])
        assert seen("targets") == seen("agents") == [(0, 2)]
        store.store([at(3.5)])
        assert seen("targets") == seen("agents") == seen("target_history") == [(0, 3.5)]
        store.store([at(-5)])
        assert seen("targets") == seen("agents") == seen("target_history") == [(-5, 3.5)]
        store.close()
        stage.sql("TRUNCATE {t_targets}, {t_agents}, {t_target_history}")


def test_the_history_tells_each_description_once_with_its_times(stage: Stage) -> None:
    start = recent(0).time - timedelta(days=1)
    one, other = Writer(stage.settings("sink").postgres), Writer(stage.settings("sink").postgres)

    def see(store: Writer, minute: int, url: str, **labels: str) -> None:
        moment = start + timedelta(minutes=minute)
        store.store([recent(target="shop", agent="a", time=moment, scheduled_at=moment, url=url, labels=labels)])

    long = "https://shop.example/" + "long/" * 1500
    see(one, 0, "https://old.example/", team="x")
    see(other, 10, "https://old.example/", team="x")
    see(one, 20, long, team="x")
    # Two agents with different lists: each description stands once, however often they take turns.
    for turn in range(4):
        see(one, 30 + turn, "https://new.example/", team="x" if turn % 2 else "y")
    # A late one has its place in the history, and does not set the target back.
    see(other, 5, "https://late.example/")
    one.close()
    other.close()
    history = stage.sql("SELECT url, labels, first_seen, last_seen FROM {t_target_history} ORDER BY first_seen, url")
    assert [
        (url, labels, (first - start) / timedelta(minutes=1), (last - start) / timedelta(minutes=1))
        for url, labels, first, last in history
    ] == [
        ("https://old.example/", {"team": "x"}, 0, 0),
        ("https://late.example/", {}, 5, 5),
        (long, {"team": "x"}, 20, 20),
        ("https://new.example/", {"team": "y"}, 30, 32),
        ("https://new.example/", {"team": "x"}, 31, 33),
    ]
    assert stage.sql("SELECT url, labels FROM {t_targets}") == [("https://new.example/", {"team": "x"})]


def test_columns_of_another_release_are_told_and_make_no_dead_letters(stage: Stage) -> None:
    stage.sql("ALTER TABLE {t} RENAME COLUMN delay_secs TO other_secs")
    stage.sql("ALTER TABLE {t} ADD COLUMN delay_secs smallint")
    store = Writer(stage.settings("sink").postgres)
    with pytest.raises(UserError, match="incorrect binary data format"):
        store.store([recent(number) for number in range(10)])
    store.close()
    assert stage.count() == 0

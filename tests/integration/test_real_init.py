"""What init makes, on a real broker and a real database, and what its roles may then do."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta

import psycopg2
import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType

from tests.integration.stage import ALARM_PASSWORD, READER_PASSWORD, SINK_PASSWORD, Stage, principals, recent
from webmon.check.result import encode
from webmon.kafka import client
from webmon.sink.writer import Writer
from webmon.store import migrations
from webmon.store.names import Tables

NO_PRIVILEGE = psycopg2.errors.InsufficientPrivilege


def test_a_second_run_finds_everything_unchanged_line_by_line(bare_stage: Stage) -> None:
    first = bare_stage.init()
    assert f"created  topic {bare_stage.topic} (3 partitions, replication 1)" in first
    assert f"created  topic {bare_stage.topic}.dead-letters (1 partition, replication 1)" in first
    assert f"created  schema {bare_stage.table}: 0001_results.sql" in first
    assert f"created  role {bare_stage.roles[0]}" in first
    assert f"created  role {bare_stage.roles[1]}" in first
    assert sum(line.startswith("created  ACLs of User:webmon-") for line in first) == 3
    second = bare_stage.init()
    assert len(second) >= len(first)
    assert [line for line in second if not line.startswith(("unchanged  ", "not set  TimescaleDB's job 3"))] == []


def test_two_hosts_that_run_it_at_once_make_each_thing_once(bare_stage: Stage) -> None:
    lines: list[str] = []
    threads = [threading.Thread(target=lambda: lines.extend(bare_stage.init())) for _ in range(3)]
    # Made once beforehand: the threads must not write the same file.
    bare_stage.certificate("init")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    created = [line for line in lines if line.startswith("created  ") and "ACLs" not in line]
    assert sorted(created) == sorted(set(created))
    of_schema = [line for line in lines if "  schema " in line]
    made = [line for line in of_schema if not line.startswith("unchanged")]
    assert len(made) == len(set(made)) == len(migrations.shipped())
    assert len(of_schema) == 3 * len(made)


def test_a_topic_grows_but_never_shrinks(stage: Stage) -> None:
    grown = stage.init(KAFKA_TOPIC_PARTITIONS="5", KAFKA_TOPIC_RETENTION_HOURS="2000")
    assert f"changed  topic {stage.topic} (3 -> 5 partitions)" in grown
    assert f"changed  settings of topic {stage.topic} (retention.ms 604800000 -> 7200000000)" in grown
    smaller = stage.init(KAFKA_TOPIC_PARTITIONS="2", KAFKA_TOPIC_RETENTION_HOURS="2000")
    told = next(line for line in smaller if f"topic {stage.topic} (5" in line)
    assert told.startswith("unchanged  ")
    assert "takes no partition away" in told


def test_the_length_of_chunks_is_set_for_those_to_come(stage: Stage) -> None:
    store = Writer(stage.settings("sink").postgres)
    store.store([recent(0)])
    assert f"changed  chunks of {stage.table}: 12 h each from now on" in stage.init(POSTGRES_CHUNK_HOURS="12")
    assert f"unchanged  chunks of {stage.table}: 12 h each" in stage.init(POSTGRES_CHUNK_HOURS="12")
    moment = recent(0).time - timedelta(days=5)
    store.store([recent(target="old", time=moment, scheduled_at=moment, error="x")])
    store.close()
    lengths = (
        "SELECT hypertable_name, range_end - range_start FROM timescaledb_information.chunks"
        " WHERE hypertable_name IN (%s, %s) ORDER BY range_start, 1"
    )
    assert stage.sql(lengths, stage.table, f"{stage.table}_errors") == [
        (stage.table, timedelta(hours=12)),
        (f"{stage.table}_errors", timedelta(hours=12)),
        (stage.table, timedelta(hours=24)),
    ]


def test_a_new_password_is_set_and_told_as_a_change(stage: Stage) -> None:
    assert f"changed  role {stage.roles[0]}: password" in stage.init(POSTGRES_SINK_PASSWORD="another one")
    with stage.database(stage.roles[0], "another one") as cursor:
        cursor.execute("SELECT 1")
    with pytest.raises(psycopg2.OperationalError), stage.database(stage.roles[0], SINK_PASSWORD):
        pass


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM {t_episodes}",
        "UPDATE {t_silences} SET until = now()",
        "DELETE FROM {t}",
        "UPDATE {t} SET http_status = 200",
        "TRUNCATE {t}",
        "DROP TABLE {t}",
        "DELETE FROM {t_targets}",
        "UPDATE {t_targets} SET target = 'x'",
        "UPDATE {t_agents} SET agent = 'x'",
        "DELETE FROM {t_series}",
        "UPDATE {t_series} SET agent_id = 1",
        "DELETE FROM {t_contexts}",
        "UPDATE {t_contexts} SET redirects = 0",
        "UPDATE {t_marks} SET hour = now()",
        "DELETE FROM {t_marks}",
        "TRUNCATE {t_marks}",
        "INSERT INTO {t_hourly} SELECT * FROM {t_hourly}",
        "UPDATE {t_hourly} SET up = 0",
        "UPDATE {t_daily} SET up = 0",
        "DELETE FROM {t_hourly}",
        "DELETE FROM {t_daily}",
        "DELETE FROM {t_target_history}",
        "INSERT INTO {t_floors} VALUES ('rows', now())",
        "UPDATE {t_errors} SET error = 'x'",
        "UPDATE {t_fleet} SET name = 'x'",
        "DELETE FROM {t_fleet}",
        "TRUNCATE {t_fleet}",
        "CREATE INDEX ON {t} (http_status)",
        "DROP VIEW {t_view}",
        "SELECT rolpassword FROM pg_authid",
        "SELECT passwd FROM pg_shadow",
        "SELECT pg_read_file('/etc/passwd')",
        "INSERT INTO {t_migrations} VALUES (2, 'x', 'x')",
        "ALTER TABLE {t} ADD COLUMN x integer",
        "CREATE TABLE public.mine (x integer)",
        "CREATE ROLE another",
    ],
)
def test_a_sink_may_add_and_describe_only(shared_stage: Stage, statement: str) -> None:
    with shared_stage.database(shared_stage.roles[0], SINK_PASSWORD) as cursor, pytest.raises(NO_PRIVILEGE):
        cursor.execute(_named(shared_stage, statement))


def test_a_table_that_is_not_webmons_is_closed_to_sinks_and_readers(shared_stage: Stage) -> None:
    other = f"{shared_stage.name}_other"
    shared_stage.sql(f"CREATE TABLE {other} (secret text)")
    try:
        for role, password in zip(shared_stage.roles[:2], (SINK_PASSWORD, READER_PASSWORD), strict=True):
            with shared_stage.database(role, password) as cursor:
                for verb in ("SELECT * FROM", "DELETE FROM", "DROP TABLE"):
                    with pytest.raises(NO_PRIVILEGE):
                        cursor.execute(f"{verb} {other}")
    finally:
        shared_stage.sql(f"DROP TABLE {other}")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {t_agents} (agent) VALUES ('x')",
        "UPDATE {t_targets} SET url = 'x'",
        "INSERT INTO {t_marks} VALUES (now(), 1)",
        "DELETE FROM {t_marks}",
        "UPDATE {t_hourly} SET up = 1",
        "TRUNCATE {t_daily}",
        "SELECT {t_roll_up}('{}', '{}', false)",
        "DELETE FROM {t}",
        "DROP VIEW {t_view}",
        "SELECT rolpassword FROM pg_authid",
        "UPDATE {t_episodes} SET ack_by = 'x'",
        "DELETE FROM {t_notices}",
        "INSERT INTO {t_fleet} (kind, name, at, version) VALUES ('sink', 'x', now(), '1')",
        "UPDATE {t_fleet} SET waiting = 0",
    ],
)
def test_a_reader_may_select_only(shared_stage: Stage, statement: str) -> None:
    with shared_stage.database(shared_stage.roles[1], READER_PASSWORD) as cursor:
        for what in (
            *("metrics", "errors", "view", "latest", "uptime_hourly", "episodes", "notices", "alarm_position", "fleet"),
        ):
            cursor.execute(_named(shared_stage, f"SELECT * FROM {{t_{what}}}"))  # noqa: S608
        with pytest.raises(NO_PRIVILEGE):
            cursor.execute(_named(shared_stage, statement))


def test_a_fleet_with_alarms_gets_their_topics_rights_and_role_and_one_without_gets_none(bare_stage: Stage) -> None:
    assert [line for line in bare_stage.init() if "alarm" in line.lower()] == [
        f"changed  schema {bare_stage.table}: 0008_alarms.sql"
    ]
    with bare_stage.admin() as admin:
        assert not {f"{bare_stage.topic}.alarms", f"{bare_stage.topic}.orders"} & set(admin.list_topics())
    made = bare_stage.init(**bare_stage.with_alarms)
    for what in (
        f"created  topic {bare_stage.topic}.alarms (1 partition, replication 1)",
        f"created  topic {bare_stage.topic}.orders (1 partition, replication 1)",
        f"created  role {bare_stage.roles[2]}",
        f"created  rights of {bare_stage.roles[2]}: read {bare_stage.table} and its tables, "
        "and write the history of alarms",
    ):
        assert what in made, "\n".join(made)
    for who in (*principals("alarm"), *principals("page")):
        assert any(line.startswith(f"created  ACLs of {who}: ") for line in made)
    with bare_stage.admin() as admin:
        for name, policy in (("alarms", "compact"), ("orders", "delete")):
            topic = ConfigResource(ConfigResourceType.TOPIC, f"{bare_stage.topic}.{name}")
            config = admin.describe_configs([topic], config_filter="all")["topic"][topic.name]
            assert config["cleanup.policy"]["value"] == policy
            assert config["message.timestamp.type"]["value"] == "LogAppendTime"
    again = bare_stage.init(**bare_stage.with_alarms)
    assert [line for line in again if not line.startswith(("unchanged  ", "not set  TimescaleDB's job 3"))] == []
    (page,) = principals("page")
    assert any(f"quotas of {page}: producer_byte_rate=100000" in line for line in again)
    without_role = bare_stage.init(**(bare_stage.with_alarms | {"POSTGRES_ALARM_USER": None}))
    assert "not set  role of alarms: POSTGRES_ALARM_USER is not set, so they log in as a role of yours" in without_role


def test_judge_and_page_may_do_their_part_on_kafka_and_no_other_and_both_can_be_revoked(bare_stage: Stage) -> None:
    stage = bare_stage
    stage.init(**stage.with_alarms)
    alarms, orders, group = f"{stage.topic}.alarms", f"{stage.topic}.orders", f"{stage.topic}.alarms"

    def write(unit: str, topic: str) -> Callable[[], bool]:
        return lambda: bool(stage.producer(unit).send(topic, key=b"key", value=b"{}").get(timeout=10))

    def read(unit: str, topic: str, group: str | None) -> Callable[[], bool]:
        return lambda: _read(stage, unit, topic, group)

    assert write("agent", stage.topic)()
    assert write("alarm", alarms)()
    assert write("alarm", orders)()
    assert write("page", orders)()
    assert read("alarm", orders, None)()
    assert read("alarm", alarms, group)()
    assert read("alarm", stage.topic, None)()
    forbidden = {
        "a judge writes results": write("alarm", stage.topic),
        "a judge writes dead letters": write("alarm", f"{stage.topic}.dead-letters"),
        "a judge joins the sinks' group": read("alarm", stage.topic, stage.topic),
        "a page writes the alarm log": write("page", alarms),
        "a page reads orders": read("page", orders, None),
        "a page reads results": read("page", stage.topic, None),
        "a sink reads the alarm log": read("sink", alarms, None),
        "an agent orders": write("agent", orders),
    }
    assert _done(forbidden) == []
    ours = (*principals("alarm"), *principals("page"))
    refused = stage.run("revoke", *ours, **stage.with_alarms)
    assert refused.returncode == 2
    assert "stands in KAFKA_PAGE_PRINCIPALS" in refused.stderr
    gone = stage.run("revoke", *ours)
    assert gone.returncode == 0, gone.stderr
    assert all(line.startswith("changed  ") for line in gone.stdout.splitlines()), gone.stdout
    lost = {"orders": write("page", orders), "log": write("alarm", alarms), "results": read("alarm", stage.topic, None)}
    assert _done(lost) == []


def _done(attempts: Mapping[str, Callable[[], bool]]) -> list[str]:
    """Give which of some attempts were not refused."""
    done = []
    for what, attempt in attempts.items():
        # A topic that may not even be seen gives a reader no records and no error.
        with contextlib.suppress(kafka_errors.AuthorizationError):
            if attempt():
                done.append(what)
    return done


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM {t_episodes}",
        "UPDATE {t_episodes} SET id = gen_random_uuid()",
        "DELETE FROM {t_notices}",
        "TRUNCATE {t_silences}",
        "DELETE FROM {t_maintenance}",
        "DELETE FROM {t_announcements}",
        "INSERT INTO {t_alarm_position} DEFAULT VALUES",
        "DELETE FROM {t_alarm_position}",
        "INSERT INTO {t} SELECT * FROM {t}",
        "UPDATE {t_targets} SET url = 'x'",
        "UPDATE {t_fleet} SET waiting = 0",
        "INSERT INTO {t_marks} VALUES (now(), 1)",
        "SELECT {t_roll_up}('{}', '{}', false)",
        "CREATE TABLE public.mine (x integer)",
        "CREATE TEMPORARY TABLE mine (x integer)",
        "SELECT rolpassword FROM pg_authid",
    ],
)
def test_the_judges_history_may_read_and_write_its_own_tables_only(alarm_stage: Stage, statement: str) -> None:
    with alarm_stage.database(alarm_stage.roles[2], ALARM_PASSWORD) as cursor:
        for what in ("metrics", "latest", "episodes", "alarm_position"):
            cursor.execute(_named(alarm_stage, f"SELECT * FROM {{t_{what}}}"))  # noqa: S608
        cursor.execute(_named(alarm_stage, "UPDATE {t_alarm_position} SET next_offset = next_offset, epoch = epoch"))
        with pytest.raises(NO_PRIVILEGE):
            cursor.execute(_named(alarm_stage, statement))


def _named(stage: Stage, statement: str) -> str:
    for what, name in Tables(stage.table).names.items():
        statement = statement.replace(f"{{t_{what}}}", f'"{name}"')
    return statement.replace("{t}", f'"{stage.table}"')


def test_principals_may_do_their_part_on_kafka_and_no_other(stage: Stage) -> None:
    dead_letters = f"{stage.topic}.dead-letters"
    value = encode(recent())

    def write(unit: str, topic: str) -> Callable[[], bool]:
        return lambda: bool(stage.producer(unit).send(topic, key=b"key", value=value).get(timeout=10))

    def read(unit: str, topic: str, group: str | None) -> Callable[[], bool]:
        return lambda: _read(stage, unit, topic, group)

    other = f"{stage.topic}.other"
    with stage.admin() as admin:
        admin.create_topics({other: {"num_partitions": 1, "replication_factor": 1}})

    def make_topic(unit: str) -> Callable[[], bool]:
        def make() -> bool:
            with contextlib.closing(KafkaAdminClient(**client.admin_args(stage.kafka_settings(unit)))) as admin:
                made = admin.create_topics([f"{stage.topic}.made-by-{unit}"], raise_errors=False)
            return not any(topic["error_code"] for topic in made["topics"])

        return make

    assert make_topic("init")()
    assert write("init", other)()
    assert write("agent", stage.topic)()
    assert write("sink", dead_letters)()
    assert read("sink", stage.topic, stage.topic)()
    forbidden = {
        "an agent writes dead letters": write("agent", dead_letters),
        "an agent writes another topic": write("agent", other),
        "an agent makes a topic": make_topic("agent"),
        "a sink makes a topic": make_topic("sink"),
        "a sink writes results": write("sink", stage.topic),
        "an agent reads": read("agent", stage.topic, None),
        "an agent joins the group": read("agent", stage.topic, stage.topic),
        "a sink joins another group": read("sink", stage.topic, "another-group"),
        "a sink reads dead letters": read("sink", dead_letters, None),
        "a stranger writes": write("stranger", stage.topic),
        "a stranger reads": read("stranger", stage.topic, None),
    }
    assert _done(forbidden) == []


def _read(stage: Stage, unit: str, topic: str, group: str | None) -> bool:
    """Try for a few seconds; tell whether a record came."""
    consumer = KafkaConsumer(**(client.consumer_args(stage.kafka_settings(unit)) | {"group_id": group}))
    try:
        if group is None:
            consumer.assign([TopicPartition(topic, number) for number in range(3 if topic == stage.topic else 1)])
        else:
            consumer.subscribe([topic])
        return any(consumer.poll(timeout_ms=500) for _ in range(10))
    finally:
        with contextlib.suppress(kafka_errors.KafkaError):
            consumer.close()


@pytest.mark.parametrize(
    ("tampered", "told"),
    [
        ("UPDATE {t_migrations} SET checksum = 'other'", "checksums differ"),
        ("INSERT INTO {t_migrations} VALUES (9999, '9999_future.sql', 'x')", "newer than this webmon"),
    ],
)
def test_a_schema_of_another_release_is_refused(stage: Stage, tampered: str, told: str) -> None:
    stage.sql(tampered)
    done = stage.run("init")
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_role_that_may_not_create_roles_is_told_what_to_do(bare_stage: Stage) -> None:
    plain = f"{bare_stage.name}_plain"
    bare_stage.roles.append(plain)
    bare_stage.sql(f"CREATE ROLE {plain} LOGIN PASSWORD 'plain'")
    bare_stage.sql(f"GRANT CREATE ON SCHEMA public TO {plain}")
    as_plain: dict[str, str | None] = {"POSTGRES_USER": plain, "POSTGRES_PASSWORD": "plain"}
    refused = bare_stage.run("init", **as_plain)
    assert refused.returncode == 2
    assert f"may not create role '{bare_stage.roles[0]}'" in refused.stderr
    assert bare_stage.sql("SELECT to_regclass(%s)", bare_stage.table) == [(None,)], "nothing stays of a failed run"

    unset = ("POSTGRES_SINK_USER", "POSTGRES_SINK_PASSWORD", "POSTGRES_READER_USER", "POSTGRES_READER_PASSWORD")
    without_roles: dict[str, str | None] = dict.fromkeys(unset)
    lines = bare_stage.init(**as_plain, **without_roles)
    assert any(line.startswith("not set  role of sinks: POSTGRES_SINK_USER is not set") for line in lines)

    bare_stage.sql(f"CREATE ROLE {bare_stage.roles[0]} LOGIN PASSWORD %s", SINK_PASSWORD)
    existing = bare_stage.init(**as_plain, POSTGRES_READER_USER=None)
    assert f"unchanged  role {bare_stage.roles[0]}" in existing
    grant = f'GRANT TEMPORARY ON DATABASE "{bare_stage.services.database}" TO "{bare_stage.roles[0]}"'
    assert any(line.startswith("not set  rights of") and line.endswith(grant) for line in existing), existing
    bare_stage.sql(grant)
    again = bare_stage.init(**as_plain, POSTGRES_READER_USER=None)
    assert any(line.startswith("unchanged  rights of") for line in again)
    store = Writer(bare_stage.settings("sink").postgres)
    assert store.store([recent()]).added == 1
    store.close()


def test_any_legal_name_of_a_table_does(bare_stage: Stage) -> None:
    bare_stage.table = f'{bare_stage.name} "Wéb" %s {{}}; --'
    bare_stage.init()
    assert all(line.startswith(("unchanged  ", "not set  ")) for line in bare_stage.init())
    store = Writer(bare_stage.settings("sink").postgres)
    assert store.store([recent(0), recent(1)]).added == 2
    store.close()
    assert bare_stage.sql("SELECT count(*) FROM {t_view}") == [(2,)]
    assert "site0" in bare_stage.status()


def test_principals_that_are_not_named_are_given_nothing_and_that_is_said(bare_stage: Stage) -> None:
    lines = bare_stage.init(KAFKA_AGENT_PRINCIPALS=None, KAFKA_SINK_PRINCIPALS=None)
    told = [line for line in lines if line.startswith("not set  ACLs: ")]
    assert [line.split()[3] for line in told] == ["KAFKA_AGENT_PRINCIPALS", "KAFKA_SINK_PRINCIPALS"]
    with pytest.raises(kafka_errors.AuthorizationError):
        bare_stage.producer("agent").send(bare_stage.topic, value=b"x").get(timeout=10)


def test_a_certificate_that_may_not_administer_ends_it_with_one_line(bare_stage: Stage) -> None:
    certificate, key = bare_stage.certificate("agent")
    done = bare_stage.run("init", KAFKA_ACCESS_CERTIFICATE=str(certificate), KAFKA_ACCESS_KEY=str(key))
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "topic" in done.stderr


def test_a_replication_that_the_cluster_has_no_brokers_for_is_named(bare_stage: Stage) -> None:
    done = bare_stage.run("init", KAFKA_TOPIC_REPLICATION="7")
    assert done.returncode == 2
    assert "KAFKA_TOPIC_REPLICATION" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_both_neighbours_are_told_when_both_are_missing(bare_stage: Stage) -> None:
    done = bare_stage.run("init", KAFKA_PORT="1", POSTGRES_PORT="1")
    assert done.returncode == 2
    kafka_line, postgres_line = done.stderr.splitlines()
    assert "Kafka at " in kafka_line
    assert "KAFKA_PORT" in kafka_line
    assert "refused" in kafka_line
    assert "PostgreSQL at " in postgres_line
    assert "POSTGRES_PORT" in postgres_line

"""`webmon doctor` on a real broker and a real database: what is well is ok, and each fault is named."""

from datetime import UTC, datetime, timedelta

from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType

from tests.integration.stage import SINK_PASSWORD, Stage, principals, recent
from tests.waiting import wait_until
from webmon.sink.writer import Writer


def doctor(stage: Stage, component: str, **changes: str | None) -> "tuple[int, list[str]]":
    done = stage.doctor(component, **changes)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout.splitlines()


def lines_of(lines: list[str], subject: str) -> list[str]:
    """Give the lines about one subject, except what other tests' topics on the same broker bring."""
    found = [line for line in lines if line.split("  ", 1)[1].strip().startswith(f"{subject}:")]
    return [line for line in found if "which we do not need" not in line]


def test_a_sink_that_is_well_is_ok_in_every_line(stage: Stage) -> None:
    sink = stage.start_sink()
    now = datetime.now(UTC)
    stage.publish([recent(time=now, scheduled_at=now)])
    wait_until(lambda: stage.count() == 1, "the row")
    sink.stop()
    keys = stage.directory / "agents"
    keys.touch(0o600)
    keys.write_text(f"vantage0 {'k' * 32}\n")
    status, lines = doctor(stage, "sink", SINK_AGENTS_PATH=str(keys))
    assert status == 0, "\n".join(lines)
    # Other tests have topics on this broker, and the tests' certificates last a day.
    expected = ("which we do not need", "renew it", "SINK_METRICS_ADDRESS is off")
    assert all(any(text in line for text in expected) for line in lines if not line.startswith("ok"))
    text = "\n".join(lines)
    for subject in (
        "settings",
        "certificate",
        "broker",
        "database TLS",
        "schema",
        "hypertable",
        "newest result",
        "agents",
    ):
        assert f"{subject}: " in text
    assert lines_of(lines, "rights on Kafka") == [
        f"ok       rights on Kafka: we may READ topic {stage.topic}, and no more",
        f"ok       rights on Kafka: we may WRITE topic {stage.topic}.dead-letters, and no more",
    ]


def test_init_sees_the_topics_as_declared_and_less_than_declared(stage: Stage) -> None:
    assert doctor(stage, "init")[0] == 0
    status, lines = doctor(stage, "init", KAFKA_TOPIC_PARTITIONS="9")
    assert status == 1
    assert lines_of(lines, "topic")[0].startswith(f"FAILED   topic: {stage.topic} has 3 partitions")
    assert "KAFKA_TOPIC_PARTITIONS is 9" in lines_of(lines, "topic")[0]


def test_before_init_every_thing_that_lacks_is_named(bare_stage: Stage) -> None:
    status, lines = doctor(bare_stage, "init")
    assert status == 1
    assert "`webmon init`" in lines_of(lines, "topic")[0]
    assert any("webmon init" in line for line in lines if line.startswith("FAILED") and bare_stage.table in line)


def test_a_right_too_few_fails_and_one_too_many_is_warned_of(stage: Stage) -> None:
    role = stage.roles[0]
    stage.sql(f"REVOKE INSERT ON {{t}} FROM {role}")
    stage.sql(f"GRANT DELETE ON {{t}} TO {role}")
    with stage.admin() as admin:
        pattern = ResourcePattern(ResourceType.TOPIC, stage.topic)
        admin.create_acls([ACL("User:webmon-sink", "*", ACLOperation.DELETE, ACLPermissionType.ALLOW, pattern)])
    status, lines = doctor(stage, "sink")
    assert status == 1
    of_role = f"rights in the database: role '{role}'"
    assert f"FAILED   {of_role} lacks INSERT {stage.table}; see `webmon init`" in lines
    assert f"warning  {of_role} may also DELETE {stage.table}: remove that right" in lines
    assert f"warning  rights on Kafka: we may READ topic {stage.topic}, and also DELETE: remove that right" in lines


def test_a_certificate_that_ends_soon_has_ended_or_is_anothers_is_told(stage: Stage) -> None:
    # The lab's own certificates for tests last a day.
    _, lines = doctor(stage, "sink")
    assert lines_of(lines, "certificate")[0].startswith("warning  certificate:")
    assert "renew it before it ends on" in lines_of(lines, "certificate")[0]
    certificate, key = stage.services.issue(stage.directory, "sink", days=-1)
    expired = {"KAFKA_ACCESS_CERTIFICATE": str(certificate), "KAFKA_ACCESS_KEY": str(key)}
    status, lines = doctor(stage, "sink", **expired)
    assert status == 1
    assert "certificate has expired" in lines_of(lines, "certificate")[0]
    status, lines = doctor(stage, "sink", KAFKA_ACCESS_KEY=str(key))
    assert status == 1
    assert "KAFKA_ACCESS_KEY" in lines_of(lines, "settings")[0]


def test_a_password_or_a_broker_that_is_wrong_is_one_line_and_the_rest_is_still_looked_at(stage: Stage) -> None:
    status, lines = doctor(stage, "sink", POSTGRES_PASSWORD="wrong", KAFKA_PORT="1")
    assert status == 1
    assert "connection refused" in lines_of(lines, "broker")[0]
    assert "with POSTGRES_PASSWORD" in lines_of(lines, "database")[0]
    assert "wrong" not in "\n".join(lines)
    assert SINK_PASSWORD not in "\n".join(lines)


def test_a_reader_may_read_and_no_more(stage: Stage) -> None:
    status, lines = doctor(stage, "report")
    assert "ok       rights in the database: role" in "\n".join(lines)
    # Nothing was ever checked, and that is what a person must hear.
    assert status == 1
    assert lines_of(lines, "newest result")[0].startswith("FAILED")


def test_a_target_that_was_taken_out_makes_no_newest_result_late(stage: Stage) -> None:
    now = datetime.now(UTC)
    store = Writer(stage.settings("sink").postgres)
    for target, interval, ago in (("gone", 10.0, 500), ("slow", 600.0, 400)):
        time = now - timedelta(seconds=ago)
        store.store([recent(target=target, interval=interval, time=time, scheduled_at=time)])
    store.close()
    _, lines = doctor(stage, "report")
    assert lines_of(lines, "newest result")[0].startswith("ok       newest result: is 4")
    stage.sql("UPDATE {t_contexts} SET interval_secs = 10")
    _, lines = doctor(stage, "report")
    assert lines_of(lines, "newest result")[0].startswith("FAILED   newest result: is 4")


def test_a_schema_of_a_later_release_is_a_fault_for_init_alone(stage: Stage) -> None:
    stage.sql("INSERT INTO {t_migrations} VALUES (9999, '9999_future.sql', 'x')")
    _, lines = doctor(stage, "report")
    assert lines_of(lines, "schema")[0].startswith("warning  schema: is at version 9999, newer than the ")
    assert lines_of(lines, "hypertable")[0].startswith("ok")
    status, lines = doctor(stage, "init")
    assert status == 1
    assert lines_of(lines, "schema")[0].startswith("FAILED   schema: is at version 9999")


def test_a_judge_that_is_well_is_ok_in_every_line_and_sends_nothing(bare_stage: Stage) -> None:
    stage = bare_stage
    stage.init(**stage.with_alarms)
    keys = stage.directory / "agents"
    keys.touch(0o600)
    keys.write_text(f"vantage0 {'k' * 32}\n")
    well = {"ALARM_AGENTS_PATH": str(keys), "ALARM_WEBHOOK_URL": "http://localhost:1/"}
    status, lines = doctor(stage, "alarm", **well, ALARM_HEARTBEAT_URL="http://localhost:1/")
    assert status == 0, "\n".join(lines)
    expected = ("which we do not need", "renew it", "ALARM_METRICS_ADDRESS is off")
    assert all(any(text in line for text in expected) for line in lines if not line.startswith("ok")), lines
    assert lines_of(lines, "rights on Kafka") == [
        f"ok       rights on Kafka: we may READ topic {stage.topic}, and no more",
        f"ok       rights on Kafka: we may READ and WRITE topic {stage.topic}.alarms, and no more",
        f"ok       rights on Kafka: we may READ and WRITE topic {stage.topic}.orders, and no more",
    ]
    assert lines_of(lines, "channel alarm") == [
        "ok       channel alarm: localhost has an address; `webmon alarm test alarm` sends a message"
    ]
    assert f"ok       rights in the database: role '{stage.roles[2]}' may do what it must, and no more" in lines


def test_what_a_judge_lacks_or_has_too_much_is_told(bare_stage: Stage) -> None:
    stage = bare_stage
    stage.init(**stage.with_alarms)
    stage.sql(f"REVOKE UPDATE (ended) ON {{t_episodes}} FROM {stage.roles[2]}")
    stage.sql(f"REVOKE INSERT ON {{t_notices}} FROM {stage.roles[2]}")
    stage.sql(f"GRANT DELETE ON {{t_episodes}} TO {stage.roles[2]}")
    stage.sql(f"GRANT INSERT ON {{t_episodes}} TO {stage.roles[0]}")
    with stage.admin() as admin:
        pattern = ResourcePattern(ResourceType.TOPIC, stage.topic)
        (who,) = principals("alarm")
        admin.create_acls([ACL(who, "*", ACLOperation.WRITE, ACLPermissionType.ALLOW, pattern)])
    rules = stage.directory / "alarm.yml"
    rules.write_text(
        "channels: {am: {alertmanager: ['http://no-such-host.invalid:9093']}, mail: {mail: {to: [ops@example.org]}}}\n"
        "routes: [{to: [am, mail]}]\n"
    )
    status, lines = doctor(stage, "alarm", ALARM_RULES_PATH=str(rules), ALARM_SMTP_HOST="localhost")
    assert status == 1
    assert f"warning  rights on Kafka: we may READ topic {stage.topic}, and also WRITE: remove that right" in lines
    of_role = f"rights in the database: role '{stage.roles[2]}'"
    assert f"FAILED   {of_role} lacks INSERT {stage.table}_notices; see `webmon init`" in lines
    assert f"warning  {of_role} may also DELETE {stage.table}_episodes: remove that right" in lines
    assert "FAILED   channel am: no host is called 'no-such-host.invalid'" in lines
    assert lines_of(lines, "channel mail")[0].startswith("ok ")
    assert lines_of(lines, "heartbeat")[0].startswith("warning  heartbeat: ALARM_HEARTBEAT_URL is not set")
    of_sink = f"role '{stage.roles[0]}' may also INSERT {stage.table}_episodes: remove that right"
    assert f"warning  rights in the database: {of_sink}" in doctor(stage, "sink")[1]
    rules.write_text("channels: {am: {mail: {to: [ops]}}}\nroutes: [{to: [mail]}]\n")
    status, lines = doctor(stage, "alarm", ALARM_RULES_PATH=str(rules))
    assert status == 1
    assert len(lines_of(lines, "rules")) == 2, lines
    assert all(f"{rules}:" in line for line in lines_of(lines, "rules"))


def test_init_sees_that_the_topics_of_alarms_lack(stage: Stage) -> None:
    status, lines = doctor(stage, "init", **stage.with_alarms)
    assert status == 1
    for name in ("alarms", "orders"):
        assert f"FAILED   topic: {stage.topic}.{name} is not there; `webmon init` creates it" in lines

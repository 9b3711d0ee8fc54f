"""`webmon reread` on a real broker: what a restored database lacks is read again, and nothing is stored twice."""

from datetime import UTC, datetime

from tests.integration.stage import Stage, recent
from tests.waiting import wait_until


def test_what_a_restored_database_lacks_is_read_again_and_stored_once(stage: Stage) -> None:
    sink = stage.start_sink()
    stage.publish([recent(number) for number in range(20)])
    wait_until(lambda: stage.count() == 20, "all stored")
    sink.stop()
    # As of a backup in the midst of them.
    stage.sql("DELETE FROM {t} WHERE time > %s", recent(12).time)
    assert stage.count() == 13
    done = stage.run("reread")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"changed  group {stage.topic}: 20 messages of {stage.topic} are read again, from ")
    stage.start_sink()
    wait_until(lambda: stage.count() == 20, "all stored again")
    wait_until(lambda: stage.committed() == 20, "all read")
    assert stage.count() == 20


def test_since_a_time_only_what_came_since_then_is_read_again(stage: Stage) -> None:
    sink = stage.start_sink()
    stage.publish([recent(number) for number in range(5)])
    wait_until(lambda: stage.committed() == 5, "the first read")
    since = datetime.now(UTC).isoformat()
    stage.publish([recent(number) for number in range(5, 12)])
    wait_until(lambda: stage.committed() == 12, "all read")
    sink.stop()
    done = stage.run("reread", "--since", since)
    assert f"7 messages of {stage.topic} are read again" in done.stdout, done.stderr
    assert stage.committed() == 5


def test_a_sink_that_runs_keeps_its_place(stage: Stage) -> None:
    sink = stage.start_sink()
    stage.publish([recent(number) for number in range(5)])
    wait_until(lambda: stage.committed() == 5, "all read")
    done = stage.run("reread")
    assert done.returncode == 2
    assert (
        f"webmon: a sink reads as group {stage.topic}, and nobody else may set its place; right would be" in done.stderr
    )
    assert stage.committed() == 5
    assert sink.process.poll() is None


def test_who_may_not_read_as_the_group_is_told(bare_stage: Stage) -> None:
    bare_stage.init()
    certificate, key = bare_stage.certificate("agent")
    done = bare_stage.run("reread", KAFKA_ACCESS_CERTIFICATE=str(certificate), KAFKA_ACCESS_KEY=str(key))
    assert done.returncode == 2
    assert f"READ as group {bare_stage.topic}" in done.stderr

"""The history of alarms, from a real alarm log into a real database."""

import contextlib
import logging
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaConsumer

from tests.integration.alarms import Alarms
from tests.integration.proxy import Relay
from tests.integration.stage import ALARM_PASSWORD, Stage
from tests.receiver import Receiver
from tests.waiting import wait_until
from webmon.alarm import records
from webmon.alarm.conditions import Condition, Severity
from webmon.alarm.history import History
from webmon.alarm.records import Ack, Announcement, Episode, Maintenance, Notice, Record, Seen, Silence, make_id
from webmon.check.result import Outcome
from webmon.store.history import COLUMNS

# kafka-python leaves the sockets of connections that come to nothing to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

START = datetime(2026, 9, 21, 14, 13, 20, 123_000, UTC)
AT = round(START.timestamp() * 1000)


@pytest.fixture
def stage(bare_stage: Stage) -> Stage:
    bare_stage.init(**bare_stage.with_alarms)
    return bare_stage


def episode(number: int = 0, **changes: Any) -> Episode:
    given: dict[str, Any] = {"condition": Condition.DOWN, "subject": f"site{number}", "severity": Severity.CRITICAL}
    return Episode(**(given | {"id": make_id(number), "since": AT, "opened": AT + 1} | changes))


def notice(number: int, of: Episode, **changes: Any) -> Notice:
    given: dict[str, Any] = {"channel": "ops", "event": "opened", "made": AT, "due": AT, "group": "g"}
    return Notice(**(given | {"id": make_id("notice", number), "episode": of.id} | changes))


def publish(stage: Stage, told: Sequence[Record | tuple[str, bytes | None]]) -> None:
    producer = stage.producer("alarm")
    pairs = [one if isinstance(one, tuple) else (one.key, records.encode(one)) for one in told]
    topic = f"{stage.topic}.alarms"
    for waiting in [producer.send(topic, key=key.encode(), value=value) for key, value in pairs]:
        waiting.get(timeout=20)


@contextlib.contextmanager
def history(stage: Stage, make_client: Callable[..., Any] = KafkaConsumer, **changes: str | None) -> Iterator[History]:
    settings = stage.settings("alarm", ALARM_WEBHOOK_URL="http://localhost:1/", **changes)
    made = History(settings.kafka, settings.postgres, make_client=make_client)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def next_offset(stage: Stage) -> int:
    return int(stage.sql("SELECT next_offset FROM {t_alarm_position}")[0][0])


def wait_for(stage: Stage, offset: int, seconds: float = 30) -> None:
    wait_until(lambda: next_offset(stage) >= offset, f"offset {offset} in the database", seconds)


def row(stage: Stage, table: str, key: str) -> tuple[Any, ...]:
    (found,) = stage.sql(f"SELECT {', '.join(COLUMNS[table])} FROM {{t_{table}}} WHERE id::text = %s", key)  # noqa: S608
    return found


def at(milliseconds: int) -> datetime:
    return START + timedelta(milliseconds=milliseconds)


def test_every_field_of_a_record_is_read_back_from_its_column_and_a_later_record_replaces_it(stage: Stage) -> None:
    parent = make_id("parent")
    whole = episode(
        url="https://shop.example/",
        labels={"team": "ü \x1b[31m"},
        detail="detail",
        seen=[Seen("a", "timeout", "no answer"), Seen("b", "status_mismatch", None, 503)],
        voters=3,
        days=7,
        not_after=AT + 5,
        held="parent",
        under=parent,
        late=True,
        ack=Ack(by="ada", at=AT + 6, note="mine"),
    )
    others: list[Record] = [
        notice(1, whole, step=2, made=AT + 1, due=AT + 2, state="sent", at=AT + 3),
        Silence(id="s1", match="db-*", begins=AT, until=AT + 1, by="ada", reason="noise"),
        Maintenance(id="m1", name="backups", match="x", begins=AT, until=AT + 1, by="b", reason="r", public=True),
        Announcement(id="a1", title="t", text="one\ntwo", begins=AT, until=AT + 1, by="c", episode=whole.id),
    ]
    publish(stage, [whole, *others])
    with history(stage):
        wait_for(stage, 5)
        assert row(stage, "episodes", whole.id) == (
            *(whole.id, "down", "site0", "critical", at(0), at(1), None, None, "", "https://shop.example/"),
            *({"team": "ü \x1b[31m"}, "detail"),
            [
                {"vantage": "a", "outcome": "timeout", "error": "no answer", "http_status": None},
                {"vantage": "b", "outcome": "status_mismatch", "error": None, "http_status": 503},
            ],
            *(3, 7, at(5), "parent", parent, True, "ada", at(6), "mine"),
        )
        of_notice = (make_id("notice", 1), whole.id, "ops", "opened", 2, at(1), at(2), "sent", at(3))
        assert row(stage, "notices", of_notice[0]) == of_notice
        assert row(stage, "silences", "s1") == ("s1", "db-*", at(0), at(1), "ada", "noise")
        assert row(stage, "maintenance", "m1") == ("m1", "backups", "x", at(0), at(1), "b", "r", True)
        assert row(stage, "announcements", "a1") == ("a1", "t", "one\ntwo", at(0), at(1), "c", whole.id)
        over = episode(ended=AT + 7, closed=AT + 8, reason="removed")
        publish(stage, [over, Silence(id="s1", match="db-*", begins=AT, until=AT, by="ada", reason="noise")])
        wait_for(stage, 7)
        changed = dict(zip(COLUMNS["episodes"], row(stage, "episodes", whole.id), strict=True))
        assert (changed["ended"], changed["closed"], changed["reason"]) == (at(7), at(8), "removed")
        assert (changed["under"], changed["ack_by"], changed["seen"], changed["late"]) == (None, None, [], False)
        assert row(stage, "silences", "s1")[3] == at(0)


def test_what_the_log_forgets_history_keeps_and_what_was_open_then_is_over(stage: Stage) -> None:
    ended, lost = episode(1, ended=AT + 2, closed=AT + 3), episode(2)
    publish(stage, [ended, lost, notice(1, ended)])
    with history(stage):
        wait_for(stage, 3)
        publish(stage, [(one, None) for one in (ended.key, lost.key, notice(1, ended).key, "silence/none")])
        wait_for(stage, 7)
    assert stage.sql("SELECT count(*) FROM {t_notices}") == [(1,)]
    assert row(stage, "episodes", ended.id)[7] == at(3)
    found = dict(zip(COLUMNS["episodes"], row(stage, "episodes", lost.id), strict=True))
    assert found["reason"] == "not known"
    assert datetime.now(UTC) - found["closed"] < timedelta(minutes=5)
    assert found["ended"] is None


def test_the_next_one_goes_on_where_the_one_before_ended_and_the_epoch_is_kept(stage: Stage) -> None:
    publish(stage, [("epoch", b'{"number":7,"host":"alarm1","at":1}'), ("position", b"{}"), episode(1)])
    with history(stage) as first:
        wait_for(stage, 3)
        assert first.written == 1
    publish(stage, [episode(2)])
    with history(stage) as second:
        wait_for(stage, 4)
        assert second.written == 1, "the one before was not read again"
    ((topic_id, epoch, written),) = stage.sql("SELECT topic_id, epoch, written FROM {t_alarm_position}")
    assert uuid.UUID(topic_id).version is not None
    assert epoch == 7
    assert datetime.now(UTC) - written < timedelta(minutes=5)


def test_two_at_once_write_each_record_once_and_nothing_is_told_of_it(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    with history(stage) as one, history(stage) as other:
        for start in range(0, 300, 50):
            publish(stage, [episode(number) for number in range(start, start + 50)])
        wait_for(stage, 300)
    assert stage.sql("SELECT count(*) FROM {t_episodes}") == [(300,)]
    assert one.written + other.written == 300
    assert [record for record in caplog.records if record.levelno >= logging.WARNING and "webmon" in record.name] == []


def test_what_can_not_be_read_is_left_out_and_told_and_the_rest_is_written(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    nonsense = [
        (episode(1).key, b"\xff{"),
        (episode(1).key, b'{"id": 3}'),
        (episode(1).key, records.encode(episode(1, since=10**17))),
        ("\x1b[31mevil/1", b"{}"),
        ("episode/none", None),
    ]
    publish(stage, [episode(2), *nonsense, episode(3)])
    with history(stage) as ours:
        wait_for(stage, 7)
        assert (ours.written, ours.skipped) == (2, 5)
    told = [record.getMessage() for record in caplog.records if "can't be read" in record.getMessage()]
    assert len(told) == 1
    assert told[0].startswith("5 records of the alarm log can't be read")
    assert "\x1b" not in told[0]


def test_a_bound_of_the_table_costs_the_one_record_that_breaks_it(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.sql("ALTER TABLE {t_episodes} ADD CHECK (subject <> 'site2')")
    publish(stage, [episode(number) for number in range(5)])
    with history(stage):
        wait_for(stage, 5)
    assert [subject for (subject,) in stage.sql("SELECT subject FROM {t_episodes} ORDER BY 1")] == [
        f"site{number}" for number in (0, 1, 3, 4)
    ]
    assert "1 records of the alarm log can't be read" in caplog.text


def test_a_database_that_is_away_is_told_once_each_way_and_history_is_complete_afterwards(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    relay = Relay(stage.services.postgres_host, stage.services.postgres_port)
    way: dict[str, Any] = {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": str(relay.port), "POSTGRES_SSL": "require"}
    way |= {"POSTGRES_CHANNEL_BINDING": "prefer"}
    publish(stage, [episode(0)])
    with history(stage, **way) as ours:
        wait_for(stage, 1)
        relay.refuse()
        publish(stage, [episode(number) for number in range(1, 50)])
        outage = ours.outages["database"]
        wait_until(lambda: outage.lasts and "refused" in outage.cause, "the outage")
        relay.open()
        wait_for(stage, 50)
        wait_until(lambda: not outage.lasts, "its end")
    relay.refuse()
    assert stage.sql("SELECT count(*) FROM {t_episodes}") == [(50,)]
    told = [record.getMessage() for record in caplog.records if "history of alarms" in record.getMessage()]
    assert [line.split(" the database")[0] for line in told] == ["waiting for", "no longer waiting for"], told


def test_a_log_that_was_made_anew_is_read_from_its_beginning_and_what_was_open_or_ordered_before_is_over(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    publish(stage, [episode(number) for number in range(10)])
    publish(stage, [notice(1, episode(1))])
    in_years = AT + 10**11
    ordered: list[Record] = [
        Silence(id="s1", match="db-*", begins=AT, until=in_years),
        Maintenance(id="m1", match="x", begins=AT, until=in_years),
        Announcement(id="a1", title="t", begins=AT, until=in_years),
        Announcement(id="a2", title="t", begins=AT),
    ]
    publish(stage, ordered)
    with history(stage):
        wait_for(stage, 15)
    with stage.admin() as admin:
        admin.delete_topics([f"{stage.topic}.alarms"])
        wait_until(lambda: f"{stage.topic}.alarms" not in admin.list_topics(), "the end of the topic")
    stage.init(**stage.with_alarms)
    publish(stage, [episode(3), episode(20)])
    with history(stage):
        wait_until(lambda: next_offset(stage) == 2, "the new log in the database")
    still_open = stage.sql("SELECT subject FROM {t_episodes} WHERE closed IS NULL ORDER BY 1")
    assert still_open == [("site20",), ("site3",)]
    assert stage.sql("SELECT DISTINCT reason FROM {t_episodes} WHERE closed IS NOT NULL") == [
        ("the alarm log was made anew",)
    ]
    assert stage.sql("SELECT state FROM {t_notices}") == [("dropped",)]
    for table in ("silences", "maintenance", "announcements"):
        assert stage.sql(f"SELECT bool_and(until <= now()) FROM {{t_{table}}}") == [(True,)]  # noqa: S608
    assert "the alarm log was made anew" in caplog.text


def test_a_role_that_lacks_a_right_is_told_once_and_waited_for(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.sql(f"REVOKE INSERT ON {{t_episodes}} FROM {stage.roles[2]}")
    publish(stage, [episode(1)])
    tries = []

    def client(**arguments: Any) -> Any:
        tries.append(1)
        return KafkaConsumer(**arguments)

    with history(stage, client) as ours:
        wait_until(lambda: len(tries) > 2, "the third try")
        assert ours.outages["database"].lasts
        stage.init(**stage.with_alarms)
        wait_for(stage, 1)
        wait_until(lambda: not ours.outages["database"].lasts, "its end")
    assert caplog.text.count("POSTGRES_ALARM_USER") == 1
    assert caplog.text.count("no longer waiting for the database") == 1


def test_what_a_judge_tells_is_listed_and_the_rights_that_init_gives_are_enough(stage: Stage) -> None:
    certificate, key = stage.certificate("alarm")
    services = stage.services
    ours: dict[str, Any] = {"POSTGRES_USER": stage.roles[2], "POSTGRES_PASSWORD": ALARM_PASSWORD}
    ours |= {"KAFKA_ACCESS_CERTIFICATE": str(certificate), "KAFKA_ACCESS_KEY": str(key)}
    with Receiver() as receiver:
        alarms = Alarms(stage, receiver)
        try:
            judge = alarms.start(
                **ours, KAFKA_ALARM_GROUP_ID=f"{stage.topic}.alarms", POSTGRES_DATABASE=services.database
            )
            judge.wait_for_line("judging")
            alarms.publish(Outcome.UP, Outcome.TIMEOUT)
            alarms.wait(lambda: alarms.said("shop") == ["opened shop"], "the alarm")
            sent = (
                "SELECT n.state FROM {t_notices} AS n JOIN {t_episodes} AS e ON e.id = n.episode AND subject = 'shop'"
            )
            wait_until(lambda: stage.sql(sent) == [("sent",)], "the history")
            listed = stage.answer("alarms")
            assert re.search(r"critical +down +shop .* 1 of 1: timeout; no answer +hook", listed), listed
            assert "refuses" not in judge.said()
            judge.stop()
        finally:
            alarms.end()
    assert judge.process.returncode == 0
    assert "history" not in judge.said()

"""An agent that is taken speaks for itself alone, and no longer than until it is revoked, on a real broker."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ConfigResource,
    ConfigResourceType,
    ResourcePattern,
    ResourceType,
)

from tests.integration.stage import Stage, recent
from tests.waiting import wait_until
from webmon.agent.outbox import Outbox
from webmon.agent.publisher import Publisher
from webmon.check.result import CheckResult, Outcome, encode, headers
from webmon.kafka.mac import Signer

KEYS = {"vantage0": "a" * 32, "vantage1": "b" * 32, "vantage2": "c" * 32}


def keys_file(stage: Stage, *without: str, unsigned: str = "") -> str:
    path = stage.directory / "agents"
    path.touch(0o600)
    path.write_text("".join(f"{name} {key} {unsigned}\n" for name, key in KEYS.items() if name not in without))
    return str(path)


def signed(result: CheckResult, key: str) -> list[tuple[str, bytes]]:
    return [*headers(), ("mac", Signer(key).sign(result.target.encode(), encode(result)))]


def reasons(stage: Stage, count: int) -> list[str]:
    return sorted(dict(letter.headers)["webmon-reason"].decode() for letter in stage.dead_letters(count))


def test_a_result_of_another_agent_than_the_one_it_names_is_a_dead_letter_and_stays_one(stage: Stage) -> None:
    mine, forged, bare, unknown = recent(0), recent(1), recent(2), recent(3, agent="nobody")
    stage.publish([mine], headers=signed(mine, KEYS["vantage0"]))
    stage.publish([forged], headers=signed(forged, KEYS["vantage0"]))
    stage.publish([bare])
    stage.publish([unknown], headers=signed(unknown, KEYS["vantage0"]))
    sink = stage.start_sink(SINK_AGENTS_PATH=keys_file(stage))
    assert [reason[:40] for reason in reasons(stage, 3)] == [
        "agent 'nobody' is not in SINK_AGENTS_PAT",
        "the MAC does not fit agent 'vantage1', w",
        "the message has no MAC, but agent 'vanta",
    ]
    assert stage.sql("SELECT agent FROM {t_agents}") == [("vantage0",)]
    assert stage.letters("redrive", "--all").returncode == 0
    # Three letters, three notes, and the three that came again.
    wait_until(lambda: "dead letter" in sink.said() and stage.committed() == 7, "the three are judged anew", 30)
    assert len([letter for letter in stage.dead_letters(9) if letter.headers[0] == ("schema", b"2")]) == 6
    assert stage.count() == 1


def test_the_backlog_of_before_the_keys_is_stored_and_what_comes_after_them_must_be_signed(stage: Stage) -> None:
    stage.publish([recent(number) for number in range(20)])
    time.sleep(0.01)  # Kafka's timestamps have milliseconds
    moment = datetime.now(UTC).isoformat()
    late = recent(21, agent="vantage0")
    stage.publish([late])
    stage.start_sink(SINK_AGENTS_PATH=keys_file(stage, unsigned=moment))
    wait_until(lambda: stage.count() == 20, "the backlog is stored")
    assert reasons(stage, 1) == ["the message has no MAC, but agent 'vantage0', which it names, signs"]


def test_a_time_to_come_is_refused_whatever_timestamp_its_agent_writes(stage: Stage) -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=30)
    producer = stage.producer()
    sent = recent(0, time=ahead, scheduled_at=ahead)
    producer.send(
        stage.topic,
        key=b"k",
        value=encode(sent),
        headers=headers(),
        timestamp_ms=int(ahead.timestamp() * 1000),
    ).get(timeout=20)
    stage.start_sink()
    (reason,) = reasons(stage, 1)
    assert "30 s after Kafka got it" in reason
    assert stage.count() == 0


def test_a_row_that_is_ahead_hides_no_present_one_from_the_status(stage: Stage) -> None:
    now = datetime.now(UTC)
    past, ahead = now - timedelta(seconds=5), now + timedelta(seconds=25)
    stage.publish([recent(0, target="shop", time=past, scheduled_at=past, outcome=Outcome.TIMEOUT, error="now")])
    stage.publish([recent(0, target="shop", time=ahead, scheduled_at=ahead)])
    stage.start_sink()
    wait_until(lambda: stage.count() == 2, "both are stored")
    status = stage.status()
    if datetime.now(UTC) < ahead:
        assert status.splitlines()[1].startswith("DOWN")


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    opened = Outbox(tmp_path / "outbox.sqlite", 10_000_000)
    yield opened
    opened.close(5)


def test_a_revoked_principal_writes_no_more_the_others_do_and_a_right_that_comes_ends_the_wait(
    stage: Stage, outbox: Outbox
) -> None:
    # A unit that no rule names: the principal is the whole subject, so that two agents are two on any broker.
    principal = "User:CN=integration,OU=agent2,O=webmon"
    pattern = ResourcePattern(ResourceType.TOPIC, stage.topic, ACLResourcePatternType.LITERAL)
    right = ACL(principal, "*", ACLOperation.WRITE, ACLPermissionType.ALLOW, pattern)
    publisher = Publisher(stage.kafka_settings("agent2"), outbox)
    outbox.put(b"site0", encode(recent(0)))
    publisher.start()
    try:
        wait_until(lambda: "does not let our certificate" in publisher.away_cause, "the refusal")
        assert len(outbox) == 1
        with stage.admin() as admin:
            assert admin.create_acls([right])["failed"] == []
        wait_until(lambda: len(outbox) == 0, "the wait ends by itself", 60)
        done = stage.run("revoke", principal)
        assert (done.returncode, done.stdout) == (
            0,
            f"changed  ACLs of {principal} are taken away: WRITE {stage.topic}\n",
        )
        outbox.put(b"site1", encode(recent(1)))
        wait_until(lambda: "does not let our certificate" in publisher.away_cause, "it is refused at once")
        stage.publish([recent(2)])  # as User:webmon-agent, which has its right still
    finally:
        publisher.stop(20)
    assert stage.run("revoke", principal).stdout == f"unchanged  ACLs of {principal} are taken away: it has none\n"


def test_a_principal_that_the_next_init_would_let_in_again_is_not_revoked(stage: Stage) -> None:
    done = stage.run("revoke", "User:webmon-agent", "webmon-agent")
    assert done.returncode == 2
    assert "stands in KAFKA_AGENT_PRINCIPALS, so that the next init would give it its rights again" in done.stderr
    assert "'webmon-agent' is no principal; right would be User:name" in done.stderr


def test_a_topic_of_an_older_release_gets_its_timestamps_from_the_broker(stage: Stage) -> None:
    older = ConfigResource(ConfigResourceType.TOPIC, stage.topic, configs={"message.timestamp.type": "CreateTime"})
    with stage.admin() as admin:
        assert admin.alter_configs([older], incremental=True)["topic"][stage.topic] == "OK"
    stage.publish([recent(number) for number in range(3)])
    changed = "(message.timestamp.type CreateTime -> LogAppendTime)"
    assert f"changed  settings of topic {stage.topic} {changed}" in stage.init()
    stage.publish([recent(number) for number in range(3, 6)])
    stage.start_sink()
    wait_until(lambda: stage.count() == 6, "what stood in it before is read, too")

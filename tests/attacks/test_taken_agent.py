"""Who has taken an agent has its certificate, and so may write to the topic of the results: whatever bytes it likes."""

import contextlib
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka import errors as kafka_errors
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

from tests.attacks.positions import LONG, TAKEN_AGENT
from tests.integration.stage import Stage, recent
from tests.waiting import wait_until
from webmon.check.result import CheckResult, encode
from webmon.kafka import client
from webmon.sink.writer import Writer

LAST = datetime.max.replace(tzinfo=UTC)


def changed(result: CheckResult, **fields: object) -> bytes:
    """Give a message with fields that no agent of ours would send."""
    return json.dumps(json.loads(encode(result)) | fields).encode()


@TAKEN_AGENT
def test_no_message_stops_a_sink_or_bends_a_report(stage: Stage) -> None:
    poison = [
        # Two that differ by a microsecond in the year 9999 were one context, and a sink stopped for ever.
        changed(recent(1), tls_not_after=LAST.isoformat()),
        changed(recent(2), tls_not_after=(LAST - timedelta(microseconds=1)).isoformat()),
        # `webmon status` looked back for ever, and sums had no place in their columns.
        *(changed(recent(10), interval=interval) for interval in (1e12, 3e38, -1, 0, 1e-300)),
        *(changed(recent(11), **{name: value}) for name in ("total_time", "response_time") for value in (3e38, -1)),
        changed(recent(12), phases={"tls": 3e38}),
        changed(recent(13), body_bytes=2**63),
        *(changed(recent(14), **{name: "a\0b"}) for name in ("target", "agent", "url", "error", "answer")),
        changed(recent(15), labels={"team": "a\0"}),
        changed(recent(16), remote_ip="not an address"),
        changed(recent(17), target="x" * 100_000),
        *(changed(recent(18), time=moment) for moment in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "now")),
        b"[" * 500_000,
        b"\xff" * 1000,
        b"",
    ]
    honest = [recent(number) for number in range(100, 150)]
    sink = stage.start_sink()
    stage.publish([*honest[:25], *poison, *honest[25:]])
    # The two with certificates are odd, and results.
    wait_until(lambda: stage.count() == len(honest) + 2, "all honest results stored", 60)
    assert len(stage.dead_letters(len(poison) - 2)) == len(poison) - 2
    assert sink.process.poll() is None
    assert "Traceback" not in sink.said()
    for command in (["status"], ["uptime"], ["incidents"], ["slowest"]):
        assert json.loads(stage.answer(*command, "--json")) or command == ["incidents"]


@TAKEN_AGENT
def test_names_and_texts_of_a_message_can_not_steer_a_terminal_or_forge_a_line(stage: Stage) -> None:
    escape = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\nDOWN  forged\u202e"
    stage.start_sink()
    now = datetime.now(UTC)
    stage.publish(
        [
            recent(1, target=f"t{escape}", agent=f"a{escape}", url=f"http://{escape}", error=f"e{escape}", time=now),
            recent(2),
        ]
    )
    wait_until(lambda: stage.count() == 2, "stored")
    text = stage.answer("status") + stage.answer("uptime") + stage.answer("slowest")
    assert "owned" in text
    assert not {"\x1b", "\x07", "\x9b", "\r", "\u202e"} & set(text)
    assert not any(line.startswith("DOWN  forged") for line in text.splitlines())


@TAKEN_AGENT
def test_two_results_of_one_moment_are_not_mixed_into_one(stage: Stage) -> None:
    store = Writer(stage.settings("sink").postgres)
    pairs = [(recent(number, answer=f"first {number}"), recent(number, error="second")) for number in range(40)]
    stored = store.store([result for pair in pairs for result in pair])
    store.close()
    assert (stored.added, stored.repeats) == (40, 40)
    texts = stage.sql("SELECT answer, error FROM {t_view} ORDER BY time")
    assert texts == [(first.answer, None) for first, _ in pairs]


@LONG
@TAKEN_AGENT
def test_thousands_of_messages_that_do_not_fit_hold_up_nobody(stage: Stage) -> None:
    sink = stage.start_sink()
    sink.wait_for_line("storing")
    # They decoded once, and were found out by the database, by halving: 7 ms each.
    poison = [changed(recent(number), error="a\0b", target=f"phantom {number}") for number in range(3000)]
    stage.publish([*poison, recent(1)])
    began = time.monotonic()
    wait_until(lambda: stage.count() == 1, "the honest one behind them stored", 30)
    assert time.monotonic() - began < 15
    wait_until(lambda: stage.committed() == 3001, "all passed")
    assert stage.sql("SELECT count(*) FROM {t_targets}") == [(1,)], "none of them left a name"


@TAKEN_AGENT
@pytest.mark.parametrize(
    "attempt",
    [
        lambda admin, stage: admin.delete_topics([stage.topic]),
        lambda admin, stage: admin.create_topics(
            {f"{stage.topic}.more": {"num_partitions": 1, "replication_factor": 1}}
        ),
        lambda admin, stage: admin.create_partitions({stage.topic: 50}),
        lambda admin, stage: admin.delete_groups([stage.topic]),
        lambda admin, stage: admin.alter_configs(
            [ConfigResource(ConfigResourceType.TOPIC, stage.topic, configs={"retention.ms": "1000"})],
            incremental=True,
            raise_on_unknown=False,
        ),
        lambda admin, stage: admin.create_acls(
            [
                ACL(
                    "User:webmon-agent",
                    "*",
                    ACLOperation.ALL,
                    ACLPermissionType.ALLOW,
                    ResourcePattern(ResourceType.TOPIC, stage.topic, ACLResourcePatternType.LITERAL),
                )
            ]
        ),
    ],
    ids=["delete the topic", "make one", "grow it", "delete the group", "drop what is old", "give itself rights"],
)
def test_it_administers_nothing(shared_stage: Stage, attempt: Callable[[Any, Stage], Any]) -> None:
    ours = shared_stage.kafka_settings("agent")
    with contextlib.closing(KafkaAdminClient(**client.admin_args(ours))) as admin:
        try:
            told = str(attempt(admin, shared_stage))
        except kafka_errors.KafkaError as error:
            told = f"{type(error).__name__} {error}"
    assert "uthorization" in told or "error_code': 29" in told or "error_code': 30" in told, told
    with shared_stage.admin() as admin:
        assert shared_stage.topic in admin.list_topics()
        assert f"{shared_stage.topic}.more" not in admin.list_topics()


@LONG
@TAKEN_AGENT
def test_a_batch_of_the_largest_messages_is_passed(stage: Stage) -> None:
    sink = stage.start_sink()
    stage.publish([b'{"target": "' + b"x" * 900_000 + b'"}' for _ in range(60)])
    stage.publish([recent()])
    wait_until(lambda: stage.count() == 1, "the honest one stored", 60)
    wait_until(lambda: stage.committed() == 61, "all passed", 60)
    assert sink.process.poll() is None

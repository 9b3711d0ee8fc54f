"""What the sink stores, on a real broker and a real database."""

import contextlib
import json
import random
import signal
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from kafka import KafkaConsumer
from kafka.protocol.consumer import JoinGroupRequest

from tests.integration.proxy import relay
from tests.integration.stage import SINK_PASSWORD, Stage, recent
from tests.waiting import wait_until
from webmon.check.result import Outcome, Phases, encode
from webmon.kafka import client
from webmon.sink.writer import Writer


def test_a_result_is_stored_as_it_was_measured(stage: Stage) -> None:
    moment = datetime.now(UTC).replace(microsecond=123456)
    result = recent(
        target="shop",
        url="https://shop.example/",
        labels={"team": "payments"},
        agent="vantage1",
        time=moment,
        scheduled_at=moment - timedelta(seconds=0.5),
        outcome=Outcome.BODY_MISMATCH,
        error='no match:\ta "tab",\na line, a \\backslash and ü',
        http_status=404,
        response_time=0.25,
        phases=Phases(dns=0.125, connect=0.0625, tls=0.5, first_byte=0.03125, transfer=0.75),
        total_time=1.5,
        regex_match=False,
        body_bytes=1234,
        body_truncated=True,
        redirects=2,
        http_version="1.1",
        remote_ip="2001:db8::7",
        tls_version="TLSv1.3",
        tls_not_after=moment + timedelta(days=30),
    )
    stage.start_sink()
    stage.publish([result])
    wait_until(lambda: stage.count() == 1, "the result stored")
    columns = "time, web_url, http_status, resp_time, regex_match, agent, outcome, error"
    row = (moment, "https://shop.example/", 404, 0.25, False, "vantage1", "body_mismatch", result.error)
    assert stage.sql(f"SELECT {columns} FROM {{t_view}}") == [row]  # noqa: S608
    assert stage.sql("SELECT * FROM {t_view}")[0][: len(row)] == row
    columns = "target, labels, interval, delay, total_time, dns, connect, tls, first_byte, transfer, body_bytes"
    assert stage.sql(f"SELECT {columns} FROM {{t_view}}") == [  # noqa: S608
        ("shop", {"team": "payments"}, 60.0, 0.5, 1.5, 0.125, 0.0625, 0.5, 0.03125, 0.75, 1234)
    ]
    columns = "body_truncated, redirects, http_version, host(remote_ip), tls_version, tls_not_after"
    assert stage.sql(f"SELECT {columns} FROM {{t_view}}") == [  # noqa: S608
        (True, 2, "1.1", "2001:db8::7", "TLSv1.3", moment + timedelta(days=30))
    ]


def test_an_answer_is_stored_and_seen_in_the_views_and_a_message_of_the_first_schema_still_is(stage: Stage) -> None:
    answer = 'a "b" \\N \\. ü, 192.0.2.1'
    of_dns = {"url": "dns://192.0.2.53/example.org", "kind": "dns", "answer": answer, "http_status": None}
    of_the_first = json.loads(encode(recent(1, target="shop", agent="a")))
    del of_the_first["kind"], of_the_first["answer"]
    stage.start_sink()
    stage.publish([recent(0, target="name", agent="a", **of_dns)])
    stage.publish([json.dumps(of_the_first).encode()], headers=[("schema", b"1")])
    wait_until(lambda: stage.count() == 2, "both stored")
    seen = [("name", "dns", answer, None), ("shop", "https", None, 200)]
    for view in ("view", "latest"):
        found = stage.sql(f"SELECT target, kind, answer, http_status FROM {{t_{view}}} ORDER BY target")  # noqa: S608
        assert found == seen


@pytest.mark.parametrize("autocommit", ["True", "False"])
def test_a_repeated_batch_changes_nothing(stage: Stage, autocommit: str) -> None:
    settings = stage.settings("sink", POSTGRES_AUTOCOMMIT=autocommit).postgres
    results = [recent(number, error="broken" if number % 2 else None) for number in range(100)]
    store = Writer(settings)
    first = store.store([*results[:60], *results[:10]])
    assert (first.added, first.repeats) == (60, 10)
    again = store.store(results)
    assert (again.added, again.repeats) == (40, 60)
    store.close()
    after_restart = Writer(settings)
    assert after_restart.store(list(reversed(results))).added == 0
    after_restart.close()
    assert stage.count() == 100
    assert stage.sql("SELECT count(*) FROM {t_errors}") == [(50,)]
    assert stage.sql("SELECT count(*) FROM {t_targets}") == [(7,)]


@pytest.mark.parametrize("autocommit", ["True", "False"])
def test_rows_that_the_database_refuses_do_not_take_others_with_them(stage: Stage, autocommit: str) -> None:
    results = [recent(number) for number in range(50)]
    results[7] = recent(7, error="a\0b")
    results[8] = recent(8, target="never\0seen")
    results[30] = recent(30, labels={"a": "\0"}, target="labelled")
    results[41] = recent(41, answer="220 \0")
    results[49] = recent(49, interval=1e300)
    store = Writer(stage.settings("sink", POSTGRES_AUTOCOMMIT=autocommit).postgres)
    stored = store.store(results)
    store.close()
    assert [place for place, _ in stored.refused] == [7, 8, 30, 41, 49]
    assert all(reason and "\n" not in reason for _, reason in stored.refused)
    assert (stored.added, stored.repeats) == (45, 0)
    numbers = {(result.target, result.time) for place, result in enumerate(results) if place not in (7, 8, 30, 41, 49)}
    stored_rows = stage.sql("SELECT target, time FROM {t_view}")
    assert set(stored_rows) == numbers


def test_a_target_that_came_with_a_refused_row_is_there_for_the_others(stage: Stage) -> None:
    store = Writer(stage.settings("sink", POSTGRES_AUTOCOMMIT="False").postgres)
    stored = store.store([recent(0, target="new"), recent(1, target="new", agent="a\0b")])
    store.close()
    assert (stored.added, len(stored.refused)) == (1, 1)
    assert stage.sql("SELECT count(*) FROM {t_view}") == [(1,)]


def test_an_older_result_that_comes_late_does_not_set_a_description_back(stage: Stage) -> None:
    store = Writer(stage.settings("sink").postgres)
    store.store([recent(700, target="shop", url="https://new.example/")])
    store.store([recent(0, target="shop", url="https://old.example/")])
    store.close()
    assert stage.sql("SELECT url FROM {t_targets}") == [("https://new.example/",)]
    assert stage.count() == 2


def test_sinks_that_store_the_same_rows_at_once_store_each_once(stage: Stage) -> None:
    results = [recent(number, error="x") for number in range(3000)]
    batches = [results, list(reversed(results)), results[1000:] + results[:1000]]
    added: list[int] = []

    stores = [Writer(stage.settings("sink", POSTGRES_AUTOCOMMIT=mode).postgres) for mode in ("True", "False", "True")]

    def work(part: int) -> None:
        store = stores[part]
        added.extend(store.store(batches[part][start : start + 500]).added for start in range(0, 3000, 500))
        store.close()

    threads = [threading.Thread(target=work, args=(part,)) for part in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(added) == 18
    assert sum(added) == 3000
    assert stage.count() == 3000


def test_certificates_that_end_a_microsecond_apart_are_told_apart(stage: Stage) -> None:
    last = datetime.max.replace(tzinfo=UTC)
    ends = [last, last - timedelta(microseconds=1), last.replace(microsecond=0)]
    store = Writer(stage.settings("sink").postgres)
    stored = store.store([recent(number, tls_not_after=end) for number, end in enumerate(ends)])
    store.close()
    assert (stored.added, stored.refused) == (3, [])
    assert sorted(end for (end,) in stage.sql("SELECT tls_not_after FROM {t_view}")) == sorted(ends)


def test_what_cannot_be_stored_goes_to_the_dead_letters_and_the_rest_is_stored(stage: Stage) -> None:
    now = datetime.now(UTC)

    def at(days: int) -> dict[str, datetime]:
        return {"time": now + timedelta(days=days), "scheduled_at": now + timedelta(days=days)}

    plain = encode(recent(1))
    poison: dict[bytes | None, str] = {
        b"{not json": "JSON is malformed",
        b"\xff\xfe": "JSON is malformed",
        b"[]": "Expected `object`",
        None: "no value",
        plain.replace(b'"up"', b'"sideways"'): "sideways",
        plain.replace(b'"interval":60.0', b'"interval":"60"'): "Expected `float`, got `str`",
        plain.replace(b'"agent":', b'"vantage":'): "missing required field `agent`",
        plain.replace(b'"interval":60.0', b'"interval":NaN'): "JSON is malformed",
        plain.replace(b'"site1"', b'"site\\ud800"'): "surrogate",
        b'{"x": ' + b"[" * 50_000: "recursion",
        encode(recent(7, agent="x" * 201)): "length <= 200",
        plain.replace(b'"interval":60.0', b'"interval":1e12'): "Expected `float` <= 86400.0",
        plain.replace(b'"interval":60.0', b'"interval":1e999'): "",
        encode(recent(8, remote_ip="nowhere")): "not an address",
        encode(recent(2, error="a\0b")): "0x00",
        encode(recent(3, **at(-400))): "is not between 366 days ago",
        encode(recent(4, **at(1))): "30 s after Kafka got it",
        # Noise in it, or it would unpack to more than a batch may.
        b'{"target":"' + random.randbytes(300_000).hex().encode() + b'"}': "length <= 8000",
    }
    good = [recent(number) for number in range(100, 130)]
    producer = stage.producer()
    stage.publish([*good[:15], *poison, *good[15:]], producer=producer)
    stage.publish([encode(recent(5))], producer=producer, headers=[("schema", b"3")])
    poison[encode(recent(5))] = "schema 3 is not known here"
    sink = stage.start_sink()
    wait_until(lambda: stage.count() == 30, "the good ones stored")
    letters = stage.dead_letters(len(poison))
    reasons = {letter.value: dict(letter.headers)["webmon-reason"].decode() for letter in letters}
    assert reasons.keys() == poison.keys()
    assert {value: reason for value, reason in poison.items() if reason not in reasons[value]} == {}, reasons
    for letter in letters:
        said = dict(letter.headers)
        assert said["webmon-topic"] == stage.topic.encode()
        assert said["webmon-partition"].isdigit()
        assert said["webmon-offset"].isdigit()
        assert said["schema"] == (b"3" if "schema" in said["webmon-reason"].decode() else b"2")
    assert len(
        {(dict(letter.headers)["webmon-partition"], dict(letter.headers)["webmon-offset"]) for letter in letters}
    ) == len(poison)
    wait_until(lambda: stage.committed() == 30 + len(poison), "all offsets committed")
    assert "sideways" in sink.said()


def test_a_dead_letter_that_its_topic_finds_too_large_is_cut_and_says_so(stage: Stage) -> None:
    dead_letters = f"{stage.topic}.dead-letters"
    stage.limit_messages(dead_letters, 150_000)
    junk = random.randbytes(300_000)
    stage.publish([junk, recent()])
    stage.start_sink()
    (letter,) = stage.dead_letters(1)
    assert letter.value == junk[:100_000]
    assert dict(letter.headers)["webmon-cut-from"] == b"300000"
    wait_until(lambda: stage.committed() == 2, "no message holds up the others")


def test_a_sink_that_is_killed_loses_and_doubles_nothing(stage: Stage) -> None:
    producer = stage.producer()
    results = [recent(number) for number in range(4000)]
    for start in (0, 2000):
        sink = stage.start_sink(SINK_BATCH_SIZE="100")
        sink.wait_for_line("storing")
        stage.publish(results[start : start + 2000], producer=producer)
        wait_until(lambda start=start: stage.count() > start, "some of them stored")  # type: ignore[misc]
        sink.stop(signal.SIGKILL)
    last = stage.start_sink()
    wait_until(lambda: stage.count() == 4000, "all stored", 60)
    wait_until(lambda: stage.committed() == 4000, "all offsets committed")
    assert last.stop() < 5


def test_two_sinks_share_the_partitions_and_one_takes_over_from_the_other(stage: Stage) -> None:
    first, second = stage.start_sink(), stage.start_sink()
    for sink in (first, second):
        sink.wait_for_line("storing")
    producer = stage.producer()
    stage.publish([recent(number) for number in range(200)], producer=producer)
    wait_until(lambda: stage.count() == 200, "all stored by both")
    first.stop()
    stage.publish([recent(number) for number in range(200, 400)], producer=producer)
    wait_until(lambda: stage.count() == 400, "all stored by the other")
    assert second.process.poll() is None


def test_a_database_that_is_away_is_waited_for_and_said_once_each_way(stage: Stage) -> None:
    with relay(stage.services.postgres_host, stage.services.postgres_port) as way:
        sink = stage.start_sink(POSTGRES_HOST="127.0.0.1", POSTGRES_PORT=str(way.port), POSTGRES_SSL="verify-ca")
        producer = stage.producer()
        stage.publish([recent(0)], producer=producer)
        wait_until(lambda: stage.count() == 1, "the first stored")
        member = stage.members().keys()
        way.refuse()
        stage.publish([recent(number) for number in range(1, 500)], producer=producer)
        sink.wait_for_line("waiting for the database")
        # Longer than a few tries take, so that each could have said it anew.
        threading.Event().wait(6)
        assert stage.members().keys() == member, "it left the group"
        way.open()
        wait_until(lambda: stage.count() == 500, "all stored after the outage", 40)
    assert sink.said().count("] waiting for the database") + sink.said().count(" waiting for the database:") == 1
    assert sink.said().count("no longer waiting for the database") == 1
    assert "Traceback" not in sink.said()


def test_sigterm_ends_a_sink_whose_database_hangs_within_20_s(stage: Stage) -> None:
    with relay(stage.services.postgres_host, stage.services.postgres_port) as way:
        sink = stage.start_sink(POSTGRES_HOST="127.0.0.1", POSTGRES_PORT=str(way.port), POSTGRES_SSL="verify-ca")
        sink.wait_for_line("storing")
        way.hold()
        stage.publish([recent(0)])
        threading.Event().wait(2)
        assert sink.stop() < 20
        assert sink.process.returncode == 0
    assert stage.count() == 0
    stage.start_sink()
    wait_until(lambda: stage.count() == 1, "given back, and stored by the next")


@pytest.mark.apart
def test_kafka_away_is_waited_for_and_said_once_each_way(stage: Stage) -> None:
    sink = stage.start_sink()
    sink.wait_for_line("storing")
    stage.services.stop_broker()
    try:
        sink.wait_for_line("waiting for Kafka", 40)
    finally:
        stage.services.start_broker()
    sink.wait_for_line("no longer waiting for Kafka", 60)
    stage.publish([recent(number) for number in range(50)])
    wait_until(lambda: stage.count() == 50, "all stored after the outage", 40)
    wait_until(lambda: stage.committed() == 50, "all offsets committed", 20)
    assert sink.said().count("waiting for Kafka: ") == 1
    assert "Traceback" not in sink.said()


def test_a_join_that_ends_while_nobody_polls_gives_a_member_its_partitions(stage: Stage) -> None:
    """As on a busy host: a poll ends before the group has answered, and that comes while something else is asked."""
    member = KafkaConsumer(**client.consumer_args(stage.kafka_settings("sink")))
    with contextlib.closing(member):
        member.subscribe([stage.topic])
        wait_until(lambda: member.poll(timeout_ms=100) is not None and len(member.assignment()) == 3, "what there is")
        with stage.admin() as admin:
            admin.create_partitions({stage.topic: 7})
        send = member._coordinator._manager.send

        async def late(answer: Any) -> Any:
            found = await answer
            await member._net.sleep(0.2)
            return found

        def send_slowly(request: Any, *arguments: Any, **named: Any) -> Any:
            answer = send(request, *arguments, **named)
            is_join = isinstance(request, JoinGroupRequest)
            return member._net.call_soon_with_future(late, answer) if is_join else answer

        member._coordinator._manager.send = send_slowly

        def has_all() -> bool:
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                member.topics()
            member.poll(timeout_ms=0)
            return len(member.assignment()) == 7

        wait_until(has_all, "those that are new, too")


@pytest.mark.apart
def test_a_sink_that_is_let_into_its_group_before_it_may_see_the_topic_reads_it_all_the_same(stage: Stage) -> None:
    """As where the only broker was lost: nobody knows of the group, and rights come one after the other."""
    sink = stage.start_sink()
    stage.publish([recent(0)])
    wait_until(lambda: stage.count() == 1, "the first")
    for what in ("topic", "group"):
        stage.let_read(what, False)
    stage.services.stop_broker()
    stage.services.start_broker()
    sink.wait_for_line("waiting for Kafka to let us read", 60)
    wait_until(lambda: len(stage.members()) == 0, "that Kafka forgets it", 40)
    stage.let_read("group", True)
    wait_until(lambda: len(stage.members()) == 1, "that it is in its group again", 40)
    # By then it has looked for the topic, and comes to it by itself alone.
    threading.Event().wait(3)
    stage.let_read("topic", True)
    stage.publish([recent(number) for number in range(1, 20)])
    wait_until(lambda: stage.count() == 20, "all of it", 60)
    assert sink.process.poll() is None


def test_a_sink_started_before_its_neighbours_waits_for_them(stage: Stage) -> None:
    stage.publish([recent(0)])
    with relay(stage.services.postgres_host, stage.services.postgres_port) as way:
        way.refuse()
        sink = stage.start_sink(POSTGRES_HOST="127.0.0.1", POSTGRES_PORT=str(way.port), POSTGRES_SSL="verify-ca")
        sink.wait_for_line("waiting for the database")
        way.open()
        wait_until(lambda: stage.count() == 1, "stored once the database is there")
    sink.stop()


def test_systemd_is_told_ready_status_and_that_we_are_alive(stage: Stage) -> None:
    address = stage.directory / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(0.2)
        told: list[str] = []

        def heard(text: str) -> bool:
            with contextlib.suppress(TimeoutError):
                told.append(manager.recv(4096).decode())
            return any(text in message for message in told)

        sink = stage.start_sink(notify_socket=address)
        wait_until(lambda: heard("READY=1"), "READY")
        stage.publish([recent(number) for number in range(3)])
        wait_until(lambda: heard("STATUS=3 rows stored, 0 repeats, 0 dead letters, 0 waiting"), "STATUS with counts")
        before = len(told)
        wait_until(lambda: heard("no such text") or len(told) >= before + 5, "signs of life every half second", 5)
        assert all("WATCHDOG=1" in message for message in told[before:])
        sink.stop()
        wait_until(lambda: heard("STOPPING=1"), "STOPPING")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"POSTGRES_PASSWORD": "wrong-4711"}, "POSTGRES_PASSWORD"),
        ({"POSTGRES_DATABASE": "no_such_database"}, "POSTGRES_DATABASE"),
        ({"POSTGRES_TABLE": "no_such_table"}, "POSTGRES_TABLE"),
        ({"KAFKA_TOPIC_NAME": "no-such-topic"}, "READ topic no-such-topic"),
        ({"KAFKA_GROUP_ID": "no-such-group"}, "as group no-such-group"),
    ],
)
def test_what_waiting_will_not_mend_ends_a_start_with_one_line(
    shared_stage: Stage, changes: dict[str, str], told: str
) -> None:
    done = shared_stage.run("sink", **changes)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("webmon: ")
    assert told in done.stderr
    assert SINK_PASSWORD not in done.stderr
    assert "wrong-4711" not in done.stderr


def test_a_database_without_our_schema_ends_a_start_with_one_line(bare_stage: Stage) -> None:
    bare_stage.init()
    bare_stage.sql("DELETE FROM {t_migrations}")
    done = bare_stage.run("sink")
    assert done.returncode == 2
    assert "`webmon init`" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_status_tells_state_vantages_and_age_and_json_for_programs(stage: Stage) -> None:
    now = datetime.now(UTC)

    def at(seconds: float) -> dict[str, datetime]:
        moment = now - timedelta(seconds=seconds)
        return {"time": moment, "scheduled_at": moment}

    refused = {"outcome": Outcome.CONNECT_ERROR, "error": "refused", "http_status": None, "response_time": None}
    store = Writer(stage.settings("sink").postgres)
    store.store(
        [
            recent(target="fine", agent="a", **at(10)),
            recent(target="fine", agent="b", **at(20), response_time=0.5),
            recent(target="gone", agent="a", **at(10), **refused),
            recent(target="gone", agent="b", **at(12), **refused),
            recent(target="half", agent="a", **at(10)),
            recent(target="half", agent="b", **at(15), **refused),
            recent(target="half", agent="b", **at(75)),
            recent(target="ours", agent="a", **at(10), outcome=Outcome.AGENT_ERROR, error="no route from here"),
            recent(target="silent", agent="a", url="smtp://mail", answer="220 mail", http_status=None, **at(600)),
        ]
    )
    store.close()
    stage.sql(
        "INSERT INTO {t_targets} (target, url, described_at, first_seen, last_seen)"
        " VALUES ('unseen', 'https://unseen/', now(), now(), now())"
    )
    text = stage.status()
    assert "\033" not in text
    lines = {line.split("  ")[0].strip(): line for line in text.splitlines()}
    assert list(lines) == ["STATE", "DOWN", "degraded", "stale", "no data", "up"]
    assert "a connect_error, b connect_error  refused" in lines["DOWN"]
    assert "a up, b connect_error" in lines["degraded"]
    assert "10 min" in lines["stale"]
    assert "500 ms" in lines["up"]
    documents = {document["target"]: document for document in json.loads(stage.status("--json"))}
    states = {target: document["state"] for target, document in documents.items()}
    assert states == {
        "gone": "DOWN",
        "half": "degraded",
        "silent": "stale",
        "ours": "no data",
        "unseen": "no data",
        "fine": "up",
    }
    assert [vantage["outcome"] for vantage in documents["half"]["vantages"]] == ["up", "connect_error"]
    assert 10 <= documents["fine"]["age"] < 60
    for target, kind, came in (("silent", "smtp", (None, "220 mail")), ("fine", "https", (200, None))):
        seen = documents[target]["vantages"][0]
        assert (documents[target]["kind"], (seen["http_status"], seen["answer"])) == (kind, came)

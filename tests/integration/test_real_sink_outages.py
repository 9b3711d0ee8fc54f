"""The sink through outages of its neighbours and ends of its own: nothing lost, nothing doubled, little used."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.integration.proxy import relay
from tests.integration.stage import SINK_PASSWORD, Program, Stage, recent
from tests.waiting import wait_until
from webmon.kafka import client
from webmon.kafka.decode import Unreadable
from webmon.kafka.reach import KafkaAwayError
from webmon.settings import SinkSettings
from webmon.sink import dead_letters, run
from webmon.sink.consumer import BatchConsumer
from webmon.sink.state import State
from webmon.sink.writer import Writer
from webmon.store.postgres import DatabaseAwayError

pytestmark = pytest.mark.apart

FROZEN_SECS = 30
SPUN_SECS = 15
"""For so long kafka-python's own client takes a core, until its request has timed out."""
MOST_CORES = 0.12
"""An idle sink takes some 0.02 of one."""


def cpu_seconds(program: Program) -> float:
    ticks = Path(f"/proc/{program.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


def test_a_frozen_broker_is_noticed_told_once_each_way_and_costs_no_core(stage: Stage) -> None:
    stays, goes = stage.start_sink(), stage.start_sink()
    for sink in (stays, goes):
        sink.wait_for_line("storing")
    producer = stage.producer()
    stage.publish([recent(number) for number in range(100)], producer=producer)
    wait_until(lambda: stage.committed() == 100, "all stored")
    with stage.services.frozen_broker():
        began, used = time.monotonic(), cpu_seconds(stays)
        time.sleep(SPUN_SECS)
        cores = (cpu_seconds(stays) - used) / (time.monotonic() - began)
        stays.wait_for_line("waiting for Kafka", 20)
        goes.wait_for_line("waiting for Kafka", 20)
        assert goes.stop() < 20
        assert goes.process.returncode == 0
        time.sleep(max(0.0, FROZEN_SECS - (time.monotonic() - began)))
    stays.wait_for_line("no longer waiting for Kafka", 30)
    stage.publish([recent(number) for number in range(100, 200)])
    wait_until(lambda: stage.count() == 200, "all stored after the outage", 40)
    assert cores < MOST_CORES
    assert stays.said().count("waiting for Kafka: ") == 1
    assert stays.said().count("no longer waiting for Kafka") == 1
    assert "Traceback" not in stays.said() + goes.said()


def test_a_letter_that_a_frozen_broker_does_not_take_leaves_no_producer_behind(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = SimpleNamespace(topic=stage.topic, partition=0, offset=0, key=b"k", value=b"v", headers=[])
    letters = dead_letters.DeadLetters(stage.kafka_settings("sink"))
    threads = set(threading.enumerate())
    letters.send([Unreadable(record, "first")])
    with stage.services.frozen_broker():
        with monkeypatch.context() as frozen:
            frozen.setattr(dead_letters, "ACKNOWLEDGE_SECS", 1.0)
            with pytest.raises(KafkaAwayError):
                letters.send([Unreadable(record, "second")])
        wait_until(lambda: set(threading.enumerate()) <= threads, "no thread of a producer", 5)
    letters.send([Unreadable(record, "second")])
    letters.close()
    assert {dict(one.headers)["webmon-reason"] for one in stage.dead_letters(2)} == {b"first", b"second"}


@pytest.fixture
def short_poll_interval(monkeypatch: pytest.MonkeyPatch) -> float:
    """Kafka takes a consumer that does not poll for so many seconds, instead of 300, for dead."""
    usual = client.consumer_args
    short = {"max_poll_interval_ms": 6000, "session_timeout_ms": 6000}
    monkeypatch.setattr(client, "consumer_args", lambda settings: usual(settings) | short)
    return 6.0


def bytes_read() -> int:
    """Give what this process has read of files and sockets."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_a_sink_that_waits_stays_a_member_and_fetches_nothing(stage: Stage, short_poll_interval: float) -> None:
    settings: SinkSettings = stage.settings("sink")
    stage.publish([os.urandom(900_000) for _ in range(20)])
    consumer = BatchConsumer(settings.kafka, settings.sink)
    consumer.join()
    first = consumer.poll() or consumer.poll()
    consumer.idle()
    before, read = stage.members(), bytes_read()
    assert len(before) == 1
    until = time.monotonic() + 1.5 * short_poll_interval
    while time.monotonic() < until:
        consumer.idle()
    assert bytes_read() - read < 200_000
    assert stage.members() == before
    seen = {(record.partition, record.offset) for record in first}

    def has_all() -> bool:
        seen.update((record.partition, record.offset) for record in consumer.poll())
        return len(seen) == 20

    wait_until(has_all, "none left out")
    consumer.close()


def test_a_batch_of_large_messages_closes_before_it_takes_the_memory(stage: Stage) -> None:
    settings: SinkSettings = stage.settings("sink", SINK_BATCH_SECS="30")
    stage.publish([os.urandom(900_000) for _ in range(40)])
    consumer = BatchConsumer(settings.kafka, settings.sink)
    consumer.join()
    batches: list[list[Any]] = []

    def has_two() -> bool:
        batches.extend(filter(None, [consumer.poll()]))
        return len(batches) >= 2

    wait_until(has_two, "two batches long before their time", 20)
    consumer.close()
    for batch in batches:
        assert 16e6 < sum(len(record.value) for record in batch) < 32e6


def test_a_full_disk_is_waited_for(stage: Stage) -> None:
    """The server's answer (53100) comes of a trigger here; a tablespace that is really full gives the same."""
    stage.sql(
        "CREATE OR REPLACE FUNCTION full_disk_of_a_test() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file: No space left on device'; END $$"
    )
    stage.sql("CREATE TRIGGER full_disk BEFORE INSERT ON {t} FOR EACH ROW EXECUTE FUNCTION full_disk_of_a_test()")
    sink = stage.start_sink()
    stage.publish([recent(number) for number in range(20)])
    sink.wait_for_line("waiting for the database: ")
    assert "No space left on device" in sink.said()
    stage.sql("DROP FUNCTION full_disk_of_a_test() CASCADE")
    wait_until(lambda: stage.count() == 20, "all stored once there is room")
    sink.wait_for_line("no longer waiting for the database")
    assert "dead letter:" not in sink.said()


def test_sessions_that_are_terminated_all_the_time_lose_and_double_nothing(stage: Stage) -> None:
    sink = stage.start_sink(SINK_BATCH_SIZE="50")
    sink.wait_for_line("storing")
    done = threading.Event()
    ended = 0

    def terminate() -> None:
        nonlocal ended
        with stage.database(stage.roles[0], SINK_PASSWORD) as cursor:
            while not done.wait(0.3):
                cursor.execute(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE usename = current_user AND pid <> pg_backend_pid()"
                )
                ended += cursor.fetchone()[0]

    killer = threading.Thread(target=terminate)
    killer.start()
    try:
        stage.publish([recent(number, error="x") for number in range(1500)])
        wait_until(lambda: ended >= 4, "sessions ended", 60)
    finally:
        done.set()
        killer.join()
    wait_until(lambda: stage.count() == 1500, "all stored", 60)
    assert stage.sql("SELECT count(*) FROM {t_errors}") == [(1500,)]
    assert "Traceback" not in sink.said()
    assert sink.process.poll() is None


def test_a_database_that_is_stopped_in_a_statement_is_given_up(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernel still answers, so neither TCP nor the server's own bound of a statement ends the wait."""
    monkeypatch.setattr(run, "_SILENT_SECS", 1.5)
    with relay(stage.services.postgres_host, stage.services.postgres_port) as way:
        settings = stage.settings(
            "sink", POSTGRES_HOST="127.0.0.1", POSTGRES_PORT=str(way.port), POSTGRES_SSL="verify-ca"
        )
        stop, state = threading.Event(), State()
        store = Writer(settings.postgres, tick=state.tick)
        store.store([recent(0)])
        watcher = threading.Thread(target=run.watch_database, args=(store, state, stop))
        watcher.start()
        way.hold()
        began = time.monotonic()
        with pytest.raises(DatabaseAwayError):
            store.store([recent(1)])
        assert 1 < time.monotonic() - began < 10
        stop.set()
        watcher.join()
        store.close()


def test_what_a_dead_sink_had_stored_and_not_told_the_group_is_a_repeat(stage: Stage) -> None:
    """As after a SIGKILL between the two commits."""
    results = [recent(number, error="x") for number in range(300)]
    store = Writer(stage.settings("sink").postgres)
    store.store(results)
    store.close()
    stage.publish(results)
    sink = stage.start_sink()
    wait_until(lambda: stage.committed() == 300, "all offsets committed")
    sink.stop()
    assert "0 rows stored, 300 repeats, 0 dead letters" in sink.said()
    assert stage.count() == 300
    assert stage.sql("SELECT count(*) FROM {t_errors}") == [(300,)]


def test_a_sink_that_was_stopped_past_its_session_does_no_harm_and_joins_again(stage: Stage) -> None:
    zombie = stage.start_sink(SINK_BATCH_SIZE="20")
    zombie.wait_for_line("storing")
    producer = stage.producer()
    stage.publish([recent(number) for number in range(2000)], producer=producer)
    wait_until(lambda: stage.count() > 100, "it is at work")
    zombie.process.send_signal(signal.SIGSTOP)
    before = set(stage.members())
    other = stage.start_sink()
    wait_until(lambda: stage.count() == 2000, "the other does its work", 40)
    zombie.process.send_signal(signal.SIGCONT)
    stage.publish([recent(number) for number in range(2000, 2500)], producer=producer)
    wait_until(lambda: len(stage.members()) == 2 and not before & set(stage.members()), "two members, none of old", 40)
    wait_until(lambda: stage.count() == 2500, "all stored")
    wait_until(lambda: stage.committed() == 2500, "all offsets committed", 20)
    for sink in (zombie, other):
        assert sink.process.poll() is None
        assert "Traceback" not in sink.said()


@pytest.fixture
def steadily(stage: Stage) -> Iterator[Callable[[], int]]:
    """Publish 50 results a second to all partitions; gives how many there are."""
    producer = stage.producer()
    done, count = threading.Event(), 0

    def publish() -> None:
        nonlocal count
        while not done.wait(0.1):
            stage.publish([recent(number) for number in range(count, count + 5)], producer=producer)
            count += 5

    thread = threading.Thread(target=publish)
    thread.start()
    yield lambda: count
    done.set()
    thread.join()


def test_the_restart_of_one_sink_does_not_stop_the_other(stage: Stage, steadily: Callable[[], int]) -> None:
    settings: SinkSettings = stage.settings("sink")
    other = stage.start_sink()
    other.wait_for_line("storing")
    consumer = BatchConsumer(settings.kafka, settings.sink)
    consumer.join()
    had = [consumer.partitions()]
    read: list[tuple[int, int]] = []
    longest, last = 0.0, time.monotonic()

    def work_until(condition: Callable[[], bool], seconds: float = 30) -> None:
        """Read without telling the group, so that a partition that is taken and given again is read anew."""
        nonlocal longest, last
        until = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < until, had
            if batch := consumer.poll():
                read.extend((record.partition, record.offset) for record in batch)
                longest, last = max(longest, time.monotonic() - last), time.monotonic()
            if consumer.partitions() != had[-1]:
                had.append(consumer.partitions())

    work_until(lambda: len(read) > 20)
    other.process.send_signal(signal.SIGTERM)
    work_until(lambda: len(had[-1]) == 3)
    read.clear()
    work_until(lambda: len(read) > 20)
    other = stage.start_sink()
    work_until(lambda: len(had[-1]) < 3 and "storing" in other.said())
    count = len(read)
    work_until(lambda: len(read) > count + 20)
    consumer.close()
    assert all(had), "it had no partition for a while"
    of_kept = [place for place in read if place[0] in had[-1]]
    assert len(of_kept) == len(set(of_kept)), "it had to begin anew"
    assert longest < 5

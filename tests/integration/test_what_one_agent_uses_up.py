"""What an agent that was taken may use up: nothing of the others. Tried on a real broker and a real database."""

import contextlib
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import kafka.codec
import pytest
from kafka import KafkaProducer
from kafka.record import default_records

from tests.integration.stage import Program, Stage, recent
from tests.waiting import wait_until
from webmon.check.result import encode, headers
from webmon.kafka import client
from webmon.sink import allowance
from webmon.sink.writer import Writer

pytestmark = pytest.mark.apart


class NoText(str):
    """A name that a client of one's own sends as it likes."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        """Give what is no UTF-8."""
        return b"\xff\xfe"


def lz4(content: bytes) -> bytes:
    """Pack what has 9,000 zeros in it by LZ4: a broker unpacks it, and no agent of ours can."""

    def count(number: int) -> bytes:
        return bytes([255] * ((number - 15) // 255) + [(number - 15) % 255]) if number >= 15 else b""

    begin = content.index(bytes(9000)) + 1
    rest = content[begin + 8999 :]
    block = bytes([min(begin, 15) << 4 | 15]) + count(begin) + content[:begin] + b"\x01\x00" + count(8999 - 4)
    block += bytes([min(len(rest), 15) << 4]) + count(len(rest)) + rest
    return bytes.fromhex("04224d18604082") + len(block).to_bytes(4, "little") + block + bytes(4)


@contextlib.contextmanager
def producer(stage: Stage, packing: str) -> Iterator[Any]:
    """Give a producer of an agent, that packs by something else than ours."""
    arguments = client.producer_args(stage.kafka_settings("agent")) | {"compression_type": packing}
    made = KafkaProducer(**arguments, max_request_size=64_000_000)
    try:
        yield made
    finally:
        made.close(timeout=5)


def send(stage: Stage, made: Any, value: bytes, **more: Any) -> Any:
    """Send a message to the first partition; give where it stands."""
    return made.send(stage.topic, value=value, partition=0, **({"headers": headers()} | more)).get(timeout=20)


def peak_of(sink: Program) -> int:
    """Give the most memory that a sink had, in MB."""
    status = Path(f"/proc/{sink.process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) // 1024


def test_batches_that_unpack_to_gigabytes_or_cannot_be_read_stop_no_sink(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[int, str] = {}
    for packing in ("gzip", "zstd"):
        with producer(stage, packing) as made:
            for _ in range(8):
                told[send(stage, made, bytes(40_000_000)).offset] = "unpacks to more than"
    with producer(stage, "gzip") as made:
        told[send(stage, made, encode(recent(1)), headers=[(NoText("x"), b"")]).offset] = "utf-8"
        told[send(stage, made, encode(recent(2)), headers=[("", b"")] * 150_000).offset] = "150000 headers"
        monkeypatch.setattr(kafka.codec, "has_lz4", lambda: True)
        monkeypatch.setattr(default_records, "lz4_encode", lz4)
        monkeypatch.setitem(KafkaProducer._COMPRESSORS, "lz4", (lambda: True, KafkaProducer._COMPRESSORS["lz4"][1]))
        with producer(stage, "lz4") as other:
            told[send(stage, other, bytes(9100)).offset] = "lz4"
        monkeypatch.undo()
        assert send(stage, made, encode(recent(4))).partition == 0
    sink = stage.start_sink()
    wait_until(lambda: stage.count() == 1, "the good one stored")
    letters = stage.dead_letters(len(told))
    said = {
        int(dict(letter.headers)["webmon-offset"]): dict(letter.headers)["webmon-reason"].decode() for letter in letters
    }
    assert said.keys() == told.keys()
    assert {offset: why for offset, why in told.items() if why not in said[offset]} == {}, said
    wait_until(lambda: stage.committed() == len(told) + 1, "all offsets committed")
    assert peak_of(sink) < 256
    listed = stage.letters("redrive", "--all")
    assert f"0 sent back to {stage.topic}, {len(told)} not" in listed.stdout


def test_messages_as_large_as_they_may_be_fill_no_sink(stage: Stage) -> None:
    with producer(stage, "zstd") as made:
        futures = [made.send(stage.topic, value=bytes(380_000), partition=0) for _ in range(700)]
        for future in futures:
            future.get(timeout=30)
    sink = stage.start_sink()
    wait_until(lambda: stage.committed() == len(futures), "all are dead letters", 60)
    assert peak_of(sink) < 480, "MB, of the 512 that the role gives it"


def test_thousands_that_the_database_refuses_hold_up_nobody(stage: Stage) -> None:
    stage.sql("ALTER TABLE {t} ADD CONSTRAINT no_such_status CHECK (http_status <> 299)")
    batch = [recent(number, agent="taken", http_status=299) for number in range(3000)]
    good = [recent(number, agent=f"vantage{number % 3}") for number in range(2000)]
    mixed = [one for pair in zip(good, batch, strict=False) for one in pair] + batch[2000:]
    store = Writer(stage.settings("sink").postgres)
    began = time.monotonic()
    told = store.store(mixed)
    took = time.monotonic() - began
    store.close()
    assert (told.added, len(told.refused)) == (2000, 3000)
    assert {mixed[place].agent for place, _ in told.refused} == {"taken"}
    assert took < 8, "two seconds, and a machine that is busy"


def test_an_agent_brings_so_many_new_names_an_hour_and_others_and_what_is_known_go_on(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(allowance, "NAMES", 300)
    store = Writer(stage.settings("sink").postgres)
    store.store([recent(number, target="shop", agent="good") for number in range(5)])
    for turn in range(5):
        flood = [recent(number, target=f"t{turn}.{number}", agent="taken") for number in range(200)]
        known = [
            recent(100 + turn, target="shop", agent="good"),
            recent(100 + turn, target="t0.1", agent="taken", url="https://site1.example/"),
        ]
        told = store.store([*flood, *known, recent(turn, target=f"new{turn}", agent="good")])
        if turn:
            assert (told.added, len(told.refused)) == (3, 200)
            assert "agent 'taken' brought more than 300 new names" in told.refused[0][1]
    store.close()
    assert stage.sql("SELECT count(*) FROM {t_targets}") == [(1 + 200 + 5,)]
    assert sum("brought more than" in record.getMessage() for record in caplog.records) == 1


def test_results_spread_over_the_past_make_no_more_chunks_than_there_are_anyway(stage: Stage) -> None:
    now = datetime.now(UTC)
    past = [
        recent(0, agent="taken", time=moment, scheduled_at=moment)
        for moment in (now - timedelta(days=days) for days in range(365))
    ]
    stage.publish(past)
    stage.start_sink()
    wait_until(lambda: stage.committed() == len(past), "all were seen")
    chunks = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = %s"
    assert stage.sql(chunks, stage.table)[0][0] <= 101


def test_init_bounds_what_an_agent_may_write_and_what_kafka_keeps_of_it(bare_stage: Stage) -> None:
    mine = f"User:{bare_stage.topic}"
    changes: dict[str, str | None] = {"KAFKA_AGENT_PRINCIPALS": mine, "KAFKA_TOPIC_RETENTION_BYTES": "2000000000"}
    quotas = "producer_byte_rate=8.38861e+06, request_percentage=100"
    lines = bare_stage.init(**changes)
    assert f"created  quotas of {mine}: {quotas}" in lines
    bound = "(retention.bytes -1 -> 2000000000, segment.bytes 1073741824 -> 250000000)"
    for topic in (bare_stage.topic, f"{bare_stage.topic}.dead-letters"):
        assert f"changed  settings of topic {topic} {bound}" in lines
    assert f"unchanged  quotas of {mine}: {quotas}" in bare_stage.init(**changes)
    lines = bare_stage.init(**changes, KAFKA_AGENT_BYTES_PER_SEC="500000")
    assert f"changed  quotas of {mine}: producer_byte_rate=500000, request_percentage=100" in lines
    with contextlib.closing(client.Admin(**client.admin_args(bare_stage.kafka_settings("init")))) as admin:
        assert admin.quotas(mine.removeprefix("User:")) == {"producer_byte_rate": 500_000, "request_percentage": 100}
        for unit in ("webmon-sink", "webmon-init", "webmon-broker"):
            assert admin.quotas(unit) == {}

"""The sink: rows a second into the store and from the topic, memory behind a backlog, freshness, bytes on disk.

It runs on the Kafka and the TimescaleDB of the integration tests (LAB_NAME or WEBMON_TEST_SERVICES). What is compared
is measured in turns in one run, and the best of a few runs counts: whoever else uses the machine only makes slower.
`python -m tests.bench --full sink` takes ten times as many rows.
"""

import contextlib
import gc
import io
import itertools
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from kafka import KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors
from kafka.record import memory_records
from kafka.record.default_records import DefaultRecordBatch
from psycopg2 import sql

from tests.agent_process import AgentProcess
from tests.bench.figures import Bench, Figure
from tests.bench.process import cpu_secs, peak_resident_bytes
from tests.bench.site import Site
from tests.integration.services import find
from tests.integration.stage import Stage
from tests.waiting import wait_until
from webmon.check.result import CheckResult, Outcome, Phases, encode, headers
from webmon.kafka import client, mac
from webmon.settings import Sink
from webmon.sink import rows
from webmon.sink.writer import ADD_NEW, SESSION, STATEMENT_SECS, Writer
from webmon.store.names import Tables

TARGETS: Final = 1000
VANTAGES: Final = 3
INTERVAL: Final = 60.0
PEER_ROWS: Final = 26_000
"""Rows a second of Telegraf 1.38 from the same topic into the same table, neither deduplicated nor rolled up."""
DEFAULTS: Final = Sink.model_validate({})


@dataclass(frozen=True)
class _Size:
    """How much is measured."""

    stored: int
    """Rows in each turn of the store."""
    behind: int
    """Messages of the backlog."""
    kept: int
    """Rows on disk."""
    runs: int


QUICK: Final = _Size(stored=50_000, behind=100_000, kept=1_000_000, runs=3)
FULL: Final = _Size(stored=200_000, behind=1_000_000, kept=10_000_000, runs=3)


def checks(
    count: int, *, targets: int = TARGETS, last: datetime | None = None, every: int = 1, first: int = 0
) -> Iterator[CheckResult]:
    """Give the results of a fleet in the order of time, the last one now (or then): one in a hundred failed.

    With `every` only each so manieth, from `first` on: a part for each of several processes.
    """
    draw = random.Random(1)
    fleet = targets * VANTAGES
    last = last or datetime.now(UTC)
    step = timedelta(seconds=INTERVAL / fleet)
    names = ("dns", "connect", "tls", "first_byte", "transfer")
    phases = [Phases(**{name: draw.lognormvariate(-4, 0.8) for name in names}) for _ in range(997)]
    expires = last.replace(microsecond=0) + timedelta(days=60)
    for number in range(first, count, every):
        target, agent = divmod(number % fleet, VANTAGES)
        slot = last - step * (count - number)
        took = phases[number % len(phases)]
        total = sum(getattr(took, name) for name in names)
        failed = number % 100 == 7
        yield CheckResult(
            target=f"site-{target:04d}",
            url=f"https://site-{target:04d}.example/health",
            labels={"team": f"team-{target % 10}", "stage": "production"},
            agent=f"vantage-{agent}",
            scheduled_at=slot,
            time=slot + timedelta(microseconds=number % 2000),
            interval=INTERVAL,
            outcome=Outcome.STATUS_MISMATCH if failed else Outcome.UP,
            error="status 503, expected 200" if failed else None,
            http_status=503 if failed else 200,
            response_time=total - (took.transfer or 0),
            total_time=total,
            phases=took,
            regex_match=True,
            body_bytes=4000 + number % 50_000,
            http_version="1.1",
            remote_ip=f"192.0.2.{target % 250}",
            tls_version="TLSv1.3",
            tls_not_after=expires,
        )


@contextlib.contextmanager
def a_stage(partitions: int = 6) -> Iterator[Stage]:
    """Give topic, tables and roles of our own, removed afterwards."""
    with tempfile.TemporaryDirectory() as directory:
        stage = Stage(find(), Path(directory))
        try:
            stage.init(KAFKA_TOPIC_PARTITIONS=str(partitions))
            yield stage
        finally:
            stage.remove()


def _empty(stage: Stage) -> None:
    for table in ("{t}", "{t_errors}", "{t_marks}"):
        stage.sql("TRUNCATE " + table)


def _secs(action: Callable[[], object]) -> float:
    gc.collect()
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


# ---------------------------------------------------------------- the store alone


def store_figures(stage: Stage, size: _Size) -> Iterator[Figure]:
    """Compare the store with a plain COPY of the same results, and with what a user would write first.

    The plain COPY neither deduplicates nor marks, and is told the numbers of series and contexts.
    """
    results = list(checks(size.stored))
    batches = [results[start : start + DEFAULTS.batch_size] for start in range(0, len(results), DEFAULTS.batch_size)]
    with contextlib.closing(Writer(stage.settings("sink").postgres)) as store:

        def stored() -> None:
            for batch in batches:
                store.store(batch)

        _empty(stage)
        stored()
        assert stage.count() == len(results)
        some = stage.sql("SELECT * FROM {t} LIMIT 5000")
        ready = [_plain_text(batch) for batch in batches]
        packed = _packed(stage, batches)
        turns: list[tuple[float, float, float, float]] = []
        cpu: list[float] = []
        for _ in range(size.runs):
            _empty(stage)
            copying_ready = _secs(lambda: _copy(stage, ready))
            _empty(stage)
            adding_ready = _secs(lambda: _add_packed(stage, packed))
            _empty(stage)
            copying = _secs(lambda: _copy(stage, map(_plain_text, batches)))
            _empty(stage)
            began = time.process_time()
            storing = _secs(stored)
            cpu.append((time.process_time() - began) / len(results) * 1e6)
            turns.append((storing, copying, copying_ready, adding_ready))
        again = _secs(stored)
        assert stage.count() == len(results)
    count = len(results)
    storing, copying, copying_ready, adding_ready = map(min, zip(*turns, strict=True))
    note = f"median of {size.runs} turns of {count:,} rows, batches of {DEFAULTS.batch_size}"
    yield Figure("store: rows from decoded results, everything on", count / storing, "rows/s")
    yield Figure("store: CPU of our process", min(cpu), "us/row")
    yield Figure("store: the same once more, all repeats", count / again, "rows/s")
    yield Figure("plain COPY of the same decoded results", count / copying, "rows/s", note="same hypertable and index")
    ratio = statistics.median(turn[1] / turn[0] for turn in turns)
    yield Figure("store against it", ratio, "ratio", at_least=0.5, note=note)
    yield Figure("store: rows made beforehand, everything on", count / adding_ready, "rows/s", note="the server alone")
    yield Figure("plain COPY of text made beforehand", count / copying_ready, "rows/s", note="the server alone")
    ready_ratio = statistics.median(turn[2] / turn[3] for turn in turns)
    yield Figure("store against it, both made beforehand", ready_ratio, "ratio", at_least=0.5, note=note)
    yield Figure("store, Python and all, against that", statistics.median(t[2] / t[0] for t in turns), "ratio")
    _empty(stage)
    few = some[:1000]
    singly = len(few) / _secs(lambda: _insert_singly(stage, few))
    _empty(stage)
    many = len(some) / _secs(lambda: _insert_many(stage, some))
    yield Figure("INSERT row by row, each its own commit", singly, "rows/s", note="as a user would write it first")
    yield Figure("executemany, one commit", many, "rows/s", note="as a user would write it next")
    yield Figure("store against row by row", count / storing / singly, "ratio")
    yield Figure("store against executemany", count / storing / many, "ratio")


def _plain_text(results: Sequence[CheckResult]) -> bytes:
    """Give results as COPY's text, in the quickest way that Python's formatting has."""
    rows = []
    for r in results:
        p, series, delay = r.phases, _PLAIN_SERIES[r.target, r.agent], (r.time - r.scheduled_at).total_seconds()
        rows.append(
            f"{r.time}\t{series}\t1\t1\t{delay}\t{r.total_time}\t{r.response_time}\t{p.dns}\t{p.connect}\t{p.tls}\t"
            f"{p.first_byte}\t{p.transfer}\t{r.body_bytes}\t{r.http_status}\n"
        )
    return "".join(rows).encode()


_PLAIN_COLUMNS: Final = (
    "time, series_id, context_id, outcome, delay_secs, total_secs, response_secs, dns_secs, connect_secs, tls_secs, "
    "first_byte_secs, transfer_secs, body_bytes, http_status"
)
_PLAIN_SERIES: Final = {
    (f"site-{target:04d}", f"vantage-{agent}"): target * VANTAGES + agent
    for target in range(TARGETS)
    for agent in range(VANTAGES)
}


def _copy(stage: Stage, texts: Iterable[bytes]) -> None:
    statement = sql.SQL(f"COPY {{}} ({_PLAIN_COLUMNS}) FROM STDIN (NULL 'None')").format(sql.Identifier(stage.table))
    with stage.database() as cursor:
        for text in texts:
            cursor.copy_expert(statement, io.BytesIO(text))


def _packed(stage: Stage, batches: Sequence[Sequence[CheckResult]]) -> list[bytes]:
    """Give the batches as the store sends them; their series are there already."""
    found = stage.sql(
        "SELECT t.target, a.agent, s.id FROM {t_series} AS s JOIN {t_targets} AS t ON t.id = s.target_id"
        " JOIN {t_agents} AS a ON a.id = s.agent_id"
    )
    series = {(target, agent): number for target, agent, number in found}
    return [rows.binary((result, (series[result.target, result.agent], 1)) for result in batch) for batch in batches]


def _add_packed(stage: Stage, packed: Sequence[bytes]) -> None:
    """Do what the store does in the database, with rows made beforehand."""
    tables = Tables(stage.table)
    names = sql.SQL(", ").join(map(sql.Identifier, rows.COLUMNS))
    copy = sql.SQL("COPY webmon_incoming ({}, error) FROM STDIN (FORMAT binary)").format(names)
    add = tables.fill(ADD_NEW, columns=names)
    with stage.database() as cursor:
        cursor.execute(tables.fill(SESSION, statement_secs=sql.SQL(str(STATEMENT_SECS))))
        for batch in packed:
            cursor.execute("TRUNCATE webmon_incoming")
            cursor.copy_expert(copy, io.BytesIO(batch))
            cursor.execute(add)


def _insert(stage: Stage, row: tuple[Any, ...]) -> sql.Composed:
    values = sql.SQL(", ").join([sql.Placeholder()] * len(row))
    return sql.SQL("INSERT INTO {} VALUES ({}) ON CONFLICT DO NOTHING").format(sql.Identifier(stage.table), values)


def _insert_singly(stage: Stage, rows: Sequence[tuple[Any, ...]]) -> None:
    statement = _insert(stage, rows[0])
    with stage.database() as cursor:
        for row in rows:
            cursor.execute(statement, row)


def _insert_many(stage: Stage, rows: Sequence[tuple[Any, ...]]) -> None:
    with stage.database() as cursor:
        cursor.execute("BEGIN")
        cursor.executemany(_insert(stage, rows[0]), rows)
        cursor.execute("COMMIT")


# ---------------------------------------------------------------- from the topic


@dataclass(frozen=True)
class _Drained:
    rows_a_sec: float
    cpu_us: float
    """Of all sinks, for one row."""
    resident: int
    """Peak of the largest sink."""


def reading_figures(size: _Size) -> Iterator[Figure]:
    """Read batches as agents make them, in our way and in kafka-python's; it needs no broker."""
    packed = _batches(size.stored)

    def read(kind: type[DefaultRecordBatch]) -> None:
        for one in packed:
            for _ in kind(one):
                pass

    turns = [
        tuple(_cpu_secs(partial(read, kind)) for kind in (memory_records.DefaultRecordBatch, DefaultRecordBatch))
        for _ in range(2 * size.runs)
    ]
    note = f"median of {len(turns)} turns, {size.stored:,} signed messages in {len(packed):,} batches"
    yield Figure("CPU of unpacking and reading messages", min(ours for ours, _ in turns) / size.stored * 1e6, "us/row")
    ratio = statistics.median(ours / theirs for ours, theirs in turns)
    yield Figure("it against kafka-python's own", ratio, "ratio", at_most=0.8, note=note)


def _batches(count: int) -> list[bytes]:
    """Give the messages of agents that sign, in batches as their producers pack them."""
    signer = mac.Signer("k" * 43)
    found, made = [], None
    for result in checks(count):
        key, value = result.target.encode(), encode(result)
        said = [*headers(), (mac.HEADER, signer.sign(key, value))]
        if made is None or made.append(0, key, value, said) is None:
            if made is not None:
                made.close()
                found.append(bytes(made.buffer()))
            made = memory_records.MemoryRecordsBuilder(magic=2, compression_type=4, batch_size=16_384)
            made.append(0, key, value, said)
    assert made is not None
    made.close()
    return [*found, bytes(made.buffer())]


def _cpu_secs(action: Callable[[], object]) -> float:
    gc.collect()
    began = time.process_time()
    action()
    return time.process_time() - began


def signed_figures(stage: Stage, size: _Size) -> Iterator[Figure]:
    """Let the real `webmon sink` work off the same backlog, with and without a look at who signed it."""
    known = stage.directory / "agents"
    turns = [
        (_drain(stage, size.behind, sinks=1), _drain(stage, size.behind, sinks=1, agents=known))
        for _ in range(size.runs)
    ]
    note = f"median of {size.runs} pairs, {size.behind:,} messages behind"
    yield Figure("CPU of the sink, each message's MAC seen", min(seen.cpu_us for _, seen in turns), "us/row")
    ratio = statistics.median(seen.rows_a_sec / unseen.rows_a_sec for unseen, seen in turns)
    yield Figure("rows/s with MACs seen, against not", ratio, "ratio", at_least=0.88, note=note)


def topic_figures(stage: Stage, size: _Size) -> Iterator[Figure]:
    """Let the real `webmon sink` work off a backlog, alone and as two."""
    _publish(stage, size.behind)
    drained = [_drain(stage, size.behind, sinks=1) for _ in range(size.runs)]
    alone = max(run.rows_a_sec for run in drained)
    cpu = min(run.cpu_us for run in drained)
    consumer = min(_consumer_alone(stage, size.behind) for _ in range(size.runs))
    behind = f"{size.behind:,} messages behind"
    yield Figure("topic to committed rows, one sink", alone, "rows/s", at_least=PEER_ROWS, note=behind)
    yield Figure("CPU of the sink", cpu, "us/row")
    yield Figure("of that kafka-python's", consumer, "us/row", note="the same consumer, polling the same messages")
    yield Figure("memory of a sink, peak", max(run.resident for run in drained) / 1e6, "MB", at_most=150, note=behind)
    pairs = [
        _drain(stage, size.behind, sinks=2).rows_a_sec / _drain(stage, size.behind, sinks=1).rows_a_sec
        for _ in range(size.runs)
    ]
    cores = f"median of {size.runs} pairs; {os.cpu_count()} cores, shared with broker and database"
    yield Figure("two sinks against one", statistics.median(pairs), "ratio", note=cores)


def _publish(stage: Stage, count: int) -> None:
    """Send results as agents do, each signed by the one that it names; their keys are in the file `agents`."""
    producer = KafkaProducer(**client.producer_args(stage.kafka_settings("agent")))
    keys = {f"vantage-{number}": str(number) * 43 for number in range(VANTAGES)}
    signers = {agent: mac.Signer(key) for agent, key in keys.items()}
    agents = stage.directory / "agents"
    agents.touch(0o600)
    agents.write_text("".join(f"{agent} {key}\n" for agent, key in keys.items()))
    try:
        last = None
        for number, result in enumerate(checks(count)):
            key, value = result.target.encode(), encode(result)
            said = [*headers(), (mac.HEADER, signers[result.agent].sign(key, value))]
            last = producer.send(stage.topic, key=key, value=value, headers=said)
            if number % 20_000 == 0:
                producer.flush(timeout=60)
        producer.flush(timeout=60)
        assert last is not None
        last.get(timeout=20)
    finally:
        producer.close(timeout=5)


def _drain(stage: Stage, total: int, *, sinks: int, agents: Path | None = None) -> _Drained:
    _empty(stage)
    with stage.admin() as admin:
        with contextlib.suppress(kafka_errors.GroupIdNotFoundError):
            admin.delete_groups([stage.topic])

        def committed() -> int:
            offsets = admin.list_group_offsets({stage.topic: None})[stage.topic]
            return sum(max(0, offset.offset) for offset in offsets.values())

        programs = [
            stage.start_sink(
                SINK_BATCH_SECS=str(DEFAULTS.batch_secs),
                MONITORING_LOG_LEVEL="WARNING",
                SINK_AGENTS_PATH=None if agents is None else str(agents),
            )
            for _ in range(sinks)
        ]
        pids = [program.process.pid for program in programs]
        wait_until(lambda: committed() > 0, "the first rows", 60)
        first, began, cpu = committed(), time.perf_counter(), sum(map(cpu_secs, pids))
        wait_until(lambda: committed() == total, "all rows", 600)
        secs, spent = time.perf_counter() - began, sum(map(cpu_secs, pids)) - cpu
        resident = max(map(peak_resident_bytes, pids))
    for program in programs:
        program.stop()
    assert stage.count() == total
    return _Drained((total - first) / secs, spent / (total - first) * 1e6, resident)


def _consumer_alone(stage: Stage, total: int) -> float:
    """Give the CPU microseconds a message of kafka-python's consumer as the sink sets it, which only polls."""
    ours = client.consumer_args(stage.kafka_settings("sink")) | {"group_id": None}
    consumer = KafkaConsumer(stage.topic, **ours)
    try:
        got = 0
        while not got:
            got = sum(map(len, consumer.poll(timeout_ms=500, max_records=1).values()))
        began, first = time.process_time(), got
        while got < total:
            got += sum(map(len, consumer.poll(timeout_ms=500, max_records=DEFAULTS.batch_size).values()))
        return (time.process_time() - began) / (total - first) * 1e6
    finally:
        consumer.close()


# ---------------------------------------------------------------- freshness

_RATE: Final = 200
_WATCH_SECS: Final = 20
_START_SECS: Final = 5
"""After the first row: names get their numbers, chunks are made."""


def freshness_figures(stage: Stage) -> Iterator[Figure]:
    """Let a real agent check 200 targets once a second, and look every 20 ms which results can be seen."""
    _empty(stage)
    sink = stage.start_sink(SINK_BATCH_SECS=str(DEFAULTS.batch_secs))
    sink.wait_for_line("storing")
    workspace = stage.directory / "agent"
    workspace.mkdir()
    with contextlib.closing(AgentProcess(workspace)) as agent, Site(workspace) as site:
        agent.configure(**stage.way_to_kafka(stage.certificate("agent")))
        agent.target(*(f"{site.http}{number}" for number in range(_RATE)))
        agent.start()
        waited = sorted(_waits(stage))
    sink.stop()
    batch_secs = DEFAULTS.batch_secs
    rate = len(waited) / _WATCH_SECS
    note = f"agent and sink as they are, {rate:.0f} results a second, SINK_BATCH_SECS={batch_secs:g}"
    yield Figure("freshness, end of check to row visible, p50", statistics.median(waited), "s")
    yield Figure("freshness, p99", waited[int(len(waited) * 0.99)], "s", at_most=batch_secs + 0.5, note=note)


def _waits(stage: Stage) -> Iterator[float]:
    """Give the seconds from the end of each check to when its row could be seen."""
    seen: set[tuple[int, datetime]] = set()
    statement = "SELECT series_id, time, total_secs FROM {} WHERE time > now() - interval '10 s'"
    look = sql.SQL(statement).format(sql.Identifier(stage.table))
    wait_until(lambda: stage.count() > 0, "the first rows", 60)
    begin = datetime.now(UTC) + timedelta(seconds=_START_SECS)
    end = begin + timedelta(seconds=_WATCH_SECS)
    with stage.database() as cursor:
        while (now := datetime.now(UTC)) < end + timedelta(seconds=5):
            cursor.execute(look)
            now = datetime.now(UTC)
            for series, moment, total_secs in cursor.fetchall():
                if begin <= moment < end and (series, moment) not in seen:
                    seen.add((series, moment))
                    yield (now - moment).total_seconds() - total_secs
            time.sleep(0.02)


# ---------------------------------------------------------------- on disk


def disk_figures(stage: Stage, size: _Size) -> Iterator[Figure]:
    """Keep the checks of two days and a third, of as many targets as the rows are for, and read targets' last days."""
    _empty(stage)
    targets = size.kept // 10_000
    results = checks(size.kept, targets=targets)
    with contextlib.closing(Writer(stage.settings("sink").postgres)) as store:
        while batch := list(itertools.islice(results, targets * 10)):
            store.store(batch)
    rows = stage.count()
    used = int(stage.sql("SELECT hypertable_size(%s::regclass)", f'"{stage.table}"')[0][0])
    note = f"{rows / 1e6:g} million rows of {targets} targets, all phases, with the unique index"
    yield Figure("bytes on disk a check", used / rows, "bytes", at_most=130, note=note)
    stage.sql("ANALYZE {t}")
    statement = (
        "SELECT time, web_url, http_status, resp_time, regex_match, agent, outcome, error FROM {} "
        "WHERE web_url = %s AND time > now() - interval '1 day' ORDER BY time"
    )
    read = sql.SQL(statement).format(sql.Identifier(Tables(stage.table).names["view"]))
    with stage.database() as cursor:

        def last_day(target: int) -> None:
            cursor.execute(read, (f"https://site-{target:04d}.example/health",))
            cursor.fetchall()

        days = [_secs(partial(last_day, target)) for target in range(20)]
    yield Figure("a target's last day from the view", statistics.median(days) * 1e3, "ms", at_most=50, note=note)


# ---------------------------------------------------------------- all of it


def figures(size: _Size = QUICK) -> Iterator[Figure]:
    """Measure all at a size."""
    yield from reading_figures(size)
    with a_stage() as stage:
        yield from store_figures(stage, size)
        yield from topic_figures(stage, size)
        yield from signed_figures(stage, size)
    with a_stage() as stage:
        yield from freshness_figures(stage)
        yield from disk_figures(stage, size)


def versions() -> dict[str, str]:
    """Give what was measured."""
    with a_stage() as stage:
        with stage.admin() as admin:
            broker = ".".join(map(str, admin._manager.broker_version))
        server = stage.sql("SHOW server_version")[0][0]
        timescaledb = stage.sql("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")[0][0]
    return {
        "Kafka": broker,
        "PostgreSQL": str(server),
        "TimescaleDB": str(timescaledb),
        "kafka-python": version("kafka-python"),
        "psycopg2": version("psycopg2-binary"),
    }


BENCH: Final = Bench(figures, versions, full=partial(figures, FULL))

"""A day of 1,000 targets at 3 vantages, one check a minute, through the topic: what comes out, how fast, at what cost.

The 4,320,000 results wait in the topic when the sink starts, so it alone sets the pace; a smaller bench takes two hours
of that day. What is in the store in the end is held against what was sent: each row, and each rollup against the rows.
"""

import contextlib
import dataclasses
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Final

from tests.bench import hosts
from tests.bench.figures import Bench, Figure
from tests.bench.process import cpu_secs, peak_resident_bytes
from tests.bench.sink import DEFAULTS, TARGETS, VANTAGES, a_stage, checks, versions
from tests.integration.stage import Stage
from tests.waiting import wait_until
from webmon.check.result import Outcome
from webmon.sink.writer import Writer

A_MINUTE: Final = TARGETS * VANTAGES
PUBLISHERS: Final = 2

ROWS: Final = "topic to settled rows, one sink"
KNOWN: Final = "store: rows of names in memory"
FORGOTTEN: Final = "store: rows of names that are looked up"
MESSAGE: Final = "Kafka's log"
WAL: Final = "WAL of the database"
BROKER_IN: Final = "CPU of the broker, coming in"
BROKER_OUT: Final = "CPU of the broker, going out"
DATABASE: Final = "CPU of the database"
HOURLY: Final = "bytes on disk a rollup of an hour"
DAILY: Final = "bytes on disk a rollup of a day"
"""Names of figures that tests/bench/scale.py computes with."""


@dataclasses.dataclass(frozen=True)
class _Series:
    """What all results of a target at a vantage come to."""

    results: int
    times: int
    """Microseconds since 1970, added up."""
    up: int
    bytes: int


def figures(hours: int) -> Iterator[Figure]:
    """Push the last so many hours through."""
    count = hours * 60 * A_MINUTE
    note = f"{hours} h of {TARGETS:,} targets at {VANTAGES} vantages: {count:,} results"
    last = datetime.now(UTC)
    with a_stage() as stage:
        yield from _fill(stage, count, last)
        yield from _drain(stage, count, note)
        expected = _expected(count, last)
        found = _stored(stage)
        differ = sum(expected.get(key) != found.get(key) for key in expected | found)
        missing = count - sum(series.results for series in found.values())
        yield Figure("rows missing, or too many", missing, "rows", at_least=0, at_most=0, note=note)
        yield Figure("series with another row than was sent", differ, "", at_most=0, note="times, outcomes and bytes")
        for of, name, size in (("hour", HOURLY, _HOURLY_SIZE), ("day", DAILY, _DAILY_SIZE)):
            wrong = stage.sql(_different(of))[0][0]
            yield Figure(f"rollups by {of} that differ from the rows", float(wrong), "", at_most=0)
            used, rollups = map(int, stage.sql(size)[0])
            yield Figure(name, used / rollups, "bytes", note=f"{rollups:,} of them")
        yield from _names(stage)


def _fill(stage: Stage, count: int, last: datetime) -> Iterator[Figure]:
    """Put everything into the topic."""
    env_file = stage.env_file("init")
    broker, began = hosts.cpu_secs(hosts.BROKER), time.monotonic()
    command = [sys.executable, "-m", "tests.bench.fleet", str(env_file), "backlog", str(count), last.isoformat()]
    publishers = [
        subprocess.Popen([*command, f"{part}/{PUBLISHERS}"], stdout=subprocess.PIPE, text=True)
        for part in range(PUBLISHERS)
    ]
    sent = sum(int(publisher.communicate()[0]) for publisher in publishers)
    assert sent == count
    secs, broker = time.monotonic() - began, hosts.cpu_secs(hosts.BROKER) - broker
    yield Figure("into the topic", count / secs, "rows/s", note=f"{PUBLISHERS} processes, beside the broker")
    yield Figure(BROKER_IN, broker / count * 1e6, "us/row", note="one copy, zstd in the client")
    yield Figure(MESSAGE, log_bytes(stage) / count, "bytes/row", note="one copy, zstd")


def log_bytes(stage: Stage) -> int:
    """Give what the topic's partitions have on the broker's disk."""
    with stage.admin() as admin:
        described = admin.describe_log_dirs()
    return sum(
        int(partition["partition_size"])
        for broker in described
        for directory in broker["log_dirs"]
        for topic in directory["topics"]
        if topic["name"] == stage.topic
        for partition in topic["partitions"]
    )


def _drain(stage: Stage, count: int, note: str) -> Iterator[Figure]:
    """Let one sink, as it is, work it all off, and roll it all up."""
    broker, database, wal = hosts.cpu_secs(hosts.BROKER), hosts.cpu_secs(hosts.DATABASE), _wal_position(stage)
    sink = stage.start_sink(SINK_BATCH_SECS=str(DEFAULTS.batch_secs), MONITORING_LOG_LEVEL="WARNING")
    wait_until(lambda: stage.committed() > 0, "the first rows", 60)
    first, began = stage.committed(), time.monotonic()
    wait_until(lambda: stage.committed() == count, "all rows", 3600)
    secs = time.monotonic() - began
    pid = sink.process.pid
    sink_cpu, resident = cpu_secs(pid), peak_resident_bytes(pid)
    broker = hosts.cpu_secs(hosts.BROKER) - broker
    wait_until(lambda: _marks_of_closed_hours(stage) == 0, "the rollups", 600)
    settled = time.monotonic() - began - secs
    database, wal = hosts.cpu_secs(hosts.DATABASE) - database, _wal_position(stage) - wal
    lag = count - stage.committed()
    sink.stop()
    yield Figure(ROWS, (count - first) / secs, "rows/s", note=note)
    yield Figure("rollups done after the last row", settled, "s", at_most=60, note="of all hours that have ended")
    yield Figure("lag in the end", lag, "", at_most=0)
    yield Figure("memory of the sink, peak", resident / 1e6, "MB", at_most=150, note=note)
    yield Figure(
        "CPU of the sink", sink_cpu / count * 1e6, "us/row", note="its start and its thread of rollups included"
    )
    yield Figure(BROKER_OUT, broker / count * 1e6, "us/row")
    yield Figure(DATABASE, database / count * 1e6, "us/row", note="rollups included")
    yield Figure(WAL, wal / count, "bytes/row", note="rollups included")


def _marks_of_closed_hours(stage: Stage) -> int:
    return int(stage.sql("SELECT count(*) FROM {t_marks} WHERE hour < date_trunc('hour', now(), 'UTC')")[0][0])


def _wal_position(stage: Stage) -> int:
    return int(stage.sql("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn")[0][0])


# ---------------------------------------------------------------- what must be there


def _expected(count: int, last: datetime) -> dict[tuple[str, str], _Series]:
    """Add up what was sent, by target and agent."""
    sums: dict[tuple[str, str], list[int]] = {}
    epoch = datetime.fromtimestamp(0, UTC)
    for result in checks(count, last=last):
        of = sums.setdefault((result.target, result.agent), [0, 0, 0, 0])
        since = result.time - epoch
        of[0] += 1
        of[1] += (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
        of[2] += result.outcome is Outcome.UP
        of[3] += result.body_bytes or 0
    return {key: _Series(*values) for key, values in sums.items()}


def _stored(stage: Stage) -> dict[tuple[str, str], _Series]:
    found = stage.sql(
        "SELECT t.target, a.agent, count(*), sum((extract(epoch FROM m.time) * 1000000)::bigint),"
        " count(*) FILTER (WHERE m.outcome = 1), sum(m.body_bytes)"
        " FROM {t} AS m JOIN {t_series} AS s ON s.id = m.series_id JOIN {t_targets} AS t ON t.id = s.target_id"
        " JOIN {t_agents} AS a ON a.id = s.agent_id GROUP BY 1, 2"
    )
    return {(target, agent): _Series(*map(int, sums)) for target, agent, *sums in found}


_HOURLY_SIZE: Final = "SELECT hypertable_size('{t_hourly}'), (SELECT count(*) FROM {t_hourly})"
_DAILY_SIZE: Final = "SELECT hypertable_size('{t_daily}'), (SELECT count(*) FROM {t_daily})"
# Counted here in another way than the rollups are made.
_DIFFERENT: Final = """
WITH counted AS (
    SELECT date_trunc('@OF@', m.time, 'UTC') AS since, s.target_id, s.agent_id, count(*) AS results,
        count(*) FILTER (WHERE m.outcome <= 2) AS up, count(*) FILTER (WHERE m.outcome BETWEEN 3 AND 12) AS down,
        round(sum(m.response_secs::float8)::numeric, 3) AS response_sum, max(m.response_secs) AS response_max
    FROM {t} AS m JOIN {t_series} AS s ON s.id = m.series_id
    GROUP BY 1, 2, 3
), rolled AS (
    SELECT @OF@::timestamp AT TIME ZONE 'UTC' AS since, target_id, agent_id, results, up, down,
        round(response_sum::numeric, 3) AS response_sum, response_max
    FROM {t_@OF@s}
)
SELECT count(*) FROM counted AS c FULL JOIN rolled AS r USING (since, target_id, agent_id)
WHERE (c.results, c.up, c.down, c.response_sum, c.response_max)
    IS DISTINCT FROM (r.results::bigint, r.up::bigint, r.down::bigint, r.response_sum, r.response_max)
"""


def _different(of: str) -> str:
    """Give what counts the rollups by hour or by day that are not what the rows come to."""
    return _DIFFERENT.replace("@OF@", of)


def _names(stage: Stage) -> Iterator[Figure]:
    """Store batches of one vantage, a target a row, whose names are known; and looked up, as of more than are kept."""
    count, size = 20 * DEFAULTS.batch_size, DEFAULTS.batch_size
    results = list(checks(count * VANTAGES, targets=size, every=VANTAGES))
    with contextlib.closing(Writer(stage.settings("sink").postgres)) as store:
        store.store(results)  # the names are there, and so is the plan
        for name, forgets in ((KNOWN, False), (FORGOTTEN, True)):
            stage.sql("TRUNCATE {t}")
            stage.sql("TRUNCATE {t_marks}")
            spent = 0.0
            for start in range(0, count, size):
                if forgets:
                    store._dimensions.forget()
                began = time.perf_counter()
                store.store(results[start : start + size])
                spent += time.perf_counter() - began
            yield Figure(name, count / spent, "rows/s", note=f"each batch has one row of {size:,} targets")


BENCH: Final = Bench(partial(figures, 2), versions, full=partial(figures, 24))

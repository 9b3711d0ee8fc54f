"""docs/scale.md: what 100 thousand and 10 million targets need, computed from what the benches measured.

`python -m tests.bench --document` writes it. A figure that a bench no longer gives under its name ends this with what
is missing; nothing here is a number that was measured once and typed.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final

from tests.bench import load
from tests.bench.figures import number
from tests.bench.kept import Run
from tests.bench.site import BODY
from tests.markdown import table
from webmon.settings import Init, Retention

SIZES: Final = (100_000, 10_000_000)
INTERVAL: Final = 60
"""Seconds from one check of a target to the next."""
SPARE: Final = 0.5
"""The part of what was measured that is counted on: the rest is for bursts, backlogs and whoever asks."""
COPIES: Final = 3
DAY: Final = 86_400

BROKER_CORES: Final = 8
BROKER_DISK: Final = 4e12
DATABASE_DISK: Final = 8e12
DATABASE_MEMORY: Final = 128e9
DISK_FULL: Final = 0.7
"""What one host of each kind is taken to have, and how full a disk may be: the numbers here that nobody measured."""
CONNECTIONS: Final = 100
"""PostgreSQL's max_connections, where nobody sets it."""
NAMES: Final = 100_000
"""Series that a sink keeps in memory (_KEPT in webmon/sink/dimensions.py); past that it looks them up."""
INDEX_BYTES: Final = 45
"""Of the newest chunk's indexes, a check: as POSTGRES_CHUNK_HOURS says."""
_INIT: Final = Init.model_validate({})
_RETENTION: Final = Retention.model_validate({})


@dataclass(frozen=True)
class Measured:
    """The figures that the needs are computed from; CPU in seconds, sizes in bytes."""

    check_cpu: float
    """Of an agent, a check."""
    agent_memory: float
    """Of an agent with agent_targets."""
    agent_targets: int
    sink_rows: float
    """A second, of one sink that knows the names."""
    sink_rows_looked_up: float
    """The same, of one that looks the names up."""
    sink_cpu: float
    sink_memory: float
    message: float
    """In Kafka's log, one copy."""
    broker_cpu: float
    """A message in and out again, one copy."""
    database_rows: float
    """A second, of the database alone."""
    database_cpu: float
    row: float
    """On the database's disk, its place in the indexes included."""
    wal: float
    hourly: float
    daily: float


def measured(runs: Mapping[str, Run]) -> Measured:
    """Choose the figures.

    Raises:
        LookupError: a bench did not run, or has no such figure; names both.
    """

    def figure(bench: str, name: str) -> float:
        for found in runs[bench].figures if bench in runs else ():
            if found.name.strip() == name:
                return found.value
        raise LookupError(f"no figure {name!r} of the bench {bench}: make bench BENCH={bench}")

    broker = figure("load", load.BROKER_IN) + figure("load", load.BROKER_OUT)
    known = figure("load", load.ROWS)
    looks_up = 1 / figure("load", load.FORGOTTEN) - 1 / figure("load", load.KNOWN)
    return Measured(
        check_cpu=figure("agent", "CPU per check, whole agent") / 1e3,
        agent_memory=figure("agent", "memory, 5,000 targets") * 1e6,
        agent_targets=5000,
        sink_rows=known,
        sink_rows_looked_up=1 / (1 / known + looks_up),
        sink_cpu=figure("sink", "CPU of the sink") / 1e6,
        sink_memory=figure("sink", "memory of a sink, peak") * 1e6,
        message=figure("load", load.MESSAGE),
        broker_cpu=broker / 1e6,
        database_rows=figure("sink", "store: rows made beforehand, everything on"),
        database_cpu=figure("load", load.DATABASE) / 1e6,
        row=figure("sink", "bytes on disk a check"),
        wal=figure("load", load.WAL),
        hourly=figure("load", load.HOURLY),
        daily=figure("load", load.DAILY),
    )


# ---------------------------------------------------------------- what a size needs


@dataclass(frozen=True)
class Needs:
    """What so many targets need, each checked once a minute by one vantage."""

    m: Measured
    targets: int

    @property
    def rate(self) -> float:
        """Checks, messages and rows a second."""
        return self.targets / INTERVAL

    @property
    def agents(self) -> int:
        """Processes: each has one core at most, as one Python has."""
        return math.ceil(self.rate * self.m.check_cpu / SPARE)

    @property
    def agents_memory(self) -> float:
        """Bytes, of all."""
        return max(self.agents, self.targets / self.m.agent_targets) * self.m.agent_memory

    @property
    def log(self) -> float:
        """Bytes on all brokers' disks."""
        return self.rate * self.m.message * _INIT.retention_hours * 3600 * COPIES

    @property
    def broker_cores(self) -> float:
        """Cores of all brokers; each copy is taken to cost what the first does."""
        return self.rate * self.m.broker_cpu * COPIES / SPARE

    @property
    def brokers(self) -> int:
        """Hosts."""
        return max(COPIES, math.ceil(self.log / _usable(BROKER_DISK)), math.ceil(self.broker_cores / BROKER_CORES))

    @property
    def sinks(self) -> int:
        """Processes that keep up, with their names in memory or without."""
        if self.targets / self.sinks_that_know <= NAMES:
            return self.sinks_that_know
        return math.ceil(self.rate / (self.m.sink_rows_looked_up * SPARE))

    @property
    def sinks_that_know(self) -> int:
        """Processes that would keep up if each knew all its names."""
        return math.ceil(self.rate / (self.m.sink_rows * SPARE))

    @property
    def partitions(self) -> int:
        """Of the topic: two for each sink, so that one more sink still finds work."""
        return max(_INIT.partitions, 2 * self.sinks)

    @property
    def rows(self) -> float:
        """Bytes of the rows that are kept."""
        return self.rate * DAY * _RETENTION.rows_days * self.m.row

    @property
    def rollups(self) -> float:
        """Bytes of the rollups that are kept."""
        return self.targets * (24 * _RETENTION.hourly_days * self.m.hourly + _RETENTION.daily_days * self.m.daily)

    @property
    def chunk_memory(self) -> float:
        """Bytes of memory of which the newest chunk's indexes take a quarter."""
        return self.rate * INDEX_BYTES * _INIT.chunk_hours * 3600 * 4

    @property
    def databases_by_rate(self) -> int:
        """Databases that take the rows."""
        return math.ceil(self.rate / (self.m.database_rows * SPARE))

    @property
    def databases_by_disk(self) -> int:
        """Databases that hold rows and rollups."""
        return math.ceil((self.rows + self.rollups) / _usable(DATABASE_DISK))

    @property
    def connections(self) -> int:
        """Of all sinks to databases: one for rows and one for rollups each."""
        return 2 * self.sinks


# ---------------------------------------------------------------- the document

_Row = tuple[str, str, Callable[[Needs], str]]


def _count(of: Callable[[Needs], float]) -> Callable[[Needs], str]:
    return lambda needs: number(of(needs))


def _size(of: Callable[[Needs], float]) -> Callable[[Needs], str]:
    return lambda needs: size(of(needs))


_NEEDS: Final[tuple[_Row, ...]] = (
    ("checks a second", "targets / interval", _count(lambda n: n.rate)),
    ("**agents**: processes", "checks a second x CPU of a check / spare", _count(lambda n: n.agents)),
    ("cores of all agents, busy", "checks a second x CPU of a check", _count(lambda n: n.rate * n.m.check_cpu)),
    ("memory of all agents", "processes, or targets / 5,000, x memory of an agent", _size(lambda n: n.agents_memory)),
    ("**Kafka**: into the log a second", "checks a second x message", _size(lambda n: n.rate * n.m.message)),
    ("log on disk, all copies", "that x KAFKA_TOPIC_RETENTION_HOURS x copies", _size(lambda n: n.log)),
    ("cores of all brokers", "checks a second x CPU of a message x copies / spare", _count(lambda n: n.broker_cores)),
    ("brokers", "for the copies, the disk or the cores, whichever asks for most", _count(lambda n: n.brokers)),
    ("partitions", "2 x sinks", _count(lambda n: n.partitions)),
    ("connections to brokers", "(agents + sinks) x brokers", _count(lambda n: (n.agents + n.sinks) * n.brokers)),
    ("**sinks**", "checks a second / (rows a second of a sink x spare)", _count(lambda n: n.sinks)),
    ("memory of all sinks", "sinks x memory of a sink", _size(lambda n: n.sinks * n.m.sink_memory)),
    ("**databases** for the rate", "checks a second / (rows a second x spare)", _count(lambda n: n.databases_by_rate)),
    ("cores of all databases, busy", "checks a second x CPU of a row", _count(lambda n: n.rate * n.m.database_cpu)),
    ("WAL a second", "checks a second x WAL of a row", _size(lambda n: n.rate * n.m.wal)),
    ("rows a day on disk", "checks a day x row", _size(lambda n: n.rate * DAY * n.m.row)),
    ("rows that are kept", "that x POSTGRES_KEEP_ROWS_DAYS", _size(lambda n: n.rows)),
    ("rollups that are kept", "targets x (24 x days x hour's + days x day's)", _size(lambda n: n.rollups)),
    ("databases for the disk", "both / disk of a database that may be full", _count(lambda n: n.databases_by_disk)),
    ("memory for the newest chunk", "4 x its indexes", _size(lambda n: n.chunk_memory)),
    ("connections to databases", "2 x sinks", _count(lambda n: n.connections)),
)


@dataclass(frozen=True)
class Limit:
    """Where one thing of a kind, as it comes, ends."""

    what: str
    targets: float
    """That it bears, each checked once a minute."""
    moved_by: str


def limits(m: Measured) -> list[Limit]:
    """Give each limit, the first to be reached first."""
    disk_a_target = Needs(m, 1).rows + Needs(m, 1).rollups
    log_a_target = Needs(m, 1).log / COPIES
    one_sink = max(m.sink_rows_looked_up * SPARE * INTERVAL, NAMES)
    found = [
        Limit("an agent process, by its core", SPARE / m.check_cpu * INTERVAL, "`agent_instances`, MONITORING_SHARD"),
        Limit(
            "a database's disk",
            _usable(DATABASE_DISK) / disk_a_target,
            "POSTGRES_KEEP_HOURLY_DAYS, POSTGRES_KEEP_ROWS_DAYS; `interval`; several databases",
        ),
        Limit(
            "a database's memory, for the newest chunk's indexes",
            DATABASE_MEMORY / Needs(m, 1).chunk_memory,
            "POSTGRES_CHUNK_HOURS",
        ),
        Limit("a sink, by its rate as it looks names up", one_sink, "`sink_instances`"),
        Limit("as many sinks as the topic has partitions", one_sink * _INIT.partitions, "KAFKA_TOPIC_PARTITIONS"),
        Limit(
            "a broker's disk, one copy of the log",
            _usable(BROKER_DISK) / log_a_target,
            "KAFKA_TOPIC_RETENTION_HOURS; more brokers",
        ),
        Limit("a database, by its rate", m.database_rows * SPARE * INTERVAL, "several databases; `interval`"),
        Limit(
            "a database's connections, by sinks for the rate",
            CONNECTIONS / 2 * one_sink,
            "max_connections in `timescaledb_settings`",
        ),
    ]
    return sorted(found, key=lambda limit: limit.targets)


def size(value: float) -> str:
    """Write bytes for people, in powers of 1000 as disks are sold."""
    unit = next((power for power in range(5) if value < 1000 ** (power + 1)), 5)
    return f"{value / 1000**unit:.3g} {('B', 'kB', 'MB', 'GB', 'TB', 'PB')[unit]}"


def _usable(disk: float) -> float:
    return disk * DISK_FULL


def text(runs: Mapping[str, Run]) -> str:
    """Give docs/scale.md: tests/bench/scale.md with its numbers."""
    m = measured(runs)
    small, large = (Needs(m, targets) for targets in SIZES)
    found = limits(m)
    first = next(limit for limit in found if "agent" not in limit.what)
    less = large.rate * DAY * 7 * m.row + large.targets * (24 * 60 * m.hourly + 365 * m.daily)
    values = {
        "interval": INTERVAL,
        "spare": f"{SPARE:.0%}",
        "broker_cores": BROKER_CORES,
        "broker_disk": size(BROKER_DISK),
        "database_disk": size(DATABASE_DISK),
        "database_memory": size(DATABASE_MEMORY),
        "disk_full": f"{DISK_FULL:.0%}",
        "copies": COPIES,
        "rows_days": _RETENTION.rows_days,
        "hourly_days": _RETENTION.hourly_days,
        "daily_days": _RETENTION.daily_days,
        "retention_hours": _INIT.retention_hours,
        "partitions": _INIT.partitions,
        "chunk_hours": _INIT.chunk_hours,
        "names": f"{NAMES:,}",
        "looked_up": number(m.sink_rows_looked_up),
        "known": number(m.sink_rows),
        "first": first.what,
        "first_targets": number(first.targets),
        "large_rate_300": number(large.rate / 5),
        "large_rows_300": size(large.rows / 5),
        "large_less": size(less),
        "large_databases_less": math.ceil(less / _usable(DATABASE_DISK)),
        "measured": table(("what", "figure", "bench"), _inputs(m)),
        "needed": table(
            ("", f"{small.targets:,} targets", f"{large.targets:,} targets", "computed"),
            ((what, of(small), of(large), how) for what, how, of in _NEEDS),
        ),
        "limits": table(("limit", "targets", "moved by"), ((f.what, number(f.targets), f.moved_by) for f in found)),
    }
    for name, needs in (("small", small), ("large", large)):
        values |= {
            name: f"{needs.targets:,}",
            f"{name}_rate": number(needs.rate),
            f"{name}_agents": needs.agents,
            f"{name}_brokers": needs.brokers,
            f"{name}_sinks": needs.sinks,
            f"{name}_sinks_that_know": needs.sinks_that_know,
            f"{name}_rows_day": size(needs.rate * DAY * m.row),
            f"{name}_rows": size(needs.rows),
            f"{name}_rollups": size(needs.rollups),
            f"{name}_databases": needs.databases_by_disk,
            f"{name}_databases_rate": needs.databases_by_rate,
            f"{name}_disk": size((needs.rows + needs.rollups) / DISK_FULL),
        }
    return Template(Path(__file__).with_suffix(".md").read_text(encoding="utf-8")).substitute(values)


def _inputs(m: Measured) -> Iterable[tuple[str, ...]]:
    return (
        (f"CPU of an HTTPS check, whole agent, {size(len(BODY))} of page", f"{m.check_cpu * 1e3:.2f} ms", "agent"),
        (f"memory of an agent with {m.agent_targets:,} targets", size(m.agent_memory), "agent"),
        ("a message in Kafka's log, one copy", size(m.message), "load"),
        ("CPU of the broker for a message, in and out", f"{m.broker_cpu * 1e6:.0f} us", "load"),
        ("rows a second of one sink, a day's backlog", number(m.sink_rows), "load"),
        ("the same where it looks names up: by what this adds in the store", number(m.sink_rows_looked_up), "load"),
        ("CPU of a sink for a row", f"{m.sink_cpu * 1e6:.0f} us", "sink"),
        ("memory of a sink that knows 1,000 targets", size(m.sink_memory), "sink"),
        ("rows a second of a database", number(m.database_rows), "sink"),
        ("CPU of the database for a row, rollups included", f"{m.database_cpu * 1e6:.0f} us", "load"),
        ("a row on disk, with its place in the indexes", size(m.row), "sink"),
        ("WAL of a row", size(m.wal), "load"),
        ("a rollup of an hour, of a day", f"{size(m.hourly)}, {size(m.daily)}", "load"),
    )

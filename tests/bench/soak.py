"""Half an hour at the highest rate that keeps freshness: whether memory, descriptors, threads and disk stay flat.

A real agent checks 100 targets once a second, a real sink stores, and a fleet of other vantages (tests/bench/fleet.py)
sends as much as the step says. The steps go up until the agent's rows are no longer seen in time or the fleet falls
behind. A step of half a minute sees little of checkpoints and vacuums, so from the last that held on down they are
tried for longer, and the soak runs at the first that holds then. Broker, database, sites and fleet share the machine,
so this is what all of it together bears. A smaller soak takes two steps and two minutes, and its slopes have no bars.
"""

import contextlib
import itertools
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from psycopg2 import sql

from tests.agent_process import AgentProcess
from tests.bench import hosts
from tests.bench.figures import Bench, Figure
from tests.bench.load import log_bytes
from tests.bench.process import descriptors, resident_bytes, threads
from tests.bench.sink import DEFAULTS, a_stage, versions
from tests.bench.site import Site
from tests.integration.stage import Program, Stage
from tests.waiting import wait_until

CHECKS: Final = 100
"""Of the agent, a second."""
FRESH_SECS: Final = DEFAULTS.batch_secs + 0.5
"""From the end of a check to its row, of 99 in a hundred: the bar of the sink's bench."""
STEPS: Final = (200, 1000, 2000, 4000, 6000, 8000, 10_000, 12_000, 15_000, 18_000, 22_000)
"""Results a second of the fleet."""
WARM: Final = 1 / 3
"""The part of the soak in which everything takes the size that it needs: the slopes are of the rest."""
TRIES: Final = 2
"""Of a step: the machine may have been busy with something else."""
LATE_SECS: Final = 1.0
"""How late a burst of the fleet may be: more, and it does not send what the step says."""
AGENT: Final = "soaker"


@dataclass(frozen=True)
class _Size:
    steps: tuple[int, ...]
    step_secs: float
    long_secs: float
    """Of a step from the top down: a checkpoint comes at least every 5 minutes (PostgreSQL's own setting)."""
    soak_secs: float
    sample_secs: float
    has_bars: bool


QUICK: Final = _Size(STEPS[:2], step_secs=10, long_secs=20, soak_secs=120, sample_secs=5, has_bars=False)
FULL: Final = _Size(STEPS, step_secs=30, long_secs=330, soak_secs=1800, sample_secs=15, has_bars=True)


@dataclass
class Samples:
    """What was seen of one thing, and when."""

    at: list[float] = field(default_factory=list)
    """In seconds of any clock."""
    values: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        """Take what is seen now."""
        self.at.append(time.monotonic())
        self.values.append(value)

    def slope(self) -> float:
        """Give the change in an hour after the warm part: the median of the slopes between all pairs (Theil and Sen).

        What goes up and comes back, as a pool of threads does, tilts a line of least squares by when it did so.
        """
        warm = self.at[0] + WARM * (self.at[-1] - self.at[0])
        seen = [(at, value) for at, value in zip(self.at, self.values, strict=True) if at >= warm]
        return statistics.median((b - a) / (then - at) for (at, a), (then, b) in itertools.combinations(seen, 2)) * 3600


class _Fleet:
    """The vantages beside the agent, at a rate."""

    def __init__(self, env_file: Path, rate: float) -> None:
        command = [sys.executable, "-m", "tests.bench.fleet", str(env_file), "live", str(rate)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def stop(self) -> tuple[int, float]:
        """End it; give how many results Kafka has of it, and by how many seconds it fell behind at worst."""
        self._process.send_signal(signal.SIGTERM)
        told, _ = self._process.communicate(timeout=120)
        sent, late = told.split()
        return int(sent), float(late)


def figures(size: _Size = QUICK) -> Iterator[Figure]:
    """Step up, then soak."""
    with a_stage() as stage:
        workspace = stage.directory / "agent"
        workspace.mkdir()
        with contextlib.closing(AgentProcess(workspace)) as agent, Site(workspace) as site:
            sink = stage.start_sink(SINK_BATCH_SECS=str(DEFAULTS.batch_secs))
            _start(agent, stage, [f"{site.https}{number}" for number in range(CHECKS)], site)
            highest, seen = _step_up(stage, size)
            yield Figure(f"highest step that held {size.step_secs:.0f} s", highest, "results/s", note=seen)
            rate, seen = _step_down(stage, size, highest)
            yield Figure(f"highest that held {size.long_secs:.0f} s", rate, "results/s", note=seen)
            yield from _soak(stage, agent, sink, size, rate)


def _start(agent: AgentProcess, stage: Stage, urls: Sequence[str], site: Site) -> None:
    way = stage.way_to_kafka(stage.certificate("agent"))
    agent.configure(**way, MONITORING_AGENT_ID=AGENT, MONITORING_CA_CERTIFICATES=str(site.authority))
    agent.target(*urls)
    agent.start()
    wait_until(lambda: len(_series(stage)) == CHECKS, "a row of every target", 90)


def _series(stage: Stage) -> list[int]:
    rows = stage.sql(
        "SELECT s.id FROM {t_series} AS s JOIN {t_agents} AS a ON a.id = s.agent_id WHERE agent = %s", AGENT
    )
    return [int(row[0]) for row in rows]


def _step_up(stage: Stage, size: _Size) -> tuple[int, str]:
    """Give the highest step that held for a short time, and what stopped the next."""
    held = 0
    for rate in size.steps:
        fell: list[str] = []
        while len(fell) < TRIES and not (tried := _try(stage, rate, size.step_secs)).held:
            fell.append(tried.said)
        if len(fell) == TRIES:
            return held, f"at {rate:,} {', then '.join(fell)}"
        held = rate
    return held, "no step fell"


def _step_down(stage: Stage, size: _Size, highest: int) -> tuple[int, str]:
    """Give the highest step up to that one which held for a long time, and what those above it did."""
    fell: list[str] = []
    for rate in sorted((step for step in size.steps if step <= highest), reverse=True):
        tried = _try(stage, rate, size.long_secs)
        if tried.held:
            return rate, "; ".join([tried.said, *fell])
        fell.append(f"at {rate:,} {tried.said}")
    raise LookupError(f"no step keeps freshness: {'; '.join(fell)}")


@dataclass(frozen=True)
class _Tried:
    p99: float
    late: float

    @property
    def held(self) -> bool:
        return self.p99 <= FRESH_SECS and self.late <= LATE_SECS

    @property
    def said(self) -> str:
        return f"p99 {self.p99:.2f} s, fleet {self.late:.1f} s late"


def _try(stage: Stage, rate: int, seconds: float) -> _Tried:
    """Let the fleet send at a rate for so long; the backlog that it leaves is gone when this ends."""
    before = stage.committed()
    fleet = _Fleet(stage.env_file("init"), rate)
    time.sleep(10)  # its start, and what was new to the sink
    p99 = _p99(_waits(stage, seconds))
    sent, late = fleet.stop()
    wait_until(lambda: stage.committed() >= before + sent, "the backlog of a step", 300)
    return _Tried(p99, late)


def _waits(stage: Stage, seconds: float) -> list[float]:
    """Watch the agent's rows for so long; give the seconds from the end of each check to when its row could be seen."""
    series = _series(stage)
    look = sql.SQL(
        "SELECT series_id, time, total_secs FROM {} WHERE series_id = ANY(%s) AND time > now() - interval '20 s'"
    ).format(sql.Identifier(stage.table))
    begin = datetime.now(UTC)
    end = begin + timedelta(seconds=seconds)
    seen: dict[tuple[int, datetime], float] = {}
    with stage.database() as cursor:
        # Past the end too: what is late must count.
        while datetime.now(UTC) < end + timedelta(seconds=4 * FRESH_SECS):
            cursor.execute(look, (series,))
            now = datetime.now(UTC)
            for number, moment, total_secs in cursor.fetchall():
                if begin <= moment < end:
                    seen.setdefault((number, moment), (now - moment).total_seconds() - total_secs)
            time.sleep(0.05)
    # A row that never came in this time is as late as can be.
    owed = int(seconds * CHECKS * 0.98)
    return sorted([*seen.values(), *itertools.repeat(4 * FRESH_SECS, max(0, owed - len(seen)))])


def _p99(waited: Sequence[float]) -> float:
    return waited[int(0.99 * (len(waited) - 1))]


def _soak(stage: Stage, agent: AgentProcess, sink: Program, size: _Size, rate: int) -> Iterator[Figure]:
    assert agent.process is not None
    pids = {"agent": agent.process.pid, "sink": sink.process.pid}
    seen = {(name, what): Samples() for name in pids for what in ("memory", "descriptors", "threads")}
    outbox, wal, log, rows = Samples(), Samples(), Samples(), Samples()
    windows: list[list[float]] = []
    since = datetime.now(UTC)
    fleet = _Fleet(stage.env_file("init"), rate)
    began = time.monotonic()
    while time.monotonic() < began + size.soak_secs:
        for name, pid in pids.items():
            seen[name, "memory"].add(resident_bytes(pid) / 1e6)
            seen[name, "descriptors"].add(descriptors(pid))
            seen[name, "threads"].add(threads(pid))
        outbox.add(sum(file.stat().st_size for file in agent.workspace.glob("outbox.sqlite*")) / 1e6)
        wal.add(hosts.used_bytes(hosts.WAL) / 1e6)
        log.add(log_bytes(stage) / 1e6)
        rows.add(int(stage.sql("SELECT hypertable_size(%s::regclass)", f'"{stage.table}"')[0][0]) / 1e6)
        windows.append(_waits(stage, size.sample_secs))
    took = time.monotonic() - began
    sent, late = fleet.stop()
    minutes = f"{took / 60:.0f} minutes at {rate:,} results/s and {CHECKS} checks/s"
    yield Figure("soaked at", rate, "results/s", note=f"the fleet was {late:.1f} s late at worst")
    p99 = _p99(sorted(itertools.chain.from_iterable(windows)))
    yield Figure("freshness p99", p99, "s", at_most=FRESH_SECS, note=minutes)
    of_windows = [_p99(window) for window in windows]
    fell = sum(one > FRESH_SECS for one in of_windows)
    note = f"of {len(windows)} of {size.sample_secs:.0f} s; {fell} were over the bar of all"
    yield Figure("  of its worst window", max(of_windows), "s", note=note)
    units = {"memory": ("MB", 10.0), "descriptors": ("", 1.0), "threads": ("", 1.0)}
    flat = f"median of the slopes between all pairs of the last {1 - WARM:.0%} of {len(windows)} samples"
    for (name, what), samples in seen.items():
        unit, most = units[what]
        yield Figure(f"{what} of the {name}, peak", max(samples.values), unit)
        yield Figure(
            "  slope", samples.slope(), f"{unit}/h".strip(), at_most=most if size.has_bars else None, note=flat
        )
    yield Figure("outbox on disk, peak", max(outbox.values), "MB")
    yield Figure("  slope", outbox.slope(), "MB/h", at_most=1.0 if size.has_bars else None, note=flat)
    yield Figure("WAL on disk, peak", max(wal.values), "MB", note="PostgreSQL keeps it near max_wal_size, 1 GB")
    yield Figure("  slope", wal.slope(), "MB/h")
    results_an_hour = (rate + CHECKS) * 3600
    for what, samples in (("Kafka's log", log), ("rows on disk", rows)):
        yield Figure(f"{what}, slope", samples.slope(), "MB/h", note="kept until retention takes it")
        yield Figure("  a result", samples.slope() * 1e6 / results_an_hour, "bytes")
    yield from _all_there(stage, agent, since, sent)


def _all_there(stage: Stage, agent: AgentProcess, began: datetime, sent: int) -> Iterator[Figure]:
    """Hold what is stored of the soak against what was made, once the agent has stopped."""
    agent.send(signal.SIGTERM)
    agent.wait(30)
    deadline = time.monotonic() + 120
    while _of_fleet(stage, began) < sent and time.monotonic() < deadline:
        time.sleep(0.5)
    missing = sent - _of_fleet(stage, began)
    yield Figure("rows of the fleet missing, or too many", missing, "", at_least=0, at_most=0, note=f"of {sent:,}")
    waiting = len(agent.results())
    slots, missed = stage.sql(_SLOTS, began, AGENT)[0]
    note = f"of {int(slots):,}; {waiting} more wait on its disk, as it was stopped"
    yield Figure("slots of the agent without a row", int(missed), "", at_most=0, note=note)


def _of_fleet(stage: Stage, began: datetime) -> int:
    found = stage.sql(
        "SELECT count(*) FROM {t} AS m JOIN {t_series} AS s ON s.id = m.series_id"
        " JOIN {t_agents} AS a ON a.id = s.agent_id WHERE m.time >= %s AND agent <> %s",
        began,
        AGENT,
    )
    return int(found[0][0])


# From the first slot to the last one that there is a row of.
_SLOTS: Final = """
SELECT sum(owed), sum(owed - kept) FROM (
    SELECT round(extract(epoch FROM max(slot) - min(slot))) + 1 AS owed, count(*) AS kept
    FROM (SELECT series_id, time - delay_secs * INTERVAL '1 second' AS slot FROM {t} WHERE time >= %s) AS m
    JOIN {t_series} AS s ON s.id = m.series_id JOIN {t_agents} AS a ON a.id = s.agent_id WHERE agent = %s
    GROUP BY s.id
) AS series
"""

BENCH: Final = Bench(figures, versions, full=partial(figures, FULL))

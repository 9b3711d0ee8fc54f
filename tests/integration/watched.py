"""`webmon agent` as a process against a real Kafka, watched through an outage: what it costs, says and delivers."""

import contextlib
import dataclasses
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from tests.agent_process import AgentProcess
from tests.integration.stage import Stage
from tests.waiting import wait_until
from webmon.agent.outbox import Outbox
from webmon.check.result import CheckResult, decode, encode
from webmon.kafka import client

INTERVAL_SECS = 1.0
TARGETS = 5
MOST_CORES = 0.3
"""Checks included: they take some 0.02 of a core where the machine has nothing else to do, and 0.1 where it is busy."""
MOST_CORES_AT_ONCE = 0.6
"""Over five seconds: what spins takes all that it gets."""
MOST_GROWTH = 16 << 20
"""Bytes by which an outage may make an agent grow: 2,000 records in flight, at 2 KB each, and what is read of the
outbox at once."""

Key = tuple[str, str, datetime]


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a process has used so far."""

    at: float
    """When, in seconds of CLOCK_MONOTONIC."""
    wall: float
    """When, in Unix time."""
    cpu: float
    """Seconds of all its threads."""
    resident: int
    """Bytes of memory."""
    files: int
    """Open descriptors, sockets among them."""


def used(pid: int) -> Usage:
    """Measure a process."""
    process = Path("/proc") / str(pid)
    ticks = process.joinpath("stat").read_text().rpartition(")")[2].split()
    return Usage(
        at=time.monotonic(),
        wall=time.time(),
        cpu=(int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"),
        resident=int(process.joinpath("statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        files=len(list(process.joinpath("fd").iterdir())),
    )


class Watched:
    """An agent in a workspace of its own that checks TARGETS every second and publishes to a stage's topic."""

    def __init__(self, stage: Stage, name: str, url: str, pair: tuple[Path, Path]) -> None:
        """Write its files, with `pair` as its certificate and key; nothing runs yet."""
        self.name = name
        self.workspace = stage.directory / name
        self.workspace.mkdir()
        self.certificate = self.workspace / "own.pem", self.workspace / "own.key"
        self.renew(pair)
        self._process = AgentProcess(self.workspace)
        self._process.configure(
            **stage.way_to_kafka(self.certificate),
            MONITORING_AGENT_ID=name,
            MONITORING_RETRY_SECS=f"{INTERVAL_SECS:g}",
        )
        self._process.target(*(f"{url}{number}" for number in range(TARGETS)))

    def renew(self, pair: tuple[Path, Path]) -> None:
        """Give it another certificate and key, in the files that it has."""
        for new, own in zip(pair, self.certificate, strict=True):
            beside = own.with_suffix(".new")
            beside.write_bytes(new.read_bytes())
            beside.chmod(0o600)
            beside.replace(own)

    def fill(self, results: Sequence[CheckResult]) -> None:
        """Put results into its outbox, before it starts."""
        # In parts: what is not on disk yet is bounded too.
        for start in range(0, len(results), 10_000):
            outbox = Outbox(self._path, 1_000_000_000)
            for result in results[start : start + 10_000]:
                outbox.put(result.target.encode(), encode(result))
            outbox.close(30)

    def start(self) -> None:
        """Start it."""
        self._process.start()

    def close(self) -> None:
        """End it."""
        self._process.close()

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process.process is not None
        assert self._process.process.poll() is None, self.said()
        return self._process.process.pid

    def said(self) -> str:
        """Give what it logged so far."""
        return self._process.log.read_text(encoding="utf-8")

    def wait_until_said(self, text: str, seconds: float = 30) -> None:
        """Wait until it logs a text."""
        wait_until(lambda: text in self.said(), lambda: f"{text!r} in the log of {self.name}:\n{self.said()}", seconds)

    def waiting(self) -> list[CheckResult]:
        """Read what waits in its outbox, beside it."""
        with contextlib.closing(sqlite3.connect(self._path)) as db:
            return [decode(value) for (value,) in db.execute("SELECT value FROM results ORDER BY id")]

    def count_waiting(self) -> int:
        """Count what waits in its outbox."""
        with contextlib.closing(sqlite3.connect(self._path)) as db:
            count: int = db.execute("SELECT count(*) FROM results").fetchone()[0]
            return count

    def wait_until_drained(self, seconds: float = 60) -> None:
        """Wait until nothing waits in its outbox but what it has just put there."""

        def oldest() -> timedelta:
            return max((datetime.now(UTC) - result.time for result in self.waiting()), default=timedelta())

        wait_until(
            lambda: self.count_waiting() < 100 and oldest() < timedelta(seconds=3), f"{self.name} drained", seconds
        )

    @property
    def _path(self) -> Path:
        return self.workspace / "outbox.sqlite"


def published(stage: Stage) -> list[CheckResult]:
    """Read the whole topic."""
    ours = stage.kafka_settings("init")
    consumer = KafkaConsumer(**(client.consumer_args(ours) | {"group_id": None}))
    try:
        partitions = [TopicPartition(ours.topic, number) for number in consumer.partitions_for_topic(ours.topic)]
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        found: list[CheckResult] = []
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for records in consumer.poll(timeout_ms=1000).values():
                found += [decode(record.value) for record in records]
        return found
    finally:
        consumer.close()


@dataclasses.dataclass
class Seen:
    """What was seen of one agent in an outage."""

    usage: list[Usage]
    """About once a second, from the beginning of the outage to its end."""
    waited: set[Key]
    """What was in its outbox at the end."""
    during: str
    """What it logged meanwhile."""
    said: str = ""
    """What it logged from the beginning of the outage until all was well again."""
    published: list[CheckResult] = dataclasses.field(default_factory=list)
    """What the topic held of it in the end."""

    def lines(self, text: str) -> list[str]:
        """Give what it logged with that text."""
        return [line for line in self.said.splitlines() if text in line]

    def missed_slots(self) -> int:
        """Count the slots of the time of the outage that no result is of."""
        began, ended = self.usage[0].wall, self.usage[-1].wall
        slots: dict[str, set[float]] = {}
        for result in self.published:
            if result.interval == INTERVAL_SECS and began <= (at := result.scheduled_at.timestamp()) <= ended:
                slots.setdefault(result.target, set()).add(at)
        return sum(round((max(times) - min(times)) / INTERVAL_SECS) + 1 - len(times) for times in slots.values())


def cores(usage: list[Usage]) -> float:
    """Give how much of a core a process used from the first measurement to the last."""
    return (usage[-1].cpu - usage[0].cpu) / (usage[-1].at - usage[0].at)


def busiest(usage: list[Usage]) -> float:
    """Give the most of a core that it used over any five measurements in a row."""
    return max(cores(usage[start : start + 5]) for start in range(len(usage) - 4))


def key(result: CheckResult) -> Key:
    """Give what makes a result one of its own."""
    return result.agent, result.target, result.time


def observe(
    agents: list[Watched], until: Callable[[float], bool], others: Sequence[int] = ()
) -> tuple[dict[str, Seen], list[list[Usage]]]:
    """Watch agents, and the usage of other processes, through an outage that has just begun.

    `until` is given the seconds since then, and says whether it may end.
    """
    began = time.monotonic()
    said = [len(agent.said()) for agent in agents]
    pids = [agent.pid for agent in agents] + list(others)
    usage = [[used(pid)] for pid in pids]
    while not until(time.monotonic() - began):
        time.sleep(1)
        for pid, of_one in zip(pids, usage, strict=True):
            of_one.append(used(pid))
    seen = {
        agent.name: Seen(of_one, {key(r) for r in agent.waiting()}, agent.said()[start:])
        for agent, of_one, start in zip(agents, usage, said, strict=False)
    }
    return seen, usage[len(agents) :]


def finish(stage: Stage, agents: list[Watched], seen: dict[str, Seen]) -> None:
    """Wait until the agents have delivered everything, and note what came of it."""
    for agent in agents:
        agent.wait_until_drained(120)
        noted = seen[agent.name]
        said = agent.said()
        noted.said = said[said.index(noted.during) :] if noted.during else ""
    for result in published(stage):
        if result.agent in seen:
            seen[result.agent].published.append(result)


def assert_costs_little(seen: Seen) -> None:
    """Hold an agent's usage in an outage against what it may be."""
    resident = [usage.resident for usage in seen.usage]
    grown = max(resident) - resident[0]
    opened = [usage.files for usage in seen.usage]
    print(
        f"{cores(seen.usage):.3f} of a core, at most {busiest(seen.usage):.3f}; {grown / 2**20:.1f} MB more; "
        f"{opened[0]} descriptors, then up to {max(opened)}, in the end {opened[-1]}"
    )
    assert cores(seen.usage) < MOST_CORES
    assert busiest(seen.usage) < MOST_CORES_AT_ONCE
    assert grown < MOST_GROWTH
    assert max(opened) <= opened[0] + 10

"""`webmon agent` as a process against a real Kafka, watched through an outage: what it costs, says and delivers."""

import contextlib
import dataclasses
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from kafka import KafkaConsumer, TopicPartition

from tests.agent_process import AgentProcess
from tests.integration.stage import Stage
from tests.waiting import wait_until
from webmon import kafka
from webmon.agent.outbox import Outbox
from webmon.check.result import CheckResult, decode, encode

INTERVAL_SECS = 1.0
MOST_CORES = 0.1
"""The agents here check ten targets a second; that alone costs some 0.03 of a core."""
MOST_GROWTH = 16 << 20
"""Bytes by which an outage may make an agent grow: 2,000 records in flight, at 2 KB each, and what is read of the
outbox at once."""

Key = tuple[str, str, datetime]


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a process has used so far."""

    at: float
    """When, in seconds of CLOCK_MONOTONIC."""
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
        cpu=(int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"),
        resident=int(process.joinpath("statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
        files=len(list(process.joinpath("fd").iterdir())),
    )


def cores(before: Usage, after: Usage) -> float:
    """Give how much of a core a process used between two measurements."""
    return (after.cpu - before.cpu) / (after.at - before.at)


class Watched:
    """An agent in a workspace of its own that checks `targets` every second and publishes to a stage's topic."""

    def __init__(self, stage: Stage, name: str, url: str, targets: int, pair: tuple[Path, Path]) -> None:
        """Write its files, with `pair` as its certificate and key; nothing runs yet."""
        self.name = name
        self.workspace = stage.directory / name
        self.workspace.mkdir()
        self.certificate = self.workspace / "own.pem", self.workspace / "own.key"
        self.renew(pair)
        self._process = AgentProcess(self.workspace)
        services = stage.services
        self._process.configure(
            KAFKA_HOST=services.kafka_host,
            KAFKA_PORT=str(services.kafka_port),
            KAFKA_TOPIC_NAME=stage.topic,
            KAFKA_ACCESS_CERTIFICATE=str(self.certificate[0]),
            KAFKA_ACCESS_KEY=str(self.certificate[1]),
            KAFKA_CA_CERTIFICATE=str(services.ca),
            MONITORING_AGENT_ID=name,
            MONITORING_RETRY_SECS=f"{INTERVAL_SECS:g}",
        )
        self._process.target(*(f"{url}{number}" for number in range(targets)))

    def renew(self, pair: tuple[Path, Path]) -> None:
        """Give it another certificate and key, in the files that it has."""
        for new, own in zip(pair, self.certificate, strict=True):
            beside = own.with_suffix(".new")
            beside.write_bytes(new.read_bytes())
            beside.chmod(0o600)
            beside.replace(own)

    def fill(self, results: Iterable[CheckResult]) -> None:
        """Put results into its outbox, before it starts."""
        outbox = Outbox(self._path, 1_000_000_000)
        for result in results:
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

    def used(self) -> Usage:
        """Measure it."""
        return used(self.pid)

    def said(self) -> str:
        """Give what it logged so far."""
        return self._process.log.read_text(encoding="utf-8")

    def wait_until_said(self, text: str, seconds: float = 30) -> None:
        """Wait until it logs a text."""
        wait_until(lambda: text in self.said(), f"{text!r} in the log of {self.name}:\n{self.said()}", seconds)

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
    consumer = KafkaConsumer(**(kafka.consumer_args(ours) | {"group_id": None}))
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


def missed_slots(results: list[CheckResult], agent: str) -> dict[str, int]:
    """Count the slots between the first and the last of each target of an agent that no result is of."""
    slots: dict[str, set[float]] = {}
    for result in results:
        if result.agent == agent:
            slots.setdefault(result.target, set()).add(result.scheduled_at.timestamp())
    missed = {
        target: round((max(times) - min(times)) / INTERVAL_SECS) + 1 - len(times) for target, times in slots.items()
    }
    return {target: count for target, count in missed.items() if count}


@dataclasses.dataclass
class Seen:
    """What was seen of one agent in an outage."""

    before: Usage
    after: Usage
    most: int
    """The most bytes of memory it had."""
    waited: set[Key]
    """What was in its outbox at the end of the outage."""
    said: str = ""
    """What it logged from the beginning of the outage until all was well again."""
    published: list[CheckResult] = dataclasses.field(default_factory=list)
    """What the topic held of it in the end."""

    @property
    def cores(self) -> float:
        """How much of a core it used."""
        return cores(self.before, self.after)

    def lines(self, text: str) -> list[str]:
        """Give what it logged with that text."""
        return [line for line in self.said.splitlines() if text in line]


def key(result: CheckResult) -> Key:
    return result.agent, result.target, result.time


def observe(agents: list[Watched], until: Callable[[float], bool]) -> dict[str, Seen]:
    """Watch agents through an outage that has just begun, until it may end; `until` is given the seconds."""
    began = time.monotonic()
    before = {agent.name: agent.used() for agent in agents}
    most = dict.fromkeys(before, 0)
    while not until(time.monotonic() - began):
        time.sleep(1)
        for agent in agents:
            most[agent.name] = max(most[agent.name], agent.used().resident)
    return {
        agent.name: Seen(before[agent.name], agent.used(), most[agent.name], {key(r) for r in agent.waiting()})
        for agent in agents
    }


def finish(stage: Stage, agents: list[Watched], seen: dict[str, Seen], said_before: dict[str, int]) -> None:
    """Wait until the agents have delivered everything, and note what came of it."""
    for agent in agents:
        agent.wait_until_drained(120)
        seen[agent.name].said = agent.said()[said_before[agent.name] :]
    for result in published(stage):
        if result.agent in seen:
            seen[result.agent].published.append(result)

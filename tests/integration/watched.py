"""`webmon agent` as a process against a real Kafka, watched through an outage: what it costs, says and delivers."""

import contextlib
import dataclasses
import os
import sqlite3
import time
from collections.abc import Iterable
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
        process = Path("/proc") / str(self.pid)
        ticks = process.joinpath("stat").read_text().rpartition(")")[2].split()
        return Usage(
            at=time.monotonic(),
            cpu=(int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK"),
            resident=int(process.joinpath("statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE"),
            files=len(list(process.joinpath("fd").iterdir())),
        )

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

"""Whole agents beside peers at the same nginx, their results published to the broker: CPU per check, and how many.

Telegraf and agents take turns with the machine, each on lists of its own size that are asked once a second, and what
came to the topic in a turn is what they did in it. Where WEBMON_AGAINST names a checkout of another webmon, its agent
takes turns with them, and the bars are of it. blackbox_exporter publishes nothing; it is probed back to back.
"""

import contextlib
import os
import signal
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from kafka import KafkaConsumer, TopicPartition

from tests import blackbox, debian
from tests.bench import nginx, telegraf
from tests.bench.agent import Running
from tests.bench.figures import Bench, Figure
from tests.bench.overload import LATE_SECS, Seen, said
from tests.bench.process import cpu_secs
from tests.bench.sink import a_stage
from tests.bench.site import PATTERN
from tests.integration.stage import Stage
from webmon.check.result import decode
from webmon.kafka import client

RATES: Final = (100, 400)
PAIRS: Final = 7
TURN_SECS: Final = 5.0
PROBES: Final = 300
STEPS: Final[Mapping[str, tuple[int, ...]]] = {
    "https": (400, 500, 600, 700, 800, 900),
    "http": (800, 1000, 1200, 1400, 1600, 1800),
}
"""Checks a second that one process is given, one step after the other."""
STEP_SECS: Final = 8.0
BARS: Final[Mapping[str, int]] = {"https": 700, "http": 1600}


class Topic:
    """What came to the topic of a stage."""

    def __init__(self, stage: Stage) -> None:
        """Look at a topic that is there."""
        self._consumer = KafkaConsumer(**(client.consumer_args(stage.kafka_settings("init")) | {"group_id": None}))
        self._parts = [
            TopicPartition(stage.topic, number) for number in self._consumer.partitions_for_topic(stage.topic)
        ]

    def ends(self) -> dict[TopicPartition, int]:
        """Give where each partition ends."""
        return dict(self._consumer.end_offsets(self._parts))

    def count(self) -> int:
        """Give how many records it ever got."""
        return sum(self.ends().values())

    def after(self, ends: Mapping[TopicPartition, int]) -> list[Any]:
        """Give the records that came after it ended there."""
        self._consumer.assign(self._parts)
        for part, end in ends.items():
            self._consumer.seek(part, end)
        found: list[Any] = []
        wanted = self.count() - sum(ends.values())
        while len(found) < wanted:
            for records in self._consumer.poll(timeout_ms=1000).values():
                found.extend(records)
        return found

    def close(self) -> None:
        """Let go of it."""
        self._consumer.close()


def figures() -> Iterator[Figure]:
    """Measure everything; a quarter of an hour."""
    with (
        tempfile.TemporaryDirectory(prefix="webmon-bench-") as name,
        nginx.Nginx(Path(name)) as site,
        a_stage(partitions=3) as stage,
    ):
        yield from _blackbox(Path(name), site)
        for scheme in ("https", "http"):
            for rate in RATES:
                yield from _in_turns(Path(name) / f"{scheme}-{rate}", site, stage, scheme, rate)
        for scheme, rates in STEPS.items():
            yield _most(Path(name), site, stage, scheme, rates)


def _blackbox(workspace: Path, site: nginx.Nginx) -> Iterator[Figure]:
    with blackbox.Blackbox(workspace, {"page": blackbox.module_of_page(PATTERN, site.authority)}) as compared:
        for url in (site.https, site.http):
            cpu = cpu_secs(compared.pid)
            for _ in range(PROBES):
                assert "\nprobe_success 1\n" in compared.probe(url, "page")
            spent = (cpu_secs(compared.pid) - cpu) / PROBES * 1e3
            yield Figure(f"blackbox_exporter, {url.split(':')[0]}", spent, "ms", note="back to back, scrape included")


def _in_turns(workspace: Path, site: nginx.Nginx, stage: Stage, scheme: str, rate: int) -> Iterator[Figure]:
    workspace.mkdir()
    base = site.https if scheme == "https" else site.http
    urls = [f"{base}{number}" for number in range(rate)]
    kafka = stage.way_to_kafka(stage.certificate("agent"))
    checkouts: dict[str, Path | None] = {"webmon": None}
    if against := os.environ.get("WEBMON_AGAINST"):
        checkouts["webmon before"] = Path(against)
    spent: dict[str, list[float]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        pids = {}
        for name, checkout in checkouts.items():
            made = Running(workspace / name, site, urls, interval=1, timeout=1, checkout=checkout, more=kafka)
            pids[name] = stack.enter_context(made).pid
            os.kill(pids[name], signal.SIGSTOP)
        peer = telegraf.Telegraf(workspace / "telegraf", urls, pattern=PATTERN, authority=site.authority, kafka=kafka)
        pids["Telegraf"] = stack.enter_context(peer).pid
        os.kill(pids["Telegraf"], signal.SIGSTOP)
        topic = stack.enter_context(contextlib.closing(Topic(stage)))
        for pair in range(PAIRS + 1):
            for name, pid in pids.items():
                seconds = _turn(pid, topic, rate, f"{name} ({workspace})")
                if pair:  # the first warms them up
                    spent[name].append(seconds * 1e3)
    what = f"CPU per check, {scheme.upper()} at {rate}/s"
    for name, values in spent.items():
        yield Figure(f"{what}: {name}", statistics.median(values), "ms", note="whole process, published")
    for other, bar in (("webmon before", 1.05), ("Telegraf", None)):
        if other in spent:
            ratios = [ours / theirs for ours, theirs in zip(spent["webmon"], spent[other], strict=True)]
            yield Figure(
                f"  to {other}", statistics.median(ratios), "ratio", at_most=bar, note=f"median of {PAIRS} pairs"
            )


def _turn(pid: int, topic: Topic, rate: int, who: str) -> float:
    """Let a process run for a turn; give the CPU seconds of each result that came of it."""
    os.kill(pid, signal.SIGCONT)
    time.sleep(2.5)  # it finds that it stood still, and sends what it had
    done, cpu = topic.count(), cpu_secs(pid)
    time.sleep(TURN_SECS)
    done, cpu = topic.count() - done, cpu_secs(pid) - cpu
    os.kill(pid, signal.SIGSTOP)
    owed = rate * TURN_SECS
    assert 0.7 * owed < done < 1.4 * owed, f"{who}: {done} results of {owed:.0f}"
    return cpu / done


def _most(workspace: Path, site: nginx.Nginx, stage: Stage, scheme: str, rates: tuple[int, ...]) -> Figure:
    base = site.https if scheme == "https" else site.http
    kafka = stage.way_to_kafka(stage.certificate("agent"))
    borne, stopped = 0, "no step was too much"
    with contextlib.closing(Topic(stage)) as topic:
        for rate in rates:
            urls = [f"{base}{number}" for number in range(rate)]
            before = topic.ends()
            with Running(workspace / f"{scheme}-most-{rate}", site, urls, interval=1, timeout=1, more=kafka) as running:
                time.sleep(3.0)
                began, missed = time.time(), running.metric("webmon_slots_missed_total")
                time.sleep(STEP_SECS)
                ended, missed = time.time(), running.metric("webmon_slots_missed_total") - missed
            results = [
                result
                for result in (decode(record.value) for record in topic.after(before))
                if began <= result.scheduled_at.timestamp() < ended
            ]
            seen = Seen(results, missed, ended - began)
            if not seen.is_borne or len(results) < 0.97 * rate * STEP_SECS:
                stopped = f"at {rate:,}: {said(seen) or f'{len(results)} results'}"
                break
            borne = rate
    return Figure(
        f"{scheme.upper()} checks a second of one process", borne, "checks/s", at_least=BARS[scheme],
        note=f"lateness p99 at most {LATE_SECS * 1e3:.0f} ms, published; {stopped}",
    )  # fmt: skip


def versions() -> Mapping[str, str]:
    """Give what was compared."""
    return {
        blackbox.PACKAGE: blackbox.version(),
        nginx.PACKAGE: debian.version(nginx.PACKAGE),
        "telegraf": telegraf.version(),
    }


BENCH: Final = Bench(figures=figures, versions=versions)

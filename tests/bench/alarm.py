"""The judge: from the end of a check to the receiver, what a result costs, how much memory, how long a take-over."""

import contextlib
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

from tests.bench import replay
from tests.bench.figures import Bench, Figure
from tests.bench.process import resident_bytes
from tests.integration.alarms import Alarms
from tests.integration.services import find
from tests.integration.stage import Stage
from tests.meanwhile import meanwhile
from tests.receiver import Receiver
from tests.waiting import wait_until
from webmon.alarm.conditions import Step
from webmon.alarm.judge import Judge
from webmon.alarm.ruleset import Route, Ruleset
from webmon.check.result import CheckResult, Outcome, encode, headers
from webmon.kafka import decode

VANTAGES: Final = ("a", "b", "c")
RULES: Final = Ruleset(routes=(Route((Step(0.0, ("hook",)),)),))


@dataclass(frozen=True)
class _Size:
    targets: int
    """Of the list, each checked by three vantages."""
    rounds: int
    """Checks of each that are judged for the cost of a result."""
    alarms: int
    """Whose way is timed."""


QUICK: Final = _Size(targets=1000, rounds=10, alarms=40)
FULL: Final = _Size(targets=5000, rounds=20, alarms=200)


def a_result(
    target: str, agent: str, at: datetime, outcome: Outcome = Outcome.UP, interval: float = 60.0
) -> CheckResult:
    """Make a result as an agent does, with all that HTTPS has."""
    return CheckResult(
        target=target,
        url=f"https://{target}.example.org/some/page",
        kind="https",
        labels={"team": "shop", "tier": "gold"},
        agent=agent,
        scheduled_at=at,
        time=at,
        interval=interval,
        outcome=outcome,
        error=None if outcome.is_up else "connecting: Connection refused",
        http_status=200 if outcome.is_up else None,
        response_time=0.03,
        total_time=0.05,
        http_version="2",
        remote_ip="192.0.2.1",
        tls_version="TLSv1.3",
        tls_not_after=datetime(2031, 1, 1, tzinfo=UTC),
    )


def records(size: _Size, begin: datetime) -> Iterator[list[Any]]:
    """Give a list of records for each round, one minute after the other."""
    for number in range(size.rounds):
        found = []
        for place in range(size.targets):
            for vantage, agent in enumerate(VANTAGES):
                at = begin + timedelta(seconds=60 * number + 20 * vantage, milliseconds=place)
                one = a_result(f"site{place}", agent, at)
                found.append(
                    SimpleNamespace(
                        topic="results",
                        partition=place % 6,
                        offset=number * size.targets * 3 + place * 3 + vantage,
                        key=one.target.encode(),
                        value=encode(one),
                        headers=list(headers()),
                        timestamp=round(at.timestamp() * 1000) + 60,
                        timestamp_type=1,
                    )
                )
        yield found


def judge_all(judge: Judge, found: list[Any], now: datetime) -> None:
    """Do what a session does with records."""
    readable, unreadable = decode.read(found, now=now)
    assert not unreadable
    for record, result in readable:
        judge.result(result, record.timestamp, partition=record.partition, offset=record.offset)


def cost_figures(size: _Size) -> Iterator[Figure]:
    """Measure one process's CPU, without Kafka's client."""
    begin = datetime.now(UTC) - timedelta(hours=1)
    judge = Judge(RULES, now=round(begin.timestamp() * 1000))
    costs = []
    for number, found in enumerate(records(size, begin)):
        began = time.process_time()
        judge_all(judge, found, datetime.now(UTC))
        if number:  # all of them are new in the first
            costs.append((time.process_time() - began) / len(found))
    cost = statistics.median(costs)
    yield Figure("CPU for a result: decoded, believed, judged", cost * 1e6, "us", at_most=12)
    yield Figure(
        "results judged by one process", 1 / cost, "results/s", at_least=40_000, note="without the way from Kafka"
    )


def memory_figures(size: _Size) -> Iterator[Figure]:
    """Measure the memory of a process that knows all targets."""
    program = [sys.executable, "-m", "tests.bench.alarm", str(size.targets)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == "ready\n"
        used = resident_bytes(process.pid)
        process.stdin.close()
    name = f"memory of the judge, {size.targets} targets by 3 vantages"
    yield Figure(name, used / 1e6, "MB", at_most=150, note="without Kafka's client")


def told_figures(size: _Size) -> Iterator[Figure]:
    """Simulate failures at any moment of the interval; nothing is slow but the schedule."""
    chance = random.Random(1)
    waits = []
    for _ in range(size.alarms * 5):
        now = 1_800_000_000_000
        judge = Judge(RULES, now=now)
        fails_at = now + 300_000 + chance.uniform(0, 60_000)
        offset, told = 0, None
        for moment in range(now, now + 480_000, 1000):
            judge.tick(moment)
            for vantage, agent in enumerate(VANTAGES):
                if (moment - now) % 60_000 == vantage * 20_000:
                    outcome = Outcome.CONNECT_ERROR if moment >= fails_at else Outcome.UP
                    at = datetime.fromtimestamp(moment / 1000, UTC)
                    judge.result(a_result("shop", agent, at, outcome), moment + 60, partition=0, offset=offset)
                    offset += 1
            if told is None and judge.due(moment + 61):
                told = moment - fails_at
        assert told is not None
        waits.append(told / 1000)
    note = "3 vantages, interval 60 s, refused connections, simulated"
    yield Figure("failure to told, mean", statistics.mean(waits), "s", at_most=52, note=note)
    yield Figure("failure to told, worst", max(waits), "s", at_most=63, note=note)


class Crowd:
    """Results of targets that are up, at a steady rate, beside those that are timed."""

    def __init__(self, alarms: Alarms, rate: int) -> None:
        self.sent = 0
        self._alarms = alarms
        self._producer = alarms.stage.producer()
        self._rate = rate
        self._began = time.monotonic()

    def send(self) -> None:
        """Send what is owed by now."""
        for _ in range(int((time.monotonic() - self._began) * self._rate) - self.sent):
            one = a_result(f"crowd{self.sent % 3000}", VANTAGES[self.sent % 3], datetime.now(UTC))
            self._producer.send(self._alarms.stage.topic, key=one.target.encode(), value=encode(one), headers=headers())
            self.sent += 1


def way_figures(alarms: Alarms, size: _Size, rate: int, bars: tuple[float | None, float]) -> Iterator[Figure]:
    """Time alarms from the end of the confirming check to the request at the receiver."""
    ended: dict[str, float] = {}
    came: dict[str, float] = {}
    crowd = Crowd(alarms, rate)
    with meanwhile(crowd.send, every=0.02):
        began = time.monotonic()
        for number in range(size.alarms):
            target = f"timed{rate}-{number}"
            alarms.publish(Outcome.UP, target=target)
            ended[target] = time.time()
            alarms.publish(Outcome.CONNECT_ERROR, target=target)
            time.sleep(0.1)
        wait_until(lambda: {one["target"] for one in alarms.of()} >= ended.keys(), "all told", 60)
        reached = crowd.sent / (time.monotonic() - began)
    for at, message in zip(alarms.times(), alarms.told(), strict=False):
        for one in [message, *message["others"]]:
            came.setdefault(one["target"], at)
    waits = sorted(came[target] - at for target, at in ended.items())
    note = f"{reached:.0f} results/s were published"
    name = f"end of the confirming check to the receiver, {rate} results/s"
    if bars[0] is not None:
        yield Figure(f"{name}, p50", statistics.median(waits), "s", at_most=bars[0], note=note)
    yield Figure(f"{name}, p99", waits[int(len(waits) * 0.99)], "s", at_most=bars[1], note=note)


def take_over_figures(alarms: Alarms, size: _Size) -> Iterator[Figure]:
    """Time a judge that begins, with results of all targets in the window and what the benches before left open."""
    producer = alarms.stage.producer()
    now = datetime.now(UTC)
    for minute in range(5, 0, -1):
        for place in range(size.targets):
            for agent in VANTAGES:
                one = a_result(f"site{place}", agent, now - timedelta(minutes=minute))
                producer.send(alarms.stage.topic, key=one.target.encode(), value=encode(one), headers=headers())
    producer.flush()
    began = time.monotonic()
    judge = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
    judge.wait_for_line("judging", 60)
    target = "after-take-over"
    alarms.publish(Outcome.UP, Outcome.CONNECT_ERROR, target=target)
    wait_until(lambda: bool(alarms.said(target)), "an alarm by it", 60)
    count = size.targets * len(VANTAGES) * 5
    yield Figure(
        f"take-over, {size.targets} targets by 3 vantages", time.monotonic() - began, "s", at_most=10,
        note=f"start of the process, the group's 3 s, the log, {count} results of the window, the first alarm",
    )  # fmt: skip


@contextlib.contextmanager
def a_stage() -> Iterator[Alarms]:
    """Give judges on a stage of their own."""
    with tempfile.TemporaryDirectory() as directory, Receiver() as receiver:
        stage = Stage(find(), Path(directory))
        try:
            stage.init(**stage.with_alarms)
            yield Alarms(stage, receiver)
        finally:
            stage.remove()


def figures(size: _Size = QUICK) -> Iterator[Figure]:
    """Measure all at a size."""
    yield from cost_figures(size)
    yield from memory_figures(FULL)
    yield from told_figures(size)
    with a_stage() as alarms:
        judge = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
        judge.wait_for_line("judging")
        yield from way_figures(alarms, size, 200, (0.5, 1.5))
        yield from way_figures(alarms, size, 5000, (None, 3.0))
        judge.stop()
        yield from take_over_figures(alarms, size)
    yield from replay.figures()


def versions() -> dict[str, str]:
    """Give what was measured."""
    return {"kafka-python": version("kafka-python"), "msgspec": version("msgspec")}


BENCH: Final = Bench(figures, versions, full=partial(figures, FULL))


def main(targets: int) -> None:
    """Know so many targets, say so, and wait for the end of the input."""
    begin = datetime.now(UTC) - timedelta(minutes=10)
    judge = Judge(RULES, now=round(begin.timestamp() * 1000))
    for found in records(_Size(targets, 5, 0), begin):
        judge_all(judge, found, datetime.now(UTC))
        found.clear()
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(int(sys.argv[1]))

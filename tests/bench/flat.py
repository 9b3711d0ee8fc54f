"""Whether an agent stays as it is: memory, descriptors and threads of 200,000 checks and of an hour at 300 a second.

The checks are of the engine alone, as fast as it makes them, half by HTTPS; the hour is a real agent's, with no broker:
what it can't send goes to an outbox of 20 MB. The soak measures an agent with broker and sink. A smaller run makes
20,000 checks and takes two minutes, and its slopes have no bars.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tests.bench.agent import Running
from tests.bench.figures import Bench, Figure
from tests.bench.process import descriptors, resident_bytes, threads
from tests.bench.site import Site
from tests.bench.soak import WARM, Samples

RATE: Final = 300
"""Checks a second of the agent."""
OUTBOX: Final = 20_000_000
SAMPLES: Final = 60
"""Of the checks, and of the hour."""
THINGS: Final[Mapping[str, tuple[Callable[[int], float], str, float]]] = {
    "memory": (lambda pid: resident_bytes(pid) / 1e6, "MB", 10.0),
    "descriptors": (descriptors, "", 1.0),
    "threads": (threads, "", 1.0),
}
"""What is looked at: how, its unit, and by how much of it an hour may add."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    checks: int
    secs: float
    has_bars: bool


QUICK: Final = Size(20_000, 120, has_bars=False)
FULL: Final = Size(200_000, 3600, has_bars=True)


def figures(size: Size = QUICK) -> Iterator[Figure]:
    """Make the checks, then watch the agent."""
    with tempfile.TemporaryDirectory(prefix="webmon-bench-") as name, Site(Path(name)) as site:
        yield from of_checks(site, size.checks)
        yield from of_hour(Path(name), site, size)


def of_checks(site: Site, count: int) -> Iterator[Figure]:
    """Make so many checks, and hold what they use in the end against what they used when they were warm."""
    command = [sys.executable, "-m", "tests.bench.engine", str(site.authority), site.https, site.http]
    seen: dict[str, list[float]] = {what: [] for what in THINGS}
    bad = 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdin is not None
        assert engine.stdout is not None
        for _ in range(SAMPLES):
            engine.stdin.write(f"{count // SAMPLES}\n")
            engine.stdin.flush()
            bad += int(engine.stdout.readline())
            for what, (look, _, _) in THINGS.items():
                seen[what].append(look(engine.pid))
        engine.stdin.close()
    yield Figure("checks that were not up", bad, "", at_most=0, note=f"of {count:,}, half by HTTPS, back to back")
    for what, (_, unit, _) in THINGS.items():
        warmed, ended = warm_and_end(seen[what])
        yield Figure(f"{what} after {count:,} checks", ended, unit, note=f"{warmed:.4g} after a third of them")
        yield Figure("  against that", ended / warmed, "ratio", at_most=1.05)


def warm_and_end(values: list[float]) -> tuple[float, float]:
    """Give what was seen after the first third, and in the end; the median of a tenth each."""
    tenth = max(1, len(values) // 10)
    begin = int(len(values) * WARM)
    return statistics.median(values[begin : begin + tenth]), statistics.median(values[-tenth:])


def of_hour(workspace: Path, site: Site, size: Size) -> Iterator[Figure]:
    """Watch an agent at work for so long."""
    urls = [f"{site.https if number % 2 else site.http}{number}" for number in range(RATE)]
    room = {"MONITORING_OUTBOX_BYTES": str(OUTBOX)}
    seen = {what: Samples() for what in THINGS}
    with Running(workspace / "hour", site, urls, interval=1, timeout=1, more=room) as agent:
        began = time.monotonic()
        while time.monotonic() < began + size.secs:
            time.sleep(size.secs / SAMPLES)
            for what, (look, _, _) in THINGS.items():
                seen[what].add(look(agent.pid))
        took = time.monotonic() - began
        kept, missed = agent.metric("webmon_slots_kept_total"), agent.metric("webmon_slots_missed_total")
    said = f"{took / 60:.0f} minutes at {RATE} checks/s"
    yield Figure("checks a second that it made", kept / took, "checks/s", at_least=0.99 * RATE, note=said)
    yield Figure("slots missed", missed, "", note=f"of {kept + missed:,.0f}")
    for what, (_, unit, most) in THINGS.items():
        yield Figure(f"{what} of the agent, peak", max(seen[what].values), unit, note=said)
        yield Figure(
            "  slope",
            seen[what].slope(),
            f"{unit}/h",
            at_most=most if size.has_bars else None,
            note=f"median of the slopes between all pairs of the last {1 - WARM:.0%} of {SAMPLES} samples",
        )


BENCH: Final = Bench(figures, dict, full=partial(figures, FULL))

"""What an agent says of sites while it is given more than it bears: nothing false.

Its rate goes up in steps until slots are missed, late or not up; then it gets twice the last rate that it bore, with
what burns a processor beside it for each there is. The site goes before all of them (as root), so it is as well as
before, and whatever is called down is a false alarm: what the agent could not do in time must be `agent_error`, with
how late it was, or a slot that is missed and counted. Whoever else asks the site meanwhile sees whether it was well.
"""

import contextlib
import http.client
import os
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.bench.agent import Running
from tests.bench.figures import Bench, Figure
from tests.bench.site import Site
from webmon.check.result import CheckResult, Outcome, decode

INTERVAL: Final = 1
"""Seconds of each target, and its timeout: so many targets are so many checks a second, and as many at once at most."""
LATE_SECS: Final = 0.1
"""Of 99 in a hundred slots: more, and the rate is not borne."""
SETTLE_SECS: Final = 3.0
OVER: Final = 2
FIRST: Final = -10
"""The nice value of the site."""
_TELLS_LATE: Final = re.compile(r"this vantage was too busy: of [0-9.]+ s it stood still for [0-9.]+ s")
_BURN: Final = "while True: pass"


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rates: tuple[int, ...]
    """Checks a second, one step after the other."""
    step_secs: float
    over_secs: float


QUICK: Final = Size((50, 100, 200, 400, 800, 1600), step_secs=5, over_secs=15)
FULL: Final = Size(tuple(range(100, 2001, 100)), step_secs=15, over_secs=120)


@dataclass(frozen=True)
class Seen:
    """What was seen of an agent for a time."""

    results: Sequence[CheckResult]
    missed: float
    secs: float

    @property
    def late(self) -> float:
        """How late the 99th of a hundred checks began, in seconds."""
        late = sorted((result.time - result.scheduled_at).total_seconds() for result in self.results)
        return late[int(0.99 * (len(late) - 1))] if late else float("inf")

    @property
    def own(self) -> list[CheckResult]:
        """What is told as the agent's own fault."""
        return [result for result in self.results if result.outcome is Outcome.AGENT_ERROR]

    @property
    def false(self) -> list[CheckResult]:
        """What is told as the site's fault, which has none."""
        return [result for result in self.results if result.outcome.is_down]

    @property
    def silent(self) -> list[CheckResult]:
        """What is our own fault and does not say how late we were."""
        return [result for result in self.own if not _TELLS_LATE.search(result.error or "")]

    @property
    def is_borne(self) -> bool:
        """Whether the agent kept every slot, in time, and all was up."""
        return not self.missed and not self.own and not self.false and self.late <= LATE_SECS


def figures(size: Size = QUICK) -> Iterator[Figure]:
    """Step up, then give it too much."""
    with tempfile.TemporaryDirectory(prefix="webmon-bench-") as name, Site(Path(name)) as site:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, site._process.pid, FIRST)
        borne, stopped = 0, "no step was too much"
        for rate in size.rates:
            seen = watch(Path(name) / f"step-{rate}", site, rate, size.step_secs)
            if not seen.is_borne:
                stopped = f"at {rate:,}: {said(seen)}"
                break
            borne = rate
        yield Figure("rate that it bears", borne, "checks/s", at_least=size.rates[0], note=f"HTTPS; {stopped}")
        yield from too_much(Path(name), site, OVER * max(borne, size.rates[0]), size.over_secs, os.cpu_count() or 1)


def too_much(workspace: Path, site: Site, rate: int, secs: float, burners: int) -> Iterator[Figure]:
    """Give an agent a rate that it can't bear, beside what burns processors."""
    with burning(burners), asking(site) as answered:
        seen = watch(workspace / "over", site, rate, secs)
    of = f"of {len(seen.results):,} results in {seen.secs:.0f} s, {burners} burners beside it"
    yield Figure("given too much: checks owed", rate, "checks/s", note=f"{OVER} times what it bears")
    yield Figure("  made", len(seen.results) / seen.secs, "checks/s")
    yield Figure("  of those owed", len(seen.results) / (rate * seen.secs), "ratio", at_least=0.05)
    yield Figure("  told as the site's fault", len(seen.false), "", at_most=0, note=f"{of}{_first(seen.false)}")
    yield Figure("  told as our own", len(seen.own), "", note=of)
    yield Figure("  of those without how late we were", len(seen.silent), "", at_most=0, note=_first(seen.silent))
    yield Figure("  slots missed, as it counts them", seen.missed, "")
    yield Figure("  lateness p99", seen.late * 1e3, "ms")
    slowest = max(answered, default=float("inf"))
    yield Figure("  slowest answer of the site to another", slowest, "s", at_most=INTERVAL, note=f"of {len(answered)}")


def watch(workspace: Path, site: Site, rate: int, secs: float) -> Seen:
    """Run an agent with so many targets, and see what it does once it has settled."""
    urls = [f"{site.https}{number}" for number in range(rate)]
    with Running(workspace, site, urls, interval=INTERVAL, timeout=INTERVAL) as running:
        time.sleep(SETTLE_SECS)
        began, before = time.time(), running.metric("webmon_slots_missed_total")
        time.sleep(secs)
        ended, missed = time.time(), running.metric("webmon_slots_missed_total") - before
    results = map(decode, running.agent.results())
    return Seen([one for one in results if began <= one.scheduled_at.timestamp() < ended], missed, ended - began)


def said(seen: Seen) -> str:
    """Say for people what was not well."""
    parts = (
        (f"{seen.missed:.0f} slots missed", seen.missed),
        (f"{len(seen.own)} our own fault", seen.own),
        (f"{len(seen.false)} down", seen.false),
        (f"lateness p99 {seen.late * 1e3:.0f} ms", seen.late > LATE_SECS),
    )
    return ", ".join(text for text, is_so in parts if is_so)


@contextlib.contextmanager
def burning(count: int) -> Iterator[None]:
    """Keep so many processors busy."""
    burners = [subprocess.Popen([sys.executable, "-c", _BURN]) for _ in range(count)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


@contextlib.contextmanager
def asking(site: Site) -> Iterator[list[float]]:
    """Ask the site ten times a second, as a check does; the list has the seconds that each answer took."""
    took: list[float] = []
    over = threading.Event()
    trusting = ssl.create_default_context(cafile=site.authority)
    address = urlsplit(site.https)

    def ask() -> None:
        while not over.wait(0.1):
            began = time.monotonic()
            asked = http.client.HTTPSConnection(str(address.hostname), address.port, timeout=10, context=trusting)
            try:
                asked.request("GET", "/")
                asked.getresponse().read()
            except OSError:
                took.append(float("inf"))
            else:
                took.append(time.monotonic() - began)
            finally:
                asked.close()

    asks = threading.Thread(target=ask)
    asks.start()
    try:
        yield took
    finally:
        over.set()
        asks.join()


def _first(results: Sequence[CheckResult]) -> str:
    return f"; the first: {results[0].outcome}: {results[0].error}" if results else ""


BENCH: Final = Bench(figures, dict, full=partial(figures, FULL))

"""The agent: CPU per check beside blackbox_exporter's, lateness while most targets hang, memory, and both by list size.

Every figure is of a real `webmon agent` process, but for the loop, which is the agent's way from a due target to its
outbox without schedule and threads. No broker is there: what Kafka's client costs for each result is not in these.
"""

import contextlib
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from tests import blackbox
from tests.agent_process import AgentProcess
from tests.bench.figures import Bench, Figure
from tests.bench.nginx import Nginx
from tests.bench.process import cpu_secs, resident_bytes, threads
from tests.bench.site import PATTERN, Site
from tests.sockets import free_port
from webmon.check.result import CheckResult, decode

PAIRS: Final = 9
CHECKS: Final = 300
"""Of each half of a pair."""
RATE: Final = 100
"""Checks a second of an agent whose CPU is compared."""
TURN_SECS: Final = 3.0
HANGING: Final = (2000, 0.8)
"""Targets, and the share of them that hang."""
INTERVAL: Final = 60
WATCH_SECS: Final = 130
MB: Final = 1e6
BASE: Final = 60.0
PER_TARGET: Final = 0.012
PER_THREAD: Final = 0.1
"""Bar of memory: so many MB, and so many more for each target and each thread (its stack, and what it holds of a TLS
connection)."""


class Running:
    """A `webmon agent` that checks a list, ready when this is entered."""

    def __init__(
        self,
        workspace: Path,
        site: Site | Nginx,
        urls: list[str],
        *,
        interval: float,
        timeout: float,
        checkout: Path | None = None,
        more: Mapping[str, str] | None = None,
    ) -> None:
        """Take the list, where another webmon lies, and other variables; a turn() measures it."""
        workspace.mkdir()
        self.agent = AgentProcess(workspace, checkout)
        self._metrics = free_port()
        self._count = len(urls)
        self.agent.configure(
            MONITORING_RETRY_SECS=str(interval),
            MONITORING_TIMEOUT_SECS=str(timeout),
            MONITORING_TARGETS_REGEX=PATTERN,
            MONITORING_CA_CERTIFICATES=str(site.authority),
            MONITORING_METRICS_ADDRESS=f"127.0.0.1:{self._metrics}",
            MONITORING_LOG_LEVEL="WARNING",
            **(more or {}),
        )
        self.agent.target(*urls)

    def __enter__(self) -> Self:
        self.agent.start()
        assert self.agent.process is not None
        self.pid = self.agent.process.pid
        deadline = time.monotonic() + 60
        while "READY=1" not in self.agent.heard():
            assert time.monotonic() < deadline, self.agent.log.read_text()
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.agent.send(signal.SIGCONT)
        self.agent.send(signal.SIGTERM)
        self.agent.wait(30)
        self.agent.close()

    def metric(self, name: str) -> float:
        """Give a metric of the agent's own."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=30) as answer:
            found = re.search(rf"^{name} (\S+)$", answer.read().decode(), re.MULTILINE)
        assert found is not None, name
        return float(found[1])

    def rest(self) -> None:
        """Stand still, while another has the machine."""
        self.agent.send(signal.SIGSTOP)

    def turn(self) -> float:
        """Run for a turn; give the CPU seconds per check."""
        self.agent.send(signal.SIGCONT)
        self.agent.heard()
        time.sleep(0.5)  # it finds that it stood still
        done, cpu = self._done(), cpu_secs(self.pid)
        time.sleep(TURN_SECS)
        done, cpu = self._done() - done, cpu_secs(self.pid) - cpu
        self.rest()
        return cpu / done

    def _done(self) -> int:
        """Count the results in the outbox, for a scrape would cost CPU, and more of it where there are more targets."""
        with contextlib.closing(sqlite3.connect(self.agent.workspace / "outbox.sqlite")) as db:
            count: int = db.execute("SELECT count(*) FROM results").fetchone()[0]
        return count


class Loop:
    """tests.bench.agent_loop as a process."""

    def __init__(self, workspace: Path, site: Site) -> None:
        """Configure it in a workspace of its own."""
        workspace.mkdir()
        self._agent = AgentProcess(workspace)
        self._agent.configure(MONITORING_TARGETS_REGEX=PATTERN, MONITORING_CA_CERTIFICATES=str(site.authority))
        self._agent.target(site.https)
        self._env = workspace / ".env"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.bench.agent_loop", str(self._env)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self._agent.close()
        self._process.kill()
        self._process.communicate()

    def turn(self) -> float:
        """Make the checks; give the CPU seconds of each."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        cpu = cpu_secs(self._process.pid)
        self._process.stdin.write(f"{CHECKS}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "done\n"
        return (cpu_secs(self._process.pid) - cpu) / CHECKS


def figures() -> Iterator[Figure]:
    """Measure everything; about seven minutes."""
    with tempfile.TemporaryDirectory(prefix="webmon-bench-") as name, Site(Path(name)) as site:
        workspace = Path(name)
        yield from _beside_blackbox(workspace, site)
        yield from _by_size(workspace, site)
        yield from _while_most_hang(workspace, site)


def versions() -> Mapping[str, str]:
    """Give what the agent was compared with."""
    return {blackbox.PACKAGE: blackbox.version()}


def _beside_blackbox(workspace: Path, site: Site) -> Iterator[Figure]:
    urls = [f"{site.https}{number}" for number in range(RATE)]
    loop: list[float] = []
    paced: list[float] = []
    other: list[float] = []
    with (
        blackbox.Blackbox(workspace, {"page": blackbox.module_of_page(PATTERN, site.authority)}) as compared,
        Loop(workspace / "loop", site) as in_loop,
        Running(workspace / "paced", site, urls, interval=1, timeout=1) as running,
    ):
        running.rest()
        for pair in range(PAIRS + 1):
            cpu = cpu_secs(compared.pid)
            for _ in range(CHECKS):
                assert "\nprobe_success 1\n" in compared.probe(site.https, "page")
            spent = (cpu_secs(compared.pid) - cpu) / CHECKS, in_loop.turn(), running.turn()
            if pair:  # the first warms them up
                for kept, seconds in zip((other, loop, paced), spent, strict=True):
                    kept.append(seconds * 1e3)
    yield Figure(
        "blackbox_exporter, CPU per probe", statistics.median(other), "ms", note="back to back, scrape included"
    )
    yield Figure("CPU per check, back to back", statistics.median(loop), "ms", note="probe, encoding, outbox, metrics")
    yield Figure("  of blackbox_exporter's", _ratio(loop, other), "ratio", at_most=0.8, note=f"median of {PAIRS} pairs")
    yield Figure("CPU per check, whole agent", statistics.median(paced), "ms", note=f"at {RATE} checks/s, no broker")
    yield Figure("  of blackbox_exporter's", _ratio(paced, other), "ratio", note=f"median of {PAIRS} pairs")


def _by_size(workspace: Path, site: Site) -> Iterator[Figure]:
    sizes = 100, 5000
    spent: dict[int, list[float]] = defaultdict(list)
    with contextlib.ExitStack() as stack:
        running = {}
        for size in sizes:
            urls = [f"{site.https}{number}" for number in range(size)]
            place = workspace / str(size)
            made = Running(place, site, urls, interval=size / RATE, timeout=min(15, size / RATE))
            running[size] = stack.enter_context(made)
            running[size].rest()
        used, counted = {}, {}
        for size in sizes:
            running[size].agent.send(signal.SIGCONT)
            # Every target has had a result then, which stays in memory, and there was a scrape.
            time.sleep(size / RATE + 10)
            running[size].metric("webmon_checks_running")
            used[size], counted[size] = resident_bytes(running[size].pid) / MB, threads(running[size].pid)
            running[size].rest()
        for pair in range(PAIRS + 1):
            for size in sizes:
                seconds = running[size].turn()
                if pair:
                    spent[size].append(seconds * 1e3)
    for size in sizes:
        yield Figure(f"CPU per check, {size:,} targets", statistics.median(spent[size]), "ms", note=f"{RATE} checks/s")
    low, high = sizes
    yield Figure(
        f"  {high:,} targets against {low}", _ratio(spent[high], spent[low]), "ratio",
        at_most=1.15, at_least=0.85, note=f"median of {PAIRS} pairs",
    )  # fmt: skip
    for size in sizes:
        yield _memory(f"memory, {size:,} targets", used[size], size, counted[size])


def _memory(name: str, used: float, targets: int, threads: int) -> Figure:
    bar = BASE + PER_TARGET * targets + PER_THREAD * threads
    return Figure(name, used, "MB", at_most=bar, note=f"60 MB + 12 KB a target + 100 KB for each of {threads} threads")


def _while_most_hang(workspace: Path, site: Site) -> Iterator[Figure]:
    count, share = HANGING
    hang = round(count * share)
    urls = [f"{site.https}{number}" for number in range(count - hang)]
    urls += [f"{site.hanging}{number}" for number in range(hang)]
    with Running(workspace / "hanging", site, urls, interval=INTERVAL, timeout=15) as running:
        began = time.time()
        cpu = cpu_secs(running.pid)
        bare = _bare_lateness(WATCH_SECS)
        ended = time.time()
        cpu = cpu_secs(running.pid) - cpu
        used, counted = resident_bytes(running.pid) / MB, threads(running.pid)
        told_missed = running.metric("webmon_slots_missed_total")
        kept = running.metric("webmon_slots_kept_total")
        stopping = time.monotonic()
    stopped = time.monotonic() - stopping
    results = [decode(value) for value in running.agent.results()]
    healthy = [result for result in results if result.url.startswith(site.https)]
    wrong = sum(not result.outcome.is_up for result in healthy)
    named = f"{count:,} targets in 60 s, {share:.0%} hang"
    yield Figure(
        f"{named}: slots of the others missed", _missed(healthy, urls[: count - hang], began, ended), "", at_most=0
    )
    yield Figure("  slots missed as the agent counts", told_missed, "", at_most=0, note="of all targets")
    yield Figure("  others not told as up", wrong, "", at_most=0, note=f"of {len(healthy)} results")
    yield Figure("  lateness p99 of the others", _lateness(healthy, 0.99), "ms", at_most=100)
    yield Figure("  lateness p99 of a bare sleep meanwhile", bare, "ms", note="what the machine itself is late")
    yield Figure("  lateness p50 of the others", _lateness(healthy, 0.5), "ms")
    yield Figure("  lateness p99 of all", _lateness(results, 0.99), "ms")
    yield Figure("  CPU per check", cpu / kept * 1e3, "ms")
    yield Figure("  threads", counted, "")
    yield _memory("  memory", used, count, counted)
    yield Figure("  stop", stopped, "s", at_most=20)


def _missed(results: list[CheckResult], urls: list[str], began: float, ended: float) -> float:
    """Count the slots within a time that have no result; a target without any has missed what an interval has."""
    seen = defaultdict(set)
    for result in results:
        seen[result.url].add(round(result.scheduled_at.timestamp() * 1e6))
    missed = 0
    for url in urls:
        if not seen[url]:
            missed += int(ended - began) // INTERVAL
            continue
        slot = min(seen[url])
        missed += max(0, int(slot / 1e6 - began - 1) // INTERVAL)
        while (slot := slot + INTERVAL * 1_000_000) < (ended - 1) * 1e6:
            missed += slot not in seen[url]
    return missed


def _bare_lateness(seconds: float) -> float:
    """Sleep to twenty moments a second for so long; give the 99th percentile of how late they came, in ms."""
    late = []
    moment = time.monotonic()
    end = moment + seconds
    while (moment := moment + 0.05) < end:
        time.sleep(max(0.0, moment - time.monotonic()))
        late.append(time.monotonic() - moment)
    return sorted(late)[int(0.99 * (len(late) - 1))] * 1e3


def _lateness(results: list[CheckResult], quantile: float) -> float:
    late = sorted((result.time - result.scheduled_at).total_seconds() for result in results)
    return late[int(quantile * (len(late) - 1))] * 1e3


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(our / their for our, their in zip(ours, theirs, strict=True))


BENCH: Final = Bench(figures=figures, versions=versions)

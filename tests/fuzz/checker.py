"""The one who checks: `python -m tests.fuzz.checker ...`, in a process of its own, so that its crash is seen.

It says a line for everything: `+N` when case N begins, `-N outcome` when it ends, `! N text` where something is wrong,
and at its end `=` with what it counted, as JSON.
"""

import argparse
import faulthandler
import gc
import itertools
import json
import logging
import os
import socket
import statistics
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.bench.process import descriptors, resident_bytes, threads
from tests.fuzz.case import SECRET, TIMEOUT_SECS, Ports, target_of, wants_kept
from webmon.check import resolver
from webmon.check.probe import Probe, utc_now
from webmon.check.resolver import Addresses
from webmon.check.result import CheckResult, Outcome, UnreadableResultError, decode, encode
from webmon.check.target import Tls

GRACE_SECS: Final = 0.5
"""That a check may take beyond its timeout."""
STILL_SECS: Final = 1.0
"""That the loop may stand still, without what the machine had no time for."""
GROWTH_MB: Final = 16.0
"""That memory may grow after the first third of a run; a run of less than two minutes says nothing of it."""
TELLING_SECS: Final = 120.0
WARM_UP: Final = 60
"""Cases before descriptors and threads are counted."""
MOST_AT_ONCE: Final = 600
KEPT: Final = 20
_TICK_SECS: Final = 0.1


def faults_of(result: CheckResult) -> Iterator[str]:
    """Say what a result has that no server may bring about."""
    if result.outcome is Outcome.AGENT_ERROR:
        if not is_starved(result):
            yield f"a server's doing is told as our own fault: {result.error}"
    elif result.total_time > TIMEOUT_SECS + GRACE_SECS:
        yield f"{result.total_time:.2f} s for a timeout of {TIMEOUT_SECS:g} s ({result.outcome}: {result.error})"
    if (result.error is None) != (result.outcome is Outcome.UP):
        yield f"{result.outcome} with the error {result.error!r}"
    if result.error is not None and not result.error.isprintable():
        yield f"what cannot be printed is in the error {result.error!r}"
    if "libcurl's error" in (result.error or ""):
        yield f"a number instead of a reason: {result.error}"
    written = encode(result)
    if SECRET.encode() in written:
        yield f"a secret is in the result {written!r}"
    try:
        if decode(written) != result:
            yield f"another result is read than was written: {written!r}"
    except UnreadableResultError as error:
        yield f"no sink could read the result: {error}: {written!r}"


def is_starved(result: CheckResult) -> bool:
    """Tell whether a check says that this machine had no time for it."""
    return result.outcome is Outcome.AGENT_ERROR and "this vantage was too busy" in (result.error or "")


def _unknown(host: str, port: int, timeout: float) -> Addresses:
    """Know no name that a redirect leads to: no resolver is to be asked for rubbish."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


class Still:
    """Looks, in the loop's own thread, whether it stands still."""

    def __init__(self, probe: Probe, told: Callable[[str], None]) -> None:
        """Begin to look."""
        self._probe, self._told = probe, told
        self._seen = time.monotonic()
        self._waited = _waited_secs()
        self.longest = 0.0
        probe.loop.call(self._again)

    def _again(self) -> None:
        self._probe.loop.at(time.monotonic() + _TICK_SECS, self._look)

    def _look(self) -> None:
        now, waited = time.monotonic(), _waited_secs()
        still = now - self._seen - _TICK_SECS
        own = still - max(0.0, waited - self._waited)
        self._seen, self._waited = now, waited
        self.longest = max(self.longest, own)
        if own > STILL_SECS:
            self._told(
                f"the loop stood still for {still:.2f} s, of which the machine had no time for {still - own:.2f} s"
            )
        self._again()


def _waited_secs() -> float:
    """Give for how long threads of this process could have run and had no processor (proc(5), schedstat)."""
    total = 0
    for task in Path("/proc/self/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[1])
        except OSError:  # it has ended
            continue
    return total * 1e-9


class Checker:
    """Makes the checks of a run."""

    def __init__(self, seed: int, ports: Ports, authority: Path) -> None:
        """Take where the server is."""
        self._seed, self._ports, self._authority = seed, ports, authority
        self.outcomes: Counter[str] = Counter()
        self.starved = 0
        self._free = deque(f"kept {number}" for number in range(KEPT))
        self._running: dict[int, float] = {}
        self._lock = threading.Lock()

    def say(self, line: str) -> None:
        """Say a line at once: what is not said when it crashes is lost."""
        with self._lock:
            os.write(1, f"{line}\n".encode(errors="backslashreplace"))

    def fault(self, text: str, number: int | None = None) -> None:
        """Tell what is wrong, and with which cases in the making."""
        cases = str(number) if number is not None else ",".join(map(str, list(self._running)))
        self.say(f"! {cases or '-'} {' '.join(text.split())}")

    def probe(self) -> Probe:
        """Make what checks."""
        probe = Probe(agent="fuzz", resolve=_unknown, authorities=(self._authority,))
        tls = [Tls(verify=verify, ca=self._authority) for verify in (False, True)]
        targets = [target_of(self._seed, number, self._ports, self._authority, None) for number in range(50)]
        probe.prepare(targets)
        assert {target.tls for target in targets} == set(tls)
        return probe

    def run(self, probe: Probe, numbers: Iterable[int], rate: float) -> None:
        """Begin cases at a rate, and wait for all of them."""
        due = time.monotonic()
        for number in numbers:
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + 1 / rate, time.monotonic() - 1)
            while len(self._running) >= MOST_AT_ONCE:
                time.sleep(0.05)
            self._begin(probe, number)
        until = time.monotonic() + TIMEOUT_SECS + 30
        while self._running and time.monotonic() < until:
            time.sleep(0.05)
        if self._running:
            faulthandler.dump_traceback()
            self.fault("checks never ended")

    def _begin(self, probe: Probe, number: int) -> None:
        kept = self._free.popleft() if self._free and wants_kept(self._seed, number) else None
        target = target_of(self._seed, number, self._ports, self._authority, kept)
        self._running[number] = time.monotonic()
        self.say(f"+{number}")

        def done(result: CheckResult) -> None:
            for text in faults_of(result):
                self.fault(text, number)
            self.starved += is_starved(result)
            self.outcomes[result.outcome] += 1
            if kept is not None:
                self._free.append(kept)
            del self._running[number]
            self.say(f"-{number} {result.outcome} {result.error or ''}")

        probe.loop.call(lambda: probe.begin(target, utc_now(), done))


class _Log(logging.Handler):
    """What the package itself logs as wrong is a fault."""

    def __init__(self, checker: Checker) -> None:
        super().__init__(logging.ERROR)
        self._checker = checker

    def emit(self, record: logging.LogRecord) -> None:
        self._checker.fault(self.format(record))


def main() -> None:
    """Run; what is wrong is said, and the status is 0 unless it crashes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--ports", type=int, nargs=2, required=True)
    parser.add_argument("--authority", type=Path, required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--secs", type=float, required=True)
    parser.add_argument("--case", type=int, action="append")
    options = parser.parse_args()
    faulthandler.enable()
    resolver._IDLE_SECS = 1.0  # type: ignore[misc]
    faulthandler.dump_traceback_later(options.secs + 120, exit=True)
    checker = Checker(options.seed, Ports(*options.ports), options.authority)
    logging.getLogger().addHandler(_Log(checker))
    threading.excepthook = lambda told: checker.fault(f"a thread died: {told.exc_value!r}")
    sys.unraisablehook = lambda told: checker.fault(f"nobody caught {told.exc_value!r}, in {told.object!r}")

    if options.case:
        probe = checker.probe()
        for number in options.case:
            checker.run(probe, [number], options.rate)
        probe.close()
        checker.say(f"= {json.dumps({'outcomes': checker.outcomes})}")
    else:
        checker.say(f"= {json.dumps(whole(checker, options.rate, options.secs))}")


def whole(checker: Checker, rate: float, secs: float) -> dict[str, object]:
    """Make case after case for so long, and see what is left; give what was counted."""
    pid = os.getpid()
    warm = checker.probe()
    checker.run(warm, range(WARM_UP), rate)
    warm.close()
    before = _settled(pid, (descriptors(pid), threads(pid)))

    probe = checker.probe()
    still = Still(probe, checker.fault)
    memory: list[tuple[float, float]] = []
    began = time.monotonic()

    def numbers() -> Iterator[int]:
        for number in itertools.count(WARM_UP):
            now = time.monotonic() - began
            if now > secs:
                return
            if not memory or now - memory[-1][0] > 1:
                memory.append((now, resident_bytes(pid) / 1e6))
            yield number

    checker.run(probe, numbers(), rate)
    held_up = probe.loop.late
    probe.close()
    after = _settled(pid, before)
    if any(now > then for now, then in zip(after, before, strict=True)):
        checker.fault(f"descriptors and threads are {after} in the end, and were {before}")
    warmed, ended = _between(memory, 1 / 3, 1 / 2), _between(memory, 5 / 6, 1)
    if secs >= TELLING_SECS and ended - warmed > GROWTH_MB:
        checker.fault(f"memory grew from {warmed:.1f} to {ended:.1f} MB")
    return {
        "checks": sum(checker.outcomes.values()),
        "outcomes": checker.outcomes,
        "no time for a check": checker.starved,
        "seconds the loop was held up, in all": round(held_up, 2),
        "and at once, at most": round(still.longest, 2),
        "descriptors and threads before and after": [before, after],
        "MB of memory when warm and in the end": [round(warmed, 1), round(ended, 1)],
    }


def _between(samples: list[tuple[float, float]], begin: float, end: float) -> float:
    """Give the median of what was seen in a part of the run."""
    last = samples[-1][0]
    return statistics.median([value for at, value in samples if begin * last <= at <= end * last] or [samples[-1][1]])


def _settled(pid: int, least: tuple[int, int]) -> tuple[int, int]:
    """Give descriptors and threads when those that end have ended."""
    until = time.monotonic() + 10
    while True:
        gc.collect()
        now = descriptors(pid), threads(pid)
        if (now[0] <= least[0] and now[1] <= least[1] and time.monotonic() > until - 9) or time.monotonic() > until:
            return now
        time.sleep(0.1)


if __name__ == "__main__":
    main()

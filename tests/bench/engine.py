"""Checks as fast as the engine makes them, without an agent around: `python -m tests.bench.engine AUTHORITY URL ...`.

Reads how many checks to make, a number a line, and answers each line with how many of them were not up.
"""

import sys
import threading
from pathlib import Path
from typing import Final

from tests.bench.site import PATTERN
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe, utc_now
from webmon.check.result import CheckResult
from webmon.check.target import Target
from webmon.check.verdict import Expectations

AT_ONCE: Final = 50


def make(probe: Probe, targets: list[Target], count: int) -> int:
    """Make so many checks, some at once; give how many were not up."""
    numbers = iter(range(count))
    bad = ended = 0
    all_done = threading.Event()

    def begin() -> None:
        if (number := next(numbers, None)) is not None:
            probe.begin(targets[number % len(targets)], utc_now(), take)

    def take(result: CheckResult) -> None:
        nonlocal bad, ended
        bad += not result.outcome.is_up
        ended += 1
        if ended == count:
            all_done.set()
        probe.loop.call(begin)

    for _ in range(AT_ONCE):
        probe.loop.call(begin)
    all_done.wait()
    return bad


def main(authority: str, *urls: str) -> None:
    """Make checks until the input ends."""
    probe = Probe(agent="bench", authorities=(Path(authority),))
    expect = Expectations(body=compile_pattern(PATTERN))
    targets = [Target(name=url, url=url, interval=60, timeout=15, expect=expect) for url in urls]
    probe.prepare(targets)
    for line in sys.stdin:
        print(make(probe, targets, int(line)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

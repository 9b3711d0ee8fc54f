"""`make fuzz-store`: valid and nearly valid messages through decode, store, rollups and reports, on a real database.

    LAB_NAME=test python -m tests.fuzz_store 600 7                for 600 s, from seed 7
    LAB_NAME=test python -m tests.fuzz_store 0 7 --world 3        one world again

The sink's loop, writer and worker of rollups are the real ones, on tables of their own in the test lab's database; the
topic is in memory. A world is some hundred batches through empty tables. A fault is whatever no message may bring
about: an exception, a batch that is stuck, a message that is no row, no repeat and no dead letter, a valid one that is
a dead letter; and at the end of a world a row, a rollup or an answer of `webmon status`, `uptime`, `slowest` or
`incidents` that is not what tests/fuzz_store/model.py computes from the accepted messages. Exit status: 0 where there
was none, 1 where there was one.
"""

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

from tests.fuzz_store.world import World
from tests.integration.services import find
from tests.integration.stage import Stage

BATCHES: Final = 300
"""Of a world."""
SHOWN: Final = 20
"""Faults that are told; more say no more."""


class Summary:
    """What a run came to."""

    def __init__(self, base: int, batches: int) -> None:
        """Take the seed and the batches of a world, to tell how one is run again."""
        self._again = f"0 {base} --batches {batches}"
        self.faults: list[str] = []
        self.fates: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.worlds = 0

    def add(self, number: int, world: World) -> None:
        """Take what a world came to."""
        self.worlds += 1
        slowest = max(self.fates["slowest batch, ms"], world.fates.pop("slowest batch, ms", 0))
        self.fates += world.fates
        self.fates["slowest batch, ms"] = slowest
        self.reasons += world.reasons
        again = f".venv/bin/python -m tests.fuzz_store {self._again} --world {number}"
        self.faults += [f"FAULT (world {number}): {finding}\n      again: {again}" for finding in world.findings]

    def lines(self) -> list[str]:
        """Give it for people."""
        reasons = ", ".join(f"{count} {reason!r}" for reason, count in self.reasons.most_common(12))
        return [
            *self.faults[:SHOWN],
            f"worlds: {self.worlds}",
            *(f"{name}: {count}" for name, count in self.fates.items()),
            f"reasons of dead letters: {reasons}",
        ]


def fuzz(stage: Stage, base: int, *, secs: float, batches: int, only: int | None = None) -> Summary:
    """Make one world after the other until the time is over, or one that is named."""
    summary, until = Summary(base, batches), time.monotonic() + secs
    number = only or 0
    while summary.worlds == 0 or (only is None and time.monotonic() < until):
        world = World(stage, base, number)
        world.run(batches)
        summary.add(number, world)
        print(f"world {number}: {summary.fates['messages']} messages so far", flush=True)
        number += 1
        if summary.faults:
            break
    return summary


def main() -> int:
    """Run it, and tell what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_store", description=__doc__)
    parser.add_argument("secs", nargs="?", type=float, default=60.0, help="how long (60)")
    parser.add_argument("seed", nargs="?", type=int, help="where all dice come from (random)")
    parser.add_argument("--batches", type=int, default=BATCHES, help=f"of a world ({BATCHES})")
    parser.add_argument("--world", type=int, help="this world alone")
    options = parser.parse_args()
    base = random.randrange(1 << 31) if options.seed is None else options.seed
    print(f"seed {base}", flush=True)
    with tempfile.TemporaryDirectory(prefix="webmon-fuzz-") as scratch:
        stage = Stage(find(), Path(scratch))
        try:
            stage.init()
            summary = fuzz(stage, base, secs=options.secs, batches=options.batches, only=options.world)
        finally:
            stage.remove()
    print("\n".join(summary.lines()))
    count = len(summary.faults)
    print(f"{count} faults, seed {base}" if count else f"no fault, seed {base}")
    return int(bool(count))


if __name__ == "__main__":
    sys.exit(main())

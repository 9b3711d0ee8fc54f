"""`make fuzz`: valid and nearly valid HTTP/1, HTTP/2 and TLS against the checks, case after case from one seed.

    python -m tests.fuzz --secs 600 --rate 200 --seed 7
    python -m tests.fuzz --seed 7 --case 4711             one case again

One process serves (tests/fuzz/server.py), another checks (tests/fuzz/checker.py). A fault is whatever no server may
bring about: a check that ends later than its timeout and half a second, a bug in webmon, its doing called a trouble of
ours, a result that no sink can read, a secret in it, a loop that stands still, a crash; and in the end a descriptor or
a thread that is left, or memory that grew. Exit status: 0 where there was none, 1 where there was one.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tests.fuzz.case import kind_of
from tests.fuzz.server import Server

SHOWN: Final = 20
"""Faults that are told; more say no more."""
MARKS: Final = ("Traceback", "a bug in webmon", "Fatal Python error", "AddressSanitizer")
"""What stands in the checker's stderr where something is wrong that it could not tell itself."""


class Run:
    """What a run came to."""

    def __init__(self, seed: int) -> None:
        """Take the seed, to tell how a case is run again."""
        self._seed = seed
        self.faults: list[str] = []
        self.told: dict[str, Any] = {}
        self._running: set[int] = set()

    def hear(self, line: str) -> None:
        """Take a line of the checker."""
        mark, rest = line[:1], line[1:].strip()
        first, _, text = rest.partition(" ")
        match mark:
            case "+":
                self._running.add(int(first))
            case "-":
                self._running.discard(int(first))
            case "!":
                self._fault(text, first)
            case "=":
                self.told = json.loads(rest)

    def ended(self, status: int, stderr: str) -> None:
        """Take how the checker ended, and what it wrote where nobody should."""
        cases = ",".join(map(str, sorted(self._running))) or "-"
        if status:
            how = f"died of {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
            self._fault(f"the checker {how}; its last words: {stderr[-3000:]}", cases)
        elif any(mark in stderr for mark in MARKS):
            self._fault(f"it wrote: {stderr[:3000]}", cases)
        elif not self.told:
            self._fault("the checker ended without a word", cases)

    def _fault(self, text: str, cases: str) -> None:
        kinds = ", ".join(sorted({kind_of(self._seed, int(case)) for case in cases.split(",") if case.isdigit()}))
        again = " ".join(f"--case {case}" for case in cases.split(",") if case.isdigit())
        command = f".venv/bin/python -m tests.fuzz --seed {self._seed} {again}"
        self.faults.append(f"FAULT ({kinds or 'all'}): {text}\n      again: {command}")


async def watch(command: Sequence[str], run: Run, scratch: Path, *, echo: bool = False) -> Run:
    """Hear a checker to its end."""
    with (scratch / "stderr").open("w+b") as stderr:
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=stderr, env={**os.environ, "MALLOC_ARENA_MAX": "2"}
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                text = line.decode(errors="replace").rstrip()
                if echo and text[:1] in "-!":
                    print(text, flush=True)
                run.hear(text)
            status = await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        stderr.seek(0)
        run.ended(status, stderr.read().decode(errors="replace"))
    return run


async def fuzz(options: argparse.Namespace, scratch: Path) -> Run:
    """Serve, and have it checked."""
    server = Server(options.seed, scratch)
    ports = await server.start()
    command = [sys.executable, "-m", "tests.fuzz.checker", "--seed", str(options.seed), "--ports", *map(str, ports)]
    command += ["--authority", str(server.authority), "--rate", str(options.rate), "--secs", str(options.secs)]
    command += [word for case in options.case or () for word in ("--case", str(case))]
    return await watch(command, Run(options.seed), scratch, echo=bool(options.case))


def main() -> int:
    """Run it, and tell what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--secs", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--rate", type=float, default=200.0, help="checks a second (200)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31), help="where all dice come from (random)")
    parser.add_argument("--case", type=int, action="append", help="this case alone; may be said several times")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="webmon-fuzz-") as scratch:
        run = asyncio.run(fuzz(options, Path(scratch)))
    for fault in run.faults[:SHOWN]:
        print(fault)
    for name, value in run.told.items():
        print(f"{name}: {value}")
    print(f"{len(run.faults)} faults, seed {options.seed}" if run.faults else f"no fault, seed {options.seed}")
    return int(bool(run.faults))


if __name__ == "__main__":
    sys.exit(main())

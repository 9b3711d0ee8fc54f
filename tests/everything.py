"""What `make test` runs, and CI: lint and unit tests, the roles, the demo on a lab of its own, tests and faults on it.

`python -m tests.everything` runs it all and leaves nothing behind. With a name it runs that part alone: check,
browser, molecule [ROLE], integration, attacks, e2e; the last three keep their lab up for the next time (`make
test-down`). So do three that are in no test: bench [NAME], as what it measures depends on the machine, fuzz-store
[SECS [SEED]], and recovery, which destroys hosts.
"""

import argparse
import contextlib
import fcntl
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.lab.steps import BIN, LAB_PROGRAM, TOP, Job, StepError, Steps, say, stop_on_sigterm

TEST_LAB: Final = {"LAB_NAME": "test"}
MOLECULE_LAB: Final = {"LAB_NAME": "molecule"}
SECOND_LAB: Final = {"LAB_NAME": "second", "LAB_NET": "10.82.0"}
WARM: Final = {"ANSIBLE_PYTHON_INTERPRETER": "/usr/local/bin/warm-python3"}
"""For playbooks that run where others have run before: hosts need a quarter of their time (tests/lab/warm_python).

The first run on the test lab is without it, as everywhere else.
"""
ON_SECOND: Final = tuple(
    f"tests/e2e/test_{name}.py"
    for name in (
        "certificates_playbook",
        "dist",
        "managed",
        "password",
        "settings_rolled",
        "targets_playbook",
        "upgrade",
    )
)
"""End-to-end tests that `make test` runs on a lab of their own, beside what runs on the test lab."""
PYTEST: Final = (str(BIN / "python"), "-m", "pytest", "--durations=20")
E2E: Final = (*PYTEST, "-m", "not long", "--timeout=1200")
"""One of its tests runs many playbooks, beside those of another lab."""
BROWSER: Final = Job("browser", [*PYTEST, "tests/browser"], show=True, most=1800)
DEMO: Final = (str(BIN / "python"), "-m", "tests.lab.demo")
BASH: Final = b"#!/usr/bin/env bash"
ALONE: Final = {"agent", "flat", "overload"}
"""Benches of an agent without anything else."""


def bash_files() -> list[str]:
    """Give the files of the repository that bash runs."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=TOP, capture_output=True, text=True, check=True
    )
    files = [TOP / name for name in listed.stdout.splitlines()]
    return [str(file) for file in files if file.is_file() and file.open("rb").readline().startswith(BASH)]


def check(steps: Steps) -> None:
    """Lint, types, unit tests."""
    steps.run(
        "Lint, types, unit tests",
        Job("ruff", ["sh", "-c", "ruff check . && ruff format --check ."]),
        Job("mypy", ["mypy"]),
        Job("yamllint", ["yamllint", "--strict", "."]),
        Job("shellcheck", ["shellcheck", *bash_files()]),
        # It reads the playbooks without an inventory: there no host pattern matches.
        Job(
            "ansible-lint",
            ["ansible-lint", "--nocolor", "--offline", "--profile", "production", "--strict"],
            {"ANSIBLE_HOST_PATTERN_MISMATCH": "warning"},
        ),
        Job("READMEs of the roles", [BIN / "python", "tests/roles_readme.py", "--check"]),
        Job("unit tests", [*PYTEST, "-n", "2", "tests/unit"], show=True, most=1500),
    )


def molecule(
    steps: Steps, roles: Sequence[str], *behind: Job, title: str = "The roles' own tests"
) -> contextlib.AbstractContextManager[list[str]]:
    """Run the roles' own tests on the molecule lab, from nothing, and jobs behind them, beside the steps of a block.

    Gives their outputs.
    """
    # Molecule remembers "created" although hosts have died since: both are cleared, or it would go on without hosts.
    steps.run("Clear what an earlier Molecule run left", Job("molecule reset", [LAB_PROGRAM, "destroy"], MOLECULE_LAB))
    return steps.beside(
        title, Job("molecule", [TOP / "tests/molecule.sh", *roles], MOLECULE_LAB | WARM, most=2700), *behind
    )


def molecule_summary(output: str) -> str:
    """Give the lines of tests/molecule.sh that say which role took how long."""
    return "\n".join(f"      {line}" for line in output.splitlines() if re.fullmatch(r"[a-z]+ +\d+ s", line))


def provision(steps: Steps) -> None:
    """Bring the test lab up, as `make demo` does the demo's."""
    steps.run("The demo, on the test lab", Job("demo", DEMO, TEST_LAB, show=True, most=1200))


def integration(steps: Steps) -> None:
    """Run what needs a real Kafka and TimescaleDB, or a package of Debian's to compare with."""
    # Attacks that take long are for `make attacks`.
    beside = "-n", "3", "--dist", "loadfile", "-m", "not long and not apart", "tests/peers"
    for name, chosen in (("integration", beside), ("outages", ("-m", "apart"))):
        job = Job(name, [*PYTEST, *chosen, "tests/integration", "tests/attacks"], TEST_LAB, show=True, most=2400)
        steps.run(f"Tests on the test lab's Kafka and TimescaleDB, and beside blackbox_exporter: {name}", job)


def attacks(steps: Steps) -> None:
    """Run all attacks; the short ones are part of the integration tests."""
    steps.run("Attacks, on the test lab", Job("attacks", [*PYTEST, "tests/attacks"], TEST_LAB, show=True))


def fuzz_store(steps: Steps, arguments: Sequence[str]) -> None:
    """Take messages, valid and nearly valid, through the store to the reports."""
    command = [str(BIN / "python"), "-m", "tests.fuzz_store", *arguments]
    steps.run("Fuzz of the store, on the test lab's database", Job("fuzz-store", command, TEST_LAB, show=True))


def e2e(steps: Steps, without: Sequence[str] = ()) -> None:
    """Run the tests of the whole on the test lab, all but those of some files."""
    command = [*E2E, *(f"--ignore={file}" for file in without), "tests/e2e"]
    steps.run("End-to-end tests, on the test lab", Job("e2e", command, TEST_LAB | WARM, show=True, most=3300))


def e2e_on_the_second_lab() -> Job:
    """Give what runs those of ON_SECOND on a lab of their own, from nothing."""
    in_turn = [LAB_PROGRAM, "destroy"], DEMO, [*E2E, *ON_SECOND]
    commands = " && ".join(shlex.join(str(word) for word in command) for command in in_turn)
    return Job("e2e on the second lab", ["sh", "-c", commands], SECOND_LAB | WARM, show=True, most=3300)


def recovery(steps: Steps) -> None:
    """Destroy hosts of the test lab, and bring back what they had; tell what was lost."""
    command = [*PYTEST, "-m", "long", "-rP", "--timeout=7200", "tests/e2e"]
    steps.run("Recovery, on the test lab", Job("recovery", command, TEST_LAB | WARM, show=True))


def faults(steps: Steps) -> None:
    """Run the most telling faults on the test lab, as short as they say something."""
    command = [str(BIN / "python"), "-m", "tests.faults", "--as-is", "--short", "--scale", "0.05"]
    steps.run(
        "The most telling faults, on the test lab",
        Job("faults", [*command, "--inventory", TOP / "inventory/lab"], TEST_LAB, show=True, most=1200),
    )


def bench(steps: Steps, names: Sequence[str], *, full: bool) -> None:
    """Measure against the bars; all benches but a few need Kafka and TimescaleDB."""
    if not names or set(names) - ALONE:
        provision(steps)
    full_size = ["--full"] if full else []
    steps.run(
        "Benchmarks", Job("bench", [BIN / "python", "-m", "tests.bench", *full_size, *names], TEST_LAB, show=True)
    )


def take_down(steps: Steps) -> None:
    """Leave nothing of the tests' labs on this machine."""
    steps.run(
        "Take the tests' labs down",
        Job("down test", [LAB_PROGRAM, "destroy"], TEST_LAB),
        Job("down molecule", [LAB_PROGRAM, "destroy"], MOLECULE_LAB),
        Job("down second", [LAB_PROGRAM, "destroy"], SECOND_LAB),
    )


def everything(steps: Steps) -> None:
    """Run it all; the tests' labs are taken down whatever happens."""
    check(steps)
    try:
        # Side by side they fill the processors.
        title = "The roles' own tests, and end-to-end tests on a second lab"
        with molecule(steps, [], e2e_on_the_second_lab(), title=title) as outputs:
            steps.run("Clear what an earlier test lab left", Job("clear", [LAB_PROGRAM, "destroy"], TEST_LAB))
            provision(steps)
            steps.run(
                "The demo again: nothing may change",
                Job("demo again", [*DEMO, "--unchanged"], TEST_LAB | WARM, show=True, most=1200),
            )
            with steps.beside("The pages in a browser", BROWSER):
                integration(steps)
            e2e(steps, ON_SECOND)
        say(molecule_summary(outputs[0]))
        faults(steps)
    finally:
        take_down(steps)


def one_part(steps: Steps, part: str, names: Sequence[str], *, full: bool) -> None:
    """Run one part; its lab stays."""
    match part:
        case "check":
            check(steps)
        case "browser":
            steps.run("The pages in a browser", BROWSER)
        case "molecule":
            with molecule(steps, names) as outputs:
                pass
            say(molecule_summary(outputs[0]))
        case "bench":
            bench(steps, names, full=full)
        case "integration":
            provision(steps)
            integration(steps)
        case "attacks":
            provision(steps)
            attacks(steps)
        case "fuzz-store":
            provision(steps)
            fuzz_store(steps, names)
        case "e2e":
            provision(steps)
            e2e(steps)
        case "recovery":
            provision(steps)
            recovery(steps)


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold off other runs on this machine: they would share the test lab."""
    with (Path(tempfile.gettempdir()) / f"webmon-tests-{os.getuid()}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Other tests of webmon run on this machine, on the same labs: wait for them.")
            raise StepError from None
        yield


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Read what the Makefile gives."""
    parser = argparse.ArgumentParser(prog="make test", description=__doc__)
    parts = ["check", "browser", "molecule", "integration", "attacks", "fuzz-store", "e2e", "recovery", "bench"]
    parser.add_argument("part", nargs="?", choices=parts)
    parser.add_argument("name", nargs="*", help="roles or benches; for fuzz-store seconds and seed")
    parser.add_argument("--full", action="store_true", help="benches at full size")
    # An option may stand between the names.
    return parser.parse_intermixed_args(arguments)


def main() -> int:
    """Run everything or one part; 0 when all is well, 1 when not."""
    options = options_of(sys.argv[1:])
    stop_on_sigterm()
    count = {None: 12, "check": 1, "browser": 1, "integration": 3}.get(options.part, 2)
    steps = Steps(options.part or "test", count, lines=400)
    try:
        if options.part == "check":
            check(steps)
            return 0
        with alone():
            if options.part:
                one_part(steps, options.part, options.name, full=options.full)
            else:
                everything(steps)
    except StepError:
        # At the very end once more: who reads a long output reads that first.
        say("\n".join(["", steps.table(), *steps.failed, f"FAILED after {steps.seconds():.0f} s"]))
        return 1
    except KeyboardInterrupt:
        say("\nstopped")
        return 130
    say(f"\n{steps.table()}\nAll passed, {steps.seconds():.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

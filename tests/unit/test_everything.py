"""The Makefile's commands, as tests/everything.py reads them."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.everything import options_of
from tests.lab.steps import BIN, TOP, Job, StepError, Steps


@pytest.mark.parametrize(
    ("typed", "part", "names", "full"),
    [
        (["test"], None, [], False),
        (["check"], "check", [], False),
        (["browser"], "browser", [], False),
        (["molecule"], "molecule", [], False),
        (["molecule", "ROLE=agent"], "molecule", ["agent"], False),
        (["integration"], "integration", [], False),
        (["attacks"], "attacks", [], False),
        (["fuzz-store"], "fuzz-store", ["600"], False),
        (["fuzz-store", "SECS=9", "SEED=7"], "fuzz-store", ["9", "7"], False),
        (["e2e"], "e2e", [], False),
        (["recovery"], "recovery", [], False),
        (["bench"], "bench", [], False),
        (["bench", "BENCH=load"], "bench", ["load"], False),
        (["bench", "BENCH=load", "FULL=1"], "bench", ["load"], True),
        (["bench", "FULL=1"], "bench", [], True),
    ],
    ids=str,
)
def test_what_a_person_types_after_make_is_understood(
    typed: list[str], part: str | None, names: list[str], full: bool
) -> None:
    environment = {**os.environ, "MAKEFLAGS": ""}  # not those of the make that runs this
    printed = subprocess.run(
        ["make", "--dry-run", *typed], cwd=TOP, env=environment, capture_output=True, text=True, check=True
    ).stdout
    command = re.search(r"-m tests\.everything(.*)$", printed, re.MULTILINE)
    assert command, printed
    options = options_of(command[1].split())
    assert (options.part, options.name, options.full) == (part, names, full)


def test_what_failed_is_told_with_the_lines_that_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Steps, "logs", tmp_path)
    log = """
TASK [kafka : Start it] ****
FAILED - RETRYING: [kafka1]: Start it (3 retries left).
fatal: [kafka1]: FAILED! => {"msg": "it does not start"}
changed: [kafka2]
E   AssertionError: assert 1 == 2
FAILED tests/unit/test_it.py::test_it - assert 1 == 2
a line more
"""
    steps = Steps("x", 1)
    with pytest.raises(StepError):
        steps.run("Try it", Job("try", [BIN / "python", "-c", f"print({log!r}); raise SystemExit(3)"]))
    assert steps.failed == [
        "FAILED: try (exit status 3)\n"
        'TASK [kafka : Start it] fatal: [kafka1]: FAILED! => {"msg": "it does not start"}\n'
        "E   AssertionError: assert 1 == 2\n"
        "FAILED tests/unit/test_it.py::test_it - assert 1 == 2"
    ]

"""The Makefile's commands, as tests/everything.py reads them."""

import os
import re
import subprocess

import pytest

from tests.everything import options_of
from tests.lab.steps import TOP


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

"""The fuzz: a short run of it, what it calls a fault, and that a fault can be made again."""

import asyncio
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.__main__ import Run, watch
from tests.fuzz.case import SECRET, Kind, kind_of, script_of
from tests.fuzz.checker import faults_of
from tests.lab.steps import TOP
from webmon.check.result import CheckResult, Outcome

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def result(**more: Any) -> CheckResult:
    values: dict[str, Any] = {"target": "t", "url": "http://h/", "agent": "a", "scheduled_at": NOW, "time": NOW}
    values |= {"interval": 60, "outcome": Outcome.TIMEOUT, "error": "not done within 1 s", "total_time": 1.01}
    return CheckResult(**(values | more))


def test_a_short_run_finds_nothing() -> None:
    done = subprocess.run(
        ["nice", "-n", "5", sys.executable, "-m", "tests.fuzz", "--secs", "5", "--rate", "30", "--seed", "1"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.endswith("no fault, seed 1\n")
    # It came as far as the bodies of some, and not to that of all.
    assert "'up'" in done.stdout
    assert "'read_error'" in done.stdout


@pytest.mark.parametrize(
    ("more", "fault"),
    [
        ({"total_time": 1.51}, "1.51 s for a timeout of 1 s"),
        ({"outcome": Outcome.AGENT_ERROR, "error": "Out of memory"}, "told as our own fault: Out of memory"),
        ({"error": None}, "timeout with the error None"),
        ({"error": "a\x1b[2J"}, "what cannot be printed"),
        ({"error": "libcurl's error 99"}, "a number instead of a reason"),
        ({"error": SECRET}, "a secret is in the result"),
        ({"http_status": 42}, "no sink could read the result"),
    ],
)
def test_what_no_server_may_bring_about_is_a_fault(more: dict[str, Any], fault: str) -> None:
    told = list(faults_of(result(**more)))
    assert fault in told[0]


def test_a_machine_that_has_no_time_is_no_fault() -> None:
    busy = "connecting: this vantage was too busy: of 1 s it stood still for 3.0 s"
    assert list(faults_of(result(outcome=Outcome.AGENT_ERROR, error=busy, total_time=4.0))) == []


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("print('+7\\n+8\\n-7 up', flush=True); import os; os.abort()", "the checker died of SIGABRT"),
        ("print('+8', flush=True); raise SystemExit(3)", "the checker ended with status 3"),
        ("print('! 8 the loop stood still\\n= {\"checks\": 1}')", "the loop stood still"),
        ("print('+8\\n= {\"checks\": 1}'); import sys; sys.stderr.write('Traceback')", "it wrote: Traceback"),
        ("print('+8')", "ended without a word"),
    ],
)
def test_a_fault_is_told_with_the_command_that_makes_it_again(program: str, told: str, tmp_path: Path) -> None:
    run = asyncio.run(watch([sys.executable, "-c", program], Run(5), tmp_path))
    (fault,) = run.faults
    assert told in fault
    assert fault.endswith("again: .venv/bin/python -m tests.fuzz --seed 5 --case 8")


def test_a_case_is_the_same_whenever_it_is_made() -> None:
    for number in range(40):
        made = [script_of(3, number, nth, "http://h/", kind) for nth in (0, 1) for kind in (Kind.HTTP1, Kind.HTTP2)]
        again = [script_of(3, number, nth, "http://h/", kind) for nth in (0, 1) for kind in (Kind.HTTP1, Kind.HTTP2)]
        assert made == again
    assert script_of(3, 1, 0, "http://h/", Kind.HTTP1) != script_of(4, 1, 0, "http://h/", Kind.HTTP1)


def test_every_kind_is_among_the_first_cases() -> None:
    assert {kind_of(1, number) for number in range(200)} == set(Kind)

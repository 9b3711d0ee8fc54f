"""The fuzz of the store: a short run of it on the real database, and that it finds what is wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.fuzz_store.__main__ import fuzz
from tests.integration.stage import Stage
from webmon.report import stretches
from webmon.sink import rows


def test_a_short_run_finds_nothing_and_comes_through_all(stage: Stage) -> None:
    summary = fuzz(stage, 1, secs=0, batches=20)
    assert summary.faults == []
    for fate in ("rows", "repeats", "dead letters"):
        assert summary.fates[fate] > 0, summary.lines()


@pytest.mark.parametrize(
    ("where", "name", "told"),
    [
        (rows, "_text", "Traceback"),
        (stretches, "Stretch", "incident of"),
    ],
)
def test_what_is_wrong_is_told_with_the_command_that_makes_it_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, told: str
) -> None:
    real: Callable[..., Any] = getattr(where, name)

    def wrong(*arguments: Any, **more: Any) -> Any:
        if name == "_text":
            raise KeyError(arguments)
        made = real(*arguments, **more)
        made.outcomes.add(3)
        return made

    monkeypatch.setattr(where, name, wrong)
    summary = fuzz(stage, 1, secs=0, batches=12)
    assert any(told in fault or "bug in webmon" in fault for fault in summary.faults), summary.lines()
    assert "again: .venv/bin/python -m tests.fuzz_store 0 1 --batches 12 --world 0" in summary.faults[0]

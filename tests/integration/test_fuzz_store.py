"""The fuzz of the store: a short run of it on the real database, and that it finds what is wrong."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.fuzz_store.__main__ import fuzz
from tests.fuzz_store.messages import Message
from tests.fuzz_store.world import World
from tests.integration.stage import Stage, recent
from webmon.check.result import encode, headers
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


def test_a_repeat_may_say_otherwise_what_its_target_is(stage: Stage) -> None:
    class Two(World):
        """The same check twice; the second, whose row is there already, has another URL and other labels."""

        def _take(self, first: int, count: int) -> None:  # noqa: ARG002
            for changes in ({}, {"url": "nonsense", "labels": {"team": "b"}}):
                self._put([Message(encode(recent(3, **changes)), tuple(headers()), must=True)])

    world = Two(stage, 1, 0)
    world.run(1)
    assert world.findings == []
    assert (world.fates["rows"], world.fates["repeats"]) == (1, 1)

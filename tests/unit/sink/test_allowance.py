"""How many new names an agent may bring, on a clock of the test."""

import logging

import pytest

from webmon.sink import allowance
from webmon.sink.allowance import Allowance


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "NAMES", 3)
    monkeypatch.setattr(allowance, "AGENTS", 1)


def test_an_agent_that_brings_more_than_it_may_is_over_for_the_hour_and_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    ours = Allowance(clock)
    ours.count(["here", "there", "here", "here"])
    assert not ours.has_over()
    ours.count(["here"])
    ours.count(["here", "here"])
    assert ours.has_over()
    said = "agent 'here' brought more than 3 new names of targets, series and contexts within an hour"
    assert (ours.why_over("here"), ours.why_over("there"), ours.why_over(None)) == (said, None, None)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"{said}: for the rest of the hour results with more of them become dead letters"
    ]
    assert ours.times_over == 1
    clock.now += 3600
    assert not ours.has_over()
    ours.count(["here"] * 3)
    assert not ours.has_over()


def test_agents_that_are_invented_are_over_together() -> None:
    ours = Allowance(Clock())
    ours.count([None])
    assert not ours.has_over()
    ours.count([None])
    assert (ours.why_over(None), ours.why_over("here")) == ("more than 1 new agents came within an hour", None)


def test_a_name_is_the_first_of_its_kind_once_an_hour() -> None:
    clock = Clock()
    ours = Allowance(clock)
    assert [ours.is_first(("shop", "url", label)) for label in ("a", "b", "a")] == [True, True, False]
    clock.now += 3600
    assert ours.is_first(("shop", "url", "a"))

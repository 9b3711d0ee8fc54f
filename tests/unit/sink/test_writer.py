"""What one result does to a batch; the database is not there, and nothing of it is needed."""

import logging
import struct
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import psycopg2
import pytest

from tests.contract.sink import result, results
from webmon.check.result import CheckResult
from webmon.kafka import bugs
from webmon.settings import Postgres
from webmon.sink.writer import Writer
from webmon.store.postgres import DatabaseAwayError

SETTINGS = Postgres.model_validate(
    {"POSTGRES_HOST": "db", "POSTGRES_USER": "webmon", "POSTGRES_PASSWORD": "x"}, context={"workspace": Path("/w")}
)


class Broken(Writer):
    """One that meets an error with some target."""

    def __init__(self, error: Exception, *, secs: float = 0.0) -> None:
        self.now = 0.0
        self.secs = secs
        """What each attempt takes."""
        super().__init__(SETTINGS, clock=lambda: self.now)
        self.error = error
        self.stored: list[CheckResult] = []
        self.asked = 0

    def _open(self) -> Any:
        return MagicMock()

    def _add(self, results: Sequence[CheckResult]) -> tuple[int, datetime | None]:
        self.asked += 1
        self.now += self.secs
        if any(one.target == "bad" for one in results):
            raise self.error
        self.stored += results
        return len(results), None


@pytest.fixture(autouse=True)
def _nothing_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bugs, "_told", set())


@pytest.mark.parametrize(
    "error",
    [
        KeyError(("shop", "here")),
        OverflowError("date value out of range"),
        struct.error("argument out of range"),
        TypeError("not a number"),
        AssertionError(),
        RecursionError("too deep"),
        AttributeError("none"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_bug_that_a_result_meets_sets_that_result_aside_and_is_told_once(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Broken(error)
    batch = [*results(*range(40)), result(40, target="bad"), *results(*range(41, 99)), result(99, target="bad")]
    stored = writer.store(batch)
    assert (stored.added, len(writer.stored)) == (98, 98)
    assert [place for place, _ in stored.refused] == [40, 99]
    assert all(reason.startswith(f"a bug in webmon: {type(error).__name__}: ") for _, reason in stored.refused)
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(told) == 1
    assert told[0].exc_info is not None
    assert writer.asked < 40


def test_a_text_that_cannot_be_sent_is_no_bug(caplog: pytest.LogCaptureFixture) -> None:
    writer = Broken(UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"))
    ((place, reason),) = writer.store([*results(0), result(1, target="bad")]).refused
    assert place == 1
    assert "surrogates not allowed" in reason
    assert caplog.records == []


@pytest.mark.parametrize(
    "error", [DatabaseAwayError("gone"), psycopg2.OperationalError("gone"), OSError("gone"), MemoryError()], ids=repr
)
def test_what_no_result_is_to_blame_for_sets_none_aside(error: Exception) -> None:
    writer = Broken(error)
    with pytest.raises((DatabaseAwayError, OSError, MemoryError)):
        writer.store([*results(0), result(1, target="bad")])
    assert writer.asked == 1


def test_thousands_that_do_not_fit_hold_up_nobody_and_take_no_other_agents_results_with_them() -> None:
    writer = Broken(ValueError("no"), secs=0.007)
    batch = [result(number, agent=f"vantage{number % 3}") for number in range(2000)]
    poison = [result(number, agent="taken", target="bad") for number in range(2000, 5000)]
    mixed = [one for pair in zip(batch, poison, strict=False) for one in pair] + poison[2000:]
    stored = writer.store(mixed)
    assert writer.now < 4
    assert stored.added == 2000
    assert sorted(one.time for one in writer.stored) == sorted(one.time for one in batch)
    assert [mixed[place].agent for place, _ in stored.refused] == ["taken"] * 3000
    assert {why for _, why in stored.refused} == {
        "no",
        "refused with others of the same agent, and not tried alone as they are too many: no",
    }

"""What the bench of an overloaded agent calls false, and what it calls borne."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.bench.flat import warm_and_end
from tests.bench.overload import Seen, said
from webmon.check.result import CheckResult, Outcome

SLOT = datetime(2026, 1, 2, tzinfo=UTC)
LATE = "connecting: this vantage was too busy: of 1 s it stood still for 0.8 s"


def result(outcome: Outcome = Outcome.UP, error: str | None = None, late: float = 0.0) -> CheckResult:
    values: dict[str, Any] = {"target": "t", "url": "http://h/", "agent": "a", "interval": 1, "total_time": 0.1}
    return CheckResult(scheduled_at=SLOT, time=SLOT + timedelta(seconds=late), outcome=outcome, error=error, **values)


def test_a_rate_is_borne_where_all_is_up_in_time() -> None:
    assert Seen([result()] * 200, 0, 5).is_borne
    assert Seen([result()] * 199 + [result(late=3)], 0, 5).is_borne, "one of two hundred may be late"


@pytest.mark.parametrize(
    ("more", "missed", "why"),
    [
        ([], 3, "3 slots missed"),
        ([result(late=0.2)] * 10, 0, "lateness p99 200 ms"),
        ([result(Outcome.AGENT_ERROR, LATE)], 0, "1 our own fault"),
        ([result(Outcome.TIMEOUT, "not done within 1 s")], 0, "1 down"),
    ],
)
def test_a_rate_is_not_borne_and_why_is_said(more: list[CheckResult], missed: float, why: str) -> None:
    seen = Seen([*[result()] * 100, *more], missed, 5)
    assert not seen.is_borne
    assert said(seen) == why


def test_what_is_down_is_false_and_our_own_fault_is_not_but_must_say_how_late_we_were() -> None:
    down, own, silent = (
        result(Outcome.TIMEOUT, "not done within 1 s"),
        result(Outcome.AGENT_ERROR, LATE),
        result(Outcome.AGENT_ERROR, "Out of memory"),
    )
    seen = Seen([result(), down, own, silent, result(Outcome.SLOW, "slow")], 0, 5)
    assert (seen.false, seen.own, seen.silent) == ([down], [own, silent], [silent])


def test_what_is_used_in_the_end_is_held_against_what_was_used_when_warm() -> None:
    assert warm_and_end([1.0] * 20 + [2.0] * 10 + [2.0] * 24 + [3.0] * 6) == (2.0, 3.0)

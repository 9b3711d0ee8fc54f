"""The checks of one vantage, put together: what is handed on of a failure that may be its own."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from tests.waiting import wait_until
from webmon.agent.rounds import Rounds
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target
from webmon.settings import HostPort

SHOP = Target(name="shop", url="https://192.0.2.1/", interval=10, timeout=5)
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REFUSED = CheckResult(
    target="shop", url=SHOP.url, agent="here", scheduled_at=NOW, time=NOW, interval=10, total_time=0.1,
    outcome=Outcome.CONNECT_ERROR, error="refused",
)  # fmt: skip


@contextlib.contextmanager
def taken(canaries: Sequence[HostPort], result: CheckResult = REFUSED) -> Iterator[list[CheckResult]]:
    """Give what is handed on of a result."""
    kept: list[CheckResult] = []
    rounds = Rounds("here", kept.append, canaries=canaries)
    rounds.probe.loop.call(lambda: rounds.take(SHOP, result))
    wait_until(lambda: bool(kept))
    yield kept
    assert rounds.stop(10) == 0


def test_without_canaries_a_failure_is_the_sites() -> None:
    with taken([]) as kept:
        assert kept == [REFUSED]


def test_while_no_canary_answers_it_is_our_own() -> None:
    with taken([HostPort("localhost", 1)]) as kept:
        assert [result.outcome for result in kept] == [Outcome.AGENT_ERROR]


def test_what_fails_while_a_result_is_handed_on_is_told_and_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    kept, came = [], threading.Event()

    def keep(result: CheckResult) -> None:
        if not came.is_set():
            came.set()
            raise ValueError("of ours")
        kept.append(result)

    rounds = Rounds("here", keep, canaries=[])
    for _ in range(2):
        rounds.probe.loop.call(lambda: rounds.take(SHOP, REFUSED))
    wait_until(lambda: bool(kept))
    assert rounds.stop(10) == 0
    assert "shop: a bug in webmon, no result" in caplog.text

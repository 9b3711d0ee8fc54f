"""What an agent tells of itself in its results, on a clock of the test's."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from webmon import __version__
from webmon.agent.telling import EVERY_SECS, Telling
from webmon.check.result import AgentStatus, CheckResult, Outcome

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


class Agent:
    """One with a clock and an outbox."""

    def __init__(self) -> None:
        """Begin with some seconds of uptime."""
        self.now = 100.0
        self.waiting = 0
        self.telling = Telling(lambda: self.waiting, monotonic=lambda: self.now)

    def said(self) -> AgentStatus | None:
        """Give what the next result says."""
        return self.telling.add(result()).agent_status or None


@pytest.fixture
def agent() -> Agent:
    return Agent()


def result() -> CheckResult:
    at: dict[str, Any] = {"scheduled_at": NOW, "time": NOW, "interval": 60.0, "total_time": 0.1}
    return CheckResult(target="shop", url="https://shop.example/", agent="a", outcome=Outcome.UP, **at)


def test_the_first_result_tells_it_and_then_one_each_10_seconds(agent: Agent) -> None:
    told = []
    for tenth in range(1000):
        agent.now = 100.0 + tenth / 10
        if agent.said():
            told.append(tenth / 10)
    assert EVERY_SECS == 10
    assert told == [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]


def test_results_that_come_seldom_all_tell_it(agent: Agent) -> None:
    for _ in range(3):
        agent.now += 300
        assert agent.said()


def test_it_is_as_the_agent_is_at_that_moment(agent: Agent) -> None:
    assert agent.said() == AgentStatus(version=__version__, waiting=0, certificate_ends=None)
    agent.waiting = 4711
    agent.telling.certificate_ends = NOW + timedelta(days=30)
    agent.now += EVERY_SECS
    assert agent.said() == AgentStatus(version=__version__, waiting=4711, certificate_ends=NOW + timedelta(days=30))


def test_a_result_that_is_not_due_is_handed_on_as_it_is(agent: Agent) -> None:
    agent.said()
    one = result()
    assert agent.telling.add(one) is one


def test_of_many_threads_at_once_one_tells_it() -> None:
    compared, begin = threading.local(), threading.Barrier(8)

    class Moment(float):
        """One that all threads compare at the same time first: each with what was due before any told it."""

        def __lt__(self, other: float) -> bool:
            if not hasattr(compared, "once"):
                compared.once = True
                begin.wait(10)
            return float(self) < other

    telling = Telling(lambda: 0, monotonic=lambda: Moment(100))
    told: list[CheckResult] = []
    threads = [threading.Thread(target=lambda: told.append(telling.add(result()))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(bool(one.agent_status) for one in told) == [False] * 7 + [True]

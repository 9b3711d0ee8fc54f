"""Whose fault it is: a site's, or the way from here."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.hostile import HostileServer, hang
from tests.waiting import wait_until
from webmon.agent.vantage import Vantage
from webmon.check.result import CheckResult, Outcome
from webmon.check.transport import resolve_here

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEAD = ("127.0.0.1", 1)


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def make_result(outcome: Outcome, host: str = "a", **more: Any) -> CheckResult:
    return CheckResult(
        target=host, url=f"http://{host}/", agent="here", scheduled_at=NOW, time=NOW, interval=60, total_time=1,
        outcome=outcome, error=None if outcome.is_up else "why", **more
    )  # fmt: skip


NETWORK_KIND = [Outcome.DNS_ERROR, Outcome.CONNECT_ERROR, Outcome.TIMEOUT]


@pytest.mark.parametrize("outcome", NETWORK_KIND)
def test_a_failure_of_the_network_is_ours_while_nothing_answers(outcome: Outcome) -> None:
    judged = Vantage([DEAD], resolve_here).judge(make_result(outcome))
    assert judged.outcome is Outcome.AGENT_ERROR
    assert judged.error == f"vantage cut off: no other host and no canary answers ({outcome.value}: why)"


@pytest.mark.parametrize("outcome", NETWORK_KIND)
def test_it_is_the_sites_while_a_canary_accepts(outcome: Outcome) -> None:
    with HostileServer(hang) as canary:
        result = make_result(outcome)
        assert Vantage([DEAD, ("localhost", canary.port)], resolve_here).judge(result) is result


def test_it_is_the_sites_while_another_host_answers() -> None:
    clock = Clock()
    vantage = Vantage([DEAD], resolve_here, clock)
    vantage.judge(make_result(Outcome.STATUS_MISMATCH, "b", http_status=500))
    clock.time += 59
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.CONNECT_ERROR
    clock.time += 2
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.AGENT_ERROR


def test_an_answer_of_the_same_host_says_nothing_of_the_way() -> None:
    vantage = Vantage([DEAD], resolve_here, Clock())
    vantage.judge(make_result(Outcome.UP, "a", http_status=200))
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.AGENT_ERROR


def test_the_other_host_is_remembered_behind_many_answers_of_this_one() -> None:
    vantage = Vantage([DEAD], resolve_here, Clock())
    for host in ("b", "a", "a", "a"):
        vantage.judge(make_result(Outcome.UP, host, http_status=200))
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.CONNECT_ERROR


@pytest.mark.parametrize(
    "result",
    [
        make_result(Outcome.TIMEOUT, remote_ip="192.0.2.1"),
        make_result(Outcome.TLS_ERROR, remote_ip="192.0.2.1"),
        make_result(Outcome.READ_ERROR, remote_ip="192.0.2.1"),
        make_result(Outcome.CONNECT_ERROR, redirects=1, http_status=302),
        make_result(Outcome.UP, http_status=200),
        make_result(Outcome.AGENT_ERROR),
    ],
    ids=lambda result: str(result.outcome),
)
def test_what_the_network_cannot_cause_stays_as_it_is(result: CheckResult) -> None:
    assert Vantage([DEAD], resolve_here).judge(result) is result


def test_many_that_fail_at_once_ask_the_canary_once() -> None:
    clock = Clock()
    with HostileServer(hang) as canary:
        vantage = Vantage([("127.0.0.1", canary.port)], resolve_here, clock)
        for _ in range(20):
            vantage.judge(make_result(Outcome.CONNECT_ERROR))
        wait_until(lambda: canary.connections == 1)
        clock.time += 2
        vantage.judge(make_result(Outcome.CONNECT_ERROR))
        wait_until(lambda: canary.connections == 2)


def test_our_own_faults_are_logged_once_a_minute_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    vantage = Vantage([DEAD], resolve_here, clock)
    for _ in range(5):
        vantage.judge(make_result(Outcome.AGENT_ERROR))
    clock.time += 61
    vantage.judge(make_result(Outcome.AGENT_ERROR))
    assert [record.message for record in caplog.records] == [
        "1 checks failed for our own sake, the last of a: why",
        "5 checks failed for our own sake, the last of a: why",
    ]

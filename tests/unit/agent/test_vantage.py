"""Whose fault it is: a site's, or the way from here."""

import socket
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.hostile import HostileServer, hang
from tests.waiting import wait_until
from webmon.agent.vantage import Vantage
from webmon.check.result import CheckResult, Outcome, Phases
from webmon.check.transport import Addresses, resolve_here
from webmon.settings import HostPort

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DEAD = HostPort("127.0.0.1", 1)


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
        assert Vantage([DEAD, HostPort("localhost", canary.port)], resolve_here).judge(result) is result


def test_it_is_the_sites_while_another_host_answers() -> None:
    clock = Clock()
    vantage = Vantage([DEAD], resolve_here, monotonic=clock)
    vantage.judge(make_result(Outcome.STATUS_MISMATCH, "b", http_status=500))
    clock.time += 59
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.CONNECT_ERROR
    clock.time += 2
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.AGENT_ERROR


def test_an_answer_of_the_same_host_says_nothing_of_the_way() -> None:
    vantage = Vantage([DEAD], resolve_here, monotonic=Clock())
    vantage.judge(make_result(Outcome.UP, "a", http_status=200))
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.AGENT_ERROR


def test_the_other_host_is_remembered_behind_many_answers_of_this_one() -> None:
    vantage = Vantage([DEAD], resolve_here, monotonic=Clock())
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
        vantage = Vantage([HostPort("127.0.0.1", canary.port)], resolve_here, monotonic=clock)
        for _ in range(20):
            vantage.judge(make_result(Outcome.CONNECT_ERROR))
        wait_until(lambda: canary.connections == 1)
        clock.time += 2
        vantage.judge(make_result(Outcome.CONNECT_ERROR))
        wait_until(lambda: canary.connections == 2)


def test_however_many_canaries_are_silent_asking_them_is_bounded() -> None:
    clock = Clock()
    asked = []

    def resolve(host: str, port: int, timeout: float) -> Addresses:
        asked.append(host)
        clock.time += timeout
        raise TimeoutError

    vantage = Vantage([HostPort(f"kafka{n}.example", 9092) for n in range(20)], resolve, monotonic=clock)
    before = clock.time
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR)).outcome is Outcome.AGENT_ERROR
    assert clock.time - before == 3
    assert len(asked) == 2


def test_our_own_faults_are_logged_once_a_minute_with_their_number(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    vantage = Vantage([DEAD], resolve_here, monotonic=clock)
    for _ in range(5):
        vantage.judge(make_result(Outcome.AGENT_ERROR))
    clock.time += 61
    vantage.judge(make_result(Outcome.AGENT_ERROR))
    assert [record.message for record in caplog.records] == [
        "1 checks failed for our own sake, the last of a: why",
        "5 checks failed for our own sake, the last of a: why",
    ]


def no_answer(host: str, port: int, timeout: float) -> Addresses:
    """Resolve addresses and no name: the resolver is dead."""
    if host.endswith(".example"):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return resolve_here(host, port, timeout)


OF_NAMES = [
    make_result(Outcome.DNS_ERROR, "a.example"),
    make_result(Outcome.TIMEOUT, "a.example", phases=Phases(dns=1)),
]


@pytest.mark.parametrize("result", OF_NAMES, ids=lambda result: str(result.outcome))
def test_a_name_without_an_answer_is_ours_while_only_addresses_answer(result: CheckResult) -> None:
    with HostileServer(hang) as canary:
        canaries = [
            HostPort("127.0.0.1", canary.port),
            HostPort("localhost", canary.port),
            HostPort("kafka.example", canary.port),
        ]
        vantage = Vantage(canaries, no_answer, lambda _: True)
        vantage.judge(make_result(Outcome.UP, "192.0.2.1", http_status=200, phases=Phases(dns=0, connect=0.1)))
        vantage.judge(make_result(Outcome.UP, "[2001:db8::1]", http_status=200, phases=Phases(dns=0, connect=0.1)))
        vantage.judge(make_result(Outcome.UP, "localhost", http_status=200, phases=Phases(dns=0, connect=0.1)))
        judged = vantage.judge(result)
        assert judged.outcome is Outcome.AGENT_ERROR
        assert judged.error == f"vantage cut off: its resolver answers for no name ({result.outcome.value}: why)"
        # The ways are open, so what does not need a name is the site's.
        connect = make_result(Outcome.CONNECT_ERROR, "192.0.2.9", phases=Phases(dns=0, connect=1))
        assert vantage.judge(connect) is connect


@pytest.mark.parametrize("result", OF_NAMES, ids=lambda result: str(result.outcome))
def test_a_name_without_an_answer_is_the_sites_while_another_name_resolves(result: CheckResult) -> None:
    clock = Clock()
    with HostileServer(hang) as canary:
        vantage = Vantage([HostPort("127.0.0.1", canary.port)], no_answer, lambda _: True, clock)
        vantage.judge(make_result(Outcome.CONNECT_ERROR, "b.example", phases=Phases(dns=0.1, connect=1)))
        clock.time += 59
        assert vantage.judge(result) is result
        clock.time += 2
        assert vantage.judge(result).outcome is Outcome.AGENT_ERROR


def test_a_name_without_an_answer_is_the_sites_while_a_canarys_name_resolves() -> None:
    def resolve(host: str, port: int, timeout: float) -> Addresses:
        return resolve_here("127.0.0.1", port, timeout)

    with HostileServer(hang) as canary:
        for canaries in (
            [HostPort("kafka.example", canary.port)],
            [HostPort("127.0.0.1", canary.port), HostPort("kafka.example", 1)],
        ):
            assert Vantage(canaries, resolve, lambda _: True).judge(OF_NAMES[0]) is OF_NAMES[0]


def test_that_there_is_no_such_name_is_an_answer_and_the_sites() -> None:
    with HostileServer(hang) as canary:
        assert (
            Vantage([HostPort("127.0.0.1", canary.port)], no_answer, lambda _: False).judge(OF_NAMES[0]) is OF_NAMES[0]
        )
    # But from a vantage that reaches nobody it may be what a router says that has lost its line.
    assert Vantage([DEAD], no_answer, lambda _: False).judge(OF_NAMES[0]).outcome is Outcome.AGENT_ERROR

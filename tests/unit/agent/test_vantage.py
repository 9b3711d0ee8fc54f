"""Whose fault it is: a site's, or the way from here."""

import socket
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.hostile import HostileServer, hang
from tests.waiting import wait_until
from webmon.agent import vantage as vantage_module
from webmon.agent.vantage import asked_host
from webmon.check.resolver import Addresses, Resolve, resolve_here
from webmon.check.result import CheckResult, Outcome, Phases
from webmon.check.target import Proxy, Target
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


THERE, HERE = "127.0.0.1", "127.0.0.2"
"""Another host, and this one, as the tests have them."""


class Vantage(vantage_module.Vantage):
    """A vantage that is on HERE."""

    def __init__(
        self,
        canaries: Sequence[HostPort],
        resolve: Resolve = resolve_here,
        is_silent: Callable[[str], bool] = lambda _: False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(canaries, resolve, is_silent, monotonic, lambda ip: ip == HERE)

    def judge(self, result: CheckResult, host: str | None = None) -> CheckResult:
        """Judge what a check of a target without a proxy found."""
        return super().judge(result, host or urlsplit(result.url).hostname or "")

    def resolve(self, host: str, port: int, timeout: float) -> None:
        """Look a name up as a check's resolver does, and note the answer."""
        self.note_resolved(host, self._resolve(host, port, timeout))

    def answered(self, host: str, outcome: Outcome = Outcome.UP, remote_ip: str | None = "192.0.2.7") -> None:
        """Judge a check in which a host answered."""
        self.judge(make_result(outcome, host, http_status=500, remote_ip=remote_ip))


NETWORK_KIND = [Outcome.DNS_ERROR, Outcome.CONNECT_ERROR, Outcome.TIMEOUT]


@pytest.mark.parametrize("outcome", NETWORK_KIND)
def test_a_failure_of_the_network_is_ours_while_nothing_answers(outcome: Outcome) -> None:
    judged = Vantage([DEAD]).judge(make_result(outcome))
    assert judged.outcome is Outcome.AGENT_ERROR
    assert judged.error == f"vantage cut off: no other host and no canary answers ({outcome.value}: why)"


@pytest.mark.parametrize("outcome", NETWORK_KIND)
def test_it_is_the_sites_while_a_canary_accepts(outcome: Outcome) -> None:
    with HostileServer(hang) as canary:
        result = make_result(outcome)
        assert Vantage([DEAD, HostPort("localhost", canary.port)]).judge(result) is result


def test_it_is_the_sites_while_another_host_answers() -> None:
    clock = Clock()
    vantage = Vantage([DEAD], monotonic=clock)
    vantage.answered("b", Outcome.STATUS_MISMATCH)
    clock.time += 59
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.CONNECT_ERROR
    clock.time += 2
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.AGENT_ERROR


def test_an_answer_of_the_same_host_says_nothing_of_the_way() -> None:
    vantage = Vantage([DEAD], monotonic=Clock())
    vantage.answered("a")
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.AGENT_ERROR


def test_the_other_host_is_remembered_behind_many_answers_of_this_one() -> None:
    vantage = Vantage([DEAD], monotonic=Clock())
    for host in ("b", "a", "a", "a"):
        vantage.answered(host)
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.CONNECT_ERROR


@pytest.mark.parametrize(
    "result",
    [
        make_result(Outcome.TIMEOUT, remote_ip="192.0.2.1"),
        make_result(Outcome.TLS_ERROR, remote_ip="192.0.2.1"),
        make_result(Outcome.READ_ERROR, remote_ip="192.0.2.1"),
        make_result(Outcome.CONNECT_ERROR, redirects=1, http_status=302),
        make_result(Outcome.DNS_ERROR, redirects=1, http_status=302),
        make_result(Outcome.TIMEOUT, redirects=1, http_status=302),
        make_result(Outcome.CONNECT_ERROR, redirects=1),
        make_result(Outcome.UP, http_status=200),
        make_result(Outcome.AGENT_ERROR),
    ],
    ids=lambda result: str(result.outcome),
)
def test_what_the_network_cannot_cause_stays_as_it_is(result: CheckResult) -> None:
    assert Vantage([DEAD]).judge(result) is result


def test_an_address_that_a_redirect_named_and_that_did_not_answer_is_no_sign_of_life() -> None:
    vantage = Vantage([DEAD])
    vantage.judge(make_result(Outcome.CONNECT_ERROR, "b", redirects=1, http_status=302, remote_ip="192.0.2.7"))
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.AGENT_ERROR


def test_many_that_fail_at_once_ask_the_canary_once() -> None:
    clock = Clock()
    with HostileServer(hang) as canary:
        vantage = Vantage([HostPort(THERE, canary.port)], resolve_here, monotonic=clock)
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
    vantage = Vantage([DEAD], monotonic=clock)
    for _ in range(5):
        vantage.judge(make_result(Outcome.AGENT_ERROR))
    clock.time += 61
    vantage.judge(make_result(Outcome.AGENT_ERROR))
    assert [record.message for record in caplog.records] == [
        "1 checks failed because of this host and not of the sites, the last of a: why",
        "5 checks failed because of this host and not of the sites, the last of a: why",
    ]


def no_answer(host: str, port: int, timeout: float) -> Addresses:
    """Resolve addresses and no name: the resolver is dead."""
    if host.endswith(".example"):
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    return resolve_here(host, port, timeout)


def there(host: str, port: int, timeout: float) -> Addresses:
    """Resolve every name to another host."""
    return resolve_here(THERE, port, timeout)


def here(host: str, port: int, timeout: float) -> Addresses:
    """Resolve every name to this host, as /etc/hosts does for its own."""
    return resolve_here(HERE, port, timeout)


OF_NAMES = [
    make_result(Outcome.DNS_ERROR, "a.example"),
    make_result(Outcome.TIMEOUT, "a.example", phases=Phases(dns=1)),
]


@pytest.mark.parametrize("result", OF_NAMES, ids=lambda result: str(result.outcome))
def test_a_name_without_an_answer_is_ours_while_only_addresses_answer(result: CheckResult) -> None:
    with HostileServer(hang) as canary:
        canaries = [
            HostPort(THERE, canary.port),
            HostPort("localhost", canary.port),
            HostPort("kafka.example", canary.port),
        ]
        vantage = Vantage(canaries, no_answer, lambda _: True)
        for host in ("192.0.2.1", "2001:db8::1", "localhost"):
            vantage.resolve(host, 80, 1)
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
        vantage = Vantage([HostPort(THERE, canary.port)], there, lambda _: True, clock)
        vantage.resolve("b.example", 80, 1)
        clock.time += 59
        assert vantage.judge(result) is result
        clock.time += 2
        assert vantage.judge(result).outcome is Outcome.AGENT_ERROR


def test_a_name_without_an_answer_is_the_sites_while_a_canarys_name_resolves() -> None:
    with HostileServer(hang) as canary:
        for canaries in (
            [HostPort("kafka.example", canary.port)],
            [HostPort(THERE, canary.port), HostPort("kafka.example", 1)],
        ):
            assert Vantage(canaries, there, lambda _: True).judge(OF_NAMES[0]) is OF_NAMES[0]


def test_that_there_is_no_such_name_is_an_answer_and_the_sites() -> None:
    with HostileServer(hang) as canary:
        assert Vantage([HostPort(THERE, canary.port)], no_answer, lambda _: False).judge(OF_NAMES[0]) is OF_NAMES[0]
    # But from a vantage that reaches nobody it may be what a router says that has lost its line.
    assert Vantage([DEAD], no_answer, lambda _: False).judge(OF_NAMES[0]).outcome is Outcome.AGENT_ERROR


@pytest.mark.parametrize("ip", [HERE, None], ids=["this host", "a proxy"])
def test_what_answered_on_this_very_host_or_through_a_proxy_says_nothing_of_the_way(ip: str | None) -> None:
    vantage = Vantage([DEAD], monotonic=Clock())
    vantage.answered("b", remote_ip=ip)
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.AGENT_ERROR
    vantage.answered("c")
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a")).outcome is Outcome.CONNECT_ERROR


def test_a_canary_on_this_very_host_says_nothing_of_the_way() -> None:
    with HostileServer(hang, address=HERE) as canary:
        for resolve, host in ((resolve_here, HERE), (here, "myself.example")):
            vantage = Vantage([HostPort(host, canary.port)], resolve, lambda _: True)
            assert vantage.judge(make_result(Outcome.CONNECT_ERROR)).outcome is Outcome.AGENT_ERROR
            assert vantage.judge(OF_NAMES[0]).outcome is Outcome.AGENT_ERROR
        assert canary.connections == 0


@pytest.mark.parametrize("host", ["localhost", "shop.localhost", "localhost.", HERE, "myself.example"])
def test_a_failure_of_a_target_on_this_very_host_is_its_own_for_it_needs_no_way(host: str) -> None:
    vantage = Vantage([DEAD], here)
    vantage.resolve(host, 80, 1)
    result = make_result(Outcome.CONNECT_ERROR, host)
    assert vantage.judge(result) is result


def test_datagrams_to_this_very_host_that_nobody_answers_need_no_way_either() -> None:
    vantage = Vantage([DEAD], here)
    result = make_result(Outcome.TIMEOUT, HERE, kind="dns", phases=Phases(dns=0, first_byte=1))
    assert vantage.judge(result) is result


def test_a_name_of_this_very_host_that_does_not_resolve_may_be_ours() -> None:
    vantage = Vantage([DEAD], here)
    vantage.resolve("a.example", 80, 1)
    assert vantage.judge(OF_NAMES[0]).outcome is Outcome.AGENT_ERROR


def test_a_name_of_this_very_host_shows_no_resolver_that_works() -> None:
    with HostileServer(hang) as canary:
        vantage = Vantage([HostPort(THERE, canary.port)], here, lambda _: True)
        vantage.resolve("myself.example", 80, 1)
        assert vantage.judge(OF_NAMES[0]).outcome is Outcome.AGENT_ERROR


def test_a_name_that_has_moved_elsewhere_is_no_more_of_this_host() -> None:
    addresses = [HERE, THERE]
    vantage = Vantage([], lambda _, port, timeout: resolve_here(addresses.pop(0), port, timeout))
    for outcome in (Outcome.CONNECT_ERROR, Outcome.AGENT_ERROR):
        vantage.resolve("a.example", 80, 1)
        assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a.example")).outcome is outcome


def test_behind_a_proxy_it_is_the_proxys_name_that_must_resolve() -> None:
    proxied = Target(name="a", url="http://a.example/", interval=60, timeout=1, proxy=Proxy("proxy.example", 3128))
    assert asked_host(proxied) == "proxy.example"
    assert asked_host(Target(name="b", url="http://bücher.example/", interval=60, timeout=1)) == "xn--bcher-kva.example"
    with HostileServer(hang) as canary:
        vantage = Vantage([HostPort(THERE, canary.port)], no_answer, lambda name: name == "proxy.example")
        assert vantage.judge(OF_NAMES[0], asked_host(proxied)).outcome is Outcome.AGENT_ERROR


def test_that_every_canary_is_on_this_very_host_is_told(caplog: pytest.LogCaptureFixture) -> None:
    Vantage([HostPort(HERE, 9093), DEAD]).tell_local_canaries()
    Vantage([HostPort("kafka.example", 9093)], no_answer).tell_local_canaries()
    assert caplog.messages == []
    Vantage([HostPort(HERE, 9093), HostPort("myself.example", 9093)], here).tell_local_canaries()
    assert caplog.messages == [
        "every canary (127.0.0.2:9093, myself.example:9093) is on this very host, so none shows whether this vantage "
        "is connected: right would be hosts elsewhere in MONITORING_CANARIES (default: the brokers)"
    ]


def test_what_answered_before_the_host_was_suspended_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """CLOCK_BOOTTIME goes on meanwhile, and CLOCK_MONOTONIC does not: clock_gettime(2)."""
    asleep = 0.0
    clocks = {time.CLOCK_BOOTTIME: lambda: time.monotonic() + asleep}
    monkeypatch.setattr(time, "clock_gettime", lambda clock: clocks[clock]())
    vantage = vantage_module.Vantage([DEAD], resolve_here, is_own=lambda _: False)
    vantage.judge(make_result(Outcome.UP, "b", http_status=200, remote_ip="192.0.2.7"), "b")
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a"), "a").outcome is Outcome.CONNECT_ERROR
    asleep = 61.0
    assert vantage.judge(make_result(Outcome.CONNECT_ERROR, "a"), "a").outcome is Outcome.AGENT_ERROR

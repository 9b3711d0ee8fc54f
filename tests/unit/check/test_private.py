"""Where a site may not lead a check: from a public address to private ones, and to networks that are forbidden."""

import contextlib
import ipaddress
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from tests.hostile import OK, HostileServer, hear, page, redirect
from tests.http_proxy import HttpProxy
from webmon.check import networks
from webmon.check.probe import Probe, utc_now
from webmon.check.resolver import Addresses, resolve_here
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Proxy, Target

PUBLIC, PRIVATE = "127.0.0.1", "127.0.0.2"
"""Addresses as these tests have them: of the internet, and of the agent's own network."""
NAMES: Final = {
    "site.example": (PUBLIC,),
    "inside.example": (PRIVATE,),
    "mixed.example": (PRIVATE, PUBLIC),
    "other.example": (PRIVATE, "127.0.0.3"),
}
SECRET_PAGE: Final = page(b"an agent's own metrics")


def _resolve(host: str, port: int, timeout: float) -> Addresses:
    if host in NAMES:
        return [(socket.AF_INET, (ip, port)) for ip in NAMES[host]]
    return resolve_here(host, port, timeout)


is_private: Final = networks.is_private


@pytest.fixture(autouse=True)
def _one_address_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "is_private", lambda ip: ip != PUBLIC)


@pytest.fixture
def probe() -> Iterator[Probe]:
    with contextlib.closing(Probe(agent="here", resolve=_resolve)) as made:
        yield made


@pytest.fixture
def inside() -> Iterator[HostileServer]:
    with HostileServer(SECRET_PAGE, address=PRIVATE) as server:
        yield server


def check(probe: Probe, url: str, **more: Any) -> CheckResult:
    settings: dict[str, Any] = {"name": "t", "url": url, "interval": 60, "timeout": 10}
    return probe.check(Target(**(settings | more)), utc_now())


@contextlib.contextmanager
def site(to: Callable[[], str]) -> Iterator[str]:
    """Have a site at a public address that redirects; give its URL."""
    with HostileServer(redirect(to)) as server:
        yield f"http://site.example:{server.port}/"


def is_refused(result: CheckResult, host: str, ip: str = PRIVATE) -> bool:
    text = f"redirect to http://{host}/: {ip} is a private address; right would be allow_private: true if it is yours"
    return (result.outcome, result.error, result.http_status) == (Outcome.CONNECT_ERROR, text, 302)


@pytest.mark.parametrize("host", [PRIVATE, "inside.example", "other.example"])
def test_a_redirect_to_a_private_address_is_not_followed(probe: Probe, inside: HostileServer, host: str) -> None:
    with site(lambda: f"http://{host}:{inside.port}/metrics") as url:
        result = check(probe, url)
    assert is_refused(result, f"{host}:{inside.port}"), result.error
    assert inside.connections == 0


def test_a_redirect_to_localhost_is_not_followed(probe: Probe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "is_private", lambda ip: ip != "127.0.0.3")
    with HostileServer(SECRET_PAGE) as inside, HostileServer(redirect(lambda: inside.url), address="127.0.0.3") as end:
        result = check(probe, end.url)
        assert is_refused(result, f"localhost:{inside.port}", "::1"), result.error
        assert inside.connections == 0


def test_no_detour_leads_to_a_private_address(probe: Probe, inside: HostileServer) -> None:
    with HostileServer(redirect(lambda: inside.url)) as second, site(lambda: f"http://{PUBLIC}:{second.port}/") as url:
        result = check(probe, url)
    assert is_refused(result, f"{PRIVATE}:{inside.port}"), result.error
    assert (result.redirects, inside.connections) == (2, 0)


def test_of_a_name_with_addresses_of_both_kinds_the_public_ones_are_asked(probe: Probe) -> None:
    with HostileServer(page(b"hi")) as end, HostileServer(SECRET_PAGE, address=PRIVATE, port=end.port) as inside:
        with site(lambda: f"http://mixed.example:{end.port}/") as url:
            result = check(probe, url)
        assert (result.outcome, result.remote_ip, inside.connections) == (Outcome.UP, PUBLIC, 0), result.error


def test_a_target_that_allows_it_is_led_to_a_private_address(probe: Probe, inside: HostileServer) -> None:
    with site(lambda: inside.url) as url:
        assert check(probe, url, allow_private=True).outcome is Outcome.UP


@pytest.mark.parametrize("host", [PRIVATE, "inside.example"])
def test_a_private_address_that_the_target_names_may_redirect_to_another(
    probe: Probe, inside: HostileServer, host: str
) -> None:
    with HostileServer(redirect(lambda: inside.url), address=PRIVATE) as start:
        assert check(probe, f"http://{host}:{start.port}/").outcome is Outcome.UP


def test_no_connection_that_was_kept_leads_inside(probe: Probe) -> None:
    """The name was private once, and libcurl keeps its connection by the name."""
    addresses = {"name.example": PRIVATE, "start.example": PRIVATE}

    def served(connection: socket.socket) -> None:
        while hear(connection):
            connection.sendall(OK + b"Content-Length: 6\r\n\r\nsecret")

    def resolve(host: str, port: int, timeout: float) -> Addresses:
        return resolve_here(addresses[host], port, timeout)

    with (
        contextlib.closing(Probe(agent="here", resolve=resolve)) as own,
        HostileServer(served, address=PRIVATE) as inside,
        HostileServer(page(b"hi"), port=inside.port) as outside,
        HostileServer(redirect(lambda: f"http://name.example:{inside.port}/")) as start,
        HostileServer(redirect(lambda: f"http://name.example:{inside.port}/"), address=PRIVATE, port=start.port),
    ):
        url = f"http://start.example:{start.port}/"
        assert check(own, url, connection="reused").body_bytes == 6
        addresses.update({"name.example": PUBLIC, "start.example": PUBLIC})
        result = check(own, url, connection="reused")
        assert (result.outcome, result.body_bytes, result.remote_ip) == (Outcome.UP, 2, PUBLIC), result.error
        assert (inside.connections, outside.connections) == (1, 1)


def test_through_a_proxy_an_address_in_a_redirect_is_judged_and_a_name_is_the_proxys(
    probe: Probe, inside: HostileServer
) -> None:
    with HostileServer(HttpProxy()) as proxy:
        through = Proxy(PUBLIC, proxy.port)
        with HostileServer(redirect(lambda: inside.url)) as start:
            url = f"http://{PUBLIC}:{start.port}/"
            assert is_refused(check(probe, url, proxy=through), f"{PRIVATE}:{inside.port}")
            assert check(probe, url, proxy=through, allow_private=True).outcome is Outcome.UP


# Networks that are forbidden to all


def strict(network: str) -> contextlib.closing[Probe]:
    """Make a probe to which a network is forbidden."""
    return contextlib.closing(Probe(agent="here", resolve=_resolve, forbidden=[ipaddress.ip_network(network)]))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.2:{}/", "http://inside.example:{}/", "http://[::ffff:127.0.0.2]:{}/", "tcp://127.0.0.2:{}",
            "dns://127.0.0.2:{}/a.example", "grpc://127.0.0.2:{}", "ws://127.0.0.2:{}/", "smtp://127.0.0.2:{}"]
)  # fmt: skip
def test_no_check_of_any_kind_connects_to_a_forbidden_network(inside: HostileServer, url: str) -> None:
    with strict("127.0.0.2/32") as probe:
        result = check(probe, url.format(inside.port), allow_private=True)
    assert result.outcome is Outcome.CONNECT_ERROR
    assert "is in 127.0.0.2/32, which MONITORING_FORBIDDEN_NETWORKS forbids" in (result.error or "")
    assert inside.connections == 0


def test_a_ping_does_not_go_there_either() -> None:
    with strict("127.0.0.0/8") as probe:
        assert "MONITORING_FORBIDDEN_NETWORKS" in (check(probe, "icmp://127.0.0.2").error or "")


def test_a_redirect_does_not_lead_there_whoever_allows_it(inside: HostileServer) -> None:
    with strict("127.0.0.2/32") as probe, site(lambda: inside.url) as url:
        assert "MONITORING_FORBIDDEN_NETWORKS" in (check(probe, url, allow_private=True).error or "")
    assert inside.connections == 0


def test_of_several_addresses_the_others_are_asked() -> None:
    with strict("127.0.0.2/32") as probe, HostileServer(page(b"hi")) as server:
        assert check(probe, f"http://mixed.example:{server.port}/").remote_ip == PUBLIC


def test_a_proxy_is_not_asked_for_a_forbidden_address(inside: HostileServer) -> None:
    with strict("127.0.0.2/32") as probe, HostileServer(HttpProxy()) as proxy:
        result = check(probe, inside.url, proxy=Proxy(PUBLIC, proxy.port))
    assert ("MONITORING_FORBIDDEN_NETWORKS" in (result.error or ""), inside.connections) == (True, 0)


# What is private


@pytest.mark.parametrize(
    "ip",
    ["127.0.0.1", "10.0.0.5", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.1.2.3", "224.0.0.1",
     "255.255.255.255", "::", "::1", "fe80::1%eth0", "fc00::1", "fec0::1", "ff02::1", "::ffff:10.0.0.1", "::10.0.0.1",
     "64:ff9b::a00:1", "2002:a00:1::", "2001:db8::1"],
)  # fmt: skip
def test_an_address_is_private(ip: str) -> None:
    assert is_private(ip)


@pytest.mark.parametrize("ip", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101", "172.32.0.1"])
def test_an_address_is_public(ip: str) -> None:
    assert not is_private(ip)


# A way that is not there


@pytest.mark.parametrize("to", ["http://255.255.255.255/", "http://224.0.0.1/"])
def test_where_a_redirect_leads_and_there_is_no_way_it_is_the_sites_fault(probe: Probe, to: str) -> None:
    with site(lambda: to) as url:
        result = check(probe, url, allow_private=True, timeout=2)
    assert result.outcome in (Outcome.CONNECT_ERROR, Outcome.TIMEOUT), result.error
    assert (result.http_status, result.redirects) == (302, 1)

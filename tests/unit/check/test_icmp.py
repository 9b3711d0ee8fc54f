"""Checks by ICMP, in a network that is the tests' own: its hosts answer as each test wants."""

import ctypes
import os
import select
import socket
import statistics
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.deadline import check_in_time
from tests.waiting import wait_until
from webmon.check import course
from webmon.check.kinds import icmp
from webmon.check.probe import Probe
from webmon.check.resolver import Addresses, resolve_here
from webmon.check.result import CheckResult, Outcome, decode, encode
from webmon.check.target import Target
from webmon.check.verdict import Expectations

SLOT = datetime(2026, 1, 2, tzinfo=UTC)
ENOUGH = 10.0
TIMEOUT = 0.6
_NEW_NETWORK = 0x40000000
"""CLONE_NEWNET: Python has os.unshare from 3.12 on."""
_BY_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own is made by root")

Answer = Callable[[int, bytes], list[bytes]]
"""What a host sends for a request, by its number from 0 on: ICMP messages without a checksum."""


class Network:
    """A network that one thread is in: that of the checks. 192.0.2.1 is its host, 192.0.2.8 a silent one."""

    def __init__(self) -> None:
        self.answer: Answer = lambda _, request: [reply(request)]
        self.asked: list[tuple[float, bytes]] = []
        self.error: Exception | None = None
        self._made = threading.Event()
        self.probe = Probe(agent="here", resolve=resolve_here, start=self._start)
        self._made.wait(20)
        if self.error is not None:
            raise self.error
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.probe.close()
        self._stop.close()

    def _start(self, work: Callable[[], None]) -> None:
        def run() -> None:
            try:
                self._make()
            except Exception as error:  # noqa: BLE001
                self.error = error
            self._made.set()
            work()

        threading.Thread(target=run, daemon=True).start()

    def _make(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        for command in (
            "link set lo up",
            "link add here type veth peer name there",
            "address add 192.0.2.1/24 dev here",
            "-6 address add 2001:db8::1/64 dev here nodad",
            "link set here up",
            "link set there up",
            "neighbour add 192.0.2.8 lladdr 02:00:00:00:00:08 dev here",
            "route add 198.51.100.0/24 via 192.0.2.9",
        ):
            subprocess.run(["ip", *command.split()], check=True)
        for name, value in (
            ("ipv4/ping_group_range", f"{os.getegid()} {os.getegid()}"),
            # That nobody has an address is found within 50 ms.
            ("ipv4/neigh/here/mcast_solicit", "1"),
            ("ipv4/neigh/here/retrans_time_ms", "50"),
            ("ipv6/neigh/here/mcast_solicit", "1"),
            ("ipv6/neigh/here/retrans_time_ms", "50"),
            # The host is this class.
            ("ipv4/icmp_echo_ignore_all", "1"),
        ):
            Path("/proc/sys/net", name).write_text(value, encoding="ascii")
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._stop, self._stopped = socket.socketpair()

    def _serve(self) -> None:
        """Answer what is sent to 127.0.0.2 and 192.0.2.1."""
        with closing(self._raw), closing(self._stopped), suppress(OSError):
            while self._stopped not in select.select([self._raw, self._stopped], [], [])[0]:
                packet, (address, _) = self._raw.recvfrom(65535)
                request = packet[(packet[0] & 15) * 4 :]
                if request[0] != 8:
                    continue
                self.asked.append((time.monotonic(), request))
                for message in self.answer(len(self.asked) - 1, request):
                    self._raw.sendto(checked(message), (address, 0))


def checked(message: bytes) -> bytes:
    """Put its checksum into a message (RFC 1071)."""
    whole = message + bytes(len(message) % 2)
    total = sum(struct.unpack(f"!{len(whole) // 2}H", whole))
    total = (total & 0xFFFF) + (total >> 16)
    total += total >> 16
    return message[:2] + struct.pack("!H", ~total & 0xFFFF) + message[4:]


def reply(request: bytes) -> bytes:
    return b"\x00\x00\x00\x00" + request[4:]


@pytest.fixture(autouse=True)
def a_machine_that_is_busy_is_no_subject_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "_HELD_UP_SECS", 60.0)


@pytest.fixture(scope="module")
def the_network() -> Iterator[Network]:
    with closing(Network()) as made:
        yield made


GAP, GRACE = icmp._GAP_SECS, icmp._GRACE_SECS


@pytest.fixture
def network(the_network: Network, monkeypatch: pytest.MonkeyPatch) -> Network:
    monkeypatch.setattr(icmp, "_GAP_SECS", 0.02)
    monkeypatch.setattr(icmp, "_GRACE_SECS", 0.2)
    the_network.asked.clear()
    the_network.answer = lambda _, request: [reply(request)]
    return the_network


def check(probe: Probe, url: str, **more: Any) -> CheckResult:
    settings: dict[str, Any] = {"name": "t", "url": url, "interval": 60, "timeout": ENOUGH}
    result = check_in_time(probe, Target(**(settings | more)), SLOT)
    assert decode(encode(result)) == result
    return result


@_BY_ROOT
def test_a_host_that_answers_is_up_with_the_median_time(network: Network) -> None:
    result = check(network.probe, "icmp://127.0.0.1")
    assert (result.outcome, result.error, result.kind) == (Outcome.UP, None, "icmp")
    assert (result.answer, result.remote_ip) == ("4 of 4 answered", "127.0.0.1")
    assert result.response_time is not None
    assert result.phases.first_byte == pytest.approx(result.response_time)
    assert (result.phases.connect, result.phases.tls) == (None, None)


@_BY_ROOT
@pytest.mark.parametrize("url", ["icmp://[::1]", "icmp://localhost", "icmp://[2001:db8::1]"])
def test_a_host_of_ipv6_is_up(network: Network, url: str) -> None:
    result = check(network.probe, url)
    assert (result.outcome, result.answer) == (Outcome.UP, "4 of 4 answered"), result.error
    assert result.remote_ip in ("::1", "2001:db8::1")


@_BY_ROOT
def test_the_ip_version_of_a_target_is_kept(network: Network) -> None:
    assert check(network.probe, "icmp://localhost", ip_version=4).remote_ip == "127.0.0.1"


@_BY_ROOT
def test_four_requests_are_sent_a_quarter_of_a_second_apart(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icmp, "_GAP_SECS", GAP)
    check(network.probe, "icmp://127.0.0.1")
    moments = [moment for moment, _ in network.asked]
    assert len(moments) == 4
    assert moments[3] - moments[0] >= 0.7


@_BY_ROOT
def test_all_are_sent_within_half_of_a_short_time(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icmp, "_GAP_SECS", GAP)
    network.answer = lambda *_: []
    began = time.monotonic()
    check(network.probe, "icmp://127.0.0.1", timeout=TIMEOUT)
    wait_until(lambda: len(network.asked) == 4)
    assert network.asked[2][0] - began < TIMEOUT


@_BY_ROOT
@pytest.mark.parametrize("answered", [1, 2, 3])
def test_a_host_is_up_that_answers_some_and_the_others_are_waited_for_a_second(
    network: Network, monkeypatch: pytest.MonkeyPatch, answered: int
) -> None:
    monkeypatch.setattr(icmp, "_GRACE_SECS", GRACE)
    network.answer = lambda number, request: [reply(request)] if number < answered else []
    result = check(network.probe, "icmp://127.0.0.1")
    assert (result.outcome, result.answer) == (Outcome.UP, f"{answered} of 4 answered")
    assert 1.0 <= result.total_time < 5


@_BY_ROOT
def test_a_late_answer_to_one_is_told_apart_from_those_to_others(network: Network) -> None:
    requests: list[bytes] = []

    def all_at_the_last(_number: int, request: bytes) -> list[bytes]:
        requests.append(request)
        return [reply(one) for one in reversed(requests)] if len(requests) == 4 else []

    network.answer = all_at_the_last
    result = check(network.probe, "icmp://127.0.0.1")
    assert result.answer == "4 of 4 answered"
    sent = [moment for moment, _ in network.asked]
    took = statistics.median(sent[3] - moment for moment in sent)
    assert result.response_time == pytest.approx(took, abs=0.2)


@_BY_ROOT
def test_an_answer_counts_once(network: Network) -> None:
    network.answer = lambda number, request: [reply(request)] * 9 if number == 0 else []
    assert check(network.probe, "icmp://127.0.0.1").answer == "1 of 4 answered"


@_BY_ROOT
def test_an_answer_that_comes_twice_has_the_time_of_the_first(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(icmp, "_GRACE_SECS", 5.0)
    requests: list[bytes] = []

    def again(_number: int, request: bytes) -> list[bytes]:
        requests.append(request)
        if len(requests) < 4:
            return [reply(request)]
        time.sleep(0.6)
        return [reply(one) for one in requests]

    network.answer = again
    result = check(network.probe, "icmp://127.0.0.1")
    assert result.answer == "4 of 4 answered"
    assert result.response_time is not None
    assert result.response_time < 0.4


def _changed(request: bytes, at: int) -> bytes:
    message = bytearray(reply(request))
    message[at] ^= 0xFF
    return bytes(message)


@_BY_ROOT
@pytest.mark.parametrize(
    "forge",
    [
        lambda request: _changed(request, 8),
        lambda request: _changed(request, 23),
        lambda request: _changed(request, 6),
        lambda request: _changed(request, 4),
        lambda request: reply(request)[:8],
        lambda request: reply(request)[:-1],
        lambda request: reply(request) + b"x",
        lambda request: b"\x0d" + reply(request)[1:],
        lambda request: reply(request)[:8] + bytes(60_000),
    ],
    ids=["payload", "end", "number", "id", "empty", "short", "long", "type", "huge"],
)
def test_what_is_no_answer_to_this_check_is_passed_over(network: Network, forge: Callable[[bytes], bytes]) -> None:
    network.answer = lambda _number, request: [forge(request)]
    result = check(network.probe, "icmp://127.0.0.1", timeout=TIMEOUT)
    assert (result.outcome, result.answer, result.remote_ip) == (Outcome.TIMEOUT, None, None)
    assert result.error == "not done within 0.6 s: waiting for an answer"


@_BY_ROOT
def test_two_checks_at_once_take_each_their_own_answers(network: Network) -> None:
    network.answer = lambda _, request: [reply(request)]
    results: list[CheckResult] = []
    target = Target(name="t", url="icmp://127.0.0.1", interval=60, timeout=ENOUGH)
    for _ in range(5):
        network.probe.loop.call(lambda: network.probe.begin(target, SLOT, results.append))
    wait_until(lambda: len(results) == 5)
    assert {result.answer for result in results} == {"4 of 4 answered"}


@_BY_ROOT
def test_a_host_that_does_not_answer_is_a_timeout(network: Network) -> None:
    result = check(network.probe, "icmp://192.0.2.8", timeout=TIMEOUT)
    assert (result.outcome, result.error) == (Outcome.TIMEOUT, "not done within 0.6 s: waiting for an answer")
    assert (result.answer, result.response_time, result.remote_ip) == (None, None, None)


@_BY_ROOT
@pytest.mark.parametrize(
    ("url", "who"),
    [("icmp://192.0.2.9", "192.0.2.1"), ("icmp://198.51.100.1", "192.0.2.1"), ("icmp://[2001:db8::9]", "2001:db8::1")],
)
def test_what_a_router_says_is_told_with_who_said_it(network: Network, url: str, who: str) -> None:
    result = check(network.probe, url)
    assert result.outcome is Outcome.CONNECT_ERROR
    assert result.error == f"waiting for an answer: {who} says: host unreachable"
    assert result.total_time < 5


@_BY_ROOT
@pytest.mark.parametrize(
    ("kind", "code", "said"),
    [
        (3, 0, "network unreachable"),
        (3, 13, "administratively prohibited"),
        (11, 0, "the time to live ran out on the way"),
        (3, 3, "Connection refused"),
    ],
)
def test_each_error_has_its_words(network: Network, kind: int, code: int, said: str) -> None:
    def refuse(_number: int, request: bytes) -> list[bytes]:
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(request), 0, 0, 64, 1, 0, *[b"\x7f\x00\x00\x01"] * 2)
        return [bytes([kind, code]) + bytes(6) + header + request]

    network.answer = refuse
    result = check(network.probe, "icmp://127.0.0.1")
    assert (result.outcome, result.error) == (
        Outcome.CONNECT_ERROR,
        f"waiting for an answer: 127.0.0.1 says: {said}",
    )


@_BY_ROOT
def test_a_host_is_up_whatever_a_router_said_meanwhile(network: Network) -> None:
    def once(number: int, request: bytes) -> list[bytes]:
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(request), 0, 0, 64, 1, 0, *[b"\x7f\x00\x00\x01"] * 2)
        return [b"\x03\x01" + bytes(6) + header + request] if number == 0 else [reply(request)]

    network.answer = once
    result = check(network.probe, "icmp://127.0.0.1")
    assert (result.outcome, result.answer) == (Outcome.UP, "3 of 4 answered")
    assert result.total_time < 5


@_BY_ROOT
def test_an_address_that_this_host_has_no_way_to_is_our_own_fault(network: Network) -> None:
    result = check(network.probe, "icmp://203.0.113.1")
    assert (result.outcome, result.error) == (
        Outcome.AGENT_ERROR,
        "sending the echo request: Network is unreachable",
    )


@_BY_ROOT
def test_a_median_over_the_limit_is_slow(network: Network) -> None:
    def late(_number: int, request: bytes) -> list[bytes]:
        time.sleep(0.05)
        return [reply(request)]

    network.answer = late
    result = check(network.probe, "icmp://127.0.0.1", expect=Expectations(max_response_time=0.02))
    assert result.outcome is Outcome.SLOW
    assert "over the limit of 0.02 s" in str(result.error)


@_BY_ROOT
def test_a_flood_of_answers_delays_no_end(network: Network) -> None:
    network.answer = lambda number, request: [_changed(request, 8)] * 3000 if number < 3 else []
    assert check(network.probe, "icmp://127.0.0.1", timeout=TIMEOUT).outcome is Outcome.TIMEOUT


@_BY_ROOT
def test_no_check_leaves_a_descriptor_or_anything_that_is_watched(network: Network) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for url in ("icmp://127.0.0.1", "icmp://192.0.2.8", "icmp://192.0.2.9", "icmp://203.0.113.1"):
        check(network.probe, url, timeout=TIMEOUT)
    assert len(os.listdir("/proc/self/fd")) == before  # noqa: PTH208
    assert not network.probe.loop._sockets


@_BY_ROOT
def test_a_process_that_may_not_send_icmp_is_told_the_remedy(network: Network) -> None:
    def let(groups: str) -> None:
        # The file is that of the network that a thread is in.
        Path("/proc/sys/net/ipv4/ping_group_range").write_text(groups, encoding="ascii")

    network.probe.loop.call(lambda: let("1 0"))
    try:
        result = check(network.probe, "icmp://127.0.0.1")
    finally:
        network.probe.loop.call(lambda: let(f"{os.getegid()} {os.getegid()}"))
    assert (result.outcome, result.error) == (Outcome.AGENT_ERROR, icmp.NO_RIGHT)
    assert "net.ipv4.ping_group_range" in icmp.NO_RIGHT


def test_a_refused_socket_is_our_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_family: socket.AddressFamily) -> socket.socket:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(icmp, "open_socket", refused)
    with closing(Probe(agent="here")) as probe:
        result = check(probe, "icmp://127.0.0.1")
    assert (result.outcome, result.error) == (Outcome.AGENT_ERROR, icmp.NO_RIGHT)


def test_a_name_without_an_address_is_told() -> None:
    def lookup(host: str, port: int, timeout: float) -> Addresses:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with closing(Probe(agent="here", resolve=lookup)) as probe:
        result = check(probe, "icmp://host.example")
    assert (result.outcome, result.error) == (Outcome.DNS_ERROR, "resolving the name: Name or service not known")

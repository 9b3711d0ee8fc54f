"""Names in threads of their own: one that hangs holds up no other, and there is a bound."""

import queue
import resource
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.waiting import wait_until
from webmon.check import resolver as resolver_module
from webmon.check.resolver import Addresses, OwnFaultError, Resolver


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Names that begin with `hang` do not resolve while the test runs; gives the names that were asked.

    Those of a test before may be among them, which hung until its end.
    """
    asked: list[str] = []
    release = threading.Event()
    original = socket.getaddrinfo

    def lookup(host: str, port: int, **more: Any) -> Any:
        if "flags" in more:  # a number, not a name
            return original(host, port, **more)
        asked.append(host)
        if host.startswith("hang"):
            release.wait(10)
        return original("127.0.0.1", port, **more)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    yield asked
    release.set()


def give_up(resolver: Resolver, hanging: list[str], name: str, port: int = 80) -> bool:
    """Ask for a name, wait until it is looked up, and wait for it no longer; tell whether that was begun."""
    before = hanging.count(name)
    waits_no_longer = resolver.ask(name, port, lambda _: None)
    wait_until(lambda: hanging.count(name) > before, f"the lookup of {name}")
    return waits_no_longer()


def of(most: int) -> Resolver:
    """Make one with so many threads in each lane."""
    return Resolver(most={"known": most, "new": most, "hung": most})


def test_a_name_becomes_addresses() -> None:
    assert (socket.AF_INET, ("127.0.0.1", 80)) in of(2)("localhost", 80, 5)


def test_an_address_is_taken_as_it_is_without_a_lookup(hanging: list[str]) -> None:
    assert of(0)("192.0.2.1", 80, 1) == [(socket.AF_INET, ("192.0.2.1", 80))]
    assert of(0)("2001:db8::1", 80, 1) == [(socket.AF_INET6, ("2001:db8::1", 80, 0, 0))]
    assert not {"192.0.2.1", "2001:db8::1"} & set(hanging)


def test_a_name_that_hangs_costs_its_check_the_timeout_and_no_other_anything(hanging: list[str]) -> None:
    resolver = of(2)
    assert give_up(resolver, hanging, "hang.example")
    with pytest.raises(TimeoutError):
        resolver("hang.example", 80, 0.05)
    began = time.monotonic()
    assert resolver("fine.example", 80, 5)
    assert time.monotonic() - began < 1


def test_checks_of_one_name_share_a_lookup(hanging: list[str]) -> None:
    resolver = of(2)
    assert give_up(resolver, hanging, "hang-shared.example")
    for _ in range(4):
        with pytest.raises(TimeoutError):
            resolver("hang-shared.example", 80, 0.02)
    assert hanging.count("hang-shared.example") == 1


def test_a_vantage_whose_lookups_all_hang_says_so(hanging: list[str]) -> None:
    resolver = of(2)
    for name in ("hang1.example", "hang2.example"):
        assert give_up(resolver, hanging, name)
    with pytest.raises(OwnFaultError, match="all lookups of this vantage hang"):
        resolver("fine.example", 80, 0.05)


def test_a_busy_pool_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(host: str, port: int, **more: Any) -> Any:
        if "flags" in more:
            raise socket.gaierror
        time.sleep(0.05)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = of(2)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: resolver(f"{n}.example", 80, 10), range(8)))
    assert found == [[(socket.AF_INET, ("192.0.2.1", 80))]] * 8


def test_a_thousand_names_that_hang_delay_none_that_answered_before() -> None:
    release = threading.Event()

    def lookup(host: str, port: int) -> Addresses:
        if host.startswith("hang"):
            release.wait(30)
        return [(socket.AF_INET, ("192.0.2.1", port))]

    resolver = Resolver(lookup)
    answers: queue.SimpleQueue[object] = queue.SimpleQueue()
    try:
        assert resolver("fine.example", 80, 5)
        for number in range(1000):
            resolver.ask(f"hang{number}.example", 80, answers.put)
        began = time.monotonic()
        assert resolver("fine.example", 80, 5)
        assert time.monotonic() - began < 1
    finally:
        release.set()
    for _ in range(1000):
        answers.get(timeout=10)


def test_a_name_that_hung_waits_with_its_like_when_it_is_asked_again(hanging: list[str]) -> None:
    resolver = Resolver(most={"known": 1, "new": 2, "hung": 1})
    for name in ("hang1.example", "hang2.example"):
        assert give_up(resolver, hanging, name)
    # Both threads for new names are taken; a port of its own makes it another question.
    assert give_up(resolver, hanging, "hang1.example", 81)
    with pytest.raises(OwnFaultError):
        resolver("hang2.example", 81, 0.02)


@pytest.mark.parametrize("name", ["localhost", "app.localhost", "localhost.", "a.b.localhost."])
def test_what_ends_in_localhost_is_loopback_whatever_the_system_says(name: str, hanging: list[str]) -> None:
    assert {address[0] for _, address in Resolver()(name, 80, 5)} == {"::1", "127.0.0.1"}
    assert name not in hanging


def test_threads_are_used_again(hanging: list[str]) -> None:
    resolver = of(1)
    for number in range(20):
        assert resolver(f"fine{number}.example", 80, 5)
    assert len([name for name in hanging if name.startswith("fine")]) == 20


@pytest.mark.parametrize("name", ["x" * 64 + ".example", "no-such-host.invalid"])
def test_a_name_without_an_address_is_the_names_fault(name: str) -> None:
    with pytest.raises(socket.gaierror):
        of(1)(name, 80, 10)


@pytest.mark.parametrize("answer", [socket.EAI_NONAME, socket.EAI_AGAIN])
def test_no_descriptors_left_is_not_told_as_an_unknown_name(answer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(host: str, port: int, **more: Any) -> Any:
        raise socket.gaierror(answer, "what getaddrinfo says when it can open no file and no socket")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    resolver = of(1)
    with pytest.raises(socket.gaierror):
        resolver("no-such-host.invalid", 80, 5)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            resolver("no-such-host.invalid", 80, 5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(
    ("answer", "silent"),
    [(socket.EAI_NONAME, False), (socket.EAI_NODATA, False), (socket.EAI_AGAIN, True), (socket.EAI_FAIL, True)],
)
def test_no_such_name_is_an_answer_and_no_answer_is_none(
    answer: int, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lookup(host: str, port: int, **more: Any) -> Any:
        raise socket.gaierror(answer, "what getaddrinfo says")

    def answers(host: str, port: int, **more: Any) -> Any:
        if "flags" in more:
            raise socket.gaierror
        return []

    resolver = of(1)
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", lookup)
        with pytest.raises(socket.gaierror):
            resolver("a.example", 80, 5)
    assert resolver.is_silent("a.example") is silent
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", answers)
        resolver("a.example", 80, 5)
    assert not resolver.is_silent("a.example")


def test_a_name_that_hangs_has_no_answer_until_one_comes(hanging: list[str]) -> None:
    resolver = of(2)
    assert give_up(resolver, hanging, "hang.example")
    assert resolver.is_silent("hang.example")
    assert not resolver.is_silent("fine.example")


def test_names_without_an_answer_are_remembered_up_to_a_bound(
    hanging: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolver_module, "_REMEMBERED", 3)
    resolver = of(9)
    for number in range(5):
        assert give_up(resolver, hanging, f"hang{number}.example")
    assert [resolver.is_silent(f"hang{number}.example") for number in range(5)] == [False, False, True, True, True]


def test_a_system_that_gives_no_thread_is_our_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(OwnFaultError, match="all lookups of this vantage hang"):
        of(2)("fine.example", 80, 0.02)

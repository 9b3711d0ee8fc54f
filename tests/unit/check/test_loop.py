"""The loop that carries all checks: what holds it up is our own fault, and harms no other check."""

import contextlib
import os
import re
import select
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.hostile import AUTHORITY, HostileServer, bomb, hang, page, server_context
from tests.waiting import wait_until
from webmon.check.loop import Loop
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target
from webmon.check.verdict import Expectations

SLOT = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[Probe]:
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with contextlib.closing(Probe(agent="here", authorities=(tmp_path / "ca.pem",))) as made:
        yield made


def target(url: str, **more: Any) -> Target:
    settings: dict[str, Any] = {"name": "t", "url": url, "interval": 60, "timeout": 10}
    return Target(**(settings | more))


def begin(probe: Probe, one: Target, results: list[CheckResult]) -> None:
    probe.loop.call(lambda: probe.begin(one, SLOT, results.append))


def test_a_timeout_of_a_vantage_that_stood_still_is_its_own_fault_and_says_how_late_it_was(probe: Probe) -> None:
    results: list[CheckResult] = []
    with HostileServer(hang) as server:
        begin(probe, target(server.url, timeout=1), results)
        probe.loop.call(lambda: time.sleep(0.7))
        wait_until(lambda: bool(results))
    assert results[0].outcome is Outcome.AGENT_ERROR
    told = re.search(r"this vantage was too busy: of 1 s it stood still for ([0-9.]+) s", str(results[0].error))
    assert told is not None
    assert float(told[1]) >= 0.7


def test_what_is_done_for_a_socket_that_is_ready_counts_as_well_also_in_the_turn_that_has_not_ended(
    probe: Probe,
) -> None:
    results: list[CheckResult] = []
    ready = os.eventfd(0)

    def take_long(fd: int, _: int) -> None:
        probe.loop.unwatch(fd)
        time.sleep(1.2)

    with HostileServer(hang) as server:
        begin(probe, target(server.url, timeout=1), results)
        wait_until(lambda: server.connections == 1)
        probe.loop.call(lambda: probe.loop.watch(ready, select.EPOLLIN, take_long))
        os.eventfd_write(ready, 1)
        wait_until(lambda: bool(results))
    os.close(ready)
    assert results[0].outcome is Outcome.AGENT_ERROR
    told = re.search(r"of 1 s it stood still for ([0-9.]+) s", str(results[0].error))
    assert told is not None
    assert 1.2 <= float(told[1]) <= round(results[0].total_time, 1)


def test_what_held_it_up_before_a_moment_does_not_count() -> None:
    loop = Loop()
    found: list[float] = []
    threading.Thread(target=loop.run, daemon=True).start()

    def look() -> None:
        now = time.monotonic()
        found.extend((loop.late_since(now - 0.1), loop.late_since(now), loop.late_since(now - 60)))

    loop.call(lambda: time.sleep(0.5))
    wait_until(lambda: loop.late >= 0.5)
    loop.call(look)
    wait_until(lambda: len(found) == 3)
    loop.stop()
    assert found[0] < 0.3
    assert found[1] < 0.3
    assert found[2] >= 0.5


def test_a_timeout_of_a_vantage_that_kept_its_time_is_the_sites(probe: Probe) -> None:
    with HostileServer(hang) as server:
        assert probe.check(target(server.url, timeout=1), SLOT).outcome is Outcome.TIMEOUT


def test_an_answer_that_came_while_the_vantage_stood_still_counts(probe: Probe) -> None:
    results: list[CheckResult] = []
    with HostileServer(page(b"hi")) as server:
        begin(probe, target(server.url, timeout=1), results)
        probe.loop.call(lambda: time.sleep(0.5))
        wait_until(lambda: bool(results))
    assert results[0].outcome is Outcome.UP


def test_a_page_that_takes_long_to_search_holds_up_no_other_check(probe: Probe) -> None:
    slow = Expectations(body=compile_pattern("(x+x+)+y" * 20))
    results: list[CheckResult] = []
    with HostileServer(page(b"x" * (8 << 20))) as large, HostileServer(page(b"hi")) as small:
        begin(probe, target(large.url, name="large", body_limit=8 << 20, expect=slow), results)
        wait_until(lambda: large.connections == 1)
        for _ in range(10):
            assert probe.check(target(small.url), SLOT).total_time < 1
        wait_until(lambda: bool(results), seconds=30)
    assert results[0].outcome is Outcome.BODY_MISMATCH


def test_a_bomb_holds_up_no_other_check(probe: Probe) -> None:
    results: list[CheckResult] = []
    with HostileServer(page(bomb(60), b"Content-Encoding: gzip")) as hostile, HostileServer(page(b"hi")) as small:
        for number in range(5):
            begin(probe, target(hostile.url, name=str(number)), results)
        for _ in range(10):
            assert probe.check(target(small.url), SLOT).total_time < 1
        wait_until(lambda: len(results) == 5)
    assert {result.outcome for result in results} == {Outcome.UP}


def test_what_fails_in_the_loop_is_told_and_the_loop_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    loop = Loop()
    threading.Thread(target=loop.run, daemon=True).start()
    done = threading.Event()

    def fail() -> None:
        raise ZeroDivisionError

    loop.call(fail)
    loop.call(done.set)
    assert done.wait(5)
    loop.stop()
    assert "checks: a bug in webmon" in caplog.text
    loop.call(done.clear)
    assert done.is_set(), "what comes after the end is not done"


def test_a_timer_that_was_given_up_does_nothing() -> None:
    loop = Loop()
    rang: list[int] = []
    done = threading.Event()

    def set_timers() -> None:
        now = time.monotonic()
        loop.at(now + 0.01, lambda: rang.append(1)).cancel()
        loop.at(now + 0.03, lambda: rang.append(3))
        loop.at(now + 0.02, lambda: rang.append(2))
        loop.at(now + 0.04, done.set)

    threading.Thread(target=loop.run, daemon=True).start()
    loop.call(set_timers)
    assert done.wait(5)
    loop.stop()
    assert rang == [2, 3]


def test_many_checks_run_at_once_in_one_thread(probe: Probe) -> None:
    results: list[CheckResult] = []
    before = threading.active_count()
    with HostileServer(hang) as server, HostileServer(page(b"hi"), server_context()) as secure:
        for number in range(100):
            begin(probe, target(server.url, name=str(number), timeout=1), results)
        wait_until(lambda: server.connections == 100)
        assert threading.active_count() - before <= 103, "one a connection is the server's"
        assert probe.check(target(secure.url), SLOT).outcome is Outcome.UP
        wait_until(lambda: len(results) == 100)

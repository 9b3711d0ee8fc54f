"""Every hostile behaviour at once in one agent: the healthy targets beside them stay on schedule."""

import contextlib
import itertools
import socket
import threading
from collections import defaultdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.deadline import SPARE, late
from tests.hostile import AUTHORITY, HOSTILE, HostileServer, full_backlog, page, server_context
from tests.waiting import wait_until
from webmon.agent.checks import Checks
from webmon.agent.schedule import Schedule
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target
from webmon.check.verdict import Expectations

HEALTHY = 12
INTERVAL = 1.5
SLOTS = 3
"""That each healthy target must keep, one after the other."""
BUSY = {Outcome.UP, Outcome.AGENT_ERROR, Outcome.TIMEOUT}
"""What a machine that stands still for a while may make of healthy ones; what is hostile does so in each interval."""


def kept_in_a_row(results: list[CheckResult]) -> bool:
    """Tell whether a target was up in so many slots, one after the other."""
    for first in range(len(results) - SLOTS + 1):
        row = results[first : first + SLOTS]
        gaps = {later.scheduled_at - earlier.scheduled_at for earlier, later in itertools.pairwise(row)}
        if gaps == {timedelta(seconds=INTERVAL)} and all(result.outcome is Outcome.UP for result in row):
            return True
    return False


def test_healthy_targets_stay_on_schedule_among_all_that_are_hostile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    getaddrinfo = socket.getaddrinfo

    def resolve(host: str, *arguments: Any, **more: Any) -> Any:
        if host == "hangs.invalid" and not more.get("flags"):
            over.wait(60)
            raise socket.gaierror(socket.EAI_AGAIN, "too late")
        return getaddrinfo(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    results: dict[str, list[CheckResult]] = defaultdict(list)
    probe = Probe(agent="here", authorities=(tmp_path / "ca.pem",))
    checks = Checks(
        Schedule("here"),
        probe.loop,
        lambda due, done: probe.begin(due.target, due.scheduled_at, done),
        lambda target, result: results[target.name].append(result),
    )

    with contextlib.ExitStack() as stack:
        stack.callback(over.set)
        site = stack.enter_context(HostileServer(page(b"Welcome"), tls=server_context()))
        urls = {name: stack.enter_context(hostile.server()).url for name, hostile in HOSTILE.items()}
        urls["accepts no connection"] = f"http://localhost:{stack.enter_context(full_backlog())}/"
        urls["has a name that does not resolve"] = "http://hangs.invalid/"
        expect = Expectations(body=compile_pattern("(W+e+)+lcome"))
        hostile = [Target(name=name, url=url, interval=2, timeout=0.7, expect=expect) for name, url in urls.items()]
        healthy = [
            Target(name=f"healthy {number}", url=site.url, interval=INTERVAL, timeout=INTERVAL, expect=expect)
            for number in range(HEALTHY)
        ]
        targets = (*hostile, *healthy)
        probe.prepare(targets)
        checks.replace_targets(targets)
        wait_until(
            lambda: (
                all(kept_in_a_row(results[target.name]) for target in healthy)
                and all(len(results[target.name]) >= 2 for target in hostile)
            ),
            "healthy targets on schedule, and results of all",
            120,
        )
        assert checks.stop(10) == 0
        held_up = late(probe)
        probe.close()
    for target in healthy:
        assert {result.outcome for result in results[target.name]} <= BUSY, results[target.name]
    for target in hostile:
        assert all(result.total_time <= target.timeout + SPARE + held_up for result in results[target.name])

"""All that hostile sites do, done to every kind of probe that speaks with one: none is up, late, or our own fault."""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest

from tests.deadline import SPARE, late
from tests.hostile import AUTHORITY, HOSTILE, full_backlog
from tests.waiting import wait_until
from webmon.check import course
from webmon.check.pattern import compile_pattern
from webmon.check.probe import Probe
from webmon.check.result import CheckResult, Outcome, decode, encode
from webmon.check.target import Step, Target, Tls
from webmon.check.verdict import Expectations

SLOT: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIMEOUT: Final = 1.0
MET_BY_NONE: Final = Step(expect=compile_pattern("^what no server says$"))
KINDS: Final[dict[str, dict[str, Any]]] = {
    "tcp": {"dialogue": (Step(send=b"GET / HTTP/1.0\r\n\r\n"), MET_BY_NONE)},
    "tls": {"dialogue": (Step(send=b"GET / HTTP/1.0\r\n\r\n"), MET_BY_NONE)},
    "smtp": {},
    "imap": {},
    "pop3": {},
    "ws": {"dialogue": (MET_BY_NONE,)},
    "wss": {"dialogue": (MET_BY_NONE,)},
    "grpc": {},
    "grpcs": {},
}


@pytest.fixture(autouse=True)
def a_machine_that_is_busy_is_no_subject_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(course, "_HELD_UP_SECS", 60.0)


@pytest.fixture
def servers(kind: str) -> Iterator[dict[str, int]]:
    with contextlib.ExitStack() as stack:
        ports = {}
        for name, hostile in HOSTILE.items():
            # What redirects reads the path that it was asked for.
            if name.startswith("redirects") and kind != "ws":
                continue
            ports[name] = urlsplit(stack.enter_context(hostile.server()).url).port or 0
        ports["accepts no connection"] = stack.enter_context(full_backlog())
        yield ports


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def check_at_once(probe: Probe, targets: Sequence[Target]) -> list[CheckResult]:
    """Begin all, and give what they come to."""
    results: list[CheckResult] = []
    all_done = threading.Event()

    def take(result: CheckResult) -> None:
        results.append(result)
        if len(results) == len(targets):
            all_done.set()

    def begin() -> None:
        for target in targets:
            probe.begin(target, SLOT, take)

    probe.loop.call(begin)
    assert all_done.wait(30), f"without a result: {ends_missing(targets, results)}"
    return results


def ends_missing(targets: Sequence[Target], results: Sequence[CheckResult]) -> set[str]:
    return {target.name for target in targets} - {result.target for result in results}


@pytest.mark.parametrize("kind", KINDS)
def test_what_hostile_sites_do_to_a_probe_of_another_kind(kind: str, servers: dict[str, int], tmp_path: Path) -> None:
    AUTHORITY.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    targets = [
        Target(
            name=name,
            url=f"{kind}://localhost:{port}",
            interval=60,
            timeout=TIMEOUT,
            expect=Expectations(),
            tls=Tls(verify="certificate" not in name),
            **KINDS[kind],
        )
        for name, port in servers.items()
    ]
    with contextlib.closing(Probe(agent="here", authorities=(tmp_path / "ca.pem",))) as probe:
        probe.prepare(targets)
        before = descriptors()
        results = check_at_once(probe, targets)
        held_up = late(probe)
        # The servers' own ends of connections may take longer to go.
        wait_until(lambda: descriptors() <= before + 2 * len(servers), "descriptors are let go of")
    for result in results:
        assert result.outcome.is_down, result
        assert result.outcome is not Outcome.AGENT_ERROR, result
        assert result.total_time <= TIMEOUT + SPARE + held_up, result
        assert str(result.error).isprintable(), result
        assert result.error, result
        assert result.kind == kind
        assert (result.answer or "").isprintable(), result
        assert decode(encode(result)) == result

"""`webmon watch`: check on schedule, judge, and show, until somebody ends it."""

import contextlib
import dataclasses
import logging
import os
import queue
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from webmon.agent.rounds import Rounds
from webmon.alarm import rules as rules_file
from webmon.alarm.conditions import Step
from webmon.alarm.ruleset import Route, Ruleset
from webmon.check.kind import HTTP
from webmon.check.probe import utc_now
from webmon.check.result import CheckResult
from webmon.check.target import Target
from webmon.daemon import log, threads
from webmon.daemon.signals import Signals
from webmon.errors import UserError
from webmon.once import run as once
from webmon.page.operator_app import operator_app
from webmon.page.operator_site import OperatorSite
from webmon.page.server import Face, Server, bind
from webmon.settings import HostPort
from webmon.targets import file as targets_file
from webmon.watch.memory import Memory
from webmon.watch.show import Json, Lines, Table

_HERE: Final = "targets.yml"
"""What is watched where nothing is named."""
_PORT: Final = 9466
_TICK_SECS: Final = 1.0
_URLS_SECS: Final = 10.0
"""Interval of what is named by its URL: somebody waits."""
_FIRST: Final = 100
"""Targets a second that are checked once at the start, before their first slot."""


def run(
    what: Sequence[str],
    *,
    every: float | None,
    page: bool,
    rules: Path | None,
    authority: Path | None,
    variables: Mapping[str, str],
    as_json: bool,
) -> int:
    """Watch until SIGINT or SIGTERM; give the exit status.

    Args:
        what: URLs, or one targets file; nothing is targets.yml of this directory.
        every: seconds between two checks of a target, whatever the file says.
        page: whether the operators' page is served, too.
        rules: a file of alarms' rules; None: the defaults.
        authority: a PEM file trusted beside the system's store.
        variables: the environment, with the secrets that the file names.
        as_json: whether a program reads it.

    Raises:
        UserError: a line for each fault of what is named.
    """
    targets, said = choose(what, every, variables)
    ruled = rules_file.load(rules, named=True) if rules else Ruleset(routes=(Route((Step(0.0, ("you",)),)),))
    signals = Signals()
    came: queue.SimpleQueue[tuple[CheckResult, int]] = queue.SimpleQueue()
    rounds = Rounds(
        socket.gethostname(),
        lambda result: came.put((result, _now())),
        canaries=canaries(targets),
        authorities=(authority,) if authority else (),
        forbidden=once.forbidden_by(variables),
    )
    once.prepare(rounds.probe, targets, authority)
    memory = Memory(targets, dataclasses.replace(ruled, targets=said), now=_now())
    served, url = serve(memory) if page else (None, "")
    view = _view(url, as_json=as_json)
    turn = memory.turn([], _now())
    try:
        _begin(rounds, targets)
        ends = False
        while not ends:
            turn = memory.turn([came.get_nowait() for _ in range(came.qsize())], _now())
            view.show(turn)
            ends = signals.wait(_TICK_SECS) is not None
    finally:
        rounds.stop(0)
        if served is not None:
            served.stop()
        view.end(turn)
    return threads.exit_status()


def choose(
    what: Sequence[str], every: float | None, variables: Mapping[str, str]
) -> tuple[tuple[Target, ...], dict[str, dict[str, Any]]]:
    """Give the targets that somebody means, and what their file says of their alarms.

    Raises:
        UserError: a line for each fault.
    """
    urls = [word for word in dict.fromkeys(what) if "://" in word or word.startswith("command:")]
    files = [Path(word) for word in dict.fromkeys(what) if word not in urls]
    said: dict[str, dict[str, Any]] = {}
    if urls and not files:
        targets = tuple(once.choose(url, secrets=variables) for url in urls)
        every = every or _URLS_SECS
    elif len(files) > 1 or urls:
        raise UserError(f"{files[0]} is not a URL; right would be URLs, such as https://example.org/, or one file")
    else:
        file = files[0] if files else Path(_HERE)
        if not os.access(file, os.F_OK):
            where = f"{file}: there is no such file" if files else f"there is no {_HERE} here"
            raise UserError(f"{where}; right would be a list of targets, or a URL: webmon watch https://example.org/")
        targets, said = targets_file.load_with_alarms(file, secrets=variables, commands=once.commands_of(variables))
    if every is not None:
        targets = tuple(dataclasses.replace(t, interval=every, timeout=min(t.timeout, every)) for t in targets)
    return targets, said


def canaries(targets: Sequence[Target]) -> list[HostPort]:
    """Give what shows that this host is connected: the targets' hosts, each for the others.

    Of one host alone nothing can be told; then each failure is the site's.
    """
    asked = [target.proxy or target.asked for target in targets if target.kind in HTTP]
    hosts = {one.host: HostPort(one.host, one.port) for one in asked}
    return list(hosts.values()) if len(hosts) > 1 else []


def _begin(rounds: Rounds, targets: Sequence[Target]) -> None:
    """Check everything once, soon, as somebody waits; and from then on by the schedule."""
    rounds.checks.replace_targets(tuple(targets))
    loop = rounds.probe.loop

    def check(target: Target) -> None:
        rounds.probe.begin(target, utc_now(), partial(rounds.take, target))

    def first() -> None:
        for place, target in enumerate(targets):
            loop.at(loop.monotonic() + place / _FIRST, partial(check, target))

    loop.call(first)


def serve(memory: Memory) -> tuple[Server, str]:
    """Serve it at its usual place, or at another where something listens there already; give where."""
    try:
        taken = bind(HostPort("127.0.0.1", _PORT), "--page")
    except UserError:
        taken = bind(HostPort("127.0.0.1", 0), "--page")
    site = OperatorSite(memory.look, lambda: None)
    served = Server([Face(operator_app(site, charts=memory.chart, send=memory.order), taken)])
    served.start()
    return served, "http://{}:{}/".format(*taken.getsockname())


def _view(page: str, *, as_json: bool) -> Lines | Table:
    out = sys.stdout
    is_live = out.isatty() and os.environ.get("TERM", "dumb") != "dumb" and not as_json
    # A terminal of an old encoding gets ? in the table, where each place counts, and never a traceback.
    with contextlib.suppress(AttributeError):
        out.reconfigure(errors="replace" if is_live else "backslashreplace")  # type: ignore[union-attr]
    if is_live:
        table = Table(page)
        logging.basicConfig(level="WARNING", handlers=[table], force=True)
        return table
    log.configure("WARNING")
    if page:
        print(page, file=sys.stderr)
    return Json() if as_json else Lines()


def _now() -> int:
    return time.time_ns() // 1_000_000

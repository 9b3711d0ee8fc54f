"""The checks of one vantage: a schedule, the loop that carries what is due, and whether a failure may be our own."""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from webmon.agent.checks import Checks
from webmon.agent.schedule import Schedule
from webmon.agent.vantage import Vantage, asked_host, is_network_kind
from webmon.check.networks import Network
from webmon.check.probe import Probe
from webmon.check.resolver import Addresses, Resolver, resolve_here
from webmon.check.result import CheckResult
from webmon.check.target import Target
from webmon.daemon import threads
from webmon.settings import HostPort

_log = logging.getLogger(__name__)

_JUDGES: Final = 4
"""Threads that may wait for canaries."""


class Rounds:
    """Makes the checks that are due and hands their results on, as this vantage may tell them."""

    def __init__(
        self,
        name: str,
        keep: Callable[[CheckResult], None],
        *,
        canaries: Sequence[HostPort],
        authorities: tuple[Path, ...] = (),
        forbidden: Sequence[Network] = (),
    ) -> None:
        """Begin the loop; nothing is checked yet.

        Args:
            name: the vantage's id.
            keep: takes each result, in the loop or in another thread; an agent_error stands in it for what may be ours.
            canaries: what is asked whether there is a way; without one each failure is the site's.
            authorities: PEM files trusted beside the system's.
            forbidden: networks that no check connects to.
        """
        resolver = Resolver(self._lookup)
        self.vantage = Vantage(canaries, resolver, resolver.is_silent) if canaries else None
        self.probe = Probe(
            agent=name,
            resolve=resolver,
            authorities=authorities,
            forbidden=forbidden,
            start=lambda work: threads.Thread("checks", work).start(),
        )
        self.schedule = Schedule(name)
        self.checks = Checks(
            self.schedule,
            self.probe.loop,
            lambda due, done: self.probe.begin(due.target, due.scheduled_at, done),
            self.take,
        )
        self._keep = keep
        self._judges = ThreadPoolExecutor(_JUDGES, thread_name_prefix="canaries")

    def stop(self, seconds: float) -> int:
        """Begin no new check, and wait so long for those that run; give how many were abandoned."""
        left = self.checks.stop(seconds)
        self.probe.close()
        self._judges.shutdown(cancel_futures=False)
        return left

    def take(self, target: Target, result: CheckResult) -> None:
        """Take a result, in the loop; to ask the canaries may take seconds, so that is done elsewhere."""
        if self.vantage is not None and is_network_kind(result):
            self._judges.submit(self.judge, target, result)
        else:
            self.judge(target, result)

    def judge(self, target: Target, result: CheckResult) -> None:
        """Hand a result on as this vantage may tell it."""
        try:
            self._keep(result if self.vantage is None else self.vantage.judge(result, asked_host(target)))
        # In a pool's thread nobody else would say so.
        except Exception:  # noqa: BLE001
            _log.exception("%(target)s: a bug in webmon, no result", {"target": result.target})

    def _lookup(self, host: str, port: int) -> Addresses:
        addresses = resolve_here(host, port)
        if self.vantage is not None:
            self.vantage.note_resolved(host, addresses)
        return addresses

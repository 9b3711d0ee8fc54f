"""What all checks share: the loop they run in, names, trust, and the handles that are used again."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from webmon.check.flow import Trace
from webmon.check.kinds import course_of
from webmon.check.loop import Loop
from webmon.check.networks import Network
from webmon.check.process import Processes
from webmon.check.resolver import Resolve, Resolver
from webmon.check.result import CheckResult
from webmon.check.target import Target, Tls
from webmon.check.transfer import Handle
from webmon.check.trust import Trust, Trusts

_OLDEST_SECS: Final = 600.0
"""A connection is not used for longer, so that a new address or a new certificate of the site is seen by then."""
_SPARE: Final = 64
"""Handles that wait for the next check; each has some 20 KB."""


def utc_now() -> datetime:
    """Give the wall clock's time."""
    return datetime.now(UTC)


def _start(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="checks", daemon=True).start()


class Probe:
    """Makes checks, many at once in one thread. Of a check it keeps a connection at most, where the target says so."""

    def __init__(
        self,
        *,
        agent: str,
        resolve: Resolver | Resolve | None = None,
        authorities: tuple[Path, ...] = (),
        forbidden: Sequence[Network] = (),
        now: Callable[[], datetime] = utc_now,
        start: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        """Take what all checks share; their thread begins.

        Args:
            agent: the vantage's id.
            resolve: how names become addresses; None: as the system does.
            authorities: PEM files trusted beside the system's store.
            forbidden: networks that no check connects to.
            now: the wall clock, for the times in results.
            start: begins a thread that does what it is given; None: one of which nobody hears when it dies.
        """
        self.agent = agent
        self.forbidden = tuple(forbidden)
        self.now = now
        self.monotonic = time.monotonic
        self.loop = Loop()
        self.processes = Processes(self.loop)
        if not isinstance(resolve, Resolver):
            asked = resolve
            resolve = Resolver((lambda host, port: asked(host, port, 3600.0)) if asked else None)
        self.resolver = resolve
        self._trusts = Trusts(authorities)
        self._spare: list[Handle] = []
        self._kept: dict[str, Handle] = {}
        self._generation = 0
        """Of the connections that are kept: a reload begins another."""
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="search")
        (start or _start)(self.loop.run)

    def check(self, target: Target, scheduled_at: datetime, trace: Trace | None = None) -> CheckResult:
        """Check a target now and wait; takes its timeout at the longest, whatever the server does.

        Args:
            target: what to check.
            scheduled_at: the slot that the check belongs to.
            trace: gets what a person who looks on wants to see beside the result.
        """
        found: list[CheckResult] = []
        done = threading.Event()

        def take(result: CheckResult) -> None:
            found.append(result)
            done.set()

        self.loop.call(lambda: self.begin(target, scheduled_at, take, trace))
        done.wait()
        return found[0]

    def begin(
        self, target: Target, scheduled_at: datetime, done: Callable[[CheckResult], None], trace: Trace | None = None
    ) -> None:
        """Begin a check, in the loop's thread; `done` is called there with the result."""
        course_of(target.kind)(self, target, scheduled_at, done, trace).begin()

    def prepare(self, targets: Iterable[Target]) -> None:
        """Read the certificate files (anew) for these targets, so that no check spends its time on it.

        No connection is reused from before.

        Raises:
            OSError: a file cannot be read.
        """
        self._trusts.prepare({target.tls for target in targets})
        self.loop.call(self._forget_kept)

    def close(self) -> None:
        """End all; checks that still run have no result."""
        self.loop.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self.processes.close()
        self._forget_kept()
        while self._spare:
            self._spare.pop().close()
        self._trusts.close()

    def elsewhere(self, work: Callable[[], None]) -> None:
        """Do what takes long in another thread than the loop's."""
        self._pool.submit(work)

    def trust(self, tls: Tls) -> Trust:
        """Give what connections with such a setting trust."""
        return self._trusts.of(tls)

    def take_handle(self, target: Target) -> Handle:
        """Give a handle for a check: the one that keeps the target's connection, or any."""
        if target.connection != "reused":
            return self._spare.pop() if self._spare else Handle()
        handle = self._kept.pop(target.name, None)
        if (
            handle is not None
            and handle.kept is not None
            and self.monotonic() - handle.kept.looked_up_at > _OLDEST_SECS
        ):
            handle.close()
            handle = None
        if handle is None:
            handle = Handle(keeps_connection=True)
            handle.generation = self._generation
        return handle

    def give_back(self, target: Target, handle: Handle, *, is_well: bool) -> None:
        """Take a handle back; after any failure a check begins anew."""
        if target.connection == "reused":
            if is_well and handle.generation == self._generation:
                handle.forget()
                self._kept[target.name] = handle
            else:
                handle.close()
        elif len(self._spare) < _SPARE:
            handle.forget()
            self._spare.append(handle)
        else:
            handle.close()

    def _forget_kept(self) -> None:
        self._generation += 1
        while self._kept:
            self._kept.popitem()[1].close()

"""Whether this vantage is connected, so that its own outage is never told as that of the sites.

A failure of the network kind counts against the site only when a target on another host answered within the last
interval, or a canary accepts a connection now.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

import msgspec

from webmon.check.result import ERROR_LIMIT, CheckResult, Outcome
from webmon.check.transport import OwnFaultError, Resolve

CANARY_SECS: Final = 2.0
"""How long a canary may take to accept."""
_FRESH_SECS: Final = 1.0
"""How long a canary's answer is good for: many checks that fail at once ask once."""
_TELL_SECS: Final = 60.0
"""How often faults of our own are logged."""

_log = logging.getLogger(__name__)


def is_network_kind(result: CheckResult) -> bool:
    """Tell whether a failure may come from this side of the network: no host answered in the whole check."""
    if result.redirects:
        return False
    if result.outcome is Outcome.TIMEOUT:
        return result.remote_ip is None
    return result.outcome in (Outcome.DNS_ERROR, Outcome.CONNECT_ERROR)


class Vantage:
    """Watches all results of an agent for signs of life; many threads share it."""

    def __init__(
        self,
        canaries: Sequence[tuple[str, int]],
        resolve: Resolve,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the canaries, as host and port, and how to resolve their names."""
        self._canaries = canaries
        self._resolve = resolve
        self._monotonic = monotonic
        self._lock = threading.Lock()
        # The latest answer, and the latest of any other host: between them they know of another than a given one.
        self._latest: tuple[str, float] = ("", float("-inf"))
        self._other: tuple[str, float] = ("", float("-inf"))
        self._own_faults = 0
        self._own_faults_told = float("-inf")
        self._canary_lock = threading.Lock()
        self._canary_asked = float("-inf")
        self._canary_alive = False

    def judge(self, result: CheckResult) -> CheckResult:
        """Give the result, or an agent_error in its place where the failure may be ours."""
        host = urlsplit(result.url).hostname or ""
        now = self._monotonic()
        if result.http_status is not None:
            self._note_answer(host, now)
        elif is_network_kind(result) and not self._is_connected(host, now - result.interval):
            error = f"vantage cut off: no other host and no canary answers ({result.outcome}: {result.error})"
            result = msgspec.structs.replace(result, outcome=Outcome.AGENT_ERROR, error=error[:ERROR_LIMIT])
        if result.outcome is Outcome.AGENT_ERROR:
            self._note_own_fault(result, now)
        return result

    def _note_own_fault(self, result: CheckResult, now: float) -> None:
        with self._lock:
            self._own_faults += 1
            if now - self._own_faults_told < _TELL_SECS:
                return
            count, self._own_faults, self._own_faults_told = self._own_faults, 0, now
        _log.error("%d checks failed for our own sake, the last of %s: %s", count, result.target, result.error)

    def _note_answer(self, host: str, now: float) -> None:
        with self._lock:
            if host != self._latest[0]:
                self._other = self._latest
            self._latest = host, now

    def _is_connected(self, host: str, since: float) -> bool:
        with self._lock:
            answered = (self._other if self._latest[0] == host else self._latest)[1]
        if answered >= since:
            return True
        with self._canary_lock:
            if self._monotonic() - self._canary_asked > _FRESH_SECS:
                # Others wait here for the answer, instead of asking too.
                self._canary_alive = any(self._accepts(*canary) for canary in self._canaries)
                self._canary_asked = self._monotonic()
            return self._canary_alive

    def _accepts(self, host: str, port: int) -> bool:
        try:
            addresses = self._resolve(host, port, CANARY_SECS)
        except (OSError, OwnFaultError):
            return False
        for family, address in addresses:
            try:
                with socket.socket(family, socket.SOCK_STREAM) as sock:
                    sock.settimeout(CANARY_SECS)
                    sock.connect(address)
                    return True
            except OSError:
                continue
        return False

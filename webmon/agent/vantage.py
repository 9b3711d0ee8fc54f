"""Whether this vantage is connected, so that its own outage is never told as that of the sites.

A failure of the network kind counts against the site only when a target on another host answered within the last
interval, or a canary accepts a connection now. What answers from this very host says nothing of the way out, nor does
what came through a proxy, which may answer by itself. A target on this very host needs no way out: its failures are
its own.

Where a name could not be resolved that is not enough, for a resolver may be dead while every way is open. It counts
only when the resolver is known to work: it answered about this very name (that there is none is an answer; a timeout or
"try again" is not), or another name became an address elsewhere within the last interval, or a canary's name does now.
So where all canaries are addresses, a name for which no answer came, alone in the list, is an agent_error.
"""

import ipaddress
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from webmon.agent.own_address import is_own
from webmon.check.resolver import Addresses, OwnFaultError, Resolve
from webmon.check.result import ERROR_LIMIT, CheckResult, Outcome
from webmon.check.target import Target
from webmon.settings import HostPort

CANARY_SECS: Final = 2.0
"""How long a canary may take to accept."""
ASK_SECS: Final = 3.0
"""How long all of them may take: the check that asks holds a thread meanwhile."""
_FRESH_SECS: Final = 1.0
"""How long a canary's answer is good for: many checks that fail at once ask once."""
_TELL_SECS: Final = 60.0
"""How often faults of our own are logged."""
_KNOWN_SECS: Final = 60.0
"""How long it is believed that an address is this host's, or another's."""
_MOST_OWN_NAMES: Final = 1000
"""That are remembered: redirects bring ever new ones."""

_log = logging.getLogger(__name__)


def is_network_kind(result: CheckResult) -> bool:
    """Tell whether the failure of a check in which no host answered may come from this side of the network."""
    if result.kind == "command":
        return False  # what it reaches, and whether it does at all, is known to nobody but it
    if result.outcome is Outcome.TIMEOUT:
        return result.remote_ip is None
    return result.outcome in (Outcome.DNS_ERROR, Outcome.CONNECT_ERROR)


def is_of_names(result: CheckResult) -> bool:
    """Tell whether a failure of the network kind is one of resolving the name."""
    phases = result.phases
    was_sent = phases.connect is not None or phases.first_byte is not None  # datagrams need no connection
    return result.outcome is Outcome.DNS_ERROR or (result.outcome is Outcome.TIMEOUT and not was_sent)


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def asked_host(target: Target) -> str:
    """Give the host that a check of a target connects to: its proxy's where it has one."""
    return target.proxy.host if target.proxy else target.asked.host


def _is_localhost(host: str) -> bool:
    return f".{host.rstrip('.')}".endswith(".localhost")


def _is_name(host: str) -> bool:
    """Tell whether a host is asked of the resolver; localhost and addresses are not."""
    if _is_localhost(host):
        return False
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return True
    return False


class _Signs:
    """When each of two hosts last gave a sign: the latest, and the latest of any other. So one of them is another than
    a given one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: tuple[str, float] = ("", float("-inf"))
        self._other: tuple[str, float] = ("", float("-inf"))

    def note(self, host: str, now: float) -> None:
        with self._lock:
            if host != self._latest[0]:
                self._other = self._latest
            self._latest = host, now

    def of_another(self, host: str) -> float:
        with self._lock:
            return (self._other if self._latest[0] == host else self._latest)[1]


class Vantage:
    """Watches all results of an agent for signs of life; many threads share it."""

    def __init__(
        self,
        canaries: Sequence[HostPort],
        resolve: Resolve,
        is_silent: Callable[[str], bool] = lambda _: False,
        monotonic: Callable[[], float] = _since_boot,
        is_own: Callable[[str], bool] = is_own,
    ) -> None:
        """Take what is asked whether there is a way.

        Args:
            canaries: where each listens.
            resolve: how names become addresses.
            is_silent: whether the last lookup of a name got no answer at all.
            monotonic: the clock, which goes on while the host is suspended: what answered before that shows nothing.
            is_own: whether an address is one of this host.
        """
        self._canaries = canaries
        self._resolve = resolve
        self._monotonic = monotonic
        self._is_silent = is_silent
        self._is_own = is_own
        self._answers = _Signs()
        self._names = _Signs()
        self._own_names: set[str] = set()
        """Names that are this host's, as they were looked up last."""
        self._known_own: dict[str, tuple[bool, float]] = {}
        """Of addresses: whether they are this host's, and when that was found."""
        self._lock = threading.Lock()
        self._own_faults = 0
        self._own_faults_told = float("-inf")
        self._canary_lock = threading.Lock()
        self._canary_asked = float("-inf")
        self._canary_alive = self._canary_named = False

    def tell_local_canaries(self) -> None:
        """Log that no canary can tell anything, where every one is on this very host."""
        end = self._monotonic() + ASK_SECS
        if all(self._is_local(canary, end) for canary in self._canaries):
            _log.warning(
                "every canary (%(canaries)s) is on this very host, so none shows whether this vantage is connected: "
                "right would be hosts elsewhere in MONITORING_CANARIES (default: the brokers)",
                {"canaries": ", ".join(map(str, self._canaries))},
            )

    def note_resolved(self, host: str, addresses: Addresses) -> None:
        """Note that the resolver has answered: the names of other hosts show that it works."""
        if not _is_name(host):
            return
        if all(self._is_own(address[0]) for _, address in addresses):
            if len(self._own_names) >= _MOST_OWN_NAMES:
                self._own_names.clear()
            self._own_names.add(host)
        else:
            self._own_names.discard(host)
            self._names.note(host, self._monotonic())

    def judge(self, result: CheckResult, host: str) -> CheckResult:
        """Give the result, or an agent_error in its place where the failure may be ours.

        Args:
            result: what a check found.
            host: whom it connected to (`asked_host`).
        """
        now = self._monotonic()
        is_answered = result.http_status is not None or result.answer is not None or result.outcome.is_up
        if is_answered or result.redirects:
            # After a redirect the address may be one that did not answer.
            ip = None if is_network_kind(result) else result.remote_ip
            if ip is not None and not self._is_known_own(ip, now):
                self._answers.note(host, now)
        elif (
            is_network_kind(result)
            and (is_of_names(result) or not self._is_here(host))
            and (why := self._cut_off(result, host, now - result.interval)) is not None
        ):
            error = f"vantage cut off: {why} ({result.outcome}: {result.error})"
            result = msgspec.structs.replace(result, outcome=Outcome.AGENT_ERROR, error=error[:ERROR_LIMIT])
        if result.outcome is Outcome.AGENT_ERROR:
            self._note_own_fault(result, now)
        return result

    def _is_known_own(self, ip: str, now: float) -> bool:
        """Tell whether an address is of this host, as it was found a moment ago: to ask costs as much as a response."""
        known = self._known_own.get(ip)
        if known is None or now - known[1] > _KNOWN_SECS:
            if len(self._known_own) >= _MOST_OWN_NAMES:
                self._known_own.clear()
            known = self._known_own[ip] = self._is_own(ip), now
        return known[0]

    def _is_here(self, host: str) -> bool:
        """Tell whether a host is this one, as far as is known."""
        if _is_name(host):
            return host in self._own_names
        return _is_localhost(host) or self._is_own(host)

    def _note_own_fault(self, result: CheckResult, now: float) -> None:
        with self._lock:
            self._own_faults += 1
            if now - self._own_faults_told < _TELL_SECS:
                return
            count, self._own_faults, self._own_faults_told = self._own_faults, 0, now
        _log.error(
            "%(count)d checks failed because of this host and not of the sites, the last of %(target)s: %(cause)s",
            {"count": count, "target": result.target, "cause": result.error},
        )

    def _cut_off(self, result: CheckResult, host: str, since: float) -> str | None:
        """Say why a failure may be ours; None where it is known to be the site's."""
        if self._answers.of_another(host) < since and not self._ask_canaries()[0]:
            return "no other host and no canary answers"
        if (
            is_of_names(result)
            and self._is_silent(host)
            and self._names.of_another(host) < since
            and not self._ask_canaries()[1]
        ):
            return "its resolver answers for no name"
        return None

    def _ask_canaries(self) -> tuple[bool, bool]:
        """Tell whether a canary accepts a connection, and whether the name of one resolves."""
        with self._canary_lock:
            if self._monotonic() - self._canary_asked > _FRESH_SECS:
                # Others wait here for the answer, instead of asking too.
                self._canary_alive = self._canary_named = False
                end = self._monotonic() + ASK_SECS
                for host, port in self._canaries:
                    self._ask_canary(host, port, end)
                self._canary_asked = self._monotonic()
            return self._canary_alive, self._canary_named

    def _ask_canary(self, host: str, port: int, end: float) -> None:
        if self._canary_alive and (self._canary_named or not _is_name(host)):
            return  # nothing more to learn of it
        try:
            elsewhere = self._elsewhere(host, port, end)
        except (OSError, OwnFaultError):
            return
        self._canary_named |= _is_name(host) and bool(elsewhere)
        self._canary_alive = self._canary_alive or any(self._accepts(*address, end) for address in elsewhere)

    def _is_local(self, canary: HostPort, end: float) -> bool:
        try:
            return not self._elsewhere(*canary, end)
        except (OSError, OwnFaultError):
            return False

    def _elsewhere(self, host: str, port: int, end: float) -> Addresses:
        """Give the addresses of a canary that are not this host's."""
        return [found for found in self._resolve(host, port, self._left(end)) if not self._is_own(found[1][0])]

    def _accepts(self, family: socket.AddressFamily, address: tuple[Any, ...], end: float) -> bool:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as sock:
                sock.settimeout(self._left(end))
                sock.connect(address)
        except OSError:
            return False
        return True

    def _left(self, end: float) -> float:
        """Give how long one canary may take.

        Raises:
            TimeoutError: the time for all of them is over.
        """
        left = end - self._monotonic()
        if left <= 0:
            raise TimeoutError
        return min(CANARY_SECS, left)

"""Names to addresses in threads of their own, because getaddrinfo cannot be interrupted.

A check waits for an answer as long as its deadline allows and goes on. The lookup that it leaves behind keeps its
thread until the system gives up, so the threads are bounded, and checks that ask for the same name share one.
"""

import contextlib
import itertools
import queue
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Final

from webmon.check.transport import Addresses, OwnFaultError

_STALE_SECS: Final = 60.0
"""A lookup older than this is not joined any more: the system's resolver gives up in half of it, so it hangs."""
_NO_ANSWER: Final = frozenset({socket.EAI_AGAIN, socket.EAI_FAIL})
"""What getaddrinfo says where no resolver answered it, or none of use."""
_MOST_SILENT: Final = 10_000
"""Names without an answer that are remembered: redirects bring ever new ones."""


@dataclass(slots=True)
class _Lookup:
    host: str
    port: int
    asked: float
    begun: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    addresses: Addresses = field(default_factory=list)
    error: OSError | None = None


class Resolver:
    """A bounded pool of threads that resolve; threads come as they are needed and stay."""

    def __init__(self, most: int) -> None:
        """Allow so many lookups at once."""
        self.most = most
        self._threads = 0
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], _Lookup] = {}
        self._silent: dict[str, None] = {}
        self._unfinished = 0
        self._work: queue.SimpleQueue[_Lookup] = queue.SimpleQueue()
        self._names = itertools.count(1)

    def __call__(self, host: str, port: int, timeout: float) -> Addresses:
        """Resolve a name (see webmon.check.transport.Resolve)."""
        if (literal := _literal(host, port)) is not None:
            return literal
        lookup = self._join(host, port)
        if not lookup.done.wait(timeout):
            self._note(host, silent=True)
            if not lookup.begun:
                raise OwnFaultError(f"all {self._threads} lookups of this vantage hang: its resolver does not answer")
            raise TimeoutError(f"{host} did not resolve in time")
        self._note(host, silent=isinstance(lookup.error, socket.gaierror) and lookup.error.errno in _NO_ANSWER)
        if lookup.error is not None:
            # Each check gets an exception of its own: a traceback must not grow over those who share it.
            raise type(lookup.error)(*lookup.error.args)
        return lookup.addresses

    def is_silent(self, host: str) -> bool:
        """Tell whether the last lookup of a name got no answer; that there is no such name is one."""
        return host in self._silent

    def _note(self, host: str, *, silent: bool) -> None:
        if not silent and host not in self._silent:
            return
        with self._lock:
            self._silent.pop(host, None)
            if silent:
                self._silent[host] = None
                if len(self._silent) > _MOST_SILENT:
                    del self._silent[next(iter(self._silent))]

    def _join(self, host: str, port: int) -> _Lookup:
        now = time.monotonic()
        with self._lock:
            lookup = self._running.get((host, port))
            if lookup is not None and now - lookup.asked < _STALE_SECS:
                return lookup
            lookup = self._running[host, port] = _Lookup(host, port, now)
            self._unfinished += 1
            if self._threads < min(self._unfinished, self.most):
                # Where the system gives no thread, those that are there come to it in their turn.
                with contextlib.suppress(RuntimeError):
                    threading.Thread(target=self._serve, name=f"resolver-{next(self._names)}", daemon=True).start()
                    self._threads += 1
            self._work.put(lookup)
            return lookup

    def _serve(self) -> None:
        while True:
            lookup = self._work.get()
            lookup.begun = True
            try:
                found = socket.getaddrinfo(lookup.host, lookup.port, type=socket.SOCK_STREAM)
                lookup.addresses = [(family, address) for family, *_, address in found]
            except OSError as error:
                lookup.error = _own_fault() or error
            except UnicodeError:
                lookup.error = socket.gaierror(socket.EAI_NONAME, "not a host name")
            with self._lock:
                self._unfinished -= 1
                if self._running.get((lookup.host, lookup.port)) is lookup:
                    del self._running[lookup.host, lookup.port]
            lookup.done.set()


def _literal(host: str, port: int) -> Addresses | None:
    """Give the address that the host already is, if it is one: no thread for that."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return [(family, address) for family, *_, address in found]


def _own_fault() -> OSError | None:
    """Tell whether a lookup failed because this process can open no socket; getaddrinfo calls that "not found"."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    except OSError as error:
        return error
    return None

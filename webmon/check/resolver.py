"""Names to addresses in threads of their own, because getaddrinfo cannot be interrupted.

A check waits for an answer as long as its deadline allows and goes on. The lookup that it leaves behind keeps its
thread until the system gives up. So there are lanes, each of so many threads at most: for names that answered when they
were asked last, for names that are new, and for names that hung; a thousand that hang delay none that is well.
"""

import contextlib
import itertools
import queue
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

Addresses = list[tuple[socket.AddressFamily, tuple[Any, ...]]]
"""What a name resolves to, as socket.connect takes them, in the order in which they are tried."""
Resolve = Callable[[str, int, float], Addresses]
"""How a name becomes addresses: takes host, port, and the seconds that it may take.

It raises OSError: socket.gaierror where the name has none, TimeoutError where no answer came in time; and
OwnFaultError where this host cannot ask.
"""
Answered = Callable[[Addresses | Exception], None]

_STALE_SECS: Final = 60.0
"""A lookup older than this is not joined any more: the system's resolver gives up in half of it, so it hangs."""
_IDLE_SECS: Final = 30.0
"""How long a thread without work stays."""
_NO_ANSWER: Final = frozenset({socket.EAI_AGAIN, socket.EAI_FAIL})
"""What getaddrinfo says where no resolver answered it, or none of use."""
_OWN: Final = frozenset({socket.EAI_MEMORY, socket.EAI_SYSTEM})
_REMEMBERED: Final = 20_000
"""Names of which it is known how they did: redirects bring ever new ones."""
_LANES: Final = {"known": 64, "new": 256, "hung": 16}


class OwnFaultError(Exception):
    """The check could not be made for our own sake; says nothing of the target."""


class _Lookup:
    """One question, and those who wait for its answer."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.asked = time.monotonic()
        self.begun = False
        self.answer: Addresses | Exception | None = None
        self.waiting: list[Answered] = []


class _Lane:
    """Threads that come as they are needed, up to a bound, and leave when there is nothing to do."""

    def __init__(self, most: int, serve: Callable[[_Lookup], None], names: "itertools.count[int]") -> None:
        self._most = most
        self._serve = serve
        self._names = names
        self._lock = threading.Lock()
        self._work: queue.SimpleQueue[_Lookup] = queue.SimpleQueue()
        self._threads = self._unfinished = 0

    def put(self, lookup: _Lookup) -> None:
        with self._lock:
            self._unfinished += 1
            if self._threads < min(self._unfinished, self._most):
                # Where the system gives no thread, those that are there come to it in their turn.
                with contextlib.suppress(RuntimeError):
                    threading.Thread(target=self._run, name=f"resolver-{next(self._names)}", daemon=True).start()
                    self._threads += 1
            self._work.put(lookup)

    def _run(self) -> None:
        while True:
            try:
                lookup = self._work.get(timeout=_IDLE_SECS)
            except queue.Empty:
                with self._lock:
                    if self._work.empty():
                        self._threads -= 1
                        return
                continue
            self._serve(lookup)
            with self._lock:
                self._unfinished -= 1


class Resolver:
    """Answers each question in a thread of a lane; those who ask for the same name at once share one."""

    def __init__(
        self, lookup: Callable[[str, int], Addresses] | None = None, *, most: Mapping[str, int] = _LANES
    ) -> None:
        """Take what resolves a name and may block, the system's own where it is None; and each lane's threads."""
        self._lookup = lookup or _system
        self._lock = threading.Lock()
        self._running: dict[tuple[str, int], _Lookup] = {}
        self._silent: dict[str, bool] = {}
        """Of each name that was asked for: whether the last lookup got no answer."""
        names = itertools.count(1)
        self._lanes = {lane: _Lane(bound, self._serve, names) for lane, bound in most.items()}

    def ask(self, host: str, port: int, answered: Answered) -> Callable[[], bool]:
        """Have a name looked up.

        Args:
            host: the name, or an address.
            port: goes into the addresses.
            answered: called once with the addresses or what is wrong, in this thread or another.

        Returns:
            What whoever waits no longer calls: it notes that no answer came, and tells whether one was looked for.
        """
        if (known := known_without_asking(host, port)) is not None:
            answered(known)
            return lambda: True
        with self._lock:
            lookup = self._running.get((host, port))
            if lookup is None or time.monotonic() - lookup.asked >= _STALE_SECS:
                lookup = self._running[host, port] = _Lookup(host, port)
                silent = self._silent.get(host)
                self._lanes["new" if silent is None else "hung" if silent else "known"].put(lookup)
            if lookup.answer is None:
                lookup.waiting.append(answered)
                return lambda: self._given_up(lookup)
        answered(lookup.answer)
        return lambda: True

    def __call__(self, host: str, port: int, timeout: float) -> Addresses:
        """Resolve a name and wait for it (see Resolve)."""
        answers: queue.SimpleQueue[Addresses | Exception] = queue.SimpleQueue()
        give_up = self.ask(host, port, answers.put)
        try:
            answer = answers.get(timeout=timeout)
        except queue.Empty:
            raise too_late(host, begun=give_up()) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def is_silent(self, host: str) -> bool:
        """Tell whether the last lookup of a name got no answer; that there is no such name is one."""
        return self._silent.get(host, False)

    def _given_up(self, lookup: _Lookup) -> bool:
        self._note(lookup.host, silent=True)
        return lookup.begun

    def _note(self, host: str, *, silent: bool) -> None:
        with self._lock:
            self._silent.pop(host, None)
            self._silent[host] = silent
            if len(self._silent) > _REMEMBERED:
                del self._silent[next(iter(self._silent))]

    def _serve(self, lookup: _Lookup) -> None:
        lookup.begun = True
        answer: Addresses | Exception
        try:
            answer = self._lookup(lookup.host, lookup.port)
        except OSError as error:
            answer = error
        except UnicodeError:
            answer = socket.gaierror(socket.EAI_NONAME, "not a host name")
        # What fails in a lookup of any kind is told to those who wait for it.
        except Exception as error:  # noqa: BLE001
            answer = error
        no_answer = isinstance(answer, TimeoutError) or (
            isinstance(answer, socket.gaierror) and answer.errno in _NO_ANSWER
        )
        self._note(lookup.host, silent=no_answer)
        with self._lock:
            lookup.answer = answer
            if self._running.get((lookup.host, lookup.port)) is lookup:
                del self._running[lookup.host, lookup.port]
            waiting, lookup.waiting = lookup.waiting, []
        for answered in waiting:
            # Each gets an exception of its own: a traceback must not grow over those who share it.
            answered(type(answer)(*answer.args) if isinstance(answer, Exception) else answer)


def too_late(host: str, *, begun: bool) -> Exception:
    """Give what it is that a name did not resolve in time; one that nobody looked up is our own fault."""
    if begun:
        return TimeoutError(f"{host} did not resolve in time")
    return OwnFaultError("all lookups of this vantage hang: its resolver does not answer")


def is_own(error: Exception) -> bool:
    """Tell whether it is for our own sake that a lookup failed."""
    if isinstance(error, socket.gaierror):
        return error.errno in _OWN
    return not isinstance(error, TimeoutError)


def known_without_asking(host: str, port: int) -> Addresses | None:
    """Give what nobody needs to be asked for: the address that the host already is, or loopback (RFC 6761, 6.3)."""
    name = host.removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return [(socket.AF_INET6, ("::1", port, 0, 0)), (socket.AF_INET, ("127.0.0.1", port))]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return None
    return [(family, address) for family, *_, address in found]


def resolve_here(host: str, port: int, timeout: float = 0.0) -> Addresses:  # noqa: ARG001 (getaddrinfo has none)
    """Resolve in this thread, for a caller that may wait as long as the system's resolver does."""
    return known_without_asking(host, port) or _system(host, port)


def _system(host: str, port: int) -> Addresses:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise _own_fault() or error from None
    return [(family, address) for family, *_, address in found]


def _own_fault() -> OSError | None:
    """Tell whether a lookup failed because this process can open no socket; getaddrinfo calls that "not found"."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    except OSError as error:
        return error
    return None

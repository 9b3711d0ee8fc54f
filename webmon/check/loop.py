"""One thread that carries all transfers of an agent: libcurl tells which sockets to watch, epoll which are ready.

Nothing that blocks may run in it: names are resolved, large bodies searched and files read elsewhere, and what they
find is handed over by `call`. It knows how late it is itself, so that what that costs is not taken for a site's fault.
"""

import contextlib
import functools
import heapq
import itertools
import logging
import math
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import pycurl

_log = logging.getLogger(__name__)

_NOTICED_SECS: Final = 0.02
"""What a turn may take, or a wait be too long, without being counted as lateness."""
_REMEMBERED_SECS: Final = 600.0
"""How long lateness is remembered: longer than a check may take."""
_LONGEST_WAIT_SECS: Final = 1.0

_WANTED: Final = {
    pycurl.POLL_NONE: 0,
    pycurl.POLL_IN: select.EPOLLIN,
    pycurl.POLL_OUT: select.EPOLLOUT,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT,
}
"""What libcurl asks to be told of a socket, as epoll has it."""

Done = Callable[[int, str], None]
"""Called with libcurl's code (0: well) and text when a transfer ends."""


class Timer:
    """Something to do at a moment, which may be given up before."""

    __slots__ = ("what",)

    def __init__(self, what: Callable[[], None]) -> None:
        """Take what is to be done."""
        self.what: Callable[[], None] | None = what

    def cancel(self) -> None:
        """Do it no more."""
        self.what = None


class Loop:
    """The transfers of a thread that runs it. All but `call`, `stop`, `turned` and `late` is for that thread alone."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Make it; it does nothing before somebody runs it."""
        self.turned = monotonic()
        """When it last began a turn: who looks from outside sees by it whether it stands still."""
        self.monotonic = monotonic
        self._epoll = select.epoll()
        self._woken = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._woken, select.EPOLLIN)
        self._inbox: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._multis = {"": _Multi(self)}
        self._sockets: dict[int, Callable[[int, int], None]] = {}
        """Of each descriptor that is watched: what is called with it and epoll's events."""
        self._woke = self.turned
        """When it last came from its wait: what it does since then is one turn."""
        self.late = 0.0
        """Seconds for which it was held up, in all."""
        self._late: deque[tuple[float, float]] = deque()
        self._stopping = False
        self._lock = threading.Lock()
        """Of the descriptor that wakes: its number may be another's once it is closed."""
        self._has_ended = False
        self._ended = threading.Event()

    def stop(self) -> None:
        """End it, and what is in it, without a word to anybody; from another thread."""
        self.call(self._stop)
        self._ended.wait(10)

    def call(self, what: Callable[[], None]) -> None:
        """Have something done in the thread, soon; nothing once it has ended."""
        with self._lock:
            if not self._has_ended:
                self._inbox.append(what)
                os.eventfd_write(self._woken, 1)

    def at(self, moment: float, what: Callable[[], None]) -> Timer:
        """Have something done at a moment of the monotonic clock."""
        timer = Timer(what)
        heapq.heappush(self._timers, (moment, next(self._numbers), timer))
        return timer

    def add(self, curl: pycurl.Curl, trust: str, done: Done, *, stays: bool = False) -> None:
        """Begin a transfer.

        Args:
            curl: a handle with all its options.
            trust: the file of authorities that it names: libcurl remembers one for each of its sets of transfers.
            done: called when it ends.
            stays: whether its connection is used after that (CONNECT_ONLY), and ends only with `remove`.
        """
        if (multi := self._multis.get(trust)) is None:
            multi = self._multis[trust] = _Multi(self)
        multi.add(curl, done, stays=stays)

    def remove(self, curl: pycurl.Curl, trust: str) -> None:
        """Give a transfer up."""
        if (multi := self._multis.get(trust)) is not None:
            multi.remove(curl)

    def late_since(self, moment: float) -> float:
        """Give how many seconds this thread was held up since a moment, in all; from the thread itself."""
        held_up = itertools.takewhile(lambda one: one[0] >= moment, reversed(self._late))
        turn = self.monotonic() - max(self._woke, moment)
        # What it was held up by may have begun before the moment.
        before = sum(min(seconds, when - moment) for when, seconds in held_up)
        return before + (turn if turn > _NOTICED_SECS else 0.0)

    def run(self) -> None:
        """Turn until the stop."""
        self._woke = self.monotonic()
        while True:
            self.turned = self.monotonic()
            self._turn()
            if self._stopping:
                break
            ended = self.monotonic()
            self._note_late(ended, ended - self._woke)
            until = self._next(ended)
            events = self._epoll.poll(until - ended)
            self._woke = self.monotonic()
            self._note_late(self._woke, self._woke - until)
            for fd, ready in events:
                if fd == self._woken:
                    os.eventfd_read(self._woken)
                elif (told := self._sockets.get(fd)) is not None:
                    told(fd, ready)
        for multi in self._multis.values():
            multi.close()
        self._epoll.close()
        with self._lock:
            self._has_ended = True
            os.close(self._woken)
        self._ended.set()

    def _stop(self) -> None:
        self._stopping = True

    def _turn(self) -> None:
        for _ in range(len(self._inbox)):
            self.do(self._inbox.popleft())
        now = self.monotonic()
        while self._timers and self._timers[0][0] <= now:
            what = heapq.heappop(self._timers)[2].what
            if what is not None:
                self.do(what)
        now = self.monotonic()
        for multi in [one for one in self._multis.values() if one.due <= now]:
            multi.look()

    def do(self, what: Callable[[], None]) -> None:
        """Do something, in the thread; what it raises is told, and harms nothing else."""
        try:
            what()
        # What fails here is one check's; the thread is that of all.
        except Exception:  # noqa: BLE001
            _log.exception("checks: a bug in webmon")

    def _next(self, now: float) -> float:
        """Give when there is something to do, whatever the sockets do; not before now."""
        if self._inbox:
            return now
        moment = min(now + _LONGEST_WAIT_SECS, *[multi.due for multi in self._multis.values()])
        if self._timers:
            moment = min(moment, self._timers[0][0])
        return max(moment, now)

    def _note_late(self, now: float, seconds: float) -> None:
        if seconds > _NOTICED_SECS:
            self.late += seconds
            self._late.append((now, seconds))
            while self._late[0][0] < now - _REMEMBERED_SECS:
                self._late.popleft()

    def watch(self, fd: int, wanted: int, ready: Callable[[int, int], None]) -> None:
        """Watch a descriptor, in place of how it was watched before.

        Args:
            fd: the descriptor; `unwatch` it before it is closed.
            wanted: epoll's events.
            ready: called with it and the events that came; what it raises would end the loop (see `do`).
        """
        known = fd in self._sockets
        self._sockets[fd] = ready
        try:
            (self._epoll.modify if known else self._epoll.register)(fd, wanted)
        except FileNotFoundError:  # the number was closed and is another socket's now
            self._epoll.register(fd, wanted)
        except FileExistsError:
            self._epoll.modify(fd, wanted)

    def unwatch(self, fd: int) -> None:
        """Watch a descriptor no more."""
        if self._sockets.pop(fd, None) is not None:
            with contextlib.suppress(OSError):  # libcurl may have closed it
                self._epoll.unregister(fd)


class _Multi:
    """A set of transfers that share what libcurl knows of authorities."""

    def __init__(self, loop: Loop) -> None:
        self.due = math.inf
        """When libcurl wants a turn without any socket's being ready; infinite: it does not."""
        self._loop = loop
        self._monotonic = loop.monotonic
        self._multi = pycurl.CurlMulti()
        self._done: dict[pycurl.Curl, Done] = {}
        self._staying: set[pycurl.Curl] = set()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    def add(self, curl: pycurl.Curl, done: Done, *, stays: bool) -> None:
        self._done[curl] = done
        if stays:
            self._staying.add(curl)
        self._multi.add_handle(curl)

    def remove(self, curl: pycurl.Curl) -> None:
        if self._done.pop(curl, None) is not None:
            self._staying.discard(curl)
            self._multi.remove_handle(curl)

    def ready(self, fd: int, events: int) -> None:
        mask = 0
        if events & select.EPOLLIN:
            mask |= pycurl.CSELECT_IN
        if events & select.EPOLLOUT:
            mask |= pycurl.CSELECT_OUT
        if events & (select.EPOLLERR | select.EPOLLHUP):
            mask |= pycurl.CSELECT_ERR
        self._settle(self._multi.socket_action(fd, mask)[1])

    def look(self) -> None:
        self.due = math.inf
        self._settle(self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)[1])

    def close(self) -> None:
        for curl in list(self._done):
            self.remove(curl)
        self._multi.close()

    def _settle(self, running: int) -> None:
        """Tell of the transfers that have ended, where fewer run than there are: mostly none has."""
        if running >= len(self._done):
            return
        while True:
            left, well, failed = self._multi.info_read()
            ended = [(curl, 0, "") for curl in well] + [(curl, code, text) for curl, code, text in failed]
            for curl, code, text in ended:
                done = self._done.get(curl)
                if done is not None:
                    if curl not in self._staying:
                        self.remove(curl)
                    self._loop.do(functools.partial(done, code, text))
            if not left:
                return

    def _watch(self, what: int, fd: int, _multi: Any, _data: Any) -> None:
        if what == pycurl.POLL_REMOVE:
            self._loop.unwatch(fd)
        else:
            self._loop.watch(fd, _WANTED[what], self.ready)

    def _set_timer(self, milliseconds: int) -> None:
        self.due = math.inf if milliseconds < 0 else self._monotonic() + milliseconds / 1000

"""A process that a check runs: in a session and group of its own, watched by the loop, killed whole.

It is started through env(1) of coreutils. So no binary that a slow disk keeps back holds up all checks while it is
loaded (posix_spawn waits for the first exec, with Python's lock), it begins in /, and its signals are free and as by
default: an agent blocks those that it waits for (webmon/daemon/signals.py), and a process inherits that.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Final

from webmon.check.loop import Loop

KEPT: Final = 64 << 10
"""Bytes of each stream that are kept; the rest is read, so that its writer goes on, and dropped."""
_STARTER: Final = "/usr/bin/env"
_ENVIRONMENT: Final = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""All that it gets: what stands in the environment of an agent may be secret."""
_SIGNALS: Final = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
_UNTOLD: Final = 255
_CLOSE_SECS: Final = 1.0


class Process:
    """One process; all but its making belongs to the loop's thread."""

    def __init__(
        self, command: Sequence[str], loop: Loop, gone: Callable[["Process"], None], not_passed: Sequence[int] = ()
    ) -> None:
        """Start it, which takes milliseconds: not in the loop.

        Args:
            command: an absolute path without `=`, and arguments; no shell reads them.
            loop: what watches it.
            gone: called when nothing of it is left to look after, in the loop.
            not_passed: descriptors to close in it, beside those that a process closes by itself.

        Raises:
            OSError: this host has no process or no descriptor for it.
        """
        self.out, self.err = bytearray(), bytearray()
        """The first KEPT bytes of its standard output, and of its standard error."""
        self.returned: int | None = None
        """Its exit status, or minus the signal that ended it; None while it runs."""
        self.seconds = 0.0
        """How long it ran."""
        self._loop = loop
        self._gone = gone
        self._began = loop.monotonic()
        self._ended: Callable[[], None] | None = None
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            pipes = []
            for _ in range(2):
                read, write = os.pipe()
                ours.callback(os.close, read)
                theirs.callback(os.close, write)
                os.set_blocking(read, False)
                pipes.append((read, write))
            self._pid = os.posix_spawn(
                _STARTER,
                ["env", "--chdir=/", "--", *command],
                _ENVIRONMENT,
                file_actions=[
                    (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                    *((os.POSIX_SPAWN_DUP2, write, fd) for fd, (_, write) in enumerate(pipes, 1)),
                    *((os.POSIX_SPAWN_CLOSE, fd) for fd in not_passed),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=_SIGNALS,
            )
            try:
                self._pidfd = os.pidfd_open(self._pid)
            except OSError:
                self._kill()
                os.waitpid(self._pid, 0)
                raise
            ours.pop_all()
        self._pipes = {pipes[0][0]: self.out, pipes[1][0]: self.err}

    def follow(self, ended: Callable[[], None]) -> None:
        """Watch it; `ended` is called when it has ended, whatever it left running, and all that it wrote is here."""
        self._ended = ended
        for fd in self._pipes:
            self._loop.watch(fd, select.EPOLLIN, self._readable)
        self._loop.watch(self._pidfd, select.EPOLLIN, self._over)

    def end(self) -> None:
        """Kill it with all of its group, and hear no more of it; any number of times, at any moment."""
        self._ended = None
        if self.returned is None:
            self._kill()
            self._close_pipes()
            # It is reaped when it is dead: a disk that hangs may keep it.
            self._loop.watch(self._pidfd, select.EPOLLIN, self._over)

    def abandon(self) -> None:
        """Kill it and wait, a second at most; only where the loop has ended, or never heard of it."""
        if self.returned is None:
            self._kill()
            for fd in self._pipes:
                os.close(fd)
            self._pipes.clear()
            poll = select.poll()
            poll.register(self._pidfd, select.POLLIN)
            poll.poll(_CLOSE_SECS * 1000)
            self._reap()
            os.close(self._pidfd)

    def _readable(self, fd: int, _: int) -> None:
        kept = self._pipes[fd]
        try:
            piece = os.read(fd, KEPT)
        except BlockingIOError:
            return
        kept.extend(piece[: KEPT - len(kept)])
        if not piece:
            self._close_pipe(fd)

    def _over(self, _fd: int, _events: int) -> None:
        seconds = self._loop.monotonic() - self._began
        # Before it is reaped, for until then no other process gets its number.
        self._kill()
        if not self._reap():
            return
        self.seconds = seconds
        for fd, kept in list(self._pipes.items()):
            # What others of its group, or such as left it, may still write is not waited for.
            with contextlib.suppress(BlockingIOError):
                while len(kept) < KEPT and (piece := os.read(fd, KEPT - len(kept))):
                    kept.extend(piece)
        self._close_pipes()
        self._loop.unwatch(self._pidfd)
        os.close(self._pidfd)
        self._gone(self)
        if self._ended is not None:
            self._ended()

    def _kill(self) -> None:
        # Nobody is left, or none whom we may kill: a set-user-ID program, which the unit of an agent does not let be.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)

    def _reap(self) -> bool:
        try:
            found = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
        except ChildProcessError:  # whoever started us ignores SIGCHLD, and so nobody is told how it ended
            self.returned = _UNTOLD
            return True
        if found is None:
            return False
        self.returned = found.si_status if found.si_code == os.CLD_EXITED else -found.si_status
        return True

    def _close_pipes(self) -> None:
        for fd in list(self._pipes):
            self._close_pipe(fd)

    def _close_pipe(self, fd: int) -> None:
        del self._pipes[fd]
        self._loop.unwatch(fd)
        os.close(fd)


class Processes:
    """All that run, so that none outlives those who run them."""

    def __init__(self, loop: Loop) -> None:
        """Take the loop that watches them."""
        self._loop = loop
        self._changed = threading.Condition()
        self._running: set[Process] = set()
        self._starting = 0
        """How many threads are about to start one."""
        self._closed = False
        self._inherited = _inherited()

    def start(self, command: Sequence[str]) -> Process:
        """Start a process; it raises as Process. From any thread but the loop's."""
        with self._changed:
            self._starting += 1
        try:
            process = Process(command, self._loop, self._forget, self._inherited)
            with self._changed:
                if not self._closed:
                    self._running.add(process)
                    return process
            process.abandon()
        finally:
            with self._changed:
                self._starting -= 1
                self._changed.notify_all()
        raise InterruptedError("no more processes are started")

    def close(self) -> None:
        """Kill all of them, and those that others start at this moment; the loop has ended."""
        with self._changed:
            self._closed = True
            left = list(self._running)
        for process in left:
            process.abandon()
        with self._changed:
            self._changed.wait_for(lambda: self._starting == 0, _CLOSE_SECS)

    def _forget(self, process: Process) -> None:
        with self._changed:
            self._running.discard(process)


def _inherited() -> list[int]:
    """Give the descriptors that this process got from who started it; its own go to no other (PEP 446)."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 (names are what is wanted)
        with contextlib.suppress(OSError):  # the one that listed them
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
    return found

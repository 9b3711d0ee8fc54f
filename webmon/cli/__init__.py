"""The command line, `webmon COMMAND ...`: what can be asked, and how the process ends.

Called by the shell, by the units of systemd and by the playbooks. A command loads what it runs when it runs, so that
none waits for another's libraries; it never does a component's work itself.
"""

import argparse
import contextlib
import errno
import io
import os
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from webmon import __version__
from webmon.cli import alarms, checks, components, letters, pages, reports
from webmon.cli.options import Run
from webmon.errors import UserError

UNWRITTEN, USER_MISTAKE = 1, 2
INTERRUPTED, UNREAD = 128 + signal.SIGINT, 128 + signal.SIGPIPE
"""As a shell has it for a program that such a signal ended."""
_FULL = (errno.ENOSPC, errno.EDQUOT)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; give its exit status: 0 fine, 2 the user's mistake, 1 anything else."""
    if sys.stderr is None:  # closed by who started us; print() would take standard output instead
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        # Before any work is done whose answer nobody could get, and before a file is opened in its place.
        return _unwritten(os.strerror(errno.EBADF))
    try:
        try:
            return _run(argv)
        finally:
            # Here, where it can still be told that nobody reads; --help and --version come by as SystemExit.
            sys.stdout.flush()
    except BrokenPipeError:
        gone = [fd for fd in (1, 2) if _reader_is_gone(fd)]
        if not gone:
            raise
        # The reader (head, less) has seen enough.
        for fd in gone:
            _discard(fd)
        return UNREAD
    except OSError as error:
        unwritten = [stream for stream in (sys.stdout, sys.stderr) if not _can_be_flushed(stream)]
        if not unwritten and error.errno not in _FULL:
            raise
        for stream in unwritten:
            _discard(stream.fileno())
        return _unwritten(f"{error.filename}: {error.strerror}" if error.filename else error.strerror)
    except KeyboardInterrupt:
        return INTERRUPTED


def _unwritten(why: str | None) -> int:
    with contextlib.suppress(OSError):
        print(f"webmon: could not write: {why}", file=sys.stderr)
    return UNWRITTEN


def _can_be_flushed(stream: TextIO) -> bool:
    """Tell whether a stream takes what it still holds: one that failed before fails again."""
    try:
        stream.flush()
    except OSError:
        return False
    return True


def _discard(fd: int) -> None:
    """Keep what is still buffered from failing at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), fd)


def _run(argv: Sequence[str] | None) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A terminal of an old encoding gets \u2026 and the like, and never a traceback.
        sys.stdout.reconfigure(errors="backslashreplace")
    arguments = _parser().parse_args(argv)
    run: Run = arguments.run
    try:
        return run(arguments)
    except UserError as error:
        for line in error.lines:
            print(f"webmon: {line}", file=sys.stderr)
        return USER_MISTAKE


def _reader_is_gone(fd: int) -> bool:
    waiting = select.poll()
    waiting.register(fd, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in waiting.poll(0))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="webmon", description="Watch websites from many hosts.")
    parser.add_argument("--version", action="version", version=f"webmon {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for part in (components, reports, letters, alarms, pages, checks):
        part.add_to(commands)
    return parser

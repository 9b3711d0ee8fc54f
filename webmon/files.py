"""Files that a person names: regular ones, bounded in size, and never waited for.

open() of a named pipe waits for a writer for ever, and a device may give bytes without end; so what a path leads to is
looked at first. What is refused is an OSError, as what cannot be opened is: its strerror says why.
"""

import errno
import os
import re
import stat
from pathlib import Path
from typing import Final, NamedTuple

PEM: Final = 4 << 20
"""Bytes that a file of certificates or a key may have: all authorities of a system are a quarter of a megabyte."""
SETTINGS: Final = 1 << 20
"""Bytes that a .env may have."""
LIST: Final = 64 << 20
"""Bytes that a list may have, of targets or commands: some 300,000 targets."""

_OWN: Final = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/self/fd/\d+")
"""What this process was handed open, as the shell's <(...) is: somebody is at its other end."""
_KINDS: Final = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFDIR: "a directory",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Content(NamedTuple):
    """What was read, and of what: both of the same file, whatever has taken its place since."""

    data: bytes
    status: os.stat_result


def look(path: Path, *, most: int) -> os.stat_result:
    """Look whether a file can be read, before a library opens it by its name; give what it is.

    Raises:
        OSError: it is not there, may not be read, is no regular file, or has more than `most` bytes.
    """
    fd = _opened(path, most, pipe=False)
    try:
        return os.fstat(fd)
    finally:
        os.close(fd)


def read(path: Path, *, most: int, pipe: bool = False) -> Content:
    """Read a file whole.

    Args:
        path: the file.
        most: how many bytes it may have.
        pipe: whether it may also be a pipe that this process was handed, /dev/stdin or /dev/fd/N: right for what a
            person names on the command line and what is read once.

    Raises:
        OSError: as `look`.
    """
    with os.fdopen(_opened(path, most, pipe=pipe), "rb") as file:
        data = file.read(most + 1)
        if len(data) > most:  # files of /proc have no size
            raise _too_large(path, most)
        return Content(data, os.fstat(file.fileno()))


def _opened(path: Path, most: int, *, pipe: bool) -> int:
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "has a NUL in its name", str(path))
    # Before it is opened, as that alone does something to some devices.
    _refuse(path, path.stat(), most, pipe=pipe)
    # Another may stand there by now: even a named pipe is opened at once so.
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _refuse(path, os.fstat(fd), most, pipe=pipe)
        os.set_blocking(fd, True)
    except OSError:
        os.close(fd)
        raise
    return fd


def _refuse(path: Path, status: os.stat_result, most: int, *, pipe: bool) -> None:
    kind = stat.S_IFMT(status.st_mode)
    if kind == stat.S_IFIFO and pipe and _OWN.fullmatch(str(path)):
        return
    if kind != stat.S_IFREG:
        raise OSError(errno.EINVAL, f"is {_KINDS.get(kind, 'something else')}, not a regular file", str(path))
    if status.st_size > most:
        raise _too_large(path, most)


def _too_large(path: Path, most: int) -> OSError:
    return OSError(errno.EFBIG, f"holds more than {most >> 20} MB", str(path))

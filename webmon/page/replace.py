"""A file in place of the one before, whole at any moment."""

import contextlib
import os
from pathlib import Path


def replace(path: Path, data: bytes, *, mode: int, is_lasting: bool = True) -> None:
    """Write a file beside the one before, and rename it.

    Args:
        path: where it goes, in a directory that is there.
        data: what is in it.
        mode: who may read it.
        is_lasting: whether it is there after a power cut, too; what can be written again at any time need not be.

    Raises:
        OSError: it can't be written; the one before is still there.
    """
    beside = path.with_name(f"{path.name}.new")
    # What a run that was killed left, whoever may read it.
    with contextlib.suppress(FileNotFoundError):
        beside.unlink()
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            if is_lasting:
                file.flush()
                os.fsync(file.fileno())
        beside.rename(path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    if is_lasting:
        _keep(path.parent)


def _keep(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

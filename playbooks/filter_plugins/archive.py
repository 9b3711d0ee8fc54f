"""The filters of backup.yml: what of this machine goes into an archive, and what is wrong with where it goes."""

import os
import stat
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any


def archive_paths(wanted: Iterable[str], sources: Iterable[str], top: str) -> list[str]:
    """Give the paths that go into the archive: those in the checkout from there, as they fit another, others whole.

    Args:
        wanted: files and directories; what is not there is left out.
        sources: the inventories, each a directory, or a file that has its variables beside it.
        top: the checkout.
    """
    root = Path(top).resolve()
    found = {path.resolve() for path in (*map(Path, wanted), *_of_inventories(sources)) if path.exists()}
    whole = [path for path in sorted(found) if not found & set(path.parents)]
    return [str(path.relative_to(root)) if path.is_relative_to(root) else str(path) for path in whole]


def _of_inventories(sources: Iterable[str]) -> Iterator[Path]:
    for source in map(Path, sources):
        yield source
        if source.is_file():
            yield from (source.parent / beside for beside in ("group_vars", "host_vars"))


def archive_faults(archive: str, passphrase_file: str, paths: Iterable[str], top: str) -> list[str]:
    """Say what is wrong with an archive's place and the file of its passphrase.

    Args:
        archive: the file to be written.
        passphrase_file: what it is encrypted with.
        paths: what goes into it, as `archive_paths` gives it.
        top: the checkout, where relative ones begin.
    """
    inside = [Path(top, path).resolve() for path in paths]
    return [
        *_passphrase_faults(Path(passphrase_file).expanduser() if passphrase_file else None),
        *(
            f"{name} is {path}, which is in {within}, and that goes into the archive; right would be a place "
            "elsewhere, that is there when this machine is gone"
            for name, path in (("backup_archive", archive), ("backup_passphrase_file", passphrase_file))
            for within in inside
            if path and Path(path).expanduser().resolve().is_relative_to(within)
        ),
        *_place_faults(Path(archive).expanduser()),
    ]


def _passphrase_faults(file: Path | None) -> Iterator[str]:
    right = "right would be a file of mode 0600 with one line, 16 characters or more"
    if file is None:
        yield f"backup_passphrase_file is not set; {right}, of which you keep a copy elsewhere"
        return
    try:
        mode, text = file.stat().st_mode, file.read_bytes().strip()
    except OSError as error:
        yield f"backup_passphrase_file is {file}: {error.strerror}; {right}"
        return
    # What others may change is not ours, and what is executable Ansible would run.
    if mode & (stat.S_IXUSR | stat.S_IRWXG | stat.S_IRWXO):
        yield f"backup_passphrase_file is {file}, of mode {stat.S_IMODE(mode):04o}; {right}"
    if len(text) < 16 or b"\n" in text:
        yield f"backup_passphrase_file is {file}, which has no good passphrase; {right}"


def _place_faults(archive: Path) -> Iterator[str]:
    if archive.is_dir() or not archive.parent.is_dir():
        yield f"backup_archive is {archive}; right would be a file in a directory that is there"
    elif not os.access(archive.parent, os.W_OK):
        yield f"backup_archive is {archive}, and nothing can be written there; right would be a place where you may"


class FilterModule:
    """What Ansible looks for in a filter plugin."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Give the filters by name."""
        return {"archive_paths": archive_paths, "archive_faults": archive_faults}

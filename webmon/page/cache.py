"""The last snapshot on disk: what is shown while the database is away, also after a start.

It is written beside and renamed, so that a whole one is there at any moment; nobody else may read it. A file that is no
snapshot is told and left alone until the next one takes its place.
"""

import logging
from pathlib import Path
from typing import Final

import msgspec

from webmon import files
from webmon.daemon.outage import Outage
from webmon.page.replace import replace
from webmon.page.snapshot import FORMAT, Snapshot

_log = logging.getLogger(__name__)

MOST_BYTES: Final = 256 << 20
"""A target takes 6 kB: so much is 40,000 of them."""


class _Format(msgspec.Struct):
    format: int = 0


class Cache:
    """One file; one thread writes it."""

    def __init__(self, path: Path) -> None:
        """Take the file's path; nothing is read yet."""
        self._path = path
        self.bytes = 0
        """Of what was to be written last."""
        self._unwritten = Outage(f"the snapshot is not kept in {path}", f"the snapshot is kept in {path} again")

    def read(self) -> Snapshot | None:
        """Give the snapshot of the file; None where there is none, or none that can be read, which is logged."""
        try:
            data = files.read(self._path, most=MOST_BYTES).data
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("PAGE_CACHE_PATH: %s: %s; it is not shown", self._path, error.strerror or error)
            return None
        try:
            found = msgspec.json.decode(data, type=_Format).format
            if found != FORMAT:
                _log.warning("PAGE_CACHE_PATH: %s is of another release (%s); it is not shown", self._path, found)
                return None
            return msgspec.json.decode(data, type=Snapshot)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            _log.warning("PAGE_CACHE_PATH: %s holds no snapshot: %s; it is not shown", self._path, error)
            return None

    def write(self, snapshot: Snapshot) -> bool:
        """Put a snapshot in place of the one before; tell whether it is there. Why not is logged once."""
        data = msgspec.json.encode(snapshot)
        self.bytes = len(data)
        try:
            if len(data) > MOST_BYTES:
                self._unwritten.begins(f"it has more than {MOST_BYTES >> 20} MB", lasting=True)
                return False
            replace(self._path, data, mode=0o600)
        except OSError as error:
            self._unwritten.begins(error.strerror or str(error))
            return False
        self._unwritten.ends()
        return True

"""The outbox: every result is on disk before it is sent, and leaves when Kafka has acknowledged it.

Results are committed in groups by one thread, so that a check never waits for the disk. The bound is bytes; past it
the oldest go first, counted and logged. A file that is corrupt is set aside for a person; a disk that is full or
broken is replaced by memory until it can be used again. Checks go on either way.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from webmon.errors import UserError

_log = logging.getLogger(__name__)

_GROUP_SECS: Final = 0.05
"""How long the first result of a group waits for others."""
_PENDING_BYTES: Final = 16 << 20
"""Most that may wait in memory for a commit, and most that the substitute in memory may hold."""
_RETRY_SECS: Final = 30.0
"""How often a disk that failed is tried again."""
_REPORT_SECS: Final = 60.0
"""How often results that went for want of room are logged."""

_COMMIT_SECS: Final = 30.0
"""How long a commit may take before the outbox counts as standing still; a disk that is busy takes a few seconds."""

_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Row(NamedTuple):
    """A result that waits: ids grow with time and are never used twice."""

    id: int
    key: bytes
    value: bytes


class _Spool:
    """One SQLite database of waiting results; the outbox's lock guards it."""

    def __init__(self, path: Path | None) -> None:
        """Open or create it; None is one in memory."""
        if path is not None:
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False)
        try:
            self._db.executescript(
                """
                PRAGMA auto_vacuum = INCREMENTAL;
                PRAGMA journal_mode = WAL;
                PRAGMA synchronous = FULL;
                PRAGMA wal_autocheckpoint = 256;
                PRAGMA journal_size_limit = 1048576;
                CREATE TABLE IF NOT EXISTS results (id INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB NOT NULL);
                """
            )
            self._page = self._pragma("page_size")
            self.count: int
            self.last_id: int
            self.count, self.last_id = self._db.execute("SELECT count(*), ifnull(max(id), 0) FROM results").fetchone()
        except sqlite3.Error:
            self._db.close()
            raise

    def change(self, rows: Iterable[Row], removed: Iterable[int]) -> None:
        """Add and remove in one transaction."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            gone = self._db.executemany("DELETE FROM results WHERE id = ?", ((i,) for i in removed)).rowcount
            came = self._db.executemany("INSERT INTO results VALUES (?, ?, ?)", rows).rowcount
            self._db.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):  # SQLite has often rolled back by itself
                self._db.execute("ROLLBACK")
            raise
        self.count += max(came, 0) - max(gone, 0)

    def read(self, after: int, most: int) -> list[Row]:
        """Give the oldest rows with an id above `after`."""
        found = self._db.execute("SELECT id, key, value FROM results WHERE id > ? ORDER BY id LIMIT ?", (after, most))
        return [Row(*row) for row in found]

    def bounds(self) -> tuple[int | None, int | None]:
        """Give the ids of the oldest row and of the newest."""
        oldest, newest = self._db.execute("SELECT min(id), max(id) FROM results").fetchone()
        return oldest, newest

    def used(self) -> int:
        """Give the bytes of the pages in use."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._page

    def trim(self, limit: int) -> int:
        """Delete the oldest until `limit` bytes hold the rest; give how many went."""
        dropped = 0
        while self.count and self.used() > limit:
            some = max(1, self.count // 50)
            gone = self._db.execute(
                "DELETE FROM results WHERE id IN (SELECT id FROM results ORDER BY id LIMIT ?)", (some,)
            ).rowcount
            self.count -= gone
            dropped += gone
        return dropped

    def give_back(self) -> None:
        """Let the file shrink when most of it is free."""
        if self._pragma("freelist_count") * 2 > self._pragma("page_count") > 256:
            self._db.executescript("PRAGMA incremental_vacuum(256)")  # execute() would free a single page

    def close(self) -> None:
        """Close it; what was committed is on disk."""
        self._db.close()

    def _pragma(self, name: str) -> int:
        value: int = self._db.execute(f"PRAGMA {name}").fetchone()[0]
        return value


class Outbox:
    """Results on their way to Kafka; put by many threads, read and removed by the publisher."""

    def __init__(self, path: Path, limit: int) -> None:
        """Open the file at `path`, bounded to `limit` bytes, and start to commit.

        Raises:
            UserError: the file cannot be there, or another agent has it.
        """
        self.dropped = 0
        """Results that went for want of room since the start."""
        self._path = path
        self._limit = limit
        self._lock = threading.Lock()
        self._changed = threading.Condition()
        self._pending: deque[Row] = deque()
        self._pending_bytes = 0
        self._removed: list[int] = []
        self._waiting_since: float | None = None
        """When the last commit was, or the first result was put since; None while none waits for one."""
        self._closing = False
        self._on_disk = True
        self._retry_at = 0.0
        self._reported = (0, float("-inf"))
        self._claim = self._claim_file()
        self._spool = self._open()
        self._last_id = self._spool.last_id
        self.opened = 1
        """How often a database was opened; a reader starts anew when it changes, for older rows may be back."""
        self._writer = threading.Thread(target=self._write, name="outbox", daemon=True)
        self._writer.start()

    def put(self, key: bytes, value: bytes) -> None:
        """Take a result; it is on disk in a moment. Never waits and never fails."""
        with self._changed:
            # Microseconds since the epoch, so that ids also grow from one database to the next.
            self._last_id = max(self._last_id + 1, time.time_ns() // 1000)
            self._pending.append(Row(self._last_id, key, value))
            self._pending_bytes += len(key) + len(value)
            self._waiting_since = self._waiting_since or time.monotonic()
            while self._pending_bytes > _PENDING_BYTES:
                oldest = self._pending.popleft()
                self._pending_bytes -= len(oldest.key) + len(oldest.value)
                self.dropped += 1
            self._changed.notify_all()

    def read(self, after: int, most: int) -> list[Row]:
        """Give the oldest committed rows with an id above `after`."""
        with self._lock:
            try:
                return self._spool.read(after, most)
            except sqlite3.Error as error:
                self._replace(error)
                return []

    def remove(self, ids: Sequence[int]) -> None:
        """Forget results that Kafka has acknowledged."""
        with self._changed:
            self._removed.extend(ids)
            self._changed.notify_all()

    def __len__(self) -> int:
        """Give how many results wait, those not yet committed included."""
        return self._spool.count + len(self._pending)

    def span(self) -> tuple[datetime, datetime] | None:
        """Give when the oldest and the newest committed result were put; None where there is none."""
        with self._lock:
            try:
                oldest, newest = self._spool.bounds()
            except sqlite3.Error:
                return None
        if oldest is None or newest is None:
            return None
        # The ids are the microseconds of that moment, or just after it.
        return datetime.fromtimestamp(oldest / 1e6, UTC), datetime.fromtimestamp(newest / 1e6, UTC)

    def used(self) -> int:
        """Give the bytes in use."""
        with self._lock:
            try:
                return self._spool.used()
            except sqlite3.Error:
                return 0

    @property
    def is_on_disk(self) -> bool:
        """Whether results wait in the file, and not in memory for want of one that works."""
        return self._on_disk

    def faults(self) -> list[str]:
        """Tell that the results that wait for a commit get none, neither on disk nor in memory."""
        waits = time.monotonic() - self._waiting_since if self._waiting_since is not None else 0.0
        return [f"outbox: nothing was committed for {waits:.0f} s"] if waits > _COMMIT_SECS else []

    def close(self, timeout: float) -> None:
        """Commit what is there and close, in so many seconds at most."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._writer.join(timeout)
        if self._writer.is_alive():
            _log.error(
                "outbox %(file)s: the disk does not take the last %(dropped)d results",
                {"file": self._path, "dropped": len(self._pending)},
            )
            return
        with self._lock:
            if not self._on_disk:
                self._return_to_disk()
            if not self._on_disk and self._spool.count:
                _log.error("outbox %s: %d results that waited in memory are lost", self._path, self._spool.count)
            self._spool.close()
        os.close(self._claim)

    def _claim_file(self) -> int:
        if self._path.is_dir():
            raise UserError(f"MONITORING_OUTBOX_PATH {self._path}: is a directory; right would be a file in it")
        lock_path = self._path.with_name(self._path.name + ".lock")
        try:
            claim = os.open(lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UserError(
                f"MONITORING_OUTBOX_PATH {self._path}: {error.strerror}; right would be a file in a directory that "
                "the agent may write"
            ) from error
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(claim)
            raise UserError(
                f"MONITORING_OUTBOX_PATH {self._path}: another agent uses it; each needs its own"
            ) from error
        return claim

    def _write(self) -> None:
        while True:
            with self._changed:
                while not (self._pending or self._removed or self._closing):
                    self._changed.wait()
                closing = self._closing
            if not closing:
                time.sleep(_GROUP_SECS)
            with self._changed:
                rows, removed = list(self._pending), self._removed
                self._removed = []
            if closing and not rows and not removed:
                return
            with self._lock:
                committed = self._commit(rows, removed)
            if not committed and closing:
                return
            if committed:
                with self._changed:
                    for row in rows:
                        # put() may have dropped the oldest meanwhile.
                        if self._pending and self._pending[0].id == row.id:
                            self._pending.popleft()
                            self._pending_bytes -= len(row.key) + len(row.value)
                    self._waiting_since = time.monotonic() if self._pending else None
                    self._changed.notify_all()

    def _commit(self, rows: Sequence[Row], removed: Sequence[int]) -> bool:
        try:
            if not self._on_disk and time.monotonic() >= self._retry_at:
                self._return_to_disk()
            self._spool.change(rows, removed)
            self.dropped += self._spool.trim(self._limit if self._on_disk else min(self._limit, _PENDING_BYTES))
            self._spool.give_back()
        except sqlite3.Error as error:
            self._replace(error)
            return False
        finally:
            self._report_dropped()
        return True

    def _open(self) -> _Spool:
        try:
            return _Spool(self._path)
        except sqlite3.Error as error:
            if _is_corrupt(error):
                self._set_aside(error)
                with contextlib.suppress(sqlite3.Error, OSError):
                    return _Spool(self._path)
            return self._substitute(error)
        except OSError as error:
            return self._substitute(error)

    def _replace(self, error: sqlite3.Error) -> None:
        """Go on with another database after one has failed."""
        with contextlib.suppress(sqlite3.Error):
            self._spool.close()
        if self._on_disk and _is_corrupt(error):
            self._set_aside(error)
            self._spool = self._open()
        else:
            self._spool = self._substitute(error)
        self.opened += 1

    def _set_aside(self, error: sqlite3.Error) -> None:
        aside = self._path.with_name(f"{self._path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        with contextlib.suppress(OSError):
            for suffix in ("", "-wal", "-shm"):
                file = self._path.with_name(self._path.name + suffix)
                if file.exists():
                    file.rename(aside.with_name(aside.name + suffix))
        _log.error(
            "outbox %(file)s is corrupt (%(cause)s): kept as %(aside)s, going on with an empty one",
            {"file": self._path, "cause": error, "aside": aside},
        )

    def _substitute(self, error: sqlite3.Error | OSError) -> _Spool:
        if self._on_disk:
            _log.error(
                "outbox %(file)s can't be used (%(cause)s): results wait in memory, %(megabytes)d MB at most, "
                "until it can",
                {"file": self._path, "cause": error, "megabytes": _PENDING_BYTES >> 20},
            )
        self._on_disk = False
        self._retry_at = time.monotonic() + _RETRY_SECS
        return _Spool(None)

    def _return_to_disk(self) -> None:
        self._retry_at = time.monotonic() + _RETRY_SECS
        try:
            disk = _Spool(self._path)
        except (sqlite3.Error, OSError):
            return
        try:
            disk.change(self._spool.read(0, self._spool.count), ())
        except sqlite3.Error:
            disk.close()
            return
        self._spool.close()
        self._spool = disk
        self._on_disk = True
        self.opened += 1
        _log.warning(
            "outbox %(file)s can be used again; %(waiting)d results wait in it",
            {"file": self._path, "waiting": disk.count},
        )

    def _report_dropped(self) -> None:
        reported, at = self._reported
        now = time.monotonic()
        if self.dropped > reported and now - at >= _REPORT_SECS:
            _log.error(
                "outbox %(file)s is full (MONITORING_OUTBOX_BYTES %(bytes)d): dropped the oldest %(dropped)d results",
                {"file": self._path, "bytes": self._limit, "dropped": self.dropped - reported},
            )
            self._reported = self.dropped, now


def _is_corrupt(error: sqlite3.Error) -> bool:
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _CORRUPT

"""Where results wait: a SQLite file, or memory while there is none that works.

A change is one transaction: it takes place whole, or not at all.
"""

import contextlib
import os
import sqlite3
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final, NamedTuple, Protocol

_CORRUPT: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class Row(NamedTuple):
    """A result that waits: ids grow with time and are never used twice."""

    id: int
    key: bytes
    value: bytes

    @property
    def size(self) -> int:
        """Its bytes, without what keeps them."""
        return len(self.key) + len(self.value)


class Spool(Protocol):
    """What both have; `sqlite3.Error` comes from the file alone, and leaves it as it was before or as it was to be."""

    dropped: int
    """Rows that went because it was full, over its life."""

    @property
    def count(self) -> int:
        """Rows in it."""

    def change(self, rows: Iterable[Row], removed: Collection[int], limit: int) -> None:
        """Add rows that are not there, remove others, and drop the oldest until `limit` bytes hold the rest."""

    def read(self, after: int, most: int) -> list[Row]:
        """Give the oldest rows with an id above `after`."""

    def bounds(self) -> tuple[int, int] | None:
        """Give the ids of the oldest row and of the newest; None where there is none."""

    def used(self) -> int:
        """Give the bytes in use."""

    def close(self) -> None:
        """Close it; what was committed to a file is on disk."""


class Disk:
    """A SQLite file; one user at a time."""

    def __init__(self, path: Path) -> None:
        """Open or create it.

        Raises:
            OSError, sqlite3.Error: it cannot be.
        """
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
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
            # It belongs to the transaction, so that what was dropped is known also where a commit's outcome is not.
            self.dropped = self._pragma("user_version")
            self.count: int
            self.last_id: int
            self.count, self.last_id = self._db.execute("SELECT count(*), ifnull(max(id), 0) FROM results").fetchone()
        except sqlite3.Error:
            self.close()
            raise

    def change(self, rows: Iterable[Row], removed: Collection[int], limit: int) -> None:
        """See Spool."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            gone = self._db.executemany("DELETE FROM results WHERE id = ?", ((i,) for i in removed)).rowcount
            came = self._db.executemany("INSERT OR IGNORE INTO results VALUES (?, ?, ?)", rows).rowcount
            count = self.count + max(came, 0) - max(gone, 0)
            dropped = self._trim(count, limit)
            if dropped:
                self._db.execute(f"PRAGMA user_version = {self.dropped + dropped}")
            self._db.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):  # SQLite has often rolled back by itself
                self._db.execute("ROLLBACK")
            raise
        self.count = count - dropped
        self.dropped += dropped
        self._give_back()

    def read(self, after: int, most: int) -> list[Row]:
        """See Spool."""
        found = self._db.execute("SELECT id, key, value FROM results WHERE id > ? ORDER BY id LIMIT ?", (after, most))
        return [Row(*row) for row in found]

    def bounds(self) -> tuple[int, int] | None:
        """See Spool."""
        oldest, newest = self._db.execute("SELECT min(id), max(id) FROM results").fetchone()
        return None if oldest is None else (oldest, newest)

    def used(self) -> int:
        """Give the bytes of the pages in use."""
        return (self._pragma("page_count") - self._pragma("freelist_count")) * self._page

    def close(self) -> None:
        """See Spool."""
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _trim(self, count: int, limit: int) -> int:
        dropped = 0
        while count > dropped and self.used() > limit:
            some = max(1, (count - dropped) // 50)
            oldest = "SELECT id FROM results ORDER BY id LIMIT ?"
            dropped += self._db.execute(f"DELETE FROM results WHERE id IN ({oldest})", (some,)).rowcount  # noqa: S608
        return dropped

    def _give_back(self) -> None:
        """Let the file shrink when most of it is free."""
        if self._pragma("freelist_count") * 2 > self._pragma("page_count") > 256:
            self._db.executescript("PRAGMA incremental_vacuum(256)")  # execute() would free a single page

    def _pragma(self, name: str) -> int:
        value: int = self._db.execute(f"PRAGMA {name}").fetchone()[0]
        return value


class Memory:
    """A substitute for a file, which never fails."""

    def __init__(self) -> None:
        """Make an empty one."""
        self.dropped = 0
        self._rows: dict[int, Row] = {}
        self._bytes = 0

    @property
    def count(self) -> int:
        """See Spool."""
        return len(self._rows)

    def change(self, rows: Iterable[Row], removed: Collection[int], limit: int) -> None:
        """See Spool."""
        for number in removed:
            self._take_out(number)
        for row in rows:
            if row.id not in self._rows:
                self._rows[row.id] = row
                self._bytes += row.size
        while self._bytes > limit:
            self._take_out(next(iter(self._rows)))
            self.dropped += 1

    def read(self, after: int, most: int) -> list[Row]:
        """See Spool."""
        found: list[Row] = []
        for row in self._rows.values():
            if len(found) == most:
                break
            if row.id > after:
                found.append(row)
        return found

    def bounds(self) -> tuple[int, int] | None:
        """See Spool."""
        return (next(iter(self._rows)), next(reversed(self._rows))) if self._rows else None

    def used(self) -> int:
        """See Spool."""
        return self._bytes

    def close(self) -> None:
        """See Spool."""

    def _take_out(self, number: int) -> None:
        row = self._rows.pop(number, None)
        if row is not None:
            self._bytes -= row.size


def is_outbox(path: Path) -> bool:
    """Tell whether a file may be an outbox: a database with no table but ours, or with none yet."""
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.OperationalError:  # it can't be opened now: whoever uses it says why
        return True
    except sqlite3.DatabaseError:
        return False
    return tables <= {"results"}


def is_corrupt(error: Exception) -> bool:
    """Tell whether a file is damaged; a disk that is full or gone is another matter."""
    return isinstance(error, sqlite3.Error) and (getattr(error, "sqlite_errorcode", 0) & 0xFF) in _CORRUPT

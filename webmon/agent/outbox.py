"""The outbox: every result is on disk before it is sent, and leaves when Kafka has acknowledged it.

Results are committed in groups by one thread, so that a check never waits for the disk. The bound is bytes; past it
the oldest go first, counted and logged. A file that is corrupt is set aside for a person; a disk that is full or
broken is replaced by memory until it can be used again. Checks go on either way.

After a commit that failed nobody knows whether it took place. So what it was about is kept until another has succeeded:
results go in once however often they are put in, and what was acknowledged is not handed out again meanwhile.
"""

import contextlib
import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from webmon.agent.spool import Disk, Memory, Row, Spool, is_corrupt
from webmon.daemon import threads
from webmon.errors import UserError

_log = logging.getLogger(__name__)

_GROUP_SECS: Final = 0.1
"""How long the first result of a group waits for others: half of the publisher's pause between two bursts."""
_PENDING_BYTES: Final = 16 << 20
"""Most that may wait in memory for a commit, and most that the substitute in memory may hold."""
_RETRY_SECS: Final = 30.0
"""How often a disk that failed is tried again."""
_REPORT_SECS: Final = 60.0
"""How often dropped results are logged."""
_COMMIT_SECS: Final = 30.0
"""How long a commit may take before the outbox counts as standing still; a disk that is busy takes a few seconds."""
_LAST_TRIES: Final = 3
"""Of a commit at a stop: the file may fail, be set aside, and fail anew."""
_MOMENT: Final = "%Y-%m-%d %H:%M:%S"


class Outbox:
    """Results on their way to Kafka; put by many threads, read and removed by the publisher."""

    def __init__(self, path: Path, limit: int, *, writes: bool = True) -> None:
        """Open the file at `path`, bounded to `limit` bytes, and start to commit.

        Args:
            path: the file.
            limit: bytes that it may use.
            writes: whether a thread commits what is put; else who uses it calls `settle`.

        Raises:
            UserError: the file cannot be there, or another agent has it.
        """
        self.dropped = 0
        """Results that were given up since the start: the outbox was full, or its disk failed for good."""
        self._path = path
        self._limit = limit
        self._lock = threading.Lock()
        """Of the spool; taken before the other."""
        self._changed = threading.Condition()
        """Of what waits for a commit, of what was acknowledged, and of the count of what was dropped."""
        self._pending: deque[Row] = deque()
        self._pending_bytes = 0
        self._gone: set[int] = set()
        """Acknowledged, and still in the file as far as is known: these are not handed out any more."""
        self._count = 0
        """Results in the spool, and how many of those acknowledged are not among them: both of one moment."""
        self._apart = 0
        self._has_news = False
        """Whether something was acknowledged since the last commit began."""
        self._waiting_since: float | None = None
        """When the last commit was, or the first result was put since; None while none waits for one."""
        self._closing = False
        self._retry_at = 0.0
        self._reported = (0, float("-inf"))
        self._claim = self._claim_file()
        self._spool: Spool = Memory()
        self._is_on_disk = True
        self._seen_dropped: int | None = None
        """What the file said last of its dropped results; None before it was opened first."""
        self._in_file = 0
        """Results in the file when it was seen last."""
        self.aside: list[Path] = []
        """Files that were corrupt, as they are kept."""
        self._may_hold = 0
        """The highest id that the file may have: what came later was never put in it."""
        self.opened = 1
        """How often a database was opened; a reader starts anew when it changes, for older rows may be back."""
        self._open_first()
        last = self._spool.bounds()
        self._last_id = last[1] if last else 0
        self._writer = threads.Thread("outbox", self._write)
        if writes:
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
                self._pending_bytes -= self._pending.popleft().size
                self.dropped += 1
            self._changed.notify_all()

    def read(self, after: int, most: int) -> list[Row]:
        """Give the oldest committed rows with an id above `after` that are not acknowledged."""
        with self._lock:
            gone = self._acknowledged()
            try:
                rows = self._spool.read(after, most + len(gone))
            except sqlite3.Error as error:
                self._replace(error)
                return []
            return [row for row in rows if row.id not in gone][:most]

    def remove(self, ids: Sequence[int]) -> None:
        """Forget results that Kafka has acknowledged."""
        with self._changed:
            self._gone.update(ids)
            self._has_news = True
            self._changed.notify_all()

    def __len__(self) -> int:
        """Give how many results wait, those not yet committed included."""
        with self._changed:
            return max(0, self._count - (len(self._gone) - self._apart)) + len(self._pending)

    def span(self) -> tuple[datetime, datetime] | None:
        """Give when the oldest and the newest committed result were put; None where there is none."""
        with self._lock:
            try:
                bounds = self._spool.bounds()
            except sqlite3.Error:
                return None
        return None if bounds is None else _moments(*bounds)

    def used(self) -> int:
        """Give the bytes in use."""
        with self._lock:
            try:
                return self._spool.used()
            except sqlite3.Error:
                return 0

    @property
    def is_on_disk(self) -> bool:
        """Whether results wait in the file, and not in memory because it cannot be used."""
        return self._is_on_disk

    def faults(self) -> list[str]:
        """Tell that the results that wait for a commit get none, neither on disk nor in memory."""
        waits = time.monotonic() - self._waiting_since if self._waiting_since is not None else 0.0
        return [f"outbox: nothing was committed for {waits:.0f} s"] if waits > _COMMIT_SECS else []

    def settle(self) -> bool:
        """Commit what was put and forget what was acknowledged; tell whether that could be done."""
        with self._lock:
            if not self._is_on_disk and time.monotonic() >= self._retry_at:
                self._return_to_disk()
            with self._changed:
                rows, gone = list(self._pending), set(self._gone)
                self._has_news = False
            if not self._commit([row for row in rows if row.id not in gone], gone):
                return False
            with self._changed:
                # They are in the file no more, as what a failure had left open is known now; or were never in it.
                of_file = set() if self._is_on_disk else {number for number in gone if number <= self._may_hold}
                self._gone -= gone - of_file
                self._count, self._apart = self._spool.count, len(of_file)
                for row in rows:
                    # put() may have dropped the oldest meanwhile.
                    if self._pending and self._pending[0].id == row.id:
                        self._pending_bytes -= self._pending.popleft().size
                self._waiting_since = time.monotonic() if self._pending else None
        return True

    def close(self, timeout: float, *, remove_empty: bool = False) -> bool:
        """Commit what is there and close, in so many seconds at most.

        Args:
            timeout: seconds; what is not on disk by then is given up, counted and told.
            remove_empty: remove the file where nothing is left in it, before another may have it.

        Returns:
            Whether everything is on disk, or nothing was there.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._writer.ident is not None:
            self._writer.join(timeout)
        if self._writer.is_alive():
            self._give_up([row.id for row in self._pending], "the disk does not answer")
            return False
        # What a last commit that failed has left goes to what stands in for the file, and from there to the file.
        for _ in range(_LAST_TRIES):
            if self._pending or self._has_news:
                self.settle()
        with self._lock:
            if not self._is_on_disk:
                self._return_to_disk()
            if not self._is_on_disk:
                gone = self._acknowledged()
                waiting = [row.id for row in self._spool.read(0, self._spool.count) if row.id not in gone]
                self._give_up([*waiting, *(row.id for row in self._pending)], "its disk failed")
            is_empty = self.is_on_disk and not self._spool.count
            self._report_dropped(at_once=True)
            self._spool.close()
            self._spool = Memory()  # for who still asks, as a scrape that goes on
            if remove_empty and is_empty:
                for file in (*self._files(), self._lock_path):
                    file.unlink(missing_ok=True)
        os.close(self._claim)
        return self._is_on_disk

    def _acknowledged(self) -> set[int]:
        with self._changed:
            return set(self._gone)

    @property
    def _lock_path(self) -> Path:
        return self._path.with_name(self._path.name + ".lock")

    def _files(self) -> list[Path]:
        return [self._path.with_name(self._path.name + suffix) for suffix in ("", "-wal", "-shm")]

    def _claim_file(self) -> int:
        try:
            if self._path.is_dir():
                raise UserError(f"MONITORING_OUTBOX_PATH {self._path}: is a directory; right would be a file in it")
            claim = os.open(self._lock_path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
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
        if not _is_still(claim, self._lock_path):
            # Whoever drained this outbox has removed both files in this moment.
            os.close(claim)
            return self._claim_file()
        return claim

    def _write(self) -> None:
        while True:
            with self._changed:
                while not (self._pending or self._has_news or self._closing):
                    self._changed.wait()
                closing = self._closing
            if not closing:
                time.sleep(_GROUP_SECS)
            committed = self.settle()
            if closing and (not committed or not (self._pending or self._has_news)):
                return

    def _commit(self, rows: Sequence[Row], gone: set[int]) -> bool:
        if self._is_on_disk:
            self._may_hold = max([self._may_hold, *(row.id for row in rows)])
        try:
            self._spool.change(rows, gone, self._limit if self._is_on_disk else min(self._limit, _PENDING_BYTES))
        except sqlite3.Error as error:
            self._replace(error)
        else:
            self._note_dropped()
            return True
        finally:
            self._report_dropped()
        return False

    def _open_first(self) -> None:
        try:
            self._use(Disk(self._path))
        except (sqlite3.Error, OSError) as error:
            self._go_on_after(error)

    def _replace(self, error: sqlite3.Error) -> None:
        """Go on with another spool after the file has failed."""
        self._spool.close()
        self.opened += 1
        self._go_on_after(error)

    def _go_on_after(self, error: sqlite3.Error | OSError) -> None:
        if is_corrupt(error):
            self._set_aside(error)
            try:
                self._use(Disk(self._path))
            except (sqlite3.Error, OSError) as another:
                error = another
            else:
                return
        self._substitute(error)

    def _use(self, disk: Disk) -> None:
        with self._changed:
            self._spool, self._is_on_disk = disk, True
            self._count, self._apart = disk.count, 0
            self._may_hold = max(self._may_hold, disk.last_id)
        if self._seen_dropped is None:
            self._seen_dropped = disk.dropped
        self._note_dropped()

    def _note_dropped(self) -> None:
        """Count what the spool has dropped since it was seen last."""
        if isinstance(self._spool, Disk):
            self._in_file = self._spool.count
            new, self._seen_dropped = self._spool.dropped - (self._seen_dropped or 0), self._spool.dropped
        else:
            new, self._spool.dropped = self._spool.dropped, 0
        with self._changed:
            self.dropped += new

    def _set_aside(self, error: sqlite3.Error | OSError) -> None:
        aside = self._path.with_name(f"{self._path.name}.corrupt-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        with contextlib.suppress(OSError):
            for file in self._files():
                if file.exists():
                    file.rename(aside.with_name(aside.name + file.name.removeprefix(self._path.name)))
        self.aside.append(aside)
        is_known = self._seen_dropped is not None
        with self._changed:
            lost = max(0, self._in_file - len(self._gone))
            self._count_told(lost)
            self._gone.clear()
        self._in_file, self._seen_dropped = 0, 0
        _log.error(
            "outbox %(file)s is corrupt (%(cause)s): kept as %(aside)s, going on with an empty one; "
            "%(dropped)s that were in it are not sent",
            {
                "file": self._path,
                "cause": error,
                "aside": aside,
                "dropped": f"{lost} results" if is_known else "results",
            },
        )

    def _substitute(self, error: sqlite3.Error | OSError) -> None:
        if self._is_on_disk:
            _log.error(
                "outbox %(file)s can't be used (%(cause)s): results wait in memory, %(megabytes)d MB at most, "
                "until it can",
                {"file": self._path, "cause": error, "megabytes": _PENDING_BYTES >> 20},
            )
        self._retry_at = time.monotonic() + _RETRY_SECS
        with self._changed:
            self._spool, self._is_on_disk = Memory(), False
            self._count, self._apart = 0, len(self._gone)

    def _return_to_disk(self) -> None:
        """Try the file again, and move there what waits in memory; where that fails memory goes on."""
        self._retry_at = time.monotonic() + _RETRY_SECS
        memory = self._spool
        try:
            disk = Disk(self._path)
        except (sqlite3.Error, OSError) as error:
            if not is_corrupt(error):
                return
            self._set_aside(error)
            try:
                disk = Disk(self._path)
            except (sqlite3.Error, OSError):
                return
        try:
            gone = self._acknowledged()
            waiting = memory.read(self._dropped_up_to(disk), memory.count)
            self._may_hold = max([self._may_hold, *(row.id for row in waiting)])
            disk.change([row for row in waiting if row.id not in gone], gone, self._limit)
        except sqlite3.Error as error:
            disk.close()
            if is_corrupt(error):
                self._set_aside(error)
            return
        with self._changed:
            self._gone -= gone
            self._use(disk)
        self.opened += 1
        _log.warning(
            "outbox %(file)s can be used again; %(waiting)d results wait in it",
            {"file": self._path, "waiting": disk.count},
        )

    def _dropped_up_to(self, disk: Disk) -> int:
        """Give the id up to which a commit whose outcome was not known has dropped what still waits here."""
        if disk.dropped == (self._seen_dropped or 0) or (bounds := disk.bounds()) is None:
            return 0
        with self._changed:
            while self._pending and self._pending[0].id < bounds[0]:
                self._pending_bytes -= self._pending.popleft().size
        return bounds[0] - 1

    def _give_up(self, ids: Sequence[int], why: str) -> None:
        """Count and tell what is lost for good."""
        if not ids:
            return
        with self._changed:
            self._count_told(len(ids))
        oldest, newest = _moments(min(ids), max(ids))
        _log.error(
            "outbox %(file)s: %(why)s: %(dropped)d results of %(oldest)s to %(newest)s UTC are lost",
            {
                "file": self._path,
                "why": why,
                "dropped": len(ids),
                "oldest": f"{oldest:{_MOMENT}}",
                "newest": f"{newest:{_MOMENT}}",
            },
        )

    def _count_told(self, dropped: int) -> None:
        """Count results that are given up for a reason that is told for itself."""
        self.dropped += dropped
        reported, at = self._reported
        self._reported = reported + dropped, at

    def _report_dropped(self, *, at_once: bool = False) -> None:
        """Tell what was dropped because there was no room, once a minute at most."""
        reported, at = self._reported
        now = time.monotonic()
        if self.dropped > reported and (at_once or now - at >= _REPORT_SECS):
            full = f"is full (MONITORING_OUTBOX_BYTES {self._limit})"
            if not self._is_on_disk:
                full = f"can't be used, and the {_PENDING_BYTES >> 20} MB of memory in its place are full"
            _log.error(
                "outbox %(file)s %(full)s: dropped the oldest %(dropped)d results",
                {"file": self._path, "full": full, "dropped": self.dropped - reported},
            )
            self._reported = self.dropped, now


def _is_still(descriptor: int, path: Path) -> bool:
    """Tell whether an open file is the one that stands at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _moments(oldest: int, newest: int) -> tuple[datetime, datetime]:
    """Give when results were put, by their ids: the microseconds of that moment, or just after it."""
    return datetime.fromtimestamp(oldest / 1e6, UTC), datetime.fromtimestamp(newest / 1e6, UTC)

"""The collector: one thread that reads a snapshot each PAGE_REFRESH_SECS, and what it has at the moment.

A database that is away, slow or refuses us leaves the last snapshot, with its age and the reason; none of them ends the
process. A view takes what is there, and waits for nothing.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import connection as Connection  # noqa: N812

from webmon.daemon import threads
from webmon.daemon.outage import Outage
from webmon.errors import UserError
from webmon.page.cache import Cache
from webmon.page.memory import Memory
from webmon.page.snapshot import Look, Snapshot
from webmon.settings import PageSettings
from webmon.store import postgres, reader
from webmon.store.names import Tables
from webmon.store.postgres import DatabaseAwayError

_log = logging.getLogger(__name__)

STATEMENT_SECS: Final = 30.0
"""After which the database gives a statement up."""
FIRST_TIMES: Final = 4
"""How many times as long it has for the first snapshot of a session, which reads all of a year."""
SILENT_SECS: Final = 10.0
"""How much longer a database may say nothing before its connection is given up."""
SLOW_SECS: Final = 10.0
"""A refresh that takes longer is told to operators while it lasts."""
KEEP_SECS: Final = 30.0
"""From one snapshot on disk to the next; of a large one so much for each MB, which is 3 GB a day at most."""
_LOOK_SECS: Final = 1.0


class Collector:
    """Reads snapshots; any thread may ask what there is."""

    def __init__(
        self,
        settings: PageSettings,
        *,
        statement_secs: float = STATEMENT_SECS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the settings; nothing is read, and no thread runs yet."""
        self._settings = settings
        self._statement_secs = statement_secs
        self._bound = statement_secs
        """Of the refresh that runs."""
        self._clock = clock
        self._tables = Tables(settings.postgres.table)
        self._cache = Cache(settings.page.cache_path)
        self._memory = Memory(settings.page.refresh_secs)
        self._connection: Connection | None = None
        self._look = Look()
        self._keep_from = clock()
        """When the next snapshot is written to the disk."""
        self._began: float | None = None
        """When the refresh that runs began."""
        self._stop = threading.Event()
        self._away = Outage("no new snapshot", "snapshots are new again")
        self._threads = (threads.Thread("collector", self._run), threads.Thread("database", self._watch))
        self.turned_at = clock()
        """When a refresh last ended, well or not."""
        self.refreshes = self.failures = 0
        self.statements = 0
        """Of the last refresh."""
        self.seconds = float("nan")
        """Of the last refresh."""
        self.seconds_sum = 0.0

    @property
    def look(self) -> Look:
        """What there is; a refresh that lasts long is told as trouble."""
        look, began = self._look, self._began
        if began is None or look.trouble or self._clock() - began <= SLOW_SECS:
            return look
        waited = self._clock() - began
        since = datetime.fromtimestamp(time.time() - waited, UTC)
        where = postgres.place(self._settings.postgres)
        return msgspec.structs.replace(
            look, trouble=f"{where}: no answer for {waited:.0f} s, and the snapshot waits for it", trouble_since=since
        )

    def start(self) -> None:
        """Take the snapshot of the disk, and begin."""
        self.recall()
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """End; a statement that lasts longer than the timeout is given up."""
        self._stop.set()
        if self._threads[0].is_alive():
            self._threads[0].join(timeout)
        if self._threads[0].is_alive():
            self._interrupt()
            self._threads[0].join(timeout)
        else:
            self._close()

    def is_alive(self) -> bool:
        """Tell whether the thread turns: a database that is away is no fault of ours, and no restart mends it."""
        most = self._settings.page.refresh_secs + 2 * FIRST_TIMES * self._statement_secs + 2 * SILENT_SECS
        return self._threads[0].is_alive() and self._clock() - self.turned_at <= most

    def recall(self) -> None:
        """Take the snapshot of the disk, where there is one."""
        snapshot = self._cache.read()
        if snapshot is not None:
            self._look = Look(snapshot=snapshot, from_disk=True, number=1)
            _log.info("showing the snapshot of %s until there is a new one", snapshot.as_of.isoformat(" ", "seconds"))

    def refresh(self) -> bool:
        """Read a snapshot; tell whether that went well. Why not stands in `look`, and is logged when it begins."""
        began = self._began = self._clock()
        try:
            snapshot = self._read()
        except UserError as error:
            self._fails(str(error), lasting=True)
        except DatabaseAwayError as error:
            self._fails(str(error))
        except psycopg2.Error as error:
            explained = postgres.explain(error, self._settings.postgres)
            if error.pgcode == errorcodes.QUERY_CANCELED:
                # It is there, and slow: what was read already counts.
                self._fails(str(explained), keeps_connection=True)
                return False
            self._fails(str(explained), lasting=isinstance(explained, UserError))
        except Exception as error:  # noqa: BLE001
            # What was read last is still true, and a bug of ours must not take it away.
            _log.exception("a bug in webmon: the snapshot was not read")
            self._fails(f"a bug in webmon: {type(error).__name__}")
        else:
            self._away.ends()
            fault = snapshot.history.fault if snapshot.history else ""
            trouble = f"the history of alarms holds what can't be read: {fault}" if fault else ""
            self._look = Look(snapshot=snapshot, number=self._look.number + 1, trouble=trouble)
            self._keep(snapshot)
            return True
        finally:
            self._began = None
            self.turned_at = self._clock()
            self.seconds = self.turned_at - began
            self.seconds_sum += self.seconds
            self.refreshes += 1
        return False

    def _run(self) -> None:
        while not self._stop.is_set():
            began = self._clock()
            went_well = self.refresh()
            rest = self._settings.page.refresh_secs - (self._clock() - began)
            if not went_well:
                rest = min(max(rest, 0.0), self._away.next_wait())
            self._stop.wait(max(rest, 0.1))
        snapshot = self._look.snapshot
        if snapshot is not None and not self._look.from_disk:
            self._cache.write(snapshot)
        self._close()

    def _watch(self) -> None:
        """Give up the connection of a database that says nothing: it would have ended the statement itself."""
        while not self._stop.wait(_LOOK_SECS):
            began = self._began
            # Each of the statements may take its time, and few take any.
            if began is not None and self._clock() - began > 2 * self._bound + SILENT_SECS:
                self._interrupt()

    def _read(self) -> Snapshot:
        if self._connection is None or self._connection.closed:
            self._connection = postgres.connect(self._settings.postgres, application="webmon-page", autocommit=False)
            reader.prepare(self._connection)
            # Another database may be behind the same name by now.
            self._memory = Memory(self._settings.page.refresh_secs)
            self._bound = self._statement_secs * FIRST_TIMES
        with reader.moment(self._connection, self._tables, statement_secs=self._bound) as session:
            try:
                found = self._memory.read(session)
            finally:
                self.statements = session.statements
        self._bound = self._statement_secs
        return found

    def _fails(self, reason: str, *, lasting: bool = False, keeps_connection: bool = False) -> None:
        self.failures += 1
        self._away.begins(reason, lasting=lasting)
        since = self._look.trouble_since or datetime.now(UTC)
        self._look = msgspec.structs.replace(self._look, trouble=" ".join(reason.split()), trouble_since=since)
        if not keeps_connection:
            self._close()

    def _keep(self, snapshot: Snapshot) -> None:
        if self._clock() >= self._keep_from:
            self._cache.write(snapshot)
            self._keep_from = self._clock() + KEEP_SECS * max(1.0, self._cache.bytes / 1e6)

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg2.Error):
                connection.close()

    def _interrupt(self) -> None:
        connection = self._connection
        if connection is not None:
            postgres.interrupt(connection)

"""What a sink does beside the rows: a thread with a session of its own, quiet while the database is away."""

import abc
import contextlib
import logging
import threading
import time
from typing import Final

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from webmon.daemon import threads
from webmon.errors import UserError
from webmon.settings import Postgres
from webmon.store import postgres
from webmon.store.names import Tables
from webmon.store.postgres import DatabaseAwayError

_log = logging.getLogger(__name__)

_SHARE: Final = 3
"""Rest as a multiple of the last pass, so that much to do leaves the database to the sinks."""
_AWAY_SECS: Final = 15.0
"""Rest after a failure."""
_SESSION: Final = """
SET statement_timeout = '{secs}s';
SET idle_in_transaction_session_timeout = '{secs}s';
SET TIME ZONE 'UTC';
"""


class Worker(abc.ABC):
    """Makes one pass after the other; what one of them does stands in a subclass."""

    def __init__(self, name: str, settings: Postgres, *, pass_secs: float, statement_secs: int) -> None:
        """Take what it is; nothing is connected and no thread runs yet.

        Args:
            name: of the thread and the session, and what the log calls it.
            settings: the way to the database.
            pass_secs: the rest between two passes.
            statement_secs: bound of one statement.
        """
        self._name = name
        self._settings = settings
        self._tables = Tables(settings.table)
        self._pass_secs = pass_secs
        self._statement_secs = statement_secs
        self._connection: Connection | None = None
        self._stop = threading.Event()
        self._thread = threads.Thread(name, self._run)
        self.passed_at: float | None = None
        """When a pass last ended without a failure (time.monotonic)."""
        self.fault: str | None = None
        """Why the last pass failed, in one line; None where it did not."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def stop(self, timeout: float) -> None:
        """End within so many seconds; a pass that is cut off changes nothing."""
        self._stop.set()
        connection = self._connection
        if connection is not None and not connection.closed:
            # It may have ended meanwhile.
            with contextlib.suppress(psycopg2.Error):
                connection.cancel()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    @abc.abstractmethod
    def _pass(self) -> None:
        """Do what there is to do; may raise psycopg2.Error, DatabaseAwayError and UserError."""

    def _run(self) -> None:
        rest = self._pass_secs
        while not self._stop.wait(rest):
            began = time.monotonic()
            try:
                self._pass()
            except (psycopg2.Error, DatabaseAwayError, UserError) as error:
                if self._stop.is_set():
                    break  # it is stop() that cut it off
                self._failed(error)
                rest = max(_AWAY_SECS, self._pass_secs)
            else:
                self.fault = None
                self.passed_at = time.monotonic()
                rest = max(self._pass_secs, _SHARE * (self.passed_at - began))
        self._close()

    def _open(self) -> Connection:
        if self._connection is None:
            connection = postgres.connect(self._settings, application=f"webmon-sink-{self._name}", autocommit=False)
            self._connection = connection
            with connection, connection.cursor() as cursor:
                cursor.execute(_SESSION.format(secs=self._statement_secs))
        return self._connection

    def _failed(self, error: Exception) -> None:
        """Note a failure: the sink itself tells of a database that is away, so only what else it is goes to the log."""
        if isinstance(error, psycopg2.Error):
            error = postgres.explain(error, self._settings)
        line = str(error)
        if line != self.fault:
            level = logging.WARNING if isinstance(error, UserError) else logging.DEBUG
            _log.log(level, "%s: waiting: %s", self._name, line)
        self.fault = line
        self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

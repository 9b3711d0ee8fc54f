"""The worker of a sink that keeps the rollups: a thread with a session of its own, quiet while the database is away."""

import contextlib
import logging
import threading
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg2
from prometheus_client.core import Metric
from psycopg2.extensions import connection as Connection  # noqa: N812

from webmon.daemon import threads
from webmon.daemon.metrics import age, counter, gauge
from webmon.errors import UserError
from webmon.settings import Postgres
from webmon.store import postgres
from webmon.store.names import Tables
from webmon.store.postgres import DatabaseAwayError
from webmon.store.rollups import Aside, Bucket, BucketError, roll_up

_log = logging.getLogger(__name__)

PASS_SECS: Final = 2.0
"""Rest between two looks at the marks."""
_SHARE: Final = 3
"""Rest as a multiple of the last pass, so that a backlog's rollups leave the database to the sinks."""
_AWAY_SECS: Final = 15.0
"""Rest after a failure."""
_STATEMENT_SECS: Final = 120
_RUNNING_SECS: Final = 60.0
_RUNNING_MARKS: Final = 10_000
"""The hour that runs is marked all the time, so whoever reads it computes it from its rows. It is rolled up early, and
at most once in _RUNNING_SECS, only where so many marks are there that reading them would cost."""

_SESSION: Final = f"""
SET statement_timeout = '{_STATEMENT_SECS}s';
SET idle_in_transaction_session_timeout = '{_STATEMENT_SECS}s';
SET TIME ZONE 'UTC';
"""
_NAMED: Final = "SELECT agent FROM {agents} WHERE id = %s"
_MANY: Final = "SELECT count(*) FROM (SELECT FROM {marks} LIMIT %s) AS waiting"


class Rollups:
    """A thread that rolls up what the sinks marked; of several sinks one at a time does it."""

    def __init__(self, settings: Postgres, *, pass_secs: float = PASS_SECS) -> None:
        """Take the settings and the rest between two looks; nothing is connected and no thread runs yet."""
        self._settings = settings
        self._tables = Tables(settings.table)
        self._pass_secs = pass_secs
        self._connection: Connection | None = None
        self._stop = threading.Event()
        self._thread = threads.Thread("rollups", self._run)
        self._running_at = time.monotonic() + _RUNNING_SECS
        self.rolled = 0
        """Buckets (hours of an agent) rolled up since the start."""
        self._aside = Aside()
        self.passed_at: float | None = None
        """When the marks were last looked at without a failure (time.monotonic)."""
        self.fault: str | None = None
        """Why the last look failed, in one line; None where it did not."""

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def metrics(self) -> Iterator[Metric]:
        """Give how far it is; any thread may ask."""
        yield counter("webmon_sink_rollups_total", "Hours of an agent that were rolled up", self.rolled)
        failed = "Hours of an agent that cannot be rolled up for what is in them, and are tried again later"
        yield gauge("webmon_sink_rollups_failed", failed, len(self._aside))
        looked = "Time since the worker last looked for rollups to do"
        yield gauge("webmon_sink_rollups_age_seconds", looked, age(self.passed_at))

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

    def _pass(self) -> None:
        """Roll up every closed hour that is marked, and the one that runs where it has become costly to read."""
        connection = self._open()
        before = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        if time.monotonic() >= self._running_at:
            self._running_at = time.monotonic() + _RUNNING_SECS
            with connection, connection.cursor() as cursor:
                cursor.execute(self._tables.fill(_MANY, with_values=True), (_RUNNING_MARKS,))
                if cursor.fetchone() == (_RUNNING_MARKS,):
                    # Checks may be up to an hour ahead.
                    before += timedelta(hours=3)

        def roll(most: int, aside: Collection[Bucket]) -> int | None:
            return roll_up(connection, self._tables, before=before, most=most, aside=aside)

        def tell(error: BucketError) -> None:
            _tell(connection, self._tables, error)

        for rolled in self._aside.roll_up_all(roll, tell, lambda: not self._stop.is_set()):
            self.rolled += rolled

    def _open(self) -> Connection:
        if self._connection is None:
            connection = postgres.connect(self._settings, application="webmon-sink-rollups", autocommit=False)
            self._connection = connection
            with connection, connection.cursor() as cursor:
                cursor.execute(_SESSION)
        return self._connection

    def _failed(self, error: Exception) -> None:
        """Note a failure: the sink itself tells of a database that is away, so only what else it is goes to the log."""
        if isinstance(error, psycopg2.Error):
            error = postgres.explain(error, self._settings)
        line = str(error)
        if line != self.fault:
            level = logging.WARNING if isinstance(error, UserError) else logging.DEBUG
            _log.log(level, "rollups wait: %s", line)
        self.fault = line
        self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _tell(connection: Connection, tables: Tables, error: BucketError) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(tables.fill(_NAMED, with_values=True), (error.bucket.agent_id,))
        row = cursor.fetchone()
    agent = row[0] if row else f"number {error.bucket.agent_id}"
    _log.warning(
        "rollups: the hour of %(hour)s of the agent %(agent)s cannot be rolled up, and is tried again later: %(cause)s",
        {"hour": f"{error.bucket.hour.astimezone(UTC):%Y-%m-%d %H:%M} UTC", "agent": agent, "cause": error},
    )

"""Results into the database, once each: COPY to a table of the session, then one statement that adds what is new."""

import io
import logging
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import psycopg2
from prometheus_client.core import Metric
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from webmon.check.result import CheckResult
from webmon.errors import UserError
from webmon.kafka import bugs
from webmon.settings import Postgres
from webmon.sink import rows
from webmon.sink.dimensions import Dimensions
from webmon.store import postgres, version
from webmon.store.names import Tables
from webmon.store.postgres import DatabaseAwayError

log = logging.getLogger(__name__)

STATEMENT_SECS: Final = 30
"""Bound of one statement: a server that hangs is noticed, and the watchdog is not kept waiting."""
_CONFLICT_TRIES: Final = 5
_HALVING_SECS: Final = 2.0
"""How long a batch is halved to the last result. After that results of one agent that are refused together are set
aside together: who sends thousands that do not fit must not hold up the others."""
_BOTTOM: Final = "SELECT max(floor) FROM {floors} WHERE kind = 'rows'"
_OF_NO_RESULT: Final = (UserError, DatabaseAwayError, OSError, MemoryError)
"""What no content of a result brings about."""

SESSION: Final = """
SET statement_timeout = '{statement_secs}s';
SET TIME ZONE 'UTC';
CREATE TEMPORARY TABLE IF NOT EXISTS webmon_incoming (LIKE {metrics}, answer text, error text);
"""
# An INSERT holds a lock on its table to the end of the transaction, and its snapshot is taken when it has that: so
# `webmon retention`, which keeps all INSERTs away meanwhile, can't raise the floor between our look at it and our rows.
# Rows are sorted by the key, so that two sinks that add the same ones can't wait for each other. Marks come in the same
# statement, so that nobody ever sees the rows without them.
ADD_NEW: Final = """
WITH bottom AS (
    SELECT max(floor) AS floor FROM {floors} WHERE kind = 'rows'
), added AS (
    INSERT INTO {metrics} ({columns})
    SELECT {columns} FROM webmon_incoming
    WHERE time >= coalesce((SELECT floor FROM bottom), '-infinity')
    ORDER BY series_id, time
    ON CONFLICT (series_id, time) DO NOTHING
    RETURNING series_id, time
), explained AS (
    INSERT INTO {errors} (series_id, time, answer, error)
    SELECT series_id, time, answer, error
    FROM added JOIN webmon_incoming USING (series_id, time)
    WHERE answer IS NOT NULL OR error IS NOT NULL
    ORDER BY series_id, time
    ON CONFLICT DO NOTHING
), marked AS (
    INSERT INTO {marks} (hour, agent_id)
    SELECT DISTINCT touched.hour, s.agent_id
    FROM (SELECT DISTINCT date_trunc('hour', time, 'UTC') AS hour, series_id FROM added) AS touched
    JOIN {series} AS s ON s.id = touched.series_id
)
SELECT (SELECT count(*) FROM added), (SELECT floor FROM bottom)
"""


class Stored(NamedTuple):
    """What became of a batch."""

    added: int
    """Rows that are new."""
    repeats: int
    """Results that were there already."""
    refused: list[tuple[int, str]]
    """Those whose content the database does not take: place in the batch, and the reason."""


class Writer:
    """One session with the database, made when it is needed and again when it is lost."""

    def __init__(
        self,
        settings: Postgres,
        *,
        tick: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the settings, what to call before each statement, and a clock in seconds; nothing is connected yet."""
        self._settings = settings
        self._tick = tick
        self._clock = clock
        self._floor: datetime | None = None
        """Below it nothing was taken when we looked last."""
        self._tables = Tables(settings.table)
        self._connection: Connection | None = None
        self._dimensions = Dimensions(self._execute)

    def check(self) -> None:
        """Connect, and see that the tables are those of this release.

        Raises:
            UserError: waiting will not mend it.
            DatabaseAwayError: not there now.
        """
        self._guarded(self._open)

    def store(self, results: Sequence[CheckResult]) -> Stored:
        """Add what is new; a result that is there already, or twice in the batch, changes nothing.

        When it raises, part of the batch may be stored: give the same batch again.

        Raises:
            UserError: the tables or the rights are not as init leaves them.
            DatabaseAwayError: not there now, or too slow.
        """
        refused: list[tuple[int, str]] = []
        added = self._guarded(lambda: self._add_what_fits(list(enumerate(results)), refused))
        return Stored(added, len(results) - len(refused) - added, sorted(refused))

    def metrics(self) -> Iterator[Metric]:
        """Give how many names the store holds; any thread may ask."""
        return self._dimensions.metrics()

    def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        # The next session may find another database behind the same name.
        self._dimensions.forget()

    def interrupt(self) -> None:
        """End the wait for a server that says nothing, from another thread; the statement fails as of a lost one.

        The bounds of STATEMENT_SECS and of the network do not hold for a server that is stopped while its kernel runs.
        """
        connection = self._connection
        if connection is not None:
            postgres.interrupt(connection)

    def _undo(self, connection: Connection) -> None:
        connection.rollback()
        # The rows behind numbers that were just given may be gone with it.
        self._dimensions.forget()

    def _guarded(self, action: Callable[[], Any]) -> Any:
        try:
            return action()
        except psycopg2.Error as error:
            self.close()
            raise postgres.explain(error, self._settings) from error
        except (UserError, DatabaseAwayError):
            self.close()
            raise

    def _open(self) -> Connection:
        if self._connection is not None:
            return self._connection
        connection = postgres.connect(self._settings, application="webmon-sink", autocommit=self._settings.autocommit)
        self._connection = connection
        with connection.cursor() as cursor:
            version.require(cursor, self._tables, self._settings)
            self._execute(cursor, SESSION, statement_secs=sql.SQL(str(STATEMENT_SECS)))
            self._execute(cursor, _BOTTOM)
            (self._floor,) = cursor.fetchone() or (None,)
        connection.commit()
        return connection

    def _execute(
        self, cursor: Cursor, statement: str, values: Sequence[Any] | None = None, **parts: sql.Composable
    ) -> None:
        self._tick()
        cursor.execute(self._tables.fill(statement, with_values=values is not None, **parts), values)

    def _add_what_fits(self, indexed: list[tuple[int, CheckResult]], refused: list[tuple[int, str]]) -> int:
        """Add results, but for those that bring no row: so they bring no name of a target or a series either."""
        connection = self._open()
        if self._floor is not None:
            indexed = self._refuse_old(indexed, refused, self._floor)
        if self._dimensions.has_an_agent_over:
            with connection.cursor() as cursor:
                over = self._dimensions.over(cursor, [result for _, result in indexed])
            connection.commit()
            refused.extend((indexed[place][0], reason) for place, reason in over.items())
            indexed = [one for place, one in enumerate(indexed) if place not in over]
        return self._add_all(indexed, refused, self._clock() + _HALVING_SECS)

    def _refuse_old(
        self, indexed: list[tuple[int, CheckResult]], refused: list[tuple[int, str]], floor: datetime
    ) -> list[tuple[int, CheckResult]]:
        reason = f"older than the rows that are kept, which begin with {floor.isoformat()}"
        refused.extend((place, reason) for place, result in indexed if result.time < floor)
        return [(place, result) for place, result in indexed if result.time >= floor]

    def _add_all(self, indexed: list[tuple[int, CheckResult]], refused: list[tuple[int, str]], until: float) -> int:
        """Add results; where one cannot be stored for what is in it, find it by halving.

        So it is with a bug of ours that one of them meets, too.
        """
        if not indexed:
            return 0
        try:
            added, self._floor = self._add([result for _, result in indexed])
        except _OF_NO_RESULT:
            raise
        except Exception as error:
            is_content = postgres.is_content_fault(error)
            if isinstance(error, psycopg2.Error) and not is_content:
                raise
            self._undo(self._open())
            reason = " ".join(str(error).split()) if is_content else bugs.tell(error)
            if len(indexed) == 1:
                refused.append((indexed[0][0], reason))
                return 0
        else:
            if self._floor is not None:
                self._refuse_old(indexed, refused, self._floor)
            return added
        if self._clock() >= until:
            agents = {result.agent for _, result in indexed}
            if len(agents) == 1:
                together = f"refused with others of the same agent, and not tried alone as they are too many: {reason}"
                refused.extend((place, together) for place, _ in indexed)
                return 0
            # Agents apart, so that what is set aside is of one that is to blame.
            indexed = sorted(indexed, key=lambda one: one[1].agent)
        middle = len(indexed) // 2
        return self._add_all(indexed[:middle], refused, until) + self._add_all(indexed[middle:], refused, until)

    def _add(self, results: Sequence[CheckResult]) -> tuple[int, datetime | None]:
        """Add results; give how many are new, and the time below which none were taken."""
        for attempt in range(1, _CONFLICT_TRIES + 1):
            connection = self._open()
            try:
                with connection.cursor() as cursor:
                    ids = self._dimensions.look_up(cursor, results)
                    # Before the commit: what has no place in its column brings no name either.
                    packed = rows.binary(zip(results, ids, strict=True))
                    # So that other sinks don't wait for our batch to end where they add the same names.
                    connection.commit()
                    added = self._copy_and_add(cursor, packed)
                connection.commit()
            except psycopg2.Error as error:
                if not postgres.is_conflict(error) or attempt == _CONFLICT_TRIES:
                    raise
                log.info("the database asks to try again: %s", " ".join(str(error).split()))
                self._undo(connection)
                time.sleep(random.uniform(0, 0.1) * attempt)  # noqa: S311 - to step out of each other's way
            else:
                return added
        raise AssertionError  # the last attempt returns or raises

    def _copy_and_add(self, cursor: Cursor, packed: bytes) -> tuple[int, datetime | None]:
        names = sql.SQL(", ").join(map(sql.Identifier, rows.COLUMNS))
        self._execute(cursor, "TRUNCATE webmon_incoming")
        copy = sql.SQL("COPY webmon_incoming ({columns}, answer, error) FROM STDIN (FORMAT binary)")
        self._tick()
        cursor.copy_expert(copy.format(columns=names), io.BytesIO(packed))
        self._execute(cursor, ADD_NEW, columns=names)
        row = cursor.fetchone()
        assert row is not None
        return int(row[0]), row[1]

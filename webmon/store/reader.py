"""One look at the store: a session that only reads, in which every statement sees the same moment."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from webmon.settings import ReportSettings
from webmon.store import postgres, version
from webmon.store.names import Tables

# To compile these statements takes longer than to run them. And where processes share one that asks a view several
# times, as of a span that is marked here and there, TimescaleDB (2.19.3, PostgreSQL 17) leaves out chunks: a parallel
# ChunkAppend with an InitPlan inside a Parallel Append.
_SESSION: Final = "SET jit = off; SET max_parallel_workers_per_gather = 0; SET TIME ZONE 'UTC'"
_SOME: Final = 5000
"""Rows that are made into Python's objects at once."""


class Session:
    """What a report may do with the store."""

    def __init__(self, cursor: Cursor, tables: Tables) -> None:
        """Take a cursor in an open transaction, and the names."""
        self._cursor = cursor
        self._tables = tables
        self.statements = 0
        """How many were run."""

    def rows(
        self, statement: str, values: Sequence[Any] | dict[str, Any] | None = None, **parts: sql.Composable
    ) -> list[tuple[Any, ...]]:
        """Run a statement with the names of webmon.store.names in its braces; give what it found."""
        return list(self.each(statement, values, **parts))

    def each(
        self, statement: str, values: Sequence[Any] | dict[str, Any] | None = None, **parts: sql.Composable
    ) -> Iterator[tuple[Any, ...]]:
        """Run a statement as `rows` does; give row by row what may be many."""
        self.statements += 1
        self._cursor.execute(self.fill(statement, with_values=values is not None, **parts), values)
        while some := self._cursor.fetchmany(_SOME):
            yield from some

    def fill(self, statement: str, *, with_values: bool = False, **parts: sql.Composable) -> sql.Composed:
        """Put names and other parts in a statement's places, as webmon.store.names does."""
        return self._tables.fill(statement, with_values=with_values, **parts)

    def now(self) -> datetime:
        """Give the time, UTC, by the database's clock: the one that this look's statements have too."""
        ((now,),) = self.rows("SELECT now()")
        assert isinstance(now, datetime)
        return now


@contextlib.contextmanager
def look(settings: ReportSettings, command: str) -> Iterator[Session]:
    """Open a session for a command, and close it.

    Raises:
        UserError: the database is not there or refuses us, or its schema is older than this release.
    """
    tables = Tables(settings.postgres.table)
    with postgres.session(settings.postgres, application=f"webmon-{command}", autocommit=False) as connection:
        prepare(connection)
        with connection.cursor() as cursor:
            cursor.execute(_SESSION)
            version.require(cursor, tables, settings.postgres)
            yield Session(cursor, tables)


def prepare(connection: Connection) -> None:
    """Have each transaction of a session only read, and see one moment."""
    # Marks, rollups and rows fit together only as of one moment.
    connection.set_session(isolation_level="REPEATABLE READ", readonly=True, autocommit=False)


@contextlib.contextmanager
def moment(connection: Connection, tables: Tables, *, statement_secs: float) -> Iterator[Session]:
    """Give one transaction of a session that was prepared, and end it.

    Args:
        connection: it stays open.
        tables: the set of tables.
        statement_secs: after which the database gives a statement up.

    Raises:
        psycopg2.Error: the database refused, or is away.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(f"{_SESSION}; SET statement_timeout = {round(statement_secs * 1000)}")
        yield Session(cursor, tables)

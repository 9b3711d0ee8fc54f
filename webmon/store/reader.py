"""One look at the store: a session that only reads, in which every statement sees the same moment."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from webmon.settings import ReportSettings
from webmon.store import postgres, version
from webmon.store.names import Tables

_AT_ONCE: Final = 5_000
"""Rows that a stream holds."""
_numbers: Final = itertools.count()


class Session:
    """What a report may do with the store."""

    def __init__(self, cursor: Cursor, tables: Tables) -> None:
        """Take a cursor in an open transaction, and the names."""
        self._cursor = cursor
        self._tables = tables

    def rows(
        self, statement: str, values: Sequence[Any] | dict[str, Any] | None = None, **parts: sql.Composable
    ) -> list[tuple[Any, ...]]:
        """Run a statement with the names of webmon.store.names in its braces; give what it found."""
        self._cursor.execute(self.fill(statement, with_values=values is not None, **parts), values)
        return self._cursor.fetchall()

    def fill(self, statement: str, *, with_values: bool = False, **parts: sql.Composable) -> sql.Composed:
        """Put names and other parts in a statement's places, as webmon.store.names does."""
        return self._tables.fill(statement, with_values=with_values, **parts)

    def stream(self, statement: str, values: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
        """Run a statement as `rows` does, and give what it finds piece by piece: it may be more than memory holds."""
        with self._cursor.connection.cursor(f"webmon_{next(_numbers)}") as cursor:
            cursor.itersize = _AT_ONCE
            cursor.execute(self.fill(statement, with_values=True), values)
            yield from cursor

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
    with postgres.session(
        settings.postgres, application=f"webmon-{command}", autocommit=False, reads_only=True
    ) as connection:
        # Marks, rollups and rows fit together only as of one moment.
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            # To compile these statements takes longer than to run them.
            cursor.execute("SET jit = off; SET TIME ZONE 'UTC'")
            version.require(cursor, tables, settings.postgres)
            yield Session(cursor, tables)

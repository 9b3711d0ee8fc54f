"""Whether the store's schema is there and new enough for this release."""

from typing import Final

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from webmon.errors import UserError
from webmon.settings import Postgres
from webmon.store import postgres
from webmon.store.names import Tables

SCHEMA_VERSION: Final = 9
"""The newest schema file (webmon/store/schema): what sink, retention, alarm and reports need to find."""


def current(cursor: Cursor, tables: Tables) -> int | None:
    """Give the version that the database is at; None before the first schema file.

    Raises:
        psycopg2.Error: without the tables, or without the right to look.
    """
    cursor.execute(tables.fill("SELECT max(version) FROM {migrations}"))
    row = cursor.fetchone()
    return row[0] if row else None


def require(cursor: Cursor, tables: Tables, settings: Postgres) -> None:
    """Return where this release can work with the schema: with a newer one it can, as it was made to.

    Raises:
        UserError: the schema is older.
        psycopg2.Error: as with `current`.
    """
    found = current(cursor, tables)
    if found is None or found < SCHEMA_VERSION:
        raise UserError(
            f"{postgres.place(settings)}: the schema of {tables.metrics} is at version {found}, "
            f"and this webmon needs {SCHEMA_VERSION}: run `webmon init` of this release"
        )

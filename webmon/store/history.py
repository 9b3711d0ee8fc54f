"""The tables of alarms: their columns, the statement that brings a row of each up to date, and what goes when.

What the columns mean stands in webmon/store/schema and, for people, in docs/alarms.md.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final

from psycopg2.extensions import connection as Connection  # noqa: N812

from webmon.store.names import Tables

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "episodes": (
        *("id", "condition", "subject", "severity", "since", "opened", "ended", "closed", "reason", "url", "labels"),
        *("detail", "seen", "voters", "days", "not_after", "held", "under", "late", "ack_by", "ack_at", "ack_note"),
    ),
    "notices": ("id", "episode", "channel", "event", "step", "made", "due", "state", "at"),
    "silences": ("id", "match", "begins", "until", "by", "reason"),
    "maintenance": ("id", "name", "match", "begins", "until", "by", "reason", "public"),
    "announcements": ("id", "title", "text", "begins", "until", "by", "episode"),
}
"""Of each table whose rows come from the log; the first is the key."""
POSITION: Final = ("topic_id", "next_offset", "epoch", "written")
"""Of the one row of `alarm_position`."""

_OVER: Final = {
    # With their episodes; and those whose episode never came.
    "notices": """
    FROM {notices} AS old WHERE old.due < %(before)s AND NOT EXISTS (
        SELECT FROM {episodes} AS e WHERE e.id = old.episode AND (e.closed IS NULL OR e.closed >= %(before)s)
    )
    """,
    "episodes": "FROM {episodes} WHERE closed < %(before)s",
    **{what: f"FROM {{{what}}} WHERE until < %(before)s" for what in ("silences", "maintenance", "announcements")},
}
"""What is over before a moment; in the order in which it goes."""


@dataclasses.dataclass(frozen=True)
class Over:
    """Rows of a table of alarms that go."""

    table: str
    count: int

    def __str__(self) -> str:
        """Give it as a line for people."""
        return f"{self.table}: {self.count} that are over"


def remove(connection: Connection, tables: Tables, *, before: datetime, dry_run: bool) -> Iterator[Over]:
    """Remove what was over before a moment; give each table of which something is gone, or would be.

    Raises:
        psycopg2.Error: the database refused, or is away.
    """
    verb = "SELECT" if dry_run else "DELETE"
    for what, which in _OVER.items():
        with connection, connection.cursor() as cursor:
            cursor.execute(tables.fill(f"{verb} {which}", with_values=True), {"before": before})
            count = cursor.rowcount
        if count:
            yield Over(tables.name(what), count)


def upsert(table: str) -> str:
    """Give the statement for psycopg2's execute_values that adds rows of a table, or brings them up to date."""
    key, *others = COLUMNS[table]
    values = ", ".join(f"{column} = excluded.{column}" for column in others)
    return (
        f"INSERT INTO {{{table}}} ({', '.join(COLUMNS[table])}) VALUES %s"  # noqa: S608 - names of ours
        f" ON CONFLICT ({key}) DO UPDATE SET {values}"
    )

"""The tables of alarms as they are written: their columns, and the statement that brings a row of each up to date.

What the columns mean stands in webmon/store/schema and, for people, in docs/alarms.md.
"""

from collections.abc import Mapping
from typing import Final

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


def upsert(table: str) -> str:
    """Give the statement for psycopg2's execute_values that adds rows of a table, or brings them up to date."""
    key, *others = COLUMNS[table]
    values = ", ".join(f"{column} = excluded.{column}" for column in others)
    return (
        f"INSERT INTO {{{table}}} ({', '.join(COLUMNS[table])}) VALUES %s"  # noqa: S608 - names of ours
        f" ON CONFLICT ({key}) DO UPDATE SET {values}"
    )

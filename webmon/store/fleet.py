"""The table of the fleet: how each agent and sink is, as it said last. Sinks write it, the operator's page shows it.

An agent can only say how it is itself: its name is that of its results. A row of it is there only beside its row in
`agents`, so that who brings ever new names brings no more of these. What the columns mean stands in the schema.
"""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg2.extensions import connection as Connection  # noqa: N812

from webmon.store.names import Tables

REASON_LIMIT: Final = 500
"""Characters of the reason of a dead letter."""
GONE: Final = timedelta(days=30)
"""After which a row that nobody brought up to date goes: its agent or sink is there no more."""

# Columns beside kind and name.
OF_AGENTS: Final = ("at", "version", "waiting", "certificate_ends")
OF_SINKS: Final = (*OF_AGENTS, "since", "stored_at", "dead_letters", "dead_letter_at", "dead_letter_reason")
_KEPT: Final = ("stored_at", "dead_letter_at", "dead_letter_reason")
"""What is still true of the sink after a restart, until there is something newer."""
SINK_UPDATES: Final = f"UPDATE ({', '.join(OF_SINKS)})"
"""The right that a sink needs to bring rows up to date, beside SELECT and INSERT."""

# In the order of names, so that two sinks can't wait for each other. Equal times are the same result, read twice.
TELL_AGENTS: Final = f"""
INSERT INTO {{fleet}} AS f (kind, name, {", ".join(OF_AGENTS)})
SELECT 'agent', a.agent, least(told.at, now()), told.version, told.waiting, told.certificate_ends
FROM unnest(
    %(names)s::text[], %(at)s::timestamptz[], %(versions)s::text[], %(waiting)s::bigint[],
    %(certificate_ends)s::timestamptz[]
) AS told (name, at, version, waiting, certificate_ends)
JOIN {{agents}} AS a ON a.agent = told.name
ORDER BY a.agent
ON CONFLICT (kind, name) DO UPDATE SET {", ".join(f"{one} = excluded.{one}" for one in OF_AGENTS)}
WHERE excluded.at > f.at
"""  # noqa: S608 - names of ours
"""Bring the rows of agents up to date, each once: where what is told is newer than what is there."""
TELL_SINK: Final = f"""
INSERT INTO {{fleet}} AS f (kind, name, {", ".join(OF_SINKS)})
VALUES ('sink', %(name)s, now(), {", ".join(f"%({one})s" for one in OF_SINKS[1:])})
ON CONFLICT (kind, name) DO UPDATE SET {
    ", ".join(
        f"{one} = coalesce(excluded.{one}, f.{one})" if one in _KEPT else f"{one} = excluded.{one}" for one in OF_SINKS
    )
}
"""  # noqa: S608
"""Bring a sink's own row up to date."""


@dataclasses.dataclass(frozen=True)
class Silent:
    """Rows that go."""

    table: str
    count: int

    def __str__(self) -> str:
        """Give it as a line for people."""
        return f"{self.table}: {self.count} of agents and sinks that were silent for {GONE.days} days"


def remove(connection: Connection, tables: Tables, *, dry_run: bool) -> Iterator[Silent]:
    """Remove agents and sinks that are there no more; tell how many are gone, or would be.

    Args:
        connection: one of the table's owner that does not commit by itself.
        tables: the set of tables.
        dry_run: change nothing.

    Raises:
        psycopg2.Error: the database refused, or is away.
    """
    verb = "SELECT" if dry_run else "DELETE"
    with connection, connection.cursor() as cursor:
        cursor.execute(
            tables.fill(f"{verb} FROM {{fleet}} WHERE at < %s", with_values=True), (datetime.now(UTC) - GONE,)
        )
        count = cursor.rowcount
    if count:
        yield Silent(tables.name("fleet"), count)

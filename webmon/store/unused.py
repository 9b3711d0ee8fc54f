"""Removing what nothing that is kept uses any more: contexts, series, targets and agents.

Sinks go on meanwhile, with numbers that they remember, and no row ever points to what is gone. A sink tells the day of
what it uses (`used_until`, `last_seen`) before it adds rows with it, and learns then whether that is still there. What
goes was last used before all rows that are kept, and rows so old are not taken any more (`floors`). So either the sink
tells first, and it stays, or it goes first, and the sink adds it anew.
"""

import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg2.extensions import connection as Connection  # noqa: N812

from webmon.store.names import Tables

SPARE: Final = timedelta(days=30)
"""How much longer than it is used a sink tells that something is: one of an earlier release, which tells nothing, may
take its place meanwhile (playbooks/rollback.yml)."""
SEEN_BEHIND: Final = timedelta(hours=1)
"""How far the last_seen of a target or agent may be behind its newest row."""

# What is locked is looked at again where a sink was just telling, and in the order of sinks, so that nobody waits in a
# circle. It is removed in a statement of its own, which sees the series that came before the lock: a sink holds the
# target and the agent of which it adds one.
_LOCK_BY_DAY: Final = "SELECT id FROM {{{what}}} WHERE used_until < %(day)s ORDER BY id FOR UPDATE"
_LOCK_BY_TIME: Final = """
SELECT id FROM {{{what}}} AS named
WHERE last_seen < %(seen)s
    AND NOT EXISTS (SELECT FROM {{series}} AS s WHERE s.{key} = named.id AND s.used_until >= %(day)s)
ORDER BY {name} FOR UPDATE
"""
_UNUSED: Final = {
    "contexts": _LOCK_BY_DAY.format(what="contexts"),
    "series": _LOCK_BY_DAY.format(what="series"),
    "targets": _LOCK_BY_TIME.format(what="targets", key="target_id", name="target"),
    "agents": _LOCK_BY_TIME.format(what="agents", key="agent_id", name="agent"),
}
"""Which rows of a table nothing uses; in the order in which they go."""
_REMOVE: Final = {
    "contexts": "DELETE FROM {contexts} WHERE id = ANY (%(gone)s)",
    "series": "DELETE FROM {series} WHERE id = ANY (%(gone)s)",
    "targets": """
WITH gone AS (
    DELETE FROM {targets} AS t
    WHERE id = ANY (%(gone)s) AND NOT EXISTS (SELECT FROM {series} AS s WHERE s.target_id = t.id)
    RETURNING id
), history AS (
    DELETE FROM {target_history} WHERE target_id IN (SELECT id FROM gone)
)
SELECT FROM gone
""",
    "agents": """
DELETE FROM {agents} AS a
WHERE id = ANY (%(gone)s) AND NOT EXISTS (SELECT FROM {series} AS s WHERE s.agent_id = a.id)
""",
}
"""Remove those of a table that were locked."""


@dataclasses.dataclass(frozen=True)
class Unused:
    """Rows of a small table that go."""

    table: str
    count: int

    def __str__(self) -> str:
        """Give it as a line for people."""
        return f"{self.table}: {self.count} that nothing kept uses"


def remove(
    connection: Connection, tables: Tables, *, rows_since: datetime, all_since: datetime, dry_run: bool
) -> Iterator[Unused]:
    """Remove what nothing uses; give each kind of which something is gone, or would be.

    Args:
        connection: one of the tables' owner that does not commit by itself.
        tables: the set of tables.
        rows_since: no row is older, and none will be taken that is.
        all_since: neither is a rollup: those need targets and agents.
        dry_run: change nothing.

    Raises:
        psycopg2.Error: the database refused, or is away.
    """
    asked = {"day": rows_since.astimezone(UTC).date(), "seen": all_since - SEEN_BEHIND}
    for what, statement in _UNUSED.items():
        with connection, connection.cursor() as cursor:
            cursor.execute(tables.fill(statement, with_values=True), asked)
            count = cursor.rowcount
            if count and not dry_run:
                gone = [number for (number,) in cursor.fetchall()]
                cursor.execute(tables.fill(_REMOVE[what], with_values=True), {"gone": gone})
                count = cursor.rowcount
        if count:
            yield Unused(tables.name(what), count)

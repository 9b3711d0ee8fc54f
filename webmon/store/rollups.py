"""Rolling up: marked hours are computed from their rows, and their days from the hours."""

import itertools
from datetime import UTC, date, datetime
from typing import Final

from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from webmon.store.names import Tables

MOST_BUCKETS: Final = 64
"""Hours of an agent in one transaction: some seconds' work at most."""

_LOCK: Final = "SELECT {function}({lock})"
_TAKE: Final = """
WITH chosen AS (
    SELECT DISTINCT hour, agent_id FROM {marks} WHERE hour < %s ORDER BY hour, agent_id LIMIT %s
), taken AS (
    DELETE FROM {marks} AS k USING chosen WHERE k.hour = chosen.hour AND k.agent_id = chosen.agent_id
)
SELECT hour, array_agg(agent_id ORDER BY agent_id) FROM chosen GROUP BY hour ORDER BY hour
"""
# Rows are added and never changed: as many results are the same results.
_PUT: Final = """
INSERT INTO {rollup} AS had SELECT * FROM {computed}(%s, %s)
ON CONFLICT (target_id, agent_id, {bucket}) DO UPDATE SET {columns}
WHERE had.results <> excluded.results
"""
_COLUMNS: Final = (
    *("response_sum", "results", "up", "slow", "down", "agent_error", "covered_secs", "responses"),
    *("response_min", "response_max", "failures", "buckets", "counts"),
)


def roll_up(connection: Connection, tables: Tables, *, before: datetime, wait: bool = False) -> int | None:
    """Roll up the oldest marked hours that begin before a time, and their days, in one transaction.

    Each statement sees at least the rows that came with the marks which were taken, as both were committed at once;
    what comes later brings a mark of its own, which stays. Until the commit everybody reads marks and rows.

    Args:
        connection: one that does not commit by itself.
        tables: the set of tables.
        before: hours from this time on are left alone.
        wait: wait for another who rolls up, instead of leaving it to them.

    Returns:
        How many buckets (hours of an agent) were rolled up, at most MOST_BUCKETS; None where another is at it.

    Raises:
        psycopg2.Error: the database refused, or is away.
    """
    function = sql.SQL("pg_advisory_xact_lock" if wait else "pg_try_advisory_xact_lock")
    with connection, connection.cursor() as cursor:
        cursor.execute(tables.fill(_LOCK, function=function, lock=tables.lock("worker")))
        row = cursor.fetchone()
        if row == (False,):
            return None
        cursor.execute(tables.fill(_TAKE, with_values=True), (before, MOST_BUCKETS))
        hours: list[tuple[datetime, list[int]]] = cursor.fetchall()
        for hour, agents in hours:
            _put(cursor, tables, "hour", hour, agents)
        for day, of_day in itertools.groupby(hours, key=lambda taken: taken[0].astimezone(UTC).date()):
            _put(cursor, tables, "day", day, sorted({agent for _, agents in of_day for agent in agents}))
    return sum(len(agents) for _, agents in hours)


def _put(cursor: Cursor, tables: Tables, bucket: str, start: datetime | date, agents: list[int]) -> None:
    rollup, computed = ("hourly", "of_rows") if bucket == "hour" else ("daily", "of_hours")
    statement = tables.fill(
        _PUT,
        with_values=True,
        rollup=_identifier(tables, rollup),
        computed=_identifier(tables, computed),
        bucket=sql.Identifier(bucket),
        columns=sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(sql.Identifier(name)) for name in _COLUMNS),
    )
    cursor.execute(statement, (start, agents))


def _identifier(tables: Tables, what: str) -> sql.Identifier:
    # The driver looks for % in names too where a statement has values.
    return sql.Identifier(tables.name(what).replace("%", "%%"))

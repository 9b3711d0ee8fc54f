"""`webmon retention`: what is older than its age goes, a whole chunk at a time; then what only that used."""

import dataclasses
import logging
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from webmon.daemon import log
from webmon.settings import Retention, RetentionSettings
from webmon.store import fleet, history, postgres, unused, version
from webmon.store.fleet import Silent
from webmon.store.history import Over
from webmon.store.names import Tables
from webmon.store.rollups import Aside, Bucket, marked, roll_up, roll_up_these
from webmon.store.unused import Unused

_log = logging.getLogger(__name__)

_WAIT_SECS: Final = 300
"""How long a sink's statement or a rollup may keep us waiting."""
_DROP_SECS: Final = 10
"""How long we wait for who reads a chunk, and so keep others from it, before we leave it to the next time."""
_SESSION: Final = f"SET TIME ZONE 'UTC'; SET lock_timeout = '{_WAIT_SECS}s'"
_CHUNKS: Final = """
SELECT
    hypertable_name, format('%%I.%%I', chunk_schema, chunk_name), range_start, range_end,
    pg_total_relation_size(format('%%I.%%I', chunk_schema, chunk_name)::regclass)
FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema() AND hypertable_name = %s AND range_end <= %s
ORDER BY range_start
"""
_OLDEST: Final = """
SELECT min(range_start) FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema() AND hypertable_name = ANY (%s) AND range_end > %s
"""
# Needs a right that no sink and no reader has, and waits for every INSERT, also of a sink of the release before.
_NO_ROWS: Final = "LOCK TABLE ONLY {metrics} IN SHARE MODE"
_RAISE_FLOOR: Final = """
INSERT INTO {floors} AS f (kind, floor) VALUES (%s, %s)
ON CONFLICT (kind) DO UPDATE SET floor = greatest(f.floor, excluded.floor)
"""


@dataclasses.dataclass(frozen=True)
class Chunk:
    """A part of a hypertable that goes as a whole."""

    table: str
    name: str
    start: datetime
    end: datetime
    size: int
    """Bytes, indexes included."""

    def __str__(self) -> str:
        """Give it as a line for people."""
        return f"{self.table}: {self.start:%Y-%m-%d %H:%M} to {self.end:%Y-%m-%d %H:%M} UTC, {_size(self.size)}"


def run(settings: RetentionSettings, *, dry_run: bool) -> int:
    """Drop what is older than its age, or tell what would go; a line for each chunk.

    Raises:
        UserError: the database is not there or refuses us.
    """
    log.configure(settings.common.log_level)
    chunks: list[Chunk] = []
    names = alarms = 0
    with postgres.session(settings.postgres, application="webmon-retention", autocommit=False) as connection:
        tables = Tables(settings.postgres.table)
        with connection, connection.cursor() as cursor:
            version.require(cursor, tables, settings.postgres)
        for gone in retain(connection, tables, settings.retention, dry_run=dry_run):
            print(f"{'would go' if dry_run else 'dropped'}  {gone}", flush=True)
            if isinstance(gone, Chunk):
                chunks.append(gone)
            elif isinstance(gone, Over):
                alarms += gone.count
            else:
                names += gone.count
    total = f"{len(chunks)} chunks, {_size(sum(chunk.size for chunk in chunks))}"
    total += f", and {names} names" if names else ""
    total += f", and {alarms} rows of alarms" if alarms else ""
    nothing = not chunks and not names and not alarms
    print(f"{total} would go" if dry_run else "nothing is older than it is kept" if nothing else f"{total} dropped")
    return 0


def retain(
    connection: Connection, tables: Tables, ages: Retention, *, dry_run: bool
) -> Iterator[Chunk | Unused | Over | Silent]:
    """Drop the chunks that hold nothing younger than the ages; give each when it is gone, or would be.

    At the end contexts, series, targets and agents go that nothing in the other chunks uses, and alarms that have been
    over for as long as rollups by day are kept, and what agents and sinks said that have been silent for a month.

    First a floor is raised, below which no sink takes a row any more: a late one would bring a mark, and its hour
    would be computed anew from what is left of it. Sinks are kept from adding rows for that moment, so that none is
    between its look at the floor and its rows. Hours that are marked are rolled up before.

    Args:
        connection: one of the tables' owner that does not commit by itself.
        tables: the set of tables.
        ages: how old what may grow.
        dry_run: change nothing.

    Raises:
        psycopg2.Error: the database refused, or is away.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(_SESSION)
    since: dict[str, datetime] = {}
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for kind, days, held in (
        ("rows", ages.rows_days, ("metrics", "errors")),
        ("hours", ages.hourly_days, ("hourly",)),
        ("days", ages.daily_days, ("daily",)),
    ):
        floor = midnight - timedelta(days=days)
        # In order of time, so that where one can't be had now all that goes is older.
        chunks = [(what, chunk) for what in held for chunk in _chunks(connection, tables.name(what), floor)]
        if not dry_run:
            _raise_floor(connection, tables, kind, floor)
        for what, chunk in chunks:
            if not dry_run:
                end = chunk.end.date() if what == "daily" else chunk.end
                with connection, connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL lock_timeout = '{_DROP_SECS}s'")
                    cursor.execute(tables.fill(f"SELECT drop_chunks({{{what}_name}}, %s)", with_values=True), (end,))
            yield chunk
        since[kind] = min(floor, _oldest(connection, [tables.name(what) for what in held], floor if dry_run else None))
    yield from unused.remove(
        connection, tables, rows_since=since["rows"], all_since=min(since.values()), dry_run=dry_run
    )
    # No retention of its own: a year's uptime and what was told in it belong together, and are as small.
    yield from history.remove(connection, tables, before=midnight - timedelta(days=ages.daily_days), dry_run=dry_run)
    yield from fleet.remove(connection, tables, dry_run=dry_run)


def _oldest(connection: Connection, names: list[str], floor: datetime | None) -> datetime:
    """Give when the oldest chunk of some tables begins, or the oldest of those that end later than a floor."""
    with connection, connection.cursor() as cursor:
        cursor.execute(_OLDEST, (names, floor or "-infinity"))
        row = cursor.fetchone()
    return row[0] if row and row[0] else datetime.max.replace(tzinfo=UTC)


def _chunks(connection: Connection, table: str, floor: datetime) -> list[Chunk]:
    with connection, connection.cursor() as cursor:
        cursor.execute(_CHUNKS, (table, floor))
        return [Chunk(*row) for row in cursor.fetchall()]


def _raise_floor(connection: Connection, tables: Tables, kind: str, floor: datetime) -> None:
    if kind == "rows":
        # Once while sinks go on, as it may be much; then, with the lock, the little that came meanwhile.
        _roll_up_all(connection, tables, floor)
    with connection, connection.cursor() as cursor:
        if kind == "rows":
            cursor.execute(tables.fill(_NO_ROWS))
            _roll_up_rest(cursor, tables, floor)
        cursor.execute(tables.fill(_RAISE_FLOOR, with_values=True), (kind, floor))


def _roll_up_all(connection: Connection, tables: Tables, floor: datetime) -> None:
    def roll(most: int, aside: Collection[Bucket]) -> int | None:
        return roll_up(connection, tables, before=floor, wait=True, most=most, aside=aside)

    # Else one such hour would keep all rows for ever.
    for _ in Aside().roll_up_all(roll, lambda error: _tell(error.bucket, error)):
        pass


def _roll_up_rest(cursor: Cursor, tables: Tables, floor: datetime) -> None:
    for bucket in marked(cursor, tables, before=floor):
        cursor.execute("SAVEPOINT bucket")
        try:
            roll_up_these(cursor, tables, [bucket], wait=True)
        except psycopg2.Error as error:
            if not postgres.is_content_fault(error):
                raise
            cursor.execute("ROLLBACK TO SAVEPOINT bucket")
            _log.debug("%s: cannot be rolled up, as was told: %s", bucket.hour, error)
        cursor.execute("RELEASE SAVEPOINT bucket")


def _tell(bucket: Bucket, reason: Exception) -> None:
    _log.warning("%s: an hour of an agent cannot be rolled up, and goes with its rows: %s", bucket.hour, reason)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"

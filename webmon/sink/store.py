"""Results into the database, once each: COPY to a table of the session, then one statement that adds what is new."""

import io
import json
import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from webmon import postgres
from webmon.check.result import CheckResult
from webmon.errors import UserError
from webmon.postgres import DatabaseAwayError
from webmon.settings import Postgres
from webmon.tables import SCHEMA_VERSION, Tables

log = logging.getLogger(__name__)

STATEMENT_SECS: Final = 30
"""Bound of one statement: a server that hangs is noticed, and the watchdog is not kept waiting."""
_CONFLICT_TRIES: Final = 5

_SESSION: Final = """
SET statement_timeout = '{statement_secs}s';
SET TIME ZONE 'UTC';
CREATE TEMPORARY TABLE IF NOT EXISTS webmon_incoming (LIKE {metrics}, error text);
"""
# The statement's rows are sorted by the key, so that two sinks that add the same rows can't wait for each other.
_ADD_NEW: Final = """
WITH added AS (
    INSERT INTO {metrics} ({columns})
    SELECT {columns} FROM webmon_incoming ORDER BY target_id, time, agent_id
    ON CONFLICT (target_id, time, agent_id) DO NOTHING
    RETURNING target_id, time, agent_id
), explained AS (
    INSERT INTO {errors} (target_id, time, agent_id, error)
    SELECT target_id, time, agent_id, error
    FROM added JOIN webmon_incoming USING (target_id, time, agent_id)
    WHERE error IS NOT NULL
    ORDER BY target_id, time, agent_id
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM added
"""
_FIND_TARGETS: Final = "SELECT target, id, url, labels::text, described_at FROM {targets} WHERE target = ANY(%s)"
_ADD_TARGETS: Final = """
INSERT INTO {targets} (target, url, labels, described_at)
SELECT * FROM unnest(%s::text[], %s::text[], %s::jsonb[], %s::timestamptz[]) ORDER BY 1
ON CONFLICT DO NOTHING
"""
_DESCRIBE_TARGETS: Final = """
UPDATE {targets} AS t SET url = new.url, labels = new.labels, described_at = new.described_at
FROM unnest(%s::text[], %s::text[], %s::jsonb[], %s::timestamptz[]) AS new (target, url, labels, described_at)
WHERE t.target = new.target AND t.described_at < new.described_at
"""
_FIND_AGENTS: Final = "SELECT agent, id FROM {agents} WHERE agent = ANY(%s)"
_ADD_AGENTS: Final = "INSERT INTO {agents} (agent) SELECT unnest(%s::text[]) ORDER BY 1 ON CONFLICT DO NOTHING"

_Value = str | int | float | bool | datetime | None
_COLUMNS: Final[dict[str, Callable[[CheckResult], _Value]]] = {
    "time": lambda r: r.time,
    "outcome": lambda r: r.outcome.value,
    "interval_secs": lambda r: r.interval,
    "delay_secs": lambda r: (r.time - r.scheduled_at).total_seconds(),
    "total_secs": lambda r: r.total_time,
    "response_secs": lambda r: r.response_time,
    "dns_secs": lambda r: r.phases.dns,
    "connect_secs": lambda r: r.phases.connect,
    "tls_secs": lambda r: r.phases.tls,
    "first_byte_secs": lambda r: r.phases.first_byte,
    "transfer_secs": lambda r: r.phases.transfer,
    "body_bytes": lambda r: r.body_bytes,
    "http_status": lambda r: r.http_status,
    "redirects": lambda r: r.redirects,
    "regex_match": lambda r: r.regex_match,
}
"""The hypertable's columns beside the two ids, each with its value."""


class Stored(NamedTuple):
    """What became of a batch."""

    added: int
    """Rows that are new."""
    repeats: int
    """Results that were there already."""
    refused: list[tuple[int, str]]
    """Those whose content the database does not take: place in the batch, and the reason."""


class _Target(NamedTuple):
    id: int
    url: str
    labels: dict[str, str]
    described_at: datetime


class Store:
    """One session with the database, made when it is needed and again when it is lost."""

    def __init__(self, settings: Postgres, *, tick: Callable[[], None] = lambda: None) -> None:
        """Take the settings, and what to call between the steps of a long batch; nothing is connected yet."""
        self._settings = settings
        self._tick = tick
        self._tables = Tables(settings.table)
        self._connection: Connection | None = None
        self._target_ids: dict[str, _Target] = {}
        self._agent_ids: dict[str, int] = {}

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
        added = self._guarded(lambda: self._add_all(list(enumerate(results)), refused))
        return Stored(added, len(results) - len(refused) - added, sorted(refused))

    def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        # The next session may find another database behind the same name.
        self._forget()

    def _undo(self, connection: Connection) -> None:
        connection.rollback()
        # The rows behind numbers that were just given may be gone with it.
        self._forget()

    def _forget(self) -> None:
        self._target_ids.clear()
        self._agent_ids.clear()

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
            self._execute(cursor, "SELECT max(version) FROM {migrations}")
            row = cursor.fetchone()
            version = row[0] if row else None
            if version is None or version < SCHEMA_VERSION:
                raise UserError(
                    f"{postgres.place(self._settings)}: the schema of {self._tables.metrics} is at version {version}, "
                    f"and this webmon needs {SCHEMA_VERSION}: run `webmon init` of this release"
                )
            self._execute(cursor, _SESSION, statement_secs=sql.SQL(str(STATEMENT_SECS)))
        connection.commit()
        return connection

    def _execute(
        self, cursor: Cursor, statement: str, values: Sequence[Any] | None = None, **parts: sql.Composable
    ) -> None:
        cursor.execute(self._tables.fill(statement, with_values=values is not None, **parts), values)

    def _add_all(self, indexed: list[tuple[int, CheckResult]], refused: list[tuple[int, str]]) -> int:
        """Add results; where the database refuses one for its content, find it by halving."""
        if not indexed:
            return 0
        self._tick()
        try:
            return self._add([result for _, result in indexed])
        except (psycopg2.Error, ValueError) as error:
            if not postgres.is_content_fault(error):
                raise
            self._undo(self._open())
            if len(indexed) == 1:
                refused.append((indexed[0][0], " ".join(str(error).split())))
                return 0
        middle = len(indexed) // 2
        return self._add_all(indexed[:middle], refused) + self._add_all(indexed[middle:], refused)

    def _add(self, results: Sequence[CheckResult]) -> int:
        for attempt in range(1, _CONFLICT_TRIES + 1):
            connection = self._open()
            try:
                with connection.cursor() as cursor:
                    self._look_up(connection, cursor, results)
                    added = self._copy_and_add(cursor, results)
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

    def _copy_and_add(self, cursor: Cursor, results: Sequence[CheckResult]) -> int:
        columns = ["target_id", "agent_id", *_COLUMNS]
        rows = io.StringIO()
        for result in results:
            ids = (self._target_ids[result.target].id, self._agent_ids[result.agent])
            values = (*ids, *(value(result) for value in _COLUMNS.values()), result.error)
            rows.write("\t".join(map(_copy_text, values)) + "\n")
        rows.seek(0)
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        self._execute(cursor, "TRUNCATE webmon_incoming")
        copy = sql.SQL("COPY webmon_incoming ({columns}, error) FROM STDIN").format(columns=names)
        cursor.copy_expert(copy, rows)
        self._execute(cursor, _ADD_NEW, columns=names)
        row = cursor.fetchone()
        assert row is not None
        return int(row[0])

    def _look_up(self, connection: Connection, cursor: Cursor, results: Sequence[CheckResult]) -> None:
        """See that each target and agent of the batch has its number, and each target its newest description."""
        newest: dict[str, CheckResult] = {}
        for result in results:
            if result.target not in newest or result.time > newest[result.target].time:
                newest[result.target] = result
        unknown = sorted(newest.keys() - self._target_ids.keys())
        if unknown:
            self._find_targets(cursor, unknown)
            missing = [newest[name] for name in unknown if name not in self._target_ids]
            if missing:
                self._execute(cursor, _ADD_TARGETS, _descriptions(missing))
                self._find_targets(cursor, [result.target for result in missing])
        changed = [result for name, result in sorted(newest.items()) if self._describes_anew(result)]
        if changed:
            self._execute(cursor, _DESCRIBE_TARGETS, _descriptions(changed))
            self._find_targets(cursor, [result.target for result in changed])
        agents = sorted({result.agent for result in results} - self._agent_ids.keys())
        if agents:
            self._find_agents(cursor, agents)
            missing_agents = [agent for agent in agents if agent not in self._agent_ids]
            if missing_agents:
                self._execute(cursor, _ADD_AGENTS, (missing_agents,))
                self._find_agents(cursor, missing_agents)
        # So that other sinks don't wait for our batch to end where they add the same names.
        connection.commit()

    def _describes_anew(self, result: CheckResult) -> bool:
        known = self._target_ids[result.target]
        return result.time > known.described_at and (result.url, result.labels) != (known.url, known.labels)

    def _find_targets(self, cursor: Cursor, names: list[str]) -> None:
        self._execute(cursor, _FIND_TARGETS, (names,))
        for name, number, url, labels, described_at in cursor.fetchall():
            self._target_ids[name] = _Target(number, url, json.loads(labels), described_at)

    def _find_agents(self, cursor: Cursor, names: list[str]) -> None:
        self._execute(cursor, _FIND_AGENTS, (names,))
        self._agent_ids.update(cursor.fetchall())


def _descriptions(results: Sequence[CheckResult]) -> tuple[list[Any], ...]:
    return (
        [result.target for result in results],
        [result.url for result in results],
        [json.dumps(result.labels) for result in results],
        [result.time for result in results],
    )


_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _copy_text(value: _Value) -> str:
    """Give a value as COPY's text format has it (https://www.postgresql.org/docs/17/sql-copy.html)."""
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, datetime):
        return value.isoformat()
    return value.translate(_ESCAPES) if isinstance(value, str) else str(value)

"""Who has taken the reports' password, or a sink's, has a role of the database and no more."""

import contextlib
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest

from tests.attacks.positions import TAKEN_READER, TAKEN_SINK
from tests.integration.stage import READER_PASSWORD, SINK_PASSWORD, Stage
from webmon.store.names import Tables

OUT = (
    "CREATE TABLE {old_metrics} (x text)",
    "CREATE EXTENSION dblink",
    "CREATE ROLE {old_metrics} SUPERUSER",
    "COPY (SELECT 1) TO PROGRAM 'id'",
    "COPY (SELECT 1) TO '/tmp/{old_metrics}'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM pg_authid",
    "SELECT lo_import('/etc/passwd')",
    "ALTER SYSTEM SET log_statement = 'all'",
    "SELECT pg_reload_conf()",
    "DROP TABLE {metrics}",
    "ALTER TABLE {metrics} DISABLE TRIGGER ALL",
    "TRUNCATE {metrics}",
    "DELETE FROM {metrics}",
    "UPDATE {metrics} SET outcome = 1",
    "DELETE FROM {migrations}",
    "CREATE OR REPLACE VIEW {view} AS SELECT 1",
)
"""What neither role may."""
WRITES = (
    "INSERT INTO {targets} (target, url, labels, described_at, first_seen, last_seen)"
    " VALUES ('t', 'u', '{{}}', now(), now(), now())",
    "INSERT INTO {marks} VALUES (now(), 1)",
    "UPDATE {targets} SET url = 'http://elsewhere/'",
    "UPDATE {hourly} SET down = 1000",
    "DELETE FROM {errors}",
)
"""What a reader may not."""


@contextlib.contextmanager
def session(stage: Stage, number: int, password: str) -> Iterator[Any]:
    with stage.database(stage.roles[number], password) as cursor:
        yield cursor


def is_refused(cursor: Any, stage: Stage, statement: str) -> None:
    with pytest.raises(psycopg2.Error) as refused:
        cursor.execute(Tables(stage.table).fill(statement))
    # 42501: insufficient_privilege. PostgreSQL calls a role's missing right to a file or a program so, too.
    assert refused.value.pgcode == "42501", f"{statement}: {refused.value}"


@TAKEN_READER
@pytest.mark.parametrize("statement", OUT + WRITES)
def test_a_reader_changes_nothing_and_gets_out_of_nowhere(shared_stage: Stage, statement: str) -> None:
    with session(shared_stage, 1, READER_PASSWORD) as cursor:
        is_refused(cursor, shared_stage, statement)


@TAKEN_SINK
@pytest.mark.parametrize("statement", OUT)
def test_a_sink_adds_and_neither_takes_away_nor_gets_out(shared_stage: Stage, statement: str) -> None:
    with session(shared_stage, 0, SINK_PASSWORD) as cursor:
        is_refused(cursor, shared_stage, statement)


@TAKEN_READER
def test_no_role_becomes_another(shared_stage: Stage) -> None:
    owner, sink = shared_stage.services.owner, shared_stage.roles[0]
    with session(shared_stage, 1, READER_PASSWORD) as cursor:
        for other in (owner, sink, "postgres", "pg_write_server_files", "pg_execute_server_program"):
            is_refused(cursor, shared_stage, f'SET ROLE "{other}"')
            is_refused(cursor, shared_stage, f'GRANT "{other}" TO CURRENT_USER')

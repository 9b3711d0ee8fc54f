"""What a taken reader, a taken sink and a false server can do to the database, on a real TimescaleDB.

The position of each attack stands in its name; what must hold is what others see of it: sinks store, rollups are made,
what was rolled up stays.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg2
import pytest
import trustme

from tests.integration.stage import READER_PASSWORD, SINK_PASSWORD, Stage, recent
from tests.integration.test_real_rollups import by_hour, expected, stored
from tests.waiting import wait_until
from webmon.errors import UserError
from webmon.sink.rollups import Rollups
from webmon.sink.writer import Writer
from webmon.store import postgres
from webmon.store.names import Tables

NO_PRIVILEGE = psycopg2.errors.InsufficientPrivilege
SEEN = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)


@contextlib.contextmanager
def session(stage: Stage, role: str) -> Iterator[Any]:
    """Log in as a role that was taken; nothing is committed."""
    number, password = {"sink": (0, SINK_PASSWORD), "reader": (1, READER_PASSWORD)}[role]
    with stage.database(stage.roles[number], password) as cursor:
        cursor.connection.autocommit = False
        yield cursor


def run(cursor: Any, stage: Stage, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    cursor.execute(Tables(stage.table).fill(statement, with_values=bool(values)), values or None)
    return cursor.fetchall() if cursor.description else []


def refused(cursor: Any, stage: Stage, statement: str) -> None:
    with pytest.raises(NO_PRIVILEGE):
        run(cursor, stage, statement)
    cursor.connection.rollback()


# ---------------------------------------------------------------- a taken reader


LOCKS_OF_RELEASES_BEFORE = (
    "SELECT pg_advisory_lock(7236941, {metrics_name}::regclass::oid::integer)",
    "SELECT pg_advisory_lock(7236942, {metrics_name}::regclass::oid::integer)",
    "SELECT pg_advisory_lock(7236941385)",
)


def test_a_reader_that_holds_what_it_can_stops_no_sink_no_rollup_no_retention_and_no_init(stage: Stage) -> None:
    with session(stage, "reader") as cursor:
        for statement in LOCKS_OF_RELEASES_BEFORE:
            # Where a managed service leaves advisory locks to all, they are ours to take.
            with contextlib.suppress(NO_PRIVILEGE):
                run(cursor, stage, statement)
            if cursor.connection.status != psycopg2.extensions.STATUS_READY:
                cursor.connection.commit()
        for what in ("metrics", "marks", "hourly", "floors", "migrations"):
            for mode in ("ROW SHARE", "SHARE UPDATE EXCLUSIVE", "SHARE", "ACCESS EXCLUSIVE"):
                refused(cursor, stage, f"LOCK TABLE ONLY {{{what}}} IN {mode} MODE NOWAIT")
            refused(cursor, stage, f"SELECT FROM {{{what}}} FOR KEY SHARE")
        for what in ("metrics", "marks", "hourly", "floors", "migrations"):
            run(cursor, stage, f"LOCK TABLE ONLY {{{what}}} IN ACCESS SHARE MODE")
        store = Writer(stage.settings("sink").postgres)
        results = [recent(number) for number in range(20)]
        assert store.store(results).added == 20
        worker = Rollups(stage.settings("sink").postgres, pass_secs=0.1)
        worker.start()
        wait_until(lambda: stored(stage.sql, "hourly", "hour") == expected(results, by_hour), "the rollup", 10)
        worker.stop(5)
        store.close()
        assert stage.run("retention").returncode == 0
        assert all(line.startswith(("unchanged", "not set")) for line in stage.init())


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TEMPORARY TABLE filled AS SELECT * FROM generate_series(1, 100)",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT lo_put(lo_creat(-1), 0, 'x')",
        "SELECT pg_advisory_lock(generate_series(1, 100000))",
        "SET temp_file_limit = -1",
        "SET session_replication_role = replica",
        "CREATE SCHEMA mine",
    ],
)
def test_a_reader_can_not_fill_the_disk_or_the_table_of_locks(shared_stage: Stage, statement: str) -> None:
    with session(shared_stage, "reader") as cursor:
        refused(cursor, shared_stage, statement)


def test_neither_role_can_take_all_connections(stage: Stage) -> None:
    with stage.database() as cursor:
        cursor.execute("SHOW max_connections")
        most = int(cursor.fetchone()[0])
    with contextlib.ExitStack() as held:
        for _ in range(most // 2):
            held.enter_context(stage.database(stage.roles[1], READER_PASSWORD))
        with pytest.raises(psycopg2.OperationalError, match="too many connections for role"):
            held.enter_context(stage.database(stage.roles[1], READER_PASSWORD))
        store = Writer(stage.settings("sink").postgres)
        assert store.store([recent()]).added == 1
        store.close()
    assert stage.sql("SELECT rolname, rolconnlimit FROM pg_roles WHERE rolname = ANY (%s)", stage.roles) == [
        (stage.roles[0], most * 3 // 4),
        (stage.roles[1], most // 2),
    ]


def test_connections_are_kept_for_sinks_and_none_for_readers(shared_stage: Stage) -> None:
    member = "SELECT pg_has_role(%s, 'pg_use_reserved_connections', 'USAGE')"
    sink, reader = shared_stage.roles[:2]
    assert shared_stage.sql(member, sink) == [(True,)]
    assert shared_stage.sql(member, reader) == [(False,)]


def test_what_an_operator_set_for_a_role_stays(stage: Stage) -> None:
    reader = stage.roles[1]
    with stage.database(reader, READER_PASSWORD) as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("30min",)
    stage.sql(f"ALTER ROLE {reader} CONNECTION LIMIT 7")
    stage.sql(f"ALTER ROLE {reader} IN DATABASE {stage.services.database} SET statement_timeout = '2h'")
    assert f"unchanged  bounds of {reader}: 7 connections, and times of a statement" in stage.init()
    with stage.database(reader, READER_PASSWORD) as cursor:
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("2h",)


# ---------------------------------------------------------------- a taken sink


def old_year(stage: Stage) -> dict[Any, tuple[Any, ...]]:
    """Have an hour of long ago, whose rows are gone, in the rollups; give them."""
    moment = SEEN - timedelta(days=30)
    store = Writer(stage.settings("sink").postgres)
    results = [
        recent(target="shop", agent="a", time=moment + timedelta(minutes=n), scheduled_at=moment) for n in range(3)
    ]
    store.store(results)
    store.close()
    done = stage.run("retention", POSTGRES_KEEP_ROWS_DAYS="7")
    assert done.returncode == 0, done.stderr
    assert stage.count() == 0
    had = stored(stage.sql, "hourly", "hour")
    assert had == expected(results, by_hour)
    return had


def test_a_sink_can_not_rewrite_what_was_rolled_up_of_rows_that_are_gone(stage: Stage) -> None:
    had = old_year(stage)
    days = stored(stage.sql, "daily", "day")
    ((hour, _, _),) = had
    with session(stage, "sink") as cursor:
        for statement in (
            "UPDATE {hourly} SET down = 1000",
            "UPDATE {daily} SET down = 1000",
            "DELETE FROM {hourly}",
            "INSERT INTO {daily} SELECT * FROM {daily}",
            "DELETE FROM {marks}",
            "UPDATE {floors} SET floor = '-infinity'",
            "DELETE FROM {floors}",
            "LOCK TABLE ONLY {hourly} IN SHARE MODE",
        ):
            refused(cursor, stage, statement)
        # It may add rows: as many as it likes of that hour, with a mark, and then have the hour made anew.
        run(
            cursor,
            stage,
            "INSERT INTO {metrics} (time, series_id, context_id, delay_secs, total_secs, outcome)"
            " SELECT %s + n * INTERVAL '1 second', s.id, c.id, 0, 1, 4"
            " FROM {series} AS s CROSS JOIN {contexts} AS c CROSS JOIN generate_series(1, 1000) AS n",
            hour,
        )
        run(cursor, stage, "INSERT INTO {marks} SELECT %s, id FROM {agents}", hour)
        run(cursor, stage, "SELECT {roll_up}(ARRAY[%s], (SELECT array_agg(id) FROM {agents}), true)", hour)
        cursor.connection.commit()
    assert stage.sql("SELECT count(*) FROM {t_marks}") == [(0,)]
    assert stored(stage.sql, "hours", "hour") == had
    assert stored(stage.sql, "days", "day") == days


def test_a_sink_can_have_rolled_up_only_what_the_rows_say(stage: Stage) -> None:
    store = Writer(stage.settings("sink").postgres)
    results = [recent(number) for number in range(60)]
    store.store(results)
    store.close()
    hour = by_hour(results[0].time)
    with session(stage, "sink") as cursor:
        # Tables of its session shall stand for those that the function reads.
        for table in ("metrics", "marks", "series", "contexts", "floors"):
            run(cursor, stage, f"CREATE TEMPORARY TABLE {{{table}}} (LIKE public.{{{table}}})")
        # Hours that are not marked, are none, or of agents that are none.
        asked = "SELECT public.{roll_up}(ARRAY[%s, %s - INTERVAL '30 minutes', NULL], ARRAY[9, 1, 2], true)"
        assert run(cursor, stage, asked, hour, hour) == [(0,)]
        run(cursor, stage, "SELECT public.{roll_up}(array_agg(hour), array_agg(agent_id), true) FROM public.{marks}")
        cursor.connection.commit()
    assert stored(stage.sql, "hourly", "hour") == expected(results, by_hour)
    assert stored(stage.sql, "daily", "day") == expected(results, datetime.date)


@pytest.mark.parametrize(
    "moment", ["2026-01-01T10:30Z", "-infinity", "infinity", "4000-01-01T00:00Z BC", "200000-01-01T00:00Z"]
)
def test_a_sink_marks_no_time_that_is_no_hour(shared_stage: Stage, moment: str) -> None:
    with session(shared_stage, "sink") as cursor, pytest.raises(psycopg2.errors.CheckViolation):
        run(cursor, shared_stage, "INSERT INTO {marks} VALUES (%s, 1)", moment)


def test_sinks_of_the_release_before_go_on_until_the_next_init(bare_stage: Stage) -> None:
    """Their SQL, beside a worker of this release, while rights are as an upgrade leaves them."""
    bare_stage.init()
    sink = bare_stage.roles[0]
    bare_stage.sql(f"GRANT DELETE ON {{t_marks}} TO {sink}")
    bare_stage.sql(f"GRANT SELECT, INSERT, UPDATE ON {{t_hourly}}, {{t_daily}} TO {sink}")
    bare_stage.sql("DELETE FROM {t_migrations} WHERE version = 6")
    bare_stage.sql("DROP FUNCTION {t_roll_up}")
    told = bare_stage.init()
    assert f"changed  schema {bare_stage.table}: 0006_rollups_of_the_owner.sql" in told
    of_before = f"rights of {sink} on the rollups, which sinks of the release before need"
    assert f"unchanged  {of_before}: the next `webmon init` takes them away" in told
    store = Writer(bare_stage.settings("sink").postgres)
    results = [recent(number) for number in range(9)]
    store.store(results)
    worker = Rollups(bare_stage.settings("sink").postgres, pass_secs=0.1)
    with session(bare_stage, "sink") as cursor:
        hour = by_hour(results[0].time)
        run(cursor, bare_stage, "DELETE FROM {marks}")
        run(
            cursor,
            bare_stage,
            "INSERT INTO {hourly} AS had SELECT * FROM {of_rows}(%s, (SELECT array_agg(id) FROM {agents}))"
            " ON CONFLICT (target_id, agent_id, hour) DO UPDATE SET results = excluded.results"
            " WHERE had.results <> excluded.results",
            hour,
        )
        # The other one looks meanwhile, and leaves it to this one.
        more = [recent(number) for number in range(9, 12)]
        store.store(more)
        worker.start()
        wait_until(lambda: worker.passed_at is not None, "a look")
        assert worker.rolled == 0
        cursor.connection.commit()
    store.close()
    wait_until(lambda: stored(bare_stage.sql, "hourly", "hour") == expected([*results, *more], by_hour), "the rest", 10)
    worker.stop(5)
    assert worker.fault is None
    lines = bare_stage.doctor("sink").stdout.splitlines()
    assert any("may also" in line and "UPDATE" in line for line in lines), lines
    assert f"changed  {of_before}: taken away" in bare_stage.init()
    with session(bare_stage, "sink") as cursor:
        for what in ("hourly", "daily"):
            refused(cursor, bare_stage, f"UPDATE {{{what}}} SET up = 0")  # noqa: S608


# ---------------------------------------------------------------- a false server


class Between:
    """Poses as the database with a certificate of its own, and hands on all that is said to the real one."""

    def __init__(self, stage: Stage) -> None:
        """Listen."""
        services = stage.services
        self._to = (services.postgres_host, services.postgres_port)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(self._context)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.passed: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Be no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._socket.accept()[0]
                with contextlib.suppress(OSError):
                    self._pass_on(client)

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._to) as server:
            asked = client.recv(8)
            server.sendall(asked)
            client.sendall(server.recv(1))
            ours = ssl.create_default_context()
            ours.check_hostname, ours.verify_mode = False, ssl.CERT_NONE
            with (
                self._context.wrap_socket(client, server_side=True) as near,
                ours.wrap_socket(server) as far,
            ):
                near.settimeout(10)
                far.settimeout(10)
                while said := near.recv(65536):
                    self.passed.append(said)
                    far.sendall(said)
                    near.sendall(far.recv(65536))


@pytest.mark.parametrize("binding", ["prefer", "require"])
def test_one_in_between_with_another_certificate_gets_no_session(shared_stage: Stage, binding: str) -> None:
    between = Between(shared_stage)
    try:
        settings = shared_stage.settings(
            "sink",
            POSTGRES_HOST="127.0.0.1",
            POSTGRES_PORT=str(between.port),
            POSTGRES_SSL="require",
            POSTGRES_CHANNEL_BINDING=binding,
            POSTGRES_CA_CERTIFICATE=None,
        )
        with pytest.raises((UserError, postgres.DatabaseAwayError)):
            postgres.connect(settings.postgres, application="test", autocommit=True)
    finally:
        between.close()
    assert any(said[:1] == b"p" for said in between.passed), "a log-in was tried"
    assert not any(SINK_PASSWORD.encode() in said for said in between.passed)


def test_the_real_database_can_bind_and_doctor_says_who_does_not_ask_for_it(
    shared_stage: Stage,
) -> None:
    lines = shared_stage.doctor("sink", POSTGRES_CHANNEL_BINDING=None).stdout.splitlines()
    assert any(line.startswith("warning  database log-in: ") and "POSTGRES_CHANNEL_BINDING" in line for line in lines)
    done = shared_stage.doctor("sink")
    assert "ok       database log-in: is bound to the server's certificate" in done.stdout

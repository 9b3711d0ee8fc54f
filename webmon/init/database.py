"""The store: extension, schema, roles and their rights, all in one transaction under one lock."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

import psycopg2
from psycopg2 import errorcodes, sql
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812
from psycopg2.extensions import encrypt_password
from pydantic import SecretStr

from webmon.errors import UserError
from webmon.init import bounds
from webmon.init.bounds import Kind
from webmon.init.step import Step
from webmon.settings import Init, Postgres
from webmon.store import fleet, history, migrations, postgres
from webmon.store.migrations import Migration
from webmon.store.names import TABLES, VIEWS, Tables
from webmon.store.postgres import DatabaseAwayError

_TRIES: Final = 5
_RETRY_SECS: Final = 1.0
_LOCK_SECS: Final = 60
"""How long a session that reads may keep a schema file waiting, and with it all who come after."""
_FAILING_JOB: Final = 3
"""TimescaleDB's "Job History Log Retention": under the Apache licence it fails every hour."""

SINK_RIGHTS: Final = {
    "metrics": ("SELECT", "INSERT"),
    "errors": ("SELECT", "INSERT"),
    "targets": ("SELECT", "INSERT", "UPDATE (url, labels, described_at, first_seen, last_seen)"),
    "target_history": ("SELECT", "INSERT", "UPDATE (first_seen, last_seen)"),
    "agents": ("SELECT", "INSERT", "UPDATE (first_seen, last_seen)"),
    "series": ("SELECT", "INSERT", "UPDATE (used_until)"),
    "contexts": ("SELECT", "INSERT", "UPDATE (used_until)"),
    "marks": ("SELECT", "INSERT"),
    "hourly": (),
    "daily": (),
    "hours": (),
    "floors": ("SELECT",),
    "migrations": ("SELECT",),
    "fleet": ("SELECT", "INSERT", fleet.SINK_UPDATES),
    **dict.fromkeys((*history.COLUMNS, "alarm_position"), ()),
}
"""What a sink must be allowed: rows are added and never changed, and a function of the owner rolls them up. How the
fleet is, is brought up to date."""
_FORMER_SINK_RIGHTS: Final = {
    "marks": ("DELETE",),
    "hourly": ("SELECT", "INSERT", "UPDATE"),
    "daily": ("SELECT", "INSERT", "UPDATE"),
    "hours": ("SELECT",),
}
"""What sinks of releases before schema file 0006 need to roll up themselves."""
READER_RIGHTS: Final = dict.fromkeys(("metrics", *TABLES, *VIEWS), ("SELECT",))
"""What a reader must be allowed."""
ALARM_RIGHTS: Final = {
    **READER_RIGHTS,
    **{what: ("SELECT", "INSERT", f"UPDATE ({', '.join(columns[1:])})") for what, columns in history.COLUMNS.items()},
    "alarm_position": ("SELECT", f"UPDATE ({', '.join(history.POSITION)})"),
}
"""What the judge's history must be allowed: it reads as readers do, and deletes nothing."""
_RIGHTS: Final[Mapping[Kind, Mapping[str, Sequence[str]]]] = {
    "SINK": SINK_RIGHTS,
    "READER": READER_RIGHTS,
    "ALARM": ALARM_RIGHTS,
}
_SAID: Final[Mapping[Kind, str]] = {
    "SINK": "add and read {table} and its tables",
    "READER": "read {table} and its tables",
    "ALARM": "read {table} and its tables, and write the history of alarms",
}


def ensure_database(connection: Connection, settings: Postgres, init: Init) -> Iterator[Step]:
    """See to everything in the database; nothing stays of a run that raises.

    Raises:
        UserError: what the user must mend.
        psycopg2.Error: a statement was refused.
    """
    tables = Tables(settings.table)
    for attempt in range(1, _TRIES + 1):
        try:
            with connection, connection.cursor() as cursor:
                steps = list(_steps(cursor, settings, init, tables))
        except psycopg2.errors.LockNotAvailable as error:
            raise UserError(
                f"{postgres.place(settings)}: another session keeps a table of {tables.metrics}, and {_LOCK_SECS} s "
                "were waited for it; nothing was changed: end that session (pg_locks and pg_stat_activity tell which), "
                "then run `webmon init` again"
            ) from error
        except psycopg2.Error as error:
            if attempt == _TRIES or not _is_race(error):
                raise
            time.sleep(_RETRY_SECS * attempt)
        else:
            yield from steps
            return


def _steps(cursor: Cursor, settings: Postgres, init: Init, tables: Tables) -> Iterator[Step]:
    yield _extension(cursor, settings)
    # Held until the commit; another init waits here and then finds everything done.
    migrations.lock(cursor, tables)
    cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK_SECS}s'")
    shipped = migrations.shipped()
    applied = migrations.apply(cursor, tables, shipped)
    yield from _schema(tables, shipped, applied)
    yield _chunks(cursor, tables, init.chunk_hours)
    yield _job(cursor)
    # Sinks of the release before go on until their turn comes.
    ends_former = not applied or applied == shipped
    for role in (
        _Role("SINK", init.sink_user, init.sink_password),
        _Role("READER", init.reader_user, init.reader_password),
        *_of_alarms(init),
    ):
        yield from _role(cursor, settings, tables, role, ends_former=ends_former)


def _of_alarms(init: Init) -> Iterator["_Role"]:
    """Give the role of the judge's history; none for a fleet that has no alarms."""
    if init.alarm_user is not None or init.alarm_principals is not None:
        yield _Role("ALARM", init.alarm_user, init.alarm_password)


def _is_race(error: psycopg2.Error) -> bool:
    """Whether another init made the same thing at the same moment: it is there the next time."""
    made = (errorcodes.UNIQUE_VIOLATION, errorcodes.DUPLICATE_TABLE, errorcodes.DUPLICATE_OBJECT)
    # Two that grant on one database, or alter one role, are told so by an internal error.
    is_met = error.pgcode == errorcodes.INTERNAL_ERROR and "concurrently updated" in str(error)
    return error.pgcode in made or is_met or postgres.is_conflict(error)


def _extension(cursor: Cursor, settings: Postgres) -> Step:
    cursor.execute("SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    found = cursor.fetchone()
    if found:
        return Step("unchanged", f"extension timescaledb {found[0]}")
    cursor.execute("SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'")
    available = cursor.fetchone()
    where = postgres.place(settings)
    if available is None:
        raise UserError(
            f"{where}: TimescaleDB is not installed there; on Debian it is the package postgresql-17-timescaledb, "
            "and a managed service has a switch for it"
        )
    try:
        cursor.execute("CREATE EXTENSION timescaledb")
    except psycopg2.Error as error:
        text = " ".join(str(error).split())
        if "shared_preload_libraries" in text:
            raise UserError(
                f"{where}: TimescaleDB is installed but not loaded: right would be shared_preload_libraries = "
                "'timescaledb' in postgresql.conf, and a restart"
            ) from error
        if error.pgcode == errorcodes.INSUFFICIENT_PRIVILEGE:
            raise UserError(
                f"{where}: role {settings.user!r} may not create the extension timescaledb in database "
                f"{postgres.database(settings)!r}: right would be the database's owner, or that an administrator runs "
                "CREATE EXTENSION timescaledb there"
            ) from error
        raise
    return Step("created", f"extension timescaledb {available[0]}")


def _schema(tables: Tables, shipped: Sequence[Migration], applied: Sequence[Migration]) -> Iterator[Step]:
    for migration in shipped:
        new = migration in applied
        # The first file makes the tables; a later one changes what is there.
        state = "unchanged" if not new else "created" if migration.version == 1 else "changed"
        yield Step(state, f"schema {tables.metrics}: {migration.name}")  # type: ignore[arg-type]


def _chunks(cursor: Cursor, tables: Tables, hours: int) -> Step:
    """Set how long the chunks of rows are; those that are there stay as they are.

    An insert touches the end of each series in the newest chunk's index, so that must stay in memory; a fixed length
    does, as the rate is known before there are rows: 1,000 targets a minute from 3 vantages are 200 MB a day.
    """
    what = f"chunks of {tables.metrics}"
    wanted = timedelta(hours=hours)
    cursor.execute(
        "SELECT DISTINCT time_interval FROM timescaledb_information.dimensions"
        " WHERE hypertable_schema = current_schema() AND hypertable_name IN (%s, %s)",
        (tables.metrics, tables.name("errors")),
    )
    found = [row[0] for row in cursor.fetchall()]
    if found == [wanted]:
        return Step("unchanged", f"{what}: {hours} h each")
    for name in ("metrics", "errors"):
        cursor.execute(tables.fill(f"SELECT set_chunk_time_interval({{{name}_name}}, %s)", with_values=True), (wanted,))
    return Step("changed", f"{what}: {hours} h each from now on")


def _job(cursor: Cursor) -> Step:
    what = f"TimescaleDB's job {_FAILING_JOB} (its own log's retention)"
    cursor.execute("SELECT current_setting('timescaledb.license', true)")
    licence = cursor.fetchone()
    if licence is None or licence[0] != "apache":
        return Step("unchanged", f"{what}: works under this licence")
    cursor.execute("SELECT scheduled, owner FROM timescaledb_information.jobs WHERE job_id = %s", (_FAILING_JOB,))
    job = cursor.fetchone()
    if job is None or not job[0]:
        return Step("unchanged", f"{what}: not scheduled")
    # The same licence lets nobody call alter_job, so the row itself it is, in whichever catalogue it stands.
    cursor.execute(
        "SELECT coalesce(to_regclass('_timescaledb_config.bgw_job'), to_regclass('_timescaledb_catalog.bgw_job'))::text"
    )
    catalogue = cursor.fetchone()
    statement = f"UPDATE {catalogue[0] if catalogue else ''} SET scheduled = false WHERE id = {_FAILING_JOB}"  # noqa: S608
    with _attempt(cursor) as attempt:
        cursor.execute(statement)
    if attempt.refused:
        return Step(
            "not set",
            f"{what}: it belongs to {job[1]}, so it will fail once an hour, which does no harm; a superuser can "
            f"end that with {statement}",
        )
    return Step("changed", f"{what}: no longer scheduled, as it can only fail under the Apache licence")


class _Attempt:
    refused = False


@contextlib.contextmanager
def _attempt(cursor: Cursor) -> Iterator[_Attempt]:
    """Run statements that may be refused for want of a right, without losing the transaction."""
    attempt = _Attempt()
    cursor.execute("SAVEPOINT attempt")
    try:
        yield attempt
    except psycopg2.errors.InsufficientPrivilege:
        cursor.execute("ROLLBACK TO SAVEPOINT attempt")
        attempt.refused = True
    cursor.execute("RELEASE SAVEPOINT attempt")


@dataclasses.dataclass(frozen=True)
class _Role:
    kind: Kind
    user: str | None
    password: SecretStr | None


def _role(cursor: Cursor, settings: Postgres, tables: Tables, role: _Role, *, ends_former: bool) -> Iterator[Step]:
    if role.user is None:
        yield Step(
            "not set",
            f"role of {role.kind.lower()}s: POSTGRES_{role.kind}_USER is not set, so they log in as a role of yours",
        )
    elif role.user == settings.user:
        yield Step("unchanged", f"role {role.user}: is init's own, which owns everything")
    else:
        yield _login(cursor, settings, role, role.user)
        yield _rights(cursor, settings, tables, role.kind, role.user)
        if role.kind == "SINK":
            yield from _former_rights(cursor, tables, role.user, take_away=ends_former)
        yield bounds.ensure(cursor, postgres.database(settings), role.kind, role.user)


def _login(cursor: Cursor, settings: Postgres, role: _Role, user: str) -> Step:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (user,))
    there = cursor.fetchone() is not None
    where = postgres.place(settings)
    if role.password is None:
        if there:
            return Step("unchanged", f"role {user}")
        raise UserError(f"POSTGRES_{role.kind}_PASSWORD is missing: role {user!r} is to be made")
    password = role.password.get_secret_value()
    if not there:
        with _attempt(cursor) as attempt:
            _set_password(cursor, "CREATE ROLE {} LOGIN PASSWORD {}", user, password)
        if attempt.refused:
            raise UserError(
                f"{where}: role {settings.user!r} may not create role {user!r} (POSTGRES_{role.kind}_USER): create it "
                "there yourself (a managed service has a page for it), or give our role CREATEROLE; then run "
                "`webmon init` again"
            )
        return Step("created", f"role {user}")
    fault = _login_fault(settings, user, password)
    if fault is None:
        return Step("unchanged", f"role {user}")
    with _attempt(cursor) as attempt:
        _set_password(cursor, "ALTER ROLE {} LOGIN PASSWORD {}", user, password)
    if attempt.refused:
        raise UserError(
            f"{where}: role {user!r} can't log in with POSTGRES_{role.kind}_PASSWORD, and role {settings.user!r} may "
            "not change that: set the right password in the .env, or there"
        )
    return Step("changed", f"role {user}: password")


def _set_password(cursor: Cursor, statement: str, user: str, password: str) -> None:
    """Set a password as its SCRAM verifier, made here: the server's log and activity view never see the password."""
    verifier = encrypt_password(password, user, scope=cursor.connection, algorithm="scram-sha-256")
    cursor.execute(sql.SQL(statement).format(sql.Identifier(user), sql.Literal(verifier)))


def _login_fault(settings: Postgres, user: str, password: str) -> str | None:
    """Try a role's password, as only a superuser may compare verifiers."""
    try:
        postgres.connect(settings, application="webmon-init", autocommit=True, user=user, password=password).close()
    except (UserError, DatabaseAwayError) as error:
        return str(error)
    return None


def _rights(cursor: Cursor, settings: Postgres, tables: Tables, kind: Kind, user: str) -> Step:
    """Grant what is missing: a sink may add, describe and roll up, a reader may select, a judge write its history."""
    rights = _RIGHTS[kind]
    wanted_of_tables = [(tables.name(what), right) for what, listed in rights.items() for right in listed]
    missing = [(table, right) for table, right in wanted_of_tables if not _has_right(cursor, user, table, right)]
    for table, right in missing:
        cursor.execute(
            sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(right), sql.Identifier(table), sql.Identifier(user))
        )
    if kind == "SINK" and not _may_roll_up(cursor, tables, user):
        missing.append((tables.name("roll_up"), "EXECUTE"))
        cursor.execute(
            sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(
                sql.Identifier(tables.name("roll_up")), sql.Identifier(user)
            )
        )
    database = postgres.database(settings)
    # TEMPORARY: a sink copies its batch into a table of its session first.
    wanted = ("CONNECT", "TEMPORARY") if kind == "SINK" else ("CONNECT",)
    ungiven = []
    for right in wanted:
        if not _has_on_database(cursor, user, database, right):
            missing.append((database, right))
            statement = sql.SQL("GRANT {} ON DATABASE {} TO {}").format(
                sql.SQL(right), sql.Identifier(database), sql.Identifier(user)
            )
            with _attempt(cursor):
                cursor.execute(statement)
            # Who may not give it is told so by a warning alone.
            cursor.execute("SELECT has_database_privilege(%s, %s, %s)", (user, database, right))
            if not _yes(cursor):
                ungiven.append(statement.as_string(cursor))
    cursor.execute("SELECT has_schema_privilege(%s, current_schema(), 'USAGE')", (user,))
    if not _yes(cursor):
        missing.append(("schema", "USAGE"))
        cursor.execute("SELECT current_schema()")
        schema = cursor.fetchone()
        cursor.execute(
            sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(
                sql.Identifier(schema[0] if schema else "public"), sql.Identifier(user)
            )
        )
    if ungiven:
        return Step("not set", f"rights of {user}: the owner of the database must run {'; '.join(ungiven)}")
    what = f"rights of {user}: {_SAID[kind].format(table=tables.metrics)}"
    if not missing:
        return Step("unchanged", what)
    return Step("created" if len(missing) >= len(wanted_of_tables) else "changed", what)


_OWN_RIGHT: Final = """
SELECT CASE
    WHEN pg_has_role(d.datdba, 'USAGE') THEN EXISTS (
        SELECT FROM aclexplode(d.datacl) AS held JOIN pg_roles AS r ON r.oid = held.grantee
        WHERE r.rolname = %(user)s AND held.privilege_type = %(right)s
    )
    ELSE has_database_privilege(%(user)s, d.datname, %(right)s)
END
FROM pg_database AS d WHERE d.datname = %(database)s
"""


def _has_on_database(cursor: Cursor, user: str, database: str, right: str) -> bool:
    """Tell whether a role has a right of its own, where we could give it: what all have may be taken from all."""
    cursor.execute(_OWN_RIGHT, {"user": user, "right": right, "database": database})
    return _yes(cursor)


def _may_roll_up(cursor: Cursor, tables: Tables, user: str) -> bool:
    cursor.execute(
        "SELECT has_function_privilege(%s, quote_ident(%s) || '(timestamptz[], integer[], boolean)', 'EXECUTE')",
        (user, tables.name("roll_up")),
    )
    return _yes(cursor)


def _former_rights(cursor: Cursor, tables: Tables, user: str, *, take_away: bool) -> Iterator[Step]:
    had = [
        (tables.name(what), right)
        for what, listed in _FORMER_SINK_RIGHTS.items()
        for right in listed
        if _has_right(cursor, user, tables.name(what), right)
    ]
    if not had:
        return
    what = f"rights of {user} on the rollups, which sinks of the release before need"
    if not take_away:
        yield Step("unchanged", f"{what}: the next `webmon init` takes them away")
        return
    for table, right in had:
        cursor.execute(
            sql.SQL("REVOKE {} ON {} FROM {}").format(sql.SQL(right), sql.Identifier(table), sql.Identifier(user))
        )
    yield Step("changed", f"{what}: taken away")


def _has_right(cursor: Cursor, user: str, table: str, right: str) -> bool:
    """Tell whether a role has a right, which may be one on columns: `UPDATE (url, labels)`."""
    verb, _, columns = right.partition(" ")
    if not columns:
        cursor.execute("SELECT has_table_privilege(%s, quote_ident(%s), %s)", (user, table, verb))
    else:
        names = columns.strip("()").split(", ")
        cursor.execute(
            "SELECT bool_and(has_column_privilege(%s, quote_ident(%s), name, %s)) FROM unnest(%s::text[]) AS name",
            (user, table, verb, names),
        )
    return _yes(cursor)


def _yes(cursor: Cursor) -> bool:
    row = cursor.fetchone()
    return bool(row and row[0])

"""The database as a component needs it: TLS, schema, hypertable, our rights, the newest result."""

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from webmon.doctor import clock
from webmon.doctor.finding import Finding, failed, ok, warning
from webmon.errors import UserError
from webmon.render import some
from webmon.report.status import STALE_INTERVALS
from webmon.settings import Postgres
from webmon.store import postgres
from webmon.store.counts import COUNT, MOST_CONTEXTS, Counts
from webmon.store.names import Tables
from webmon.store.postgres import DatabaseAwayError
from webmon.store.version import SCHEMA_VERSION, current

_SHOWN: Final = 4
"""Rights that a line names."""
_VERBS: Final = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
_POWERS: Final = (
    *("pg_read_all_data", "pg_write_all_data", "pg_read_server_files", "pg_write_server_files"),
    *("pg_execute_server_program", "pg_signal_backend", "pg_maintain", "pg_create_subscription"),
)
"""Roles of PostgreSQL of which ours must be no member."""
_ATTRIBUTES: Final = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
_MEMBER_OF: Final = "SELECT rolname FROM pg_roles WHERE rolname = ANY (%s) AND pg_has_role(oid, 'MEMBER') ORDER BY 1"
_MAY_ROLL_UP: Final = """
SELECT has_function_privilege({roll_up_name} || '(timestamptz[], integer[], boolean)', 'EXECUTE')
"""
_GRACE_SECS: Final = 60.0
"""How old the newest result may be beyond what makes a vantage stale: the way through the topic."""
_NEWEST: Final = """
SELECT extract(epoch FROM now() - max(newest.time))::float8,
    bool_or(now() - newest.time <= make_interval(secs => %s * c.interval_secs + %s))
FROM {series} AS s
CROSS JOIN LATERAL (
    SELECT m.time, m.context_id FROM {metrics} AS m
    WHERE m.series_id = s.id AND m.time > now() - INTERVAL '3 days' ORDER BY m.time DESC LIMIT 1
) AS newest
JOIN {contexts} AS c ON c.id = newest.context_id
"""


def examine(
    settings: Postgres, rights: Mapping[str, Sequence[str]] | None, *, wants_results: bool
) -> Iterator[Finding]:
    """Look at the database as our role sees it.

    Args:
        settings: the way to it.
        rights: what our role should be allowed on each table (names of webmon.store.names); None for the owner of all.
        wants_results: whether a new result should be there.
    """
    tables = Tables(settings.table)
    try:
        with (
            postgres.session(
                settings, application="webmon-doctor", autocommit=True, reads_only=not _writes(rights)
            ) as connection,
            connection.cursor() as cursor,
        ):
            yield ok(
                "database",
                f"{postgres.place(settings)} takes role {settings.user!r}{postgres.standing(connection, settings)}",
            )
            yield _tls(cursor, settings)
            yield _log_in(settings, reads_only=not _writes(rights))
            yield _clock(cursor)
            of_schema = _schema(cursor, tables, is_of_init=rights is None)
            yield of_schema
            if of_schema.level == "FAILED":
                return
            yield _hypertable(cursor, tables)
            if rights is not None:
                yield from _rights(cursor, tables, settings, rights)
            yield _names(cursor, tables)
            if wants_results:
                yield _newest(cursor, tables)
    except UserError as error:
        yield failed("database", str(error))


def _writes(rights: Mapping[str, Sequence[str]] | None) -> bool:
    return rights is None or any(set(listed) - {"SELECT"} for listed in rights.values())


def _one(cursor: Cursor, statement: str | sql.Composed, values: Sequence[Any] | None = None) -> Any:
    cursor.execute(statement, values)
    row = cursor.fetchone()
    return row[0] if row else None


def _tls(cursor: Cursor, settings: Postgres) -> Finding:
    version = _one(cursor, "SELECT version FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()")
    if version is None:
        return failed(
            "database TLS", f"the session is not encrypted; right would be POSTGRES_SSL verify-full, not {settings.ssl}"
        )
    if settings.ssl != "verify-full":
        return warning(
            "database TLS",
            f"{version}, but POSTGRES_SSL is {settings.ssl}: anyone on the network path could pose as the server; "
            "right would be verify-full with POSTGRES_CA_CERTIFICATE",
        )
    return ok("database TLS", f"{version}, and the server's certificate is verified")


def _log_in(settings: Postgres, *, reads_only: bool) -> Finding:
    if settings.channel_binding == "require":
        return ok("database log-in", "is bound to the server's certificate: no other server can ask for the password")
    bound = settings.model_copy(update={"channel_binding": "require"})
    try:
        postgres.connect(bound, application="webmon-doctor", autocommit=True, reads_only=reads_only).close()
    except (UserError, DatabaseAwayError):
        told = "is not bound to the server's certificate, which this server (a pooler?) can't"
        return ok("database log-in", told) if settings.ssl == "verify-full" else warning("database log-in", told)
    return warning(
        "database log-in",
        "is not bound to the server's certificate, though this server can; right would be POSTGRES_CHANNEL_BINDING "
        "require",
    )


def _clock(cursor: Cursor) -> Finding:
    before = time.time()
    theirs = _one(cursor, "SELECT extract(epoch FROM clock_timestamp())::float8")
    return clock.examine(before, theirs, time.time(), whose="the database's")


def _schema(cursor: Cursor, tables: Tables, *, is_of_init: bool) -> Finding:
    version = current(cursor, tables)
    if version is None or version < SCHEMA_VERSION:
        return failed(
            "schema", f"is at version {version}, this webmon needs {SCHEMA_VERSION}: run `webmon init` of this release"
        )
    if version > SCHEMA_VERSION:
        # All but init work with a newer one: as while an upgrade goes on, or after a rollback.
        is_wrong = failed if is_of_init else warning
        told = f"is at version {version}, newer than the {SCHEMA_VERSION} of this webmon: bring the newer release here"
        return is_wrong("schema", told)
    return ok("schema", f"{tables.metrics} is at version {version}")


def _hypertable(cursor: Cursor, tables: Tables) -> Finding:
    chunks = _one(
        cursor,
        "SELECT num_chunks FROM timescaledb_information.hypertables"
        " WHERE hypertable_schema = current_schema() AND hypertable_name = %s",
        (tables.metrics,),
    )
    if chunks is None:
        return failed("hypertable", f"{tables.metrics} is no hypertable: was it restored without TimescaleDB?")
    return ok("hypertable", f"{tables.metrics} has {chunks} chunks")


def _names(cursor: Cursor, tables: Tables) -> Finding:
    cursor.execute(tables.fill(COUNT))
    there = Counts(*(cursor.fetchone() or ()))
    told = f"{there.targets} targets, {there.agents} agents, {there.series} series, {there.contexts} contexts"
    if there.contexts >= MOST_CONTEXTS:
        return warning(
            "names",
            f"{told}: with {MOST_CONTEXTS} contexts or more, new ones leave out the address that answered; see which "
            f"remote_ip of {tables.name('contexts')} are new each day, and let `webmon retention` run",
        )
    return ok("names", told)


def _rights(
    cursor: Cursor, tables: Tables, settings: Postgres, rights: Mapping[str, Sequence[str]]
) -> Iterator[Finding]:
    missing: list[str] = []
    beyond: list[str] = []
    for right, has, is_wanted in itertools.chain(
        _of_tables(cursor, tables, rights), _of_others(cursor, tables, adds="INSERT" in rights["metrics"])
    ):
        if is_wanted and not has:
            missing.append(right)
        elif has and not is_wanted:
            beyond.append(right)
    if missing:
        yield failed(
            "rights in the database", f"role {settings.user!r} lacks {some(missing, _SHOWN)}; see `webmon init`"
        )
    if beyond:
        yield warning(
            "rights in the database", f"role {settings.user!r} may also {some(beyond, _SHOWN)}: remove that right"
        )
    if not missing and not beyond:
        yield ok("rights in the database", f"role {settings.user!r} may do what it must, and no more")
    yield _bounds(cursor, settings)


_Right = tuple[str, bool, bool]
"""Its name; whether our role has it, and whether it must."""


def _of_tables(cursor: Cursor, tables: Tables, rights: Mapping[str, Sequence[str]]) -> Iterator[_Right]:
    for what, listed in rights.items():
        name = tables.name(what)
        wanted = {right.partition(" ")[0] for right in listed}
        whole = {right for right in listed if "(" not in right}
        for verb in _VERBS:
            kind = "table" if verb in whole or verb not in wanted else "any_column"
            has = _one(cursor, f"SELECT has_{kind}_privilege(quote_ident(%s), %s)", (name, verb))
            yield f"{verb} {name}", has, verb in wanted


def _of_others(cursor: Cursor, tables: Tables, *, adds: bool) -> Iterator[_Right]:
    on_database = "SELECT has_database_privilege(current_database(), %s)"
    yield "TEMPORARY on the database", _one(cursor, on_database, ("TEMPORARY",)), adds
    yield "CREATE on the database", _one(cursor, on_database, ("CREATE",)), False
    yield "CREATE in the schema", _one(cursor, "SELECT has_schema_privilege(current_schema(), 'CREATE')"), False
    yield f"EXECUTE {tables.name('roll_up')}", _one(cursor, tables.fill(_MAY_ROLL_UP)), adds
    cursor.execute(_MEMBER_OF, (list(_POWERS),))
    for (name,) in cursor.fetchall():
        yield f"act as {name}", True, False
    for attribute in _ATTRIBUTES:
        statement = sql.SQL("SELECT {} FROM pg_roles WHERE rolname = current_user").format(sql.Identifier(attribute))
        yield attribute.removeprefix("rol"), _one(cursor, statement), False


def _bounds(cursor: Cursor, settings: Postgres) -> Finding:
    lacks = []
    if _one(cursor, "SELECT rolconnlimit < 0 FROM pg_roles WHERE rolname = current_user"):
        lacks.append(
            "may take all connections: let `webmon init` or an administrator set a CONNECTION LIMIT for the role"
        )
    if _one(cursor, "SELECT has_function_privilege('lo_create(oid)', 'EXECUTE')"):
        lacks.append(
            "may fill the disk with large objects: a superuser can take them from all roles (docs/security.md); with a "
            "managed service that gives none, watch how full the disk is"
        )
    if lacks:
        return warning("bounds in the database", f"role {settings.user!r} {'; and it '.join(lacks)}")
    return ok(
        "bounds in the database", f"role {settings.user!r} can take neither all connections nor make large objects"
    )


def _newest(cursor: Cursor, tables: Tables) -> Finding:
    cursor.execute(tables.fill(_NEWEST), (STALE_INTERVALS, _GRACE_SECS))
    age, is_fresh = cursor.fetchone() or (None, None)
    if age is None:
        return failed("newest result", "no result in the last three days: does an agent run, and a sink?")
    # Each series by its own interval: what was taken out may have had a shorter one.
    if not is_fresh:
        return failed("newest result", f"is {age:.0f} s old: see `webmon doctor` on the agents, then on the sinks")
    return ok("newest result", f"is {max(age, 0.0):.0f} s old")

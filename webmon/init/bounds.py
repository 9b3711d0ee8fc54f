"""Bounds of a role in the database: how many connections, and how long a statement that sets nothing else may take."""

from typing import Final, Literal

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from webmon.init.step import Step

Kind = Literal["SINK", "READER", "ALARM"]
"""For whom a role is: its variables are POSTGRES_<KIND>_USER and POSTGRES_<KIND>_PASSWORD."""

_PARTS: Final[dict[Kind, tuple[int, int]]] = {"SINK": (3, 4), "READER": (1, 2), "ALARM": (1, 10)}
"""Which part of all connections a role may have, so that each leaves room for another and for the owner."""
_SETTINGS: Final[dict[Kind, dict[str, str]]] = {
    "SINK": {"statement_timeout": "5min", "lock_timeout": "2min", "idle_in_transaction_session_timeout": "5min"},
    "READER": {"statement_timeout": "30min", "lock_timeout": "1min", "idle_in_transaction_session_timeout": "10min"},
    "ALARM": {"statement_timeout": "5min", "lock_timeout": "1min", "idle_in_transaction_session_timeout": "1min"},
}
"""A session may set others, and so may the role itself for its sessions: PostgreSQL lets nobody hinder that."""
_RESERVED: Final = "pg_use_reserved_connections"
"""The role of PostgreSQL 16 and later whose members get a connection when all others are taken."""

_SET_ALREADY: Final = """
SELECT split_part(setting, '=', 1)
FROM pg_db_role_setting AS s
JOIN pg_roles AS r ON r.oid = s.setrole
LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
CROSS JOIN LATERAL unnest(s.setconfig) AS setting
WHERE r.rolname = %s AND (s.setdatabase = 0 OR d.datname = %s)
"""
_TO_BE_GIVEN: Final = """
SELECT FROM pg_roles AS r CROSS JOIN pg_roles AS us
WHERE r.rolname = %s AND us.rolname = current_user AND NOT pg_has_role(%s, r.oid, 'MEMBER') AND (
    us.rolsuper
    OR EXISTS (SELECT FROM pg_auth_members AS m WHERE m.roleid = r.oid AND m.member = us.oid AND m.admin_option)
)
"""


def ensure(cursor: Cursor, database: str, kind: Kind, user: str) -> Step:
    """Bound a role where nobody did; what an operator has set stays.

    Raises:
        psycopg2.Error: a statement was refused for another reason than want of a right.
    """
    limit, statements = _missing_limit(cursor, kind, user)
    cursor.execute(_SET_ALREADY, (user, database))
    already = {name for (name,) in cursor.fetchall()}
    for name, value in _SETTINGS[kind].items():
        if name not in already:
            statements.append(
                sql.SQL("ALTER ROLE {} IN DATABASE {} SET {} = {}").format(
                    sql.Identifier(user), sql.Identifier(database), sql.Identifier(name), sql.Literal(value)
                )
            )
    if kind == "SINK":
        cursor.execute(_TO_BE_GIVEN, (_RESERVED, user))
        if cursor.rowcount:
            statements.append(sql.SQL("GRANT {} TO {}").format(sql.Identifier(_RESERVED), sql.Identifier(user)))
    what = f"bounds of {user}: {limit} connections, and times of a statement"
    if not statements:
        return Step("unchanged", what)
    cursor.execute("SAVEPOINT bounds")
    try:
        for statement in statements:
            cursor.execute(statement)
    except psycopg2.errors.InsufficientPrivilege:
        cursor.execute("ROLLBACK TO SAVEPOINT bounds")
        return Step("not set", f"bounds of {user}: our role may not alter it")
    cursor.execute("RELEASE SAVEPOINT bounds")
    return Step("changed", what)


def _missing_limit(cursor: Cursor, kind: Kind, user: str) -> tuple[int, list[sql.Composed]]:
    cursor.execute(
        "SELECT rolconnlimit, current_setting('max_connections')::integer FROM pg_roles WHERE rolname = %s", (user,)
    )
    row = cursor.fetchone()
    limit, of_all = row or (-1, 0)
    if limit != -1:
        return limit, []
    part, whole = _PARTS[kind]
    limit = max(1, of_all * part // whole)
    statement = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(sql.Identifier(user), sql.Literal(limit))
    return limit, [statement]

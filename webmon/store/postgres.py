"""The database's side: connections, and what went wrong with one in one line that never holds the password."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import connection as Connection  # noqa: N812

from webmon.errors import UserError
from webmon.settings import Postgres
from webmon.store import sqlstate

CONNECT_SECS: Final = 5
"""Seconds to wait for each address of the host."""
SILENT_SECS: Final = 11
"""Seconds after which a server that has gone without a word is given up (keepalive: 5 s, then 3 times 2 s)."""


class DatabaseAwayError(Exception):
    """The database is not there, or can't work, at the moment: waiting may help. Holds one line for people."""


def connect(
    postgres: Postgres,
    *,
    application: str,
    autocommit: bool,
    reads_only: bool = False,
    user: str | None = None,
    password: str | None = None,
) -> Connection:
    """Connect as the settings say, or as another role with its password; to the first of several hosts that will do.

    Args:
        postgres: the way to the database.
        application: what the session is called on the server.
        autocommit: whether each statement commits by itself.
        reads_only: whether a standby will do.
        user: a role, instead of the settings' one.
        password: its password.

    Raises:
        UserError: what waiting will not mend: unknown host, wrong password, no such database, TLS that does not fit.
        DatabaseAwayError: refused, timed out, starting up, too many connections.
    """
    arguments: dict[str, Any] = {
        "host": postgres.host,
        "port": postgres.port,
        # What was the primary may be a standby when the session is made anew.
        "target_session_attrs": postgres.target_session_attrs or ("any" if reads_only else "read-write"),
        "user": user or postgres.user,
        "password": postgres.password.get_secret_value() if password is None else password,
        "dbname": database(postgres),
        "sslmode": postgres.ssl,
        "channel_binding": postgres.channel_binding,
        "connect_timeout": CONNECT_SECS,
        # A host that is cut off answers nothing, not even a reset: these bound how long we believe in it.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": SILENT_SECS * 1000,
        "application_name": application,
        "client_encoding": "UTF8",
    }
    if postgres.ssl != "verify-full" and postgres.channel_binding != "require":
        # Whoever answers could be another: it shall get nothing that gives the password away. A server that is known by
        # its certificate may ask as it likes, as managed ones do for tokens; and what is bound is SCRAM anyway.
        arguments["require_auth"] = "scram-sha-256,none"
    if postgres.ca_certificate is not None:
        arguments["sslrootcert"] = str(postgres.ca_certificate)
    try:
        connection: Connection = psycopg2.connect(**arguments)
    except psycopg2.OperationalError as error:
        raise _connect_fault(str(error), postgres, arguments) from error
    except UnicodeDecodeError as error:
        # A server whose own encoding is not UTF-8 knows nothing yet of ours.
        raise _connect_fault(error.object.decode(errors="replace"), postgres, arguments) from error
    connection.autocommit = autocommit
    return connection


@contextlib.contextmanager
def session(
    postgres: Postgres, *, application: str, autocommit: bool, reads_only: bool = False
) -> Iterator[Connection]:
    """Give a connection to a command that a person waits for, and close it; `connect` has the arguments.

    Raises:
        UserError: for whatever is wrong with the database, from the first moment to the last, its one line.
    """
    try:
        connection = connect(postgres, application=application, autocommit=autocommit, reads_only=reads_only)
        try:
            yield connection
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise UserError(str(explain(error, postgres))) from error
    except DatabaseAwayError as error:
        raise UserError(str(error)) from error


def database(postgres: Postgres) -> str:
    """Give the database's name; as with libpq it is the role's where none is set."""
    return postgres.database or postgres.user


def place(postgres: Postgres) -> str:
    """Name the server, or all of several, for people."""
    return f"PostgreSQL at {', '.join(f'{host}:{postgres.port}' for host in postgres.hosts)} {_VARIABLES}"


def standing(connection: Connection, postgres: Postgres) -> str:
    """Say which of several hosts a session is at, as the end of a line; nothing where there is one."""
    if len(postgres.hosts) == 1:
        return ""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_is_in_recovery()")
        is_standby = cursor.fetchone() == (True,)
    return f"; the session is at {connection.info.host}, {'a standby' if is_standby else 'the primary'}"


_VARIABLES: Final = "(POSTGRES_HOST, POSTGRES_PORT)"
_AWAY_CLASSES: Final = frozenset({"08", "53", "57", "58", "40", "55"})
"""SQLSTATE classes of a server that can't work now: connection, resources, operator, system, conflict, lock."""

# What libpq itself says when it can't connect, and what a person can do about it. Each is a regular expression on its
# message, which is English whatever the locale: Python leaves LC_MESSAGES alone.
_MENDED_BY_USER: Final = (
    (r"could not translate host name(?!.*Temporary failure)", "no host of that name"),
    (r"server does not support SSL", "speaks no TLS, but POSTGRES_SSL is {ssl}"),
    (r"invalid response to SSL negotiation", "what answers there is no PostgreSQL; is the port right?"),
    (
        r"root certificate file .* does not exist",
        "POSTGRES_SSL is {ssl}, which needs POSTGRES_CA_CERTIFICATE",
    ),
    (
        r"server certificate for .* does not match host name",
        "the server's certificate is not for that name, which POSTGRES_SSL={ssl} asks; right would be a POSTGRES_HOST "
        "that stands in the certificate",
    ),
    (
        r"channel binding",
        "the server can't bind the log-in to its certificate, as POSTGRES_CHANNEL_BINDING=require asks; with a "
        "pooler in between right would be prefer, and without one this may be a false server",
    ),
    (
        r"server requested a (?:cleartext|hashed) password|server did not complete authentication",
        "asks for the password in a way that gives it away, and POSTGRES_SSL={ssl} does not tell who asks; right would "
        "be scram-sha-256 there, or POSTGRES_SSL verify-full with POSTGRES_CA_CERTIFICATE",
    ),
    (r"certificate has expired", "the server's certificate has expired"),
    (
        r"certificate verify failed",
        "the server's certificate is not trusted by POSTGRES_CA_CERTIFICATE {authority}; it must hold the authority "
        "that signed it",
    ),
    (
        r"could not read root certificate file",
        "POSTGRES_CA_CERTIFICATE {authority} holds no PEM certificate",
    ),
)
_MENDED_BY_WAITING: Final = (
    (r"session is read-only|server is in hot standby mode", "is a standby, or takes no writes now"),
    (r"session is not read-only|server is not in hot standby mode", "is no standby now"),
    (r"could not translate host name", "the name can't be resolved at the moment"),
    (r"Connection refused", "connection refused; nothing listens on that port"),
    (r"timeout expired|timed out", f"no answer within {CONNECT_SECS} s; is a firewall between?"),
)
_REFUSED: Final = {
    errorcodes.INVALID_PASSWORD: "refuses the role {user!r} (POSTGRES_USER) with POSTGRES_PASSWORD",
    errorcodes.INVALID_CATALOG_NAME: (
        "has no database {database!r} (POSTGRES_DATABASE; default: the role's name, POSTGRES_USER)"
    ),
    errorcodes.INSUFFICIENT_PRIVILEGE: "does not let role {user!r} connect to database {database!r}",
    errorcodes.INVALID_AUTHORIZATION_SPECIFICATION: "does not let role {user!r} (POSTGRES_USER) log in: {said}",
}
"""What the server says when it takes no connection, by its SQLSTATE: its words are of its own language."""
_NO_WORDS: Final = "takes no connection now"
_NO_LINE: Final = (
    "no line of its pg_hba.conf lets role {user!r} (POSTGRES_USER) into database {database!r} (POSTGRES_DATABASE) "
    "from this host"
)
_NO_LINE_WITHOUT_TLS: Final = f"{_NO_LINE}, or only with TLS: POSTGRES_SSL is {{ssl}}, right would be require or higher"


_ATTEMPT: Final = re.compile(r'(?:connection to server at|could not translate host name) "([^"]*)"')
"""How libpq begins what it says of one host."""


def _connect_fault(text: str, postgres: Postgres, arguments: Mapping[str, Any]) -> UserError | DatabaseAwayError:
    text = " ".join(text.split())
    where = place(postgres)
    if len(postgres.hosts) == 1:
        fault = _fault_of(text, postgres, arguments)
        return (UserError if fault.lasts else DatabaseAwayError)(f"{where}: {fault.meaning}")
    begins = [*_ATTEMPT.finditer(text)]
    ends = [*[begin.start() for begin in begins][1:], len(text)]
    # Of several attempts at one host, the last.
    said = {begin[1]: text[begin.start() : end] for begin, end in zip(begins, ends, strict=False)}
    faults = {host: _fault_of(words, postgres, {**arguments, "host": host}) for host, words in said.items()}
    if not faults:
        return DatabaseAwayError(f"{where}: {text or _NO_WORDS}")
    # A host that refuses us ends the search; else one that is away now may be the one that we want.
    lasts = all(fault.lasts for fault in faults.values()) or [*faults.values()][-1].is_refusal
    told = "; ".join(f"{host}: {fault.meaning}" for host, fault in faults.items())
    return (UserError if lasts else DatabaseAwayError)(f"{where}: {told}")


class _Fault(NamedTuple):
    """What is wrong with one host."""

    meaning: str
    lasts: bool
    """Whether waiting will not mend it."""
    is_refusal: bool = False
    """Whether the server itself said so, and it lasts."""


def _fault_of(text: str, postgres: Postgres, arguments: Mapping[str, Any]) -> _Fault:
    # Of several attempts, at each address and with TLS and without, the last one's.
    said = text.rpartition(" failed: ")[2].partition(" Is the server running")[0]
    values = {
        "user": arguments["user"],
        "database": database(postgres),
        "ssl": postgres.ssl,
        "authority": postgres.ca_certificate,
    }
    for pattern, meaning in _MENDED_BY_USER:
        if re.search(pattern, said):
            return _Fault(meaning.format(**values), lasts=True)
    for pattern, meaning in _MENDED_BY_WAITING:
        if re.search(pattern, said):
            return _Fault(meaning, lasts=False)
    code = sqlstate.of_refusal(arguments, CONNECT_SECS)
    if code is None:
        return _Fault(said or _NO_WORDS, lasts=False)
    # After the severity; empty where the driver could not decode the server's words, on Python 3.11.
    said = said.partition(": ")[2].strip() or _NO_WORDS
    if code[:2] in _AWAY_CLASSES:
        return _Fault(said, lasts=False)
    meaning = _REFUSED.get(code, "{said} (SQLSTATE {code})")
    if code == errorcodes.INVALID_AUTHORIZATION_SPECIFICATION and "pg_hba.conf" in said:
        meaning = _NO_LINE if postgres.ssl.startswith(("require", "verify")) else _NO_LINE_WITHOUT_TLS
    return _Fault(meaning.format(**values, said=said, code=code), lasts=True, is_refusal=True)


def is_content_fault(error: BaseException) -> bool:
    """Whether a row's content was refused, by the server or, for a NUL, by the driver.

    By the server: classes 22 and 23, and names too long for their index.

    A value of the wrong length is not content: the table has other columns than this release's.
    """
    if isinstance(error, psycopg2.Error):
        if error.pgcode == errorcodes.INVALID_BINARY_REPRESENTATION:
            return False
        if error.pgcode == errorcodes.PROGRAM_LIMIT_EXCEEDED:
            return True
        return error.pgcode is not None and error.pgcode[:2] in ("22", "23")
    return isinstance(error, ValueError)


def is_conflict(error: psycopg2.Error) -> bool:
    """Whether two sessions stood in each other's way, so that the same statement can simply be sent again."""
    return error.pgcode in (errorcodes.DEADLOCK_DETECTED, errorcodes.SERIALIZATION_FAILURE)


def explain(error: psycopg2.Error, postgres: Postgres) -> UserError | DatabaseAwayError:
    """Sort a failed statement into what the user must mend and what waiting may mend, with its one line."""
    where = place(postgres)
    code = error.pgcode
    text = " ".join((error.diag.message_primary or str(error)).split())
    if code is None or code[:2] in _AWAY_CLASSES or code == errorcodes.READ_ONLY_SQL_TRANSACTION:
        return DatabaseAwayError(f"{where}: {text or type(error).__name__}")
    if code in (errorcodes.UNDEFINED_TABLE, errorcodes.UNDEFINED_OBJECT, errorcodes.UNDEFINED_COLUMN):
        return UserError(
            f"{where}: {text} in database {database(postgres)!r}; is POSTGRES_TABLE right? `webmon init` creates it"
        )
    if code == errorcodes.INSUFFICIENT_PRIVILEGE:
        return UserError(
            f"{where}: {text} (role {postgres.user!r}); `webmon init` gives the rights to the roles in "
            "POSTGRES_SINK_USER, POSTGRES_READER_USER and POSTGRES_ALARM_USER"
        )
    return UserError(f"{where}: {text} (SQLSTATE {code})")

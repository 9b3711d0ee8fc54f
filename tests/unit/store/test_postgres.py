"""Faults of a database that a real one does not show on demand; those that it does are in tests/integration."""

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any, Self

import psycopg2
import pytest

from webmon.errors import UserError
from webmon.settings import Postgres
from webmon.store import postgres, sqlstate
from webmon.store.postgres import DatabaseAwayError


def make_settings(**changes: str) -> Postgres:
    values = {
        "POSTGRES_HOST": "db.example",
        "POSTGRES_USER": "webmon_sink",
        "POSTGRES_PASSWORD": "hunter2",
        "POSTGRES_DATABASE": "webmon",
    }
    return Postgres.model_validate(values | changes, context={"workspace": Path("/w")})


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        ("connection to server failed: Connection timed out", DatabaseAwayError, "no answer within 5 s"),
        (
            'connection to server at "db" (::1), port 5432 failed: timeout expired\n'
            'connection to server at "db" (127.0.0.1), port 5432 failed: Connection refused\n'
            "\tIs the server running on that host and accepting TCP/IP connections?\n",
            DatabaseAwayError,
            "connection refused; nothing listens on that port",
        ),
        ("could not translate host name: Temporary failure in name resolution", DatabaseAwayError, "at the moment"),
        ("could not translate host name: Name or service not known", UserError, "no host of that name"),
        (
            'server certificate for "db1" (and 1 other name) does not match host name "db.example"',
            UserError,
            "certificate is not for that name",
        ),
        ("SSL error: certificate has expired", UserError, "has expired"),
        ("server does not support SSL, but SSL was required", UserError, "speaks no TLS, but POSTGRES_SSL is require"),
        ("something on the way broke", DatabaseAwayError, "something on the way broke"),
    ],
)
def test_what_libpq_says_of_a_failed_connect_is_sorted_and_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, text: str, kind: type[Exception], told: str
) -> None:
    def refuse(**_: Any) -> None:
        raise psycopg2.OperationalError(text)

    monkeypatch.setattr(psycopg2, "connect", refuse)
    with pytest.raises((UserError, DatabaseAwayError)) as caught:
        postgres.connect(make_settings(), application="test", autocommit=True)
    assert type(caught.value) is kind
    assert told in str(caught.value)
    assert str(caught.value).startswith("PostgreSQL at db.example:5432 (POSTGRES_HOST, POSTGRES_PORT)")
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind", "told"),
    [
        (
            'connection to server at "db1" (10.0.0.1), port 5432 failed: Connection refused\n'
            "\tIs the server running on that host and accepting TCP/IP connections?\n"
            'connection to server at "db2" (10.0.0.2), port 5432 failed: session is read-only\n',
            DatabaseAwayError,
            "db1: connection refused; nothing listens on that port; db2: is a standby, or takes no writes now",
        ),
        (
            'could not translate host name "db1" to address: Name or service not known\n'
            'connection to server at "db2" (10.0.0.2), port 5432 failed: timeout expired',
            DatabaseAwayError,
            "db1: no host of that name; db2: no answer within 5 s; is a firewall between?",
        ),
        (
            'could not translate host name "db1" to address: Name or service not known\n'
            'connection to server at "db2" (10.0.0.2), port 5432 failed: SSL error: certificate has expired',
            UserError,
            "db1: no host of that name; db2: the server's certificate has expired",
        ),
        ("something on the way broke", DatabaseAwayError, "something on the way broke"),
    ],
)
def test_of_several_hosts_each_is_told_and_one_that_is_away_may_come_back(
    monkeypatch: pytest.MonkeyPatch, text: str, kind: type[Exception], told: str
) -> None:
    def refuse(**_: Any) -> None:
        raise psycopg2.OperationalError(text)

    monkeypatch.setattr(psycopg2, "connect", refuse)
    with pytest.raises((UserError, DatabaseAwayError)) as caught:
        postgres.connect(make_settings(POSTGRES_HOST="db1, db2,"), application="test", autocommit=True)
    assert type(caught.value) is kind
    assert str(caught.value) == f"PostgreSQL at db1:5432, db2:5432 (POSTGRES_HOST, POSTGRES_PORT): {told}"


@pytest.mark.parametrize(
    ("given", "reads_only", "asked"),
    [({}, False, "read-write"), ({}, True, "any"), ({"POSTGRES_TARGET_SESSION_ATTRS": "primary"}, True, "primary")],
)
def test_what_writes_asks_for_a_server_that_takes_writes(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], reads_only: bool, asked: str
) -> None:
    arguments: dict[str, Any] = {}

    def refuse(**given: Any) -> None:
        arguments.update(given)
        raise psycopg2.OperationalError("no")

    monkeypatch.setattr(psycopg2, "connect", refuse)
    settings = make_settings(POSTGRES_HOST="db1,db2", **given)
    with pytest.raises((UserError, DatabaseAwayError)):
        postgres.connect(settings, application="test", autocommit=True, reads_only=reads_only)
    assert (arguments["host"], arguments["target_session_attrs"]) == ("db1,db2", asked)


class Refusing:
    """A server that refuses every connection with an ErrorResponse, as a real one that is set to German sent it."""

    def __init__(self, severity: str, code: str, words: bytes) -> None:
        """Listen."""
        fields = b"".join((b"S", severity.encode(), b"\0VFATAL\0C", code.encode(), b"\0M", words, b"\0\0"))
        self._answer = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.settings = make_settings(
            POSTGRES_HOST="127.0.0.1", POSTGRES_PORT=str(self._socket.getsockname()[1]), POSTGRES_SSL="disable"
        )
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        """Serve."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Be no more."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                with self._socket.accept()[0] as client:
                    client.recv(4096)
                    client.sendall(self._answer)


@pytest.mark.parametrize(
    ("code", "words", "kind", "told"),
    [
        ("57P03", "das Datenbanksystem startet", DatabaseAwayError, "das Datenbanksystem startet"),
        ("57P03", "das Datenbanksystem fährt herunter", DatabaseAwayError, "fährt herunter"),
        ("53300", "tut mir leid, schon zu viele Verbindungen", DatabaseAwayError, "schon zu viele Verbindungen"),
        (
            "28P01",
            "Passwort-Authentifizierung für Benutzer »webmon_sink« fehlgeschlagen",
            UserError,
            "refuses the role 'webmon_sink' (POSTGRES_USER) with POSTGRES_PASSWORD",
        ),
        ("3D000", "Datenbank »webmon« existiert nicht", UserError, "has no database 'webmon' (POSTGRES_DATABASE;"),
        (
            "42501",
            "keine Berechtigung für Datenbank »webmon«",
            UserError,
            "does not let role 'webmon_sink' connect to database 'webmon'",
        ),
        (
            "28000",
            "Rolle »webmon_sink« existiert nicht",
            UserError,
            "does not let role 'webmon_sink' (POSTGRES_USER) log in: Rolle »webmon_sink« existiert nicht",
        ),
        (
            "28000",
            "kein pg_hba.conf-Eintrag für Host »127.0.0.1«, Benutzer »webmon_sink«, Datenbank »webmon«, keine "
            "Verschlüsselung",
            UserError,
            "from this host, or only with TLS: POSTGRES_SSL is disable, right would be require or higher",
        ),
        ("0A000", "nicht unterstützt", UserError, "nicht unterstützt (SQLSTATE 0A000)"),
    ],
)
def test_a_server_that_speaks_german_is_understood_as_an_english_one(
    code: str, words: str, kind: type[Exception], told: str
) -> None:
    with Refusing("FATAL", code, words.encode()) as server, pytest.raises((UserError, DatabaseAwayError)) as caught:
        postgres.connect(server.settings, application="test", autocommit=True)
    assert type(caught.value) is kind
    assert told in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("severity", "words", "told"),
    [
        ("ВАЖНО", "система баз данных запускается".encode(), (": система баз данных запускается",)),
        (
            "FATAL",
            "das Datenbanksystem fährt herunter".encode("latin-1"),
            (": takes no connection now", "f\N{REPLACEMENT CHARACTER}hrt herunter"),
        ),
    ],
)
def test_a_server_is_understood_whatever_alphabet_and_encoding_it_has(
    severity: str, words: bytes, told: tuple[str, ...]
) -> None:
    with Refusing(severity, "57P03", words) as server, pytest.raises(DatabaseAwayError) as caught:
        postgres.connect(server.settings, application="test", autocommit=True)
    assert str(caught.value).endswith(told)


def test_a_wrong_password_is_told_though_a_second_try_without_tls_is_refused_as_such() -> None:
    assert sqlstate.chosen("a failed: FATAL:  28P01\nb failed: FATAL:  28000\n") == "28P01"
    assert sqlstate.chosen("a failed: FATAL:  28000\nb failed: FATAL:  3D000\n") == "3D000"
    assert sqlstate.chosen("FATAL:  28000\n") == "28000"
    assert sqlstate.chosen("server does not support SSL\n") is None


def test_a_connection_that_breaks_is_waited_for() -> None:
    error = postgres.explain(psycopg2.OperationalError("server closed the connection\nunexpectedly"), make_settings())
    assert isinstance(error, DatabaseAwayError)
    assert "\n" not in str(error)


def test_the_database_is_named_after_the_role_where_none_is_set() -> None:
    assert postgres.database(make_settings(POSTGRES_DATABASE="x")) == "x"
    settings = Postgres.model_validate(
        {"POSTGRES_HOST": "h", "POSTGRES_USER": "someone", "POSTGRES_PASSWORD": "p"}, context={"workspace": Path("/w")}
    )
    assert postgres.database(settings) == "someone"


def test_a_nul_that_the_driver_refuses_counts_as_content_and_a_lost_connection_does_not() -> None:
    assert postgres.is_content_fault(ValueError("A string literal cannot contain NUL (0x00) characters."))
    assert not postgres.is_content_fault(psycopg2.OperationalError("gone"))


def test_a_host_that_refuses_us_ends_a_start_though_another_is_away() -> None:
    with Refusing("FATAL", "28P01", b"no") as server, socket.socket() as closed:
        closed.bind(("127.0.0.2", server.settings.port))  # nobody listens
        settings = server.settings.model_copy(update={"hosts": ["127.0.0.2", "127.0.0.1"]})
        with pytest.raises(UserError, match=r"127.0.0.2: connection refused.*127.0.0.1: refuses the role"):
            postgres.connect(settings, application="test", autocommit=True)

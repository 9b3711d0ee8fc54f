"""Faults of a database that a real one does not show on demand; those that it does are in tests/integration."""

from pathlib import Path
from typing import Any

import psycopg2
import pytest

from webmon.errors import UserError
from webmon.settings import Postgres
from webmon.store import postgres
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
        ("FATAL:  the database system is starting up", DatabaseAwayError, "is starting up"),
        ("FATAL:  the database system is not yet accepting connections", DatabaseAwayError, "not yet accepting"),
        ("FATAL:  sorry, too many clients already", DatabaseAwayError, "too many clients"),
        ("FATAL:  remaining connection slots are reserved for x", DatabaseAwayError, "connection slots"),
        ("connection to server failed: Connection timed out", DatabaseAwayError, "no answer within 5 s"),
        ("could not translate host name: Temporary failure in name resolution", DatabaseAwayError, "Temporary"),
        (
            'server certificate for "db1" (and 1 other name) does not match host name "db.example"',
            UserError,
            "certificate is not for that name",
        ),
        ("SSL error: certificate has expired", UserError, "has expired"),
        ("server does not support SSL, but SSL was required", UserError, "speaks no TLS, but POSTGRES_SSL is require"),
        ('FATAL:  no pg_hba.conf entry for host "x", user "y", SSL encryption', UserError, "pg_hba.conf"),
        ('FATAL:  permission denied for database "webmon"', UserError, "connect to database 'webmon'"),
        ("FATAL:  something new\nDETAIL: more", UserError, "something new DETAIL: more"),
        ("something on the way broke", DatabaseAwayError, "something on the way broke"),
    ],
)
def test_a_failed_connect_is_sorted_and_told_in_one_line(
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

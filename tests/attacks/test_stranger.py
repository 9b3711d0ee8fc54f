"""A stranger on the network reaches the ports of broker and database, and has no certificate and no password."""

import contextlib
import socket
import time

import psycopg2
import pytest

from tests.attacks.positions import LONG, STRANGER
from tests.integration.services import Services
from tests.integration.stage import Stage, recent
from tests.waiting import wait_until

CONNECTIONS = 300


@LONG
@STRANGER
def test_hundreds_of_silent_connections_to_the_broker_keep_no_result_from_the_store(stage: Stage) -> None:
    place = stage.services.kafka_host, stage.services.kafka_port
    stage.start_sink()
    with contextlib.ExitStack() as held:
        for _ in range(CONNECTIONS):
            held.enter_context(socket.create_connection(place, timeout=10))
        began = time.monotonic()
        stage.publish([recent(number) for number in range(20)])
        wait_until(lambda: stage.count() == 20, "stored beside them")
        assert time.monotonic() - began < 30


@STRANGER
def test_bytes_that_are_no_kafka_end_no_broker(stage: Stage) -> None:
    place = stage.services.kafka_host, stage.services.kafka_port
    # A length of 2 GB where Kafka's begins, a record of TLS that claims more than there is, and HTTP.
    for said in (b"\x7f\xff\xff\xff" + b"\0" * 1000, b"\x16\x03\x01\xff\xff" + b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n"):
        with contextlib.suppress(OSError), socket.create_connection(place, timeout=10) as connection:
            connection.sendall(said)
            connection.settimeout(2)
            connection.recv(100)
    stage.publish([recent()])


@STRANGER
def test_the_database_takes_no_password_that_is_guessed_and_tells_no_role_from_none(services: Services) -> None:
    said = set()
    for user in ("webmon_sink", "no_such_role"):
        with pytest.raises(psycopg2.OperationalError) as refused:
            psycopg2.connect(
                host=services.postgres_host, port=services.postgres_port, dbname=services.database, user=user,
                password="guessed", sslmode="verify-full", sslrootcert=str(services.ca),
            )  # fmt: skip
        said.add(str(refused.value).replace(user, "USER"))
    assert len(said) == 1, said

"""Logging in with a password to brokers that do not do as they should; real ones are in tests/integration."""

import socket
import struct
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from webmon.kafka.login import RefusedError, log_in
from webmon.settings import Kafka


def _text(value: str) -> bytes:
    return struct.pack(">h", len(value)) + value.encode()


def _handshake(code: int, *mechanisms: str) -> bytes:
    return struct.pack(">hi", code, len(mechanisms)) + b"".join(map(_text, mechanisms))


def _authenticated(code: int, data: bytes = b"") -> bytes:
    return struct.pack(">hhi", code, -1, len(data)) + data


def attempt(answers: Sequence[bytes], mechanism: str = "PLAIN") -> None:
    """Log in to a broker that gives those answers."""
    values = {
        "KAFKA_HOST": "broker",
        "KAFKA_PORT": 9093,
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": mechanism,
        "KAFKA_SASL_USERNAME": "webmon",
        "KAFKA_SASL_PASSWORD": "secret-word",
    }
    kafka = Kafka.model_validate(values, context={"workspace": Path()})
    ours, theirs = socket.socketpair()
    ours.settimeout(5)

    def serve() -> None:
        with theirs:
            for answer in answers:
                theirs.recv(4096)
                theirs.sendall(struct.pack(">ii", 4 + len(answer), 0) + answer)

    thread = threading.Thread(target=serve)
    thread.start()
    with ours:
        try:
            log_in(ours, kafka)
        finally:
            ours.close()
            thread.join()


def test_a_broker_that_takes_the_password() -> None:
    attempt([_handshake(0, "PLAIN"), _authenticated(0)])


def test_a_port_without_passwords_is_told_as_such() -> None:
    with pytest.raises(RefusedError, match="no password on that port; right would be KAFKA_SECURITY_PROTOCOL SSL"):
        attempt([_handshake(34)])


def test_what_a_broker_offers_is_told_without_its_control_characters() -> None:
    with pytest.raises(RefusedError) as caught:
        attempt([_handshake(33, "SCRAM-SHA-512", "\x1b[31mOAUTH\n")])
    assert str(caught.value).startswith("does not take KAFKA_SASL_MECHANISM PLAIN; it takes ")
    assert str(caught.value).isprintable()


def test_another_error_of_the_broker_is_told_by_its_name() -> None:
    with pytest.raises(RefusedError, match="IllegalSaslStateError"):
        attempt([_handshake(0, "PLAIN"), _authenticated(34)])


@pytest.mark.parametrize("data", [b"", b"junk", b"r=else,s=c2FsdA==,i=4096", b"\xff"])
def test_a_broker_that_does_not_know_the_password_either_is_not_believed(data: bytes) -> None:
    with pytest.raises(RefusedError, match="is it the right broker"):
        attempt([_handshake(0, "SCRAM-SHA-512"), _authenticated(0, data)], "SCRAM-SHA-512")


def test_what_is_no_answer_of_kafkas_is_told() -> None:
    with pytest.raises(RefusedError, match="no answer of Kafka's"):
        attempt([b"\0"])


def test_an_end_in_between_is_the_connections() -> None:
    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        attempt([_handshake(0, "PLAIN")])

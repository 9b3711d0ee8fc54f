"""The way to a broker: each fault is named, with its variable. What a real one shows is in tests/integration."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
from kafka import errors as kafka_errors

from webmon.errors import UserError
from webmon.kafka.client import consumer_args, producer_args
from webmon.kafka.reach import KafkaAwayError, check_reachable, explain
from webmon.settings import Kafka

Serve = Callable[[socket.socket], None]


class Pki:
    """An authority, and a client's certificate of it as files."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        client = self.authority.issue_cert("client")
        client.cert_chain_pems[0].write_to_path(str(directory / "client.pem"))
        client.private_key_pem.write_to_path(str(directory / "client.key"))

    def settings(self, port: int, host: str = "127.0.0.1") -> Kafka:
        values = {
            "KAFKA_HOST": host,
            "KAFKA_PORT": port,
            "KAFKA_ACCESS_CERTIFICATE": str(self.directory / "client.pem"),
            "KAFKA_ACCESS_KEY": str(self.directory / "client.key"),
            "KAFKA_CA_CERTIFICATE": str(self.directory / "ca.pem"),
        }
        return Kafka.model_validate(values, context={"workspace": self.directory})

    def broker(self, name: str = "127.0.0.1", *, trusts: trustme.CA | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(name).configure_cert(context)
        (trusts or self.authority).configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


@contextlib.contextmanager
def listening(serve: Serve) -> Iterator[int]:
    """Serve one connection; give the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    serve(connection)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(timeout=5)


def speaking_tls(context: ssl.SSLContext, answer: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError), context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(100)
            secure.sendall(answer)

    return serve


def closing(_: socket.socket) -> None:
    """Serve nothing."""


KAFKA_ANSWER = b"\0\0\0\x0a\0\0\0\x01\0\0\0\0\0\0"


def fault(settings: Kafka, timeout: float = 5.0) -> UserError | KafkaAwayError:
    with pytest.raises((UserError, KafkaAwayError)) as caught:
        check_reachable(settings, timeout=timeout)
    assert "KAFKA_HOST" in str(caught.value)
    assert "\n" not in str(caught.value)
    return caught.value  # type: ignore[return-value]


def test_a_broker_that_answers_as_kafka_does_is_fine(pki: Pki) -> None:
    with listening(speaking_tls(pki.broker(), KAFKA_ANSWER)) as port:
        check_reachable(pki.settings(port))


def test_a_certificate_for_another_name(pki: Pki) -> None:
    with listening(speaking_tls(pki.broker("kafka.example"), KAFKA_ANSWER)) as port:
        error = fault(pki.settings(port))
    assert isinstance(error, UserError)
    assert "certificate is not for the name 127.0.0.1" in str(error)


def test_a_broker_that_trusts_another_authority_than_ours_refuses_us(pki: Pki) -> None:
    with listening(speaking_tls(pki.broker(trusts=trustme.CA()), KAFKA_ANSWER)) as port:
        error = fault(pki.settings(port))
    # Its alert may be lost where it closes the connection faster than we read.
    assert "our certificate KAFKA_ACCESS_CERTIFICATE" in str(error)
    assert "trust" in str(error)


def test_something_else_than_kafka_behind_tls(pki: Pki) -> None:
    with listening(speaking_tls(pki.broker(), b"HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
        error = fault(pki.settings(port))
    assert isinstance(error, UserError)
    assert "not Kafka's protocol" in str(error)


def test_a_port_without_tls(pki: Pki) -> None:
    with listening(lambda connection: connection.sendall(b"220 mail ready\r\n")) as port:
        error = fault(pki.settings(port))
    assert isinstance(error, UserError)
    assert "does not speak TLS; KAFKA_PORT" in str(error)


def test_a_port_that_closes_at_once_may_be_a_broker_that_starts(pki: Pki) -> None:
    with listening(closing) as port:
        error = fault(pki.settings(port))
    assert "TLS" in str(error)


def test_a_port_that_accepts_and_is_silent(pki: Pki) -> None:
    released = threading.Event()

    def hang(_: socket.socket) -> None:
        released.wait(5)

    with listening(hang) as port:
        error = fault(pki.settings(port), timeout=0.2)
        released.set()
    assert isinstance(error, KafkaAwayError)
    assert "silent for 0.2 s" in str(error)


def test_a_closed_port_may_open_later(pki: Pki) -> None:
    with listening(closing) as port:
        check = pki.settings(port)
        socket.create_connection(("127.0.0.1", port)).close()
    assert isinstance(fault(check), KafkaAwayError)


def test_an_unknown_name_is_the_users_to_mend(pki: Pki) -> None:
    error = fault(pki.settings(9093, "no-such-host.invalid"))
    assert isinstance(error, UserError)
    assert "no host of that name" in str(error)


def test_a_host_that_no_name_can_be_is_told_and_the_others_are_tried(pki: Pki) -> None:
    none = f"{'a' * 64}.example.org"
    with listening(closing) as port:
        with pytest.raises((UserError, KafkaAwayError), match=f"Kafka at 127.0.0.1:{port} "):
            check_reachable(pki.settings(port, f"{none},127.0.0.1"))
        error = fault(pki.settings(port, none))
    assert isinstance(error, UserError)
    assert str(error) == f"Kafka at {none}:{port} (KAFKA_HOST, KAFKA_PORT): that is no host name"


def test_all_brokers_are_told_when_none_is_there(pki: Pki) -> None:
    with listening(closing) as port:
        settings = pki.settings(port, "127.0.0.2,127.0.0.3")
        error = fault(settings)
        socket.create_connection(("127.0.0.1", port)).close()
    assert "127.0.0.2" in str(error)
    assert "127.0.0.3" in str(error)


def test_clients_use_tls_with_hostname_check_and_never_lose_or_expire_a_record(pki: Pki) -> None:
    producer = producer_args(pki.settings(9093, "a,b"))
    assert producer["bootstrap_servers"] == ["a:9093", "b:9093"]
    assert producer["security_protocol"] == "SSL"
    assert producer["ssl_check_hostname"] is True
    assert (producer["acks"], producer["enable_idempotence"]) == ("all", True)
    assert producer["delivery_timeout_ms"] >= 86_400_000
    consumer = consumer_args(pki.settings(9093))
    assert consumer["enable_auto_commit"] is False
    assert consumer["auto_offset_reset"] == "earliest"


def test_a_missing_right_is_told_with_what_gives_it(pki: Pki) -> None:
    line = explain(kafka_errors.TopicAuthorizationFailedError("x"), pki.settings(9093), wanted="READ topic x")
    assert "READ topic x: `webmon init` gives that right" in line
    assert str(pki.directory / "client.pem") in line


def test_other_errors_are_told_in_one_line(pki: Pki) -> None:
    line = explain(kafka_errors.KafkaTimeoutError("a\nb"), pki.settings(9093), wanted="WRITE topic x")
    assert line.startswith("Kafka at 127.0.0.1:9093 could not WRITE topic x: ")
    assert "\n" not in line

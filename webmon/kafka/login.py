"""Logging in to a broker with a user and its password: SASL, on a connection of our own, to see what is wrong with it.

Messages and mechanisms are kafka-python's; which messages those are: https://kafka.apache.org/protocol#sasl_handshake.
"""

import struct
from typing import Any, Final

from kafka import errors as kafka_errors
from kafka.protocol.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)

from webmon.kafka.client import sasl_exchange
from webmon.settings import Kafka

_LARGEST: Final = 64 * 1024
"""Bytes of an answer: each that is asked for here has a few hundred."""
_HANDSHAKE_VERSION, _AUTHENTICATE_VERSION = 1, 0
"""What every broker since Kafka 1.0 speaks."""
_STEPS: Final = 4
"""Answers of one exchange at most; PLAIN takes one, SCRAM two."""


class RefusedError(Exception):
    """The broker does not log us in; says why and what would be right, as the end of a line."""


def log_in(connection: Any, kafka: Kafka) -> None:
    """Log in on a connection inside TLS on which every answer so far is read.

    Raises:
        RefusedError: waiting will not mend it.
        OSError: the connection ended, or is silent.
    """
    mechanism = kafka.sasl_mechanism
    handshake = SaslHandshakeRequest(mechanism=mechanism, version=_HANDSHAKE_VERSION)
    answer = _ask(connection, handshake, SaslHandshakeResponse, _HANDSHAKE_VERSION)
    error = kafka_errors.for_code(answer.error_code)
    if error is kafka_errors.IllegalSaslStateError:
        raise RefusedError(
            "asks for no password on that port; right would be KAFKA_SECURITY_PROTOCOL SSL, or another port"
        )
    if error is kafka_errors.UnsupportedSaslMechanismError or mechanism not in answer.mechanisms:
        offered = ", ".join(sorted(str(one)[:30] for one in answer.mechanisms[:10])) or "none"
        raise RefusedError(f"does not take KAFKA_SASL_MECHANISM {mechanism}; it takes {offered!a}")
    _check(error)
    exchange = sasl_exchange(kafka)
    for _ in range(_STEPS):
        question = SaslAuthenticateRequest(auth_bytes=exchange.auth_bytes(), version=_AUTHENTICATE_VERSION)
        told = _ask(connection, question, SaslAuthenticateResponse, _AUTHENTICATE_VERSION)
        error = kafka_errors.for_code(told.error_code)
        if error is kafka_errors.SaslAuthenticationFailedError:
            raise RefusedError(
                f"refuses user {kafka.sasl_username!r} (KAFKA_SASL_USERNAME) with KAFKA_SASL_PASSWORD by {mechanism}"
            )
        _check(error)
        try:
            exchange.receive(told.auth_bytes)
        except (ValueError, KeyError) as fault:
            raise RefusedError(f"does not know the password either ({mechanism}): is it the right broker?") from fault
        if exchange.is_done():
            return
    raise RefusedError(f"does not end the log-in by {mechanism}")


def skip(connection: Any, size: int) -> None:
    """Read the rest of an answer.

    Raises:
        OSError: the connection ended, or is silent.
    """
    _receive(connection, size)


def _check(error: type[kafka_errors.KafkaError]) -> None:
    if error is not kafka_errors.NoError:
        raise RefusedError(f"does not log us in: {error.__name__}")


def _ask(connection: Any, request: Any, answer: Any, version: int) -> Any:
    request.with_header(correlation_id=0, client_id="webmon")
    connection.sendall(request.encode(framed=True, header=True))
    (size,) = struct.unpack(">i", _receive(connection, 4))
    try:
        return answer.decode(_receive(connection, size)[4:], version=version)
    except (ValueError, IndexError, struct.error) as error:
        raise RefusedError(f"answers what is no answer of Kafka's ({type(error).__name__})") from error


def _receive(connection: Any, size: int) -> bytes:
    if not 0 <= size <= _LARGEST:
        raise RefusedError(f"answers with {size} bytes, which is none of Kafka's")
    data = b""
    while len(data) < size:
        more = connection.recv(size - len(data))
        if not more:
            raise ConnectionResetError
        data += more
    return data

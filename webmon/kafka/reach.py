"""The way to the brokers, and what is wrong with it, in one line each.

kafka-python says the same "Unable to bootstrap" after 30 s for an unknown host, a closed port and every fault of TLS;
so `check_reachable` goes before it and names the cause.
"""

import contextlib
import socket
import ssl
import struct
from typing import Final

from kafka import KafkaAdminClient
from kafka import errors as kafka_errors

from webmon import files
from webmon.errors import UserError
from webmon.kafka import certificate, login
from webmon.kafka.client import admin_args
from webmon.settings import Kafka

CONNECT_SECS: Final = 5.0
"""Seconds to wait for one address: to connect, and for each answer after it."""

_API_VERSIONS_REQUEST: Final = struct.pack(">hhih", 18, 0, 1, -1)
"""ApiVersions, version 0: what every broker answers, whoever asks (https://kafka.apache.org/protocol)."""
_CERTIFICATE_EXPIRED, _CERTIFICATE_NOT_YET_VALID = 10, 9
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_CERT_NOT_YET_VALID."""


REFUSALS: Final = (
    kafka_errors.AuthorizationError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnknownTopicOrPartitionError,
)
"""What waiting will not mend, of all that a client may be told; a broker hides a topic from whoever may not see it."""


class KafkaAwayError(Exception):
    """No broker is there at the moment: waiting may help."""


def explain(error: kafka_errors.KafkaError, kafka: Kafka, *, wanted: str) -> str:
    """Say in one line what a client's error means.

    `wanted` is what was tried, as a right: "READ topic webmon-results".
    """
    if isinstance(error, kafka_errors.AuthorizationError):
        return (
            f"Kafka does not let {kafka.identity} {wanted}: `webmon init` gives that right to the principals in its "
            "KAFKA_..._PRINCIPALS"
        )
    if isinstance(error, kafka_errors.UnknownTopicOrPartitionError):
        return (
            f"Kafka could not {wanted}: there is no such topic (KAFKA_TOPIC_NAME), or {kafka.identity} "
            "may not see it; `webmon init` creates it and gives the rights"
        )
    if isinstance(error, kafka_errors.SaslAuthenticationFailedError):
        return f"Kafka does not log in {kafka.identity} with KAFKA_SASL_PASSWORD by {kafka.sasl_mechanism}"
    text = " ".join(str(error).split()) or type(error).__name__
    # kafka-python says InvalidRecordError where several timestamps of a batch are out of range.
    if isinstance(error, kafka_errors.InvalidTimestampError | kafka_errors.InvalidRecordError) and "Timestamp" in text:
        return f"Kafka could not {wanted}: is this host's clock right? The broker's is too far from it ({text})"
    return f"Kafka at {', '.join(kafka.bootstrap)} could not {wanted}: {text}"


def why_silent(kafka: Kafka) -> str:
    """Say in one line why a producer gets no acknowledgement and no error: by the brokers, then by the topic."""
    try:
        context = _context(kafka)
        faults, reached = _try_brokers(kafka, context, CONNECT_SECS)
    except UserError as error:
        return "; ".join(error.lines)
    told = [line for fault in faults for line in (fault.lines if isinstance(fault, UserError) else [str(fault)])]
    if reached:
        told.insert(0, f"Kafka at {', '.join(reached)} answers, but acknowledges no record{_topic_fault(kafka)}")
    return "; ".join(told)


def _topic_fault(kafka: Kafka) -> str:
    """Say what the brokers find wrong with the results' topic; empty where nothing is, or they do not tell."""
    try:
        admin = KafkaAdminClient(**admin_args(kafka) | {"bootstrap_timeout_ms": 5000, "request_timeout_ms": 5000})
        try:
            topic = admin.describe_topics([kafka.topic])[0]
        finally:
            admin.close()
    except kafka_errors.KafkaError:  # it asks any broker of the cluster, also one that is away
        return ""
    if topic["error_code"]:
        return f": {explain(kafka_errors.for_code(topic['error_code'])(), kafka, wanted=f'WRITE topic {kafka.topic}')}"
    partitions = topic["partitions"]
    faults = {
        "no leader": sum(partition["leader_id"] < 0 for partition in partitions),
        "fewer copies than they should": sum(len(p["isr_nodes"]) < len(p["replica_nodes"]) for p in partitions),
    }
    told = [f"{count} have {what}" for what, count in faults.items() if count]
    return f": of {len(partitions)} partitions {', '.join(told)}" if told else ""


def check_reachable(kafka: Kafka, *, timeout: float = CONNECT_SECS) -> None:
    """Try the way to the brokers as a client takes it: name, TCP, TLS, first answer. One good broker is enough.

    Raises:
        UserError: a broker that waiting will not mend (unknown name, certificates that do not fit); a line each.
        KafkaAwayError: none answers now.
    """
    faults, reached = _try_brokers(kafka, _context(kafka), timeout, enough=1)
    if reached:
        return
    refused = [line for fault in faults if isinstance(fault, UserError) for line in fault.lines]
    away = [str(fault) for fault in faults if isinstance(fault, KafkaAwayError)]
    if refused:
        raise UserError(*refused, *away)
    raise KafkaAwayError("; ".join(away))


def _context(kafka: Kafka) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    named = {
        "KAFKA_CA_CERTIFICATE": kafka.ca_certificate,
        "KAFKA_ACCESS_CERTIFICATE": kafka.access_certificate,
        "KAFKA_ACCESS_KEY": kafka.access_key,
    }
    there = {variable: path for variable, path in named.items() if path is not None}
    try:
        for path in there.values():
            files.look(path, most=files.PEM)
        if kafka.ca_certificate is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(kafka.ca_certificate)
        if kafka.access_certificate is not None:
            context.load_cert_chain(kafka.access_certificate, kafka.access_key, password="")
    except OSError as error:  # ssl.SSLError is one
        *rest, last = (f"{variable} {path}" for variable, path in there.items())
        told = f"{', '.join(rest)} and {last}" if rest else last
        raise UserError(f"{told} can't be used: {_reason(error)}") from error
    return context


def _try_brokers(
    kafka: Kafka, context: ssl.SSLContext, timeout: float, *, enough: int | None = None
) -> tuple[list[UserError | KafkaAwayError], list[str]]:
    """Try each broker, until so many are good; give what is wrong with those that are not, and the good ones."""
    faults: list[UserError | KafkaAwayError] = []
    reached: list[str] = []
    for host, place in zip(kafka.hosts, kafka.bootstrap, strict=True):
        try:
            _check_broker(kafka, host, context, timeout)
        except (UserError, KafkaAwayError) as error:
            faults.append(error)
        except UnicodeError:  # of IDNA, before anybody is asked
            faults.append(UserError(f"Kafka at {place} (KAFKA_HOST, KAFKA_PORT): that is no host name"))
        else:
            reached.append(place)
            if len(reached) == enough:
                break
    return faults, reached


def _check_broker(kafka: Kafka, host: str, context: ssl.SSLContext, timeout: float) -> None:
    place = f"Kafka at {host}:{kafka.port} (KAFKA_HOST, KAFKA_PORT)"
    try:
        plain = socket.create_connection((host, kafka.port), timeout)
    except socket.gaierror as error:
        if error.errno == socket.EAI_AGAIN:
            raise KafkaAwayError(f"{place}: the name can't be looked up now ({error.strerror})") from error
        raise UserError(f"{place}: no host of that name ({error.strerror})") from error
    except TimeoutError as error:
        raise KafkaAwayError(f"{place}: no answer within {timeout:g} s; is a firewall between?") from error
    except ConnectionRefusedError as error:
        raise KafkaAwayError(f"{place}: connection refused; nothing listens on that port") from error
    except OSError as error:
        raise KafkaAwayError(f"{place}: {error.strerror or error}") from error
    with plain:
        try:
            with context.wrap_socket(plain, server_hostname=host) as secure:
                _first_answer(kafka, place, secure)
        except ssl.SSLCertVerificationError as error:
            raise UserError(_broker_certificate_fault(kafka, host, place, error)) from error
        except TimeoutError as error:
            raise KafkaAwayError(f"{place}: accepts the connection but is silent for {timeout:g} s") from error
        except ssl.SSLError as error:
            raise UserError(_handshake_fault(kafka, place, error)) from error
        except OSError as error:
            # A broker that stops closes like this; so does a plain-text listener that was sent TLS.
            raise KafkaAwayError(
                f"{place}: closes the connection during the TLS handshake; "
                "it is starting or stopping, or KAFKA_PORT is a listener without TLS"
            ) from error


def _first_answer(kafka: Kafka, place: str, secure: ssl.SSLSocket) -> None:
    """Ask for the API versions: under TLS 1.3 a refused client certificate shows at the first read, not before."""
    broken = (ssl.SSLEOFError, ConnectionResetError, BrokenPipeError)
    with contextlib.suppress(*broken):  # it may be gone already, with an alert left to read
        secure.sendall(struct.pack(">i", len(_API_VERSIONS_REQUEST)) + _API_VERSIONS_REQUEST)
    answer = b""
    with contextlib.suppress(*broken):
        answer = secure.recv(8)
    if not answer:
        fault = _own_certificate_fault(kafka)
        if fault:
            raise UserError(_refused(kafka, place, fault))
        ours = kafka.access_certificate
        named = f" KAFKA_ACCESS_CERTIFICATE {ours}" if ours else " (we show none)"
        raise KafkaAwayError(
            f"{place}: closes the connection after the TLS handshake; it is stopping, does not trust our certificate"
            f"{named}, or is no Kafka broker"
        )
    if len(answer) == 8 and struct.unpack(">i", answer[4:])[0] != 1:
        raise UserError(f"{place}: what answers there speaks TLS but not Kafka's protocol; is the port right?")
    if kafka.security_protocol == "SASL_SSL":
        try:
            login.skip(secure, struct.unpack(">i", answer[:4])[0] - len(answer[4:]))
            login.log_in(secure, kafka)
        except login.RefusedError as error:
            raise UserError(f"{place}: {error}") from error
        except (*broken, struct.error) as error:
            fault = f"{place}: closes the connection during the log-in; it is starting or stopping"
            raise KafkaAwayError(fault) from error


def _broker_certificate_fault(kafka: Kafka, host: str, place: str, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in (62, 64):  # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
        return (
            f"{place}: the broker's certificate is not for the name {host}; KAFKA_HOST must be a name or an address "
            "that stands in the certificate"
        )
    if error.verify_code in (_CERTIFICATE_EXPIRED, _CERTIFICATE_NOT_YET_VALID):
        return f"{place}: the broker's certificate: {error.verify_message}"
    if kafka.ca_certificate is None:
        return (
            f"{place}: the broker's certificate is not trusted by this host's authorities ({error.verify_message}); "
            "right would be KAFKA_CA_CERTIFICATE with the authority that signed it, or a host with the package "
            "ca-certificates"
        )
    return (
        f"{place}: the broker's certificate is not trusted by KAFKA_CA_CERTIFICATE {kafka.ca_certificate} "
        f"({error.verify_message}); it must hold the authority that signed the broker's certificate"
    )


def _handshake_fault(kafka: Kafka, place: str, error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_EOF_WHILE_READING", "RECORD_LAYER_FAILURE"):
        return f"{place}: what answers there does not speak TLS; KAFKA_PORT must be the TLS listener"
    if "ALERT" in reason:
        fault = (
            _own_certificate_fault(kafka)
            or f"it says {_reason(error)}; is it signed by an authority that the broker trusts?"
        )
        return _refused(kafka, place, fault)
    return f"{place}: TLS handshake failed: {_reason(error)}"


def _refused(kafka: Kafka, place: str, fault: str) -> str:
    if kafka.access_certificate is None:
        return (
            f"{place}: asks for a client certificate beside the password ({fault}); right would be "
            "KAFKA_ACCESS_CERTIFICATE and KAFKA_ACCESS_KEY, or another port"
        )
    return f"{place}: refuses our certificate KAFKA_ACCESS_CERTIFICATE {kafka.access_certificate}: {fault}"


def _own_certificate_fault(kafka: Kafka) -> str | None:
    """Say what a broker can dislike in our certificate: brokers answer "certificate unknown" to any fault."""
    examined = certificate.of(kafka)
    return examined.fault if examined else None


def _reason(error: OSError) -> str:
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return (reason or str(error)).lower().replace("_", " ")

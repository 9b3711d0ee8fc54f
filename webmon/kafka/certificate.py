"""Our own certificate for Kafka: whether its authority vouches for it, and until when."""

import dataclasses
import logging
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from webmon import files
from webmon.settings import Kafka

_log = logging.getLogger(__name__)

_EXPIRED, _NOT_YET_VALID = 10, 9
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_CERT_NOT_YET_VALID."""
_FLIGHTS: Final = 4
"""Turns that a handshake in memory needs at most."""
_EVERY_SECS: Final = 3600.0
RENEW_BEFORE: Final = timedelta(days=30)
"""What ends sooner should have been renewed."""
EXPIRY_MEANING: Final = "When our certificate for Kafka ends, as a Unix time; NaN without one, or one that is refused"


@dataclasses.dataclass(frozen=True)
class Examined:
    """What a server that trusts the authority says of a certificate."""

    fault: str | None
    """Why it is refused, in a few words; None where it is taken."""
    not_after: datetime | None
    """Its end; None where it is refused."""


def of(kafka: Kafka) -> Examined | None:
    """Examine ours; None where a password stands for it.

    Raises:
        OSError: as `examine`.
    """
    if kafka.ca_certificate is None or kafka.access_certificate is None or kafka.access_key is None:
        return None
    return examine(kafka.ca_certificate, kafka.access_certificate, kafka.access_key)


class Expiry:
    """When ours ends; looked at once an hour, as another comes into its place."""

    def __init__(self, kafka: Kafka, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Take the settings and a clock in seconds; nothing is read yet."""
        self._kafka = kafka
        self._monotonic = monotonic
        self._looked = float("-inf")
        self._ends: datetime | None = None

    def __call__(self) -> datetime | None:
        """Give it; None where there is none, where it is refused, and where it could not be read yet."""
        if self._monotonic() - self._looked >= _EVERY_SECS:
            self._looked = self._monotonic()
            try:
                found = of(self._kafka)
            except OSError as error:
                _log.debug("our certificate can't be looked at: %s", error)
            else:
                self._ends = found.not_after if found else None
        return self._ends


def as_metric(ends: datetime | None) -> float:
    """Give an end in seconds since the epoch; NaN where there is none."""
    return float("nan") if ends is None else ends.timestamp()


def examine(authority: Path, certificate: Path, key: Path) -> Examined:
    """Show a certificate to a server in memory that trusts the authority.

    Args:
        authority: PEM file of the authority.
        certificate: PEM file of the certificate.
        key: PEM file of its key, without a passphrase.

    Raises:
        OSError: a file cannot be read, or the key is another's (ssl.SSLError).
    """
    for path in (authority, certificate, key):
        files.look(path, most=files.PEM)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_verify_locations(authority)
    server.load_cert_chain(certificate, key, password="")
    server.verify_mode = ssl.CERT_REQUIRED
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE
    client.load_cert_chain(certificate, key, password="")
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_side=False)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(_FLIGHTS):
        for end in (ours, theirs):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLCertVerificationError as error:
                if error.verify_code in (_EXPIRED, _NOT_YET_VALID):
                    return Examined(error.verify_message, None)
                fault = (
                    f"it is not signed by the authority in KAFKA_CA_CERTIFICATE {authority} ({error.verify_message})"
                )
                return Examined(fault, None)
    not_after = (theirs.getpeercert() or {})["notAfter"]
    return Examined(None, datetime.fromtimestamp(ssl.cert_time_to_seconds(str(not_after)), UTC))

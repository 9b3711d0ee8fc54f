"""Our certificate for Kafka: fits its key and its authority, and lasts; and how old the key is."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from webmon.doctor.finding import Finding, failed, ok, warning
from webmon.kafka import certificate
from webmon.settings import Kafka

KEY_LASTS: Final = timedelta(days=2 * 365)
"""A renewal keeps the key. Whoever copied it unseen can be us until it is another."""
_SUBJECT: Final = "certificate"


def examine(kafka: Kafka, *, now: datetime | None = None) -> Iterator[Finding]:
    """Look at certificate, key and authority, before any broker does; at nothing where a password stands for them."""
    now = now or datetime.now(UTC)
    authority, ours, key = kafka.ca_certificate, kafka.access_certificate, kafka.access_key
    if authority is None or ours is None or key is None:
        return
    try:
        examined = certificate.examine(authority, ours, key)
        made = datetime.fromtimestamp(key.stat().st_mtime, UTC)
    except OSError as error:  # ssl.SSLError is one
        yield failed(
            _SUBJECT,
            f"KAFKA_CA_CERTIFICATE {authority}, KAFKA_ACCESS_CERTIFICATE {ours} and "
            f"KAFKA_ACCESS_KEY {key} don't fit each other: {error.strerror or error}; right would be a "
            "certificate, the key that it was made with, and the authority that signed it",
        )
        return
    if examined.fault is not None or examined.not_after is None:
        yield failed(
            _SUBJECT,
            f"KAFKA_ACCESS_CERTIFICATE {ours}: {examined.fault}; right would be a new one of that authority",
        )
        return
    left = examined.not_after - now
    text = f"{ours} fits its key and authority and lasts {left.days} days more"
    if left < certificate.RENEW_BEFORE:
        yield warning(_SUBJECT, f"{text}: renew it before it ends on {examined.not_after:%Y-%m-%d}")
    else:
        yield ok(_SUBJECT, text)
    old = f"{key} is {(now - made).days} days old"
    if now - made > KEY_LASTS:
        yield warning(
            "key",
            f"{old}; right would be another at least every {KEY_LASTS.days} days: remove it and run "
            "playbooks/certificates.yml, or have the managed service hand out another",
        )
    else:
        yield ok("key", old)

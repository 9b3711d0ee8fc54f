"""What the doctor says of our certificate for Kafka, and of its key's age."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme

from webmon.doctor import certificates
from webmon.settings import Kafka

NOW = datetime.now(UTC)


def examine(directory: Path, *, ends_in_days: float, key_is_days_old: float) -> list[str]:
    """Look at a certificate of an authority of its own."""
    authority = trustme.CA()
    issued = authority.issue_cert("client", not_after=NOW + timedelta(days=ends_in_days))
    authority.cert_pem.write_to_path(directory / "ca.pem")
    issued.cert_chain_pems[0].write_to_path(directory / "cert.pem")
    issued.private_key_pem.write_to_path(directory / "key.pem")
    made = (NOW - timedelta(days=key_is_days_old)).timestamp()
    os.utime(directory / "key.pem", (made, made))
    values = {
        "KAFKA_HOST": "kafka1",
        "KAFKA_PORT": 9093,
        "KAFKA_CA_CERTIFICATE": str(directory / "ca.pem"),
        "KAFKA_ACCESS_CERTIFICATE": str(directory / "cert.pem"),
        "KAFKA_ACCESS_KEY": str(directory / "key.pem"),
    }
    kafka = Kafka.model_validate(values, context={"workspace": directory})
    return [str(finding) for finding in certificates.examine(kafka, now=NOW)]


def test_a_certificate_that_lasts_and_a_key_that_is_not_old_are_ok(tmp_path: Path) -> None:
    certificate, key = examine(tmp_path, ends_in_days=100.5, key_is_days_old=700.5)
    assert (
        certificate == f"ok       certificate: {tmp_path}/cert.pem fits its key and authority and lasts 100 days more"
    )
    assert key == f"ok       key: {tmp_path}/key.pem is 700 days old"


def test_a_certificate_that_ends_soon_is_warned_of(tmp_path: Path) -> None:
    certificate, _ = examine(tmp_path, ends_in_days=29.5, key_is_days_old=1)
    assert certificate.startswith("warning  certificate: ")
    assert f"renew it before it ends on {NOW + timedelta(days=29.5):%Y-%m-%d}" in certificate


def test_a_key_that_is_old_is_warned_of_with_how_to_get_another(tmp_path: Path) -> None:
    _, key = examine(tmp_path, ends_in_days=100, key_is_days_old=731)
    assert key == (
        f"warning  key: {tmp_path}/key.pem is 731 days old; right would be another at least every 730 days: remove it "
        "and run playbooks/certificates.yml, or have the managed service hand out another"
    )

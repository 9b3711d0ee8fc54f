"""When our certificate for Kafka ends, as a scrape reads it."""

import math
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives import serialization

from tests.certificates import NOW, issue, pem
from webmon.kafka.certificate import Expiry, as_metric


def settings(directory: Path, days: int) -> Any:
    """Give settings whose certificate ends so many days from now."""
    authority = issue("authority")
    own = issue("webmon-agent", authority, names=("agent1",), days=days)
    paths = {name: directory / f"{name}.pem" for name in ("ca_certificate", "access_certificate", "access_key")}
    paths["ca_certificate"].write_bytes(pem(authority))
    paths["access_certificate"].write_bytes(pem(own))
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths["access_key"].write_bytes(own[1].private_bytes(serialization.Encoding.PEM, *form))
    return SimpleNamespace(**paths)


def test_the_end_of_our_certificate_is_known_and_that_of_another_in_its_place_within_the_hour(tmp_path: Path) -> None:
    now = 0.0
    ends = Expiry(settings(tmp_path, days=30), monotonic=lambda: now)
    first = ends()
    assert first is not None
    assert abs(as_metric(first) - (NOW + timedelta(days=30)).timestamp()) < 2
    settings(tmp_path, days=300)
    now = 3_599.0
    assert ends() == first
    now = 3_600.0
    assert as_metric(ends()) > (NOW + timedelta(days=299)).timestamp()


def test_without_one_and_with_one_that_is_refused_or_gone_no_end_is_told(tmp_path: Path) -> None:
    password = SimpleNamespace(ca_certificate=None, access_certificate=None, access_key=None)
    assert Expiry(password)() is None  # type: ignore[arg-type]
    assert Expiry(settings(tmp_path, days=-1))() is None
    gone = settings(tmp_path, days=30)
    gone.access_key.unlink()
    assert Expiry(gone)() is None
    assert math.isnan(as_metric(None))

"""The libraries that an agent speaks TLS with: how old they are, known here without asking anybody.

Checks use libcurl and OpenSSL of pycurl's wheel, which no update of the system reaches; the way to Kafka uses the
system's OpenSSL.
"""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import pycurl

from webmon.doctor.finding import Finding, ok, warning

RELEASED: Final = {
    ("libcurl", "8.23.0"): date(2026, 10, 14),  # https://curl.se/ch/8.23.0.html
    ("OpenSSL", "3.6.5"): date(2026, 9, 29),  # the library says it itself
}
"""When what is in the wheel of the pycurl that requirements.lock has was released: a test holds it to that wheel."""
OLD: Final = timedelta(days=365)
"""curl and OpenSSL mend faults several times a year; whoever is a year behind is behind some of security."""
_MAPPED: Final = re.compile(r"(/\S*/libcrypto\.so[.0-9]*)$", re.MULTILINE)
"""The system's; in a wheel there is a hash in the name."""


def examine(*, now: datetime | None = None) -> Iterator[Finding]:
    """Look at the wheel's libraries and at the system's."""
    today = (now or datetime.now(UTC)).date()
    yield _of_the_wheel(today)
    yield _of_the_system(today)


def inside() -> list[tuple[str, str]]:
    """Give names and versions of what speaks with sites, as the wheel itself says them."""
    told = pycurl.version_info()
    library, _, version = told[5].partition("/")
    return [("libcurl", told[1]), (library, version)]


def system_file() -> Path | None:
    """Give the file of the OpenSSL that Python itself uses; None where it has none of its own."""
    found = _MAPPED.search(Path("/proc/self/maps").read_text())
    return Path(found[1]) if found else None


def _of_the_wheel(today: date) -> Finding:
    subject, there = "libraries", inside()
    versions = " and ".join(f"{library} {version}" for library, version in there)
    known = [RELEASED[one] for one in there if one in RELEASED]
    if len(known) < len(there):
        right = " and ".join(f"{library} {version}" for library, version in RELEASED)
        return warning(subject, f"{versions}, whose age is not known; right would be {right}, as this release is made")
    text = f"{versions}, of {min(known)}"
    if today - min(known) > OLD:
        return warning(subject, f"{text}: more than a year old; take a release of webmon with newer ones")
    return ok(subject, text)


def _of_the_system(today: date) -> Finding:
    subject, version = "system's TLS", " ".join(ssl.OPENSSL_VERSION.split()[:2])
    if (file := system_file()) is None:
        return ok(subject, f"{version}, part of this Python")
    # A distribution mends it and leaves the version as it is: only the file, which has its package's date, tells.
    packed = datetime.fromtimestamp(file.stat().st_mtime, UTC).date()
    text = f"{version}, packed on {packed}"
    if today - packed > OLD:
        return warning(subject, f"{text}: more than a year old; take the system's updates")
    return ok(subject, text)

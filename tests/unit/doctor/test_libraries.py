"""What the doctor says of the libraries that speak with strangers, and that it knows how old they are."""

import os
import re
import ssl
from datetime import UTC, date, datetime
from pathlib import Path

import pycurl
import pytest

from webmon.doctor import libraries

THERE = " and ".join(f"{library} {version}" for library, version in libraries.inside())
OLDEST = min(libraries.RELEASED.values())
VERSION = " ".join(ssl.OPENSSL_VERSION.split()[:2])


def examine(today: date) -> list[str]:
    return [str(finding) for finding in libraries.examine(now=datetime(today.year, today.month, today.day, tzinfo=UTC))]


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A libcrypto of the system, packed on the first day of 2027."""
    file = tmp_path / "libcrypto.so.3"
    file.touch()
    os.utime(file, (datetime(2027, 1, 1, tzinfo=UTC).timestamp(),) * 2)
    monkeypatch.setattr(libraries, "system_file", lambda: file)
    return file


def test_the_dates_that_are_kept_are_of_what_is_in_the_wheel() -> None:
    # A new pycurl in the locks has others: look up when they were released, and write it down.
    assert libraries.inside() == list(libraries.RELEASED)


def test_openssl_in_the_wheel_says_the_date_that_is_kept() -> None:
    (library,) = Path(pycurl.__file__).parent.parent.glob("pycurl.libs/libcrypto-*")
    ((name, version),) = [one for one in libraries.RELEASED if one[0] == "OpenSSL"]
    told = re.search(rf"{name} {re.escape(version)} ([0-9]+ [A-Z][a-z]+ [0-9]+)".encode(), library.read_bytes())
    assert told is not None
    said = datetime.strptime(f"{told[1].decode()} UTC", "%d %b %Y %Z").replace(tzinfo=UTC)
    assert said.date() == libraries.RELEASED[name, version]


def test_what_is_less_than_a_year_old_is_ok(system: Path) -> None:
    assert examine(OLDEST.replace(year=OLDEST.year + 1)) == [
        f"ok       libraries: {THERE}, of {OLDEST}",
        f"ok       system's TLS: {VERSION}, packed on 2027-01-01",
    ]


def test_what_is_a_year_old_is_warned_of_with_what_to_do(system: Path) -> None:
    assert examine(date(2028, 1, 3)) == [
        f"warning  libraries: {THERE}, of {OLDEST}: more than a year old; take a release of webmon with newer ones",
        f"warning  system's TLS: {VERSION}, packed on 2027-01-01: more than a year old; take the system's updates",
    ]


def test_what_another_pycurl_brings_is_not_called_young(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "inside", lambda: [("libcurl", "7.88.1"), ("OpenSSL", "3.6.5")])
    assert examine(date(2026, 12, 1))[0] == (
        f"warning  libraries: libcurl 7.88.1 and OpenSSL 3.6.5, whose age is not known; right would be {THERE}, "
        "as this release is made"
    )


def test_the_systems_openssl_is_found_beside_those_in_wheels() -> None:
    file = libraries.system_file()
    # A Python that was not made by the distribution may have it inside.
    assert file is None or (file.is_file() and "site-packages" not in str(file))


def test_a_python_with_openssl_inside_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "system_file", lambda: None)
    assert examine(date(2030, 1, 1))[1] == f"ok       system's TLS: {VERSION}, part of this Python"

"""Which cookies of a response have ended, by the dates of Expires as browsers read them (RFC 6265, 5.1.1).

libcurl reads other dates than they do: to it a cookie that is deleted with the year 70 lives until 2070.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, NamedTuple

_DELIMITERS: Final = re.compile(r"[\t -/;-@\[-`{-~]+")
_TIME: Final = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY: Final = re.compile(r"[0-9]{1,2}(?![0-9])")
_YEAR: Final = re.compile(r"[0-9]{2,4}(?![0-9])")
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_FIRST_OF_1900, _LAST_OF_1900, _FIRST_YEAR = 69, 99, 1601
"""Years of two digits that are of that century, for Chromium; to the RFC 69 is 2069, but servers west of Greenwich
delete with the evening before 1970."""


class Cookie(NamedTuple):
    """What tells a cookie from others, as Latin-1."""

    name: str
    value: str
    domain: str
    """A host, or behind a dot a domain, whose hosts are all sent it."""
    path: str


def of_line(line: bytes) -> Cookie:
    """Read a line of libcurl's list of cookies."""
    domain, _, path, _, _, name, value = line.decode("latin-1").split("\t", 6)
    return Cookie(name, value, domain.removeprefix("#HttpOnly_").lower(), _plain(path))


def ended(headers: Iterable[str], asked: str, host: str, now: datetime) -> frozenset[Cookie]:
    """Give the cookies that have ended when they come.

    Args:
        headers: the values of Set-Cookie of a response.
        asked: path and query of the request.
        host: whom it asked, as its header Host has it, in small letters and without a port.
        now: the time.
    """
    found: dict[Cookie, bool] = {}
    for header in headers:
        pair, *rest = header.split(";")
        name, _, value = pair.partition("=")
        said_of = ((key.strip(" \t").lower(), said) for key, _, said in (one.partition("=") for one in rest))
        # An empty domain says nothing.
        attributes = {key: said for key, said in said_of if key != "domain" or said.strip(" \t.")}
        path = attributes.get("path", asked.partition("?")[0].rpartition("/")[0])
        domain = attributes.get("domain", "").strip(" \t").lower().lstrip(".")
        places = [f".{domain}"] if domain else []
        # Of a domain that is the host libcurl may make a cookie of the host alone, as where it is all of a registry's.
        if domain in ("", host):
            places.append(host)
        expires = None if "max-age" in attributes else moment(attributes.get("expires", ""))
        for place in places:
            cookie = Cookie(name.strip(" \t"), value.strip(" \t"), place, _plain(path))
            found[cookie] = expires is not None and expires <= now
    return frozenset(cookie for cookie, has_ended in found.items() if has_ended)


def _plain(path: str) -> str:
    """Give a path as it can be compared with libcurl's, which may write escapes otherwise."""
    path = path.strip(' \t"')
    return path.rstrip("/").lower() if path.startswith("/") else ""


def moment(text: str) -> datetime | None:
    """Read the date of Expires; None where it is none, and says nothing."""
    time: re.Match[str] | None = None
    day = month = year = None
    for token in _DELIMITERS.split(text):
        if time is None and (match := _TIME.match(token)) is not None:
            time = match
        elif day is None and (match := _DAY.match(token)) is not None:
            day = int(match[0])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := _YEAR.match(token)) is not None:
            year = int(match[0])
    if time is None or day is None or month is None or year is None:
        return None
    if year <= _LAST_OF_1900:
        year += 1900 if year >= _FIRST_OF_1900 else 2000
    if year < _FIRST_YEAR:
        return None
    try:
        return datetime(year, month, day, int(time[1]), int(time[2]), int(time[3]), tzinfo=UTC)
    except ValueError:  # no such day, or hour
        return None

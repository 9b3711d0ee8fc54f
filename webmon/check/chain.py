"""The certificates of a connection: for which names, and when the first of them ends that anybody relies on."""

import functools
import re
import ssl
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

_SPLIT: Final = re.compile(r"(?:^|, | \+ )(?:[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)+) ?= ?")
"""What stands before each part of a name: `C = US, O = Example`."""

_SHORT: Final = {"organizationName": "O", "commonName": "CN"}

_OF_A_HOST: Final = frozenset({"DNS", "IP Address"})
"""Kinds of subjectAltName that name a host, as OpenSSL writes them."""

_ASKED: Final = frozenset({b"Subject", b"Issuer", b"Expire date", b"X509v3 Subject Alternative Name"})
"""What is read of the thirty things that libcurl tells of each."""

Name = tuple[str, ...]
"""The values of a distinguished name, in their order."""


Told = Sequence[Sequence[tuple[bytes, bytes]]]
"""Names and values of each certificate, the server's own first. What a server wrote into them need be no UTF-8."""


class Chain(NamedTuple):
    """What a server showed."""

    not_after: datetime
    """When its own certificate ends."""
    ends: datetime
    """When the first of its own and the intermediates ends; a root's end counts for nobody."""
    names: tuple[str, ...]
    """DNS names and addresses of its own certificate."""
    issuer: Mapping[str, str]
    """Who signed it, by the short names of the parts (O, CN)."""


def read(certificates: Told, anchors: Collection[Name], now: datetime) -> Chain | None:
    """Read what libcurl tells of a connection's certificates (CURLINFO_CERTINFO).

    What the server sent is not the chain that was verified: beside that may stand others, of which one that has ended
    harms nobody. So it is followed issuer by issuer, the longest-lived of equal names first, up to a trusted name.

    Args:
        certificates: what it tells.
        anchors: names of the roots that are trusted.
        now: the time; what had ended by then was not relied on.

    Returns:
        None where there is none.
    """
    told = [
        {name.decode(): value.decode(errors="replace") for name, value in certificate if name in _ASKED}
        for certificate in certificates
    ]
    if not told:
        return None
    own = told[0]
    not_after = ends = _moment(own)
    seen: set[str] = set()
    at = own
    while (issuer := at.get("Issuer", "")) not in seen and name_of(issuer) not in anchors:
        seen.add(issuer)
        above = [one for one in told[1:] if one.get("Subject") == issuer and one.get("Issuer") != issuer]
        if not above:
            break
        at = max(above, key=_moment)
        if _moment(at) > now:
            ends = min(ends, _moment(at))
    alternative = own.get("X509v3 Subject Alternative Name", "")
    parts = (part.strip().partition(":") for part in alternative.split(","))
    names = tuple(value for kind, _, value in parts if value and kind in _OF_A_HOST)
    return Chain(not_after, ends, names, _parts(own.get("Issuer", "")))


def read_verified(certificates: Sequence[Mapping[str, Any]]) -> Chain | None:
    """Read the certificates of a connection by Python's own TLS.

    Args:
        certificates: as `ssl.SSLSocket.getpeercert` has them: the server's own first, and where more is known of those
            that were relied on, the root last.

    Returns:
        None where there is none.
    """
    if not certificates or not certificates[0]:
        return None
    own = certificates[0]
    ends = [_ends(one) for one in certificates]
    issuer = {_SHORT.get(name, name): value for part in own.get("issuer", ()) for name, value in part}
    names = tuple(value for _, value in own.get("subjectAltName", ()))
    return Chain(ends[0], min(ends[:-1] or ends), names, issuer)


def why_refused(chain: Chain | None) -> str | None:
    """Say what browsers refuse and libcurl takes: a certificate that names its host in the subject alone."""
    if chain is None or chain.names:
        return None
    return "certificate refused: it names no host (subjectAltName), and the subject alone counts for nobody"


def anchors_of(context: ssl.SSLContext) -> frozenset[Name]:
    """Give the names of the roots that a context has loaded."""
    return frozenset(_values(root["subject"]) for root in context.get_ca_certs())


@functools.lru_cache(maxsize=256)
def name_of(text: str) -> Name:
    """Read a name as libcurl writes it: `C = US, O = Example, CN = Example Root`."""
    return tuple(value.strip('"') for value in _SPLIT.split(text)[1:])


def _values(subject: Any) -> Name:
    return tuple(value for part in subject for _, value in part)


@functools.lru_cache(maxsize=256)
def _parts(text: str) -> dict[str, str]:
    keys = [match[0].strip("+, =").strip() for match in _SPLIT.finditer(text)]
    return dict(zip(keys, name_of(text), strict=True))


def _moment(certificate: Mapping[str, str]) -> datetime:
    return _read_time(certificate["Expire date"])


def _ends(certificate: Mapping[str, Any]) -> datetime:
    return _read_time(certificate["notAfter"])


@functools.lru_cache(maxsize=4096)
def _read_time(text: str) -> datetime:
    """Read a time as OpenSSL writes it; those of a site's chain come again with each check."""
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(text), UTC)

"""Who an operator is: nobody asks on a loopback address; else a trusted proxy, a password or a certificate says it."""

import base64
import binascii
import dataclasses
import hashlib
import hmac
import ipaddress
import os
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from starlette.requests import HTTPConnection

from webmon import files
from webmon.check.result import NAME_LIMIT
from webmon.errors import UserError
from webmon.settings import Auth, BasicAuth, CertificateAuth, HeaderAuth, Network

_N, _R, _P = 2**14, 8, 1
"""Of scrypt (RFC 7914): 16 MB and some 50 ms for each guess."""
_REMEMBER_SECS: Final = 300.0
"""How long a password that was right is not computed again: a browser sends it with each request."""
_REMEMBERED: Final = 100
_BYTES: Final = 1_000_000
"""Of the file of passwords."""
_LINE: Final = re.compile(r"([^:\s][^:]{0,99}):scrypt\$([A-Za-z0-9+/=]{8,100})\$([A-Za-z0-9+/=]{40,100})")


@dataclasses.dataclass(frozen=True)
class Operator:
    """Somebody who may see everything, and act."""

    name: str
    """Empty where nobody was asked."""


@dataclasses.dataclass(frozen=True)
class Refused:
    """Somebody who may not, and what would help."""

    status: int
    text: str
    challenge: str = ""
    """WWW-Authenticate, if a browser can ask for it."""


class Access(Protocol):
    """Tells who makes a request."""

    def __call__(self, request: HTTPConnection) -> Operator | Refused:
        """Say who it is."""


def access_by(auth: Auth | None) -> Access:
    """Give what PAGE_AUTH names.

    Raises:
        UserError: the file of passwords is not what it should be.
    """
    if isinstance(auth, HeaderAuth):
        return ByHeader(auth.header, auth.proxies)
    if isinstance(auth, BasicAuth):
        return ByPassword(read_users(auth.users))
    return by_certificate if isinstance(auth, CertificateAuth) else open_to_all


def open_to_all(request: HTTPConnection) -> Operator:  # noqa: ARG001
    """Ask nobody: the settings allow it on a loopback address alone."""
    return Operator("")


def by_certificate(request: HTTPConnection) -> Operator | Refused:
    """Take the name that is in the client's certificate, which TLS has proved (webmon/page/protocol.py)."""
    name = _clean(getattr(request.state, "certificate_name", ""))
    return Operator(name) if name else Refused(403, "Your certificate has no common name.")


class ByHeader:
    """A proxy has asked, and says in a header who it is."""

    def __init__(self, header: str, proxies: tuple[Network, ...]) -> None:
        """Take the header, and from where it is believed."""
        self._header = header
        self._proxies = proxies

    def __call__(self, request: HTTPConnection) -> Operator | Refused:
        """Believe the header of a connection that comes from a proxy itself; X-Forwarded-For is not asked."""
        if request.client is None or not _is_in(request.client.host, self._proxies):
            return Refused(403, "This page is reached by its proxy alone.")
        values = request.headers.getlist(self._header)
        name = _clean(_utf_8(values[0])) if len(values) == 1 else ""
        return Operator(name) if name else Refused(403, f"The proxy does not say who you are in {self._header}.")


def _utf_8(value: str) -> str:
    """Give what a proxy wrote in UTF-8, which an ASGI server hands on byte by byte."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeError:
        return ""


def _is_in(host: str, networks: tuple[Network, ...]) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in networks)


class ByPassword:
    """HTTP's own way (RFC 7617), with passwords of which scrypt's hashes are kept."""

    _ASK: Final = Refused(401, "A name and a password are asked for.", 'Basic realm="webmon", charset="UTF-8"')

    def __init__(self, users: dict[str, tuple[bytes, bytes]], clock: Callable[[], float] = time.monotonic) -> None:
        """Take salt and hash of each name."""
        self._users = users
        self._clock = clock
        self._secret = os.urandom(32)
        self._right: dict[bytes, tuple[str, float]] = {}
        self._one = threading.Lock()

    def __call__(self, request: HTTPConnection) -> Operator | Refused:
        """Compute one password at a time: many guesses must not take the memory; not in the thread of the server."""
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "basic" or len(given) > 1000:
            return self._ASK
        seen = hmac.digest(self._secret, given.encode(errors="replace"), "sha256")
        name, until = self._right.get(seen, ("", 0.0))
        if name and self._clock() < until:
            return Operator(name)
        try:
            name, _, password = base64.b64decode(given, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return self._ASK
        # A name that is not there takes as long.
        salt, wanted = self._users.get(name, (b"nobody has this salt", b""))
        with self._one:
            is_right = hmac.compare_digest(_hash(password, salt), wanted)
        if not is_right:
            return self._ASK
        if len(self._right) >= _REMEMBERED:
            self._right.clear()
        self._right[seen] = (name, self._clock() + _REMEMBER_SECS)
        return Operator(name)


def read_users(path: Path) -> dict[str, tuple[bytes, bytes]]:
    """Read a file with a line `name:scrypt$SALT$HASH` for each, as `webmon page password` prints it.

    Raises:
        UserError: it can't be read, or a line of it is none.
    """
    users: dict[str, tuple[bytes, bytes]] = {}
    faults = []
    try:
        text = files.read(path, most=_BYTES).data.decode()
    except OSError as error:
        raise UserError(f"{path}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text in UTF-8") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.strip())
        try:
            assert found is not None
            users[found[1]] = (base64.b64decode(found[2], validate=True), base64.b64decode(found[3], validate=True))
        except (AssertionError, binascii.Error):
            faults.append(f"{path}:{number}: no line that `webmon page password NAME` prints")
    if not users and not faults:
        faults.append(f"{path}: nobody is in it; right would be a line that `webmon page password NAME` prints")
    if faults:
        raise UserError(*faults)
    return users


def line_for(name: str, password: str) -> str:
    """Give the line of a name and a new password.

    Raises:
        ValueError: the name can't stand in the file.
    """
    salt = os.urandom(16)
    kept = (base64.b64encode(part).decode() for part in (salt, _hash(password, salt)))
    line = f"{name}:scrypt${'$'.join(kept)}"
    if not _LINE.fullmatch(line) or not _clean(name):
        raise ValueError(f"{name!r}; right would be up to 100 characters without a colon")
    return line


def _hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=_N, r=_R, p=_P, dklen=32)


def _clean(name: str) -> str:
    """Give a name as an order takes it; nothing where it can't be one."""
    name = name.strip()
    return name if name.isprintable() and len(name) <= NAME_LIMIT else ""

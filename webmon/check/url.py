"""URLs as they were written: what is asked for is what stands there, and a host is what browsers make of it.

Only what browsers escape is escaped; an escape that is there stays as it is, as servers compare and sign what was
written. Hosts are mapped as UTS 46 has it and become punycode a label, so that symbols are taken
which IDNA 2008 refuses and browsers open; what ends in a number is an address (https://url.spec.whatwg.org/#host-parsing).
"""

import difflib
import ipaddress
import re
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

import idna

from webmon.check.kind import HTTP, KINDS

_PARTS: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#\\]*)([^?#]*)(\?[^#]*)?(?:#.*)?")
_COMMAND: Final = re.compile(r"command:([A-Za-z0-9][A-Za-z0-9_.-]{0,99})", re.IGNORECASE)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_ESCAPED_IN_PATH: Final = re.compile(r"[^!#-;=?-\[\]_a-z|~]")
_ESCAPED_IN_QUERY: Final = re.compile(r"[^!#-;=?-~]")
"""What browsers escape: controls, blanks, some quotes and brackets, and what is not ASCII. What else may not stand in a
URL they send as it is, and servers compare that, too (https://url.spec.whatwg.org/#path-percent-encode-set)."""
_JOINERS: Final = "\u200c\u200d"
"""Of words in Persian and of emoji; they are seen by nobody, and meant all the same."""
_NOT_OF_A_LOCATION: Final = "".join(map(chr, range(0x21)))
"""Controls and blanks around it, of ASCII alone: other bytes that Python takes for blanks may end a letter of UTF-8."""
_FORBIDDEN_IN_HOST: Final = re.compile(r"[\x00-\x20#%/:<>?@\[\\\]^|\x7f]")
_NUMBER: Final = re.compile(r"0x[0-9a-f]*|[0-9]+")
_LONGEST_LABEL, _LONGEST_HOST = 63, 253
_MEANT: Final = {
    "smtps": "tls://HOST:465",
    "imaps": "tls://HOST:993",
    "pop3s": "tls://HOST:995",
    "ldaps": "tls://HOST:636",
    "ftps": "tls://HOST:990",
    "ssl": "tls://HOST:PORT",
    "ping": "icmp://HOST",
}
"""Schemes that are none here, and how what they say is checked."""


class Origin(NamedTuple):
    """Where a request goes: what is meant for one origin is not sent to another (RFC 6454)."""

    scheme: str
    host: str
    port: int


class Url(NamedTuple):
    """A URL, ready to be asked for."""

    scheme: str
    host: str
    """ASCII, in lower case; an address of IPv6 without its brackets."""
    port: int
    """0: its kind has none."""
    target: str
    """Path and query as the request line has them; the name of a command."""

    @property
    def origin(self) -> Origin:
        """Where the request goes."""
        return Origin(self.scheme, self.host, self.port)

    @property
    def authority(self) -> str:
        """Host and port as a URL has them; the scheme's own port is left out."""
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        return host if self.port == KINDS[self.scheme].port else f"{host}:{self.port}"

    def __str__(self) -> str:
        """Write it whole."""
        return f"{self.scheme}://{self.authority}{self.target}"


def parse(text: str) -> Url:
    """Read a URL that a person wrote.

    Raises:
        ValueError: it cannot be asked for; says what would be right.
    """
    if any((char.isspace() or not char.isprintable()) and char not in _JOINERS for char in text):
        raise ValueError("has a space or a control character in it; right would be %20 for a space")
    if (named := _COMMAND.fullmatch(text)) is not None:
        return Url("command", "", 0, named[1])
    match = _PARTS.fullmatch(text)
    kind = KINDS.get(scheme := match[1].lower()) if match else None
    if match is None or kind is None:
        raise ValueError(f"right would be {_nearest(text)}")
    if "@" in match[2]:
        right = "`auth`" if "auth" in kind.keys else kind.form
        raise ValueError(f"holds a user or a password, and a URL is stored with every result; right would be {right}")
    has_path = bool(match[3].strip("/") or match[4])
    if not match[2] or scheme == "command" or (has_path and not kind.has_path):
        raise ValueError(f"right would be {kind.form}")
    url = _made(scheme, match[2], match[3].replace("\\", "/"), match[4] or "")
    if (url.port == 0) != (kind.port == 0):
        raise ValueError(f"right would be {kind.form}, {'with' if kind.port is None else 'without'} a port")
    return url


def _nearest(text: str) -> str:
    """Give the form of the kind that is meant, as far as a scheme tells."""
    scheme = text.partition(":")[0].lower()
    if scheme in KINDS:
        return KINDS[scheme].form
    if "://" not in text:
        return "http://HOST/... or https://HOST/..."
    if scheme in _MEANT:
        return _MEANT[scheme]
    near = difflib.get_close_matches(scheme, KINDS, n=1)
    return KINDS[near[0]].form if near else "http://HOST/..., https://HOST/..., or tcp://HOST:PORT for most others"


def join(base: Url, location: str) -> Url | None:
    """Read a Location as browsers do; None where it names no page of HTTP.

    Args:
        base: what was asked for.
        location: the header's value, its bytes as Latin-1.
    """
    if not (stripped := location.strip(_NOT_OF_A_LOCATION)):
        return None
    text = re.sub(r"[\t\n\r]", "", stripped).partition("#")[0]
    before, question, query = text.partition("?")
    before, query = before.replace("\\", "/"), question + query
    scheme = base.scheme
    if (match := _SCHEME.match(before)) is not None:
        if (scheme := match[1].lower()) not in HTTP:
            return None
        before = before[match.end() :]
    if scheme != base.scheme or before.startswith("//"):
        before = "//" + before.lstrip("/")
    try:
        if before.startswith("//"):
            authority, slash, path = before[2:].partition("/")
            host = authority.rpartition("@")[2].encode("latin-1").decode()
            return _made(scheme, host, _without_dots(_bytes_escaped(slash + path)), _bytes_escaped(query))
        asked = base.target.partition("?")[0]
        if not before:
            return base._replace(target=_escaped(asked + _bytes_escaped(query)) if query else base.target)
        path = before if before.startswith("/") else asked.rpartition("/")[0] + "/" + before
        return base._replace(target=_escaped(_without_dots(_bytes_escaped(path)) + _bytes_escaped(query)))
    except ValueError:  # UnicodeDecodeError is one
        return None


def ascii_host(text: str) -> str:
    """Give what a host's name is on the wire, or the address that it means.

    Raises:
        ValueError: it is no host.
    """
    try:
        return _address6(text) if text.startswith("[") else _name(text)
    except ValueError as error:  # IDNAError and UnicodeError are such
        raise ValueError("right would be a valid host name") from error


def _address6(text: str) -> str:
    address, percent, zone = text[1:].removesuffix("]").partition("%")
    return str(ipaddress.IPv6Address(address)) + percent + zone.removeprefix("25")


def _name(text: str) -> str:
    if "%" in text:
        text = unquote_to_bytes(text).decode()
    if not text.isascii():
        text = idna.uts46_remap(text, std3_rules=False, transitional=False)
    labels = [label if label.isascii() else "xn--" + label.encode("punycode").decode() for label in text.split(".")]
    host = ".".join(labels).lower()
    parts = host.removesuffix(".").split(".")
    if _FORBIDDEN_IN_HOST.search(host) or not all(0 < len(part) <= _LONGEST_LABEL for part in parts):
        raise ValueError(host)
    if len(host) > _LONGEST_HOST + host.endswith("."):
        raise ValueError(host)
    return _ipv4(parts) if _NUMBER.fullmatch(parts[-1]) else host


def _made(scheme: str, authority: str, path: str, query: str) -> Url:
    match = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([0-9]*))?", authority)
    if match is None or (match[2] and not 1 <= int(match[2]) <= 65535):
        raise ValueError("right would be a valid host and a port from 1 to 65535")
    host = ascii_host(match[1])
    return Url(scheme, host, int(match[2]) if match[2] else KINDS[scheme].port or 0, _escaped((path or "/") + query))


def _ipv4(parts: list[str]) -> str:
    """Read an address in all the forms that a URL may have: 127.1, 0x7f.1, 0177.0.0.1."""
    numbers = [_number(part) for part in parts]
    *first, last = numbers
    if len(parts) > 4 or any(number > 255 for number in first) or last >= 256 ** (4 - len(first)):
        raise ValueError(parts)
    return str(ipaddress.IPv4Address(sum(number << 8 * (3 - place) for place, number in enumerate(first)) + last))


def _number(text: str) -> int:
    if text[:2] == "0x":
        return int(text[2:] or "0", 16)
    return int(text, 8) if text.startswith("0") else int(text)


def _bytes_escaped(text: str) -> str:
    """Escape the bytes of a Location that are not ASCII, whatever charset they are in."""
    return text if text.isascii() else re.sub(r"[\x80-\xff]", lambda char: f"%{ord(char[0]):02X}", text)


def _escaped(target: str) -> str:
    """Escape what may not stand in a path and a query, as UTF-8."""
    path, question, query = target.partition("?")
    return _ESCAPED_IN_PATH.sub(_as_escape, path) + question + _ESCAPED_IN_QUERY.sub(_as_escape, query)


def _as_escape(char: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in char[0].encode())


def _without_dots(path: str) -> str:
    """Take away the segments that say "here" and "up" (RFC 3986, 5.2.4), however their dots are written."""
    kept: list[str] = []
    *folders, last = path.split("/")
    for segment in (*folders, *([last] if _dots(last) else [])):
        if _dots(segment) == "..":
            kept = kept[:1] + kept[1:-1]
        elif not _dots(segment):
            kept.append(segment)
    return "/".join([*kept, "" if _dots(last) else last])


def _dots(segment: str) -> str:
    """Give the one or two dots that a segment is; else nothing."""
    dots = re.sub("%2e", ".", segment, flags=re.IGNORECASE)
    return dots if dots in (".", "..") else ""

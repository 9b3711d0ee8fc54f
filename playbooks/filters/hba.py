"""The filter `hba_faults`: what is wrong with lines for pg_hba.conf, by their form, before any host gets them.

As https://www.postgresql.org/docs/17/auth-pg-hba-conf.html has it, without what nothing here can use (SSPI, RADIUS,
BSD, files that are included). Whether a method has all the options that it needs is asked of PostgreSQL itself.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

_LOCAL: Final = "local"
_TYPES: Final = (_LOCAL, "host", "hostssl", "hostnossl", "hostgssenc", "hostnogssenc")
_METHODS: Final = (
    *("scram-sha-256", "md5", "password", "cert", "ldap", "pam", "gss", "ident", "peer", "trust", "reject"),
)
_OPTIONS: Final = (
    *("map", "clientcert", "clientname", "pamservice", "pam_use_hostname"),
    *("krb_realm", "include_realm", "compat_realm", "upn_username"),
    *("ldapserver", "ldapport", "ldapscheme", "ldaptls", "ldapurl", "ldapbasedn", "ldapbinddn", "ldapbindpasswd"),
    *("ldapprefix", "ldapsuffix", "ldapsearchattribute", "ldapsearchfilter"),
)
_NETWORKS: Final = ("all", "samehost", "samenet")
_PART: Final = r'(?:[^\s,"#]|"[^"]*")+'
_FIELD: Final = re.compile(rf"\s*({_PART}(?:,\s*{_PART})*)")
_NAME: Final = re.compile(r"\.?[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_SECRET: Final = re.compile("passwd=", re.IGNORECASE)
"""What stands behind it may be a part of a password, however it is quoted: nothing of that is told."""
_MOST_SHOWN: Final = 200


def hba_faults(lines: Any) -> list[str]:
    """Say what is wrong with each line, with the line but without a password in it; nothing where all is well."""
    if isinstance(lines, str) or not isinstance(lines, Sequence):
        return ["timescaledb_hba_lines is no list; right would be one, a line of pg_hba.conf in each of its items"]
    found = ((number, *_judged(str(line))) for number, line in enumerate(lines, 1))
    return [
        f"timescaledb_hba_lines has as its line {number} {shown[:_MOST_SHOWN]!r}: {fault}"
        for number, shown, fault in found
        if fault
    ]


def _judged(line: str) -> tuple[str, str]:
    """Give a line as it may be shown, and what is wrong with it."""
    secret = _SECRET.search(line)
    if secret is None:
        return line, _fault(line)
    head = line[: secret.end()]
    behind = "what stands behind passwd= can't be read; right would be the password in quotes, then other options"
    closing = '"' if head.count('"') % 2 else ""
    return f"{head}...", _fault(f"{head}x{closing}") or (behind if _fault(line) else "")


def _fault(line: str) -> str:
    if len(line.splitlines()) > 1:
        return "it is more than one; right would be an item of the list for each"
    if line.rstrip().endswith("\\"):
        return "it ends with a backslash, which takes the next line along; right would be all of it in one item"
    fields = list(_fields(line))
    if not fields[-1]:
        return (
            "it ends within quotes, has a comment, or nothing at all; right would be TYPE DATABASE USER ADDRESS METHOD"
        )
    return next(_faults(fields), "")


def _fields(line: str) -> Iterator[str]:
    """Give the fields, and an empty one where something is left that is none."""
    rest = line.strip()
    while rest:
        field = _FIELD.match(rest)
        if field is None:
            break
        yield field[1]
        rest = rest[field.end() :].lstrip()
    if rest or not line.strip():
        yield ""


def _faults(fields: list[str]) -> Iterator[str]:
    kind = fields[0]
    if kind not in _TYPES:
        yield f"it begins with {kind}; right would be one of {', '.join(_TYPES)}"
        return
    rest = fields[3:]
    if kind != _LOCAL and rest:
        yield from _address_faults(rest)
    if rest:
        yield from _method_faults(kind, *rest)
    else:
        place = "" if kind == _LOCAL else " ADDRESS"
        yield f"something is missing; right would be {kind} DATABASE USER{place} METHOD"


def _address_faults(rest: list[str]) -> Iterator[str]:
    """Take the address, and the mask where it has one, from the fields."""
    address = rest.pop(0)
    if _address(address) is None:
        if not _is_place(address):
            right = f"a network such as 10.0.0.0/8, a name, or {' or '.join(_NETWORKS)}"
            yield f"its address is {address}; right would be {right}"
    elif not rest or _address(rest.pop(0)) is None:
        yield f"its address {address} has no mask; right would be {address}/{128 if ':' in address else 32}"


def _method_faults(kind: str, method: str, *options: str) -> Iterator[str]:
    if method not in _METHODS:
        yield f"its method is {method}; right would be one of {', '.join(_METHODS)}"
    if method == "peer" and kind != _LOCAL:
        yield "peer is for local alone"
    if method == "gss" and kind == _LOCAL:
        yield "gss is not for local"
    if method == "cert" and kind != "hostssl":
        yield "cert is for hostssl alone"
    # An option has one value: what stands behind a comma without quotes is the next one.
    for part in (part for option in options for part in re.findall(_PART, option)):
        name, equals, _ = part.strip('"').partition("=")
        if not equals or name not in _OPTIONS:
            yield f"it has the option {name}; right would be NAME=VALUE, one of {', '.join(_OPTIONS)}"


def _is_place(text: str) -> bool:
    if "/" in text:
        return _network(text)
    return text in _NETWORKS or _NAME.fullmatch(text) is not None


def _network(text: str) -> bool:
    address, _, length = text.partition("/")
    found = _address(address)
    return found is not None and length.isascii() and length.isdecimal() and int(length) <= found.max_prefixlen


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None

"""What a URL of dns asks its resolver for: a name and a type, read before anything is sent."""

import ipaddress
from typing import Final, NamedTuple
from urllib.parse import parse_qsl

from webmon.check.url import ascii_host

TYPES: Final = (
    *("A", "AAAA", "CAA", "CNAME", "DNSKEY", "DS", "HTTPS", "MX", "NAPTR", "NS", "PTR", "SOA", "SRV", "SSHFP"),
    *("SVCB", "TLSA", "TXT", "URI"),
)
"""Types of records that may be asked for: those that a name has, no transfers and no questions about the protocol."""


class Question(NamedTuple):
    """What is asked."""

    name: str
    """ASCII, in lower case, as people write it; "." is the root."""
    type: str
    """One of TYPES."""


def read(target: str) -> Question:
    """Read the part of a URL behind the resolver, such as /www.example.org?type=AAAA; the type is A where none is said.

    Raises:
        ValueError: it is no question; says what would be right.
    """
    path, _, query = target.partition("?")
    return Question(_name(path.removeprefix("/")), _type(query))


def _name(text: str) -> str:
    if not text:
        raise ValueError("names nothing to ask for; right would be dns://RESOLVER/NAME?type=A")
    if text == ".":
        return text
    try:
        name = ascii_host(text)
    except ValueError:
        raise ValueError("right would be a valid name behind the resolver, such as www.example.org") from None
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name
    raise ValueError(f"asks for an address; right would be the name of it, {address.reverse_pointer}?type=PTR")


def _type(query: str) -> str:
    given = parse_qsl(query, keep_blank_values=True)
    if not query:
        return "A"
    if [key for key, _ in given] != ["type"]:
        raise ValueError("right would be ?type=TYPE alone behind the name")
    if (asked := given[0][1].upper()) not in TYPES:
        raise ValueError(f"asks for no known type; right would be one of {', '.join(TYPES)}")
    return asked

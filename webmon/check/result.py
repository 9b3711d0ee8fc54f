"""CheckResult: the message on the topic, the contract between agent and sink.

One JSON object per check. The key of the record is the target's id, so that one target's results keep their order
on one partition; the header `schema` carries SCHEMA_VERSION. A reader ignores fields that it does not know and
accepts every older version.
"""

import inspect
import ipaddress
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, Final

import msgspec

SCHEMA_VERSION = 2
"""2: `kind` and `answer`; a message of 1 has neither."""
SCHEMA_HEADER = "schema"
ERROR_LIMIT = 500
"""Characters of CheckResult.error at most."""
ANSWER_LIMIT = 200
"""Characters of CheckResult.answer at most."""
NAME_LIMIT = 200
"""Characters of a name that a person gives: a target's, a vantage's, a label's key."""
URL_LIMIT = 8000
"""Characters of a URL, as browsers and servers take them (RFC 9110, 4.1); a target without a name is called by it."""
LABELS_LIMIT = 50
"""Labels of a target at most."""
LABEL_LIMIT = 1000
"""Characters of a label's value."""
INTERVAL_LIMIT = 86_400
"""Seconds between two checks of a target at most."""
SECONDS_LIMIT = 7 * 86_400.0
"""Seconds that a check or a part of it is said to have taken at most.

A timeout is a day at most, and a check ends half a second after it; but a host may stand still in the middle of one.
"""
REDIRECTS_LIMIT = 50
"""What `max_redirects` may be at most."""
BODY_BYTES_LIMIT = 2**31 - 1
"""What its column takes; `body_limit` is 64 MB at most."""
WAITING_LIMIT = 2**53 - 1
"""What every reader of JSON takes as it is; an outbox holds some millions of results."""
_SHORT = 50
"""Characters of a scheme, or a version of a protocol."""
_ADDRESS_LIMIT = 100
"""Characters of an address of IPv6 with its zone, and room."""
_REASON_LIMIT = 300
"""Characters of a reason that quotes a message."""


class Outcome(StrEnum):
    """What a check found: the closed list that agent, sink and reports share."""

    UP = "up"
    SLOW = "slow"
    DNS_ERROR = "dns_error"
    CONNECT_ERROR = "connect_error"
    TLS_ERROR = "tls_error"
    TIMEOUT = "timeout"
    READ_ERROR = "read_error"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    STATUS_MISMATCH = "status_mismatch"
    BODY_MISMATCH = "body_mismatch"
    HEADER_MISMATCH = "header_mismatch"
    CERTIFICATE_EXPIRING = "certificate_expiring"
    AGENT_ERROR = "agent_error"

    @property
    def is_up(self) -> bool:
        """Whether the target answered as expected; a slow answer is still one."""
        return self in (Outcome.UP, Outcome.SLOW)

    @property
    def is_down(self) -> bool:
        """Whether the target failed. An agent_error is our own fault and says nothing of the target."""
        return not self.is_up and self is not Outcome.AGENT_ERROR


Seconds = Annotated[float, msgspec.Meta(ge=0, le=SECONDS_LIMIT)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_LIMIT)]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=URL_LIMIT)]
Short = Annotated[str, msgspec.Meta(max_length=_SHORT)]
Labels = Annotated[
    dict[
        Annotated[str, msgspec.Meta(max_length=NAME_LIMIT)],
        Annotated[str, msgspec.Meta(max_length=LABEL_LIMIT)],
    ],
    msgspec.Meta(max_length=LABELS_LIMIT),
]
Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Phases(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Seconds that each phase took, summed over redirects; None where it was not reached."""

    dns: Seconds | None = None
    connect: Seconds | None = None
    tls: Seconds | None = None
    first_byte: Seconds | None = None
    transfer: Seconds | None = None


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an agent is, as it says itself (webmon/agent/telling.py): only to be shown, nothing is decided by it."""

    version: Short
    """Of webmon."""
    waiting: Annotated[int, msgspec.Meta(ge=0, le=WAITING_LIMIT)]
    """Results in its outbox that Kafka had not acknowledged."""
    certificate_ends: Moment | None = None
    """When its certificate for Kafka ends; None where a password stands for it, or it can't be used."""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One check of one target by one vantage; made once, at the end of the check.

    Times are UTC with microseconds, durations are seconds. No text has a NUL in it, which PostgreSQL does not store.
    Every number and every length has a bound: what decodes can be stored, and be added up without an end.
    """

    target: Url
    """The target's stable name; its URL where it was given none."""
    url: Url
    """Where the check was sent, without credentials."""
    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=_SHORT)] | None = None
    """The kind of probe: the scheme of the URL (webmon/check/kind.py); None in messages of schema 1."""
    labels: Labels = {}
    agent: Name
    """The vantage's id."""
    scheduled_at: Moment
    """The slot that the schedule owed."""
    time: Moment
    """When the check began."""
    interval: Annotated[float, msgspec.Meta(ge=0.001, le=INTERVAL_LIMIT)]
    """Seconds between two slots of this target, so that a reader can tell coverage from silence."""
    outcome: Outcome
    error: Annotated[str, msgspec.Meta(max_length=ERROR_LIMIT)] | None = None
    """One line for people, without secrets."""
    answer: Annotated[str, msgspec.Meta(max_length=ANSWER_LIMIT)] | None = None
    """What came, in one line: a banner, records, the first line of a command; None for HTTP, and where nothing came."""
    http_status: Annotated[int, msgspec.Meta(ge=100, le=999)] | None = None
    """As received; None where no response came."""
    response_time: Seconds | None = None
    """From the request sent to the headers of the last response, redirects included; None where none came."""
    total_time: Seconds
    """The whole check."""
    phases: Phases = Phases()
    regex_match: bool | None = None
    """None where no pattern was asked, or no body came."""
    body_bytes: Annotated[int, msgspec.Meta(ge=0, le=BODY_BYTES_LIMIT)] | None = None
    """Bytes of the body that were read, after decompression."""
    body_truncated: bool = False
    """Whether the body went on past the limit."""
    http_version: Short | None = None
    redirects: Annotated[int, msgspec.Meta(ge=0, le=REDIRECTS_LIMIT)] = 0
    remote_ip: Annotated[str, msgspec.Meta(max_length=_ADDRESS_LIMIT)] | None = None
    """An address, of IPv6 with or without its zone (fe80::1%eth0)."""
    tls_version: Short | None = None
    tls_not_after: Moment | None = None
    """When the certificate of the last connection ends: in UTC from year 1 to 9999, as in X.509."""
    agent_status: AgentStatus | msgspec.UnsetType | None = msgspec.UNSET
    """In one result of some seconds; the others do not have the field, and cost nothing for it."""


class UnreadableResultError(ValueError):
    """A message that is no CheckResult of a schema this reader knows; says why in one line."""


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(CheckResult)


def encode(result: CheckResult) -> bytes:
    """Give the message's value: UTF-8 JSON."""
    return _encoder.encode(result)


def decode(value: bytes, *, schema: int = SCHEMA_VERSION) -> CheckResult:
    """Read a message's value written under the given schema version.

    Raises:
        UnreadableResultError: not JSON, JSON nested too deeply to be followed, a missing or wrong field, a value out of
            its bounds, or a schema newer than this reader's.
    """
    if not 1 <= schema <= SCHEMA_VERSION:
        raise UnreadableResultError(_cut(f"schema {schema} is not known here: this reader knows 1 to {SCHEMA_VERSION}"))
    try:
        result = _decoder.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnreadableResultError(_cut(str(error))) from error
    # What costs more than a look is seldom done: this is called for every message.
    ends = result.tls_not_after
    if (
        _BACKSLASH in value
        or result.remote_ip not in _addresses
        or (ends is not None and ends.tzinfo is not UTC)
        or result.agent_status
    ):
        _see_the_rest(value, result)
    return result


_BACKSLASH: Final = 0x5C
"""As a number it is found in a fifth of the time."""
_addresses: Final[set[str | None]] = {None, ""}
"""Those that were found right of late."""
_MOST_ADDRESSES: Final = 10_000


def _see_the_rest(value: bytes, result: CheckResult) -> None:
    """Judge what msgspec does not.

    Raises:
        UnreadableResultError: a NUL, an address that is none, a year that UTC does not have.
    """
    # In JSON it can stand in no other way; but a backslash before it may be a text's own.
    if b"\\u0000" in value:
        _see_no_nul(result)
    if (address := result.remote_ip) not in _addresses:
        assert address is not None
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise UnreadableResultError(_cut(f"remote_ip is {address!r}, not an address")) from None
        if len(_addresses) >= _MOST_ADDRESSES:
            _addresses.clear()
            _addresses.update((None, ""))
        _addresses.add(address)
    _see_end("tls_not_after", result.tls_not_after)
    if result.agent_status:
        _see_end("certificate_ends", result.agent_status.certificate_ends)


def _see_end(name: str, ends: datetime | None) -> None:
    if ends is not None:
        try:
            ends.astimezone(UTC)
        except OverflowError:
            raise UnreadableResultError(
                f"{name} {ends.isoformat()} is not between the years 1 and 9999 in UTC"
            ) from None


def _see_no_nul(result: CheckResult) -> None:
    for name in result.__struct_fields__:
        value = getattr(result, name)
        if isinstance(value, AgentStatus):
            value = value.version
        texts = (*value, *value.values()) if isinstance(value, dict) else (value,)
        if any(isinstance(text, str) and "\0" in text for text in texts):
            raise UnreadableResultError(f"{name} has a NUL (0x00) character in it")


def _cut(reason: str) -> str:
    return reason if len(reason) <= _REASON_LIMIT else reason[: _REASON_LIMIT - 1] + "…"


def headers() -> list[tuple[str, bytes]]:
    """Give the record headers that go with a message written here."""
    return [(SCHEMA_HEADER, str(SCHEMA_VERSION).encode())]


def schema_of(record_headers: Mapping[str, bytes]) -> int:
    """Read the schema version from a record's headers; the first version needed none.

    Raises:
        UnreadableResultError: the header is not a number.
    """
    value = record_headers.get(SCHEMA_HEADER, b"1")
    try:
        return int(value)
    except ValueError as error:
        raise UnreadableResultError(_cut(f"header {SCHEMA_HEADER} is {value!r}, not a number")) from error


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of a message; a copy for other readers is checked in as webmon/result.schema.json."""
    schema = msgspec.json.schema(CheckResult)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    for definition in schema["$defs"].values():
        # Python 3.13 takes a docstring's indentation off, 3.11 does not.
        if "description" in definition:
            definition["description"] = inspect.cleandoc(definition["description"])
    schema["title"] = f"webmon check result, schema {SCHEMA_VERSION}"
    return schema


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))

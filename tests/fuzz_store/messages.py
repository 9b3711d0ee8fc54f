"""Messages as they may come on the topic: valid ones, those in which one thing is wrong, and rubbish."""

import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final, NamedTuple

from hypothesis import strategies as st

from webmon.check.result import CheckResult, Outcome

Headers = tuple[tuple[str, bytes | None], ...]

DAYS_BACK: Final = (0, 0, 0, 1, 2, 9, 10, 11, 40, 85)
"""How old results are: few days, as each one is a chunk of its own, and none that may come too late."""
_WIDE: Final = st.text(max_size=20)
_ODD: Final = "\u202e\u2066\u200b\ufeff\x1b[2J\x9b31m\r\n\t\x7f\x85\u2028\U0001f6d1"
_SCHEMAS: Final[tuple[Headers, ...]] = (
    (("schema", b"2"),),
    (("schema", b"2"),),
    (("schema", b"1"),),
    (),
    (("schema", None),),
    (("schema", None), ("schema", b"2")),
    (("schema", b"7"), ("schema", b"2"), ("x", b"\xff")),
)
_WRONG_SCHEMAS: Final[tuple[Headers, ...]] = tuple(
    (("schema", value),)
    for value in (b"3", b"0", b"-1", b"", b"\xff", b"2.0", b"1e1", b"9" * 5000, "²".encode(), b" 2 ", b"2\0")
)


class Message(NamedTuple):
    """A message, and what is known of it beforehand."""

    value: bytes | None
    headers: Headers
    must: bool = False
    """Whether it has to become a row, or be a repeat of one."""


class Again(NamedTuple):
    """A message that came before; counted back from the last."""

    back: int


def batches(now: datetime) -> st.SearchStrategy[list[Message | Again]]:
    """Give batches, at a time."""
    valid, nearly = valid_messages(now), nearly_valid_messages(now)
    repeats = st.builds(Again, st.integers(0, 400))
    kinds: list[st.SearchStrategy[Message | Again]] = [*[valid] * 9, *[nearly] * 4, rubbish(), *[repeats] * 2]
    one = st.integers(0, len(kinds) - 1).flatmap(kinds.__getitem__)
    return st.lists(one, min_size=1, max_size=3) | st.lists(one, min_size=20, max_size=60)


def valid_messages(now: datetime) -> st.SearchStrategy[Message]:
    """Give messages that a sink must take."""
    return st.builds(_valid, documents(now), st.sampled_from(_SCHEMAS), st.booleans())


def _valid(document: dict[str, Any], headers: Headers, is_ascii: bool) -> Message:
    # Names of targets that are longer have no place in an index.
    must = len(document["target"].encode()) < 2000
    return Message(json.dumps(document, ensure_ascii=is_ascii).encode(), headers, must)


_seconds: Final = st.sampled_from([0, 0.0, -0.0, 1e-300, 1e-45, 0.1, 1, 1.1, 1.2100000381469727, 604_800]) | st.floats(
    0, 604_800
)


def _text(longest: int, *, least: int = 0) -> st.SearchStrategy[str]:
    """Give texts that a message may have: any character but NUL, which PostgreSQL does not store."""
    filled = st.builds(lambda one: one * longest, st.sampled_from(["x", "ü", "\U0001f6d1", "\x1b"]))
    plain = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=least, max_size=30)
    return plain | st.just(_ODD[:longest]) | filled


_ALWAYS: Final = st.fixed_dictionaries(
    {
        "target": st.sampled_from(["shop", "cart", "docs", "búsqueda", "100%_sure", "a'b\"c", *"xy"]),
        "url": st.sampled_from(["https://shop.example/", "smtp://mail", "http://x/?" + "y" * 1900, "nonsense"]),
        "agent": st.sampled_from(["fra1", "nyc1", "hkg 密", "b"]),
        "interval": st.sampled_from([60, 60.0, 0.001, 1, 3600, 86_400]) | st.floats(0.001, 86_400),
        "outcome": st.sampled_from([*(outcome.value for outcome in Outcome), *["up"] * 9, *["timeout"] * 4]),
        "total_time": _seconds,
    }
)
_OPTIONAL: Final[dict[str, st.SearchStrategy[Any]]] = {
    "kind": st.sampled_from(["https", "smtp", "x" * 50]) | st.none(),
    "labels": st.dictionaries(st.sampled_from(["team", "", "ü", "k" * 200]), _text(1000), max_size=3),
    "error": _text(500) | st.none(),
    "answer": _text(200) | st.none(),
    "http_status": st.sampled_from([100, 200, 503, 999]) | st.none(),
    "response_time": _seconds | st.none(),
    "phases": st.dictionaries(
        st.sampled_from(["dns", "connect", "tls", "first_byte", "transfer"]), _seconds | st.none()
    ),
    "regex_match": st.booleans() | st.none(),
    "body_bytes": st.sampled_from([0, 2**31 - 1]) | st.none(),
    "body_truncated": st.booleans(),
    "http_version": _text(50) | st.none(),
    "redirects": st.integers(0, 50),
    "remote_ip": st.sampled_from(["", "192.0.2.1", "::", "fe80::1%eth0", "::ffff:192.0.2.1"]) | st.none(),
    "tls_version": _text(50) | st.none(),
    "tls_not_after": st.sampled_from(
        [
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999Z",
            "9999-12-31T23:59:59.999998Z",
            "2027-01-02T03:04:05Z",
        ]
    )
    | st.none(),
    "added later": st.recursive(st.none() | st.integers(), st.lists, max_leaves=3),
}
_NAMES: Final = st.lists(st.sampled_from(sorted(_OPTIONAL)), max_size=8, unique=True)
_DELAYS: Final = st.sampled_from([0, 0, 1, 250_000, 999_999, 3_600_000_000, -1])
_ONE_IN_TEN: Final = st.integers(0, 9)
_ANY_TARGET: Final = _text(2000, least=1)
_ZONES: Final = st.sampled_from([UTC, UTC, timezone(timedelta(hours=5, minutes=45)), timezone(timedelta(hours=-12))])
_UTC_AS: Final = st.sampled_from(["Z", "+00:00"])


@functools.cache
@st.composite
def documents(draw: st.DrawFn, now: datetime) -> dict[str, Any]:
    """Give what stands in a message, each value within its bounds."""
    moment = draw(moments(now))
    document = draw(_ALWAYS)
    delay = timedelta(microseconds=draw(_DELAYS))
    document |= {"scheduled_at": _written(draw, moment - delay), "time": _written(draw, moment)}
    for name in draw(_NAMES):
        document[name] = draw(_OPTIONAL[name])
    if draw(_ONE_IN_TEN) == 0:
        document["target"] = draw(_ANY_TARGET)
    return document


@functools.cache
def moments(now: datetime) -> st.SearchStrategy[datetime]:
    """Give times of the past; many of them are the same, or a microsecond apart."""
    return st.builds(
        lambda days, seconds, micro: now - timedelta(days=days, seconds=seconds, microseconds=micro),
        st.sampled_from(DAYS_BACK),
        st.sampled_from([60, 120, 180, 3600, 3660, 7200, 11_000]) | st.integers(60, 20_000),
        st.sampled_from([0, 0, 1, 500_000]) | st.integers(0, 999_999),
    )


def _written(draw: st.DrawFn, moment: datetime) -> str:
    zone = draw(_ZONES)
    text = moment.astimezone(zone).isoformat()
    return text.replace("+00:00", draw(_UTC_AS)) if zone is UTC else text


WILD_NUMBERS: Final[tuple[Any, ...]] = (
    *(-1, 0, 1e-4, 0.0009, 86_400.001, 1e12, 3e38, 3.5e38, 1e308, 2**31, 2**63, -(2**63), 10**400, 604_800.1, 99, 1000),
    *(True, "60", None, [], {}),
)
WILD_TIMES: Final[tuple[Any, ...]] = (
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59", "1970-01-01T00:00:00Z"),
    *("2026-13-01T00:00:00Z", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T24:00:00Z", "now", "infinity", 0, None),
    *("2026-06-30T23:59:60Z", "2026-01-01T00:00:00.1234567Z", "-0001-01-01T00:00:00Z", "10000-01-01T00:00:00Z"),
)
WILD_TEXTS: Final[tuple[Any, ...]] = (
    *(
        "",
        "\0",
        "a\0b",
        "x" * 201,
        "x" * 501,
        "x" * 2001,
        "x" * 8001,
        "\ud800",
        "\U0001f6d1" * 2000,
        _ODD,
        "-",
        " ",
        "'",
    ),
    *("1.2.3", "::1%" + "z" * 200, "999.1.1.1", "192.0.2.1/24", 7, None, ["x"]),
)


@st.composite
def nearly_valid_messages(draw: st.DrawFn, now: datetime) -> Message:
    """Give messages with one fault or two, which may be none after all."""
    document = draw(documents(now))
    headers = draw(st.sampled_from(_SCHEMAS))
    match draw(st.integers(0, 8)):
        case 0:
            headers = draw(st.sampled_from(_WRONG_SCHEMAS))
        case 1:
            del document[draw(st.sampled_from(sorted(document)))]
        case 2:
            document["time"] = draw(st.sampled_from(WILD_TIMES) | _wild_times(now))
        case 3:
            document["scheduled_at"] = draw(st.sampled_from(WILD_TIMES) | _wild_times(now))
        case 4 | 5:
            name = draw(st.sampled_from(sorted(CheckResult.__struct_fields__)))
            document[name] = draw(st.sampled_from(WILD_NUMBERS + WILD_TEXTS + WILD_TIMES) | _WIDE)
        case 6:
            return Message(draw(_broken(json.dumps(document).encode())), headers)
        case 7:
            # A key that stands twice: in JSON the last one counts.
            text = json.dumps(document)
            return Message((text[:-1] + ', "agent": "' + draw(st.sampled_from("bc")) + '"}').encode(), headers)
        case _:
            document["labels"] = draw(
                st.dictionaries(st.sampled_from(WILD_TEXTS[:12]).map(str), st.sampled_from(WILD_TEXTS), max_size=3)
                | st.just({str(number): "v" for number in range(51)})
            )
    return Message(_as_json(document), headers)


@functools.cache
def _wild_times(now: datetime) -> st.SearchStrategy[str]:
    edges = [
        timedelta(days=days, seconds=seconds)
        for days in (-366, -100, 0)
        for seconds in (-60, -1, 0, 1, 25, 35, 60, 3500, 3700)
    ]
    return st.sampled_from(edges).map(lambda edge: (now + edge).isoformat())


def _as_json(document: Mapping[str, Any]) -> bytes:
    # A lone surrogate is to be had in escapes alone.
    return json.dumps(document).encode()


@st.composite
def _broken(draw: st.DrawFn, value: bytes) -> bytes:
    at = draw(st.integers(0, len(value) - 1))
    match draw(st.integers(0, 4)):
        case 0:
            return value[:at]
        case 1:
            return value[:at] + draw(st.binary(min_size=1, max_size=3)) + value[at:]
        case 2:
            return value[:at] + bytes((value[at] ^ 1 << draw(st.integers(0, 7)),)) + value[at + 1 :]
        case 3:
            return value[:at] + value[at + draw(st.integers(1, 20)) :]
        case _:
            return draw(st.sampled_from([b"\xef\xbb\xbf" + value, value + value, value + b"\0", b" " + value + b"\n"]))


def rubbish() -> st.SearchStrategy[Message]:
    """Give what is no message of ours."""
    values = (
        st.none()
        | st.binary(max_size=40)
        | st.sampled_from(
            [
                b"",
                b"{}",
                b"[]",
                b"null",
                b"{" * 10_000,
                b'{"x":' * 5000,
                b"\x1f\x8b" + bytes(50),
                b'{"target":' + b"9" * 5000,
            ]
        )
    )
    return st.tuples(values, st.sampled_from(_SCHEMAS + _WRONG_SCHEMAS)).map(lambda pair: Message(*pair))

"""The message on the topic: what is written can be read, what is not one is refused."""

import json
import re
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmon.check import result
from webmon.check.result import CheckResult, Outcome, Phases, UnreadableResultError, decode, encode

seconds = st.floats(min_value=0, max_value=result.SECONDS_LIMIT)
moments = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
ends = st.datetimes(timezones=st.just(UTC))
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)
answers = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=result.ANSWER_LIMIT)


@st.composite
def results(draw: st.DrawFn) -> CheckResult:
    """Any result that an agent may write."""
    return CheckResult(
        target=draw(texts),
        url=draw(texts),
        kind=draw(st.none() | texts),
        labels=draw(st.dictionaries(texts, texts, max_size=3)),
        agent=draw(texts),
        scheduled_at=draw(moments),
        time=draw(moments),
        interval=draw(st.floats(min_value=0.1, max_value=86400)),
        outcome=draw(st.sampled_from(Outcome)),
        error=draw(st.none() | texts),
        answer=draw(st.none() | answers),
        http_status=draw(st.none() | st.integers(100, 999)),
        response_time=draw(st.none() | seconds),
        total_time=draw(seconds),
        phases=Phases(dns=draw(st.none() | seconds), transfer=draw(st.none() | seconds)),
        regex_match=draw(st.none() | st.booleans()),
        body_bytes=draw(st.none() | st.integers(0, result.BODY_BYTES_LIMIT)),
        redirects=draw(st.integers(0, 50)),
        http_version=draw(st.none() | st.sampled_from(["1.1", "2"])),
        remote_ip=draw(st.none() | st.ip_addresses().map(str) | st.just("fe80::1%eth0")),
        tls_version=draw(st.none() | st.just("TLSv1.3")),
        tls_not_after=draw(st.none() | ends),
    )


@given(results())
def test_what_is_written_is_read_back_the_same(written: CheckResult) -> None:
    assert decode(encode(written)) == written


def example() -> CheckResult:
    """One plain result."""
    now = datetime(2026, 11, 24, 12, 0, 0, 123456, UTC)
    return CheckResult(
        target="home",
        url="https://example.org/",
        agent="agent1",
        scheduled_at=now,
        time=now + timedelta(milliseconds=3),
        interval=60,
        outcome=Outcome.UP,
        total_time=0.2,
    )


def test_times_are_utc_with_microseconds() -> None:
    assert json.loads(encode(example()))["time"] == "2026-11-24T12:00:00.126456Z"


def test_a_field_of_a_later_schema_is_ignored() -> None:
    message = json.loads(encode(example())) | {"from_the_future": [1, 2]}
    assert decode(json.dumps(message).encode()) == example()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"outcome": "fine"}, "Invalid enum value 'fine'"),
        ({"time": "2026-11-24T12:00:00"}, "Expected `datetime` with a timezone component"),
        ({"total_time": -1}, "Expected `float` >= 0.0"),
        ({"http_status": "200"}, "Expected `int | null`, got `str`"),
        ({"target": ""}, "length >= 1"),
        ({"interval": 0}, "Expected `float` >= 0.001"),
        ({"interval": 1e-300}, "Expected `float` >= 0.001"),
        ({"interval": 86401}, "Expected `float` <= 86400.0"),
        ({"interval": 3e38}, "Expected `float` <= 86400.0"),
        ({"total_time": 1e12}, "Expected `float` <= 604800.0"),
        ({"response_time": 1e12}, "Expected `float` <= 604800.0"),
        ({"phases": {"tls": 1e12}}, "Expected `float` <= 604800.0"),
        ({"redirects": 51}, "Expected `int` <= 50"),
        ({"body_bytes": 1 << 31}, "Expected `int` <= 2147483647"),
        ({"http_status": 99}, "Expected `int` >= 100"),
        ({"target": "x" * 8001}, "length <= 8000"),
        ({"url": "x" * 8001}, "length <= 8000"),
        ({"agent": "x" * 201}, "length <= 200"),
        ({"labels": {str(number): "" for number in range(51)}}, "length <= 50"),
        ({"labels": {"x" * 201: ""}}, "length <= 200"),
        ({"labels": {"x": "x" * 1001}}, "length <= 1000"),
        ({"http_version": "x" * 51}, "length <= 50"),
        ({"remote_ip": "localhost"}, "remote_ip is 'localhost', not an address"),
        ({"remote_ip": "192.0.2.1%eth0"}, "not an address"),
        ({"tls_not_after": "9999-12-31T23:59:59.999999-00:01"}, "not between the years 1 and 9999"),
        ({"tls_not_after": "0001-01-01T00:00:00+00:01"}, "not between the years 1 and 9999"),
        ({"target": "a\0b"}, "target has a NUL"),
        ({"error": "a\0b"}, "error has a NUL"),
        ({"tls_version": "\0"}, "tls_version has a NUL"),
        ({"labels": {"a\0": "b"}}, "labels has a NUL"),
        ({"labels": {"a": "\0b"}}, "labels has a NUL"),
        ({"kind": ""}, "length >= 1"),
        ({"answer": 220}, "Expected `str | null`, got `int`"),
        ({"answer": "x" * 201}, "length <= 200"),
        ({"agent_status": {"version": "1"}}, "missing required field `waiting`"),
        ({"agent_status": {"version": "1", "waiting": -1}}, "Expected `int` >= 0"),
        ({"agent_status": {"version": "1", "waiting": 1 << 53}}, "Expected `int` <= 9007199254740991"),
        ({"agent_status": {"version": "1", "waiting": 1 << 99}}, "agent_status"),
        ({"agent_status": {"version": "x" * 51, "waiting": 1}}, "length <= 50"),
        ({"agent_status": {"version": "\0", "waiting": 1}}, "agent_status has a NUL"),
        (
            {"agent_status": {"version": "1", "waiting": 1, "certificate_ends": "2027-01-01T00:00:00"}},
            "Expected `datetime` with a timezone component",
        ),
        (
            {"agent_status": {"version": "1", "waiting": 1, "certificate_ends": "0001-01-01T00:00:00+00:01"}},
            "certificate_ends 0001-01-01T00:00:00+00:01 is not between the years 1 and 9999",
        ),
    ],
)
def test_a_wrong_field_is_refused_with_its_reason(change: dict[str, object], reason: str) -> None:
    message = json.dumps(json.loads(encode(example())) | change).encode()
    with pytest.raises(UnreadableResultError, match=re.escape(reason)):
        decode(message)


def test_a_result_that_tells_nothing_of_its_agent_has_no_field_for_it_and_costs_no_byte() -> None:
    assert b"agent_status" not in encode(example())
    for said in ({}, {"agent_status": None}):
        assert not decode(json.dumps(json.loads(encode(example())) | said).encode()).agent_status


def test_a_reader_of_the_release_before_takes_a_result_that_tells_of_its_agent() -> None:
    known = [(field.name, field.type) for field in msgspec.structs.fields(CheckResult) if field.name != "agent_status"]
    before = msgspec.defstruct("Before", known)
    status = result.AgentStatus(version="9", waiting=3)
    said: Any = msgspec.json.decode(encode(msgspec.structs.replace(example(), agent_status=status)), type=before)
    assert said.target == example().target
    assert result.headers() == [("schema", b"2")]


def test_a_backslash_before_what_looks_like_a_nul_is_none() -> None:
    written = msgspec.structs.replace(example(), error=r"no match: \u0000")
    assert decode(encode(written)) == written


@pytest.mark.parametrize("change", [{"outcome": "x" * 9999}, {"remote_ip": "f" * 100}, {"schema": "9" * 4000}])
def test_a_reason_is_short_whatever_it_quotes(change: dict[str, str]) -> None:
    message = json.dumps(json.loads(encode(example())) | change).encode()
    with pytest.raises(UnreadableResultError) as refused:
        decode(message, schema=int(change.get("schema", "2")))
    assert len(str(refused.value)) <= 300


def test_the_extremes_that_an_agent_may_make_are_read() -> None:
    written = msgspec.structs.replace(
        example(),
        target="x" * 8000,
        url="x" * 8000,
        labels={f"{number:0200}": "x" * 1000 for number in range(50)},
        interval=86_400.0,
        total_time=result.SECONDS_LIMIT,
        redirects=50,
        body_bytes=64 << 20,
        remote_ip="fe80::1%eth0",
        tls_not_after=datetime.max.replace(tzinfo=UTC),
        agent_status=result.AgentStatus(
            version="x" * 50, waiting=result.WAITING_LIMIT, certificate_ends=datetime.min.replace(tzinfo=UTC)
        ),
    )
    assert decode(encode(written)) == written


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"null", b"\xff", b'{"target": "\xff"}', b'{"target": NaN}', b'{"x":' + b"[" * 9999]
)
def test_what_is_no_result_is_refused(value: bytes) -> None:
    with pytest.raises(UnreadableResultError):
        decode(value)


def test_a_later_schema_version_is_refused() -> None:
    with pytest.raises(UnreadableResultError, match="schema 3 is not known here"):
        decode(encode(example()), schema=3)


def test_a_message_of_the_first_schema_has_neither_kind_nor_answer() -> None:
    message = {name: value for name, value in json.loads(encode(example())).items() if name not in ("kind", "answer")}
    read = decode(json.dumps(message).encode(), schema=1)
    assert (read.kind, read.answer) == (None, None)
    assert read.target == example().target


def test_the_header_tells_the_schema_and_the_first_version_needed_none() -> None:
    assert result.schema_of(dict(result.headers())) == result.SCHEMA_VERSION
    assert result.schema_of({}) == 1
    with pytest.raises(UnreadableResultError):
        result.schema_of({"schema": b"one"})


def test_an_agents_own_fault_is_never_downtime() -> None:
    assert not Outcome.AGENT_ERROR.is_up
    assert not Outcome.AGENT_ERROR.is_down
    assert [outcome for outcome in Outcome if outcome.is_up] == [Outcome.UP, Outcome.SLOW]


def test_the_checked_in_schema_is_that_of_the_code() -> None:
    checked_in = json.loads(files("webmon").joinpath("result.schema.json").read_text())
    assert checked_in == result.json_schema(), "run: python -m webmon.check.result > webmon/result.schema.json"

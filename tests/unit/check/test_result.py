"""The message on the topic: what is written can be read, what is not one is refused."""

import json
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmon.check import result
from webmon.check.result import CheckResult, Outcome, Phases, UnreadableResultError, decode, encode

seconds = st.floats(min_value=0, max_value=1e6)
moments = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
answers = st.text(st.characters(exclude_categories=["Cs"]), max_size=result.ANSWER_LIMIT)


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
        body_bytes=draw(st.none() | st.integers(0, 2**40)),
        redirects=draw(st.integers(0, 50)),
        tls_not_after=draw(st.none() | moments),
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
        ({"interval": 0}, "Expected `float` > 0.0"),
        ({"kind": ""}, "length >= 1"),
        ({"answer": 220}, "Expected `str | null`, got `int`"),
        ({"answer": "x" * 201}, "length <= 200"),
    ],
)
def test_a_wrong_field_is_refused_with_its_reason(change: dict[str, object], reason: str) -> None:
    message = json.dumps(json.loads(encode(example())) | change).encode()
    with pytest.raises(UnreadableResultError, match=reason.replace("|", r"\|")):
        decode(message)


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

"""What of the topic can be read, and what is said of the rest."""

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from webmon.check.result import CheckResult, Outcome, UnreadableResultError, decode, encode
from webmon.kafka import bugs
from webmon.kafka.client import Withheld
from webmon.kafka.decode import read
from webmon.sink import dimensions
from webmon.sink.rows import binary

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def make_result(**changes: Any) -> CheckResult:
    values: dict[str, Any] = {
        "target": "shop",
        "url": "https://shop.example/",
        "agent": "vantage1",
        "scheduled_at": NOW,
        "time": NOW,
        "interval": 60.0,
        "outcome": Outcome.UP,
        "total_time": 0.5,
    }
    return CheckResult(**(values | changes))


def make_record(value: bytes | None, *headers: tuple[str, bytes | None]) -> Any:
    return SimpleNamespace(
        topic="results",
        partition=0,
        offset=0,
        key=b"shop",
        value=value,
        headers=list(headers),
        timestamp=int(NOW.timestamp() * 1000),
        timestamp_type=1,
    )


def reason(record: Any) -> str:
    readable, unreadable = read([record], now=NOW)
    assert readable == []
    (found,) = unreadable
    assert found.record is record
    assert "\n" not in found.reason
    return found.reason


def test_good_records_are_read_in_order_and_bad_ones_set_aside() -> None:
    results = [make_result(target=name) for name in ("a", "b", "c")]
    records = [make_record(encode(result)) for result in results]
    records.insert(1, make_record(b"junk"))
    readable, unreadable = read(records, now=NOW)
    assert [found.result for found in readable] == results
    assert [found.record for found in unreadable] == [records[1]]


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (0, "the record was not read: has 101 headers"),
        (-3, "the batch from offset -3 to 0 was not read: has 101 headers"),
    ],
)
def test_what_the_client_did_not_read_is_told_with_its_place(first: int, told: str) -> None:
    value = Withheld()
    value.first, value.reason = first, "has 101 headers"
    assert reason(make_record(value)) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "no value"),
        (b"", "truncated"),
        (b"[]", "object"),
        (b"{}", "missing required field"),
        (b"\xff", ""),
        (encode(make_result()).replace(b'"up"', b'"sideways"'), "sideways"),
        (encode(make_result()).replace(b"60.0", b"NaN"), ""),
        (encode(make_result()).replace(b"60.0", b"1e999"), ""),
        (encode(make_result()).replace(b'"shop"', b'"\\ud800"'), ""),
    ],
)
def test_what_is_no_result_is_told_apart(value: bytes | None, told: str) -> None:
    assert told in reason(make_record(value))


def test_a_schema_of_the_future_is_set_aside() -> None:
    assert "schema 99" in reason(make_record(encode(make_result()), ("schema", b"99")))
    assert "schema" in reason(make_record(encode(make_result()), ("schema", b"x")))


def test_a_message_of_the_first_schema_is_read_and_has_neither_kind_nor_answer() -> None:
    message = json.loads(encode(make_result()))
    del message["kind"], message["answer"]
    ((_, result),), _ = read([make_record(json.dumps(message).encode(), ("schema", b"1"))], now=NOW)
    assert (result.target, result.kind, result.answer) == ("shop", None, None)


def test_a_record_without_headers_is_of_the_first_schema() -> None:
    readable, _ = read([make_record(encode(make_result()), ("schema", None))], now=NOW)
    assert len(readable) == 1


@pytest.mark.parametrize("field", ["time", "scheduled_at"])
@pytest.mark.parametrize("shift", [timedelta(days=-367), timedelta(seconds=31)])
def test_a_time_outside_the_window_is_set_aside(field: str, shift: timedelta) -> None:
    assert field in reason(make_record(encode(make_result(**{field: NOW + shift}))))


@pytest.mark.parametrize("shift", [timedelta(days=-99), timedelta(seconds=29)])
def test_a_late_result_and_a_clock_that_is_a_little_ahead_are_taken(shift: timedelta) -> None:
    readable, _ = read([make_record(encode(make_result(time=NOW + shift)))], now=NOW)
    assert len(readable) == 1


@pytest.mark.parametrize("field", ["time", "scheduled_at"])
def test_results_are_spread_over_the_past_no_further_than_they_may_wait(field: str) -> None:
    said = reason(make_record(encode(make_result(**{field: NOW - timedelta(days=101)}))))
    assert said.startswith(f"{field} ")
    assert "more than 100 days before it came" in said


def test_an_old_topic_that_is_read_again_is_as_good_as_it_was() -> None:
    then = NOW - timedelta(days=300)
    record = make_record(encode(make_result(time=then - timedelta(days=99), scheduled_at=then)))
    assert "366 days" in reason(record)
    then = NOW - timedelta(days=260)
    record = make_record(encode(make_result(time=then - timedelta(days=99), scheduled_at=then)))
    record.timestamp = int(1000 * then.timestamp())
    assert len(read([record], now=NOW)[0]) == 1


@pytest.mark.parametrize("timestamp", [-1, 2**62])
def test_no_time_of_a_record_breaks_the_reader(timestamp: int) -> None:
    record = make_record(encode(make_result(time=NOW - timedelta(days=101))))
    record.timestamp = timestamp
    readable, unreadable = read([record], now=NOW)
    assert len(readable) + len(unreadable) == 1
    assert all("bug" not in one.reason for one in unreadable)


def test_a_time_is_judged_by_the_moment_when_kafka_got_it_however_late_a_sink_reads_it() -> None:
    record = make_record(encode(make_result(time=NOW + timedelta(minutes=10))))
    _, (found,) = read([record], now=NOW + timedelta(days=3))
    assert found.reason == (
        "time 2026-06-01T12:10:00+00:00 is not between 366 days ago and 30 s after Kafka got it "
        "(2026-06-01 12:00:00 UTC): is the agent's clock right?"
    )


@pytest.mark.parametrize("ahead", [timedelta(), timedelta(minutes=10)])
def test_what_stands_in_a_topic_from_before_its_brokers_wrote_the_time_stays_readable(ahead: timedelta) -> None:
    record = make_record(encode(make_result(time=NOW + ahead)))
    record.timestamp_type = 0
    assert len(read([record], now=NOW + ahead)[0]) == 1


def test_a_timestamp_that_an_agent_wrote_lets_it_claim_no_time_to_come() -> None:
    record = make_record(encode(make_result(time=NOW + timedelta(minutes=10))))
    record.timestamp_type, record.timestamp = 0, record.timestamp + 600_000
    assert "clock" in reason(record)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just("x" * 201),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(sorted(CheckResult.__struct_fields__)), anything)
@example("answer", "a\0\ud800\033[2J")
@example("answer", "x" * 200)
@example("answer", "x" * 201)
@example("kind", "")
def test_nothing_that_stands_in_a_field_breaks_the_reader(field: str, value: Any) -> None:
    message = json.loads(encode(make_result())) | {field: value}
    readable, unreadable = read([make_record(json.dumps(message).encode(), ("schema", b"2"))], now=NOW)
    assert len(readable) + len(unreadable) == 1
    if readable and field in ("kind", "answer"):
        assert getattr(readable[0].result, field) == value
    assert all("\n" not in found.reason for found in unreadable)


NEARLY: list[Any] = [
    *(
        0,
        -1,
        1e-300,
        0.001,
        86_400,
        1e12,
        3e38,
        1e308,
        2**31,
        2**63,
        10**400,
        "1e999",
        "",
        "\0",
        "x" * 2001,
        "::",
        "1.2.3",
    ),
    *("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999-23:59", "2026-06-01T12:00:00Z"),
    *({"a": "\0"}, {"tls": 3e38}, {"tls": 0.5}, True, None),
]


@given(
    st.dictionaries(
        st.sampled_from(sorted(CheckResult.__struct_fields__)), anything | st.sampled_from(NEARLY), max_size=4
    )
)
def test_what_is_read_has_a_place_in_every_column_and_a_fingerprint_of_its_own(changes: dict[str, Any]) -> None:
    message = json.dumps(json.loads(encode(make_result())) | changes)
    try:
        result = decode(message.encode())
    except UnreadableResultError:
        return
    assert binary([(result, (1, 1))])
    context = dimensions._context(result)
    ends = msgspec.structs.replace(result, tls_not_after=datetime(9999, 12, 31, 23, 59, 59, 1, UTC))
    assert dimensions._fingerprint(context) == dimensions._fingerprint(dimensions._context(decode(encode(result))))
    assert (dimensions._fingerprint(dimensions._context(ends)) == dimensions._fingerprint(context)) == (ends == result)
    assert result.interval <= 86_400
    assert len(str(result.remote_ip)) <= 100


@pytest.mark.parametrize("number", ["1e999", "-1e999", "NaN", "Infinity", "1" * 400])
@pytest.mark.parametrize("field", ["interval", "total_time"])
def test_a_number_that_is_none_is_set_aside(field: str, number: str) -> None:
    message = json.loads(encode(make_result())) | {field: "HERE"}
    assert reason(make_record(json.dumps(message).replace('"HERE"', number).encode()))


def test_a_bug_that_one_message_meets_is_told_once_and_sets_no_other_aside(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(value: bytes, **_: Any) -> CheckResult:
        if b"bad" in value:
            raise KeyError("gone")
        return decode(value)

    monkeypatch.setattr("webmon.kafka.decode.decode", broken)
    monkeypatch.setattr(bugs, "_told", set())
    records = [make_record(encode(make_result(target=name))) for name in ("a", "bad", "b", "bad")]
    readable, unreadable = read(records, now=NOW)
    assert [found.result.target for found in readable] == ["a", "b"]
    assert [found.reason for found in unreadable] == ["a bug in webmon: KeyError: 'gone'"] * 2
    (told,) = caplog.records
    assert "a bug in webmon" in told.message
    assert told.exc_info is not None


@given(st.binary(max_size=200))
def test_no_bytes_whatever_break_the_reader(value: bytes) -> None:
    readable, unreadable = read([make_record(value)], now=NOW)
    assert len(readable) + len(unreadable) == 1

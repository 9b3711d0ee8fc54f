"""What COPY is given, read back by the rules of its binary format."""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from webmon.check.result import CheckResult, Outcome, Phases
from webmon.sink.rows import COLUMNS, binary

MOMENT = datetime(2026, 11, 24, 12, 30, 0, 123456, tzinfo=UTC)
TEXTS = ("answer", "error")
TYPES = dict(zip(COLUMNS, "qiiffhffffffih", strict=True))


def check(**changes: Any) -> CheckResult:
    """Make a result of which all is known."""
    values: dict[str, Any] = {
        "target": "shop",
        "url": "https://shop.example/",
        "agent": "a",
        "scheduled_at": MOMENT - timedelta(seconds=0.5),
        "time": MOMENT,
        "interval": 60.0,
        "outcome": Outcome.BODY_MISMATCH,
        "error": "no match: ü",
        "answer": "220 grüezi",
        "http_status": 200,
        "response_time": 0.25,
        "phases": Phases(dns=0.125, connect=0.0625, tls=0.5, first_byte=0.03125, transfer=0.75),
        "total_time": 1.5,
        "body_bytes": 1234,
    }
    return CheckResult(**(values | changes))


def rows_of(data: bytes) -> Iterator[dict[str, Any]]:
    """Read a COPY stream."""
    assert data[:19] == b"PGCOPY\n\xff\r\n\0" + bytes(8)
    place = 19
    while (fields := struct.unpack_from(">h", data, place)[0]) != -1:
        assert fields == len(COLUMNS) + len(TEXTS)
        place += 2
        row: dict[str, Any] = {}
        for name in (*COLUMNS, *TEXTS):
            (length,) = struct.unpack_from(">i", data, place)
            place += 4
            if length == -1:
                row[name] = None
                continue
            value = data[place : place + length]
            place += length
            row[name] = value.decode() if name in TEXTS else struct.unpack(">" + TYPES[name], value)[0]
        yield row
    assert place + 2 == len(data)


def test_every_value_stands_in_its_column() -> None:
    (row,) = rows_of(binary([(check(), (7, 8))]))
    assert row == {
        "time": (MOMENT - datetime(2000, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1),
        "series_id": 7,
        "context_id": 8,
        "delay_secs": 0.5,
        "total_secs": 1.5,
        "outcome": list(Outcome).index(Outcome.BODY_MISMATCH) + 1,
        "response_secs": 0.25,
        "dns_secs": 0.125,
        "connect_secs": 0.0625,
        "tls_secs": 0.5,
        "first_byte_secs": 0.03125,
        "transfer_secs": 0.75,
        "body_bytes": 1234,
        "http_status": 200,
        "answer": "220 grüezi",
        "error": "no match: ü",
    }


def test_what_was_not_measured_is_null() -> None:
    nothing = check(response_time=None, phases=Phases(), body_bytes=None, http_status=None, answer=None, error=None)
    full, empty = rows_of(binary([(check(), (1, 1)), (nothing, (2, 1))]))
    assert None not in full.values()
    assert [name for name, value in empty.items() if value is not None] == list(COLUMNS[:6])


def test_an_answer_and_an_error_are_not_taken_for_each_other() -> None:
    rows = list(
        rows_of(binary([(check(error=None), (1, 1)), (check(answer=None), (2, 1)), (check(answer=""), (3, 1))]))
    )
    assert [(row["answer"], row["error"]) for row in rows] == [
        ("220 grüezi", None),
        (None, "no match: ü"),
        ("", "no match: ü"),
    ]


@pytest.mark.parametrize("changes", [{"body_bytes": 1 << 31}, {"total_time": 1e39}])
def test_a_number_that_has_no_place_in_its_column_is_refused_by_a_reason(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="too large"):
        binary([(check(**changes), (1, 1))])


def test_of_results_with_one_series_and_time_the_first_is_kept() -> None:
    later = MOMENT + timedelta(microseconds=1)
    results = [check(), check(answer="second"), check(time=later), check(answer="of another series")]
    ids = [(1, 7), (1, 8), (1, 7), (2, 7)]
    rows = list(rows_of(binary(zip(results, ids, strict=True))))
    assert [(row["series_id"], row["context_id"], row["answer"]) for row in rows] == [
        (1, 7, "220 grüezi"),
        (1, 7, "220 grüezi"),
        (2, 7, "of another series"),
    ]
    assert rows[1]["time"] == rows[0]["time"] + 1


@pytest.mark.parametrize("name", ["response_time", "body_bytes", "http_status", *Phases.__struct_fields__])
def test_one_that_was_not_measured_is_null_alone(name: str) -> None:
    whole = Phases(dns=0.125, connect=0.0625, tls=0.5, first_byte=0.03125, transfer=0.75)
    is_phase = name in Phases.__struct_fields__
    changes = {"phases": msgspec.structs.replace(whole, **{name: None})} if is_phase else {name: None}
    full, other = rows_of(binary([(check(), (1, 1)), (check(**changes), (2, 1))]))
    column = {"response_time": "response_secs"}.get(name, f"{name}_secs" if is_phase else name)
    assert other == full | {"series_id": 2, column: None}

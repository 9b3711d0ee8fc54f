"""Records of the alarm log as rows."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from webmon.alarm import history, records
from webmon.alarm.conditions import Condition, Severity
from webmon.alarm.history_rows import row_of
from webmon.alarm.records import Ack, Announcement, Certificates, Episode, Maintenance, Notice, Seen, Silence, make_id
from webmon.store.history import COLUMNS

AT = 1_790_000_000_123
"""2026-09-21T14:13:20.123Z"""


def episode(**changes: Any) -> Episode:
    given: dict[str, Any] = {"condition": Condition.DOWN, "subject": "shop", "severity": Severity.CRITICAL}
    given |= {"since": AT, "opened": AT}
    return Episode(**({"id": make_id("shop")} | given | changes))


def values_of(record: records.Record) -> dict[str, Any]:
    row = row_of(record)
    return dict(zip(COLUMNS[row.table], row.values, strict=True))


def test_every_record_has_as_many_values_as_its_table_has_columns() -> None:
    every: list[records.Record] = [
        episode(),
        Notice(id=make_id(1), episode=make_id(2), channel="ops", event="opened", made=AT, due=AT, group="g"),
        Silence(id="s", match="*", begins=AT, until=AT),
        Maintenance(id="m", match="*", begins=AT, until=AT),
        Announcement(id="a", title="t", begins=AT),
    ]
    assert {row_of(record).table for record in every} == set(COLUMNS)
    for record in every:
        values = values_of(record)
        assert values["id"] == record.id
        assert records.decode(record.key, records.encode(record)) == record


def test_what_only_judges_need_is_no_row_and_no_fault() -> None:
    record = Certificates(target="shop", lifetimes={AT: 86_400_000})
    batch = history._Batch(0)
    for value in (records.encode(record), None):
        batch.take(SimpleNamespace(offset=0, key=record.key.encode(), value=value, timestamp=AT))
    assert (batch.rows, batch.faults, batch.forgotten) == ({}, [], {})


def test_a_text_of_a_stranger_is_cut_to_its_bound_and_stays_text() -> None:
    values = values_of(
        episode(
            subject="x" * 9_000,
            detail="a\0b\ud800c\x1b[31m",
            labels={f"key{n}" + "k" * 300: "v" * 2_000 for n in range(99)},
            seen=[Seen("v" * 300, "timeout", "e" * 900)] * 200,
            ack=Ack(by="b" * 900, at=AT, note="n" * 5_000),
        )
    )
    assert len(values["subject"]) == 8_000
    assert values["detail"] == "ab?c\x1b[31m", "what shows it escapes it"
    labels = values["labels"].adapted
    assert len(labels) == 50
    assert {(len(key), len(value)) for key, value in labels.items()} == {(200, 1_000)}
    assert len(values["seen"].adapted) == 100
    assert values["seen"].adapted[0] == {
        "vantage": "v" * 200,
        "outcome": "timeout",
        "error": "e" * 500,
        "http_status": None,
    }
    assert (len(values["ack_by"]), len(values["ack_note"])) == (200, 1_000)


def test_times_are_utc_to_the_millisecond() -> None:
    values = values_of(episode(ended=AT))
    assert values["since"] == values["ended"] == datetime(2026, 9, 21, 14, 13, 20, 123_000, UTC)
    assert values["closed"] is None


@pytest.mark.parametrize(
    "record",
    [
        episode(id="shop"),
        episode(since=-1),
        episode(opened=10**18),
        episode(voters=2**40),
        Notice(id=make_id(1), episode="x", channel="ops", event="opened", made=AT, due=AT, group="g"),
        Silence(id="", match="*", begins=AT, until=AT),
        Silence(id="s" * 101, match="*", begins=AT, until=AT),
        Announcement(id="a\0", title="t", begins=AT),
    ],
)
def test_what_no_table_takes_is_told_and_not_cut_into_something_else(record: records.Record) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of many texts
        row_of(record)


def test_what_hangs_under_nothing_and_an_announcement_that_names_no_episode_refer_to_nothing() -> None:
    assert values_of(episode())["under"] is None
    assert values_of(episode(under=make_id("v")))["under"] == make_id("v")
    assert values_of(Announcement(id="a", title="t", begins=AT, episode="yesterday"))["episode"] is None

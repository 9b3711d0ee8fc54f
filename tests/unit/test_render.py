"""Answers laid out for people and for programs."""

import csv
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmon.render import (
    Column,
    Form,
    as_csv,
    as_duration,
    as_json,
    as_percent,
    columns_of,
    lines,
    show,
    some,
)

Row = tuple[str, float | None, str]

COLUMNS: list[Column[Row]] = [
    Column("NAME", lambda row: row[0], name="name", value=lambda row: row[0], is_text=True),
    Column("TIME", lambda row: f"{row[1]}", name="seconds", value=lambda row: row[1], right=True),
    Column(name="more", value=lambda row: {"a": row[2]}),
    Column("ERROR", lambda row: row[2], name="error", value=lambda row: row[2], is_text=True),
]
ROWS: list[Row] = [("shop", 0.5, "refused"), ("a-long-name", 12.25, "")]


def one(value: Any) -> list[Column[Any]]:
    return [Column(name="x", value=lambda _: value)]


def test_a_table_is_aligned_with_numbers_to_the_right() -> None:
    assert lines(COLUMNS, ROWS) == [
        "NAME          TIME  ERROR",
        "shop           0.5  refused",
        "a-long-name  12.25",
    ]


def test_text_is_cut_to_the_terminal_and_marked_and_numbers_never_are() -> None:
    rows: list[Row] = [("n" * 50, 1.0, "e" * 500), ("b", 123456.5, "short")]
    laid = lines(COLUMNS, rows, width=40)
    assert all(columns_of(line) <= 40 for line in laid)
    assert "123456.5" in laid[2]
    assert laid[1].endswith("e…")
    assert "n…" in laid[1]
    assert lines(COLUMNS, rows)[1].count("e") == 500


def test_a_terminal_too_narrow_for_all_columns_still_gets_single_lines() -> None:
    assert all(columns_of(line) <= 10 for line in lines(COLUMNS, ROWS, width=10))


def test_a_wide_character_takes_two_columns() -> None:
    rows: list[Row] = [("密码", 1.0, "x"), ("e\u0301t", 1.0, "x")]
    assert lines(COLUMNS, rows) == ["NAME  TIME  ERROR", "密码   1.0  x", "e\u0301t     1.0  x"]
    assert lines(COLUMNS, [("密" * 20, 1.0, "x")], width=22)[1] == "密密密密…   1.0  x"


@given(st.lists(st.tuples(st.text(), st.floats(0, 1), st.text()), min_size=1), st.integers(1, 200))
def test_no_text_breaks_a_line_or_passes_the_width(rows: list[Row], width: int) -> None:
    laid = lines(COLUMNS, rows, width=width)
    assert len(laid) == len(rows) + 1
    assert all(line.isprintable() and columns_of(line) <= width for line in laid)


def test_colours_stand_around_the_first_cell_only() -> None:
    (_, line, other) = lines(COLUMNS, ROWS, colour=lambda row: "32" if row[2] else None)
    assert line.startswith("\033[32mshop\033[0m ")
    assert "\033" not in other


def test_json_is_what_was_measured_and_cannot_steer_a_terminal() -> None:
    text = as_json(COLUMNS, [("ü\u202e\x9b", 0.25, "a\033[2J\n\U000e0001")])
    assert json.loads(text) == [
        {"name": "ü\u202e\x9b", "seconds": 0.25, "more": {"a": "a\033[2J\n\U000e0001"}, "error": "a\033[2J\n\U000e0001"}
    ]
    assert "ü" in text
    assert all(char.isprintable() or char == "\n" for char in text)
    assert as_json(COLUMNS, []) == "[]"


def test_times_are_utc_for_programs() -> None:
    moment = datetime(2026, 11, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert json.loads(as_json(one(moment), [0])) == [{"x": "2026-11-01T10:00:00+00:00"}]
    assert as_csv(one(moment.astimezone(UTC)), [0]) == "x\r\n2026-11-01T10:00:00+00:00\r\n"


def test_csv_follows_rfc_4180() -> None:
    text = as_csv(COLUMNS, [('a,b "c"', None, ""), ("ü", 1.5, "x")])
    assert text == 'name,seconds,more,error\r\n"a,b ""c""",,"{""a"": """"}",\r\nü,1.5,"{""a"": ""x""}",x\r\n'
    assert as_csv(COLUMNS, []) == "name,seconds,more,error\r\n"


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-cmd", "'-cmd"),
        ("\t=1", "' =1"),
        ("\n=1", "' =1"),
        ("a\x1b[2J\r\nb", "a [2J  b"),
        (-1.5, "-1.5"),
        (None, ""),
        (True, "true"),
        (["a", "b"], "a, b"),
        (["=a"], "'=a"),
        ({}, ""),
    ],
)
def test_csv_is_harmless_in_a_spreadsheet(value: Any, field: str) -> None:
    (_, (found,)) = csv.reader(io.StringIO(as_csv(one(value), [0]), newline=""))
    assert found == field


def test_nothing_found_is_a_friendly_line_for_people_and_an_empty_answer_for_programs() -> None:
    def shown(form: Form, rows: list[Row]) -> str:
        out = io.StringIO()
        show(form, COLUMNS, rows, nothing="nothing yet", title="then to now", out=out)
        return out.getvalue()

    assert shown(Form.TABLE, []) == "nothing yet\n"
    assert shown(Form.JSON, []) == "[]\n"
    assert shown(Form.CSV, []) == "name,seconds,more,error\r\n"
    assert shown(Form.TABLE, ROWS).splitlines()[:3] == ["then to now", "", "NAME          TIME  ERROR"]
    assert "\033" not in shown(Form.TABLE, ROWS)


@pytest.mark.parametrize(
    ("share", "text"),
    [(None, "no data"), (1.0, "100 %"), (0.999999, "99.99 %"), (0.9999, "99.99 %"), (0.29, "29.00 %"), (0.0, "0.00 %")],
)
def test_a_share_is_rounded_down_so_that_a_failure_shows(share: float | None, text: str) -> None:
    assert as_percent(share) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0.2, "0 s"),
        (59.7, "1 min"),
        (200, "3 min 20 s"),
        (3599.6, "1 h"),
        (7500, "2 h 5 min"),
        (86_399, "1 d"),
        (90_000, "1 d 1 h"),
        (86_400 * 400, "400 d"),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float | None, text: str) -> None:
    assert as_duration(seconds) == text


def test_the_first_of_some_are_named_and_the_rest_is_counted() -> None:
    assert some([], 2) == ""
    assert some(["a", "b"], 2) == "a, b"
    assert some(["a", "b", "c", "d"], 2) == "a, b and 2 more"

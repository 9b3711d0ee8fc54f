"""The span of time that is asked about, as people write it."""

from datetime import UTC, datetime, timedelta

import pytest

from webmon.errors import UserError
from webmon.report.span import Span, parse, span

NOW = datetime(2026, 11, 24, 21, 40, 12, 500, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("45s", timedelta(seconds=45)),
        ("90m", timedelta(minutes=90)),
        ("90min", timedelta(minutes=90)),
        ("12h", timedelta(hours=12)),
        ("1.5h", timedelta(minutes=90)),
        (" 30d ", timedelta(days=30)),
        ("4w", timedelta(days=28)),
        ("36500d", timedelta(days=36500)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T12:30", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        ("2026-11-01 12:30:15", datetime(2026, 11, 1, 12, 30, 15, tzinfo=UTC)),
        ("2026-11-01T12:30Z", datetime(2026, 11, 1, 12, 30, tzinfo=UTC)),
        ("2026-11-01T12:30+02:00", datetime(2026, 11, 1, 10, 30, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_span_before_now_or_a_time(text: str, moment: timedelta | datetime) -> None:
    assert parse(text) == moment


@pytest.mark.parametrize(
    "text",
    [
        *("", "30", "d", "-3d", "0d", "0.0h", "3 fortnights", "36501d", "9" * 400 + "d", "1e3d", "٣d"),
        *("2026-13-01", "yesterday", "1969-12-31", "0001-01-01T00:00+23:00", "30d; DROP TABLE x"),
    ],
)
def test_anything_else_is_refused_with_what_was_written(text: str) -> None:
    with pytest.raises(ValueError, match=r"right would be|a span is|before 1970") as caught:
        parse(text)
    assert repr(text.strip()) in str(caught.value)


def test_it_ends_now_where_nothing_else_is_said_and_never_later() -> None:
    assert span(timedelta(days=1), None, NOW) == Span(NOW - timedelta(days=1), NOW)
    later = NOW + timedelta(days=1)
    assert span(timedelta(days=1), later, NOW).until == NOW
    assert span(timedelta(days=2), timedelta(days=1), NOW).seconds == 86_400


def test_an_empty_span_and_one_in_the_future_are_refused() -> None:
    with pytest.raises(UserError, match=r"--since \(2026-11-23 21:40 UTC\) is not before --until \(2026-11-23 21:40"):
        span(timedelta(days=1), timedelta(days=1), NOW)
    with pytest.raises(UserError, match="not past; now is 2026-11-24 21:40"):
        span(datetime(2027, 1, 1, tzinfo=UTC), None, NOW)


def test_whole_hours_hold_all_of_what_was_asked_and_the_running_hour_ends_now() -> None:
    def hour(hour: int, minute: int = 0) -> datetime:
        return datetime(2026, 11, 24, hour, minute, tzinfo=UTC)

    assert Span(hour(10, 20), hour(12, 1)).whole_hours(NOW) == Span(hour(10), hour(13))
    assert Span(hour(10), hour(12)).whole_hours(NOW) == Span(hour(10), hour(12))
    assert Span(hour(10, 59), NOW).whole_hours(NOW) == Span(hour(10), NOW)
    assert str(Span(hour(10), hour(12))) == "2026-11-24 10:00 to 2026-11-24 12:00 UTC"

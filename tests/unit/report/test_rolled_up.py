"""Which rollups answer a span."""

import itertools
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from webmon.report.rolled_up import Part, parts
from webmon.report.span import Span

DAY = datetime(2026, 11, 1, tzinfo=UTC)
NOW = DAY + timedelta(days=5, hours=9, minutes=30)


def at(hours: float) -> datetime:
    return DAY + timedelta(hours=hours)


def test_whole_days_come_from_days_edges_and_marked_days_from_hours() -> None:
    assert list(parts(Span(at(5), at(80)), [date(2026, 11, 3)], NOW)) == [
        Part(at(5), at(24), whole_days=False),
        Part(at(24), at(48), whole_days=True),
        Part(at(48), at(80), whole_days=False),
    ]


def test_the_day_that_runs_is_whole_where_the_span_ends_now() -> None:
    (part,) = parts(Span(at(0), NOW), [], NOW)
    assert part == Part(at(0), at(144), whole_days=True)
    assert [part.whole_days for part in parts(Span(at(0), at(125)), [], NOW)] == [True, False]


@given(st.integers(0, 119), st.integers(1, 129), st.sets(st.integers(1, 6)))
def test_the_parts_are_the_span_without_gaps_and_no_two_neighbours_are_of_a_kind(
    begin: int, length: int, marked: set[int]
) -> None:
    span = Span(at(begin), min(at(begin + length), NOW))
    found = list(parts(span, [date(2026, 11, day) for day in marked], NOW))
    assert found[0].since == span.since
    assert found[-1].until == span.until or (span.until == NOW and found[-1].until == at(144))
    for part, following in itertools.pairwise(found):
        assert part.until == following.since
        assert part.whole_days != following.whole_days
    for part in found:
        if part.whole_days:
            assert part.since.hour == part.until.hour == 0
            assert not any(part.since <= datetime(2026, 11, day, tzinfo=UTC) < part.until for day in marked)

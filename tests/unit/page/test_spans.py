"""Spans: they add up to every window, whatever the time, and few of them change."""

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmon.page import spans
from webmon.page.snapshot import WINDOWS
from webmon.page.spans import Floors, Key
from webmon.report.span import Span

MOMENTS = st.timedeltas(timedelta(0), timedelta(days=2000)).map(lambda after: datetime(2024, 1, 1, tzinfo=UTC) + after)
HOUR = timedelta(hours=1)


def parts(now: datetime, floors: Floors | None = None) -> list[Key]:
    windows = spans.windows(now, floors or Floors())
    return [part for key in spans.cut(now, windows.values()) for part in spans.split(key, now)]


@given(MOMENTS, st.sampled_from([None, 3, 40, 200]))
def test_they_add_up_to_each_window_and_are_whole_hours_without_a_gap(now: datetime, kept_days: int | None) -> None:
    floors = Floors(days=now - timedelta(days=kept_days) if kept_days else None)
    keys = parts(now, floors)
    for before, after in itertools.pairwise(keys):
        assert before.until == after.since
    assert keys[-1].until is None
    assert all(key.since == key.since.replace(minute=0, second=0, microsecond=0) for key in keys)
    for window in spans.windows(now, floors).values():
        assert window.since in {key.since for key in keys} or window.since == window.until
    assert len(keys) < 40


@given(MOMENTS, st.integers(1, 3600))
def test_while_an_hour_runs_only_the_last_spans_are_others(now: datetime, secs: int) -> None:
    now = now.replace(minute=0, second=0, microsecond=0)
    first, later = parts(now + timedelta(seconds=1)), parts(now + timedelta(seconds=secs - 1) + timedelta(seconds=0.5))
    assert first == later


@given(MOMENTS)
def test_from_one_hour_to_the_next_most_spans_stay(now: datetime) -> None:
    first, later = parts(now), parts(now + HOUR)
    days = sum((key.until - key.since).days for key in later if key not in first and key.until is not None)
    # At midnight, and at the edges: the months around them.
    assert days <= 6 * 31


@given(MOMENTS)
def test_windows_are_those_of_the_command(now: datetime) -> None:
    windows = spans.windows(now, Floors())
    assert tuple(windows) == WINDOWS
    for days, window in windows.items():
        assert window.until == now
        assert timedelta(0) <= now - timedelta(days=days) - window.since < HOUR


def test_bars_leave_out_days_that_are_not_kept() -> None:
    now = datetime(2026, 11, 28, 14, tzinfo=UTC)
    days = spans.past_days(now, Floors())
    assert (len(days), days[0].isoformat(), days[-1].isoformat()) == (89, "2026-08-31", "2026-11-27")
    kept = spans.past_days(now, Floors(days=datetime(2026, 11, 20, 5, tzinfo=UTC)))
    assert kept[0].isoformat() == "2026-11-21"


@given(st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 3000)), min_size=1, max_size=8), MOMENTS)
def test_pieces_of_maintenance_add_up_and_cross_no_edge(times: list[tuple[int, int]], now: datetime) -> None:
    ours = spans.merged(
        (now - timedelta(hours=ago), min(now, now - timedelta(hours=ago) + timedelta(minutes=lasts)))
        for ago, lasts in times
    )
    keys = parts(now)
    pieces = list(spans.atoms(keys, {7: ours} if ours else {}, now))
    assert sum(spans.seconds(inside[7]) for _, inside in pieces) == pytest.approx(spans.seconds(ours))
    assert len({key for key, _ in pieces}) == len(pieces)
    edges = {key.since for key in keys}
    for key, inside in pieces:
        until = key.until or now
        assert not [edge for edge in edges if key.since < edge < until]
        assert key.since.date() == (until - timedelta(microseconds=1)).date()
        assert all(key.since <= begin < end <= until for begin, end in inside[7])


def test_what_overlaps_or_touches_is_one_time() -> None:
    at = [datetime(2026, 1, 1, hour, tzinfo=UTC) for hour in range(10)]
    found = spans.merged([(at[4], at[5]), (at[1], at[3]), (at[2], at[4]), (at[7], at[7]), (at[8], at[6])])
    assert found == ((at[1], at[5]),)
    assert spans.within(found, at[0], at[2]) == ((at[1], at[2]),)
    assert spans.within(found, at[5], at[9]) == ()
    assert Key(at[1], None).span(at[3]) == Span(at[1], at[3])

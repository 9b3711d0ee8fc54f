"""Bars and percentages: they say the same, and never more than was seen."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.page import fakes
from webmon.page.bars import bar, bars, uptime
from webmon.page.snapshot import BARS, Day, Tally
from webmon.render import as_percent

DAY = fakes.NOW.date()
TALLIES = st.builds(
    lambda up, slow, down, ours, watched, owed, work: Tally(
        up=up + slow,
        slow=slow,
        down=down,
        agent_error=ours,
        covered_secs=watched * owed if up + slow + down else 0.0,
        owed_secs=owed,
        maintenance_secs=work,
    ),
    *[st.integers(0, 5000)] * 4,
    st.one_of(st.just(0.0), st.floats(1e-6, 1)),
    st.floats(1, 300_000),
    st.floats(0, 100_000),
)


@given(TALLIES)
def test_a_bar_adds_up_to_the_day_and_agrees_with_its_percentage(tally: Tally) -> None:
    made = bar(DAY, tally)
    shares = (made.up, made.slow, made.down, made.maintenance, made.unwatched)
    assert sum(shares) == pytest.approx(1)
    assert all(0 <= share <= 1 + 1e-9 for share in shares)
    numbers = made.numbers
    if numbers.uptime is not None and made.up + made.slow + made.down > 1e-9:
        seen = (made.up + made.slow) / (made.up + made.slow + made.down)
        assert numbers.uptime <= seen * 10_000 + 1e-3
        assert numbers.uptime > seen * 10_000 - 1.001
    # Red is there if and only if something failed.
    assert (made.down > 0) == (tally.down > 0 and tally.covered_secs > 0)
    assert (numbers.uptime == 10_000) == (tally.told > 0 and tally.down == 0)
    assert numbers.uptime == uptime(tally, 1).uptime
    shown = {None: "no data", 10_000: "100 %"}.get(numbers.uptime, f"{(numbers.uptime or 0) / 100:.2f} %")
    assert as_percent(tally.uptime) == shown


def test_a_percentage_is_cut_and_never_rounded_up() -> None:
    assert uptime(Tally(up=999_999, down=1), 30).uptime == 9999
    assert uptime(Tally(up=2, down=1), 30).uptime == 6666
    assert uptime(Tally(up=9_999, down=1), 30).uptime == 9999
    assert uptime(Tally(up=1), 30).uptime == 10_000
    assert uptime(Tally(agent_error=5), 30).uptime is None
    assert uptime(Tally(up=1, covered_secs=86_399.99, owed_secs=86_400), 1).watched == 9999


def test_two_minutes_down_are_a_little_red_and_not_a_red_bar() -> None:
    made = bar(DAY, Tally(up=1438, down=2, covered_secs=86_400, owed_secs=86_400))
    assert made.down == pytest.approx(2 / 1440)
    assert made.up == pytest.approx(1438 / 1440)


def test_silence_is_neither_up_nor_down() -> None:
    made = bar(DAY, Tally(up=720, covered_secs=43_200, owed_secs=86_400))
    assert (made.up, made.down, made.unwatched) == (0.5, 0, 0.5)
    assert (made.numbers.uptime, made.numbers.watched) == (10_000, 5000)
    nothing = bar(DAY, Tally(owed_secs=86_400))
    assert (nothing.up, nothing.unwatched, nothing.is_known, nothing.numbers.uptime) == (0, 1, False, None)


def test_there_is_a_bar_for_each_of_90_days_also_before_a_target_was_known() -> None:
    target = fakes.target(days=[Day(DAY - timedelta(days=2), fakes.tally(1)), Day(DAY, fakes.tally(0.5, down=0.5))])
    made = bars(target, fakes.NOW)
    assert [one.day for one in made] == [DAY - timedelta(days=ago) for ago in range(BARS - 1, -1, -1)]
    assert [one.is_known for one in made[-4:]] == [False, True, False, True]


def test_a_day_that_is_another_object_has_a_bar_of_its_own_and_one_that_is_the_same_is_made_once() -> None:
    over, runs = Day(DAY - timedelta(days=1), fakes.tally(1)), Day(DAY, fakes.tally(0.5))
    first = bars(fakes.target(days=[over, runs]), fakes.NOW)
    later = bars(fakes.target(days=[over, Day(DAY, fakes.tally(0.5, down=0.5))]), fakes.NOW + timedelta(seconds=10))
    assert later[-2] is first[-2]
    assert (first[-1].down, later[-1].down > 0) == (0, True)

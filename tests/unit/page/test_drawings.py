"""Bars, charts and badges as shapes: whatever the numbers are, all is inside, and nothing seen is left out."""

import re
from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as some

from webmon.check.result import Outcome
from webmon.page import bars_svg, chart_svg
from webmon.page.badges import draw
from webmon.page.bars import Bar, Uptime
from webmon.page.snapshot import Chart, Phases, Point

_NUMBERS = Uptime(days=1, uptime=None, watched=0, maintenance=0)
SINCE = datetime(2026, 11, 28, 8, tzinfo=UTC)


@some.composite
def bars(made: some.DrawFn) -> Bar:
    """Give a day with any shares."""
    weights = made(some.lists(some.sampled_from([0.0, 0.0, 1e-6, 0.01, 1.0, 20.0]), min_size=5, max_size=5))
    whole = sum(weights) or 1.0
    up, slow, down, maintenance, _ = (weight / whole for weight in weights)
    rest = max(0.0, 1 - up - slow - down - maintenance)
    return Bar(
        day=date(2026, 11, 28),
        up=up,
        slow=slow,
        down=down,
        maintenance=maintenance,
        unwatched=rest,
        numbers=_NUMBERS,
    )


@given(bars())
def test_a_day_is_filled_and_what_was_seen_of_it_can_be_seen(bar: Bar) -> None:
    sizes = bars_svg.heights(bar)
    assert sum(sizes) == bars_svg.HEIGHT
    assert min(sizes) >= 0
    for size, share in zip(sizes, (bar.up, bar.slow, bar.maintenance, bar.down), strict=False):
        assert (size > 0) == (share > 1e-9)


@given(some.lists(bars(), min_size=1, max_size=90))
def test_bars_cover_their_box_once(days: list[Bar]) -> None:
    covered = [0] * len(days)
    for _, path in bars_svg.paths(days):
        for x, y, width, height in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-\3z", path):
            assert int(y) + int(height) <= bars_svg.HEIGHT
            for day in range(int(x) // bars_svg.STEP, (int(x) + int(width)) // bars_svg.STEP):
                covered[day] += int(height)
    assert covered == [bars_svg.HEIGHT] * len(days)


points = some.builds(
    Point,
    some.integers(-60, 22_000).map(lambda secs: SINCE + timedelta(seconds=secs)),
    some.sampled_from(list(Outcome)),
    some.none() | some.floats(0, 604_800),
    some.builds(Phases, some.none() | some.floats(0, 604_800), some.none() | some.floats(0, 1)),
)


@given(some.dictionaries(some.text(max_size=5), some.lists(points, max_size=30), max_size=9))
def test_a_chart_stays_inside_its_picture(vantages: dict[str, list[Point]]) -> None:
    for ours in vantages.values():
        ours.sort(key=lambda point: point.time)
    picture = chart_svg.draw(Chart(since=SINCE, until=SINCE + timedelta(hours=6), vantages=vantages))
    if picture is None:
        assert not any(vantages.values())
        return
    for line in picture.lines:
        for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", line.path):
            assert 0 <= float(x) <= chart_svg.WIDTH
            assert 0 <= float(y) <= chart_svg.HEIGHT
    for _, path in picture.phases:
        assert "nan" not in path
        assert "inf" not in path


def test_a_line_has_a_gap_where_nothing_was_seen() -> None:
    times = [*range(0, 1200, 60), *range(9000, 10_200, 60)]
    ours = [Point(SINCE + timedelta(seconds=secs), Outcome.UP, 0.1, Phases()) for secs in times]
    picture = chart_svg.draw(Chart(since=SINCE, until=SINCE + timedelta(hours=6), vantages={"oslo": ours}))
    assert picture
    assert picture.lines[0].path.count("M") == 2


@given(some.text(), some.text())
def test_a_badge_is_one_line_of_xml(left: str, right: str) -> None:
    body = draw(left, right, "#000000").body.decode()
    assert body.count("\n") == 1
    assert "<script" not in body
    assert len(body) < 4000

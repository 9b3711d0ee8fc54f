"""The last hours of a target as a picture: response times, a line for each vantage, failures below; and the phases."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, NamedTuple

from webmon.page.snapshot import Chart, Phases, Point

WIDTH, HEIGHT = 960, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 8, 10, 34
_FAILURES: Final = 10
"""Height of the marks of failures."""
_MOST_POINTS: Final = 400
"""Of a line: more can't be told apart."""
_LINES: Final = 6
"""Vantages that have a look of their own; others are drawn as the last."""
_GAP_INTERVALS: Final = 3.5
"""Where a line is not gone on with: nothing was seen in between."""
PHASES: Final = ("dns", "connect", "tls", "first_byte", "transfer")
_COLUMNS: Final = 120


class Line(NamedTuple):
    """One vantage."""

    name: str
    look: int
    path: str
    failures: str
    """Path of the marks below."""
    checks: int
    failed: int


class Mark(NamedTuple):
    """A number at an axis."""

    at: float
    text: str


@dataclass(frozen=True)
class Picture:
    """What is drawn."""

    lines: Sequence[Line]
    left: Sequence[Mark]
    below: Sequence[Mark]
    phases: Sequence[tuple[str, str]]
    """Each phase, from the bottom up, with its area; in a picture of its own, below the same times."""
    phases_left: Sequence[Mark]
    base: float = HEIGHT - _BOTTOM
    """Where the axis of times is."""
    begin: float = _LEFT
    end: float = WIDTH - _RIGHT


def draw(chart: Chart) -> Picture | None:
    """Draw a chart; None where there is nothing to draw."""
    points = [point for ours in chart.vantages.values() for point in ours]
    if not points:
        return None
    span = max((chart.until - chart.since).total_seconds(), 1.0)

    def x(at: datetime) -> float:
        share = (at - chart.since).total_seconds() / span
        return _LEFT + min(1.0, max(0.0, share)) * (WIDTH - _LEFT - _RIGHT)

    top, y = _scale([point.response for point in points if point.response is not None])
    lines = [
        Line(
            name=name,
            look=min(place, _LINES - 1),
            path=_line(ours, x, y),
            failures="".join(f"M{x(point.time):.0f} {HEIGHT - _BOTTOM}v{-_FAILURES}" for point in _failed(ours)),
            checks=len(ours),
            failed=sum(1 for _ in _failed(ours)),
        )
        for place, (name, ours) in enumerate(sorted(chart.vantages.items()))
    ]
    phases, phases_top, phases_y = _phases(points, chart.since, span)
    return Picture(lines, _left(top, y), list(_below(chart, x)), phases, _left(phases_top, phases_y))


def _failed(points: Sequence[Point]) -> Iterator[Point]:
    return (point for point in points if point.outcome.is_down)


def _scale(values: Sequence[float]) -> tuple[float, Callable[[float], float]]:
    """Give a round number of seconds above all values, and what makes a height of one."""
    most = max(values, default=0.001) or 0.001
    step = 10.0 ** len(str(int(most * 1000))) / 1000
    top = next(part * step for part in (0.1, 0.2, 0.3, 0.5, 0.75, 1.0) if part * step >= most)
    return top, lambda secs: _TOP + (1 - secs / top) * (HEIGHT - _TOP - _BOTTOM)


def _line(points: Sequence[Point], x: Callable[[datetime], float], y: Callable[[float], float]) -> str:
    answered = [point for point in points if point.response is not None]
    if not answered:
        return ""
    each = max(1, -(-len(answered) // _MOST_POINTS))
    # Of neighbours the slowest: a peak must not vanish.
    kept = [max(answered[i : i + each], key=lambda point: point.response or 0) for i in range(0, len(answered), each)]
    usual = _usual(kept)
    path = [f"M{x(kept[0].time):.0f} {y(kept[0].response or 0):.0f}"]
    for before, point in pairwise(kept):
        pen = "L" if point.time - before.time <= usual * _GAP_INTERVALS else "M"
        path.append(f"{pen}{x(point.time):.0f} {y(point.response or 0):.0f}")
    # A point alone is a dot.
    return "".join(path) + ("h1" if len(kept) == 1 else "")


def _usual(points: Sequence[Point]) -> timedelta:
    waits = sorted(after.time - before.time for before, after in pairwise(points))
    return waits[len(waits) // 2] if waits else timedelta(0)


def _left(top: float, y: Callable[[float], float]) -> list[Mark]:
    return [Mark(y(part * top), _seconds(part * top)) for part in (0.0, 0.5, 1.0)]


def _seconds(secs: float) -> str:
    return f"{secs:g} s" if secs >= 1 else f"{secs * 1000:g} ms"


def _below(chart: Chart, x: Callable[[datetime], float]) -> Iterator[Mark]:
    hours = max(1, round((chart.until - chart.since).total_seconds() / 3600 / 6))
    at = chart.since.replace(minute=0, second=0, microsecond=0)
    while at <= chart.until:
        if at >= chart.since and at.hour % hours == 0:
            yield Mark(x(at), f"{at:%H:%M}")
        at += timedelta(hours=1)


def _phases(
    points: Sequence[Point], since: datetime, span: float
) -> tuple[list[tuple[str, str]], float, Callable[[float], float]]:
    """Give the mean of each phase over time as areas that stand on each other."""
    sums: list[dict[str, float]] = [dict.fromkeys(PHASES, 0.0) for _ in range(_COLUMNS)]
    counts = [0] * _COLUMNS
    for point in points:
        if point.phases == Phases():
            continue
        column = min(_COLUMNS - 1, max(0, int((point.time - since).total_seconds() / span * _COLUMNS)))
        counts[column] += 1
        for phase in PHASES:
            sums[column][phase] += getattr(point.phases, phase) or 0.0
    means = [
        {phase: column[phase] / count if count else 0.0 for phase in PHASES}
        for column, count in zip(sums, counts, strict=True)
    ]
    top, y = _scale([sum(column.values()) for column in means])
    width = (WIDTH - _LEFT - _RIGHT) / _COLUMNS
    areas, below = [], [0.0] * _COLUMNS
    for phase in PHASES:
        path = []
        for column in range(_COLUMNS):
            high = below[column] + means[column][phase]
            if high > below[column]:
                left, from_y, to_y = _LEFT + column * width, y(below[column]), y(high)
                path.append(f"M{left:.1f} {from_y:.1f}h{width:.1f}V{to_y:.1f}h{-width:.1f}z")
            below[column] = high
        if path:
            areas.append((phase, "".join(path)))
    return areas, top, y

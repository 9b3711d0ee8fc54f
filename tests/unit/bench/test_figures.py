"""The frame of the benches: what a bar is, and what a person reads."""

import pytest

from tests.bench.__main__ import show
from tests.bench.figures import Figure


@pytest.mark.parametrize(
    ("value", "at_most", "at_least", "bar", "holds"),
    [
        (0.8, 0.8, None, "<= 0.8", True),
        (0.81, 0.8, None, "<= 0.8", False),
        (80_000, None, 80_000, ">= 80,000", True),
        (79_999, None, 80_000, ">= 80,000", False),
        (1.0, 1.15, 0.85, "<= 1.15 and >= 0.85", True),
        (0.8, 1.15, 0.85, "<= 1.15 and >= 0.85", False),
        (0, 0, None, "<= 0", True),
        (5, None, None, "", None),
    ],
)
def test_a_bar_is_kept_or_not(
    value: float, at_most: float | None, at_least: float | None, bar: str, holds: bool | None
) -> None:
    figure = Figure("f", value, "ms", at_most=at_most, at_least=at_least)
    assert (figure.bar, figure.holds) == (bar, holds)


def test_all_figures_stand_in_one_table() -> None:
    shown = show(
        {"cpu": "2 x Fast", "kafka": "4.1"},
        [
            ("agent", Figure("CPU per check", 1.5, "ms", note="whole process")),
            ("sink", Figure("lost", 3, "", at_most=0)),
        ],
    )
    assert [line.split() for line in shown.splitlines()] == [
        ["cpu:", "2", "x", "Fast"],
        ["kafka:", "4.1"],
        [],
        ["bench", "figure", "value", "unit", "bar"],
        ["agent", "CPU", "per", "check", "1.5", "ms", "whole", "process"],
        ["sink", "lost", "3", "<=", "0", "FALLS", "SHORT"],
    ]

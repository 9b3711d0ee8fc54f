"""A figure: one number that a bench measured, and the bar that it is held to."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


def number(value: float) -> str:
    """Write a number for people: four digits, or whole with commas where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number."""

    name: str
    """What was measured, in words that stand without the bench's source."""
    value: float
    unit: str
    """Such as "ms", "rows/s", "bytes"; "ratio" for one number against another of the same run."""
    at_most: float | None = None
    at_least: float | None = None
    """The bar, in the same unit; no bar where both are None."""
    note: str = ""
    """How it was measured, or what it leaves out; a few words."""

    @property
    def bar(self) -> str:
        """Give the bar as a person reads it; empty where there is none."""
        bars = ((" <= ", self.at_most), (" >= ", self.at_least))
        return " and".join(f"{sign}{number(bar)}" for sign, bar in bars if bar is not None).strip()

    @property
    def holds(self) -> bool | None:
        """Tell whether the bar is kept; None where there is none."""
        if not self.bar:
            return None
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )


@dataclass(frozen=True, slots=True)
class Bench:
    """What a module of tests/bench offers, as BENCH."""

    figures: Callable[[], Iterator[Figure]]
    """Measures, and gives each figure when it is known."""
    versions: Callable[[], Mapping[str, str]]
    """Gives the versions of what was measured and of what it was compared with; asked after the figures."""
    full: Callable[[], Iterator[Figure]] | None = None
    """As figures, with `--full`: at the sizes that the bars were set for; takes many minutes."""

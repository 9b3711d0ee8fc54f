"""What the judge is told to look for, and whom it tells: the shape that a file of rules is read into."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, Literal, Protocol

Agree = Literal["majority", "all", "any"] | int


ALL: Final = "*"
"""The subject of many_down where it is of all targets, and not of those with a label."""


class Condition(StrEnum):
    """What may be wrong; an episode is of exactly one of these."""

    DOWN = "down"
    PARTIAL = "partial"
    SLOW = "slow"
    CERTIFICATE = "certificate"
    NO_DATA = "no_data"
    FLAPPING = "flapping"
    VANTAGE_SILENT = "vantage_silent"
    VANTAGE_AT_FAULT = "vantage_at_fault"
    MANY_DOWN = "many_down"
    MONITOR = "monitor"

    @property
    def is_of_a_target(self) -> bool:
        """Whether its subject is a target; else it is a vantage, a group of targets or a part of our own."""
        return self in _OF_A_TARGET


_OF_A_TARGET = frozenset(
    {
        Condition.DOWN,
        Condition.PARTIAL,
        Condition.SLOW,
        Condition.CERTIFICATE,
        Condition.NO_DATA,
        Condition.FLAPPING,
    }
)


class Severity(StrEnum):
    """How urgent an episode is."""

    WARNING = "warning"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Conditions:
    """When the conditions of a target open and end; times are seconds."""

    agree: Agree = "majority"
    """How many of the fresh vantages must fail."""
    confirm: int = 3
    """Failures in a row, of all vantages together, that open `down`."""
    recover: int = 3
    """Ups in a row, of all vantages together, that end it."""
    partial_after: float = 600.0
    slow_checks: int = 3
    """Slow results in a row of each vantage."""
    no_data_after: float = 300.0
    certificate_days: tuple[int, ...] = (21, 7, 3, 1)
    """Days left at which it is told; from the most to the least."""
    flap_count: int = 4
    flap_within: float = 3600.0
    flap_quiet: float = 1800.0
    remind: float = 14400.0
    """0: never."""
    group_secs: float = 30.0
    depends_on: tuple[str, ...] = ()
    """Names of the targets without which this one can't answer."""
    many: int = 5


@dataclass(frozen=True, slots=True)
class Step:
    """Who is told, so many seconds after the first message was taken; the first step is at 0."""

    after_secs: float
    channels: tuple[str, ...]


class Window(Protocol):
    """A planned maintenance of the file of rules."""

    def covers(self, target_name: str, labels: Mapping[str, str], moment: datetime) -> bool:
        """Tell whether a target is in maintenance at a moment."""

    def ends_after(self, moment: datetime) -> datetime:
        """Give when the maintenance that is on at a moment ends, or the next one that begins after it."""


class Rules(Protocol):
    """The rules as the judge asks them."""

    @property
    def maintenance(self) -> tuple[Window, ...]:
        """Give the planned ones."""

    def for_target(self, name: str, url: str, labels: Mapping[str, str]) -> Conditions:
        """Give the conditions of a target; those of what is no target, for an empty name."""

    def routes_for(self, labels: Mapping[str, str], severity: str, condition: str) -> tuple[Step, ...]:
        """Give who is told, step by step."""

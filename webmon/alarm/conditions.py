"""What holds for one target: when it counts as down, how it is told, and to whom; and when nothing is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Final, Literal, Protocol

Agree = Literal["majority", "all", "any"] | int
"""How many of the fresh vantages must fail for `down`."""
Severity = Literal["warning", "critical"]
Condition = Literal[
    "down",
    "partial",
    "slow",
    "certificate",
    "no_data",
    "flapping",
    "vantage_silent",
    "vantage_at_fault",
    "many_down",
    "monitor",
]


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a target is judged by; spans of time are seconds."""

    agree: Agree = "majority"
    confirm: int = 3
    """Failures in a row, of the vantages that agree, that open `down`."""
    recover: int = 3
    """Ups in a row that end it."""
    partial_after: float = 600.0
    slow_checks: int = 3
    """Slow checks in a row of each vantage that agrees."""
    no_data_after: float = 300.0
    certificate_days: tuple[int, ...] = (21, 7, 3, 1)
    """Days that are left, from the most to the fewest."""
    flap_count: int = 4
    """Episodes of `down` within `flap_within` from which on one message stands for all."""
    flap_within: float = 3600.0
    flap_quiet: float = 1800.0
    remind: float = 14_400.0
    group_secs: float = 30.0
    depends_on: tuple[str, ...] = ()
    """Names of targets; while one of them is down, this one's opening is not told."""
    many: int = 5
    """Open ones within a minute, and half of a label's group or of all, that are told as one."""


@dataclass(frozen=True, slots=True)
class Step:
    """Whom a message goes to, and when."""

    after_secs: float
    """From the first message that a receiver took; 0: at once."""
    channels: tuple[str, ...]


class Window(Protocol):
    """A time of maintenance (webmon/alarm/maintenance.py)."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def public(self) -> bool:
        """Whether a status page may show it."""

    def covers(self, target_name: str, labels: Mapping[str, str], moment: datetime) -> bool:
        """Tell whether it holds for a target then."""

    def ends_after(self, moment: datetime) -> datetime:
        """Give when what holds at a moment ends; the moment itself where nothing does."""


@dataclass(frozen=True, slots=True)
class Match:
    """Which targets something is for: all that is said must fit."""

    names: tuple[str, ...] = ()
    """Patterns of the shell, of which one must fit the whole name; none: any name."""
    labels: Mapping[str, str] = field(default_factory=dict)

    def fits(self, name: str, labels: Mapping[str, str]) -> bool:
        """Tell whether a target is meant."""
        return all(labels.get(key) == value for key, value in self.labels.items()) and (
            not self.names or any(fnmatchcase(name, pattern) for pattern in self.names)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """What differs from the defaults, for those that it matches."""

    match: Match
    changes: Mapping[str, Any]
    """Fields of Conditions and their values."""


@dataclass(frozen=True, slots=True)
class Route:
    """Whom something goes to."""

    steps: tuple[Step, ...]
    labels: Mapping[str, str] = field(default_factory=dict)
    severity: Severity | None = None
    condition: Condition | None = None
    goes_on: bool = False
    """Whether the routes below count, too."""

    def fits(self, labels: Mapping[str, str], severity: str, condition: str) -> bool:
        """Tell whether it is for that."""
        return (
            self.severity in (None, severity)
            and self.condition in (None, condition)
            and all(labels.get(key) == value for key, value in self.labels.items())
        )


@dataclass(frozen=True, slots=True)
class Rules:
    """All that the rules file says, or what counts without one."""

    defaults: Conditions = Conditions()
    rules: tuple[Rule, ...] = ()
    """The first that matches counts."""
    routes: tuple[Route, ...] = ()
    channels: Mapping[str, Any] = field(default_factory=dict)
    """What a channel is, by its name (webmon/alarm/channels.py)."""
    maintenance: tuple[Window, ...] = ()
    targets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What targets say themselves in their own file, by name: as the changes of a rule, and stronger than one."""

    def for_target(self, name: str, url: str, labels: Mapping[str, str]) -> Conditions:  # noqa: ARG002 (by its name)
        """Give what a target is judged by: the defaults, the first rule that matches, what the target says itself."""
        rule = next((rule for rule in self.rules if rule.match.fits(name, labels)), None)
        changes = {**(rule.changes if rule else {}), **self.targets.get(name, {})}
        if name in changes.get("depends_on", ()):  # a rule for all, its parent among them
            changes["depends_on"] = tuple(parent for parent in changes["depends_on"] if parent != name)
        return replace(self.defaults, **changes) if changes else self.defaults

    def routes_for(self, labels: Mapping[str, str], severity: str, condition: str) -> tuple[Step, ...]:
        """Give whom something goes to, the earliest first; each channel once, at its earliest."""
        due: dict[str, float] = {}
        for route in self.routes:
            if not route.fits(labels, severity, condition):
                continue
            for step in route.steps:
                for channel in step.channels:
                    due[channel] = min(step.after_secs, due.get(channel, step.after_secs))
            if not route.goes_on:
                break
        return tuple(
            Step(after, tuple(channel for channel, theirs in due.items() if theirs == after))
            for after in sorted(set(due.values()))
        )


DEFAULT: Final = Rules()

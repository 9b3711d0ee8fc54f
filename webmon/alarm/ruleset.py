"""Rules as they were read: whom each target is judged and told by (webmon/alarm/rules.py reads the file)."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from webmon.alarm.channels import Channel
from webmon.alarm.conditions import Condition, Conditions, Severity, Step
from webmon.alarm.maintenance import Maintenance
from webmon.alarm.match import Match

DEFAULTS: Final = Conditions()


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
class Ruleset:
    """All that the rules file says, or what counts without one: webmon.alarm.conditions.Rules."""

    defaults: Conditions = DEFAULTS
    rules: tuple[Rule, ...] = ()
    """The first that matches counts."""
    routes: tuple[Route, ...] = ()
    channels: Mapping[str, Channel] = field(default_factory=dict)
    """By their names."""
    maintenance: tuple[Maintenance, ...] = ()
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
        """Give whom something goes to, the earliest first; each channel once, at its earliest.

        The first step is at 0, also where it tells nobody.
        """
        due: dict[str, float] = {}
        for route in self.routes:
            if not route.fits(labels, severity, condition):
                continue
            for step in route.steps:
                for channel in step.channels:
                    due[channel] = min(step.after_secs, due.get(channel, step.after_secs))
            if not route.goes_on:
                break
        times = sorted({0.0, *due.values()}) if due else []
        return tuple(Step(at, tuple(channel for channel, theirs in due.items() if theirs == at)) for at in times)

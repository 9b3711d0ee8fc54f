"""Which targets something is for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Match:
    """Which targets something is for: all that is said must fit."""

    names: tuple[str, ...] = ()
    """Whole names, or patterns of the shell, of which one must fit; none: any name."""
    labels: Mapping[str, str] = field(default_factory=dict)

    def fits(self, name: str, labels: Mapping[str, str]) -> bool:
        """Tell whether a target is meant."""
        return all(labels.get(key) == value for key, value in self.labels.items()) and (
            not self.names or name in self.names or any(fnmatchcase(name, pattern) for pattern in self.names)
        )

"""Which targets something is for."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from webmon.check.result import URL_LIMIT

LONGEST: Final = URL_LIMIT
"""Characters that a record's match may have."""


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

    def texts(self) -> list[str]:
        """Give what records say of it; whom one of the texts fits is meant.

        One pattern or one label is said as people order it, which every release reads; more as an object of JSON.
        """
        if not self.labels and not self.names:
            return ["*"]
        if not self.labels and len(self.names) == 1 and not self.names[0].startswith("{"):
            return [self.names[0]]
        if not self.names and len(self.labels) == 1:
            return [f"{key}={value}" for key, value in self.labels.items()]
        text = msgspec.json.encode(_Said(self.names, dict(self.labels))).decode()
        half = len(self.names) // 2
        if len(text) <= LONGEST or not half:
            return [text]
        return [
            *Match(self.names[:half], self.labels).texts(),
            *Match(self.names[half:], self.labels).texts(),
        ]


class _Said(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """How a record says it."""

    names: tuple[str, ...] = ()
    labels: dict[str, str] = {}


@functools.lru_cache(maxsize=4096)
def read(text: str) -> Match | None:
    """Read what a record says as an object of JSON; None: it says nothing so."""
    if not text.startswith("{"):
        return None
    try:
        said = msgspec.json.decode(text, type=_Said)
    except (msgspec.MsgspecError, UnicodeError):
        return None
    return Match(said.names, said.labels) if said.names or said.labels else None

"""Notice: one message to a person, as the judge made it and a sender needs it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Event = Literal["opened", "changed", "ended", "reminder", "over", "test"]
"""`over`: it ended before it could be told; one message with both times."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one vantage saw."""

    vantage: str
    outcome: str
    """A value of webmon.check.result.Outcome."""
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """One message. Texts may come from a site: who sends them escapes them (webmon/alarm/senders/message.py)."""

    key: str
    """The same each time that it is sent: what a receiver tells repeats by."""
    episode: str
    """What it is about: the same from the opening to the ending."""
    event: Event
    condition: str
    severity: str
    target: str
    """A target's name; for a vantage or the monitor itself, its name."""
    since: datetime
    url: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    until: datetime | None = None
    """When it ended; None: it lasts."""
    what: str | None = None
    """What it is in a few words, where the outcomes do not say it: `ends in 7 d`."""
    ended_by: str | None = None
    """Why it ended, where nothing got well."""
    seen: tuple[Seen, ...] = ()
    """What the vantages saw, those that failed first."""
    failing: int = 0
    vantages: int = 0
    """Those that were asked: `failing` of `vantages`."""
    before: str | None = None
    """What it was before: `up for 3 d 4 h`."""
    link: str | None = None
    """Its page."""
    acknowledge: str | None = None
    """How it is acknowledged: a command, or a page."""
    late: bool = False
    """Whether it is told late, as nobody judged meanwhile."""
    thread: str | None = None
    """The key of the message that this one follows; None: it is the first."""
    others: tuple["Notice", ...] = ()
    """What is told with it, in one message."""

    @property
    def is_over(self) -> bool:
        """Whether it tells of an ending."""
        return self.until is not None

    @property
    def duration(self) -> float | None:
        """Seconds from beginning to end; None while it lasts."""
        return None if self.until is None else (self.until - self.since).total_seconds()

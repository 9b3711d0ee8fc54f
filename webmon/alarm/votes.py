"""What each vantage saw last of each target, and what they say of it together.

A slot per target and vantage is all that is kept of the results. Times are milliseconds since the epoch; what is fresh
is told by arrival.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple

from webmon.alarm.conditions import Agree, Conditions
from webmon.alarm.records import Episode

STALE_INTERVALS: Final = 2.5
"""Intervals without a result after which a vantage does not speak for the present; as `webmon status` has it."""
NEVER: Final = 1 << 62
NOTHING: Final = 0
UP: Final = 1
FAIL: Final = 2

_OLDEST: Final = 300_000
_OLD_INTERVALS: Final = 3


def oldest(interval: int) -> int:
    """Give how old a result may be on arrival (milliseconds): what is older is history, and wakes nobody."""
    return max(interval * _OLD_INTERVALS, _OLDEST)


class Vantage:
    """A vantage and what is known of all its slots."""

    __slots__ = (
        "ahead",
        "ahead_at",
        "back",
        "check_at",
        "errors",
        "errors_since",
        "excluded",
        "failing",
        "failing_errors",
        "good",
        "last",
        "live",
        "looked",
        "measured",
        "name",
        "shortest",
        "silent",
        "slots",
    )

    def __init__(self, name: str) -> None:
        """Begin with nothing seen."""
        self.name = name
        self.slots: dict[Site, Slot] = {}
        self.last = 0
        """Arrival of its last result that was judged."""
        self.shortest = 0
        """Of its intervals; 0 before the first result."""
        self.measured = NEVER
        """A result that comes after this moment shows that it goes on without its targets of that interval."""
        self.live = 0
        """Slots with a fresh result of any kind."""
        self.failing: dict[Site, None] = {}
        """Live, and the last vote a failure; in the order that they failed."""
        self.failing_errors = 0
        """Live, and the newest result an agent_error."""
        self.check_at = 0
        """How many must fail until its fault is looked for again between two ticks."""
        self.good = 0
        """Looks in a row that found it well."""
        self.looked = 0
        """When the last such look was."""
        self.excluded = False
        """Whether its votes do not count."""
        self.silent = False
        self.back = 0
        """When it last sent again after it was silent."""
        self.errors_since = 0
        """Arrival of the first agent_error since its last vote; 0: there is none."""
        self.errors = 0
        """How many there were."""
        self.ahead = 0
        """How far its clock was ahead in its last result that was from the future."""
        self.ahead_at = 0

    def measure(self) -> None:
        """Find its shortest interval anew."""
        self.measured = NEVER
        intervals = [slot.interval for slot in self.slots.values() if slot.live]
        if intervals:
            self.shortest = min(intervals)


class Slot:
    """The last that one vantage saw of one target."""

    __slots__ = (
        "arrived",
        "begun",
        "calm",
        "erring",
        "error",
        "expiring",
        "failed",
        "fast",
        "fresh_for",
        "http_status",
        "interval",
        "live",
        "not_after",
        "outcome",
        "raw",
        "row_since",
        "secs",
        "shown",
        "slow",
        "slow_since",
        "state",
        "too_old",
        "vantage",
        "voted",
    )

    def __init__(self, vantage: Vantage) -> None:
        """Begin with nothing seen."""
        self.vantage = vantage
        self.begun = -1
        """When the newest result began; one from the future counts as begun when it arrived."""
        self.raw = -1
        """The same as the agent said it."""
        self.arrived = 0
        self.voted = 0
        """Arrival of the newest that was no agent_error."""
        self.secs = 0.0
        """The interval as the result says it."""
        self.interval = 0
        self.fresh_for = 0
        self.too_old = 0
        self.state = NOTHING
        """Of the newest vote."""
        self.failed = 0
        """When the newest failure began."""
        self.row_since = 0
        """When the first of its votes in a row that say the same began."""
        self.calm = False
        """Whether one more up changes nothing here."""
        self.live = False
        """Whether it is counted with its vantage's fresh ones."""
        self.erring = False
        self.slow = 0
        """Slow ones in a row."""
        self.slow_since = 0
        self.fast = 0
        """Ups that were not slow in a row."""
        self.outcome = ""
        self.error: str | None = None
        self.http_status: int | None = None
        self.not_after: int | None = None
        """When the certificate ends; 0: there is none, None: it is not known."""
        self.shown: datetime | None = None
        """The same as the result says it."""
        self.expiring = False
        """Whether the newest vote was certificate_expiring."""

    def takes(self, secs: float) -> None:
        """Take an interval (seconds)."""
        self.secs = secs
        self.interval = interval = round(secs * 1000)
        self.fresh_for = int(interval * STALE_INTERVALS)
        self.too_old = oldest(interval)


class Site:
    """A target: its slots, and how far its conditions have come."""

    __slots__ = (
        "calm",
        "conditions",
        "count",
        "down_ended",
        "downs",
        "due",
        "heard_in",
        "known",
        "labels",
        "name",
        "offset",
        "open",
        "part_at",
        "part_since",
        "partition",
        "row_since",
        "slots",
        "up_since",
        "ups",
        "url",
    )

    def __init__(self, name: str, url: str, labels: Mapping[str, str], conditions: Conditions) -> None:
        """Begin with nothing seen."""
        self.name = name
        self.url = url
        self.labels = labels
        self.conditions = conditions
        self.slots: dict[str, Slot] = {}
        """By vantage."""
        self.open: dict[str, Episode] = {}
        """By condition."""
        self.calm = False
        """Whether nothing is open or under way, so that one more up changes nothing."""
        self.due = NEVER
        """When time alone may change something."""
        self.known = 0
        """Since when it is known; until a vantage voted, when the first result of it is missed."""
        self.count = 0
        """Failures of the row that may open `down`; 0: fewer than agree fail."""
        self.row_since = 0
        self.ups = 0
        """Ups of the row that may end it."""
        self.up_since = 0
        self.down_ended = -1
        """When the last `down` ended."""
        self.downs: list[int] = []
        """When those of late were opened."""
        self.part_at = 0
        """From when on some fail, but fewer than agree; 0: it is not so."""
        self.part_since = 0
        self.partition = -1
        self.offset = -1
        """What the log has of it was judged up to here."""
        self.heard_in = -1
        """The partition that it was last heard of in; -1: it is not known."""


class Votes(NamedTuple):
    """What the vantages that count say."""

    voters: list[Slot]
    failing: list[Slot]
    need: int
    """How many must fail for `down`; 0 while nobody votes."""

    @property
    def is_down(self) -> bool:
        """Whether enough fail now."""
        return 0 < self.need <= len(self.failing)


def need(agree: Agree, voters: int) -> int:
    """Give how many of the voters must fail; of fewer than a number asks for, all must."""
    if agree == "majority":
        return voters // 2 + 1 if voters else 0
    if agree == "all":
        return voters
    return min(1 if agree == "any" else agree, voters)


def count(site: Site, moment: int) -> Votes:
    """Ask the fresh vantages of a target that are not at fault."""
    voters = []
    failing = []
    for slot in site.slots.values():
        if slot.state and moment - slot.voted <= slot.fresh_for and not slot.vantage.excluded:
            voters.append(slot)
            if slot.state == FAIL:
                failing.append(slot)
    return Votes(voters, failing, need(site.conditions.agree, len(voters)))


def settle(site: Site, moment: int) -> None:
    """Let the vantages no longer count what is stale at a moment."""
    for slot in site.slots.values():
        if slot.live and moment - slot.arrived > slot.fresh_for:
            leave(site, slot)


def leave(site: Site, slot: Slot) -> None:
    """Let a vantage no longer count a slot as live."""
    if not slot.live:
        return
    slot.live = slot.calm = False
    vantage = slot.vantage
    vantage.live -= 1
    vantage.failing.pop(site, None)
    if slot.erring:
        slot.erring = False
        vantage.failing_errors -= 1
    if slot.interval == vantage.shortest:
        # Where it sends nothing at all any more, that is the interval by which it is missed.
        vantage.measured = vantage.last

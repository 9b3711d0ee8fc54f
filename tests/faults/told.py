"""The judge of alarms: what receivers were told, held against what was down and who was at fault."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from webmon.alarm.conditions import Condition

_EDGE: Final = timedelta(seconds=4)
"""A check may begin so long before its site fails, and see it fail."""
_VANTAGE: Final = {Condition.VANTAGE_SILENT: "silent", Condition.VANTAGE_AT_FAULT: "at fault"}
_CALLS_NO_SITE: Final = frozenset({*_VANTAGE, Condition.MONITOR})
_OPENINGS: Final = frozenset({"opened", "over"})
_ENDINGS: Final = frozenset({"ended", "over"})
"""`over` is both: it was over before it could be told."""


class Telling(NamedTuple):
    """One thing that a receiver was told; a message may tell several."""

    at: datetime
    channel: str
    sender: str
    """The address that it came from."""
    key: str
    """Of its message."""
    episode: str
    event: str
    condition: Condition
    subject: str
    since: datetime


@dataclasses.dataclass
class Down:
    """A time in which sites were down."""

    names: frozenset[str]
    since: datetime
    until: datetime | None = None
    """None: they still are."""
    together: bool = False
    """Whether they are one host's, so that nobody needs to be told of each."""

    def has(self, moment: datetime) -> bool:
        """Tell whether what began then may have been seen of it."""
        return self.since - _EDGE <= moment <= (self.until or moment) + _EDGE


@dataclasses.dataclass(frozen=True)
class Told:
    """What became of a case's alarms."""

    messages: int
    """Messages that receivers took, each time that they came."""
    wrong: int
    """Notices that call a site down that was up."""
    untold: int
    """Openings and endings of sites that were down, by channel, of which it was not told."""
    again: int
    """Notices that came once more with the same key."""
    doubled: int
    """Notices that came once more with another key, so that nobody can tell that it is the same."""
    vantages: dict[str, int]
    """How often a channel was told of each vantage that it is silent, or at fault."""

    def faults(self, at_fault: Mapping[str, bool], *, may_repeat: bool = False) -> list[str]:
        """Tell what breaks the promise.

        Args:
            at_fault: vantages with a fault of their own, and whether it lasts so long that it must be told.
            may_repeat: whether judges were killed, which then may have sent what they could not note.
        """
        counts = {
            "notices call a site down that was up": self.wrong,
            "notices of sites that were down did not come": self.untold,
            "notices came again under another key": self.doubled,
            "notices came again": 0 if may_repeat else self.again,
        }
        found = [f"{count} {what}" for what, count in counts.items() if count]
        named = {what.split()[0] for what in self.vantages}
        for what, count in self.vantages.items():
            if what.split()[0] not in at_fault:
                found.append(f"told as {what}, which it was not")
            elif count > 1:
                found.append(f"told {count} times: {what}")
        return found + [
            f"{name} is not told to be at fault" for name, must in at_fault.items() if must - (name in named)
        ]


def read(lines: Iterable[str]) -> list[Telling]:
    """Read what tests/faults/receiver.py noted."""
    found = []
    for line in lines:
        noted: dict[str, Any] = json.loads(line)
        message = noted["message"]
        at = datetime.fromtimestamp(noted["at"], UTC)
        found += [
            Telling(
                at=at,
                channel=noted["to"],
                sender=noted["from"],
                key=message["key"],
                episode=one["episode"],
                event=one["event"],
                condition=Condition(one["condition"]),
                subject=one["target"],
                since=datetime.fromisoformat(one["since"]),
            )
            for one in (message, *message["others"])
        ]
    return found


def judge(
    tellings: Sequence[Telling],
    downs: Collection[Down],
    channels: Collection[str],
    *,
    prefix: str,
    may_fail: Callable[[str, datetime], bool] = lambda _name, _at: False,
) -> Told:
    """Hold what was told against what was so.

    Args:
        tellings: all since the case began.
        downs: when which sites were down.
        channels: who is to be told.
        prefix: how the names of the case's targets begin.
        may_fail: whether a target is none of the sites that are up, as hostile ones; "" is a group.
    """

    def calls_it_wrong(telling: Telling) -> bool:
        if telling.condition in _CALLS_NO_SITE or telling.event == "ended":
            return False
        is_of_many = telling.condition is Condition.MANY_DOWN
        if not is_of_many and not telling.subject.startswith(prefix):  # of a case before
            return False
        was_down = any(down.has(telling.since) and (is_of_many or telling.subject in down.names) for down in downs)
        return not was_down and not may_fail("" if is_of_many else telling.subject, telling.since)

    keys: dict[tuple[str, ...], list[str]] = {}
    vantages: Counter[tuple[str, str]] = Counter()
    for telling in tellings:
        if telling.event in _OPENINGS | _ENDINGS:
            keys.setdefault((telling.channel, telling.episode, telling.event), []).append(telling.key)
    for channel, _, condition, subject in {
        (one.channel, one.episode, one.condition, one.subject) for one in tellings if one.event in _OPENINGS
    }:
        if condition in _VANTAGE:
            vantages[channel, f"{subject} {_VANTAGE[condition]}"] += 1
    whats = {what for _, what in vantages}
    return Told(
        messages=len({(telling.at, telling.channel, telling.key) for telling in tellings}),
        wrong=sum(map(calls_it_wrong, tellings)),
        untold=sum(
            len(untold(tellings, down, channels, endings=endings))
            for down in downs
            for endings in (False, True)
            if not endings or down.until is not None
        ),
        again=sum(len(came) - len(set(came)) for came in keys.values()),
        doubled=sum(len(set(came)) - 1 for came in keys.values()),
        vantages={what: max(n for (_, one), n in vantages.items() if one == what) for what in sorted(whats)},
    )


def first_tellings(
    tellings: Iterable[Telling], down: Down, channels: Collection[str], *, endings: bool = False
) -> dict[tuple[str, str], Telling]:
    """Give the first that told of sites that are down, or that they are no more, by site and channel.

    What is down together is one, and a group's message tells of it as well.
    """
    events = _ENDINGS if endings else _OPENINGS
    found: dict[tuple[str, str], Telling] = {}
    for telling in sorted(tellings):
        is_of_it = telling.subject in down.names or (down.together and telling.condition is Condition.MANY_DOWN)
        if telling.event in events and telling.channel in channels and is_of_it and down.has(telling.since):
            found.setdefault(("" if down.together else telling.subject, telling.channel), telling)
    return found


def untold(
    tellings: Iterable[Telling], down: Down, channels: Collection[str], *, endings: bool = False
) -> list[tuple[str, str]]:
    """Give of which sites, and which channels, nobody was told."""
    found = first_tellings(tellings, down, channels, endings=endings)
    names = [""] if down.together else sorted(down.names)
    return [(name, channel) for name in names for channel in sorted(channels) if (name, channel) not in found]


def not_in_history(tellings: Iterable[Telling], rows: Iterable[tuple[str, str, str]]) -> list[str]:
    """Give what was told and the history does not know as sent: its rows are episode, channel and event."""
    known = set(rows)
    told = {(telling.episode, telling.channel, telling.event) for telling in tellings}
    return [f"{event} of {episode} by {channel}" for episode, channel, event in sorted(told - known)]

"""many_down: where many targets fail at once, it is one message, and the single ones hang under it."""

from collections import Counter
from collections.abc import Mapping
from typing import Final

from webmon.alarm.book import Book
from webmon.alarm.conditions import ALL, Condition, Severity
from webmon.alarm.desk import Desk
from webmon.alarm.records import Episode, Notice
from webmon.render import some

WITHIN: Final = 60_000
"""Milliseconds within which they open."""
COUNTED: Final = frozenset({Condition.DOWN, Condition.NO_DATA})
_NAMED: Final = 20
"""Targets that a message names."""


class Groups:
    """All targets, and those that share a label; pure."""

    def __init__(self, book: Book) -> None:
        """Begin without a target."""
        self._book = book
        self._sizes: Counter[str] = Counter()
        self._recent: dict[str, Episode] = {}
        self._counts: Counter[str] = Counter()
        """Of the recent ones, by group."""
        self._members: dict[str, dict[str, Episode]] = {}
        """The open episodes that belong to a group's, by its id."""
        self._few: dict[str, tuple[int, int]] = {}
        """Since when these are fewer than half of its threshold, and when the last one ended then."""

    def restore(self) -> None:
        """Go on from the records."""
        for group in self._book.open.values():
            if group.condition is Condition.MANY_DOWN:
                self._members[group.id] = {}
        for episode in self._book.open.values():
            if episode.under in self._members:
                self._members[episode.under][episode.id] = episode
        told = [e for e in self._book.open.values() if e.condition in COUNTED and not e.held and not e.under]
        for episode in sorted(told, key=lambda episode: (episode.opened, episode.id)):
            self._count(episode, _keys(episode.labels))

    def enter(self, labels: Mapping[str, str]) -> None:
        """Count a target."""
        self._sizes.update(_keys(labels))

    def leave(self, labels: Mapping[str, str]) -> None:
        """Count a target no more."""
        _take_out(self._sizes, _keys(labels))

    def gather(self, episode: Episode, now: int, *, many: int, desk: Desk) -> str:
        """Take an opening that would be told now; give the id of the group's episode that it hangs under, or ""."""
        if episode.condition not in COUNTED:
            return ""
        keys = _keys(episode.labels)
        for key in keys:
            group = self._book.open.get((Condition.MANY_DOWN, key))
            if group is not None:
                self._join(group, episode, now, desk)
                return group.id
        self._count(episode, keys)
        found = [key for key in keys if self._counts[key] >= self._threshold(key, many)]
        if not found:
            return ""
        key = ALL if ALL in found else max(found, key=lambda key: self._counts[key])
        return self._open(key, self._threshold(key, many), episode, now, desk)

    def ended(self, episode: Episode, moment: int, desk: Desk) -> None:
        """Take the ending of an episode."""
        if episode.condition not in COUNTED:
            return
        self._forget(episode)
        group = self._book.episodes.get(episode.under)
        if group is None or group.id not in self._members:
            return
        members = self._members[group.id]
        members.pop(episode.id, None)
        if not members:
            self._close(group, episode.ended or moment, moment, desk)
        elif _are_few(group, members):
            self._few.setdefault(group.id, (moment, episode.ended or moment))

    def tick(self, seen: int, length: int, desk: Desk) -> None:
        """End those of which few are left; the rest gets time to come back, too, so that one message tells of all.

        Args:
            seen: up to when all results are read.
            length: how long the rest is waited for, in milliseconds.
            desk: who tells of it.
        """
        for number, members in list(self._members.items()):
            group = self._book.episodes[number]
            if _are_few(group, members):
                since, ended = self._few.setdefault(number, (seen, seen))
                if seen - since >= length:
                    self._close(group, ended, seen, desk)

    def _threshold(self, key: str, many: int) -> int:
        return max(many, (self._sizes[key] + 1) // 2)

    def _count(self, episode: Episode, keys: list[str]) -> None:
        for old in [old for old in self._recent.values() if episode.opened - old.opened > WITHIN]:
            self._forget(old)
        if episode.id not in self._recent:
            self._recent[episode.id] = episode
            self._counts.update(keys)

    def _forget(self, episode: Episode) -> None:
        if self._recent.pop(episode.id, None) is not None:
            _take_out(self._counts, _keys(episode.labels))

    def _open(self, key: str, threshold: int, last: Episode, now: int, desk: Desk) -> str:
        members = [episode for episode in self._recent.values() if key in _keys(episode.labels)]
        group = self._book.begin(
            Condition.MANY_DOWN,
            key,
            since=min(episode.since for episode in members),
            opened=last.opened,
            judged=desk.now,
            severity=Severity.CRITICAL,
        )
        label, _, value = key.partition("=")
        group.labels = {} if key == ALL else {label: value}
        group.threshold = threshold
        group.voters = self._sizes[key]
        failed = f"{len(members)} of {self._sizes[key]} targets failed within {WITHIN // 1000} s"
        group.detail = f"{failed}: {some([episode.subject for episode in members], _NAMED)}"
        self._members[group.id] = {}
        desk.plan(group)
        for episode in members:
            self._forget(episode)
            self._join(group, episode, now, desk)
            if episode is not last:
                desk.hang(episode, group.id, now)
        desk.opened(group, last.opened)
        return group.id

    def _join(self, group: Episode, episode: Episode, now: int, desk: Desk) -> None:
        """Let an episode belong to a group's, which tells all whom the episode would tell."""
        members = self._members[group.id]
        members[episode.id] = episode
        if not _are_few(group, members):
            self._few.pop(group.id, None)
        desk.plan(episode)
        if episode.steps and (not group.steps or group.steps[0][0]):
            group.steps.insert(0, (0, []))
        waited = 0 if group.first_taken is None else now - group.first_taken
        for after, channels in episode.steps:
            if after:
                self._tell_later(group, after + waited, channels)
            else:
                self._tell(group, channels, now, desk)

    def _tell(self, group: Episode, channels: list[str], now: int, desk: Desk) -> None:
        """Let a group's episode be told to channels as soon as it is told at all."""
        told = group.steps[0][1]
        new = [channel for channel in channels if channel not in told]
        if not new:
            return
        told += new
        self._book.note(group)
        if not group.held and self._book.of(group):
            for channel in new:
                desk.tell(group, channel, "opened", now)

    def _tell_later(self, group: Episode, after: int, channels: list[str]) -> None:
        """Let a group's episode be told to channels so long after the first message of it was taken."""
        before = {channel for at, told in group.steps if at <= after for channel in told}
        new = [channel for channel in channels if channel not in before]
        if new:
            # What was told already stays in front.
            later = (place for place, (at, _) in enumerate(group.steps) if place >= group.next_step and at > after)
            group.steps.insert(next(later, len(group.steps)), (after, new))
            self._book.note(group)

    def _close(self, group: Episode, ended: int, moment: int, desk: Desk) -> None:
        members = self._members.pop(group.id)
        self._few.pop(group.id, None)
        names = [episode.subject for episode in members.values()]
        if names:
            group.detail = f"still failing: {some(names, _NAMED)}"
        self._book.end(group, ended=ended, closed=moment)
        desk.closed(group, moment)
        messages: dict[str, Notice] = {n.channel: n for n in self._book.of(group) if n.state == "waiting"}
        for episode in members.values():
            if episode.held == "many":
                desk.join(episode, messages, max(desk.now, moment))


def _are_few(group: Episode, members: Mapping[str, Episode]) -> bool:
    return 2 * len(members) < group.threshold


def _keys(labels: Mapping[str, str]) -> list[str]:
    return [ALL, *(f"{key}={value}" for key, value in labels.items())]


def _take_out(counts: Counter[str], keys: list[str]) -> None:
    for key in keys:
        counts[key] -= 1
        if not counts[key]:
            del counts[key]

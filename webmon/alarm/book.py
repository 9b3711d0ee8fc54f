"""The records as they are now, and which of them changed since the log was told."""

from collections.abc import Iterable
from typing import Final

from webmon.alarm.conditions import Condition, Severity
from webmon.alarm.records import (
    Announcement,
    AnyRecord,
    Certificates,
    Change,
    Episode,
    Maintenance,
    Notice,
    Silence,
    encode,
    make_id,
)

KEEP: Final = 86_400_000
"""Milliseconds that what is over stays in the log; history has it for good."""
_CERTIFICATES: Final = 16
"""Of a target, whose lifetimes are kept: those that end last."""


class Book:
    """Episodes and notices by their ids; pure."""

    def __init__(self) -> None:
        """Begin empty."""
        self.episodes: dict[str, Episode] = {}
        self.open: dict[tuple[Condition, str], Episode] = {}
        self.notices: dict[str, Notice] = {}
        self.of_episode: dict[str, dict[str, Notice]] = {}
        """The notices of an episode, by their ids, the oldest first."""
        self.waiting: dict[str, Notice] = {}
        self.orders: dict[str, Silence | Maintenance | Announcement] = {}
        """By key."""
        self.certificates: dict[str, Certificates] = {}
        """By target."""
        self._changed: dict[str, AnyRecord | None] = {}

    def restore(self, records: Iterable[AnyRecord]) -> None:
        """Take what a log holds."""
        for record in records:
            if isinstance(record, Episode):
                self.episodes[record.id] = record
                if record.is_open:
                    self.open[record.condition, record.subject] = record
            elif isinstance(record, Notice):
                self._add(record)
            elif isinstance(record, Certificates):
                self.certificates[record.target] = record
            else:
                self.orders[record.key] = record
        for notice in list(self.notices.values()):
            if notice.episode not in self.episodes:
                self._remove(notice)
                self.of_episode.pop(notice.episode, None)

    def take(self) -> list[Change]:
        """Give what changed since the last time, each record once."""
        if not self._changed:
            return []
        # A judge may die between any two of them. An episode is there when its notices are: the next judge drops those
        # of one that is not, and judges it again. What replaces a notice is there before that one waits no more.
        order = sorted(self._changed.items(), key=lambda item: (_rank(item[1]), item[0]))
        changes = [Change(key, None if record is None else encode(record)) for key, record in order]
        self._changed.clear()
        return changes

    def note(self, record: AnyRecord) -> None:
        """Say that a record is new or has changed."""
        self._changed[record.key] = record

    def begin(
        self, condition: Condition, subject: str, *, since: int, opened: int, judged: int, severity: Severity
    ) -> Episode:
        """Make an open episode; one of the same condition and subject must not be open."""
        assert (condition, subject) not in self.open
        number = make_id(subject, condition, since)
        while number in self.episodes:  # the same first failure belonged to one before
            since += 1
            number = make_id(subject, condition, since)
        episode = Episode(
            id=number,
            condition=condition,
            subject=subject,
            severity=severity,
            since=since,
            opened=opened,
            judged=judged,
        )
        self.episodes[number] = self.open[condition, subject] = episode
        self.note(episode)
        return episode

    def end(self, episode: Episode, *, ended: int, closed: int, reason: str = "") -> None:
        """Let an episode be over."""
        episode.ended = max(ended, episode.since)
        episode.closed = max(closed, episode.opened)
        episode.reason = reason
        self.open.pop((episode.condition, episode.subject), None)
        self.note(episode)

    def add(self, notice: Notice) -> None:
        """Take a new notice."""
        self._add(notice)
        self.note(notice)

    def settle(self, notice: Notice, state: str, at: int | None = None) -> None:
        """Let a notice wait no longer."""
        assert state in ("sent", "failed", "dropped")
        notice.state = state  # type: ignore[assignment] # mypy does not narrow to a Literal here
        notice.at = at
        self.waiting.pop(notice.id, None)
        self.note(notice)

    def lives(self, target: str, *, ends: int, lifetime: int, now: int) -> None:
        """Take how long a certificate lives; who saw it come first knows it best."""
        record = self.certificates.get(target) or Certificates(target=target)
        if lifetime <= record.lifetimes.get(ends, 0):
            return
        self.certificates[target] = record
        known = {end: life for end, life in record.lifetimes.items() if end > now} | {ends: lifetime}
        record.lifetimes = dict(sorted(known.items())[-_CERTIFICATES:])
        self.note(record)

    def lifetime(self, target: str, ends: int | None) -> int | None:
        """Give how long a target's certificate lives; None where it is not known, or leaves out no step."""
        record = self.certificates.get(target)
        return None if record is None or ends is None else record.lifetimes.get(ends)

    def of(self, episode: Episode) -> list[Notice]:
        """Give an episode's notices, the oldest first."""
        return list(self.of_episode.get(episode.id, {}).values())

    def forget(self, now: int, keep: int) -> None:
        """Let the log hold no more what is over for so long and has nothing left to be told."""
        for episode in [e for e in self.episodes.values() if e.closed is not None and now - e.closed > keep]:
            notices = self.of(episode)
            if episode.held or any(notice.state == "waiting" for notice in notices):
                continue
            del self.episodes[episode.id]
            self._changed[episode.key] = None
            self.of_episode.pop(episode.id, None)
            for notice in notices:
                self._remove(notice)
        for key, order in list(self.orders.items()):
            if order.until is not None and now - order.until > keep:
                del self.orders[key]
                self._changed[key] = None
        for target, record in list(self.certificates.items()):
            if now - max(record.lifetimes, default=0) > keep:
                del self.certificates[target]
                self._changed[record.key] = None

    def _remove(self, notice: Notice) -> None:
        self.notices.pop(notice.id, None)
        self.waiting.pop(notice.id, None)
        self._changed[notice.key] = None

    def _add(self, notice: Notice) -> None:
        self.notices[notice.id] = notice
        self.of_episode.setdefault(notice.episode, {})[notice.id] = notice
        if notice.state == "waiting":
            self.waiting[notice.id] = notice


def _rank(record: AnyRecord | None) -> int:
    if not isinstance(record, Notice):
        return 1
    return 0 if record.state == "waiting" else 2

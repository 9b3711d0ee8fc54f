"""From records to the notice that a sender takes: what is said of an episode, to whom it may come again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from webmon.alarm.book import Book
from webmon.alarm.conditions import Condition
from webmon.alarm.desk import Message
from webmon.alarm.moments import as_moment
from webmon.alarm.notice import Notice, Seen
from webmon.alarm.records import Episode
from webmon.alarm.records import Notice as Record
from webmon.render import as_duration

_BY_VANTAGES: Final = frozenset({Condition.DOWN, Condition.PARTIAL, Condition.SLOW})
"""Those whose share of vantages says something."""
_REASONS: Final = {
    "down": "enough see it fail now, and it is told as down",
    "removed": "it was taken from the list",
    "gone": "nothing was heard of it for a week",
    "no certificate": "it is up without one",
}
_OF_AN_ENDING: Final = frozenset({"ended", "over"})


class Notices:
    """Says it; used by the judge's thread."""

    def __init__(self, book: Book, page_url: str | None) -> None:
        """Take the records, and where the operators' page is."""
        self._book = book
        self._page = page_url.rstrip("/") if page_url else None

    def of(self, message: Message, now: datetime) -> Notice | None:
        """Give one message to a channel; None where nothing that it tells of is known any more."""
        made = [
            self._notice(record, episode, message.group, now)
            for record in message.notices
            if (episode := self._book.episodes.get(record.episode)) is not None
        ]
        if not made:
            return None
        first, *others = made
        return replace(first, others=tuple(others)) if others else first

    def lasting(self, channel: str, due: frozenset[str], now: datetime, ended_for: float) -> list[Notice]:
        """Give what an Alertmanager is told each time: all that it was told of and that lasts, or ended of late.

        Args:
            channel: the Alertmanager's.
            due: ids of the notices that it is to be told now.
            now: the moment.
            ended_for: seconds that what ended is told.
        """
        found = []
        for episode in self._book.episodes.values():
            records = [one for one in self._book.of(episode) if one.channel == channel]
            known = [one for one in records if one.state == "sent" or one.id in due]
            if not known:
                continue
            is_due = any(one.id in due for one in records)
            if (
                not is_due
                and episode.closed is not None
                and now - as_moment(episode.closed) > timedelta(seconds=ended_for)
            ):
                continue
            event = "opened" if episode.is_open else "ended"
            found.append(self._made(episode, key=episode.id, event=event, thread=None, now=now))
        return found

    def _notice(self, record: Record, episode: Episode, key: str, now: datetime) -> Notice:
        return self._made(episode, key=key, event=record.event, thread=self._thread(record, episode), now=now)

    def _thread(self, record: Record, episode: Episode) -> str | None:
        """Give the message that a channel took first of an episode: a mail's thread is that of its group."""
        for one in self._book.of(episode):
            if one.channel == record.channel and one.state == "sent" and one.group != record.group:
                return one.group
        return None

    def _made(self, episode: Episode, *, key: str, event: str, thread: str | None, now: datetime) -> Notice:
        ended = episode.ended if event in _OF_AN_ENDING else None
        by_vantages = episode.condition in _BY_VANTAGES
        return Notice(
            key=key,
            episode=episode.id,
            event=event,  # type: ignore[arg-type] # the records' events are among a notice's
            condition=episode.condition.value,
            severity=episode.severity.value,
            target=episode.subject,
            since=as_moment(episode.since),
            url=episode.url or None,
            labels=episode.labels,
            until=None if ended is None else as_moment(ended),
            what=_what(episode, event, now),
            ended_by=_REASONS.get(episode.reason, episode.reason) if event == "ended" and episode.reason else None,
            seen=tuple(Seen(seen.vantage, seen.outcome, seen.error) for seen in episode.seen),
            failing=len(episode.seen) if by_vantages else 0,
            vantages=episode.voters if by_vantages else 0,
            before=self._before(episode),
            link=f"{self._page}/episode/{episode.id}" if self._page else None,
            acknowledge=None if event in _OF_AN_ENDING else f"webmon alarms ack {episode.id} --by NAME",
            late=episode.late,
            thread=thread,
        )

    def _before(self, episode: Episode) -> str | None:
        """Say what it was before, where the log still has that."""
        if episode.condition is not Condition.DOWN:
            return None
        ended = max(
            (
                other.ended
                for other in self._book.episodes.values()
                if other.subject == episode.subject
                and other.condition is Condition.DOWN
                and other.ended is not None
                and other.id != episode.id
                and other.ended <= episode.since
            ),
            default=None,
        )
        return None if ended is None else f"up for {as_duration((episode.since - ended) / 1000)}"


def _what(episode: Episode, event: str, now: datetime) -> str | None:
    match episode.condition:
        case Condition.CERTIFICATE if episode.not_after is not None and event != "ended":
            left = as_moment(episode.not_after) - now
            if left <= timedelta():
                return f"ended {as_moment(episode.not_after).astimezone(UTC):%Y-%m-%d %H:%M} UTC"
            return f"ends in {left.days} d" if left.days else f"ends in {as_duration(left.total_seconds())}"
        case Condition.NO_DATA if event != "ended":
            return "no vantage sends a result of it"
        case Condition.VANTAGE_SILENT if event != "ended":
            return episode.detail or "no result comes from it"
        case _:
            return episode.detail or None

"""A judge's own records as the page's history, where no database is between them (`webmon watch`)."""

from datetime import datetime
from typing import Any, Final, TypeVar

import msgspec

from webmon.alarm import records
from webmon.alarm.book import Book
from webmon.alarm.moments import as_moment
from webmon.page.snapshot import Announcement, Episode, History, Maintenance, Silence

_TIMES: Final = frozenset({"since", "opened", "ended", "closed", "not_after", "begins", "until", "ack_at"})
"""Fields that are milliseconds in a record, and moments here."""
T = TypeVar("T", bound=msgspec.Struct)


def history_of(book: Book, now: datetime) -> History:
    """Give all that is open and was of late."""
    history = History(as_of=now)
    for episode in sorted(book.episodes.values(), key=lambda one: -one.since):
        ack = {f"ack_{name}": value for name, value in msgspec.to_builtins(episode.ack or {}).items()}
        history.episodes.append(_converted(Episode, episode, **ack))
    for order in book.orders.values():
        if isinstance(order, records.Silence):
            history.silences.append(_converted(Silence, order))
        elif isinstance(order, records.Maintenance):
            history.maintenance.append(_converted(Maintenance, order))
        else:
            history.announcements.append(_converted(Announcement, order))
    return history


def _converted(kind: type[T], record: records.Record, **more: Any) -> T:
    fields = msgspec.to_builtins(record) | more
    return msgspec.convert({n: as_moment(v) if n in _TIMES and v is not None else v for n, v in fields.items()}, kind)

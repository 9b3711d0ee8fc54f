"""What an operator may do on the page: read a form, and make the order of it (webmon/alarm/orders.py)."""

import dataclasses
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from webmon.alarm import orders
from webmon.alarm.moments import as_milliseconds
from webmon.alarm.records import LINE_LIMIT, TEXT_LIMIT, TITLE_LIMIT
from webmon.check.result import NAME_LIMIT, URL_LIMIT
from webmon.page.snapshot import Announcement, History, Maintenance, Silence

KINDS: Final = ("ack", "resend", "silence", "maintenance", "announcement", "end")
LENGTHS: Final = {
    "0.5": "30 minutes",
    "1": "1 hour",
    "2": "2 hours",
    "4": "4 hours",
    "8": "8 hours",
    "24": "1 day",
    "72": "3 days",
    "168": "1 week",
}
"""Hours, as a form has them."""
_AHEAD: Final = timedelta(days=366)


@dataclasses.dataclass
class WrongError(Exception):
    """What is wrong with a form, by field; a field of none is the whole."""

    faults: dict[str, str]


def order_of(kind: str, fields: Mapping[str, str], by: str, history: History, now: datetime) -> orders.Order:
    """Make an order of a form.

    Args:
        kind: one of KINDS.
        fields: the form's.
        by: the operator's name; empty where nobody was asked, then the form has `by`.
        history: what there is to act on.
        now: the time.

    Raises:
        WrongError: what would have to be otherwise.
    """
    form = _Form(fields, by, history, now)
    order = getattr(form, kind)()
    if form.faults or order is None:
        raise WrongError(form.faults or {"": "This is not there any more."})
    try:
        orders.encode(order)
    except ValueError as error:
        raise WrongError({"": f"Kafka would not take it: {error}"}) from None
    made: orders.Order = order
    return made


class _Form:
    """Reads one form, and gathers what is wrong."""

    def __init__(self, fields: Mapping[str, str], by: str, history: History, now: datetime) -> None:
        self._fields = fields
        self._history = history
        self._now = now
        self.faults: dict[str, str] = {}
        self._by = by or self._text("by", "Say who you are", longest=NAME_LIMIT)

    def ack(self) -> orders.Ack | None:
        episode = self._fields.get("episode", "")
        if not any(one.id == episode and one.is_open for one in self._history.episodes):
            self.faults[""] = "This is over: there is nothing to acknowledge any more."
            return None
        note = self._text("note")
        return (
            None if self.faults else orders.Ack(episode=episode, by=self._by, at=as_milliseconds(self._now), note=note)
        )

    def resend(self) -> orders.Resend | None:
        notice = self._fields.get("notice", "")
        if not any(one.id == notice for one in self._history.notices):
            self.faults[""] = "This message was delivered meanwhile, or is not sent any more."
            return None
        return None if self.faults else orders.Resend(notice=notice, by=self._by, at=as_milliseconds(self._now))

    def silence(self) -> orders.Silence | None:
        match = self._text(
            "match", "Say which targets: a name, a pattern such as api-*, or label=value", longest=URL_LIMIT
        )
        until = self._now + self._length()
        reason = self._text("reason")
        if self.faults:
            return None
        return orders.Silence(
            id=_new_id(),
            match=match,
            begins=as_milliseconds(self._now),
            until=as_milliseconds(until),
            by=self._by,
            reason=reason,
        )

    def maintenance(self) -> orders.Maintenance | None:
        match = self._text(
            "match", "Say which targets: a name, a pattern such as api-*, or label=value", longest=URL_LIMIT
        )
        begins = self._begin()
        until = begins + self._length()
        name, reason = self._text("name"), self._text("reason")
        if self.faults:
            return None
        return orders.Maintenance(
            id=_new_id(),
            match=match,
            begins=as_milliseconds(begins),
            until=as_milliseconds(until),
            by=self._by,
            reason=reason,
            public=self._fields.get("public") == "yes",
            name=name,
        )

    def announcement(self) -> orders.Announcement | None:
        title = self._text("title", "Say in one line what readers are told", longest=TITLE_LIMIT)
        text = self._fields.get("text", "").replace("\r\n", "\n").strip()
        if len(text) > TEXT_LIMIT:
            self.faults["text"] = f"{TEXT_LIMIT:,} characters at most"
        until = None if self._fields.get("hours", "") == "" else self._now + self._length()
        episode = self._fields.get("episode", "")
        if episode and not any(one.id == episode for one in self._history.episodes):
            self.faults["episode"] = "This incident is not there any more"
        if self.faults:
            return None
        return orders.Announcement(
            id=_new_id(),
            title=title,
            begins=as_milliseconds(self._now),
            by=self._by,
            text=text,
            until=None if until is None else as_milliseconds(until),
            episode=episode,
        )

    def end(self) -> orders.Order | None:
        """End a silence, a maintenance or an announcement: the same again, until now."""
        number = self._fields.get("id", "")
        ours: list[Silence | Maintenance | Announcement] = [
            *self._history.silences,
            *self._history.maintenance,
            *self._history.announcements,
        ]
        found = next((one for one in ours if one.id == number and (one.until is None or one.until > self._now)), None)
        if self.faults or found is None:
            return None
        begins, until = as_milliseconds(min(found.begins, self._now)), as_milliseconds(self._now)
        if isinstance(found, Silence):
            return orders.Silence(
                id=number, match=found.match, begins=begins, until=until, by=self._by, reason=found.reason
            )
        if isinstance(found, Maintenance):
            return orders.Maintenance(
                id=number,
                match=found.match,
                begins=begins,
                until=until,
                by=self._by,
                reason=found.reason,
                public=found.public,
                name=found.name,
            )
        return orders.Announcement(
            id=number,
            title=found.title,
            begins=begins,
            by=self._by,
            text=found.text,
            until=until,
            episode=found.episode,
        )

    def _text(self, field: str, missing: str = "", longest: int = LINE_LIMIT) -> str:
        value = self._fields.get(field, "").strip()
        if missing and not value:
            self.faults[field] = missing
        elif len(value) > longest:
            self.faults[field] = f"{longest} characters at most"
        elif any(ord(char) < 32 or 127 <= ord(char) <= 159 or char in "\u2028\u2029" for char in value):
            self.faults[field] = "One line, without control characters"
        return value

    def _length(self) -> timedelta:
        hours = self._fields.get("hours", "")
        if hours not in LENGTHS:
            self.faults["hours"] = "Choose how long"
            return timedelta()
        return timedelta(hours=float(hours))

    def _begin(self) -> datetime:
        value = self._fields.get("begins", "")
        if not value:
            return self._now
        try:
            begins = datetime.fromisoformat(value).replace(tzinfo=UTC)
        except ValueError:
            begins = datetime.max.replace(tzinfo=UTC)
        if not self._now - timedelta(days=1) <= begins <= self._now + _AHEAD:
            self.faults["begins"] = "A time (UTC) within a year, such as 2026-12-24T22:00"
            return self._now
        return begins


def _new_id() -> str:
    return str(uuid.uuid4())

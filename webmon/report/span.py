"""The span of time that is asked about: "30d", "12h", "2026-11-01" or ISO 8601, and the hours that answer it."""

import dataclasses
import re
from datetime import UTC, datetime, timedelta
from typing import Final

from webmon.errors import UserError
from webmon.render import as_minute

Moment = timedelta | datetime
"""A time, or how long ago it was."""

RIGHT: Final = "right would be 90m, 12h, 30d or 4w ago, a day such as 2026-11-01, or a time such as 2026-11-01T12:30Z"

_UNITS: Final = {"s": "seconds", "m": "minutes", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LONGEST: Final = timedelta(days=36_500)
_HOUR: Final = timedelta(hours=1)


def parse(text: str) -> Moment:
    """Read a moment as a person writes it; days and times without a zone are UTC.

    Raises:
        ValueError: it is none; the message says what would be right.
    """
    text = text.strip()
    if found := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?(s|m|min|h|d|w)", text, re.ASCII):
        try:
            ago = timedelta(**{_UNITS[found[2]]: float(found[1])})
        except OverflowError:
            ago = timedelta.max
        if not timedelta(0) < ago <= _LONGEST:
            raise ValueError(f"{text!r}: a span is above 0 and at most {_LONGEST.days} days")
        return ago
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{text!r} is no time; {RIGHT}") from None
    if moment < datetime(1970, 1, 1, tzinfo=UTC):
        raise ValueError(f"{text!r} is before 1970; {RIGHT}")
    return moment


@dataclasses.dataclass(frozen=True)
class Span:
    """From when to when; UTC. What begins at `until` is not in it."""

    since: datetime
    until: datetime

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.until - self.since).total_seconds()

    def __str__(self) -> str:
        """Give it for people."""
        return f"{as_minute(self.since)} to {as_minute(self.until)} UTC"

    def whole_hours(self, now: datetime) -> "Span":
        """Widen it to the hours that rollups have; the hour that runs ends now."""
        until = _hour_of(self.until)
        return Span(_hour_of(self.since), min(now, until if until == self.until else until + _HOUR))


def span(since: Moment, until: Moment | None, now: datetime) -> Span:
    """Give the span that is asked about, by a clock that says `now`; it ends now where no end is given.

    Raises:
        UserError: it ends before it begins, or begins in the future.
    """
    begin, end = _at(since, now), now if until is None else min(now, _at(until, now))
    if begin >= now:
        raise UserError(f"--since is {as_minute(begin)} UTC, which is not past; now is {as_minute(now)}")
    if begin >= end:
        raise UserError(f"--since ({as_minute(begin)} UTC) is not before --until ({as_minute(end)} UTC)")
    return Span(begin, end)


def _at(moment: Moment, now: datetime) -> datetime:
    return moment if isinstance(moment, datetime) else now - moment


def _hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)

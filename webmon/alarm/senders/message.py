"""A notice as people read it: subject, text and HTML.

In this order: what is down (name, link), since when, what was seen, by how many of how many vantages, what it was
before, the link to its page, how it is acknowledged. Names, errors and labels may come from a site: none of them can
begin a line or a header of its own, be markup, or steer a terminal.
"""

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from webmon.alarm.conditions import ALL
from webmon.alarm.notice import Notice, Seen
from webmon.render import as_duration, printable

_SUBJECT: Final = 200
"""Characters of a subject."""
_NAME: Final = 100
"""Characters of a name in a subject: a target without a name is called by its URL."""
_SHOWN: Final = 50
"""Vantages, and targets of a group, that are listed; the rest is counted."""


class _Words(NamedTuple):
    """How a condition is told."""

    begins: str
    ends: str
    was: str


_WORDS: Final = {
    "down": _Words("DOWN", "UP", "down"),
    "partial": _Words("PARTLY DOWN", "UP", "down for some"),
    "slow": _Words("SLOW", "FAST AGAIN", "slow"),
    "certificate": _Words("CERTIFICATE", "NEW CERTIFICATE", "about to expire"),
    "no_data": _Words("NO DATA", "DATA AGAIN", "without data"),
    "flapping": _Words("FLAPPING", "STEADY", "flapping"),
    "vantage_silent": _Words("VANTAGE SILENT", "VANTAGE BACK", "silent"),
    "vantage_at_fault": _Words("VANTAGE AT FAULT", "VANTAGE WELL", "at fault"),
    "many_down": _Words("MANY DOWN", "MOST UP", "down"),
    "monitor": _Words("MONITOR", "MONITOR WELL", "in trouble"),
}


def subject(notice: Notice) -> str:
    """Give one line: `DOWN shop: timeout (3 of 3 vantages)`, or `UP shop: was down for 12 min`."""
    words = _WORDS.get(notice.condition) or _Words(notice.condition.upper(), f"{notice.condition.upper()} OVER", "so")
    name = _cut(_name(notice), _NAME)
    # What is told for the first time where a group ends has not come back with it.
    left = [_name(other) for other in notice.others if notice.event == "ended" and not other.is_over]
    if notice.others and not left:
        name += f" and {len(notice.others)} {'other' if len(notice.others) == 1 else 'others'}"
    lasted = as_duration(notice.duration)
    cause = _cause(notice)
    match notice.event:
        case "test":
            told = f"TEST {name}: {cause or 'no alarm'}"
        case "ended" if notice.ended_by is not None:
            told = f"OVER {name}: {_plain(notice.ended_by)}; was {words.was} for {lasted}"
        case "ended":
            told = f"{words.ends} {name}: was {words.was} for {lasted}{_joined('; still failing: ', ', '.join(left))}"
        case "over":
            told = f"WAS {words.begins} {name}: for {lasted}{_joined(', ', cause)}{_share(notice)}"
        case event:
            still = "STILL " if event == "reminder" else ""
            told = f"{still}{words.begins} {name}{_joined(': ', cause)}{_share(notice)}"
    return _cut(told, _SUBJECT)


def text(notice: Notice) -> str:
    """Give the whole message as plain text, a line for each thing."""
    lines = [subject(notice), ""]
    for label, value, _ in _rows(notice):
        lines.append(f"{label:<13} {value}")
    return "\n".join(lines) + "\n"


def html_of(notice: Notice) -> str:
    """Give the same as HTML, with nothing of a site's in it but text."""
    rows = []
    for label, value, link in _rows(notice):
        shown = html.escape(value)
        if link is not None:
            shown = f'<a href="{html.escape(link)}">{shown}</a>'
        rows.append(f"<tr><td>{html.escape(label)}</td><td>{shown}</td></tr>")
    head = html.escape(subject(notice))
    return (
        f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{head}</title></head><body>\n'
        f'<p><strong>{head}</strong></p>\n<table cellpadding="4">\n' + "\n".join(rows) + "\n</table>\n</body></html>\n"
    )


_Row = tuple[str, str, str | None]
"""Label, value and link."""


def _rows(notice: Notice) -> Iterator[_Row]:
    """Give what is told, in its order."""
    yield "what", _name(notice), None
    if notice.url is not None:
        yield "url", _plain(notice.url), _link(notice.url)
    for what in (notice.what, notice.ended_by):
        if what is not None:
            yield "", _plain(what), None
    yield "since", moment(notice.since), None
    if notice.until is not None:
        yield "until", f"{moment(notice.until)}, after {as_duration(notice.duration)}", None
    if notice.late:
        yield "", "told late: nobody judged meanwhile", None
    yield from _listed("seen", [_as_seen(seen) for seen in notice.seen])
    if notice.vantages:
        yield "vantages", f"{notice.failing} of {notice.vantages}", None
    if notice.before is not None:
        yield "before", _plain(notice.before), None
    yield from _listed("also", [f"{subject(other)}, since {moment(other.since)}" for other in notice.others])
    yield from _listed("labels", [f"{_plain(key)}: {_plain(notice.labels[key])}" for key in sorted(notice.labels)])
    for label, value in (("page", notice.link), ("acknowledge", notice.acknowledge)):
        if value is not None:
            yield label, _plain(value), _link(value)


def _listed(label: str, values: Sequence[str]) -> Iterator[_Row]:
    for number, value in enumerate(values[:_SHOWN]):
        yield "" if number else label, value, None
    if len(values) > _SHOWN:
        yield "", f"and {len(values) - _SHOWN} more", None


def _as_seen(seen: Seen) -> str:
    return f"{_plain(seen.vantage)}: {_plain(seen.outcome)}{_joined(': ', _plain(seen.error or ''))}"


def moment(time: datetime) -> str:
    """Give a time for people, in UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _name(notice: Notice) -> str:
    is_all = notice.condition == "many_down" and notice.target == ALL
    return "all targets" if is_all else _plain(notice.target)


def _cause(notice: Notice) -> str:
    """Say in a few words what it is: what the judge says, or what most of those that failed saw."""
    if notice.what is not None:
        return _plain(notice.what)
    counted = Counter(seen.outcome for seen in notice.seen[: notice.failing])
    return _plain(counted.most_common(1)[0][0]) if counted else ""


def _share(notice: Notice) -> str:
    if not notice.vantages:
        return ""
    return f" ({notice.failing} of {notice.vantages} {'vantage' if notice.vantages == 1 else 'vantages'})"


def _joined(between: str, what: str) -> str:
    return f"{between}{what}" if what else ""


def _link(url: str) -> str | None:
    """Give what may be clicked on: nothing but HTTP."""
    return url if re.fullmatch(r"https?://[!-~]+", url) else None


def _plain(value: str) -> str:
    return " ".join(printable(value).split())


def _cut(value: str, most: int) -> str:
    return value if len(value) <= most else value[: most - 1] + "…"

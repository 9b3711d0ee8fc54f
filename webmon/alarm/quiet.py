"""Of whom nothing is told for a while: silences, maintenance by order, and the planned one of the file."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final, Literal

from webmon.alarm.book import Book
from webmon.alarm.conditions import Window
from webmon.alarm.match import read
from webmon.alarm.moments import as_moment
from webmon.alarm.records import Maintenance, Silence

PLANNED: Final = "planned/"
"""How the id of a window begins that is in the log for those who read it there alone (webmon/alarm/planned.py)."""


def matches(match: str, name: str, labels: Mapping[str, str]) -> bool:
    """Tell whether a match names a subject: its whole name, a shell pattern of one, `label=value`, or Match.texts.

    A name may have `=` in it, as URLs do: it is looked at first; or what is a pattern's, as `[` of an address of IPv6.
    """
    if name == match or fnmatchcase(name, match):
        return True
    if (said := read(match)) is not None:
        return said.fits(name, labels)
    key, separator, value = match.partition("=")
    return bool(separator) and labels.get(key) == value


def why(
    book: Book, windows: tuple[Window, ...], *, name: str, labels: Mapping[str, str], now: int
) -> Literal["", "maintenance", "silence"]:
    """Tell what keeps a subject quiet at a moment."""
    found: Literal["", "silence"] = ""
    for order in book.orders.values():
        if isinstance(order, Silence | Maintenance) and order.begins <= now < order.until:
            if order.id.startswith(PLANNED):
                continue  # the rules have it, more exactly
            if not matches(order.match, name, labels):
                continue
            if isinstance(order, Maintenance):
                return "maintenance"
            found = "silence"
    if windows:
        moment = as_moment(now)
        if any(window.covers(name, labels, moment) for window in windows):
            return "maintenance"
    return found

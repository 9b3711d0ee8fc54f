"""Atom (RFC 4287) and RSS 2.0 of incidents, announcements and maintenance."""

import html
import uuid
from collections.abc import Iterator
from datetime import datetime
from email.utils import format_datetime
from typing import Final, NamedTuple
from xml.etree import ElementTree as ET

from webmon.page.answers import Made
from webmon.page.markup import iso
from webmon.page.model import COMING, Incident, Moment, PublicPage
from webmon.page.texts import Texts

_ATOM: Final = "http://www.w3.org/2005/Atom"
_MOST: Final = 50
_SPACE: Final = uuid.UUID("6b7d2f16-3f0e-5c55-9d0c-0a5f6f5e1b7a")


class Entry(NamedTuple):
    """One thing that happened."""

    id: str
    title: str
    text: str
    path: str
    """Of its page, from the page's root."""
    begun: datetime
    changed: datetime
    is_coming: bool = False


def entries(page: PublicPage, t: Texts) -> list[Entry]:
    """Give what is to come, and what happened, the newest first."""
    found = [*_incidents(page, t), *_announcements(page), *_maintenance(page, t)]
    return sorted(found, key=lambda one: (one.is_coming, one.changed), reverse=True)[:_MOST]


def atom(page: PublicPage, t: Texts, url: str | None) -> Made:
    """Make the Atom feed; `url` is where the public page is, if links are to be absolute."""
    found = entries(page, t)
    feed = ET.Element("feed", {"xmlns": _ATOM, "xml:lang": t.language})
    _add(feed, "title", page.title)
    _add(feed, "id", f"urn:uuid:{uuid.uuid5(_SPACE, url or page.title)}")
    _add(feed, "updated", iso(_changed(page, found)))
    ET.SubElement(feed, "link", {"rel": "alternate", "type": "text/html", "href": _link(url, "")})
    ET.SubElement(feed, "link", {"rel": "self", "href": _link(url, "feed.atom")})
    _add(ET.SubElement(feed, "author"), "name", page.title)
    for one in found:
        entry = ET.SubElement(feed, "entry")
        _add(entry, "title", one.title)
        _add(entry, "id", f"urn:uuid:{one.id}")
        _add(entry, "published", iso(one.begun))
        _add(entry, "updated", iso(one.changed))
        ET.SubElement(entry, "link", {"rel": "alternate", "type": "text/html", "href": _link(url, one.path)})
        _add(entry, "content", one.text, type="text")
    return _made(feed, "application/atom+xml")


def rss(page: PublicPage, t: Texts, url: str | None) -> Made:
    """Make the RSS feed, as atom() does."""
    found = entries(page, t)
    root = ET.Element("rss", {"version": "2.0"})
    channel = ET.SubElement(root, "channel")
    _add(channel, "title", page.title)
    _add(channel, "link", _link(url, ""))
    _add(channel, "description", page.title)
    _add(channel, "language", t.language)
    _add(channel, "lastBuildDate", format_datetime(_changed(page, found)))
    for one in found:
        item = ET.SubElement(channel, "item")
        _add(item, "title", one.title)
        _add(item, "link", _link(url, one.path))
        _add(item, "guid", f"urn:uuid:{one.id}", isPermaLink="false")
        _add(item, "pubDate", format_datetime(one.begun))
        _add(item, "description", html.escape(one.text, quote=False))  # which readers take as HTML
    return _made(root, "application/rss+xml")


def incident_title(incident: Incident, t: Texts) -> str:
    """Give what an incident is called."""
    return t(f"{'is' if incident.is_open else 'was'}_{incident.condition}", name=incident.name)


def moment_text(incident: Incident, moment: Moment, t: Texts) -> str:
    """Give what an entry of an incident's timeline says."""
    if moment.step == "announced":
        return ": ".join(filter(None, (moment.title, moment.text)))
    if moment.step == "error":
        return moment.text
    if moment.step == "confirmed" and incident.voters and incident.seen_by is not None:
        return t("opened", seen=len(incident.seen_by), asked=incident.voters)
    began = "began_slow" if incident.condition == "slow" else "began"
    return t({"began": began, "confirmed": "opened_plain", "ended": "ended", "closed": "over"}[moment.step])


def _incidents(page: PublicPage, t: Texts) -> Iterator[Entry]:
    for one in page.incidents:
        told = [f"{t.minute(moment.at)}: {moment_text(one, moment, t)}" for moment in one.timeline]
        changed = max((moment.at for moment in one.timeline), default=one.began)
        yield Entry(one.id, incident_title(one, t), "\n".join(told), f"incidents/{one.id}", one.began, changed)


def _announcements(page: PublicPage) -> Iterator[Entry]:
    for one in page.announcements:
        number = str(uuid.uuid5(_SPACE, f"announcement/{one.id}"))
        yield Entry(number, one.title, one.text, "", one.begins, one.begins)


def _maintenance(page: PublicPage, t: Texts) -> Iterator[Entry]:
    for one in page.maintenance:
        number = str(uuid.uuid5(_SPACE, f"maintenance/{one.id}"))
        when = t("from_until", begin=t.minute(one.begins), end=t.minute(one.until))
        text = f"{when}\n{', '.join(one.names)}"
        # When it was planned is not told; while it is to come it is as old as it may be, and so always the same.
        is_coming = one.when == "coming"
        at = one.begins - COMING if is_coming else one.begins
        yield Entry(number, one.name or t("work"), text, "maintenance", at, at, is_coming)


def _changed(page: PublicPage, found: list[Entry]) -> datetime:
    midnight = page.as_of.replace(hour=0, minute=0, second=0, microsecond=0)
    return max((one.changed for one in found), default=midnight)


def _link(url: str | None, path: str) -> str:
    return f"{url.rstrip('/')}/{path}" if url else path or "./"


def _add(parent: ET.Element, name: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, name, attributes).text = "".join(char if _is_xml(char) else " " for char in text)


def _is_xml(char: str) -> bool:
    """Tell whether XML 1.0 takes a character (its 2.2); controls and surrogates it does not."""
    return char in "\t\n" or (
        char >= " " and not "\x7f" <= char <= "\x9f" and not "\ud800" <= char <= "\udfff" and char not in "\ufffe\uffff"
    )


def _made(root: ET.Element, kind: str) -> Made:
    body = ET.tostring(root, encoding="unicode").encode()
    return Made(b'<?xml version="1.0" encoding="utf-8"?>\n' + body + b"\n", f"{kind}; charset=utf-8")

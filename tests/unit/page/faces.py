"""Both faces as a client sees them, without a socket."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from html.parser import HTMLParser
from typing import Final

import httpx2
from starlette.testclient import TestClient

from tests.unit.page import fakes
from webmon.page.access import Access, open_to_all
from webmon.page.file import Public
from webmon.page.operator_app import Charts, Send, operator_app
from webmon.page.operator_site import OperatorSite
from webmon.page.public_app import public_app
from webmon.page.site import PublicSite
from webmon.page.snapshot import Look, Snapshot

VIEW: Final = fakes.NOW + timedelta(seconds=5)
"""When somebody looks."""


class Shown:
    """What both faces have to show; a test changes it."""

    def __init__(self, snapshot: Snapshot | None, file: Public | None = None) -> None:
        """Take the snapshot; without a file every target is public."""
        self.look = fakes.look(snapshot) if snapshot else Look()
        self.file = fakes.page_file() if file is None else file
        self.nothing_public = False
        self.now = VIEW

    def clock(self) -> datetime:
        """Give the time of the look."""
        return self.now

    def public_file(self) -> Public | None:
        """Give what is public."""
        return None if self.nothing_public else self.file

    def public(self, *, url: str | None = None) -> TestClient:
        """Give a visitor."""
        app = public_app(PublicSite(lambda: self.look, self.public_file, self.clock), url=url)
        return TestClient(app, base_url="http://status.example", follow_redirects=False)

    def operator(
        self,
        *,
        access: Access = open_to_all,
        charts: Charts | None = None,
        send: Send | None = None,
        host: str = "127.0.0.1:9466",
        peer: str = "127.0.0.1",
    ) -> TestClient:
        """Give an operator."""
        site = OperatorSite(lambda: self.look, self.public_file, self.clock)
        app = operator_app(site, access=access, charts=charts, send=send)
        return TestClient(app, base_url=f"http://{host}", follow_redirects=False, client=(peer, 50000))


class Markup(HTMLParser):
    """Reads a page as a browser's parser would, as far as that matters here."""

    VOID: Final = frozenset({"meta", "link", "input", "br", "hr", "img"})
    OPTIONAL: Final = frozenset({"th", "td", "li", "option", "p", "tr", "dt", "dd", "thead", "tbody"})

    def __init__(self, page: str) -> None:
        """Read it."""
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.left_open: list[str] = []
        self.wrong: list[str] = []
        self.feed(page)
        self.close()
        self.wrong += [name for name in self.left_open if name not in self.OPTIONAL]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.left_open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note one that is closed at once."""
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        """Close what may be left open, and the element itself."""
        while self.left_open and self.left_open[-1] != tag and self.left_open[-1] in self.OPTIONAL:
            self.left_open.pop()
        if self.left_open and self.left_open[-1] == tag:
            self.left_open.pop()
        else:
            self.wrong.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.texts.append(data)

    @property
    def text(self) -> str:
        """All of it, blanks made one."""
        return " ".join("".join(self.texts).split())

    def links(self) -> Iterator[str]:
        """Give where the page leads to."""
        for tag, attributes in self.elements:
            if tag == "a" and (href := attributes.get("href")) is not None:
                yield href


def crawl(client: httpx2.Client, start: str = "/", take: Callable[[str], bool] = lambda _: True) -> dict[str, str]:
    """Give every page that links lead to from a first one, by its path."""
    found: dict[str, str] = {}
    left = [start]
    while left:
        path = left.pop()
        if path in found or not take(path):
            continue
        answer = client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        found[path] = answer.text
        if answer.headers["content-type"].startswith("text/html"):
            links = (answer.url.join(href) for href in Markup(answer.text).links())
            left += [link.raw_path.decode() for link in links if link.host == answer.url.host]
    return found

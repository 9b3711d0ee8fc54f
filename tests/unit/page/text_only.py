"""Whether what strangers write is text: pages, feeds, badges, APIs, read by parsers beside those of plain words."""

import json
import re
from collections import Counter
from typing import Any, Final, TypeVar
from xml.etree import ElementTree as ET

import httpx2
import msgspec

from tests.unit.page.faces import Markup, crawl
from webmon.page import statuspage
from webmon.page.api import CALLS
from webmon.page.badges import KINDS
from webmon.page.snapshot import Chart, Snapshot

S = TypeVar("S", Snapshot, Chart)
Shape = Counter[tuple[str, ...]]
"""Elements, each with the names of its attributes, and how often there is such a one."""
_PLAIN: Final = re.compile(r"[\w .,:/*@%+-]*", re.ASCII)
_LINKS: Final = re.compile(r"(?:\.{0,2}/|\./|[?#]|http://)?[\w./?=&%*~+-]*", re.ASCII)


def plain(shown: S) -> S:
    """Give the same with a plain word for each text that has more than letters, digits and dots in it."""
    words: dict[str, str] = {}

    def word(text: str) -> str:
        if _PLAIN.fullmatch(text):
            return text
        start = "https://example.org/" if "://" in text[:10] else ""
        return words.setdefault(text, f"{start}word{len(words)}")

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {word(key): walk(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [walk(one) for one in value]
        return word(value) if isinstance(value, str) else value

    return msgspec.convert(walk(msgspec.to_builtins(shown)), type(shown))


def see_faces(public: tuple[httpx2.Client, httpx2.Client], operator: tuple[httpx2.Client, httpx2.Client]) -> list[str]:
    """See that both faces show nothing but text of strangers; give the public names of all targets.

    Args:
        public: a visitor of the page that strangers wrote on, and of the same with plain words.
        operator: an operator of both.
    """
    for strange, simple in (public, operator):
        headers: list[list[set[str]]] = [[], []]
        for client, noted in zip((strange, simple), headers, strict=True):
            client.event_hooks["response"].append(lambda answer, noted=noted: noted.append(set(answer.headers)))
        same_shape(pages_of(strange), pages_of(simple))
        if strange is public[0]:
            same_shape(drawings_of(strange), drawings_of(simple))
        for names in headers[0]:
            assert names in headers[1], names
    _see_json(public[0])
    return [one["name"] for one in public[0].get("/api/v1/targets").json()]


def pages_of(client: httpx2.Client) -> list[Shape]:
    """Give the shape of every page that links lead to, in two of the languages."""
    found = crawl(client, take=lambda path: "lang=" not in path or "lang=fr" in path)
    return [html_shape(text, path) for path, text in found.items() if "/feed." not in path]


def drawings_of(client: httpx2.Client) -> list[Shape]:
    """Give the shape of each feed and badge."""
    ids = [one["id"] for one in client.get("/api/v1/targets").json()]
    paths = ["/feed.atom", "/feed.rss", *(f"/badge/{number}/{kind}.svg" for number in ids for kind in KINDS)]
    return [xml_shape(client.get(path).text) for path in paths]


def same_shape(strange: list[Shape], simple: list[Shape]) -> None:
    """See that there is no element and no attribute more, or less, than with plain words."""
    assert len(strange) == len(simple)
    ours, theirs = (sum(shapes, Counter()) for shapes in (strange, simple))
    assert ours - theirs == theirs - ours == Counter()


def html_shape(text: str, path: str) -> Shape:
    """Read a page, which must be well-formed, act on nothing, and lead to nothing but pages."""
    page = Markup(text)
    assert page.wrong == [], path
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name == "style"], path
        for name in ("href", "src", "action"):
            assert _LINKS.fullmatch(attributes.get(name) or ""), (path, attributes)
    return Counter((tag, *sorted(attributes)) for tag, attributes in page.elements)


def xml_shape(text: str) -> Shape:
    """Read a feed or a drawing."""
    root = ET.fromstring(text)  # noqa: S314 - written by ourselves
    return Counter((element.tag, *sorted(element.attrib)) for element in root.iter())


def _see_json(client: httpx2.Client) -> None:
    ids = {kind: [one["id"] for one in client.get(f"/api/v1/{kind}").json()] for kind in ("targets", "incidents")}
    paths = [f"/api/v2/{name}.json" for name in statuspage.NAMES]
    for call in CALLS:
        numbers = ids[call.path.partition("/")[0]] if "{id}" in call.path else [""]
        paths += [f"/api/v1/{call.path.replace('{id}', number)}" for number in numbers]
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"].startswith("application/json"), path
        json.loads(answer.content)

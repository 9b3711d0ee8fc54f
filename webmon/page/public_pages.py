"""The pages that visitors see: which there are, and what each is made of."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

from webmon.page.answers import HTML, Made
from webmon.page.markup import render
from webmon.page.model import PublicPage, Sentence, State
from webmon.page.model import sentence as sentence_of
from webmon.page.texts import Texts

Path = tuple[str, ...]
"""A page: ("index",), ("g", G), ("t", T), ("incidents",), ("incidents", ID) or ("maintenance",)."""

_AN_ID: Final = r"[A-Za-z0-9-]{1,100}"
_EVERY: Final = 10
"""Seconds from one look of the script to the next; a page that did not change costs 304."""


def path_of(url: str) -> Path | None:
    """Give the page at an address; None where there can be none."""
    if url == "/":
        return ("index",)
    found = re.fullmatch(rf"/(?:(incidents|maintenance)|(g|t|incidents)/({_AN_ID}))", url)
    if found is None:
        return None
    return (found[1],) if found[1] else (found[2], found[3])


def paths(page: PublicPage) -> Iterator[Path]:
    """Give all pages that there are."""
    yield from (("index",), ("incidents",), ("maintenance",))
    for group in page.groups:
        yield ("g", group.id)
        yield from (("t", target.id) for target in group.targets)
    yield from (("incidents", incident.id) for incident in page.incidents)


class Links:
    """Gives addresses from one page to others, relative: so they hold behind a proxy, in a bucket, in a directory."""

    def __init__(self, depth: int, *, suffix: str = "", query: str = "") -> None:
        """Take how deep the page is, what a file's name ends with, and what each address is asked with."""
        self.root = "../" * depth
        self._suffix = suffix
        self._query = query

    def __call__(self, kind: str, name: str = "") -> str:
        """Give the address of a page."""
        if kind == "index":
            path = f"{self.root}index{self._suffix}" if self._suffix else self.root or "./"
        else:
            path = f"{self.root}{kind}{f'/{name}' if name else ''}{self._suffix}"
        return path + self._query


def make(
    page: PublicPage, path: Path, t: Texts, *, query: str = "", suffix: str = "", valid_until: datetime | None = None
) -> Made | None:
    """Make a page; None where there is none.

    Args:
        page: what is public.
        path: which page.
        t: the language.
        query: what the page was asked with: `?lang=de` goes on with its links.
        suffix: what the names of pages end with where they are files.
        valid_until: of a copy, when it is too old.
    """
    links = Links(len(path) - 1, suffix=suffix, query=query)
    shown = _shown(page, path, t)
    if shown is None:
        return None
    template, values = shown
    frame = _frame(page, path, t, links, valid_until=valid_until)
    if suffix:
        frame["in_language"] = lambda code: path[-1] + (".html" if code == "en" else f".{code}.html")
    body = render(template, t, links, **(frame | values))
    return Made(body, HTML)


def missing(t: Texts, title: str, depth: int = 0, *, query: str = "") -> Made:
    """Make the page of what is not there."""
    links = Links(depth, query=query)
    values = _bare(title, links) | {"here": "", "state": "unknown", "sentence": t("not_found")}
    return Made(render("missing.html", t, links, **values), HTML, 404)


def nothing(t: Texts, title: str, *, is_public: bool) -> Made:
    """Make the page of a start without any data, or of an installation where nothing is public."""
    links = Links(0)
    values = _bare(title, links) | {
        "here": "index",
        "state": "unknown",
        "sentence": t("not_known_yet" if is_public else "nothing_public"),
        "also": "",
        "more": "" if is_public else t("nothing_public_more"),
    }
    return Made(render("index.html", t, links, **values), HTML, 503 if is_public else 200)


def sentence(said: Sentence, t: Texts) -> str:
    """Give the one sentence in a language; its times are in UTC."""
    counts = said.counts
    only = counts.total == 1
    fully = "none_fully" if counts.failing == counts.total else "all_but"
    key = {
        "nothing": "nothing_public",
        "unknown": "not_known" if said.since else "not_known_yet",
        "all_down": "it_fails" if only else "none_works",
        "some_fail": "partial" if only else fully,
        "some_unknown": "some_unknown",
        "maintenance": "under_maintenance" if said.until else "maintenance",
        "some_slow": "all_work_slow",
        "all_up": "it_works" if only else "all_work",
    }[said.code]
    return t(
        key,
        since=t.minute(said.since) if said.since else "",
        until=t.minute(said.until) if said.until else "",
        bad=counts.unknown if said.code == "some_unknown" else counts.failing,
        slow=counts.slow,
        count=counts.total,
    )


def colour(said: Sentence) -> str:
    """Give the state that the sentence has the shape and the colour of."""
    if said.code == "some_fail":
        return (State.DOWN if said.counts.down else State.PARTIAL).value
    return said.state.value


def _also(said: Sentence, t: Texts) -> str:
    """Say what the sentence leaves out."""
    counts = said.counts
    told = {
        "partial": ("some_fail",),
        "slow": ("some_slow",),
        "unknown": ("unknown", "some_unknown"),
        "maintenance": (),
    }
    parts = []
    for kind, codes in told.items():
        number = getattr(counts, kind)
        is_all = kind == "maintenance" and number == counts.total
        if number and not is_all and not (said.code in codes and (kind != "partial" or not counts.down)):
            parts.append(t(f"also_{kind}", count=number))
    return ", ".join(parts)


def _bare(title: str, links: Links) -> dict[str, Any]:
    return {
        "title": title,
        "face": "public",
        "root": links.root,
        "every": _EVERY,
        "page": None,
        "valid_until": None,
        "in_language": lambda code: f"?lang={code}",
    }


def _frame(page: PublicPage, path: Path, t: Texts, links: Links, *, valid_until: datetime | None) -> dict[str, Any]:
    return _bare(page.title, links) | {
        "page": page,
        "here": path[0] if len(path) == 1 else "",
        "sentence": sentence(page.sentence, t),
        "state": colour(page.sentence),
        "valid_until": valid_until,
    }


def _shown(page: PublicPage, path: Path, t: Texts) -> tuple[str, dict[str, Any]] | None:
    kind, name = path[0], path[-1]
    if len(path) == 2:
        return {"g": _group, "t": _target, "incidents": _incident}[kind](page, name, t)
    more = {"also": _also(page.sentence, t), "more": ""} if kind == "index" else {}
    return f"{kind}.html", more


def _group(page: PublicPage, name: str, t: Texts) -> tuple[str, dict[str, Any]] | None:
    group = next((one for one in page.groups if one.id == name), None)
    if group is None:
        return None
    newest = max((one.newest for one in group.targets if one.newest), default=None)
    until = max((one.until for one in group.targets if one.until), default=None)
    said = sentence_of([one.state for one in group.targets], newest, until)
    return "group.html", {"group": group, "sentence": sentence(said, t), "state": colour(said)}


def _target(page: PublicPage, name: str, _: Texts) -> tuple[str, dict[str, Any]] | None:
    target = page.target(name)
    if target is None:
        return None
    ours = [one for one in page.incidents if one.id in set(target.incidents)]
    return "target.html", {"target": target, "incidents": ours, "state": target.state.value}


def _incident(page: PublicPage, name: str, _: Texts) -> tuple[str, dict[str, Any]] | None:
    incident = next((one for one in page.incidents if one.id == name), None)
    return None if incident is None else ("incident.html", {"incident": incident})

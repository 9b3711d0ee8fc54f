"""The public page as files, for a bucket or another web server: PAGE_EXPORT_PATH, renewed each minute.

Each file is written beside and renamed, what is public no more is removed, and nothing is touched that is not ours: a
list of what was written stands in the directory. Names come from ids in addresses alone, never from what somebody calls
something.
"""

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from webmon import __version__, files
from webmon.daemon import threads
from webmon.daemon.outage import Outage
from webmon.page import api, badges, feeds, public_pages, statuspage
from webmon.page.icons import icon
from webmon.page.markup import static, static_path
from webmon.page.model import UNKNOWN_SECS, PublicPage, State
from webmon.page.replace import replace
from webmon.page.texts import ALL

_log = logging.getLogger(__name__)

EVERY_SECS: Final = 60.0
LIST: Final = ".webmon-export.json"
_MOST_LIST_BYTES: Final = 64 << 20
_A_NAME: Final = re.compile(
    r"(?:[a-z0-9][A-Za-z0-9-]{0,100}/){0,4}[a-z0-9][A-Za-z0-9-]{0,100}(?:\.[a-z0-9]{2,10}){1,2}"
)
_STATIC: Final = ("style.css", "page.js")


def suffix(language: str) -> str:
    """Give what the names of pages in a language end with."""
    return ".html" if language == "en" else f".{language}.html"


def valid_until(page: PublicPage) -> datetime:
    """Give when a copy says nothing of the present any more."""
    return page.as_of + timedelta(seconds=UNKNOWN_SECS)


def render(page: PublicPage, url: str | None) -> Iterator[tuple[str, bytes]]:
    """Give each file's name and bytes; pages come last, as what they load must be there first.

    Args:
        page: what is public.
        url: PAGE_URL, the only source of absolute links.
    """
    for name in _STATIC:
        yield static_path(name), static(name)
    for state in State:
        yield f"icon/{state.value}.svg", icon(state)
    yield from _for_programs(page, url)
    until = valid_until(page)
    for path in sorted(public_pages.paths(page), key=lambda path: path == ("index",)):
        for language, t in ALL.items():
            made = public_pages.make(page, path, t, suffix=suffix(language), valid_until=until)
            if made is not None:
                yield "/".join(path) + suffix(language), made.body


def _for_programs(page: PublicPage, url: str | None) -> Iterator[tuple[str, bytes]]:
    yield "feed.atom", feeds.atom(page, ALL["en"], url).body
    yield "feed.rss", feeds.rss(page, ALL["en"], url).body
    yield "api/openapi.json", api.openapi(url, __version__).body
    ids = {"targets": [target.id for group in page.groups for target in group.targets]}
    ids["incidents"] = [incident.id for incident in page.incidents]
    for call in api.CALLS:
        for number in ids[call.path.partition("/")[0]] if "{id}" in call.path else [""]:
            found = call.make(page, number)
            if found is not None:
                yield f"api/v1/{call.path.replace('{id}', number)}.json", api.as_json(found).body
    for name in statuspage.NAMES:
        yield f"api/v2/{name}.json", api.as_json(statuspage.answer(page, name, url)).body
    for group in page.groups:
        for target in group.targets:
            for kind in badges.KINDS:
                made = badges.badge(target, kind, ALL["en"])
                if made is not None:
                    yield f"badge/{target.id}/{kind}.svg", made.body


class Export:
    """Writes one directory; one thread uses it."""

    def __init__(self, path: Path, url: str | None) -> None:
        """Take the directory, and PAGE_URL; nothing is written yet."""
        self._path = path
        self._url = url
        self._unwritten = Outage(f"the copy in {path} is not renewed", f"the copy in {path} is renewed again")

    def write(self, page: PublicPage) -> bool:
        """Write the page; tell whether it is there. Why not is logged once, and what was there stays."""
        try:
            self._write(page)
        except OSError as error:
            self._unwritten.begins(f"{error.filename}: {error.strerror}" if error.filename else str(error))
            return False
        self._unwritten.ends()
        return True

    def _write(self, page: PublicPage) -> None:
        self._path.mkdir(mode=0o755, exist_ok=True)
        before = self._listed()
        written: list[str] = []
        new = {name: data for name, data in render(page, self._url) if _A_NAME.fullmatch(name)}
        # What is there is ours, also where we end in the middle.
        self._list({*before, *new})
        for name, data in new.items():
            self._put(name, data)
            written.append(name)
        for name in before - set(written):
            self._remove(name)
        self._list(set(written))

    def _put(self, name: str, data: bytes) -> None:
        directory = self._path
        for part in Path(name).parts[:-1]:
            directory /= part
            if directory.is_symlink():
                raise OSError(0, "is a link, which may lead anywhere; right would be a directory", str(directory))
            directory.mkdir(mode=0o755, exist_ok=True)
        replace(self._path / name, data, mode=0o644, is_lasting=False)

    def _remove(self, name: str) -> None:
        file = self._path / name
        parents = [parent for parent in file.parents if parent != self._path and self._path in parent.parents]
        if any(parent.is_symlink() for parent in parents):
            return
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            file.unlink()
        for parent in parents:
            with contextlib.suppress(OSError):  # something else is in it
                parent.rmdir()

    def _listed(self) -> set[str]:
        """Give the names of what we wrote before; whoever changed the list can't name what is outside."""
        try:
            data = files.read(self._path / LIST, most=_MOST_LIST_BYTES).data
            return {name for name in msgspec.json.decode(data, type=list[str]) if _A_NAME.fullmatch(name)}
        except FileNotFoundError:
            return set()
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("%s can't be read, so what was public before may stay there: %s", self._path / LIST, error)
            return set()

    def _list(self, names: set[str]) -> None:
        self._put(LIST, msgspec.json.encode(sorted(names)))


class Exporter:
    """The thread that renews the copy."""

    def __init__(self, export: Export, page: Callable[[], PublicPage | None], stop: threading.Event) -> None:
        """Take where to, what gives the page (None: there is nothing yet), and what ends it."""
        self._export = export
        self._page = page
        self._stop = stop
        self._thread = threads.Thread("export", self._run)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def _run(self) -> None:
        rest = 0.0
        while not self._stop.wait(rest):
            page = self._page()
            # The first snapshot comes in a moment.
            rest = 1.0 if page is None else EVERY_SECS
            if page is not None:
                self._export.write(page)

"""What one face shows at the moment, made once and given to many.

A page is made anew when there is a newer snapshot, or when what it shows changes with the time alone: a target whose
newest result is too old is not known any more.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from webmon.page.answers import Made
from webmon.page.file import Public
from webmon.page.model import PublicPage, public
from webmon.page.snapshot import Look

_MOST: Final = 2000
"""Answers that are kept."""
_MOST_BYTES: Final = 32_000_000


def utc_now() -> datetime:
    """Give the time, UTC."""
    return datetime.now(UTC)


class PublicSite:
    """What visitors see."""

    def __init__(
        self, look: Callable[[], Look], file: Callable[[], Public | None], clock: Callable[[], datetime] = utc_now
    ) -> None:
        """Take what gives the newest look, the page's file as it was last read, and the time."""
        self._look = look
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._made_of: tuple[int, Public] | None = None
        self._page: PublicPage | None = None
        self._answers: dict[object, Made] = {}
        self._bytes = 0

    @property
    def title(self) -> str:
        """What the page is called."""
        file = self._file()
        return file.title if file else "webmon"

    @property
    def is_public(self) -> bool:
        """Whether anything is."""
        return self._file() is not None

    def is_fresh(self) -> bool:
        """Tell whether what was made last is still what is to be shown."""
        look, file = self._look(), self._file()
        if look.snapshot is None or file is None:
            return self._page is None
        return self._page is not None and self._made_of == (look.number, file) and self._clock() < self._page.changes_at

    def page(self) -> PublicPage | None:
        """Give what is public now; None where there is nothing yet. May take a while: not in the server's thread."""
        with self._lock:
            if not self.is_fresh():
                look, file = self._look(), self._file()
                self._answers = {}
                self._bytes = 0
                if look.snapshot is None or file is None:
                    self._page, self._made_of = None, None
                else:
                    self._page, self._made_of = public(look.snapshot, file, self._clock()), (look.number, file)
            return self._page

    def kept(self, key: object) -> Made | None:
        """Give an answer that was made of the newest page."""
        return self._answers.get(key) if self.is_fresh() else None

    def keep(self, key: object, page: PublicPage, made: Made) -> Made:
        """Keep an answer until its page is made anew."""
        with self._lock:
            if page is self._page:
                if len(self._answers) >= _MOST or self._bytes > _MOST_BYTES:
                    self._answers, self._bytes = {}, 0
                self._answers[key] = made
                self._bytes += len(made.body) + len(made.packed or b"")
        return made

"""What operators see at the moment: everything, with ages that go on; made anew once a second at most."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from webmon.page.file import Public
from webmon.page.model import OperatorPage, operator
from webmon.page.site import utc_now
from webmon.page.snapshot import Fleet, History, Look

_KEPT: Final = timedelta(seconds=1)
_MOST_LABELS: Final = 200


class OperatorSite:
    """The newest look, as operators see it."""

    def __init__(
        self, look: Callable[[], Look], file: Callable[[], Public | None], clock: Callable[[], datetime] = utc_now
    ) -> None:
        """Take what gives the newest look, the page's file as it was last read, and the time."""
        self._look = look
        self._file = file
        self._clock = clock
        self._lock = threading.Lock()
        self._made: tuple[int, datetime, OperatorPage] | None = None

    def now(self) -> datetime:
        """Give the time."""
        return self._clock()

    def trouble(self) -> str:
        """Say why there is no newer snapshot."""
        return self._look().trouble

    def history(self) -> History:
        """Give what the judge wrote."""
        snapshot = self._look().snapshot
        return (snapshot.history if snapshot else None) or History()

    def fleet(self) -> Fleet:
        """Give what the store knows of webmon itself."""
        snapshot = self._look().snapshot
        return snapshot.fleet if snapshot else Fleet()

    def labels(self) -> list[str]:
        """Give the labels that several targets have, as `name=value`: what is worth to be filtered by."""
        snapshot = self._look().snapshot
        counted = Counter(
            f"{name}={value}" for one in (snapshot.targets if snapshot else ()) for name, value in one.labels.items()
        )
        return sorted(label for label, count in counted.most_common(_MOST_LABELS) if count > 1)

    def page(self) -> OperatorPage | None:
        """Give everything; None where there is no snapshot. May take a while: not in the server's thread."""
        look, now = self._look(), self._clock()
        if look.snapshot is None:
            return None
        with self._lock:
            if self._made is None or self._made[0] != look.number or now - self._made[1] >= _KEPT:
                self._made = (look.number, now, operator(look, self._file(), now))
            return self._made[2]

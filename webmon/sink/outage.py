"""Something that the sink needs and that may be away: said once when it begins and once when it ends."""

import logging
import random
import time
from typing import Final

log = logging.getLogger(__name__)

_FIRST_WAIT_SECS: Final = 1.0
_LONGEST_WAIT_SECS: Final = 30.0


class Outage:
    """One neighbour's absence."""

    def __init__(self, name: str) -> None:
        """Name the neighbour as the log shall call it."""
        self.name = name
        self.count = 0
        self._lasted = 0.0
        self._since: float | None = None
        self._wait = _FIRST_WAIT_SECS

    @property
    def lasts(self) -> bool:
        """Whether the neighbour is away."""
        return self._since is not None

    @property
    def seconds(self) -> float:
        """How long it was away in all, the present absence included."""
        since = self._since
        return self._lasted + (0.0 if since is None else time.monotonic() - since)

    def begins(self, reason: str) -> None:
        """Tell that it is away; said only the first time."""
        if self._since is None:
            self._since = time.monotonic()
            self.count += 1
            self._wait = _FIRST_WAIT_SECS
            log.warning("waiting for %(away)s: %(cause)s", {"away": self.name, "cause": " ".join(reason.split())})

    def ends(self) -> None:
        """Tell that it is there; said only after an absence."""
        if self._since is not None:
            lasted = time.monotonic() - self._since
            log.warning("no longer waiting for %(away)s, after %(seconds).0f s", {"away": self.name, "seconds": lasted})
            self._lasted += lasted
            self._since = None

    def next_wait(self) -> float:
        """Give the seconds until the next try: doubling, with jitter, so that many sinks don't come back as one."""
        wait = self._wait * random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret
        self._wait = min(self._wait * 2, _LONGEST_WAIT_SECS)
        return wait

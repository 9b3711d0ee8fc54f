"""Something that a component needs and that may be away: told when it begins, when its cause is another, when it ends.

One thread tells of it; any thread may ask how it stands.
"""

import logging
import random
import time
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)

FIRST_WAIT_SECS: Final = 1.0
LONGEST_WAIT_SECS: Final = 15.0
TELL_SECS: Final = 600.0
"""How long an outage lasts before another cause of it is logged, if waiting may mend that cause: a broker that hangs is
silent first and takes no more connections later, and all of that is one outage."""


class Outage:
    """One absence after the other of the same neighbour."""

    def __init__(self, name: str, over: str, *, beside: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        """Take the words for it.

        Args:
            name: what it is called while it lasts: "waiting for the database".
            over: what is said when it ends: "no longer waiting for the database".
            beside: what both lines end with, made of the fields that are given with them: "; %(waiting)d wait".
            clock: gives seconds that only grow.
        """
        self._name = name
        self.count = 0
        """How many there were, the present one included."""
        self.cause = ""
        """The present cause, in one line; empty while there is no outage."""
        self._over = over
        self._beside = beside
        self._clock = clock
        self._times: tuple[float, float | None] = (0.0, None)
        """What all that are over lasted, and since when one lasts: one value, for whoever reads it meanwhile."""
        self._told = ("", 0.0)
        self._wait = FIRST_WAIT_SECS

    @property
    def lasts(self) -> bool:
        """Whether the neighbour is away."""
        return self._times[1] is not None

    @property
    def seconds(self) -> float:
        """How long it was away in all, the present absence included."""
        lasted, since = self._times
        return lasted if since is None else lasted + self._clock() - since

    def __str__(self) -> str:
        """Say what lasts and of what cause, in one line; nothing where nothing does."""
        return f"{self._name}: {self.cause}" if self.lasts else ""

    def begins(self, cause: str, *, lasting: bool = False, **fields: object) -> None:
        """Take that it is away, and why.

        The first cause is logged. Another one is when the outage lasts, as a neighbour that comes back shows many; or
        at once, if waiting does not mend it.

        Args:
            cause: why, as far as can be seen now.
            lasting: whether a person has to mend it.
            fields: what the journal gets beside it.
        """
        now = self._clock()
        lasted, since = self._times
        cause = " ".join(cause.split())
        told_cause, told_at = self._told
        if since is None:
            self._times = (lasted, now)
            self._wait = FIRST_WAIT_SECS
            self.count += 1
        self.cause = cause
        if since is not None and (cause == told_cause or (now - told_at < TELL_SECS and not lasting)):
            return
        self._told = (cause, now)
        _log.error(f"{self._name}: %(cause)s{self._beside}", {"cause": cause, **fields})

    def ends(self, **fields: object) -> None:
        """Take that it is there; said only after an absence."""
        lasted, since = self._times
        if since is None:
            return
        now = self._clock()
        self._times = (lasted + now - since, None)
        self.cause = ""
        _log.warning(f"{self._over} after %(seconds).0f s{self._beside}", {"seconds": now - since, **fields})

    def next_wait(self) -> float:
        """Give the seconds until the next try: doubling, with jitter, so that a fleet does not come back as one."""
        wait = self._wait * random.uniform(0.5, 1.0)  # noqa: S311 - nothing secret
        self._wait = min(self._wait * 2, LONGEST_WAIT_SECS)
        return wait

"""How many new names an agent may bring within an hour: what it brings beyond them becomes dead letters.

A name is a row in one of the small tables that results refer to: a target, another description of one (url, labels), a
series, a context, an agent. They outlive the results for which they came, and all queries join them.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

_log = logging.getLogger(__name__)

NAMES: Final = 250_000
"""Of one agent. Each of its targets is four when it is first seen (target, series, context, description), and an agent
with 20,000 targets brings 80,000 in its first minutes; one that is given another list brings them once more."""
AGENTS: Final = 1000
"""New agents, whoever names them."""
_HOUR: Final = 3600.0


class Allowance:
    """Counts by agent, in windows of an hour; one session's, so several sinks let through as often as many.

    An agent goes over by a batch at most: what is new of one is known when it is looked up.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take a clock in seconds."""
        self._clock = clock
        self._ends = clock() + _HOUR
        self._brought: Counter[str | None] = Counter()
        """By agent; None for the agents themselves."""
        self._over: set[str | None] = set()
        self._first: set[int] = set()
        self.times_over = 0

    def is_first(self, name: tuple[object, ...]) -> bool:
        """Tell whether a name was not asked for within the hour."""
        self._turn()
        number = hash(name)
        if number in self._first:
            return False
        self._first.add(number)
        return True

    def count(self, agents: Iterable[str | None]) -> None:
        """Count a new name for each of these, or for None a new agent."""
        self._turn()
        for agent, count in Counter(agents).items():
            self._brought[agent] += count
            if self._brought[agent] > _most(agent) and agent not in self._over:
                self._over.add(agent)
                self.times_over += 1
                _log.warning(
                    "%(cause)s: for the rest of the hour results with more of them become dead letters",
                    {"cause": _reason(agent)},
                )

    def has_over(self) -> bool:
        """Tell whether any is over."""
        self._turn()
        return bool(self._over)

    def why_over(self, agent: str | None) -> str | None:
        """Say why an agent may bring no more, or for None why no agent may come; None where it may."""
        return _reason(agent) if agent in self._over else None

    def _turn(self) -> None:
        if self._clock() >= self._ends:
            self._ends = self._clock() + _HOUR
            self._brought.clear()
            self._over.clear()
            self._first.clear()


def _most(agent: str | None) -> int:
    return AGENTS if agent is None else NAMES


def _reason(agent: str | None) -> str:
    if agent is None:
        return f"more than {AGENTS} new agents came within an hour"
    return f"agent {agent!r} brought more than {NAMES} new names of targets, series and contexts within an hour"

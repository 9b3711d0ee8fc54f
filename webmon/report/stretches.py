"""A vantage's stretches of failure, of the runs of results that it gave one after the other.

A stretch begins with a failure and ends with the next result that is up. Silence and agent_error neither begin nor end
one.
"""

import dataclasses
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple


class Run(NamedTuple):
    """Results of one series, one after the other, that are all up or all down."""

    series_id: int
    first: datetime
    last: datetime
    is_down: bool
    outcomes: list[int]
    """Places in the list of outcomes, from 1."""


@dataclasses.dataclass
class Stretch:
    """One vantage's failures of one target, with none between them that is up."""

    series_id: int
    began: datetime
    """When the first check that failed began."""
    last_failure: datetime
    outcomes: set[int]
    """Places in the list of outcomes, from 1."""
    ended: datetime | None = None
    """When the first check that was up again began; None where none was."""
    is_open: bool = False
    """Whether it goes on: not ended, and the vantage is not silent."""
    target_id: int = 0
    agent: str = ""


def join(runs: Iterable[Run]) -> list[Stretch]:
    """Make a stretch of the runs of a series that are down and have none between them that is up."""
    stretches: list[Stretch] = []
    last: Stretch | None = None
    for run in sorted(runs):
        if last is not None and (last.series_id != run.series_id or last.ended is not None):
            last = None
        if run.is_down and last is not None:
            last.last_failure = max(last.last_failure, run.last)
            last.outcomes |= set(run.outcomes)
        elif run.is_down:
            last = Stretch(run.series_id, run.first, run.last, set(run.outcomes))
            stretches.append(last)
        elif last is not None:
            last.ended = run.first
    return stretches

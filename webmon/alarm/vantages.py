"""The conditions of a vantage: silent, at fault. While it is at fault its votes do not count."""

from collections.abc import Callable, Mapping
from typing import Final

from webmon.alarm.book import Book
from webmon.alarm.conditions import Condition, Severity
from webmon.alarm.desk import Desk
from webmon.alarm.records import Episode
from webmon.alarm.targets import WEEK
from webmon.alarm.votes import STALE_INTERVALS, UP, Site, Vantage

AHEAD: Final = 30_000
"""Milliseconds that a check may begin in the future."""
_SILENT: Final = 60_000
"""Milliseconds more than the intervals that a vantage may be silent."""
LEAST: Final = 5
"""Targets that fail at least."""
_ERRORS_FOR: Final = 300_000
_CLOCK_WELL_FOR: Final = 300_000


class Vantages:
    """Judges vantages; pure."""

    def __init__(
        self, book: Book, desk: Desk, vantages: Mapping[str, Vantage], look: Callable[[Site, int], None]
    ) -> None:
        """Take the records, who tells of them, the vantages, and how a target is looked at once more."""
        self._book = book
        self._desk = desk
        self._vantages = vantages
        self._look = look

    def came(self, vantage: Vantage, arrived: int) -> None:
        """Take in that a silent vantage sends again."""
        vantage.silent, vantage.back = False, arrived
        episode = self._book.open.get((Condition.VANTAGE_SILENT, vantage.name))
        if episode is not None:
            self._end(episode, arrived)

    def tick(self, seen: int, seeing_since: int) -> list[str]:
        """Look at all; give the names of those that are to be forgotten.

        Args:
            seen: up to when all results are read.
            seeing_since: from when on silence counts.
        """
        gone = []
        for vantage in list(self._vantages.values()):
            if vantage.last > vantage.measured:
                vantage.measure()
            if self._is_silent(vantage, seen, seeing_since):
                self._silent(vantage, seen)
            silent = self._book.open.get((Condition.VANTAGE_SILENT, vantage.name))
            if silent is not None and seen - silent.opened > WEEK:
                self._close_all(vantage, seen)
                gone.append(vantage.name)
                continue
            if self.fault_of(vantage) is None or not vantage.excluded:
                self.seek_fault(vantage, seen)
            self._fault_ends(vantage, seen)
        return gone

    def fault_of(self, vantage: Vantage) -> Episode | None:
        """Give the open episode of its fault."""
        return self._book.open.get((Condition.VANTAGE_AT_FAULT, vantage.name))

    def is_quiet(self, vantage: Vantage, seen: int) -> bool:
        """Tell whether a vantage has sent nothing for so long that it may be silent, or can check nothing."""
        return vantage.silent or vantage.excluded or seen - vantage.last > vantage.shortest * STALE_INTERVALS

    def seek_fault(self, vantage: Vantage, seen: int) -> None:
        """Look for a fault of a vantage's own, and exclude it.

        A target that others see up speaks against it only if they looked since it failed here: else all that fails at
        once would be the fault of whoever sees it first.
        """
        failing = len(vantage.failing)
        if failing >= LEAST and 2 * failing >= vantage.live:
            seen_up = sum(_others_see_up(site, vantage) for site in vantage.failing)
            if 5 * seen_up >= 4 * failing:
                self._exclude(vantage, seen, f"{failing} of its {vantage.live} targets fail, which others see up")
                return
            vantage.check_at = failing + max(1, failing // 10)
        elif failing < vantage.check_at:
            vantage.check_at = 0
        since = vantage.errors_since
        if since and vantage.errors > 1 and vantage.last - since >= _ERRORS_FOR:
            self._exclude(vantage, seen, "it had only errors of its own for 5 minutes")
        elif vantage.ahead_at and self.fault_of(vantage) is None and seen - vantage.ahead_at < _CLOCK_WELL_FOR:
            self._open(vantage, seen, f"its clock is {vantage.ahead / 1000:.0f} s ahead", since=vantage.ahead_at)

    def _exclude(self, vantage: Vantage, seen: int, detail: str) -> None:
        failed = [slot.failed for site in vantage.failing if (slot := vantage.slots.get(site)) is not None]
        since = min(failed, default=vantage.errors_since or seen)
        episode = self.fault_of(vantage)
        vantage.excluded = True
        vantage.good = 0
        vantage.looked = seen
        if episode is None:
            episode = self._open(vantage, seen, detail, since=since, excludes=True)
        episode.detail, episode.excludes = detail, True
        self._book.note(episode)
        self._look_at_all(vantage, seen)

    def _open(self, vantage: Vantage, seen: int, detail: str, *, since: int, excludes: bool = False) -> Episode:
        episode = self._book.begin(
            Condition.VANTAGE_AT_FAULT,
            vantage.name,
            since=since,
            opened=seen,
            judged=self._desk.now,
            severity=Severity.WARNING,
        )
        episode.labels, episode.detail, episode.excludes = {"vantage": vantage.name}, detail, excludes
        self._desk.opened(episode, seen)
        return episode

    def _fault_ends(self, vantage: Vantage, seen: int) -> None:
        episode = self.fault_of(vantage)
        if episode is None:
            return
        if vantage.excluded:
            if seen - vantage.looked < vantage.shortest:
                return
            vantage.looked = seen
            sick = len(vantage.failing) + vantage.failing_errors
            vantage.good = vantage.good + 1 if 5 * sick < vantage.live else 0
            if vantage.good < 2:
                return
            vantage.excluded = False
        elif seen - vantage.ahead_at < _CLOCK_WELL_FOR or vantage.last <= vantage.ahead_at:
            return
        self._end(episode, seen)
        self._look_at_all(vantage, seen)

    def _is_silent(self, vantage: Vantage, seen: int, seeing_since: int) -> bool:
        if vantage.silent or not vantage.last:
            return False
        return seen - max(vantage.last, seeing_since) > vantage.shortest * STALE_INTERVALS + _SILENT

    def _silent(self, vantage: Vantage, seen: int) -> None:
        vantage.silent = True
        for slot in vantage.slots.values():
            slot.calm = False  # so that the next result is seen to end it
        if (Condition.VANTAGE_SILENT, vantage.name) in self._book.open:
            return
        is_last = all(other.silent for other in self._vantages.values())
        episode = self._book.begin(
            Condition.VANTAGE_SILENT,
            vantage.name,
            since=vantage.last,
            opened=seen,
            judged=self._desk.now,
            severity=Severity.CRITICAL if is_last else Severity.WARNING,
        )
        episode.labels = {"vantage": vantage.name}
        episode.detail = "no vantage is left" if is_last else ""
        self._desk.opened(episode, seen)

    def _end(self, episode: Episode, moment: int, reason: str = "") -> None:
        self._book.end(episode, ended=moment, closed=moment, reason=reason)
        self._desk.closed(episode, moment)

    def _close_all(self, vantage: Vantage, seen: int) -> None:
        for condition in (Condition.VANTAGE_SILENT, Condition.VANTAGE_AT_FAULT):
            episode = self._book.open.get((condition, vantage.name))
            if episode is not None:
                self._end(episode, seen, "gone")

    def _look_at_all(self, vantage: Vantage, seen: int) -> None:
        for site in list(vantage.slots):
            self._look(site, seen)


def _others_see_up(site: Site, vantage: Vantage) -> bool:
    """Tell whether most of the others that looked since it failed here saw it up, all the time that it failed here."""
    ours = vantage.slots[site]
    others = [
        slot.state == UP and slot.row_since < ours.failed
        for slot in site.slots.values()
        if slot.live and not slot.erring and slot.begun >= ours.row_since
        if slot.vantage is not vantage and not slot.vantage.excluded
    ]
    return 2 * sum(others) > len(others)

"""The conditions of one target: down, partial, slow, certificate, no_data, flapping.

Nothing here happens once and for all: each look compares what is open with what the votes say now, so that a look
too many changes nothing.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from webmon.alarm.book import Book
from webmon.alarm.conditions import Condition, Severity
from webmon.alarm.desk import Desk
from webmon.alarm.records import Episode, Seen
from webmon.alarm.votes import FAIL, NEVER, NOTHING, UP, Site, Slot, Votes, count, leave, settle

DAY: Final = 86_400_000
WEEK: Final = 7 * DAY
"""Milliseconds after which what is silent counts as taken away."""
_GONE_INTERVALS: Final = 10
_GONE: Final = 3_600_000
"""Behind both of these a vantage watches a target no more, if others do; as `webmon status` has it."""
_TOLD: Final = frozenset({"", "many"})
"""Of what is held: it is told, or a group's message tells of it."""
_LIFETIME_SHARE: Final = 3
"""A step is no longer than this part of the certificate's lifetime."""


class Look(NamedTuple):
    """Why a target is looked at: a result of it, or the clock alone."""

    moment: int
    """The arrival of the result, or up to when all results are read."""
    begun: int
    """When the check began; by the clock the moment."""
    slot: Slot | None = None
    vote: int = NOTHING
    partition: int = -1
    offset: int = -1
    by_clock: bool = False


class Targets:
    """Judges targets; pure."""

    def __init__(self, book: Book, desk: Desk, *, ended: Callable[[Episode, int], None]) -> None:
        """Take the records, who tells of them, and who is to know of an ending besides."""
        self._book = book
        self._desk = desk
        self._ended = ended
        self.seeing_since = 0
        """From when on silence counts: the judge has run, and read to the end, without a pause."""

    def look(self, site: Site, look: Look, *, quiet: bool = False) -> None:
        """Compare what is open with what the votes say.

        Args:
            site: the target.
            look: why.
            quiet: whether the log has what follows from it already, so that only the rows go on.
        """
        settle(site, look.moment)
        votes = count(site, look.moment)
        self._down(site, votes, look, quiet)
        self._partial(site, votes, look, quiet)
        if not quiet:
            if votes.voters:
                self._slow(site, votes, look)
                self._certificate(site, votes, look)
            self._no_data(site, look)
            if look.by_clock:  # not where a result of another partition is why
                self._flapping_ends(site, look)
                _drop_the_gone(site, look.moment)
        site.calm = not site.open and site.count == 0 and site.part_at == 0

    def due(self, site: Site, moment: int) -> int:
        """Give when time alone may change something next; later than the moment."""
        times = [NEVER]
        conditions = site.conditions
        newest = site.known
        for slot in site.slots.values():
            if slot.live:
                times.append(slot.arrived + slot.fresh_for + 1)
            if slot.state:
                newest = max(newest, slot.voted + slot.fresh_for)
                times += (at for at in self._steps(site, slot) if at > moment)
        if newest >= moment:
            times.append(newest + 1)
        elif (silent := site.open.get(Condition.NO_DATA)) is not None:
            if moment <= silent.opened + WEEK:
                times.append(silent.opened + WEEK + 1)
        else:
            times.append(max(newest, self.seeing_since) + _ms(conditions.no_data_after))
        partial = site.part_at + _ms(conditions.partial_after)
        if site.part_at and partial > moment:
            times.append(partial)
        if Condition.FLAPPING in site.open:
            times.append(_calm_since(site) + _ms(conditions.flap_quiet))
        return max(min(times), moment + 1)

    def close_all(self, site: Site, moment: int, reason: str) -> None:
        """Let all episodes of a target that is no more be over."""
        for episode in list(site.open.values()):
            self._end(site, episode, Look(moment, moment, by_clock=True), moment, reason)

    def _down(self, site: Site, votes: Votes, look: Look, quiet: bool) -> None:
        if votes.is_down:
            self._fails(site, votes, look, quiet)
            return
        site.count = 0
        episode = site.open.get(Condition.DOWN)
        if not votes.voters or episode is None:
            site.ups = 0
        elif look.vote == UP and look.slot in votes.voters:
            if site.ups == 0:
                site.up_since = look.begun
            site.ups += 1
        if episode is not None and site.ups >= site.conditions.recover and not quiet:
            self._end(site, episode, look, site.up_since)

    def _fails(self, site: Site, votes: Votes, look: Look, quiet: bool) -> None:
        site.ups = 0
        if site.count == 0:
            # From here it is counted; of what failed before, each vantage's newest failure counts for one.
            site.count = len(votes.failing)
            begins = [slot.failed for slot in votes.failing if slot.failed > site.down_ended]
            site.row_since = min(begins, default=look.begun)
        elif look.vote == FAIL and look.slot in votes.failing:
            site.count += 1
        if site.count >= site.conditions.confirm and Condition.DOWN not in site.open and not quiet:
            episode = self._begin(site, Condition.DOWN, Severity.CRITICAL, look, since=site.row_since)
            _describe(episode, votes.failing, len(votes.voters))
            self._flapping_begins(site, look)
            self._desk.opened(episode, look.moment)

    def _partial(self, site: Site, votes: Votes, look: Look, quiet: bool) -> None:
        if not votes.voters:
            site.part_at = 0
            return
        down = site.open.get(Condition.DOWN)
        episode = site.open.get(Condition.PARTIAL)
        if down is not None or not votes.failing:
            site.part_at = 0
            if episode is not None and not quiet:
                # Who was told of it hears that it is down only where that is told, too; else it goes on.
                becomes_down = down is not None and (down.held in _TOLD or episode.held != "")
                if becomes_down or not votes.failing:
                    self._end(site, episode, look, look.begun, "down" if becomes_down else "")
            return
        if site.part_at == 0:
            site.part_at, site.part_since = look.moment, look.begun
        waited = look.moment - site.part_at >= _ms(site.conditions.partial_after)
        if waited and episode is None and not votes.is_down and not quiet:
            episode = self._begin(site, Condition.PARTIAL, Severity.WARNING, look, since=site.part_since)
            _describe(episode, votes.failing, len(votes.voters))
            self._desk.opened(episode, look.moment)

    def _slow(self, site: Site, votes: Votes, look: Look) -> None:
        checks = site.conditions.slow_checks
        slow = [slot for slot in votes.voters if slot.slow >= checks]
        episode = site.open.get(Condition.SLOW)
        if episode is None and len(slow) >= votes.need:
            since = sorted(slot.slow_since for slot in slow)[votes.need - 1]
            episode = self._begin(site, Condition.SLOW, Severity.WARNING, look, since=since)
            _describe(episode, slow, len(votes.voters))
            self._desk.opened(episode, look.moment)
        elif episode is not None and len(slow) < votes.need:
            fast = sum(slot.fast >= checks for slot in votes.voters)
            if fast >= votes.need:
                self._end(site, episode, look, look.begun)

    def _certificate(self, site: Site, votes: Votes, look: Look) -> None:
        shown = [(slot.not_after, slot) for slot in votes.voters if slot.not_after]
        episode = site.open.get(Condition.CERTIFICATE)
        if not shown:
            if episode is not None and all(slot.not_after == 0 for slot in votes.voters):
                self._end(site, episode, look, look.begun, "no certificate")
            return
        ends, slot = min(shown, key=lambda pair: pair[0])
        if episode is not None and episode.not_after is not None and ends > episode.not_after:
            self._end(site, episode, look, look.begun)
            episode = None
        days, severity = self._step(site, slot, ends, look.moment)
        if any(slot.expiring for _, slot in shown) and not days and site.conditions.certificate_days:
            days = max(site.conditions.certificate_days)
        if not days:
            return
        if episode is None:
            since = max(ends - days * DAY, site.known)
            episode = self._begin(site, Condition.CERTIFICATE, severity, look, since=min(since, look.moment))
            episode.days, episode.not_after = days, ends
            _describe(episode, [slot], len(votes.voters))
            self._desk.opened(episode, look.moment)
        elif episode.days is None or days < episode.days:
            episode.days, episode.not_after, episode.severity = days, ends, severity
            self._book.note(episode)
            self._desk.changed(episode, look.moment)

    def _step(self, site: Site, slot: Slot, ends: int, moment: int) -> tuple[int, Severity]:
        """Give the last step that a certificate passed, 0 for none, and how urgent that is."""
        allowed = self._allowed(site, slot)
        passed = [days for days in allowed if ends - moment <= days * DAY]
        if not passed:
            return 0, Severity.WARNING
        last = min(passed)
        return last, Severity.CRITICAL if last == min(allowed) else Severity.WARNING

    def _steps(self, site: Site, slot: Slot) -> list[int]:
        return [] if not slot.not_after else [slot.not_after - days * DAY for days in self._allowed(site, slot)]

    def _allowed(self, site: Site, slot: Slot) -> list[int]:
        """Give the steps that are not long beside the certificate's lifetime."""
        lifetime = self._book.lifetime(site.name, slot.not_after)
        return [days for days in site.conditions.certificate_days if lifetime is None or lifetime >= lives_for(days)]

    def _no_data(self, site: Site, look: Look) -> None:
        episode = site.open.get(Condition.NO_DATA)
        newest = max((slot.voted + slot.fresh_for for slot in site.slots.values() if slot.state), default=site.known)
        if newest >= look.moment:
            if episode is not None:
                self._end(site, episode, look, look.begun)
        elif episode is None and look.by_clock:
            waited = look.moment - max(newest, self.seeing_since)
            if waited >= _ms(site.conditions.no_data_after):
                since = max((slot.voted for slot in site.slots.values()), default=site.known)
                episode = self._begin(site, Condition.NO_DATA, Severity.CRITICAL, look, since=since)
                _describe(episode, list(site.slots.values()), len(site.slots))
                self._desk.opened(episode, look.moment)

    def _flapping_begins(self, site: Site, look: Look) -> None:
        """Count the opening of a `down`, which is told of after this."""
        conditions = site.conditions
        within = look.moment - _ms(conditions.flap_within)
        site.downs = [*(at for at in site.downs if at > within), look.moment]
        if len(site.downs) >= conditions.flap_count and Condition.FLAPPING not in site.open:
            episode = self._begin(site, Condition.FLAPPING, Severity.WARNING, look, since=site.row_since)
            episode.detail = f"went down {len(site.downs)} times within {conditions.flap_within / 60:.0f} minutes"
            self._desk.opened(episode, look.moment)

    def _flapping_ends(self, site: Site, look: Look) -> None:
        episode = site.open.get(Condition.FLAPPING)
        if episode is not None and look.moment - _calm_since(site) >= _ms(site.conditions.flap_quiet):
            episode.detail = "it is down" if Condition.DOWN in site.open else "it is up"
            self._end(site, episode, look, look.moment)

    def _begin(self, site: Site, condition: Condition, severity: Severity, look: Look, *, since: int) -> Episode:
        episode = self._book.begin(
            condition, site.name, since=since, opened=look.moment, judged=self._desk.now, severity=severity
        )
        episode.url, episode.labels = site.url, dict(site.labels)
        episode.partition, episode.offset = look.partition, look.offset
        site.open[condition] = episode
        return episode

    def _end(self, site: Site, episode: Episode, look: Look, ended: int, reason: str = "") -> None:
        del site.open[episode.condition]
        if not look.by_clock:
            episode.partition, episode.offset = look.partition, look.offset
        self._book.end(episode, ended=ended, closed=look.moment, reason=reason)
        if episode.condition is Condition.DOWN:
            site.ups = 0
            site.down_ended = episode.ended or ended
        self._desk.closed(episode, look.moment)
        self._ended(episode, look.moment)


def lives_for(days: int) -> int:
    """Give how long a certificate must live for a step to count."""
    return days * DAY * _LIFETIME_SHARE


def take(site: Site, slot: Slot, *, vote: int, is_slow: bool, begun: int) -> None:
    """Let a slot take a vote: UP or FAIL."""
    checks = site.conditions.slow_checks
    if slot.state != vote:
        slot.row_since = begun
    if vote == FAIL:
        slot.failed = begun
        slot.slow = slot.fast = 0
    elif is_slow:
        if slot.slow == 0:
            slot.slow_since = begun
        slot.slow += 1
        slot.fast = 0
    else:
        slot.slow = 0
        slot.fast = min(slot.fast + 1, checks)
    slot.state = vote
    slot.calm = vote == UP and not slot.expiring and slot.slow == 0 and slot.fast >= checks


def _calm_since(site: Site) -> int:
    """Give when a target last went down or came up, as far as it is known."""
    opened = site.downs[-1] if site.downs else 0
    return max(opened, site.open[Condition.FLAPPING].opened, site.down_ended)


def _describe(episode: Episode, slots: list[Slot], voters: int) -> None:
    episode.seen = [Seen(slot.vantage.name, slot.outcome, slot.error, slot.http_status) for slot in slots]
    episode.voters = voters


def _drop_the_gone(site: Site, moment: int) -> None:
    """Forget the slots of vantages that watch a target no more, while another does."""
    if not any(slot.live for slot in site.slots.values()):
        return
    for name, slot in list(site.slots.items()):
        if moment - slot.arrived > max(_GONE_INTERVALS * slot.interval, _GONE):
            forget(site, name)


def forget(site: Site, name: str) -> None:
    """Forget the slot of a vantage."""
    slot = site.slots.pop(name)
    leave(site, slot)
    slot.vantage.slots.pop(site, None)
    if slot.interval == slot.vantage.shortest:
        slot.vantage.measured = 0


def _ms(seconds: float) -> int:
    return round(seconds * 1000)

"""The judge: events in, changes of the alarm log out.

Pure: it knows no Kafka, no database, no thread, and no clock but the one that it is given. Each event gives the records
that changed by it, as the log is to hold them. A judge that takes over restores the records, is given the results of a
window before the place up to which was judged once more, quietly, and goes on; ids are made from what happened, so
judging again gives the same ones.
"""

import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from webmon.alarm import quiet
from webmon.alarm.book import KEEP, Book
from webmon.alarm.conditions import Condition, Conditions, Rules, Severity
from webmon.alarm.desk import Desk, Message, Steps
from webmon.alarm.groups import Groups
from webmon.alarm.partitions import Partitions, SilentPartition
from webmon.alarm.records import Announcement, Change, Episode, Held, Maintenance, Notice, Silence, read
from webmon.alarm.targets import WEEK, Look, Targets, forget, lives_for, take
from webmon.alarm.vantages import AHEAD, LEAST, Vantages
from webmon.alarm.votes import FAIL, NEVER, NOTHING, STALE_INTERVALS, UP, Site, Slot, Vantage, oldest
from webmon.check.result import INTERVAL_LIMIT, CheckResult, Outcome

BEHIND: Final = 30_000
"""Milliseconds of delay from which on silence does not count, and what was over meanwhile is told as one."""
PAUSE: Final = 10_000
"""Milliseconds between two ticks that mean that the judge stood still."""
_HELD_BEHIND: Final = 60_000
"""An opening waits no longer than this for a judge to catch up."""
_FORGET_EVERY: Final = 60_000
_LONGEST_WINDOW: Final = 6 * 3_600_000
_LONGEST_FRESH: Final = round(INTERVAL_LIMIT * STALE_INTERVALS * 1000)
"""Milliseconds that a result of any target is fresh at most."""
_NONE: Final[tuple[Change, ...]] = ()
_UP: Final = Outcome.UP
_PARENTS_INTERVALS: Final = 2


class Listed(NamedTuple):
    """A target as the list has it."""

    name: str
    url: str
    labels: Mapping[str, str]
    interval: float
    """Seconds."""


class Judge:
    """All that is known of targets and vantages, and what is to be told of them. Times are milliseconds."""

    def __init__(self, rules: Rules, *, now: int) -> None:
        """Begin with nothing known."""
        self._rules = rules
        self._defaults = rules.for_target("", "", {})
        self._book = Book()
        self._groups = Groups(self._book)
        self._desk = Desk(
            self._book,
            now=now,
            hold=self._hold,
            gather=self._gather,
            routes=self._routes,
            conditions=self._conditions_of,
        )
        self._targets = Targets(self._book, self._desk, ended=self._ended)
        self._sites: dict[str, Site] = {}
        self._vantages: dict[str, Vantage] = {}
        self._of_vantages = Vantages(self._book, self._desk, self._vantages, self._look_once_more)
        self._partitions = Partitions()
        self._listed: frozenset[str] | None = None
        self._past: dict[str, list[Episode]] = {}
        """Restored episodes of targets that were not seen yet."""
        self._queue: list[tuple[int, int, Site]] = []
        self._entries = 0
        self._behind = True
        self._seen = 0
        self._ticked = now
        self._forgot = now
        self._targets.seeing_since = now

    # Events

    def restore(self, pairs: Iterable[tuple[str, bytes | None]]) -> None:
        """Take the log, once, before all else.

        Raises:
            msgspec.DecodeError: a value is no record of its kind.
        """
        self._book.restore(read(pairs))
        for episode in self._book.episodes.values():
            if episode.condition.is_of_a_target:
                self._past.setdefault(episode.subject, []).append(episode)
            elif episode.condition is Condition.MONITOR:
                self._partitions.restore(episode)
            elif episode.condition is Condition.VANTAGE_SILENT and not episode.is_open and not episode.reason:
                vantage = self._vantage(episode.subject)
                vantage.back = max(vantage.back, episode.closed or 0)
        for episode in list(self._book.open.values()):
            if episode.condition.is_of_a_target and episode.subject not in self._sites:
                self._restore_site(episode)
            elif episode.condition is Condition.VANTAGE_SILENT:
                self._vantage(episode.subject).silent = True
            elif episode.condition is Condition.VANTAGE_AT_FAULT:
                vantage = self._vantage(episode.subject)
                vantage.excluded = episode.excludes
                vantage.ahead_at = 0 if episode.excludes else episode.opened
        self._groups.restore()
        self._desk.restore()

    def result(
        self, result: CheckResult, arrived: int, *, partition: int, offset: int, again: bool = False
    ) -> Sequence[Change]:
        """Judge a result.

        Args:
            result: of a check.
            arrived: the broker's timestamp of its record.
            partition: of the topic.
            offset: its place there; results of a target come in this order.
            again: whether the log has what followed from it already: it only counts for what comes.
        """
        site = self._sites.get(result.target)
        if site is not None and site.calm and result.outcome is _UP:
            slot = site.slots.get(result.agent)
            if slot is not None and slot.calm:
                begun = round(result.time.timestamp() * 1000)
                if (
                    slot.begun < begun <= arrived
                    and arrived - begun <= slot.too_old
                    and result.interval == slot.secs
                    and result.tls_not_after == slot.shown
                    and result.labels == site.labels
                    and result.url == site.url
                    and partition == site.heard_in
                ):
                    # The usual case, for which all this is as short as it is: up, as before.
                    slot.begun = slot.raw = begun
                    slot.arrived = slot.voted = arrived
                    vantage = slot.vantage
                    if arrived > vantage.last:  # noqa: PLR1730 - a call would cost more
                        vantage.last = arrived
                    vantage.errors_since = 0
                    return _NONE
        self._take(result, arrived, partition, offset, again=again)
        return self._book.take()

    def tick(self, now: int, *, lag: int = 0) -> list[Change]:
        """Let time pass; once a second.

        Args:
            now: the clock.
            lag: how far the results that were read are behind it; what is not known counts as much.
        """
        if lag >= BEHIND or now - self._ticked > PAUSE:
            self._targets.seeing_since = now
        self._ticked = now
        self._behind = lag >= BEHIND
        self._desk.now = max(self._desk.now, now)
        if not self._behind:
            self._seen = seen = max(self._seen, now - lag)
            for name in self._of_vantages.tick(seen, self._targets.seeing_since):
                self._forget_vantage(name)
            self._partitions.tick(seen)
            while self._queue and self._queue[0][0] <= seen:
                when, _, site = heapq.heappop(self._queue)
                if site.due == when:
                    site.due = NEVER
                    self._look_by_clock(site, seen)
            self._groups.tick(seen, round(self._defaults.group_secs * 1000), self._desk)
        self._desk.tick(now)
        if now - self._forgot >= _FORGET_EVERY:
            self._forgot = now
            self._book.forget(now, max(KEEP, round(self._defaults.flap_within * 1000)))
        return self._book.take()

    def pass_over(self, target: str, *, now: int, until: int) -> list[str] | None:
        """Take at once what a target's results until a moment are known to be: up, as before, check after check.

        For a replay, which reads of what is stored only what may change something. What is open and hangs on the clock
        alone goes on.

        Returns:
            The vantages that watch the target, or None: it is not calm, and its results are to be judged one by one.
        """
        site = self._sites.get(target)
        if site is None:
            return []
        fresh = [slot for slot in site.slots.values() if now - slot.arrived <= slot.fresh_for]
        is_calm = not site.count and not site.part_at and site.open.keys() <= _BY_CLOCK
        if not is_calm or not all(slot.calm for slot in fresh):
            return None
        for slot in fresh:
            slot.begun = slot.raw = slot.arrived = slot.voted = until
            slot.vantage.last = max(slot.vantage.last, until)
        return [slot.vantage.name for slot in fresh]

    def has_voted(self, vantage: str) -> None:
        """Take that a vantage saw something of a target whose results were passed over, beside an agent_error."""
        self._vantage(vantage).errors_since = 0

    def order(self, order: Silence | Maintenance | Announcement) -> list[Change]:
        """Take a silence, a maintenance or an announcement; the same id replaces the one before."""
        self._book.orders[order.key] = order
        self._book.note(order)
        return self._book.take()

    def acknowledge(self, episode: str, *, by: str, note: str = "", at: int) -> list[Change]:
        """Take that somebody has an episode in hand; an id that is not known is nobody's."""
        self._desk.acknowledge(episode, by=by, note=note, at=at)
        return self._book.take()

    def resend(self, notice: str, *, at: int) -> list[Change]:
        """Send a notice once more."""
        self._desk.resend(notice, at)
        return self._book.take()

    def sent(self, notices: Iterable[str], *, at: int, to: str | None = None) -> list[Change]:
        """Take that a receiver took notices.

        Args:
            notices: their ids.
            at: when.
            to: whom they were sent to, for the ending.
        """
        self._desk.sent(notices, at, to)
        return self._book.take()

    def failed(self, notices: Iterable[str], *, at: int, fallback: str | None = None) -> list[Change]:
        """Take that notices can't be delivered; the channel of `fallback` is told in its place."""
        self._desk.failed(notices, at, fallback)
        return self._book.take()

    def monitor(self, name: str, *, is_open: bool, detail: str, at: int) -> list[Change]:
        """Take trouble of our own, by the name of what has it, or its end."""
        episode = self._book.open.get((Condition.MONITOR, name))
        if is_open and episode is None:
            episode = self._book.begin(
                Condition.MONITOR, name, since=at, opened=at, judged=self._desk.now, severity=Severity.CRITICAL
            )
            episode.detail = detail
            self._desk.opened(episode, at)
        elif not is_open and episode is not None:
            self._book.end(episode, ended=at, closed=at)
            self._desk.closed(episode, at)
        return self._book.take()

    def change_rules(self, rules: Rules) -> None:
        """Take other rules; by itself that tells nothing."""
        self._rules = rules
        self._defaults = rules.for_target("", "", {})
        for site in self._sites.values():
            site.conditions = rules.for_target(site.name, site.url, site.labels)
            site.calm = False
            self._plan(site, self._seen)

    def list_targets(self, targets: Iterable[Listed], *, at: int) -> None:
        """Take the list: what it has is missed from now on, what it has no more is not, once its results end."""
        listed = list(targets)
        self._listed = frozenset(target.name for target in listed)
        for target in listed:
            known = at + round(target.interval * STALE_INTERVALS * 1000)
            site = self._sites.get(target.name)
            if site is None:
                site = self._enter(target.name, target.url, target.labels, known=known)
            site.known = min(site.known, known)
            self._plan(site, at)
        for site in self._sites.values():
            if site.name not in self._listed:
                self._queue_up(site, at)

    # Questions

    def silent_partitions(self) -> dict[int, SilentPartition]:
        """Give the partitions of the results in which nothing comes, though it does in others."""
        return self._partitions.silent()

    def has_doubts(self) -> bool:
        """Tell whether a vantage may be at fault, which each tick looks for."""
        return any(
            vantage.excluded or vantage.errors_since or len(vantage.failing) >= LEAST
            for vantage in self._vantages.values()
        )

    def next_look(self) -> int:
        """Give when time alone may change something of a target next."""
        return self._queue[0][0] if self._queue else NEVER

    @property
    def book(self) -> Book:
        """Give the records, for who tells of them; nobody else changes them."""
        return self._book

    def due(self, now: int) -> list[Message]:
        """Give the messages that are to be sent, the oldest first: all that wait, also those being sent."""
        return self._desk.due(now)

    def episode(self, number: str) -> Episode | None:
        """Give an episode that the log has."""
        return self._book.episodes.get(number)

    def episodes(self) -> list[Episode]:
        """Give all that are open, and those that were of late."""
        return list(self._book.episodes.values())

    def notices(self) -> list[Notice]:
        """Give all notices of these."""
        return list(self._book.notices.values())

    def window(self) -> int:
        """Give how much of the results a judge that takes over must see again, so that no row is cut."""
        longest = 0.0
        for site in self._sites.values():
            conditions = site.conditions
            interval = max((slot.secs for slot in site.slots.values()), default=0.0)
            checks = max(conditions.confirm, conditions.recover, conditions.slow_checks, 3)
            needed = interval * (checks + STALE_INTERVALS)
            longest = max(longest, needed + max(conditions.partial_after, conditions.no_data_after))
        return min(round(longest * 1000), _LONGEST_WINDOW)

    # One result

    def _take(self, result: CheckResult, arrived: int, partition: int, offset: int, *, again: bool) -> None:
        raw = round(result.time.timestamp() * 1000)
        begun = min(raw, arrived)
        if arrived - begun > oldest(round(result.interval * 1000)):
            return
        site = self._sites.get(result.target)
        slot = None if site is None else site.slots.get(result.agent)
        if slot is not None and (raw == slot.raw or begun < slot.begun):
            return
        if site is None:
            site = self._enter(result.target, result.url, result.labels, known=arrived)
        elif site.labels != result.labels or site.url != result.url:
            self._describe(site, result)
        if site.heard_in != partition:
            self._partitions.hear(site, partition)
        # Of a target that the log says nothing of, nothing was judged that it has not.
        again = again or (partition == site.partition and offset <= site.offset)
        if site.due < arrived:
            # What time alone changes is seen before it, also where no tick came between: the same log, the same rows.
            self._targets.look(site, Look(arrived - 1, arrived - 1), quiet=again)
        vantage = self._vantage(result.agent)
        if slot is None:
            slot = site.slots[result.agent] = vantage.slots[site] = Slot(vantage)
        self._note_vantage(vantage, raw, arrived, again=again)
        slot.begun, slot.raw, slot.arrived = begun, raw, arrived
        _note_slot(slot, result)
        self._note_certificate(site, slot, result)
        vote = self._vote(site, slot, result, arrived, again=again)
        look = Look(arrived, begun, slot, vote, partition, offset)
        self._targets.look(site, look, quiet=again)
        self._plan(site, arrived)
        if again:
            self._queue_up(site, arrived)  # whatever should follow from it and did not, the next tick finds

    def _note_vantage(self, vantage: Vantage, raw: int, arrived: int, *, again: bool) -> None:
        vantage.last = max(vantage.last, arrived)
        if raw - arrived > AHEAD:
            vantage.ahead, vantage.ahead_at = raw - arrived, arrived
        if vantage.silent and not again:
            self._of_vantages.came(vantage, arrived)

    def _note_certificate(self, site: Site, slot: Slot, result: CheckResult) -> None:
        if result.tls_not_after is None:
            if result.outcome.is_up and result.tls_version is None:
                slot.shown, slot.not_after = None, 0
            return
        if result.tls_not_after == slot.shown:
            return
        ends = round(result.tls_not_after.timestamp() * 1000)
        # Its lifetime is known where it was seen to come: it is not in the result.
        was_renewed = slot.not_after is not None and 0 < slot.not_after < ends
        lifetime = ends - slot.begun
        if was_renewed and lifetime < max(map(lives_for, site.conditions.certificate_days), default=0):
            self._book.lives(site.name, ends=ends, lifetime=lifetime, now=slot.begun)
        slot.shown, slot.not_after = result.tls_not_after, ends

    def _vote(self, site: Site, slot: Slot, result: CheckResult, arrived: int, *, again: bool) -> int:
        """Let slot and vantage take a result's outcome; give what it votes."""
        vantage = slot.vantage
        if result.outcome is Outcome.AGENT_ERROR:
            if not slot.erring:
                slot.erring, slot.calm = True, False
                vantage.failing_errors += 1
            if vantage.errors_since == 0:
                vantage.errors_since, vantage.errors = arrived, 0
            vantage.errors += 1
            return NOTHING
        if slot.erring:
            slot.erring = False
            vantage.failing_errors -= 1
        vantage.errors_since = 0
        slot.voted = arrived
        site.known = min(site.known, arrived)
        slot.expiring = result.outcome is Outcome.CERTIFICATE_EXPIRING
        vote = UP if result.outcome.is_up or slot.expiring else FAIL
        take(site, slot, vote=vote, is_slow=result.outcome is Outcome.SLOW, begun=slot.begun)
        if vote == UP:
            vantage.failing.pop(site, None)
        else:
            vantage.failing[site] = None
            if not again and not vantage.excluded and len(vantage.failing) >= vantage.check_at:
                self._of_vantages.seek_fault(vantage, arrived)
        return vote

    def _enter(self, name: str, url: str, labels: Mapping[str, str], *, known: int) -> Site:
        site = Site(name, url, labels, self._rules.for_target(name, url, labels))
        site.known = known
        self._sites[name] = site
        self._groups.enter(labels)
        for episode in self._past.pop(name, ()):
            _remember(site, episode)
            if episode.partition >= 0:
                self._partitions.hear(site, episode.partition)
        site.downs.sort()
        return site

    def _restore_site(self, episode: Episode) -> None:
        """Enter the target of an open episode, of which no result may come any more, nor be among those read again."""
        site = self._enter(episode.subject, episode.url, episode.labels, known=episode.opened)
        if Condition.NO_DATA not in site.open:
            site.known = self._ticked + _LONGEST_FRESH  # the log does not say how often it is checked
        self._plan(site, self._ticked)

    def _describe(self, site: Site, result: CheckResult) -> None:
        """Take another URL or other labels."""
        self._groups.leave(site.labels)
        self._groups.enter(result.labels)
        site.url, site.labels = result.url, result.labels
        site.conditions = self._rules.for_target(site.name, site.url, site.labels)

    def _vantage(self, name: str) -> Vantage:
        vantage = self._vantages.get(name)
        if vantage is None:
            vantage = self._vantages[name] = Vantage(name)
        return vantage

    # Time

    def _look_once_more(self, site: Site, moment: int) -> None:
        """Look at a target as one of its vantages began or ceased to count."""
        self._targets.look(site, Look(moment, moment))
        self._plan(site, moment)

    def _look_by_clock(self, site: Site, seen: int) -> None:
        self._targets.look(site, Look(seen, seen, partition=site.heard_in, by_clock=True))
        if self._is_gone(site, seen):
            self._leave(site, seen)
        else:
            self._plan(site, seen)

    def _is_gone(self, site: Site, seen: int) -> bool:
        """Tell whether a target that is silent was taken away: from the list; without one, after a week."""
        if any(slot.live for slot in site.slots.values()):
            return False
        if self._listed is not None:
            return site.name not in self._listed
        silent = site.open.get(Condition.NO_DATA)
        return silent is not None and seen - silent.opened > WEEK

    def _leave(self, site: Site, seen: int) -> None:
        self._targets.close_all(site, seen, "gone" if self._listed is None else "removed")
        self._partitions.leave(site)
        for name in list(site.slots):
            forget(site, name)
        self._groups.leave(site.labels)
        del self._sites[site.name]
        site.due = NEVER

    def _forget_vantage(self, name: str) -> None:
        for site in list(self._vantages[name].slots):
            forget(site, name)
            if not site.slots and (self._listed is None or site.name not in self._listed):
                self._leave(site, self._seen)
        del self._vantages[name]

    def _plan(self, site: Site, moment: int) -> None:
        self._queue_up(site, self._targets.due(site, moment))

    def _queue_up(self, site: Site, due: int) -> None:
        if due < site.due:
            site.due = due
            self._entries += 1
            heapq.heappush(self._queue, (due, self._entries, site))

    # What the desk asks

    def _hold(self, episode: Episode, now: int) -> tuple[Held, str]:
        windows = () if episode.condition is Condition.MONITOR else self._rules.maintenance
        why = quiet.why(self._book, windows, name=episode.subject, labels=episode.labels, now=now)
        if why:
            return why, ""
        if episode.condition in _PAUSED_BY_FLAPPING and (Condition.FLAPPING, episode.subject) in self._book.open:
            return "flapping", ""
        # Neither a judge that catches up for long nor its clock may keep an alarm.
        was_late = episode.judged - episode.opened >= BEHIND
        if self._behind and was_late and now - episode.judged < _HELD_BEHIND:
            return "behind", ""
        if episode.condition is Condition.NO_DATA and (ours := self._silent_of_ours(episode))[0]:
            return ours
        if episode.condition in _PAUSED_BY_PARENT and self._waits_for_parent(episode, now):
            return "parent", ""
        return "", ""

    def _silent_of_ours(self, episode: Episode) -> tuple[Held, str]:
        """Tell what of ours is why a target is silent; the episode that it hangs under; nothing: it is so of itself."""
        site = self._sites.get(episode.subject)
        if site is None:
            return "", ""
        # Of what gives again each target is waited for as long as of any that was just heard of.
        patience = max((slot.fresh_for for slot in site.slots.values()), default=0)
        since = max(0, self._seen - patience - round(site.conditions.no_data_after * 1000))
        if (over := self._silent_over(episode, since)) is not None:
            return "vantage", over
        is_ours = self._partitions.is_silent(site, self._seen) or self._partitions.back(site) > since
        return "partition" if is_ours else "", ""

    def _silent_over(self, episode: Episode, since: int) -> str | None:
        """Give the episode of a vantage that a target without data hangs under; None where it stands alone.

        Args:
            episode: of the target.
            since: a vantage that was silent until after this had no time yet to send of each target.
        """
        vantages = [self._vantages.get(seen.vantage) for seen in episode.seen]
        if not vantages or not all(
            v is not None and (v.back > since or self._of_vantages.is_quiet(v, self._seen)) for v in vantages
        ):
            return None
        for vantage in vantages:
            assert vantage is not None
            silent = self._book.open.get((Condition.VANTAGE_SILENT, vantage.name))
            if silent is not None:
                return silent.id
        return ""

    def _waits_for_parent(self, episode: Episode, now: int) -> bool:
        site = self._sites.get(episode.subject)
        return site is not None and any(
            self._waits_for(parent, episode, now)
            for name in site.conditions.depends_on
            if (parent := self._sites.get(name)) is not None and parent is not site
        )

    def _waits_for(self, parent: Site, episode: Episode, now: int) -> bool:
        """Tell whether a child's opening waits for a target that it depends on."""
        if Condition.DOWN in parent.open:
            return True
        present = [slot for slot in parent.slots.values() if slot.live and slot.state and not slot.vantage.excluded]
        if not present:
            return False
        interval = max(slot.interval for slot in present)
        if any(slot.state == FAIL for slot in present):
            return now < episode.opened + _PARENTS_INTERVALS * interval
        looked = max(slot.begun for slot in present)
        return looked < episode.since and now < episode.opened + interval

    def _gather(self, episode: Episode, now: int) -> str:
        return self._groups.gather(episode, now, many=self._conditions_of(episode).many, desk=self._desk)

    def _ended(self, episode: Episode, moment: int) -> None:
        self._groups.ended(episode, moment, self._desk)

    def _routes(self, episode: Episode) -> Steps:
        steps = self._rules.routes_for(episode.labels, episode.severity.value, episode.condition.value)
        return [(round(step.after_secs * 1000), list(step.channels)) for step in steps]

    def _conditions_of(self, episode: Episode) -> Conditions:
        site = self._sites.get(episode.subject) if episode.condition.is_of_a_target else None
        return self._defaults if site is None else site.conditions


_BY_CLOCK: Final = frozenset({Condition.CERTIFICATE, Condition.FLAPPING})
"""What no up ends, if it shows the same certificate."""
_PAUSED_BY_FLAPPING: Final = frozenset({Condition.DOWN, Condition.PARTIAL})
_PAUSED_BY_PARENT: Final = frozenset(
    {Condition.DOWN, Condition.PARTIAL, Condition.SLOW, Condition.NO_DATA, Condition.FLAPPING}
)


def _note_slot(slot: Slot, result: CheckResult) -> None:
    """Let a slot take what any result says."""
    vantage = slot.vantage
    if slot.secs != result.interval:
        was_shortest = slot.live and slot.interval == vantage.shortest
        slot.takes(result.interval)
        if was_shortest:
            vantage.measure()
    if not slot.live:
        slot.live = True
        vantage.live += 1
    if vantage.shortest == 0 or slot.interval < vantage.shortest:
        vantage.shortest = slot.interval
    slot.outcome = result.outcome.value
    slot.error = result.error
    slot.http_status = result.http_status


def _remember(site: Site, episode: Episode) -> None:
    """Let a target take an episode that the log has."""
    if episode.is_open:
        site.open[episode.condition] = episode
    if episode.condition is Condition.DOWN:
        site.downs.append(episode.opened)
        site.down_ended = max(site.down_ended, -1 if episode.ended is None else episode.ended)
    if episode.offset >= 0:
        if episode.partition != site.partition:
            site.partition, site.offset = episode.partition, episode.offset
        site.offset = max(site.offset, episode.offset)

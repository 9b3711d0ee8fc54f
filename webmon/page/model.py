"""What is shown, made from a snapshot, the page's file and a clock: pure, and of the public face only what is public.

A target's state is that of the moment when somebody looks: where nothing newer is known it is `unknown`, never green.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Literal

import msgspec

from webmon.alarm.quiet import matches
from webmon.check.result import Outcome
from webmon.page import bars as bars_of
from webmon.page.bars import Bar, Uptime
from webmon.page.file import Group, Public
from webmon.page.file_model import Show
from webmon.page.slug import slug, told_apart
from webmon.page.snapshot import (
    Agent,
    Announcement,
    Episode,
    History,
    Look,
    Maintenance,
    Notice,
    Phases,
    Responses,
    Silence,
    Snapshot,
    Target,
    Vantage,
)
from webmon.report.status import STALE_INTERVALS

UNKNOWN_INTERVALS: Final = 3.0
UNKNOWN_SECS: Final = 300.0
"""Intervals, and seconds at least, after which the newest result says nothing of the present any more."""
OLD_REFRESHES: Final = 3
"""Refreshes after which a page says in words as of when it is."""
PUBLIC_CONDITIONS: Final = ("down", "partial", "slow")
"""Conditions that are incidents for visitors."""
_OUR_FAULT: Final = "vantage"
"""Why an episode is held where a vantage of ours is at fault, so that it is no incident of the target."""
COMING: Final = timedelta(days=14)
"""How far ahead maintenance is told."""
_SOON: Final = timedelta(microseconds=1)


class State(StrEnum):
    """How a target is; the most urgent first."""

    DOWN = "down"
    """No vantage reaches it."""
    PARTIAL = "partial"
    """Some vantages do not reach it."""
    SLOW = "slow"
    UNKNOWN = "unknown"
    MAINTENANCE = "maintenance"
    UP = "up"


URGENCY: Final = {state: place for place, state in enumerate(State)}


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """How many targets are how."""

    down: int = 0
    partial: int = 0
    slow: int = 0
    unknown: int = 0
    maintenance: int = 0
    up: int = 0

    @property
    def total(self) -> int:
        """All of them."""
        return self.down + self.partial + self.slow + self.unknown + self.maintenance + self.up

    @property
    def failing(self) -> int:
        """Those that do not work, or not from everywhere."""
        return self.down + self.partial


Code = Literal["nothing", "unknown", "all_down", "some_fail", "some_unknown", "maintenance", "some_slow", "all_up"]


class Sentence(msgspec.Struct, frozen=True, kw_only=True):
    """The one sentence, in no language: which one it is, and what stands in it."""

    code: Code
    """`nothing`: there is no target. `unknown`: of none is anything known; `since` is its newest result. `some_fail`:
    all but `counts.failing` of `counts.total` work. `maintenance`: nothing is worse, `until` when it ends."""
    counts: Counts
    since: datetime | None = None
    until: datetime | None = None

    @property
    def state(self) -> State:
        """The state of all together."""
        return _OF_CODE[self.code]

    @property
    def text(self) -> str:
        """The sentence in English, for logs, APIs and tests; pages have it from their catalogue."""
        counts = self.counts
        texts: dict[Code, str] = {
            "nothing": "Nothing is shown here yet",
            "unknown": "Not known: no data" + (f" since {self.since:%Y-%m-%d %H:%M} UTC" if self.since else ""),
            "all_down": "Nothing works" if counts.total > 1 else "It does not work",
            "some_fail": f"All but {counts.failing} of {counts.total} work"
            if counts.failing < counts.total
            else f"None of {counts.total} works from everywhere",
            "some_unknown": f"Of {counts.unknown} of {counts.total} nothing is known",
            "maintenance": "Under maintenance" + (f" until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else ""),
            "some_slow": f"All work, {counts.slow} of {counts.total} slowly",
            "all_up": f"All {counts.total} work" if counts.total > 1 else "It works",
        }
        return texts[self.code]


_OF_CODE: Final[Mapping[Code, State]] = {
    "nothing": State.UNKNOWN,
    "unknown": State.UNKNOWN,
    "all_down": State.DOWN,
    "some_fail": State.PARTIAL,
    "some_unknown": State.UNKNOWN,
    "maintenance": State.MAINTENANCE,
    "some_slow": State.SLOW,
    "all_up": State.UP,
}


# What visitors see ----------------------------------------------------------------------------------------------------


class PublicVantage(msgspec.Struct, frozen=True, kw_only=True):
    """What one vantage saw last; only where `show` has `vantages`."""

    name: str
    state: State
    time: datetime
    response: float | None = None
    """Seconds; only where `show` has `response`."""


class PublicTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What is public of a target. None: `show` does not have it, or there is none."""

    id: str
    """In addresses."""
    name: str
    group: str
    """Its group's id."""
    state: State
    newest: datetime | None = None
    """When its newest check began."""
    until: datetime | None = None
    """When its maintenance ends."""
    uptimes: list[Uptime] = []
    """24 h, 7, 30, 90 and 365 days."""
    bars: list[Bar] = []
    """90 days, the oldest first."""
    incidents: list[str] = []
    """Ids, the newest first."""
    responses: list[Responses] | None = None
    """24 h, 7 and 30 days."""
    response: float | None = None
    """Seconds that the slowest vantage waited last."""
    phases: Phases | None = None
    """Mean of what the vantages saw last."""
    vantages: list[PublicVantage] | None = None
    certificate_ends: datetime | None = None
    url: str | None = None
    addresses: list[str] | None = None
    error: str | None = None


class PublicGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Targets that stand together."""

    id: str
    name: str
    counts: Counts
    state: State
    """The most urgent of them."""
    targets: list[PublicTarget]


Step = Literal["began", "confirmed", "error", "announced", "ended", "closed"]


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of an incident's timeline."""

    at: datetime
    step: Step
    """`announced`: what a person wrote. `closed`: it was given up, as `text` says, and nothing got well."""
    title: str = ""
    text: str = ""


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One time that a target did not work."""

    id: str
    condition: str
    """One of PUBLIC_CONDITIONS."""
    target: str
    """The target's id in addresses."""
    name: str
    """The target's public name."""
    began: datetime
    ended: datetime | None = None
    """None: it goes on."""
    closed: datetime | None = None
    timeline: list[Moment] = []
    """The oldest first."""
    seen_by: list[str] | None = None
    """Vantages; only where `show` has them."""
    voters: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether it goes on."""
        return self.closed is None


class PlannedWork(msgspec.Struct, frozen=True, kw_only=True):
    """A time of maintenance that somebody made public."""

    id: str
    name: str
    begins: datetime
    until: datetime
    when: Literal["coming", "now", "past"]
    targets: list[str]
    """Ids in addresses."""
    names: list[str]


class PublicAnnouncement(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody tells the readers."""

    id: str
    title: str
    text: str
    begins: datetime
    until: datetime | None
    is_current: bool


class PublicPage(msgspec.Struct, frozen=True, kw_only=True):
    """All that is public."""

    title: str
    as_of: datetime
    now: datetime
    is_old: bool
    """Whether it is to be said in words as of when it is."""
    sentence: Sentence
    groups: list[PublicGroup]
    incidents: list[Incident]
    """Those that go on first, then the newest first."""
    maintenance: list[PlannedWork]
    """The oldest first."""
    announcements: list[PublicAnnouncement]
    """The newest first; those that are over, too."""
    changes_at: datetime
    """Until then the same snapshot shows the same, but for ages."""
    refresh_secs: float

    def target(self, number: str) -> PublicTarget | None:
        """Give a target by its id in addresses."""
        return next((one for group in self.groups for one in group.targets if one.id == number), None)


# What operators see ---------------------------------------------------------------------------------------------------


class OperatorVantage(msgspec.Struct, frozen=True, kw_only=True):
    """What one vantage saw last, and how long ago."""

    vantage: Vantage
    age: float
    """Seconds."""
    is_silent: bool
    """Whether it has been silent for too long to speak for the present."""
    state: State


class OperatorTarget(msgspec.Struct, frozen=True, kw_only=True):
    """A target, with everything."""

    target: Target
    state: State
    """As measured, or `unknown`; maintenance is told beside it."""
    age: float | None
    """Seconds since the newest check."""
    vantages: list[OperatorVantage]
    error: str | None
    """The newest error of a vantage that is not silent."""
    disagree: bool
    """Whether some vantages see it up and others down."""
    uptimes: list[Uptime]
    episodes: list[Episode]
    """That go on."""
    silenced_until: datetime | None = None
    maintenance_until: datetime | None = None
    certificate_ends: datetime | None = None
    """The first of what the vantages saw."""
    public: str = ""
    """Its id on the public page; empty: it is not there."""


class OperatorPage(msgspec.Struct, frozen=True, kw_only=True):
    """All that operators see."""

    as_of: datetime
    now: datetime
    age: float
    """Seconds of the snapshot."""
    is_old: bool
    trouble: str
    trouble_since: datetime | None
    from_disk: bool
    sentence: Sentence
    targets: list[OperatorTarget]
    """The most urgent first, then by name."""
    open_episodes: list[Episode]
    """The gravest first, then the newest."""
    closed_episodes: list[Episode]
    """The newest first."""
    notices: list[Notice]
    silences: list[Silence]
    maintenance: list[Maintenance]
    """Those that are not over."""
    announcements: list[Announcement]
    """Those that are not over."""
    agents: list[tuple[Agent, float | None]]
    """Each vantage of the fleet, and the age of its newest result in seconds."""
    has_history: bool
    left_out: list[str]
    """A line for each target that page.yml means and the public page has not."""


# Making them ----------------------------------------------------------------------------------------------------------


def state_of(target: Target, as_of: datetime, now: datetime) -> State:
    """Give how a target is at the time of a look, its maintenance aside.

    At the time of the snapshot its vantages are weighed as `webmon status` does.
    """
    return _weigh(_speaking(target.vantages, as_of, now))


def unknown_from(vantage: Vantage) -> datetime:
    """Give when a result says nothing of the present any more."""
    return vantage.time + timedelta(seconds=max(UNKNOWN_INTERVALS * vantage.interval, UNKNOWN_SECS))


def public(snapshot: Snapshot, file: Public, now: datetime) -> PublicPage:
    """Give what is public, and nothing else."""
    return _Public(snapshot, file, now).page()


def operator(look: Look, file: Public | None, now: datetime) -> OperatorPage:
    """Give everything.

    Args:
        look: with a snapshot.
        file: what is public; None: nothing.
        now: the time of the look.
    """
    assert look.snapshot is not None
    snapshot, history = look.snapshot, look.snapshot.history or History()
    chosen, left_out = choose(snapshot.targets, file) if file else ([], [])
    ids = {one.target.name: one.id for _, ours in chosen for one in ours}
    open_episodes = [episode for episode in history.episodes if episode.is_open]
    of_target: dict[str, list[Episode]] = {}
    for episode in open_episodes:
        of_target.setdefault(episode.subject, []).append(episode)
    targets = [
        _operator_target(
            target,
            history,
            of_target.get(target.name, []),
            as_of=snapshot.as_of,
            now=now,
            public_id=ids.get(target.name, ""),
        )
        for target in snapshot.targets
    ]
    targets.sort(key=lambda one: (URGENCY[one.state], one.target.name))
    age = max(0.0, (now - snapshot.as_of).total_seconds())
    newest = snapshot.fleet.newest
    return OperatorPage(
        as_of=snapshot.as_of,
        now=now,
        age=age,
        is_old=age > OLD_REFRESHES * snapshot.refresh_secs,
        trouble=look.trouble,
        trouble_since=look.trouble_since,
        from_disk=look.from_disk,
        sentence=sentence([one.state for one in targets], newest, None),
        targets=targets,
        open_episodes=sorted(open_episodes, key=lambda one: (one.severity != "critical", -one.since.timestamp())),
        closed_episodes=[episode for episode in history.episodes if not episode.is_open],
        notices=history.notices,
        silences=[one for one in history.silences if one.until > now],
        maintenance=[one for one in history.maintenance if one.until > now],
        announcements=[one for one in history.announcements if one.until is None or one.until > now],
        agents=[
            (agent, None if agent.newest is None else max(0.0, (now - agent.newest).total_seconds()))
            for agent in snapshot.fleet.agents
        ],
        has_history=snapshot.history is not None,
        left_out=left_out,
    )


def sentence(states: Sequence[State], newest: datetime | None, until: datetime | None) -> Sentence:
    """Give the one sentence of some targets.

    Args:
        states: of each.
        newest: when the newest check of any began.
        until: when the last of the maintenance that is on ends.
    """
    counts = count(states)
    known = counts.total - counts.maintenance - counts.unknown
    code: Code
    if not counts.total:
        code = "nothing"
    elif counts.unknown and not known:
        code = "unknown"
    elif counts.down == counts.total:
        code = "all_down"
    elif counts.failing:
        code = "some_fail"
    elif counts.unknown:
        code = "some_unknown"
    elif counts.slow:
        code = "some_slow"
    elif counts.maintenance:
        code = "maintenance"
    else:
        code = "all_up"
    since = newest if code == "unknown" else None
    return Sentence(code=code, counts=counts, since=since, until=until if code == "maintenance" else None)


def count(states: Iterable[State]) -> Counts:
    """Count them."""
    counted = dict.fromkeys(State, 0)
    for state in states:
        counted[state] += 1
    return Counts(**{state.value: number for state, number in counted.items()})


class Chosen(msgspec.Struct, frozen=True):
    """A target that is public."""

    target: Target
    id: str
    name: str


def choose(targets: Sequence[Target], file: Public) -> tuple[list[tuple[Group, list[Chosen]]], list[str]]:
    """Give what is public, by groups; and a line for each target that the file means and that can't be.

    A target that is named somewhere stands there; another in the first group that fits.
    """
    left = {target.name: target for target in targets}
    ids = {entry.id: entry.target for group in file.groups for entry in group.entries}
    groups: list[tuple[Group, list[Chosen]]] = []
    left_out: list[str] = []
    for group in file.groups:
        ours = [Chosen(left[entry.target], entry.id, entry.name) for entry in group.entries if entry.target in left]
        groups.append((group, ours))
        left_out += [
            f"{entry.target}: no result of it is stored" for entry in group.entries if entry.target not in left
        ]
    for name in file.named:
        left.pop(name, None)
    for group, ours in groups:
        if group.match is None:
            continue
        for target in [one for one in left.values() if group.match.fits(one.name, one.labels)]:
            del left[target.name]
            if "url" not in group.show and ("://" in target.name or target.name == target.url):
                left_out.append(f"{target.name}: it is called by its URL, which is not shown; give it a name")
                continue
            ours_id = slug(target.name)
            if ids.get(ours_id, target.name) != target.name:
                ours_id = told_apart(target.name)
            if ids.setdefault(ours_id, target.name) != target.name:
                left_out.append(f"{target.name}: its address /t/{ours_id} is that of {ids[ours_id]}; give one an id")
                continue
            ours.append(Chosen(target, ours_id, target.name))
    return groups, left_out


def _speaking(vantages: Sequence[Vantage], as_of: datetime, now: datetime) -> list[Vantage]:
    """Give the vantages whose newest result speaks for the present."""
    known = [vantage for vantage in vantages if now < unknown_from(vantage)]
    present = [v for v in known if (as_of - v.time).total_seconds() <= STALE_INTERVALS * v.interval]
    return present or known


def _weigh(vantages: Sequence[Vantage]) -> State:
    """Weigh what vantages saw; an agent_error is our own fault and says nothing of the target."""
    telling = [vantage.outcome for vantage in vantages if vantage.outcome is not Outcome.AGENT_ERROR]
    if not telling:
        return State.UNKNOWN
    if all(outcome.is_down for outcome in telling):
        return State.DOWN
    if any(outcome.is_down for outcome in telling):
        return State.PARTIAL
    return State.SLOW if Outcome.SLOW in telling else State.UP


def _newest(vantages: Iterable[Vantage]) -> datetime | None:
    return max((vantage.time for vantage in vantages), default=None)


def _until(
    windows: Iterable[Silence | Maintenance], name: str, labels: Mapping[str, str], now: datetime
) -> datetime | None:
    """Give when the last of the times that are on for a target ends."""
    ends = [one.until for one in windows if one.begins <= now < one.until and matches(one.match, name, labels)]
    return max(ends, default=None)


def _operator_target(
    target: Target, history: History, episodes: list[Episode], *, as_of: datetime, now: datetime, public_id: str
) -> OperatorTarget:
    speaking = _speaking(target.vantages, as_of, now)
    state = _weigh(speaking)
    silent = {vantage.name for vantage in target.vantages} - {vantage.name for vantage in speaking}
    failed = [vantage for vantage in speaking if vantage.error]
    newest = _newest(target.vantages)
    return OperatorTarget(
        target=target,
        state=state,
        age=None if newest is None else max(0.0, (now - newest).total_seconds()),
        vantages=[
            OperatorVantage(
                vantage=vantage,
                age=max(0.0, (now - vantage.time).total_seconds()),
                is_silent=vantage.name in silent,
                state=State.UNKNOWN if vantage.name in silent else _weigh([vantage]),
            )
            for vantage in target.vantages
        ],
        error=max(failed, key=lambda vantage: vantage.time).error if failed else None,
        disagree=state is State.PARTIAL,
        uptimes=bars_of.uptimes(target.uptime),
        episodes=episodes,
        silenced_until=_until(history.silences, target.name, target.labels, now),
        maintenance_until=_until(history.maintenance, target.name, target.labels, now),
        certificate_ends=min((v.certificate_ends for v in target.vantages if v.certificate_ends), default=None),
        public=public_id,
    )


class _Public:
    """Makes one public page."""

    def __init__(self, snapshot: Snapshot, file: Public, now: datetime) -> None:
        self._snapshot = snapshot
        self._history = snapshot.history or History()
        self._title = file.title
        self._now = now
        self._chosen, _ = choose(snapshot.targets, file)
        self._ids = {one.target.name: one for _, ours in self._chosen for one in ours}
        self._show = {one.target.name: group.show for group, ours in self._chosen for one in ours}

    def page(self) -> PublicPage:
        incidents = self._incidents()
        of_target: dict[str, list[str]] = {}
        for incident in sorted(incidents, key=lambda one: one.began, reverse=True):
            of_target.setdefault(incident.target, []).append(incident.id)
        groups = [
            self._group(group, [self._target(one, group, of_target.get(one.id, [])) for one in ours])
            for group, ours in self._chosen
        ]
        all_targets = [target for group in groups for target in group.targets]
        until = max((target.until for target in all_targets if target.until), default=None)
        newest = max((target.newest for target in all_targets if target.newest), default=None)
        return PublicPage(
            title=self._title,
            as_of=self._snapshot.as_of,
            now=self._now,
            is_old=self._now >= self._old_from,
            sentence=sentence([target.state for target in all_targets], newest, until),
            groups=groups,
            incidents=incidents,
            maintenance=self._maintenance(),
            announcements=[
                PublicAnnouncement(
                    id=one.id,
                    title=one.title,
                    text=one.text,
                    begins=one.begins,
                    until=one.until,
                    is_current=one.until is None or self._now < one.until,
                )
                for one in self._history.announcements
                if one.begins <= self._now and not one.episode
            ],
            changes_at=self._changes_at(),
            refresh_secs=self._snapshot.refresh_secs,
        )

    @property
    def _old_from(self) -> datetime:
        return self._snapshot.as_of + timedelta(seconds=OLD_REFRESHES * self._snapshot.refresh_secs) + _SOON

    def _changes_at(self) -> datetime:
        moments = [self._old_from]
        moments += [unknown_from(vantage) for one in self._ids.values() for vantage in one.target.vantages]
        moments += [moment for one in self._history.maintenance for moment in (one.begins, one.until)]
        moments += [one.begins - COMING for one in self._history.maintenance]
        moments += [moment for one in self._history.announcements for moment in (one.begins, one.until) if moment]
        # A page that nothing changes is made anew once a day.
        return min((moment for moment in moments if moment > self._now), default=self._now + timedelta(days=1))

    def _group(self, group: Group, targets: list[PublicTarget]) -> PublicGroup:
        return PublicGroup(
            id=group.id,
            name=group.name,
            counts=count(target.state for target in targets),
            state=min((target.state for target in targets), key=URGENCY.__getitem__, default=State.UNKNOWN),
            targets=targets,
        )

    def _target(self, one: Chosen, group: Group, incidents: list[str]) -> PublicTarget:
        target, show = one.target, group.show
        until = _until(self._history.maintenance, target.name, target.labels, self._now)
        speaking = _speaking(target.vantages, self._snapshot.as_of, self._now)
        errors = [vantage for vantage in speaking if vantage.error]
        ends = [vantage.certificate_ends for vantage in target.vantages if vantage.certificate_ends]
        return PublicTarget(
            id=one.id,
            name=one.name,
            group=group.id,
            state=State.MAINTENANCE if until else _weigh(speaking),
            newest=_newest(target.vantages),
            until=until,
            uptimes=bars_of.uptimes(target.uptime),
            bars=bars_of.bars(target, self._snapshot.as_of),
            incidents=incidents,
            responses=target.responses if "response" in show else None,
            response=max((v.response for v in speaking if v.response is not None), default=None)
            if "response" in show
            else None,
            phases=_mean_phases(speaking) if "response" in show else None,
            vantages=self._vantages(target, speaking, show) if "vantages" in show else None,
            certificate_ends=min(ends, default=None) if "certificate" in show else None,
            url=target.url if "url" in show else None,
            addresses=sorted({v.remote_ip for v in target.vantages if v.remote_ip}) if "address" in show else None,
            error=max(errors, key=lambda v: v.time).error if errors and "error" in show else None,
        )

    def _vantages(self, target: Target, speaking: Sequence[Vantage], show: frozenset[Show]) -> list[PublicVantage]:
        present = {vantage.name for vantage in speaking}
        return [
            PublicVantage(
                name=vantage.name,
                state=_weigh([vantage]) if vantage.name in present else State.UNKNOWN,
                time=vantage.time,
                response=vantage.response if "response" in show else None,
            )
            for vantage in target.vantages
        ]

    def _incidents(self) -> list[Incident]:
        written: dict[str, list[Announcement]] = {}
        for announcement in self._history.announcements:
            if announcement.episode and announcement.begins <= self._now:
                written.setdefault(announcement.episode, []).append(announcement)
        found = [
            self._incident(episode, self._ids[episode.subject], written.get(episode.id, []))
            for episode in self._history.episodes
            if episode.condition in PUBLIC_CONDITIONS
            and episode.subject in self._ids
            and episode.held not in (_OUR_FAULT, "maintenance")
            and not self._was_of_maintenance(episode)
        ]
        return sorted(found, key=lambda one: (not one.is_open, -one.began.timestamp()))

    def _was_of_maintenance(self, episode: Episode) -> bool:
        """Tell whether it was over before the maintenance that it opened in, so that nobody was told."""
        if episode.closed is None:
            return False
        at: datetime | None = episode.opened
        while at is not None and at <= episode.closed:
            at = _until(self._history.maintenance, episode.subject, episode.labels, at)
        return at is not None

    def _incident(self, episode: Episode, one: Chosen, written: Sequence[Announcement]) -> Incident:
        show = self._show[episode.subject]
        moments = [
            Moment(at=episode.since, step="began"),
            Moment(at=episode.opened, step="confirmed"),
            *(Moment(at=note.begins, step="announced", title=note.title, text=note.text) for note in written),
        ]
        if "error" in show:
            errors = [seen.error for seen in episode.seen if seen.error] or ([episode.detail] if episode.detail else [])
            moments += [Moment(at=episode.since, step="error", text=error) for error in dict.fromkeys(errors)]
        if episode.ended is not None:
            moments.append(Moment(at=episode.ended, step="ended"))
        elif episode.closed is not None:
            moments.append(Moment(at=episode.closed, step="closed", text=episode.reason))
        shows_vantages = "vantages" in show
        return Incident(
            id=episode.id,
            condition=episode.condition,
            target=one.id,
            name=one.name,
            began=episode.since,
            ended=episode.ended,
            closed=episode.closed,
            timeline=sorted(moments, key=lambda moment: moment.at),
            seen_by=sorted(seen.vantage for seen in episode.seen) if shows_vantages else None,
            voters=episode.voters if shows_vantages else None,
        )

    def _maintenance(self) -> list[PlannedWork]:
        planned = []
        for work in self._history.maintenance:
            if not work.public or work.begins > self._now + COMING:
                continue
            meant = [one for one in self._ids.values() if matches(work.match, one.target.name, one.target.labels)]
            if meant:
                planned.append(
                    PlannedWork(
                        id=work.id,
                        name=work.name,
                        begins=work.begins,
                        until=work.until,
                        when="past" if work.until <= self._now else "now" if work.begins <= self._now else "coming",
                        targets=[one.id for one in meant],
                        names=[one.name for one in meant],
                    )
                )
        return planned


def _mean_phases(vantages: Sequence[Vantage]) -> Phases | None:
    """Give the mean of each phase over those vantages that reached it."""
    if not vantages:
        return None

    def mean(phase: Callable[[Phases], float | None]) -> float | None:
        found = [seconds for vantage in vantages if (seconds := phase(vantage.phases)) is not None]
        return sum(found) / len(found) if found else None

    return Phases(
        mean(lambda phases: phases.dns),
        mean(lambda phases: phases.connect),
        mean(lambda phases: phases.tls),
        mean(lambda phases: phases.first_byte),
        mean(lambda phases: phases.transfer),
    )

"""What was seen since the start: a target's state and counts, and what an alarm would have said; pure."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Final, NamedTuple

from msgspec.structs import astuple

from webmon.alarm.conditions import Rules
from webmon.alarm.desk import Message
from webmon.alarm.judge import Judge, Listed
from webmon.alarm.notice import Notice
from webmon.alarm.notices import Notices
from webmon.alarm.orders import Ack, Order, Resend
from webmon.alarm.quiet import as_moment
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target
from webmon.page.snapshot import Phases, Point, Tally
from webmon.report.status import State, TargetStatus, Vantage

_POINTS: Final = 360


@dataclass
class Seen:
    """One target."""

    target: Target
    since: datetime
    """When its state began."""
    state: State = State.NO_DATA
    last: CheckResult | None = None
    days: dict[date, Tally] = field(default_factory=dict)
    """What was counted of each day (UTC)."""
    points: deque[Point] = field(default_factory=lambda: deque(maxlen=_POINTS))
    """The last checks, for a chart."""
    alarms: list[str] = field(default_factory=list)
    """The conditions that hold for it now, as the judge has it."""

    def status(self, now: datetime) -> TargetStatus:
        """Give its status as `webmon status` has it, from one vantage."""
        last, target = self.last, self.target
        if last is None:
            return TargetStatus(target.name, target.url, dict(target.labels), ())
        age = max(0.0, (now - last.time).total_seconds())
        seen = (last.agent, last.time, last.interval, last.outcome, last.http_status, last.answer, last.response_time)
        return TargetStatus(target.name, target.url, dict(target.labels), (Vantage(*seen, last.error, age),))

    @property
    def response(self) -> float | None:
        """Seconds that the last check waited for its answer."""
        return None if self.last is None else self.last.response_time

    @property
    def tally(self) -> Tally:
        """What was counted since the start."""
        return Tally(*map(sum, zip(*(astuple(day) for day in self.days.values()), strict=True)))

    def take(self, result: CheckResult) -> None:
        """Take what a check found."""
        self.last, outcome = result, result.outcome
        day = self.days.setdefault(result.time.astimezone(UTC).date(), Tally())
        day.up += outcome.is_up
        day.slow += outcome is Outcome.SLOW
        day.down += outcome.is_down
        day.agent_error += outcome is Outcome.AGENT_ERROR
        day.covered_secs += result.interval
        day.owed_secs += result.interval
        self.points.append(Point(result.time, outcome, result.response_time, Phases(*astuple(result.phases))))


@dataclass(frozen=True)
class Told:
    """What an alarm would have said, and by which channels."""

    at: datetime
    channels: tuple[str, ...]
    notice: Notice


class Turn(NamedTuple):
    """What a second brought."""

    memory: "Memory"
    results: list[CheckResult]
    changed: list[Seen]
    """Those whose state is another now."""
    told: list[Told]


class Memory:
    """The targets, and a judge to whom each check is told. Whoever calls gives the time: milliseconds of the epoch."""

    def __init__(self, targets: Iterable[Target], rules: Rules, *, now: int, vantage: str) -> None:
        """Begin with nothing seen by this vantage."""
        self.vantage = vantage
        self.began = self.now = as_moment(now)
        self.seen = {target.name: Seen(target, self.began) for target in targets}
        self.told: list[Told] = []
        self.checks = self.turns = 0
        self.lock = threading.Lock()
        """Of who turns it, against who shows it elsewhere."""
        self.judge = Judge(rules, now=now)
        self._notices = Notices(self.judge.book, None)
        listed = [Listed(s.target.name, s.target.url, s.target.labels, s.target.interval) for s in self.seen.values()]
        self.judge.list_targets(listed, at=now)

    def turn(self, came: Iterable[tuple[CheckResult, int]], now: int) -> "Turn":
        """Take what checks found, with when it came, and let time pass; once a second."""
        with self.lock:
            return self._turn(came, now)

    def order(self, order: Order) -> None:
        """Take what somebody orders on the page; from any thread."""
        with self.lock:
            match order:
                case Ack():
                    self.judge.acknowledge(order.episode, by=order.by, note=order.note, at=order.at)
                case Resend():
                    self.judge.resend(order.notice, at=order.at)
                case _:
                    self.judge.order(order.record())

    def _turn(self, came: Iterable[tuple[CheckResult, int]], now: int) -> "Turn":
        results = [self._take(result, arrived) for result, arrived in came]
        self.turns += 1
        self.now = as_moment(now)
        self.judge.tick(now)
        told = list(self._tell(now))
        self.told += told
        for seen in self.seen.values():
            seen.alarms = []
        for episode in self.judge.episodes():
            if episode.is_open and episode.subject in self.seen and episode.condition.is_of_a_target:
                self.seen[episode.subject].alarms.append(episode.condition.value)
        changed = [seen for seen in self.seen.values() if self._has_changed(seen)]
        return Turn(self, results, sorted(changed, key=lambda seen: seen.since), told)

    def _take(self, result: CheckResult, arrived: int) -> CheckResult:
        self.seen[result.target].take(result)
        self.checks += 1
        self.judge.result(result, arrived, partition=0, offset=self.checks)
        return result

    def _tell(self, now: int) -> Iterator[Told]:
        """Take what is due for told, whoever would be; one message for all channels that say the same."""
        messages: dict[tuple[tuple[str, str], ...], list[Message]] = {}
        for message in self.judge.due(now):
            says = tuple((record.episode, record.event) for record in message.notices)
            messages.setdefault(says, []).append(message)
        for same in messages.values():
            notice = self._notices.of(same[0], self.now)
            assert notice is not None
            yield Told(self.now, tuple(message.channel for message in same), replace(notice, acknowledge=None))
            self.judge.sent([record.id for message in same for record in message.notices], at=now)

    def _has_changed(self, seen: Seen) -> bool:
        state = seen.status(self.now).state
        if state is seen.state:
            return False
        was_result = seen.last is not None and state is not State.STALE
        seen.state, seen.since = state, seen.last.time if was_result and seen.last else self.now
        return True

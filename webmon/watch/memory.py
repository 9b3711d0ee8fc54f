"""What was seen since the start: a target's state and counts, and what an alarm would have said; pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from webmon.alarm.conditions import Rules
from webmon.alarm.desk import Message
from webmon.alarm.judge import Judge, Listed
from webmon.alarm.notice import Notice
from webmon.alarm.notices import Notices
from webmon.alarm.quiet import as_moment
from webmon.check.result import CheckResult
from webmon.check.target import Target
from webmon.report.status import State, TargetStatus, Vantage


@dataclass
class Seen:
    """One target."""

    target: Target
    since: datetime
    """When its state began."""
    state: State = State.NO_DATA
    last: CheckResult | None = None
    ups: int = 0
    downs: int = 0
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
    def uptime(self) -> float | None:
        """The share of the checks that found it up; an agent_error is on neither side."""
        return self.ups / (self.ups + self.downs) if self.ups + self.downs else None


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

    def __init__(self, targets: Iterable[Target], rules: Rules, *, now: int) -> None:
        """Begin with nothing seen."""
        self.began = self.now = as_moment(now)
        self.seen = {target.name: Seen(target, self.began) for target in targets}
        self.told: list[Told] = []
        self.checks = 0
        self.judge = Judge(rules, now=now)
        self._notices = Notices(self.judge.book, None)
        listed = [Listed(s.target.name, s.target.url, s.target.labels, s.target.interval) for s in self.seen.values()]
        self.judge.list_targets(listed, at=now)

    def turn(self, came: Iterable[tuple[CheckResult, int]], now: int) -> "Turn":
        """Take what checks found, with when it came, and let time pass; once a second."""
        results = [self._take(result, arrived) for result, arrived in came]
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
        seen = self.seen[result.target]
        seen.last = result
        seen.ups += result.outcome.is_up
        seen.downs += result.outcome.is_down
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

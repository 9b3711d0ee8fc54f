"""What was seen since the start, as the page's own snapshot, and what an alarm would have said; with no clock."""

import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from msgspec.structs import astuple

from webmon.alarm import orders
from webmon.alarm.conditions import Rules
from webmon.alarm.desk import Message
from webmon.alarm.judge import Judge, Listed
from webmon.alarm.moments import as_moment
from webmon.alarm.notice import Notice
from webmon.alarm.notices import Notices
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target
from webmon.page import snapshot as page
from webmon.page.judged import history_of
from webmon.page.model import OperatorPage, OperatorTarget, State, operator

_POINTS: Final = 360
"""Checks of a target that a chart has."""
_SAME: Final = ("outcome", "time", "interval", "http_status", "answer", "error", "redirects", "remote_ip")


class Told(NamedTuple):
    """What an alarm would have said, and by which channels."""

    at: datetime
    channels: tuple[str, ...]
    notice: Notice


class Turn(NamedTuple):
    """What there is after a second, and what that brought."""

    memory: "Memory"
    page: OperatorPage
    results: list[CheckResult]
    changed: list[OperatorTarget]
    """Those whose state is another now."""
    told: list[Told]


class Memory:
    """The targets, and a judge who is told of each check. Whoever calls gives the time: milliseconds of the epoch."""

    def __init__(self, targets: Iterable[Target], rules: Rules, *, now: int) -> None:
        """Begin with nothing seen."""
        self.began = self.now = as_moment(now)
        self.checks = self.turns = 0
        self.told: list[Told] = []
        self.since: dict[str, datetime] = {}
        """When the state of a target began."""
        self.judge = Judge(rules, now=now)
        self._notices = Notices(self.judge.book, None)
        self._lock = threading.Lock()
        """Of the one who turns it, against those who look at its page."""
        self._states: dict[str, State] = {}
        self._points: dict[str, deque[page.Point]] = defaultdict(lambda: deque(maxlen=_POINTS))
        self._targets: dict[str, page.Target] = {}
        targets = list(targets)
        for target in sorted(targets, key=lambda target: target.name):
            counted = page.Tally()  # of all spans, as each began with us
            spans = [page.Window(days=days, since=self.began, tally=counted) for days in page.WINDOWS]
            labels = dict(target.labels)
            self._targets[target.name] = page.Target(
                name=target.name, url=target.url, labels=labels, first_seen=self.began, uptime=spans
            )
        self.judge.list_targets((Listed(one.name, one.url, one.labels, one.interval) for one in targets), at=now)

    def turn(self, came: Iterable[tuple[CheckResult, int]], now: int) -> Turn:
        """Take what checks found, with when it came, and let time pass; once a second."""
        with self._lock:
            results = [self._take(result, arrived) for result, arrived in came]
            self.turns += 1
            self.now = as_moment(now)
            self.judge.tick(now)
            told = list(self._tell(now))
        self.told += told
        seen = operator(self.look(), None, self.now)
        changed = [one for one in seen.targets if one.state is not self._states.get(one.target.name, State.UNKNOWN)]
        for one in changed:
            self._states[one.target.name] = one.state
            self.since[one.target.name] = self.now - timedelta(seconds=one.age or 0)
        return Turn(self, seen, results, sorted(changed, key=lambda one: self.since[one.target.name]), told)

    def order(self, order: orders.Order) -> None:
        """Take what somebody orders on the page; from any thread."""
        with self._lock:
            match order:
                case orders.Ack():
                    self.judge.acknowledge(order.episode, by=order.by, note=order.note, at=order.at)
                case orders.Resend():
                    self.judge.resend(order.notice, at=order.at)
                case _:
                    self.judge.order(order.record())

    def look(self) -> page.Look:
        """Give all that is known; from any thread."""
        with self._lock:
            history = history_of(self.judge.book, self.now)
        targets = list(self._targets.values())
        return page.Look(
            snapshot=page.Snapshot(as_of=self.now, refresh_secs=1.0, targets=targets, history=history),
            number=self.turns,
        )

    def chart(self, target: page.Target, secs: float) -> page.Chart:
        """Give the last checks of a target; from any thread."""
        since = max(self.now - timedelta(seconds=secs), self.began)
        points = [point for point in self._points[target.name].copy() if point.time >= since]
        return page.Chart(since=since, until=self.now, vantages={one.name: points for one in target.vantages})

    def _take(self, result: CheckResult, arrived: int) -> CheckResult:
        target, phases = self._targets[result.target], page.Phases(*astuple(result.phases))
        target.vantages = [
            page.Vantage(
                name=result.agent,
                response=result.response_time,
                total=result.total_time,
                phases=phases,
                http_version=result.http_version,
                tls_version=result.tls_version,
                certificate_ends=result.tls_not_after,
                **{name: getattr(result, name) for name in _SAME},
            )
        ]
        self._points[target.name].append(page.Point(result.time, result.outcome, result.response_time, phases))
        day = result.time.astimezone(UTC).date()
        if not target.days or target.days[-1].day != day:
            target.days = [*target.days, page.Day(day, page.Tally())][-page.BARS :]
        for tally in (target.uptime[0].tally, target.days[-1].tally):
            tally.up += result.outcome.is_up
            tally.slow += result.outcome is Outcome.SLOW
            tally.down += result.outcome.is_down
            tally.agent_error += result.outcome is Outcome.AGENT_ERROR
            tally.covered_secs += result.interval
            tally.owed_secs += result.interval
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

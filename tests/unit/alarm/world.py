"""Sites, vantages and receivers around a judge, with a clock of their own; and rules as plain values."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from webmon.alarm.conditions import Condition, Conditions, Step, Window
from webmon.alarm.judge import Judge
from webmon.alarm.moments import as_moment
from webmon.alarm.partitions import OF_A_PARTITION
from webmon.alarm.quiet import matches
from webmon.alarm.records import Change, Episode, Notice
from webmon.check.result import CheckResult, Outcome

START = 1_800_000_000_000
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass(frozen=True)
class OneWindow:
    """A maintenance that is on once."""

    match: str
    begins: int
    until: int

    def covers(self, target_name: str, labels: Mapping[str, str], moment: datetime) -> bool:
        return as_moment(self.begins) <= moment < as_moment(self.until) and matches(self.match, target_name, labels)

    def ends_after(self, moment: datetime) -> datetime:  # noqa: ARG002 - the rules' own need it
        return as_moment(self.until)


@dataclass
class PlainRules:
    """The same conditions for all targets but those that are named."""

    conditions: Conditions = field(default_factory=Conditions)
    named: dict[str, Conditions] = field(default_factory=dict)
    steps: tuple[Step, ...] = (Step(0, ("mail",)),)
    routes: Callable[[Mapping[str, str], str, str], tuple[Step, ...]] | None = None
    maintenance: tuple[Window, ...] = ()

    def for_target(self, name: str, url: str, labels: Mapping[str, str]) -> Conditions:  # noqa: ARG002
        return self.named.get(name, self.conditions)

    def routes_for(self, labels: Mapping[str, str], severity: str, condition: str) -> tuple[Step, ...]:
        return self.routes(labels, severity, condition) if self.routes else self.steps


def result(
    target: str = "shop",
    vantage: str = "a",
    outcome: Outcome = Outcome.UP,
    *,
    at: int,
    interval: float = 60,
    ends: int | None = None,
    **given: Any,
) -> CheckResult:
    moment = as_moment(at)
    return CheckResult(
        target=target,
        url=given.pop("url", f"https://{target}.example.org/"),
        labels=given.pop("labels", {}),
        agent=vantage,
        scheduled_at=moment,
        time=moment,
        interval=interval,
        outcome=outcome,
        total_time=0.1,
        tls_not_after=None if ends is None else as_moment(ends).replace(tzinfo=UTC),
        **given,
    )


class World:
    """A judge, its log, and receivers that take at once what is due, unless they are said to be away."""

    def __init__(self, rules: PlainRules | None = None, *, now: int = START, **conditions: Any) -> None:
        self.rules = rules or PlainRules(Conditions(**conditions))
        self.now = now
        self.log: dict[str, bytes] = {}
        self.told: list[tuple[int, str, str, str, str]] = []
        """When, channel, subject, condition, event."""
        self.messages: list[tuple[str, tuple[str, ...]]] = []
        """Channel, and `event subject condition` of each thing told in one message."""
        self.away: set[str] = set()
        self.offset = 0
        self.partition_of: dict[str, int] = {}
        """Where the results of a target are; 0 where it is not said."""
        self.results: list[tuple[CheckResult, int, int]] = []
        """With arrival and offset."""
        self.lag = 0
        self.judge = Judge(self.rules, now=now)
        self.tick()

    def take(self, changes: Sequence[Change]) -> None:
        for key, value in changes:
            if value is None:
                self.log.pop(key, None)
            else:
                self.log[key] = value

    def check(
        self,
        target: str = "shop",
        vantage: str = "a",
        outcome: Outcome = Outcome.UP,
        *,
        at: int | None = None,
        **g: Any,
    ) -> None:
        """Let a check end now, which began now or at `at`."""
        self.offset += 1
        one = result(target, vantage, outcome, at=self.now if at is None else at, **g)
        self.publish(one)

    def publish(self, one: CheckResult) -> None:
        """Let a result arrive now."""
        self.results.append((one, self.now, self.offset))
        partition = self.partition_of.get(one.target, 0)
        self.take(self.judge.result(one, self.now, partition=partition, offset=self.offset))
        self.deliver()

    def up(self, target: str = "shop", vantage: str = "a", **given: Any) -> None:
        self.check(target, vantage, Outcome.UP, **given)

    def fail(self, target: str = "shop", vantage: str = "a", **given: Any) -> None:
        self.check(target, vantage, given.pop("outcome", Outcome.TIMEOUT), error="no answer", **given)

    def tick(self) -> None:
        self.take(self.judge.tick(self.now, lag=self.lag))
        silent = {f"{OF_A_PARTITION}{number}" for number in self.judge.silent_partitions()}
        known = {subject for _, subject in self.judge.book.open if subject.startswith(OF_A_PARTITION)}
        for name in sorted(silent ^ known):
            self.take(self.judge.monitor(name, is_open=name in silent, detail="nothing comes", at=self.now))
        self.deliver()

    def wait(self, milliseconds: int) -> None:
        """Let time pass, second by second, and nothing else happen."""
        until = self.now + milliseconds
        while self.now < until:
            self.now = min(self.now + SECOND, until)
            self.tick()

    def hours(self, count: int) -> None:
        """Let time pass in the longest steps that are no pause of the judge's."""
        for _ in range(count * 400):
            self.now += 9 * SECOND
            self.tick()

    def deliver(self) -> None:
        for message in self.judge.due(self.now):
            if message.channel in self.away:
                continue
            self.messages.append((message.channel, tuple(self.text(n) for n in message.notices)))
            for notice in message.notices:
                episode = self.episode(notice)
                said = (self.now, message.channel, episode.subject, str(episode.condition), notice.event)
                self.told.append(said)
            self.take(self.judge.sent([n.id for n in message.notices], at=self.now))

    def episode(self, notice: Notice) -> Episode:
        episode = self.judge.episode(notice.episode)
        assert episode is not None
        return episode

    def text(self, notice: Notice) -> str:
        episode = self.episode(notice)
        return f"{notice.event} {episode.subject} {episode.condition}"

    def said(self, channel: str = "mail") -> list[str]:
        """Give all that a channel was told, in order."""
        return [text for to, texts in self.messages if to == channel for text in texts]

    def open(self, condition: Condition = Condition.DOWN, subject: str = "shop") -> Episode | None:
        for episode in self.judge.episodes():
            if episode.is_open and episode.condition is condition and episode.subject == subject:
                return episode
        return None

    def rounds(
        self,
        times: int,
        outcomes: Mapping[str, Outcome] | str,
        *,
        target: str = "shop",
        interval: int = 60,
        **given: Any,
    ) -> None:
        """Let vantages check in turn, spread over the interval; `u` and `f` of a text are those of a, b, c."""
        if isinstance(outcomes, str):
            outcomes = {
                chr(ord("a") + place): Outcome.UP if letter == "u" else Outcome.TIMEOUT
                for place, letter in enumerate(outcomes)
            }
        for _ in range(times):
            for vantage, outcome in outcomes.items():
                self.check(target, vantage, outcome, interval=interval, **given)
                self.wait(interval * SECOND // len(outcomes))

    def restart(self, *, position: int | None = None, seen: bool = True) -> None:
        """Let another judge take over.

        Args:
            position: the offset up to which the log says that was judged; None: all.
            seen: whether it reads the results before that once more.
        """
        self.judge = Judge(self.rules, now=self.now)
        self.judge.restore(list(self.log.items()))
        for one, arrived, offset in self.results:
            again = position is None or offset <= position
            if seen or not again:
                partition = self.partition_of.get(one.target, 0)
                self.take(self.judge.result(one, arrived, partition=partition, offset=offset, again=again))
        self.tick()

"""A replay: what rules would have told, when and to whom, judged anew from what is stored.

The judge is the one that runs, with a clock that is given and channels that take everything at once. Of the results
only those are judged that may change something (webmon/alarm/past.py); in between a target is passed over. A result
counts as arrived when its check was over. Time alone is looked at once a second, as the judge does, where something is
due or a vantage is in doubt, and else every ten seconds.
"""

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from webmon.alarm.conditions import Rules
from webmon.alarm.judge import Judge, Listed
from webmon.alarm.moments import as_milliseconds, as_moment
from webmon.alarm.past import Seen, Span, Target, merged, whole_hour
from webmon.alarm.records import Maintenance, Silence
from webmon.check.result import CheckResult, Outcome

_DAY: Final = timedelta(days=1)
_PIECE: Final = timedelta(hours=1)
_TICK: Final = 1_000
_LONGEST_TICK: Final = 10_000
"""Milliseconds; a longer one is a pause to the judge."""
_GONE: Final = timedelta(hours=3)
"""What has no result so long before the end counts as taken from the list when its results end."""
_MOMENT: Final = timedelta(milliseconds=1)


class Store(Protocol):
    """What a replay reads: webmon.alarm.past.Past."""

    @property
    def targets(self) -> Mapping[int, Target]:
        """Give the targets by their numbers."""

    def eventful(self, since: datetime, until: datetime) -> Mapping[int, Sequence[Span]]:
        """Give when a target's results say more than that it is up as before."""

    def results(self, spans: Sequence[tuple[int, Span]]) -> Iterator[Seen]:
        """Give results in the order of their times."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a channel is told of an episode."""

    id: str
    """Of the notice."""
    message: str
    """Those with the same are one message of a channel."""
    at: datetime
    channel: str
    event: str
    condition: str
    severity: str
    subject: str
    since: datetime


class Replay:
    """One run of the judge through the past."""

    def __init__(
        self,
        rules: Rules,
        store: Store,
        *,
        since: datetime,
        until: datetime,
        quiet: Iterable[Silence | Maintenance] = (),
        acks: Iterable[tuple[int, str, str]] = (),
    ) -> None:
        """Take the past.

        Args:
            rules: to judge by.
            store: what is stored.
            since: what is told from then on is given; the judge begins at the whole hour two before it.
            until: the end.
            quiet: silences and maintenance that people ordered.
            acks: when (milliseconds since the epoch) which episode was acknowledged by whom.
        """
        self._store = store
        self._since, self._until = since, until
        self._begin = whole_hour(since) - 2 * _PIECE
        self._now = self._ticked = as_milliseconds(self._begin)
        self._judge = Judge(rules, now=self._now)
        self._heap: list[tuple[int, int, Any]] = []
        self._entries = itertools.count()
        self._spans: dict[int, list[Span]] = {}
        """Of the day: those of each target, the next one last."""
        self._awake: set[int] = set()
        """Targets whose results are all read, as something is open or under way."""
        self._passed: dict[str, int] = {}
        """Up to when each vantage is known to see some target up."""
        self._piece_ends = self._day_ends = self._begin
        self.told: list[Told] = []
        self.judged = 0
        """Results that were read."""
        self._known: set[int] = set()
        """Targets that had a result."""
        self._left: set[int] = set()
        """Targets whose results end for good."""
        for order in quiet:
            self._judge.order(order)
        for at, episode, by in acks:
            self._push(at, (episode, by))
        for number, one in store.targets.items():
            if self._begin <= one.last_seen < until - _GONE:
                self._push(as_milliseconds(one.last_seen), number)

    def run(self) -> list[Told]:
        """Judge it all; give what is told from `since` on, in order."""
        self._awake = set(self._store.targets)
        self._judge.tick(self._now)
        while self._day_ends < self._until:
            begin, self._day_ends = self._day_ends, min(self._day_ends + _DAY, whole_hour(self._until) + _PIECE)
            found = self._store.eventful(begin, self._day_ends)
            last = {target: [span for span in spans if span.end > begin] for target, spans in self._spans.items()}
            self._spans = {
                target: merged([*last.get(target, ()), *found.get(target, ())])[::-1]
                for target in last.keys() | found.keys()
            }
            self._fall_asleep(set(self._store.targets) - self._awake, begin)
            while self._piece_ends < self._day_ends:
                self._run_piece()
        return self.told

    def _run_piece(self) -> None:
        begin = self._piece_ends
        end = self._piece_ends = min(begin + _PIECE, self._day_ends)
        if begin > self._begin:
            self._fall_asleep(self._awake, begin)
        wanted = [(target, Span(begin, end)) for target in self._awake]
        for target, spans in self._spans.items():
            if target in self._awake:
                continue
            for span in reversed(spans):
                if span.begin >= end:
                    break
                if span.end > begin:
                    inside = Span(max(span.begin, begin), min(span.end, end))
                    wanted.append((target, inside))
                    self._push(as_milliseconds(inside.end), (target,))
        for seen in self._store.results(wanted):
            self._go_on(as_milliseconds(seen.time))
            self._take(seen)
        self._go_on(as_milliseconds(min(end, self._until)))

    def _take(self, seen: Seen) -> None:
        if seen.time < self._until:
            self._push(as_milliseconds(seen.time + timedelta(seconds=seen.total_secs)), seen)

    def _push(self, at: int, what: Any) -> None:
        heapq.heappush(self._heap, (at, next(self._entries), what))

    def _go_on(self, until: int) -> None:
        """Let happen what is known to happen until a moment."""
        heap = self._heap
        while heap and heap[0][0] <= until:
            at, _, what = heapq.heappop(heap)
            self._let_time_pass(at)
            match what:
                case Seen():
                    self._result(what, at)
                case (int(target),):
                    self._span_ends(target)
                case (str(episode), by):
                    self._judge.acknowledge(episode, by=by, at=at)
                case int(target):
                    self._left.add(target)
                    self._use_list(at)
        self._let_time_pass(until)

    def _use_list(self, at: int) -> None:
        """Say which targets are watched, once one is no more."""
        if self._left:
            listed = [self._store.targets[number] for number in self._known - self._left]
            self._judge.list_targets([Listed(one.name, one.url, one.labels, 60.0) for one in listed], at=at)

    def _result(self, seen: Seen, at: int) -> None:
        target = self._store.targets[seen.target]
        result = CheckResult(
            target=target.name,
            url=target.url,
            labels=target.labels,
            agent=seen.agent,
            scheduled_at=seen.time,
            time=seen.time,
            interval=seen.interval,
            outcome=seen.outcome,
            error=seen.error,
            http_status=seen.http_status,
            total_time=seen.total_secs,
            tls_not_after=seen.tls_not_after,
        )
        self.judged += 1
        self._judge.result(result, at, partition=0, offset=self.judged)
        if seen.target not in self._known:
            self._known.add(seen.target)
            self._use_list(at)
        if seen.outcome is Outcome.AGENT_ERROR and self._passed.get(seen.agent, 0) > at:
            self._judge.has_voted(seen.agent)
        self._deliver()

    def _span_ends(self, target: int) -> None:
        """See whether a target can be passed over from now on; else its results are read to the end of the piece."""
        if target in self._awake:
            return
        now = as_moment(self._now)
        self._fall_asleep({target}, now)
        if target in self._awake and now < self._piece_ends:
            for seen in self._store.results([(target, Span(now, self._piece_ends))]):
                self._take(seen)

    def _fall_asleep(self, targets: set[int], now: datetime) -> None:
        """Pass over those that are calm, each until its next span; the others are awake from now on."""
        for target in list(targets):
            spans = self._spans.get(target, [])
            while spans and spans[-1].end <= now:
                spans.pop()
            if spans and spans[-1].begin <= now:
                self._awake.discard(target)  # it is read anyway, and looked at where that ends
                continue
            until = spans[-1].begin if spans else self._day_ends
            passed = self._judge.pass_over(
                self._store.targets[target].name, now=as_milliseconds(now), until=as_milliseconds(until - _MOMENT)
            )
            if passed is None:
                self._awake.add(target)
                continue
            self._awake.discard(target)
            for vantage in passed:
                self._passed[vantage] = max(self._passed.get(vantage, 0), as_milliseconds(until))

    def _let_time_pass(self, until: int) -> None:
        judge = self._judge
        while True:
            notices = (notice.due for notice in judge.book.waiting.values())
            step = _TICK if judge.has_doubts() else _LONGEST_TICK
            due = min(self._ticked + step, judge.next_look(), *notices)
            due = max(due, self._ticked + _TICK)
            if due > until:
                break
            self._now = self._ticked = due
            judge.tick(due)
            self._deliver()
        self._now = max(self._now, until)

    def _deliver(self) -> None:
        if not self._judge.book.waiting:
            return
        since = as_milliseconds(self._since)
        for message in self._judge.due(self._now):
            for notice in message.notices if self._now >= since else ():
                episode = self._judge.episode(notice.episode)
                assert episode is not None
                self.told.append(
                    Told(
                        notice.id,
                        f"{message.channel}/{message.group}",
                        as_moment(self._now),
                        notice.channel,
                        notice.event,
                        episode.condition.value,
                        episode.severity.value,
                        episode.subject,
                        as_moment(episode.since),
                    )
                )
            self._judge.sent([notice.id for notice in message.notices], at=self._now)

"""The numbers of targets, agents, series and contexts: looked up once and kept, added where they are new.

What nothing kept uses is removed by `webmon retention` while we remember its number (webmon/store/unused.py). So the
day of what a batch uses is told before its rows are added, at most once a day for each number, and what is gone then
is looked up anew.
"""

import hashlib
import json
import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final, NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from webmon.check.result import CheckResult
from webmon.sink import dimensions_sql as sql
from webmon.sink.allowance import Allowance
from webmon.store.counts import COUNT, MOST_CONTEXTS, Counts
from webmon.store.postgres import DatabaseAwayError
from webmon.store.unused import SEEN_BEHIND, SPARE

_log = logging.getLogger(__name__)

_KEPT: Final = 100_000
"""Numbers of a kind that are kept in memory; past that all are looked up anew."""
_COUNT_SECS: Final = 300.0
"""Rest between two looks at how many names the store holds."""
_TRIES: Final = 4
"""How often a batch's names are looked up while `webmon retention` removes some of them."""

_EXACT_SECS: Final = 2.0**33
"""Below it a float of seconds has a place for each microsecond (53 bits)."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_Context = tuple[float, int, bool | None, bool, str | None, str | None, str | None, datetime | None]


class _Target(NamedTuple):
    id: int
    url: str
    labels: dict[str, str]
    described_at: datetime
    first_seen: datetime
    last_seen: datetime


class _Agent(NamedTuple):
    id: int
    first_seen: datetime
    last_seen: datetime


class _Span(NamedTuple):
    """The newest result of one target or agent, and when the oldest was."""

    newest: CheckResult
    first: datetime


class _GoneError(Exception):
    """A number that we remember is of nothing any more."""


class Dimensions:
    """The small tables beside the rows, as far as one session knows them."""

    def __init__(
        self,
        execute: Callable[[Cursor, str, tuple[Any, ...] | None], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take what executes a statement, with its names filled in, and its values; and a clock, in seconds."""
        self._execute = execute
        self._clock = clock
        self._targets: dict[str, _Target] = {}
        self._agents: dict[str, _Agent] = {}
        self._series: dict[tuple[str, str], int] = {}
        self._contexts: dict[_Context, int] = {}
        self._day = self._until = date.min
        """The newest day (UTC) of all results since the last forget(), and the one until which we tell the use."""
        self._told_series: set[int] = set()
        self._told_contexts: set[int] = set()
        """Those that the store knows to be used until then."""
        self._counts: Counts | None = None
        self._count_at = clock()
        self._reduced = 0
        self._allowance = Allowance(clock)

    @property
    def has_an_agent_over(self) -> bool:
        """Whether an agent brought more new names than it may: ask over() before look_up() then."""
        return self._allowance.has_over()

    def over(self, cursor: Cursor, results: Sequence[CheckResult]) -> dict[int, str]:
        """Tell which results bring one more name of an agent that brought enough of them: their places, and why.

        Nothing is added.
        """
        why_strange = self._allowance.why_over(None)
        known = self._known_agents(cursor, sorted({one.agent for one in results})) if why_strange else set()
        reasons = {}
        for place, one in enumerate(results):
            why = why_strange if why_strange and one.agent not in known else self._allowance.why_over(one.agent)
            if why:
                reasons[place] = why
        new = self._new(cursor, [results[place] for place in reasons])
        return {place: why for (place, why), is_new in zip(reasons.items(), new, strict=True) if is_new}

    def forget(self) -> None:
        """Forget all numbers: the rows behind those that were just given may be gone."""
        self._targets.clear()
        self._agents.clear()
        self._series.clear()
        self._contexts.clear()
        self._begin(date.min)

    def look_up(self, cursor: Cursor, results: Sequence[CheckResult]) -> list[tuple[int, int]]:
        """Give each result's series and context, after adding those that are new and telling what was seen when.

        They stay until the results' rows are old enough to be dropped, once the transaction is committed.

        Raises:
            psycopg2.Error: the database refused; call forget() when the transaction is undone.
            DatabaseAwayError: names go as fast as they are added.
        """
        if self._clock() >= self._count_at:
            self._count(cursor)
        for _ in range(_TRIES):
            if max(len(self._targets), len(self._agents), len(self._series), len(self._contexts)) > _KEPT:
                self.forget()
            try:
                return self._numbers(cursor, results)
            except _GoneError:
                self.forget()
        raise DatabaseAwayError("names of targets and series are removed while they are looked up")

    def metrics(self) -> Iterator[Metric]:
        """Give how many names the store holds, as of the last look."""
        names = GaugeMetricFamily("webmon_sink_names", "Names in the database, counted every 5 min", labels=["of"])
        for what, count in (self._counts._asdict() if self._counts else {}).items():
            names.add_metric([what], count)
        yield names
        meaning = "Times that a context left out the address that answered, as there are too many"
        yield CounterMetricFamily("webmon_sink_reduced_contexts_total", meaning, value=self._reduced)
        meaning = "Times that an agent brought more new names within an hour than it may"
        yield CounterMetricFamily("webmon_sink_agents_over_total", meaning, value=self._allowance.times_over)

    def _numbers(self, cursor: Cursor, results: Sequence[CheckResult]) -> list[tuple[int, int]]:
        targets = [result.target for result in results]
        agents = [result.agent for result in results]
        spans = _spans(targets, results)
        day = max((span.newest.time.astimezone(UTC).date() for span in spans.values()), default=date.min)
        if day > self._day:
            self._begin(day)
        self._see_targets(cursor, spans)
        self._see_agents(cursor, _spans(agents, results))
        pairs = list(zip(targets, agents, strict=True))
        contexts = [_context(result) for result in results]
        series, known = self._series, self._contexts
        try:
            of_series, of_contexts = [series[pair] for pair in pairs], [known[context] for context in contexts]
        except KeyError:  # seldom: most batches bring no new name
            self._find_series(cursor, {pair for pair in pairs if pair not in series})
            brought = zip(contexts, agents, strict=True)
            self._find_contexts(cursor, {context: agent for context, agent in brought if context not in known})
            of_series, of_contexts = [series[pair] for pair in pairs], [known[context] for context in contexts]
        self._tell_use(cursor, sql.USE_SERIES, set(of_series), self._told_series)
        self._tell_use(cursor, sql.USE_CONTEXTS, set(of_contexts), self._told_contexts)
        return list(zip(of_series, of_contexts, strict=True))

    def _known_agents(self, cursor: Cursor, names: list[str]) -> set[str]:
        if unknown := [name for name in names if name not in self._agents]:
            self._find_agents(cursor, unknown)
        return {name for name in names if name in self._agents}

    def _new(self, cursor: Cursor, results: Sequence[CheckResult]) -> list[bool]:
        """Tell of each result whether the store lacks its target as it describes it, its series or its context."""
        if not results:
            return []
        targets = {one.target for one in results}
        if unknown := sorted(targets - self._targets.keys()):
            self._find_targets(cursor, unknown)
        self._known_agents(cursor, sorted({one.agent for one in results}))
        pairs = {
            (one.target, one.agent) for one in results if one.target in self._targets and one.agent in self._agents
        }
        if unknown_pairs := pairs - self._series.keys():
            self._find_known_series(cursor, unknown_pairs)
        contexts = [_context(one) for one in results]
        if unknown_contexts := {one for one in contexts if one not in self._contexts}:
            self._find_stored(cursor, {one: one for one in unknown_contexts})
        return [
            (one.target, one.agent) not in self._series
            or context not in self._contexts
            or (one.url, one.labels) != (self._targets[one.target].url, self._targets[one.target].labels)
            for one, context in zip(results, contexts, strict=True)
        ]

    def _begin(self, day: date) -> None:
        self._day = day
        self._until = day + SPARE
        self._told_series.clear()
        self._told_contexts.clear()

    def _tell_use(self, cursor: Cursor, statement: str, used: set[int], told: set[int]) -> None:
        if anew := sorted(used - told):
            self._execute(cursor, statement, (anew, self._until, self._until))
            if cursor.fetchone() != (len(anew),):
                raise _GoneError
            told.update(anew)

    def _count(self, cursor: Cursor) -> None:
        self._execute(cursor, COUNT, None)
        row = cursor.fetchone()
        assert row is not None
        before, self._counts = self._counts, Counts(*row)
        self._count_at = self._clock() + _COUNT_SECS
        if self._counts.contexts >= MOST_CONTEXTS > (before.contexts if before else 0):
            _log.warning(
                "the database holds %d contexts: new ones leave out the address that answered, until `webmon retention`"
                " has removed old ones; some site answers from ever new addresses",
                self._counts.contexts,
            )

    def _see_targets(self, cursor: Cursor, spans: dict[str, _Span]) -> None:
        names = sorted(spans)
        unknown = [name for name in names if name not in self._targets]
        if unknown:
            self._find_targets(cursor, unknown)
            if missing := [name for name in unknown if name not in self._targets]:
                self._allowance.count(spans[name].newest.agent for name in missing)
                self._execute(cursor, sql.ADD_TARGETS, self._descriptions(missing, spans))
                self._execute(cursor, sql.SEE_TARGETS, self._descriptions(missing, spans))
                if self._find_targets(cursor, missing) < len(missing):
                    raise _GoneError
        if told := [name for name in names if self._tells(name, spans[name])]:
            # Agents with different lists take turns at describing a target; each description is one name.
            self._allowance.count(
                newest.agent
                for newest in (
                    spans[name].newest for name in told if _is_described_anew(self._targets[name], spans[name])
                )
                if self._allowance.is_first((newest.target, newest.url, *newest.labels.items()))
            )
            self._execute(cursor, sql.SEE_TARGETS, self._descriptions(told, spans))
            if self._find_targets(cursor, told) < len(told):
                raise _GoneError

    def _tells(self, name: str, span: _Span) -> bool:
        # A late result may bring one more description of the past, or one that is told already: the database knows.
        known = self._targets[name]
        return _is_described_anew(known, span) or _tells_of_times(known, span)

    def _descriptions(self, names: list[str], spans: dict[str, _Span]) -> tuple[list[Any], ...]:
        chosen = [spans[name] for name in names]
        anew = [_is_described_anew(self._targets.get(name), spans[name]) for name in names]
        return (
            names,
            [span.newest.url for span in chosen],
            [json.dumps(span.newest.labels) for span in chosen],
            [span.first for span in chosen],
            # Since when it is described like this: the older results of the batch may have said otherwise.
            [span.newest.time if new else span.first for span, new in zip(chosen, anew, strict=True)],
            [span.newest.time for span in chosen],
        )

    def _find_targets(self, cursor: Cursor, names: list[str]) -> int:
        """Read what is known of targets; give of how many."""
        self._execute(cursor, sql.FIND_TARGETS, (names,))
        found = cursor.fetchall()
        for name, number, url, labels, *times in found:
            self._targets[name] = _Target(number, url, json.loads(labels), *times)
        return len(found)

    def _see_agents(self, cursor: Cursor, spans: dict[str, _Span]) -> None:
        names = sorted(spans)
        unknown = [name for name in names if name not in self._agents]
        if unknown:
            self._find_agents(cursor, unknown)
            if missing := [name for name in unknown if name not in self._agents]:
                self._allowance.count(None for _ in missing)
                self._execute(cursor, sql.ADD_AGENTS, _times(missing, spans))
                if self._find_agents(cursor, missing) < len(missing):
                    raise _GoneError
        if told := [name for name in names if _tells_of_times(self._agents[name], spans[name])]:
            self._execute(cursor, sql.SEE_AGENTS, _times(told, spans))
            if self._find_agents(cursor, told) < len(told):
                raise _GoneError

    def _find_agents(self, cursor: Cursor, names: list[str]) -> int:
        """Read what is known of agents; give of how many."""
        self._execute(cursor, sql.FIND_AGENTS, (names,))
        found = cursor.fetchall()
        for name, *values in found:
            self._agents[name] = _Agent(*values)
        return len(found)

    def _find_series(self, cursor: Cursor, unknown: set[tuple[str, str]]) -> None:
        if not unknown:
            return
        if missing := self._find_known_series(cursor, unknown):
            self._allowance.count(agent for _, agent in missing)
            targets, agents = self._numbers_of(missing)
            self._execute(cursor, sql.ADD_SERIES, (self._until, targets, agents))
            if self._find_known_series(cursor, missing):
                raise _GoneError

    def _find_known_series(self, cursor: Cursor, unknown: set[tuple[str, str]]) -> set[tuple[str, str]]:
        """Read what is known of pairs of a target and an agent; give those that are no series yet."""
        targets, agents = self._numbers_of(unknown)
        names = dict(zip(zip(targets, agents, strict=True), unknown, strict=True))
        self._execute(cursor, sql.FIND_SERIES, (self._until, targets, agents))
        for target, agent, number, is_told in cursor.fetchall():
            self._series[names.pop((target, agent))] = number
            if is_told:
                self._told_series.add(number)
        return set(names.values())

    def _numbers_of(self, pairs: Iterable[tuple[str, str]]) -> tuple[list[int], list[int]]:
        chosen = [(self._targets[target].id, self._agents[agent].id) for target, agent in pairs]
        return [target for target, _ in chosen], [agent for _, agent in chosen]

    def _find_contexts(self, cursor: Cursor, unknown: Mapping[_Context, str]) -> None:
        """Look contexts up, each with an agent that brought it, and add those that are new."""
        if not unknown:
            return
        missing = self._find_stored(cursor, {context: context for context in unknown})
        if missing and self._counts and self._counts.contexts >= MOST_CONTEXTS:
            self._reduced += len(missing)
            count = self._counts.contexts
            missing = self._find_stored(cursor, {context: _reduce(context, count) for context in missing})
        if missing:
            self._allowance.count(unknown[context] for context in missing)
            new = {_fingerprint(context): context for context in missing.values()}
            columns = map(list, zip(*new.values(), strict=True))
            self._execute(cursor, sql.ADD_CONTEXTS, (self._until, list(new), *columns))
            missing = self._find_stored(cursor, missing)
        if missing:
            raise _GoneError

    def _find_stored(self, cursor: Cursor, wanted: Mapping[_Context, _Context]) -> dict[_Context, _Context]:
        """Look contexts up, each as what the store shall have in its place; give those that are not there."""
        fingerprints = {context: _fingerprint(context) for context in wanted.values()}
        self._execute(cursor, sql.FIND_CONTEXTS, (self._until, list(fingerprints.values())))
        numbers: dict[str, int] = {}
        for fingerprint, number, is_told in cursor.fetchall():
            numbers[fingerprint] = number
            if is_told:
                self._told_contexts.add(number)
        missing = {}
        for context, stored in wanted.items():
            if (found := numbers.get(fingerprints[stored])) is None:
                missing[context] = stored
            else:
                self._contexts[context] = found
        return missing


def _spans(names: list[str], results: Sequence[CheckResult]) -> dict[str, _Span]:
    """Give the span of each name; the names stand beside the results."""
    ends: dict[str, list[CheckResult]] = {}
    for name, result in zip(names, results, strict=True):
        oldest_newest = ends.get(name)
        if oldest_newest is None:
            ends[name] = [result, result]
        elif result.time > oldest_newest[1].time:
            oldest_newest[1] = result
        elif result.time < oldest_newest[0].time:
            oldest_newest[0] = result
    return {name: _Span(newest, oldest.time) for name, (oldest, newest) in ends.items()}


def _context(result: CheckResult) -> _Context:
    return (
        result.interval,
        result.redirects,
        result.regex_match,
        result.body_truncated,
        # PostgreSQL's inet has no zone (fe80::1%eth0).
        result.remote_ip.partition("%")[0] if result.remote_ip else None,
        result.http_version,
        result.tls_version,
        result.tls_not_after,
    )


def _reduce(context: _Context, count: int) -> _Context:
    """Leave out what makes contexts many, where the store holds so many."""
    *plain, _, http_version, tls_version, ends = context
    # mypy does not count a starred part.
    kept = ends if count < 2 * MOST_CONTEXTS else None
    return (*plain, None, http_version, tls_version, kept)  # type: ignore[return-value]


def _fingerprint(context: _Context) -> str:
    *plain, ends = context
    text = json.dumps([*plain, None if ends is None else _exact(ends)])
    return str(uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16]))


def _exact(moment: datetime) -> float | int:
    """Give a time as a number that no other time has.

    As ever seconds, so that contexts which are stored are found: a float tells microseconds apart until the year 2242,
    and whole seconds always, which is all that a certificate has. What is neither, and so was taken for its neighbour,
    is microseconds: never written as a float is, so no other's number.
    """
    secs = moment.timestamp()
    if moment.microsecond == 0 or abs(secs) < _EXACT_SECS:
        return secs
    return (moment - _EPOCH) // _MICROSECOND


def _is_described_anew(known: _Target | None, span: _Span) -> bool:
    return known is not None and (span.newest.url, span.newest.labels) != (known.url, known.labels)


def _tells_of_times(known: _Target | _Agent, span: _Span) -> bool:
    return span.first < known.first_seen or span.newest.time >= known.last_seen + SEEN_BEHIND


def _times(names: list[str], spans: dict[str, _Span]) -> tuple[list[Any], ...]:
    return names, [spans[name].first for name in names], [spans[name].newest.time for name in names]

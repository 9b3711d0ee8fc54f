"""The numbers of targets, agents, series and contexts: looked up once and kept, added where they are new."""

import hashlib
import json
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from psycopg2.extensions import cursor as Cursor  # noqa: N812

from webmon.check.result import CheckResult

_LAST_SEEN: Final = timedelta(hours=1)
"""How far the last_seen of a target may be behind: the newest check itself is a row."""
_KEPT: Final = 100_000
"""Numbers of a kind that are kept in memory; past that all are looked up anew."""

_FIND_TARGETS: Final = """
SELECT target, id, url, labels::text, described_at, first_seen, last_seen FROM {targets} WHERE target = ANY(%s)
"""
_ADD_TARGETS: Final = """
INSERT INTO {targets} (target, url, labels, described_at, first_seen, last_seen)
SELECT target, url, labels, last, first, last
FROM unnest(%s::text[], %s::text[], %s::jsonb[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    AS new (target, url, labels, first, since, last)
ORDER BY target
ON CONFLICT DO NOTHING
"""
# An older description that comes late does not set a newer one back, but it has its place in the history.
_SEE_TARGETS: Final = """
WITH new AS (
    SELECT t.id, new.*
    FROM unnest(%s::text[], %s::text[], %s::jsonb[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
        AS new (target, url, labels, first, since, last)
    JOIN {targets} AS t USING (target)
), locked AS (
    SELECT id FROM {targets} WHERE id IN (SELECT id FROM new) ORDER BY target FOR UPDATE
), described AS (
    UPDATE {targets} AS t SET
        url = CASE WHEN new.last >= t.described_at THEN new.url ELSE t.url END,
        labels = CASE WHEN new.last >= t.described_at THEN new.labels ELSE t.labels END,
        described_at = greatest(t.described_at, new.last),
        first_seen = least(t.first_seen, new.first),
        last_seen = greatest(t.last_seen, new.last)
    FROM new JOIN locked USING (id) WHERE t.id = new.id
    RETURNING t.id
)
INSERT INTO {target_history} AS h (target_id, first_seen, last_seen, url, labels)
SELECT id, since, last, url, labels FROM new JOIN described USING (id) ORDER BY id
ON CONFLICT (target_id, md5(url), md5(labels::text)) DO UPDATE SET
    first_seen = least(h.first_seen, excluded.first_seen), last_seen = greatest(h.last_seen, excluded.last_seen)
"""
_FIND_AGENTS: Final = "SELECT agent, id, first_seen, last_seen FROM {agents} WHERE agent = ANY(%s)"
_ADD_AGENTS: Final = """
INSERT INTO {agents} (agent, first_seen, last_seen)
SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[]) ORDER BY 1
ON CONFLICT DO NOTHING
"""
_SEE_AGENTS: Final = """
WITH new AS (
    SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[]) AS new (agent, first, last)
), locked AS (
    SELECT agent FROM {agents} WHERE agent IN (SELECT agent FROM new) ORDER BY agent FOR UPDATE
)
UPDATE {agents} AS a SET first_seen = least(a.first_seen, new.first), last_seen = greatest(a.last_seen, new.last)
FROM new JOIN locked USING (agent) WHERE a.agent = new.agent
"""
_FIND_SERIES: Final = """
SELECT s.target_id, s.agent_id, s.id FROM unnest(%s::integer[], %s::integer[]) AS wanted (target_id, agent_id)
JOIN {series} AS s USING (target_id, agent_id)
"""
_ADD_SERIES: Final = """
INSERT INTO {series} (target_id, agent_id) SELECT * FROM unnest(%s::integer[], %s::integer[]) ORDER BY 1, 2
ON CONFLICT DO NOTHING
"""
_FIND_CONTEXTS: Final = "SELECT fingerprint::text, id FROM {contexts} WHERE fingerprint = ANY(%s::uuid[])"
_ADD_CONTEXTS: Final = """
INSERT INTO {contexts} (
    fingerprint, interval_secs, redirects, regex_match, body_truncated, remote_ip, http_version, tls_version,
    tls_not_after
)
SELECT * FROM unnest(
    %s::uuid[], %s::real[], %s::smallint[], %s::boolean[], %s::boolean[], %s::inet[], %s::text[], %s::text[],
    %s::timestamptz[]
) ORDER BY 1
ON CONFLICT DO NOTHING
"""

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


class Dimensions:
    """The small tables beside the rows, as far as one session knows them."""

    def __init__(self, execute: Callable[[Cursor, str, tuple[Any, ...]], None]) -> None:
        """Take what executes a statement, with its names filled in, and its values."""
        self._execute = execute
        self._targets: dict[str, _Target] = {}
        self._agents: dict[str, _Agent] = {}
        self._series: dict[tuple[str, str], int] = {}
        self._contexts: dict[_Context, int] = {}

    def forget(self) -> None:
        """Forget all numbers: the rows behind those that were just given may be gone."""
        self._targets.clear()
        self._agents.clear()
        self._series.clear()
        self._contexts.clear()

    def look_up(self, cursor: Cursor, results: Sequence[CheckResult]) -> list[tuple[int, int]]:
        """Give each result's series and context, after adding those that are new and telling what was seen when.

        Raises:
            psycopg2.Error: the database refused; call forget() when the transaction is undone.
        """
        if max(len(self._targets), len(self._agents), len(self._series), len(self._contexts)) > _KEPT:
            self.forget()
        targets = [result.target for result in results]
        agents = [result.agent for result in results]
        self._see_targets(cursor, _spans(targets, results))
        self._see_agents(cursor, _spans(agents, results))
        pairs = list(zip(targets, agents, strict=True))
        series = self._series
        self._find_series(cursor, {pair for pair in pairs if pair not in series})
        contexts = [_context(result) for result in results]
        known = self._contexts
        self._find_contexts(cursor, {context for context in contexts if context not in known})
        return [(series[pair], known[context]) for pair, context in zip(pairs, contexts, strict=True)]

    def _see_targets(self, cursor: Cursor, spans: dict[str, _Span]) -> None:
        names = sorted(spans)
        unknown = [name for name in names if name not in self._targets]
        if unknown:
            self._find_targets(cursor, unknown)
            if missing := [name for name in unknown if name not in self._targets]:
                self._execute(cursor, _ADD_TARGETS, self._descriptions(missing, spans))
                self._execute(cursor, _SEE_TARGETS, self._descriptions(missing, spans))
                self._find_targets(cursor, missing)
        if told := [name for name in names if self._tells(name, spans[name])]:
            self._execute(cursor, _SEE_TARGETS, self._descriptions(told, spans))
            self._find_targets(cursor, told)

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

    def _find_targets(self, cursor: Cursor, names: list[str]) -> None:
        self._execute(cursor, _FIND_TARGETS, (names,))
        for name, number, url, labels, *times in cursor.fetchall():
            self._targets[name] = _Target(number, url, json.loads(labels), *times)

    def _see_agents(self, cursor: Cursor, spans: dict[str, _Span]) -> None:
        names = sorted(spans)
        unknown = [name for name in names if name not in self._agents]
        if unknown:
            self._find_agents(cursor, unknown)
            if missing := [name for name in unknown if name not in self._agents]:
                self._execute(cursor, _ADD_AGENTS, _times(missing, spans))
                self._find_agents(cursor, missing)
        if told := [name for name in names if _tells_of_times(self._agents[name], spans[name])]:
            self._execute(cursor, _SEE_AGENTS, _times(told, spans))
            self._find_agents(cursor, told)

    def _find_agents(self, cursor: Cursor, names: list[str]) -> None:
        self._execute(cursor, _FIND_AGENTS, (names,))
        for name, *values in cursor.fetchall():
            self._agents[name] = _Agent(*values)

    def _find_series(self, cursor: Cursor, unknown: set[tuple[str, str]]) -> None:
        if not unknown:
            return
        names = {(self._targets[target].id, self._agents[agent].id): (target, agent) for target, agent in unknown}

        def find() -> None:
            self._execute(cursor, _FIND_SERIES, ([pair[0] for pair in names], [pair[1] for pair in names]))
            for target, agent, number in cursor.fetchall():
                self._series[names.pop((target, agent))] = number

        find()
        if names:
            self._execute(cursor, _ADD_SERIES, ([pair[0] for pair in names], [pair[1] for pair in names]))
            find()

    def _find_contexts(self, cursor: Cursor, unknown: set[_Context]) -> None:
        if not unknown:
            return
        wanted = {_fingerprint(context): context for context in unknown}

        def find() -> None:
            self._execute(cursor, _FIND_CONTEXTS, (list(wanted),))
            for fingerprint, number in cursor.fetchall():
                self._contexts[wanted.pop(fingerprint)] = number

        find()
        if wanted:
            self._execute(cursor, _ADD_CONTEXTS, (list(wanted), *map(list, zip(*wanted.values(), strict=True))))
            find()


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


def _fingerprint(context: _Context) -> str:
    *plain, ends = context
    text = json.dumps([*plain, ends and ends.timestamp()])
    return str(uuid.UUID(bytes=hashlib.sha256(text.encode()).digest()[:16]))


def _is_described_anew(known: _Target | None, span: _Span) -> bool:
    return known is not None and (span.newest.url, span.newest.labels) != (known.url, known.labels)


def _tells_of_times(known: _Target | _Agent, span: _Span) -> bool:
    return span.first < known.first_seen or span.newest.time >= known.last_seen + _LAST_SEEN


def _times(names: list[str], spans: dict[str, _Span]) -> tuple[list[Any], ...]:
    return names, [spans[name].first for name in names], [spans[name].newest.time for name in names]

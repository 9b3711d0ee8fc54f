"""The statements of a snapshot; names in braces are those of webmon.store.names.

Bounds of time stand in them as constants, so that the planner leaves out all chunks but those of the span.
"""

from collections.abc import Sequence
from typing import Final

from webmon.report.status import OF_NEWEST
from webmon.store.fleet import OF_AGENTS, OF_SINKS
from webmon.store.history import COLUMNS

BASIS: Final = """
SELECT
    now(),
    (SELECT max(version) FROM {migrations}),
    (SELECT coalesce(array_agg(DISTINCT hour), ARRAY[]::timestamptz[]) FROM {marks}),
    (SELECT count(*) FROM (SELECT DISTINCT hour, agent_id FROM {marks}) AS waiting),
    (SELECT coalesce(json_object_agg(kind, floor), '{{}}')::text FROM {floors}),
    (SELECT max(interval_secs) FROM {contexts})
"""
"""The moment, the schema, what is marked (hours; hours of vantages), what is kept, and the longest interval."""

NAMES: Final = """
SELECT id, target, url, labels, first_seen FROM {targets}
UNION ALL
SELECT -id, agent, NULL, NULL, first_seen FROM {agents}
"""
"""Targets, and agents with a negative number."""

NEWEST: Final = f"""
SELECT
    s.target_id, a.agent, m.time, c.interval_secs, m.outcome, m.http_status, e.answer, e.error, m.response_secs,
    m.total_secs, m.dns_secs, m.connect_secs, m.tls_secs, m.first_byte_secs, m.transfer_secs,
    c.redirects, host(c.remote_ip), c.http_version, c.tls_version, c.tls_not_after
{OF_NEWEST}
"""
"""The newest result of each series in a stretch of time, of all targets or of some."""

SUMS: Final = """
SELECT n, target_id, agent_id, sum(up), sum(slow), sum(down), sum(agent_error), sum(covered_secs::double precision)
FROM ({source}) AS held GROUP BY 1, 2, 3
"""
"""What was found in each numbered span, by target and agent."""
SUM_COLUMNS: Final = "{n} AS n, target_id, agent_id, up, slow, down, agent_error, covered_secs"
EACH_DAY: Final = """
SELECT {n} + (day - {since_day}) AS n, target_id, agent_id, up, slow, down, agent_error, covered_secs
FROM {daily} WHERE day >= {since_day} AND day < {until_day}
"""
"""Days in a row that nothing is marked in, each a span of its own."""
SOME_HOURS: Final = """
SELECT {n} AS n, target_id, agent_id, up, slow, down, agent_error, covered_secs
FROM {hours} WHERE hour >= {since} AND hour < {until} AND target_id = ANY ({those})
"""
"""Whole hours of some targets."""
SOME_ROWS: Final = """
SELECT {n} AS n, s.target_id, s.agent_id,
    (m.outcome <= 2)::integer AS up, (m.outcome = 2)::integer AS slow,
    (m.outcome BETWEEN 3 AND 12)::integer AS down, (m.outcome = 13)::integer AS agent_error,
    CASE WHEN m.outcome = 13 THEN 0 ELSE c.interval_secs END AS covered_secs
FROM {metrics} AS m JOIN {series} AS s ON s.id = m.series_id JOIN {contexts} AS c ON c.id = m.context_id
WHERE m.time >= {since} AND m.time < {until} AND s.target_id = ANY ({those})
"""
"""Parts of hours of some targets, from the results themselves."""

HISTOGRAMS: Final = """
WITH held AS MATERIALIZED ({source})
SELECT h.n, h.target_id, u.bucket, sum(u.count)::bigint, NULL::real, NULL::real
FROM held AS h CROSS JOIN LATERAL unnest(h.buckets, h.counts) AS u (bucket, count)
WHERE h.responses > 0
GROUP BY 1, 2, 3
UNION ALL
SELECT n, target_id, NULL, 0, min(response_min), max(response_max) FROM held WHERE responses > 0 GROUP BY 1, 2
"""
"""Response times of each numbered span by target: how often a bucket occurs; and without a bucket, the extremes."""
HISTOGRAM_COLUMNS: Final = "{n} AS n, target_id, responses, response_min, response_max, buckets, counts"


def _list_of(table: str, *which: str, columns: Sequence[str] = ()) -> str:
    """Give a list in JSON of the rows of a table that any of the conditions chooses, each with its order."""
    chosen = " UNION ALL ".join(
        f"(SELECT {', '.join(columns or COLUMNS[table])} FROM {{{table}}}"  # noqa: S608 - names of ours
        f" WHERE {one} LIMIT %(most)s)"
        for one in which
    )
    return f"(SELECT json_strip_nulls(coalesce(json_agg(r), '[]'))::text FROM ({chosen}) AS r)"  # noqa: S608


HISTORY: Final = f"""
SELECT
    (SELECT written FROM {{alarm_position}}),
    {_list_of("episodes", "closed IS NULL ORDER BY since DESC", "closed >= %(bars)s ORDER BY closed DESC")},
    {_list_of("notices", "state IN ('waiting', 'failed') ORDER BY due DESC")},
    {_list_of("silences", "until > now() ORDER BY until, id")},
    {_list_of("maintenance", "until > %(year)s ORDER BY begins, id")},
    {_list_of("announcements", "until IS NULL OR until > %(bars)s ORDER BY begins DESC, id")}
"""  # noqa: S608
"""What the judge wrote: since when it is as it is, episodes, notices, silences, maintenance, announcements."""
HISTORY_AND_FLEET: Final = f"""
{HISTORY.rstrip()},
    {_list_of("fleet", "kind = 'agent' ORDER BY at DESC", columns=("name", *OF_AGENTS))},
    {_list_of("fleet", "kind = 'sink' ORDER BY at DESC", columns=("name", *OF_SINKS))}
"""
"""The same, and what agents and sinks said of themselves."""

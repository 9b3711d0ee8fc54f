"""The statements of `webmon incidents`; names in braces are those of webmon.store.names.

All but the first are about the hours of one day, or go on from a time; they name its bounds as constants, so that the
planner leaves out all chunks but those: to do so for each row anew takes a hundred times as long.
"""

from typing import Final

BAD_HOURS: Final = """
SELECT s.target_id, a.agent, s.id, array_agg(h.hour ORDER BY h.hour)
FROM {source} AS h JOIN {series} AS s USING (target_id, agent_id) JOIN {agents} AS a ON a.id = h.agent_id
GROUP BY 1, 2, 3
"""
"""The hours with a failure, which rollups name, of each series."""

RUNS: Final = """
WITH held AS (
    SELECT b.series_id, b.since, m.time, m.outcome, m.outcome > 2 AS is_down
    FROM unnest(%(series)s::integer[], %(begins)s::timestamptz[], %(ends)s::timestamptz[])
        AS b (series_id, since, until)
    CROSS JOIN LATERAL (
        SELECT time, outcome FROM {metrics} AS m
        WHERE m.series_id = b.series_id AND m.time >= b.since AND m.time < b.until
            AND m.time >= %(first)s AND m.time < %(last)s AND m.outcome < 13
    ) AS m
), changes AS (
    SELECT *, is_down IS DISTINCT FROM lag(is_down) OVER (PARTITION BY series_id, since ORDER BY time) AS begins
    FROM held
), numbered AS (
    SELECT *, count(*) FILTER (WHERE begins) OVER (PARTITION BY series_id, since ORDER BY time) AS run FROM changes
)
SELECT series_id, min(time), max(time), is_down, array_agg(DISTINCT outcome) FROM numbered
GROUP BY series_id, since, run, is_down
"""
"""The rows of some stretches of time as runs of results that are all up or all down; an agent_error breaks none."""

AFTER: Final = """
SELECT asked.id, up.time, down.time, down.outcome
FROM unnest(%(series)s::integer[], %(times)s::timestamptz[]) AS asked (id, time)
LEFT JOIN LATERAL (
    SELECT time FROM {metrics} AS m
    WHERE m.series_id = asked.id AND m.time > asked.time AND m.time >= %(first)s AND m.outcome <= 2
    ORDER BY time LIMIT 1
) AS up ON true
LEFT JOIN LATERAL (
    SELECT time, outcome FROM {metrics} AS m
    WHERE m.series_id = asked.id AND m.time > asked.time AND m.time >= %(first)s
        AND m.time < coalesce(up.time, 'infinity') AND m.outcome BETWEEN 3 AND 12
    ORDER BY time DESC LIMIT 1
) AS down ON true
"""
"""The first result that is up after a time, and the last failure before that, of each series that is asked about."""

LONGEST: Final = "SELECT max(interval_secs) FROM {contexts}"
"""The longest interval of all checks."""

DOWN_SINCE: Final = """
SELECT asked.id, m.time, m.outcome
FROM unnest(%(series)s::integer[], %(times)s::timestamptz[]) AS asked (id, time)
LEFT JOIN LATERAL (
    SELECT time FROM {metrics} AS m
    WHERE m.series_id = asked.id AND m.time < asked.time AND m.time < %(last)s AND m.outcome <= 2
    ORDER BY time DESC LIMIT 1
) AS up ON true
CROSS JOIN LATERAL (
    SELECT time, outcome FROM {metrics} AS m
    WHERE m.series_id = asked.id AND m.time > coalesce(up.time, '-infinity') AND m.time < asked.time
        AND m.time < %(last)s AND m.outcome BETWEEN 3 AND 12
    ORDER BY time LIMIT 1
) AS m
"""
"""The first of the failures before a time that have nothing that is up between them and that time."""

INTERVALS: Final = """
SELECT m.series_id, c.interval_secs FROM {metrics} AS m JOIN {contexts} AS c ON c.id = m.context_id
WHERE (m.series_id, m.time) IN (SELECT * FROM unnest(%(series)s::integer[], %(times)s::timestamptz[]))
    AND m.time >= %(first)s AND m.time <= %(last)s
"""
"""The interval of the check at a time."""

ERRORS: Final = """
SELECT e.series_id, e.time, e.error FROM {errors} AS e
WHERE (e.series_id, e.time) IN (SELECT * FROM unnest(%(series)s::integer[], %(times)s::timestamptz[]))
    AND e.time >= %(first)s AND e.time <= %(last)s
"""
"""The error text of the check at a time."""

WATCHING: Final = """
SELECT asked.n, array_agg(a.agent ORDER BY a.agent)
FROM unnest(%(targets)s::integer[], %(begins)s::timestamptz[], %(ends)s::timestamptz[])
    WITH ORDINALITY AS asked (target_id, since, until, n)
JOIN {series} AS s USING (target_id)
JOIN {agents} AS a ON a.id = s.agent_id
CROSS JOIN LATERAL (
    SELECT FROM {metrics} AS m
    WHERE m.series_id = s.id AND m.time >= asked.since AND m.time <= asked.until
        AND m.time >= %(first)s AND m.time <= %(last)s AND m.outcome < 13 LIMIT 1
) AS m
GROUP BY 1
"""
"""The agents that had a result of a target in a stretch of time, an agent_error aside."""

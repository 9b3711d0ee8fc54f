-- Kinds of probe beside HTTP: what came, in one line; and the kind, for people. It is the scheme of the target's URL, so
-- nothing is stored for it.
--
-- An answer stands beside the error of its check: checks of HTTP have none, and a column of the checks' own rows that is
-- null would make each 8 bytes longer, as PostgreSQL adds its map of nulls then. Sinks of the release before go on
-- beside: their INSERT names the columns, and this one is null then.
ALTER TABLE {errors} ADD COLUMN answer text;
ALTER TABLE {errors} ALTER COLUMN error DROP NOT NULL;
COMMENT ON TABLE {errors} IS 'webmon: the texts of checks that have one: why it failed, what came';
COMMENT ON COLUMN {errors}.answer IS 'webmon: what came, in one line, as a banner or records; null for HTTP';

-- A view that is replaced keeps its columns and their order, and new ones stand at the end.
CREATE OR REPLACE VIEW {view} AS
SELECT
    m.time,
    t.url AS web_url,
    m.http_status,
    m.response_secs AS resp_time,
    c.regex_match,
    a.agent,
    {outcome_of}(m.outcome) AS outcome,
    e.error,
    t.target,
    t.labels,
    m.total_secs AS total_time,
    m.dns_secs AS dns,
    m.connect_secs AS connect,
    m.tls_secs AS tls,
    m.first_byte_secs AS first_byte,
    m.transfer_secs AS transfer,
    m.delay_secs AS delay,
    m.body_bytes,
    c.body_truncated,
    c.redirects,
    c.http_version,
    c.remote_ip,
    c.tls_version,
    c.tls_not_after,
    c.interval_secs AS interval,
    lower(split_part(t.url, ':', 1)) AS kind,
    e.answer
FROM {metrics} AS m
LEFT JOIN {series} AS s ON s.id = m.series_id
LEFT JOIN {targets} AS t ON t.id = s.target_id
LEFT JOIN {agents} AS a ON a.id = s.agent_id
LEFT JOIN {contexts} AS c ON c.id = m.context_id
LEFT JOIN {errors} AS e ON e.series_id = m.series_id AND e.time = m.time;

CREATE OR REPLACE VIEW {latest} AS
SELECT
    t.target, a.agent, m.time, t.url, t.labels, {outcome_of}(m.outcome) AS outcome, m.http_status,
    m.response_secs AS resp_time, c.regex_match, e.error, c.interval_secs AS interval, c.tls_not_after,
    lower(split_part(t.url, ':', 1)) AS kind, e.answer
FROM {series} AS s
JOIN {targets} AS t ON t.id = s.target_id
JOIN {agents} AS a ON a.id = s.agent_id
CROSS JOIN LATERAL (SELECT * FROM {metrics} AS m WHERE m.series_id = s.id ORDER BY m.time DESC LIMIT 1) AS m
JOIN {contexts} AS c ON c.id = m.context_id
LEFT JOIN {errors} AS e ON e.series_id = m.series_id AND e.time = m.time;

-- Releases before took any interval, and the sum of two such is larger than its column: it would end every rollup, and
-- every report, of all that is marked in the same hour.
CREATE OR REPLACE FUNCTION {of_rows}(an_hour timestamptz, agents integer[]) RETURNS SETOF {hourly}
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1000 SET plan_cache_mode = force_custom_plan SET jit = off
SET enable_nestloop = off AS $webmon$
BEGIN
    RETURN QUERY
    WITH counted AS MATERIALIZED (
        SELECT
            m.series_id, m.context_id, m.outcome,
            CASE WHEN m.response_secs IS NOT NULL THEN {bucket_of}(m.response_secs) END AS bucket,
            count(*)::integer AS n, sum(m.response_secs::double precision) AS response_sum,
            min(m.response_secs) AS response_min, max(m.response_secs) AS response_max
        FROM {metrics} AS m
        WHERE m.time >= an_hour AND m.time < an_hour + INTERVAL '1 hour'
            AND m.series_id IN (SELECT id FROM {series} WHERE agent_id = ANY (agents))
        GROUP BY 1, 2, 3, 4
    ), sums AS (
        SELECT
            k.series_id, sum(k.n)::integer AS results,
            sum(CASE WHEN k.outcome <= 2 THEN k.n ELSE 0 END)::integer AS up,
            sum(CASE WHEN k.outcome = 2 THEN k.n ELSE 0 END)::integer AS slow,
            sum(CASE WHEN k.outcome BETWEEN 3 AND 12 THEN k.n ELSE 0 END)::integer AS down,
            sum(CASE WHEN k.outcome = 13 THEN k.n ELSE 0 END)::integer AS agent_error,
            least(sum(CASE WHEN k.outcome = 13 THEN 0 ELSE k.n * c.interval_secs::double precision END), 1e30)::real AS covered_secs,
            sum(CASE WHEN k.bucket IS NULL THEN 0 ELSE k.n END)::integer AS responses,
            coalesce(sum(k.response_sum), 0) AS response_sum,
            min(k.response_min) AS response_min, max(k.response_max) AS response_max
        FROM counted AS k JOIN {contexts} AS c ON c.id = k.context_id
        GROUP BY 1
    ), failures AS (
        SELECT f.series_id, array_agg(f.n ORDER BY f.outcome) AS failures
        FROM (
            SELECT down.series_id, listed.outcome, sum(CASE WHEN down.outcome = listed.outcome THEN down.n ELSE 0 END)::integer AS n
            FROM counted AS down CROSS JOIN generate_series(3, 12) AS listed (outcome)
            WHERE down.outcome BETWEEN 3 AND 12
            GROUP BY 1, 2
        ) AS f
        GROUP BY 1
    ), histograms AS (
        SELECT b.series_id, array_agg(b.bucket ORDER BY b.bucket) AS buckets, array_agg(b.n ORDER BY b.bucket) AS counts
        FROM (
            SELECT k.series_id, k.bucket, sum(k.n)::integer AS n FROM counted AS k WHERE k.bucket IS NOT NULL GROUP BY 1, 2
        ) AS b
        GROUP BY 1
    )
    SELECT
        an_hour, h.response_sum, s.target_id, s.agent_id, h.results, h.up, h.slow, h.down, h.agent_error, h.covered_secs,
        h.responses, h.response_min, h.response_max, f.failures, coalesce(g.buckets, '{{}}'), coalesce(g.counts, '{{}}')
    FROM sums AS h
    JOIN {series} AS s ON s.id = h.series_id
    LEFT JOIN failures AS f ON f.series_id = h.series_id
    LEFT JOIN histograms AS g ON g.series_id = h.series_id
    ORDER BY s.target_id, s.agent_id;
END
$webmon$;

CREATE OR REPLACE FUNCTION {of_hours}(a_day date, agents integer[]) RETURNS SETOF {daily}
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1000 SET plan_cache_mode = force_custom_plan SET jit = off
SET enable_nestloop = off AS $webmon$
DECLARE
    since timestamptz := a_day::timestamp AT TIME ZONE 'UTC';
BEGIN
    RETURN QUERY
    WITH held AS MATERIALIZED (
        SELECT * FROM {hours} AS h WHERE h.hour >= since AND h.hour < since + INTERVAL '24 hours' AND h.agent_id = ANY (agents)
    ), by_bucket AS (
        SELECT h.target_id, h.agent_id, u.bucket, sum(u.count)::integer AS count
        FROM held AS h CROSS JOIN LATERAL unnest(h.buckets, h.counts) AS u (bucket, count)
        GROUP BY 1, 2, 3
    ), histograms AS (
        SELECT
            b.target_id, b.agent_id,
            array_agg(b.bucket ORDER BY b.bucket) AS buckets, array_agg(b.count ORDER BY b.bucket) AS counts
        FROM by_bucket AS b
        GROUP BY 1, 2
    ), by_series AS (
        SELECT
            h.target_id, h.agent_id, sum(h.response_sum) AS response_sum, sum(h.results)::integer AS results,
            sum(h.up)::integer AS up, sum(h.slow)::integer AS slow, sum(h.down)::integer AS down,
            sum(h.agent_error)::integer AS agent_error, least(sum(h.covered_secs::double precision), 1e30)::real AS covered_secs,
            sum(h.responses)::integer AS responses, min(h.response_min) AS response_min, max(h.response_max) AS response_max,
            ARRAY[
                sum(h.failures[1]), sum(h.failures[2]), sum(h.failures[3]), sum(h.failures[4]), sum(h.failures[5]),
                sum(h.failures[6]), sum(h.failures[7]), sum(h.failures[8]), sum(h.failures[9]), sum(h.failures[10])
            ]::integer[] AS failures
        FROM held AS h
        GROUP BY 1, 2
    )
    SELECT
        d.response_sum, a_day, d.target_id, d.agent_id, d.results, d.up, d.slow, d.down, d.agent_error, d.covered_secs,
        d.responses, d.response_min, d.response_max, CASE WHEN d.down > 0 THEN d.failures END,
        coalesce(g.buckets, '{{}}'), coalesce(g.counts, '{{}}')
    FROM by_series AS d LEFT JOIN histograms AS g USING (target_id, agent_id)
    ORDER BY d.target_id, d.agent_id;
END
$webmon$;

-- Narrower rows, what stays from check to check told once, and rollups that are exact at any moment.
-- Names in braces are made from POSTGRES_TABLE (webmon/store/names.py, which also says who may read what).

DROP VIEW {view};
ALTER TABLE {metrics} RENAME TO {old_metrics};
ALTER TABLE {errors} RENAME TO {old_errors};

-- 1. Who and what -----------------------------------------------------------------------------------------------------

-- Updated at most once an hour for each target and agent: the newest check itself is in the view of the latest.
ALTER TABLE {targets} ADD COLUMN first_seen timestamptz, ADD COLUMN last_seen timestamptz;
ALTER TABLE {agents} ADD COLUMN first_seen timestamptz, ADD COLUMN last_seen timestamptz;
UPDATE {targets} AS t SET first_seen = seen.first, last_seen = seen.last
FROM (SELECT target_id, min(time) AS first, max(time) AS last FROM {old_metrics} GROUP BY 1) AS seen
WHERE seen.target_id = t.id;
UPDATE {targets} SET first_seen = described_at, last_seen = described_at WHERE first_seen IS NULL;
UPDATE {agents} AS a SET first_seen = seen.first, last_seen = seen.last
FROM (SELECT agent_id, min(time) AS first, max(time) AS last FROM {old_metrics} GROUP BY 1) AS seen
WHERE seen.agent_id = a.id;
UPDATE {agents} SET first_seen = now(), last_seen = now() WHERE first_seen IS NULL;
ALTER TABLE {targets} ALTER COLUMN first_seen SET NOT NULL, ALTER COLUMN last_seen SET NOT NULL;
ALTER TABLE {agents} ALTER COLUMN first_seen SET NOT NULL, ALTER COLUMN last_seen SET NOT NULL;

-- Each description that a target ever had, and from when to when it was seen. Not a row for each change: two agents
-- with different lists would make one a minute, and here they make two rows whose times overlap.
CREATE TABLE {target_history} (
    target_id integer NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    url text NOT NULL,
    labels jsonb NOT NULL
);
-- A hash, as a URL may be longer than an index takes.
CREATE UNIQUE INDEX ON {target_history} (target_id, md5(url), md5(labels::text));
INSERT INTO {target_history} (target_id, first_seen, last_seen, url, labels)
SELECT id, first_seen, last_seen, url, labels FROM {targets};

-- One target as one agent sees it: one number in a row instead of two, and the list of what may have a newest result.
CREATE TABLE {series} (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target_id integer NOT NULL,
    agent_id integer NOT NULL,
    UNIQUE (target_id, agent_id)
);
CREATE INDEX ON {series} (agent_id);
INSERT INTO {series} (target_id, agent_id) SELECT DISTINCT target_id, agent_id FROM {old_metrics} ORDER BY 1, 2;

-- What seldom differs from one check to the next.
CREATE TABLE {contexts} (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Seconds between two checks of the target by this agent: what tells coverage from silence.
    interval_secs real NOT NULL,
    redirects smallint NOT NULL,
    regex_match boolean,
    body_truncated boolean NOT NULL,
    remote_ip inet,
    http_version text,
    tls_version text,
    tls_not_after timestamptz,
    -- Of all the others, made by the sink: found at once, nulls or not.
    fingerprint uuid NOT NULL UNIQUE
);
INSERT INTO {contexts} (interval_secs, redirects, regex_match, body_truncated, fingerprint)
SELECT interval_secs, redirects, regex_match, false, gen_random_uuid()
FROM (SELECT DISTINCT interval_secs, redirects, regex_match FROM {old_metrics}) AS known;

-- 2. The results ------------------------------------------------------------------------------------------------------

-- 56 bytes behind a header of 24 (32 where a column is null), so that a check takes 115 to 130 bytes with its line
-- pointer and its place in the index. The key ends in time, so that the index grows at
-- each series' end, which leaves its pages full. No foreign keys: nothing is deleted from the tables above, and the
-- check would cost each row two look-ups.
CREATE TABLE {metrics} (
    time timestamptz NOT NULL,
    series_id integer NOT NULL,
    context_id integer NOT NULL,
    -- Seconds from the slot that the schedule owed to the check's beginning.
    delay_secs real NOT NULL,
    total_secs real NOT NULL,
    response_secs real,
    dns_secs real,
    connect_secs real,
    tls_secs real,
    first_byte_secs real,
    transfer_secs real,
    body_bytes integer,
    -- The place in the type of outcomes, from 1.
    outcome smallint NOT NULL,
    http_status smallint,
    CONSTRAINT {metrics_key2} PRIMARY KEY (series_id, time)
);
SELECT create_hypertable(
    {metrics_name}, by_range('time', INTERVAL '1 day'), create_default_indexes => false
);
-- A few pages: where an hour's rows are. Rows come nearly in the order of their times.
CREATE INDEX ON {metrics} USING brin (time) WITH (pages_per_range = 32, autosummarize = on);
INSERT INTO {metrics}
SELECT
    m.time, s.id, c.id, m.delay_secs, m.total_secs, m.response_secs, m.dns_secs, m.connect_secs, m.tls_secs,
    m.first_byte_secs, m.transfer_secs, m.body_bytes,
    array_position(enum_range(NULL::{outcome}), m.outcome), m.http_status
FROM {old_metrics} AS m
JOIN {series} AS s USING (target_id, agent_id)
JOIN {contexts} AS c
    ON c.interval_secs = m.interval_secs AND c.redirects = m.redirects AND c.regex_match IS NOT DISTINCT FROM m.regex_match
ORDER BY s.id, m.time;

-- A hypertable too, so that old chunks of both go the same way.
CREATE TABLE {errors} (
    time timestamptz NOT NULL,
    series_id integer NOT NULL,
    error text NOT NULL,
    CONSTRAINT {errors_key2} PRIMARY KEY (series_id, time)
);
SELECT create_hypertable(
    {errors_name}, by_range('time', INTERVAL '1 day'), create_default_indexes => false
);
INSERT INTO {errors}
SELECT e.time, s.id, e.error FROM {old_errors} AS e JOIN {series} AS s USING (target_id, agent_id) ORDER BY s.id, e.time;

-- 3. Rollups ----------------------------------------------------------------------------------------------------------

-- Who came after the rollup of its hour and agent was made: appended by the sink with the rows, never updated; deleted
-- by whoever has rolled up the rows that it came with. What is marked is not read from the rollups.
CREATE TABLE {marks} (
    hour timestamptz NOT NULL,
    agent_id integer NOT NULL
);
INSERT INTO {marks} SELECT DISTINCT date_trunc('hour', time, 'UTC'), agent_id FROM {old_metrics};

-- Below these times nothing is taken any more, as what came before may have been dropped. No row: everything is taken.
CREATE TABLE {floors} (
    kind text PRIMARY KEY CHECK (kind IN ('rows', 'hours', 'days')),
    floor timestamptz NOT NULL
);

CREATE TABLE {hourly} (
    hour timestamptz NOT NULL,
    -- Seconds, over the results that have a response.
    response_sum double precision NOT NULL,
    target_id integer NOT NULL,
    agent_id integer NOT NULL,
    results integer NOT NULL,
    -- up counts slow ones too; results = up + down + agent_error.
    up integer NOT NULL,
    slow integer NOT NULL,
    down integer NOT NULL,
    agent_error integer NOT NULL,
    -- The intervals of the results that say something of the target, added up: up and down, not agent_error.
    covered_secs real NOT NULL,
    responses integer NOT NULL,
    response_min real,
    response_max real,
    -- How often each outcome that is down, from dns_error to certificate_expiring; null where none was.
    failures integer[],
    -- Response times: each bucket that occurs, ascending, and how often.
    buckets smallint[] NOT NULL,
    counts integer[] NOT NULL,
    CONSTRAINT {hourly_key} PRIMARY KEY (target_id, agent_id, hour)
);
SELECT create_hypertable({hourly_name}, by_range('hour', INTERVAL '7 days'), create_default_indexes => false);

-- The same by day (UTC).
CREATE TABLE {daily} (
    response_sum double precision NOT NULL,
    day date NOT NULL,
    target_id integer NOT NULL,
    agent_id integer NOT NULL,
    results integer NOT NULL,
    up integer NOT NULL,
    slow integer NOT NULL,
    down integer NOT NULL,
    agent_error integer NOT NULL,
    covered_secs real NOT NULL,
    responses integer NOT NULL,
    response_min real,
    response_max real,
    failures integer[],
    buckets smallint[] NOT NULL,
    counts integer[] NOT NULL,
    CONSTRAINT {daily_key} PRIMARY KEY (target_id, agent_id, day)
);
SELECT create_hypertable({daily_name}, by_range('day', INTERVAL '90 days'), create_default_indexes => false);

-- Buckets are powers of 1.1, and the middle of one is at most 4.9 % from all that it holds; 0 has one of its own.
CREATE FUNCTION {bucket_of}(seconds real) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $webmon$
SELECT (CASE WHEN seconds > 0 THEN floor(ln(seconds::double precision) / ln(1.1::double precision)) ELSE -32768 END)::smallint
$webmon$;

-- The time that a share of the counted ones does not exceed (nearest rank), in seconds; null where none is counted.
CREATE FUNCTION {percentile}(buckets smallint[], counts integer[], share double precision) RETURNS double precision
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $webmon$
SELECT CASE WHEN bucket > -32768 THEN 1.1::double precision ^ (bucket + 0.5::double precision) ELSE 0 END
FROM (
    SELECT bucket, sum(count) OVER (ORDER BY bucket) AS upto, sum(count) OVER () AS total
    FROM unnest(buckets, counts) AS held (bucket, count)
) AS ranked
WHERE upto >= share * total ORDER BY bucket LIMIT 1
$webmon$;

CREATE FUNCTION {outcome_of}(place smallint) RETURNS {outcome} LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $webmon$
SELECT ('{{up,slow,dns_error,connect_error,tls_error,timeout,read_error,too_many_redirects,status_mismatch,body_mismatch,header_mismatch,certificate_expiring,agent_error}}'::{outcome}[])[place]
$webmon$;

-- The rollup of one hour, from the rows of some agents. In PL/pgSQL with plans made for the very values, so that all
-- chunks but the hour's own are left out before the query begins. STABLE: it sees what its caller sees.
CREATE FUNCTION {of_rows}(an_hour timestamptz, agents integer[]) RETURNS SETOF {hourly}
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1000 SET plan_cache_mode = force_custom_plan SET jit = off AS $webmon$
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
            sum(CASE WHEN k.outcome = 13 THEN 0 ELSE k.n * c.interval_secs::double precision END)::real AS covered_secs,
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

-- The hours, exact at any moment: what was rolled up, and in its place the rows themselves where some came after.
-- Conditions, not a join: one comparison with a constant settles nearly all rows, and the planner can't guess wrong.
CREATE VIEW {hours} AS
SELECT
    h.hour, h.target_id, h.agent_id, h.results, h.up, h.slow, h.down, h.agent_error, h.covered_secs,
    h.responses, h.response_sum, h.response_min, h.response_max, h.failures, h.buckets, h.counts
FROM {hourly} AS h
WHERE h.hour < (SELECT min(hour) FROM {marks}) OR (h.hour, h.agent_id) NOT IN (SELECT hour, agent_id FROM {marks})
UNION ALL
SELECT
    k.hour, h.target_id, h.agent_id, h.results, h.up, h.slow, h.down, h.agent_error, h.covered_secs,
    h.responses, h.response_sum, h.response_min, h.response_max, h.failures, h.buckets, h.counts
FROM (SELECT hour, array_agg(DISTINCT agent_id) AS agents FROM {marks} GROUP BY hour) AS k
CROSS JOIN LATERAL {of_rows}(k.hour, k.agents) AS h;

-- The rollup of one day, from its hours.
CREATE FUNCTION {of_hours}(a_day date, agents integer[]) RETURNS SETOF {daily}
LANGUAGE plpgsql STABLE PARALLEL SAFE ROWS 1000 SET plan_cache_mode = force_custom_plan SET jit = off AS $webmon$
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
            sum(h.agent_error)::integer AS agent_error, sum(h.covered_secs::double precision)::real AS covered_secs,
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

CREATE VIEW {days} AS
SELECT
    d.day, d.target_id, d.agent_id, d.results, d.up, d.slow, d.down, d.agent_error, d.covered_secs,
    d.responses, d.response_sum, d.response_min, d.response_max, d.failures, d.buckets, d.counts
FROM {daily} AS d
WHERE
    d.day < (SELECT (min(hour) AT TIME ZONE 'UTC')::date FROM {marks})
    OR (d.day, d.agent_id) NOT IN (SELECT (hour AT TIME ZONE 'UTC')::date, agent_id FROM {marks})
UNION ALL
SELECT
    k.day, d.target_id, d.agent_id, d.results, d.up, d.slow, d.down, d.agent_error, d.covered_secs,
    d.responses, d.response_sum, d.response_min, d.response_max, d.failures, d.buckets, d.counts
FROM (
    SELECT (hour AT TIME ZONE 'UTC')::date AS day, array_agg(DISTINCT agent_id) AS agents FROM {marks} GROUP BY 1
) AS k
CROSS JOIN LATERAL {of_hours}(k.day, k.agents) AS d;

-- 4. For people -------------------------------------------------------------------------------------------------------

-- Left joins, as those whose columns are not asked for cost nothing.
CREATE VIEW {view} AS
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
    c.interval_secs AS interval
FROM {metrics} AS m
LEFT JOIN {series} AS s ON s.id = m.series_id
LEFT JOIN {targets} AS t ON t.id = s.target_id
LEFT JOIN {agents} AS a ON a.id = s.agent_id
LEFT JOIN {contexts} AS c ON c.id = m.context_id
LEFT JOIN {errors} AS e ON e.series_id = m.series_id AND e.time = m.time;

CREATE VIEW {uptime_hourly} AS
SELECT
    h.hour, t.target, a.agent, t.url, t.labels,
    h.up / nullif(h.up + h.down, 0)::double precision AS uptime,
    least(1, h.covered_secs / nullif(extract(epoch FROM least(now(), h.hour + INTERVAL '1 hour') - h.hour), 0)::double precision)
        AS coverage,
    h.results, h.up, h.slow, h.down, h.agent_error, h.covered_secs, h.responses,
    h.response_sum / nullif(h.responses, 0) AS response_mean, h.response_min, h.response_max,
    least(greatest({percentile}(h.buckets, h.counts, 0.5), h.response_min), h.response_max) AS response_p50,
    least(greatest({percentile}(h.buckets, h.counts, 0.95), h.response_min), h.response_max) AS response_p95,
    least(greatest({percentile}(h.buckets, h.counts, 0.99), h.response_min), h.response_max) AS response_p99
FROM {hours} AS h
LEFT JOIN {targets} AS t ON t.id = h.target_id
LEFT JOIN {agents} AS a ON a.id = h.agent_id;

CREATE VIEW {uptime_daily} AS
SELECT
    d.day, t.target, a.agent, t.url, t.labels,
    d.up / nullif(d.up + d.down, 0)::double precision AS uptime,
    least(1, d.covered_secs / nullif(extract(epoch FROM least(
        now(), (d.day + 1)::timestamp AT TIME ZONE 'UTC') - d.day::timestamp AT TIME ZONE 'UTC'), 0)::double precision)
        AS coverage,
    d.results, d.up, d.slow, d.down, d.agent_error, d.covered_secs, d.responses,
    d.response_sum / nullif(d.responses, 0) AS response_mean, d.response_min, d.response_max,
    least(greatest({percentile}(d.buckets, d.counts, 0.5), d.response_min), d.response_max) AS response_p50,
    least(greatest({percentile}(d.buckets, d.counts, 0.95), d.response_min), d.response_max) AS response_p95,
    least(greatest({percentile}(d.buckets, d.counts, 0.99), d.response_min), d.response_max) AS response_p99
FROM {days} AS d
LEFT JOIN {targets} AS t ON t.id = d.target_id
LEFT JOIN {agents} AS a ON a.id = d.agent_id;

CREATE VIEW {latest} AS
SELECT
    t.target, a.agent, m.time, t.url, t.labels, {outcome_of}(m.outcome) AS outcome, m.http_status,
    m.response_secs AS resp_time, c.regex_match, e.error, c.interval_secs AS interval, c.tls_not_after
FROM {series} AS s
JOIN {targets} AS t ON t.id = s.target_id
JOIN {agents} AS a ON a.id = s.agent_id
CROSS JOIN LATERAL (SELECT * FROM {metrics} AS m WHERE m.series_id = s.id ORDER BY m.time DESC LIMIT 1) AS m
JOIN {contexts} AS c ON c.id = m.context_id
LEFT JOIN {errors} AS e ON e.series_id = m.series_id AND e.time = m.time;

DROP TABLE {old_metrics};
DROP TABLE {old_errors};

COMMENT ON TABLE {metrics} IS 'webmon: one row for each check; durations in seconds';
COMMENT ON TABLE {errors} IS 'webmon: the error texts of checks that have one';
COMMENT ON TABLE {target_history} IS 'webmon: each url and labels that a target had, and from when to when';
COMMENT ON TABLE {series} IS 'webmon: one row for each target and agent that checked it';
COMMENT ON TABLE {contexts} IS 'webmon: what seldom differs from one check to the next';
COMMENT ON TABLE {marks} IS 'webmon: hours and agents whose rollup is older than some of their rows';
COMMENT ON TABLE {floors} IS 'webmon: times below which nothing is taken any more';
COMMENT ON TABLE {hourly} IS 'webmon: rollups by hour as last made: read the view of hours instead';
COMMENT ON TABLE {daily} IS 'webmon: rollups by day (UTC) as last made: read the view of days instead';
COMMENT ON VIEW {hours} IS 'webmon: rollups by hour, exact at any moment';
COMMENT ON VIEW {days} IS 'webmon: rollups by day (UTC), exact at any moment';
COMMENT ON VIEW {view} IS 'webmon: the checks as people ask for them; durations in seconds';
COMMENT ON VIEW {uptime_hourly} IS
    'webmon: uptime = up / (up + down), null where nothing was measured; coverage: the share of the hour that was';
COMMENT ON VIEW {uptime_daily} IS
    'webmon: uptime = up / (up + down), null where nothing was measured; coverage: the share of the day (UTC) that was';
COMMENT ON VIEW {latest} IS 'webmon: the newest check of each target by each agent';

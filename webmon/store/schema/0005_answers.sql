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

-- What the sink stores and people read. Names in braces are made from POSTGRES_TABLE (webmon/store/names.py).
--
-- A check is a narrow row: who and what stand in two small tables and are referred to by number, seldom texts in a
-- third, and the hypertable holds numbers only.

CREATE TYPE {outcome} AS ENUM (
    'up', 'slow',
    'dns_error', 'connect_error', 'tls_error', 'timeout', 'read_error', 'too_many_redirects',
    'status_mismatch', 'body_mismatch', 'header_mismatch', 'certificate_expiring',
    'agent_error'
);

CREATE TABLE {targets} (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target text NOT NULL UNIQUE,
    url text NOT NULL,
    labels jsonb NOT NULL DEFAULT '{{}}',
    -- The time of the check that brought url and labels: an older one that comes late must not set them back.
    described_at timestamptz NOT NULL
);

CREATE TABLE {agents} (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent text NOT NULL UNIQUE
);

-- No foreign keys: nothing is ever deleted from the two tables above, and the check would cost each row two lookups.
-- Columns stand by width, so that no byte is lost to alignment.
CREATE TABLE {metrics} (
    time timestamptz NOT NULL,
    target_id integer NOT NULL,
    agent_id integer NOT NULL,
    outcome {outcome} NOT NULL,
    -- Seconds between two checks of the target by this agent: what tells coverage from silence.
    interval_secs real NOT NULL,
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
    http_status smallint,
    redirects smallint NOT NULL,
    regex_match boolean,
    CONSTRAINT {metrics_key} PRIMARY KEY (target_id, time, agent_id)
);
SELECT create_hypertable(
    {metrics_name}, by_range('time', INTERVAL '1 day'), create_default_indexes => false
);

-- A hypertable too, so that old chunks of both go the same way.
CREATE TABLE {errors} (
    time timestamptz NOT NULL,
    target_id integer NOT NULL,
    agent_id integer NOT NULL,
    error text NOT NULL,
    CONSTRAINT {errors_key} PRIMARY KEY (target_id, time, agent_id)
);
SELECT create_hypertable(
    {errors_name}, by_range('time', INTERVAL '1 day'), create_default_indexes => false
);

CREATE VIEW {view} AS
SELECT
    m.time,
    t.url AS web_url,
    m.http_status,
    m.response_secs AS resp_time,
    m.regex_match,
    a.agent,
    m.outcome,
    e.error
FROM {metrics} AS m
JOIN {targets} AS t ON t.id = m.target_id
JOIN {agents} AS a ON a.id = m.agent_id
LEFT JOIN {errors} AS e ON e.target_id = m.target_id AND e.time = m.time AND e.agent_id = m.agent_id;

COMMENT ON TABLE {metrics} IS 'webmon: one row for each check; durations in seconds';
COMMENT ON TABLE {targets} IS 'webmon: one row for each target';
COMMENT ON TABLE {agents} IS 'webmon: one row for each vantage';
COMMENT ON TABLE {errors} IS 'webmon: the error texts of checks that have one';
COMMENT ON VIEW {view} IS 'webmon: the checks as people ask for them';

-- How agents and sinks are, as each says itself: what the operator's page shows of the fleet. Sinks write it, a row of
-- their own every few seconds and those of agents from their results (webmon/store/fleet.py). Names in braces are made
-- from POSTGRES_TABLE.
--
-- A text may be any agent's or any message's: data, with a bound.

CREATE TABLE {fleet} (
    kind text NOT NULL CHECK (kind IN ('agent', 'sink')),
    -- The vantage's id; the host of a sink.
    name text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 200),
    -- When it was so: an agent's by its result, and never ahead of the database's clock.
    at timestamptz NOT NULL,
    version text NOT NULL CHECK (char_length(version) <= 50),
    -- Results in an agent's outbox; messages on a sink's partitions. Null where it does not know.
    waiting bigint,
    -- Of its certificate for Kafka; null where a password stands for it, or it can't be used.
    certificate_ends timestamptz,
    -- Of sinks only: when the process began, when it last stored a result, how many dead letters it wrote since it began,
    -- and the newest of them, which may be of a process before.
    since timestamptz,
    stored_at timestamptz,
    dead_letters bigint,
    dead_letter_at timestamptz,
    dead_letter_reason text CHECK (char_length(dead_letter_reason) <= 500),
    PRIMARY KEY (kind, name),
    -- What every program can read: no row hides the others.
    CHECK (
        least(at, certificate_ends, since, stored_at, dead_letter_at) >= '0001-01-01T00:00Z'
        AND greatest(at, certificate_ends, since, stored_at, dead_letter_at) < '10000-01-01T00:00Z'
    )
)
-- Each row is changed all the time, and has room for that where it stands.
WITH (fillfactor = 40);

COMMENT ON TABLE {fleet} IS 'webmon: how each agent and sink is, as it said last';

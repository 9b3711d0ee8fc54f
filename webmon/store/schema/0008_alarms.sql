-- What the alarm log says, for people, pages and reports: the judge's history. It is written by `webmon alarm` as a role
-- of its own, which adds and changes and deletes nothing. Names in braces are made from POSTGRES_TABLE.
--
-- A text may be a site's, an agent's or any message's: data, with a bound. What writes (webmon/alarm/history.py) cuts;
-- the bounds here hold whoever writes.

-- One time that a condition held for a subject.
CREATE TABLE {episodes} (
    -- Made from what happened, so that judging again gives the same.
    id uuid PRIMARY KEY,
    condition text NOT NULL CHECK (char_length(condition) <= 50),
    -- A target, a vantage, a group of targets (`label=value`, or `*` for all), or a part of our own.
    subject text NOT NULL CHECK (char_length(subject) <= 8000),
    severity text NOT NULL CHECK (char_length(severity) <= 50),
    -- When the first failure began; when that was judged.
    since timestamptz NOT NULL,
    opened timestamptz NOT NULL,
    -- When the first success began, null where nothing got well; when it was over, null while it goes on.
    ended timestamptz,
    closed timestamptz,
    -- Why it ended, where nothing got well.
    reason text NOT NULL CHECK (char_length(reason) <= 1000),
    url text NOT NULL CHECK (char_length(url) <= 8000),
    labels jsonb NOT NULL CHECK (jsonb_typeof(labels) = 'object' AND octet_length(labels::text) <= 400000),
    detail text NOT NULL CHECK (char_length(detail) <= 2000),
    -- What each vantage saw that saw a failure: vantage, outcome, error, http_status; voters is how many were asked.
    seen jsonb NOT NULL CHECK (jsonb_typeof(seen) = 'array' AND octet_length(seen::text) <= 1000000),
    voters integer NOT NULL,
    -- Of a certificate: the step of days left that it passed last, and when it ends.
    days integer,
    not_after timestamptz,
    -- Why its opening is not told for now; empty where nothing holds it.
    held text NOT NULL CHECK (char_length(held) <= 50),
    -- The episode that it hangs under, and is told with.
    under uuid,
    -- Whether it was told late, as nobody judged meanwhile.
    late boolean NOT NULL,
    ack_by text CHECK (char_length(ack_by) <= 200),
    ack_at timestamptz,
    ack_note text CHECK (char_length(ack_note) <= 1000)
);
-- What is open, what ended of late, and what is old enough to go.
CREATE INDEX ON {episodes} (closed);
-- A hash, as a target without a name is called by its URL, longer than a row of a btree may be.
CREATE INDEX ON {episodes} USING hash (subject);
CREATE INDEX ON {episodes} (under) WHERE under IS NOT NULL;

-- What a channel was to be told of an episode. No foreign key: a log that is compacted may bring a notice first.
CREATE TABLE {notices} (
    id uuid PRIMARY KEY,
    episode uuid NOT NULL,
    channel text NOT NULL CHECK (char_length(channel) <= 200),
    -- opened, changed, reminder, ended; over where it ended before it was told.
    event text NOT NULL CHECK (char_length(event) <= 50),
    step integer NOT NULL,
    made timestamptz NOT NULL,
    due timestamptz NOT NULL,
    -- waiting, sent, failed, dropped; and since when, where it waits no more.
    state text NOT NULL CHECK (char_length(state) <= 50),
    at timestamptz
);
CREATE INDEX ON {notices} (episode);
CREATE INDEX ON {notices} (due) WHERE state IN ('waiting', 'failed');

CREATE TABLE {silences} (
    id text PRIMARY KEY CHECK (char_length(id) <= 100),
    -- A shell pattern of the whole name, or `label=value`.
    match text NOT NULL CHECK (char_length(match) <= 8000),
    begins timestamptz NOT NULL,
    until timestamptz NOT NULL,
    by text NOT NULL CHECK (char_length(by) <= 200),
    reason text NOT NULL CHECK (char_length(reason) <= 1000)
);

CREATE TABLE {maintenance} (
    id text PRIMARY KEY CHECK (char_length(id) <= 100),
    -- Of a window of the rules file; empty where a person ordered it.
    name text NOT NULL CHECK (char_length(name) <= 1000),
    match text NOT NULL CHECK (char_length(match) <= 8000),
    begins timestamptz NOT NULL,
    until timestamptz NOT NULL,
    by text NOT NULL CHECK (char_length(by) <= 200),
    reason text NOT NULL CHECK (char_length(reason) <= 1000),
    -- Whether the readers of a public page are told of it.
    public boolean NOT NULL
);

CREATE TABLE {announcements} (
    id text PRIMARY KEY CHECK (char_length(id) <= 100),
    title text NOT NULL CHECK (char_length(title) <= 200),
    text text NOT NULL CHECK (char_length(text) <= 10000),
    begins timestamptz NOT NULL,
    until timestamptz,
    by text NOT NULL CHECK (char_length(by) <= 200),
    -- The incident whose timeline it is written into.
    episode uuid
);

-- Up to where the alarm log is in these tables. One row, which is there from the beginning.
CREATE TABLE {alarm_position} (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    -- Which log that is, as Kafka calls it: a topic that was made anew is another. Null before the first record.
    topic_id uuid,
    -- The offset after the last one that is here.
    next_offset bigint NOT NULL DEFAULT 0,
    -- Of the newest judge whose records are here.
    epoch bigint NOT NULL DEFAULT 0,
    -- When something was last written; null before the first record.
    written timestamptz
);
INSERT INTO {alarm_position} DEFAULT VALUES;

COMMENT ON TABLE {episodes} IS 'webmon: one row for each time that a condition held for a subject';
COMMENT ON TABLE {notices} IS 'webmon: what a channel was to be told of an episode';
COMMENT ON TABLE {silences} IS 'webmon: what is not told of until a time';
COMMENT ON TABLE {maintenance} IS 'webmon: what is worked on until a time';
COMMENT ON TABLE {announcements} IS 'webmon: what readers of the page are told';
COMMENT ON TABLE {alarm_position} IS 'webmon: up to where the alarm log is in these tables';

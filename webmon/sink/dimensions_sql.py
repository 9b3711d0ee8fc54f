"""The statements of webmon.sink.dimensions; names in braces are those of webmon.store.names."""

from typing import Final

# ---------------------------------------------------------------- targets

FIND_TARGETS: Final = """
SELECT target, id, url, labels::text, described_at, first_seen, last_seen FROM {targets} WHERE target = ANY(%s)
"""
"""What is known of targets of these names."""

ADD_TARGETS: Final = """
INSERT INTO {targets} (target, url, labels, described_at, first_seen, last_seen)
SELECT target, url, labels, last, first, last
FROM unnest(%s::text[], %s::text[], %s::jsonb[], %s::timestamptz[], %s::timestamptz[], %s::timestamptz[])
    AS new (target, url, labels, first, since, last)
ORDER BY target
ON CONFLICT DO NOTHING
"""
"""Add targets that are new; another sink may have added them just now."""

SEE_TARGETS: Final = """
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
"""Tell when targets were seen and as what. An older description that comes late does not set a newer one back, but it
has its place in the history."""

# ---------------------------------------------------------------- agents

FIND_AGENTS: Final = "SELECT agent, id, first_seen, last_seen FROM {agents} WHERE agent = ANY(%s)"
"""What is known of agents of these names."""

ADD_AGENTS: Final = """
INSERT INTO {agents} (agent, first_seen, last_seen)
SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[]) ORDER BY 1
ON CONFLICT DO NOTHING
"""
"""Add agents that are new."""

SEE_AGENTS: Final = """
WITH new AS (
    SELECT * FROM unnest(%s::text[], %s::timestamptz[], %s::timestamptz[]) AS new (agent, first, last)
), locked AS (
    SELECT agent FROM {agents} WHERE agent IN (SELECT agent FROM new) ORDER BY agent FOR UPDATE
)
UPDATE {agents} AS a SET first_seen = least(a.first_seen, new.first), last_seen = greatest(a.last_seen, new.last)
FROM new JOIN locked USING (agent) WHERE a.agent = new.agent
"""
"""Tell when agents were seen."""

# ---------------------------------------------------------------- series

FIND_SERIES: Final = """
SELECT s.target_id, s.agent_id, s.id, s.used_until >= %s
FROM unnest(%s::integer[], %s::integer[]) AS wanted (target_id, agent_id)
JOIN {series} AS s USING (target_id, agent_id)
"""
"""The series of pairs of a target and an agent, and whether each is told as used until a day."""

ADD_SERIES: Final = """
INSERT INTO {series} (used_until, target_id, agent_id)
SELECT %s, t.id, a.id FROM unnest(%s::integer[], %s::integer[]) AS new (target_id, agent_id)
JOIN {targets} AS t ON t.id = new.target_id
JOIN {agents} AS a ON a.id = new.agent_id
ORDER BY t.target, a.agent
FOR KEY SHARE OF t, a
ON CONFLICT DO NOTHING
"""
"""Add series, as used until a day; none of a target or an agent that is gone, and neither can go meanwhile."""

USE_SERIES: Final = """
WITH there AS (
    SELECT id FROM {series} WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
), told AS (
    UPDATE {series} AS s SET used_until = %s FROM there WHERE s.id = there.id AND s.used_until < %s
)
SELECT count(*) FROM there
"""
"""Tell that series are used until a day; give how many are there."""

# ---------------------------------------------------------------- contexts

FIND_CONTEXTS: Final = """
SELECT fingerprint::text, id, used_until >= %s FROM {contexts} WHERE fingerprint = ANY(%s::uuid[])
"""
"""The contexts of these fingerprints, and whether each is told as used until a day."""

ADD_CONTEXTS: Final = """
INSERT INTO {contexts} (
    used_until, fingerprint, interval_secs, redirects, regex_match, body_truncated, remote_ip, http_version,
    tls_version, tls_not_after
)
SELECT %s, * FROM unnest(
    %s::uuid[], %s::real[], %s::smallint[], %s::boolean[], %s::boolean[], %s::inet[], %s::text[], %s::text[],
    %s::timestamptz[]
) ORDER BY 2
ON CONFLICT DO NOTHING
"""
"""Add contexts that are new, as used until a day."""

USE_CONTEXTS: Final = """
WITH there AS (
    SELECT id FROM {contexts} WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
), told AS (
    UPDATE {contexts} AS c SET used_until = %s FROM there WHERE c.id = there.id AND c.used_until < %s
)
SELECT count(*) FROM there
"""
"""Tell that contexts are used until a day; give how many are there."""

-- Rollups are written by a function of the owner: a sink has no right on their tables, and what it can have computed is
-- what the rows say. What is older than the rows that are kept it can't change at all, as it could add rows of its own
-- there and have years made anew from them.
--
-- Sinks of the release before go on with the rights that they have; `webmon init` takes those away the next time.

-- A mark of half an hour would have its rows counted twice in its day; one of no year that programs know would stop them.
-- Not of the marks that are there: this takes the table for a moment only.
ALTER TABLE {marks} ADD CHECK (
    hour = date_trunc('hour', hour, 'UTC') AND hour BETWEEN '1970-01-01T00:00Z' AND '9999-12-31T00:00Z'
) NOT VALID;

-- Gives how many hours of an agent were rolled up: of those that it was asked for, the ones that were marked. Null where
-- another is at it. The lock is one that needs a right, so no reader can take it, and it stands in the way of the INSERT
-- of a sink of the release before, which then sees what was rolled up meanwhile. Each statement has a snapshot of its
-- own: it sees at least the rows that came with the marks which were taken.
CREATE FUNCTION {roll_up}(marked_hours timestamptz[], marked_agents integer[], waits boolean) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET jit = off SET enable_nestloop = off AS $webmon$
DECLARE
    bottom timestamptz;
    its_hours timestamptz[];
    its_agents integer[];
    part record;
BEGIN
    IF waits THEN
        LOCK TABLE ONLY {hourly} IN SHARE ROW EXCLUSIVE MODE;
    ELSE
        BEGIN
            LOCK TABLE ONLY {hourly} IN SHARE ROW EXCLUSIVE MODE NOWAIT;
        EXCEPTION WHEN lock_not_available THEN
            RETURN NULL;
        END;
    END IF;
    SELECT max(f.floor) INTO bottom FROM {floors} AS f WHERE f.kind = 'rows';
    DELETE FROM {marks} WHERE hour < bottom;
    WITH taken AS (
        DELETE FROM {marks} AS k USING unnest(marked_hours, marked_agents) AS asked (hour, agent_id)
        WHERE k.hour = asked.hour AND k.agent_id = asked.agent_id
        RETURNING k.hour, k.agent_id
    )
    SELECT array_agg(t.hour), array_agg(t.agent_id) INTO its_hours, its_agents
    FROM (SELECT DISTINCT hour, agent_id FROM taken) AS t;
    FOR part IN
        SELECT t.hour, array_agg(t.agent_id) AS agents
        FROM unnest(its_hours, its_agents) AS t (hour, agent_id) GROUP BY 1 ORDER BY 1
    LOOP
        -- Rows are added and never changed: as many results are the same results.
        INSERT INTO {hourly} AS had SELECT * FROM {of_rows}(part.hour, part.agents)
        ON CONFLICT (target_id, agent_id, hour) DO UPDATE SET
            response_sum = excluded.response_sum, results = excluded.results, up = excluded.up, slow = excluded.slow,
            down = excluded.down, agent_error = excluded.agent_error, covered_secs = excluded.covered_secs,
            responses = excluded.responses, response_min = excluded.response_min, response_max = excluded.response_max,
            failures = excluded.failures, buckets = excluded.buckets, counts = excluded.counts
        WHERE had.results <> excluded.results;
    END LOOP;
    FOR part IN
        SELECT (t.hour AT TIME ZONE 'UTC')::date AS day, array_agg(DISTINCT t.agent_id) AS agents
        FROM unnest(its_hours, its_agents) AS t (hour, agent_id) GROUP BY 1 ORDER BY 1
    LOOP
        INSERT INTO {daily} AS had SELECT * FROM {of_hours}(part.day, part.agents)
        ON CONFLICT (target_id, agent_id, day) DO UPDATE SET
            response_sum = excluded.response_sum, results = excluded.results, up = excluded.up, slow = excluded.slow,
            down = excluded.down, agent_error = excluded.agent_error, covered_secs = excluded.covered_secs,
            responses = excluded.responses, response_min = excluded.response_min, response_max = excluded.response_max,
            failures = excluded.failures, buckets = excluded.buckets, counts = excluded.counts
        WHERE had.results <> excluded.results;
    END LOOP;
    RETURN coalesce(cardinality(its_hours), 0);
END
$webmon$;
REVOKE ALL ON FUNCTION {roll_up} FROM PUBLIC;

-- It has the owner's rights, so every name in it is looked for where the tables are: a sink may make tables of its
-- session (pg_temp), which else would stand first. Who could write rollups until now may have them made.
DO $webmon$
DECLARE
    writer record;
BEGIN
    EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', {roll_up_name}, current_schema());
    FOR writer IN
        SELECT DISTINCT r.rolname
        FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS held JOIN pg_roles AS r ON r.oid = held.grantee
        WHERE c.oid = {hourly_name}::regclass AND held.privilege_type = 'UPDATE' AND held.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', {roll_up_name}, writer.rolname);
    END LOOP;
END
$webmon$;

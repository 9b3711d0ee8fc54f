-- What all roles may do in a new database of PostgreSQL, and a role that only reads must not: fill the disk with tables of
-- its session or large objects, and take locks that keep others waiting or fill the table of all locks. Who may add rows
-- to a table keeps what a sink needs, those of earlier releases too. Says what it changes, and changes nothing twice.
SELECT set_config('webmon.owner', :'owner', false);
DO $$
DECLARE
    owner text := current_setting('webmon.owner');
    writer record;
    part record;
BEGIN
    IF has_database_privilege('public', current_database(), 'TEMPORARY') THEN
        FOR writer IN
            SELECT owner AS name UNION
            SELECT r.rolname
            FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS held JOIN pg_roles AS r ON r.oid = held.grantee
            WHERE held.privilege_type = 'INSERT' AND NOT r.rolsuper AND c.relkind IN ('r', 'p')
        LOOP
            EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO %I', current_database(), writer.name);
            FOR part IN
                SELECT p.oid::regprocedure AS name FROM pg_proc AS p
                WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname ~ '^pg_(try_)?advisory_'
            LOOP
                EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', part.name, writer.name);
            END LOOP;
        END LOOP;
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        RAISE NOTICE 'changed: temporary tables are for roles that may add rows';
    END IF;
    FOR part IN
        SELECT p.oid::regprocedure AS name FROM pg_proc AS p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
            AND p.proname ~ '^(lo_|loread$|lowrite$|pg_(try_)?advisory_)'
            AND has_function_privilege('public', p.oid, 'EXECUTE')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', part.name);
        RAISE NOTICE 'changed: % is not for all', part.name;
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'pg_use_reserved_connections') AND NOT EXISTS (
        SELECT FROM pg_auth_members AS m
        WHERE m.roleid = 'pg_use_reserved_connections'::regrole AND m.member = quote_ident(owner)::regrole AND m.admin_option
    ) THEN
        EXECUTE format('GRANT pg_use_reserved_connections TO %I WITH ADMIN OPTION', owner);
        RAISE NOTICE 'changed: % may use reserved connections, and let others', owner;
    END IF;
END
$$;

-- A target without a name is called by its URL, and browsers and servers take URLs of 8 kB: longer than a row of a btree
-- may be (2,704 bytes). So targets are kept apart by a hash; a row that it finds is compared as a whole, so that nobody
-- can choose a name which is taken for another. Sinks of the release before go on beside: their ON CONFLICT DO NOTHING
-- names no constraint, and = ANY is looked up in this index as well.
DO $webmon$
DECLARE
    was name;
BEGIN
    SELECT conname INTO STRICT was FROM pg_constraint WHERE conrelid = {targets_name}::regclass AND contype = 'u';
    EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', {targets_name}::regclass, was);
END
$webmon$;
ALTER TABLE {targets} ADD EXCLUDE USING hash (target WITH =);

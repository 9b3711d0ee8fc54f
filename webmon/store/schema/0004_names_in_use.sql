-- What no kept row uses any more can go (`webmon retention`): sinks tell, before they add rows with it, until which day
-- (UTC) a series or a context is used, and 30 days more. So long sinks of an earlier release, which don't tell, may go on
-- beside newer ones or take their place; what is there now counts as used today, and so does what such a sink adds.
ALTER TABLE {series} ADD COLUMN used_until date NOT NULL DEFAULT (current_date + 30);
ALTER TABLE {contexts} ADD COLUMN used_until date NOT NULL DEFAULT (current_date + 30);
COMMENT ON COLUMN {series}.used_until IS 'webmon: no row of the series is of a later day (UTC)';
COMMENT ON COLUMN {contexts}.used_until IS 'webmon: no row with the context is of a later day (UTC)';

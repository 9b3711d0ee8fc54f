-- The hour that has just ended is newer than what the planner knows of its chunk, so it expects one row where there are
-- hundred thousands, and joins them row by row: minutes in place of a second, seen while a day's backlog came in.
ALTER FUNCTION {of_rows}(timestamptz, integer[]) SET enable_nestloop = off;
ALTER FUNCTION {of_hours}(date, integer[]) SET enable_nestloop = off;

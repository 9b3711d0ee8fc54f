"""Names in the store: all derive from POSTGRES_TABLE, so that several sets can stand in one database.

How the store is laid out (webmon/store/schema has every column):

A check is one narrow row of `metrics` (a hypertable by `time`): its `series_id`, its `context_id` and numbers.
- `series` is one target as one agent sees it (target_id, agent_id); `targets` and `agents` name the two and tell when
  they were first and last seen (to the hour), `target_history` each url and labels that a target had. The kind of
  probe is the scheme of the url; `latest` and `view` have it as `kind`, and nothing stores it.
- `contexts` holds what seldom differs from one check to the next: interval_secs, redirects, regex_match,
  body_truncated, remote_ip, http_version, tls_version, tls_not_after. Where they are too many (webmon/store/counts.py),
  new ones leave out remote_ip, later tls_not_after too.
- `used_until` of series and contexts is a day (UTC) that no row of theirs is later than. What was last used before all
  that is kept is removed by `webmon retention`; targets and agents go when no rollup has them any more either.
- `outcome` is the place in the type of the same name, from 1: `outcome_of(m.outcome)` names it; 1 and 2 are up, 13 is
  agent_error, the others are down.
- `errors` (series_id, time, error, answer) has the texts of those checks that have one: why it failed, and of a kind
  that is not HTTP what came, in one line (a banner, records).
The key is (series_id, time): the rows of one target in a period are found by its series' ids and the time.

Rollups by hour and day for each target and agent are read from the views `hours` and `days`, which are exact at any
moment: where rows came after a rollup was made (`marks`), they compute it from the rows. They have the columns hour or
day (a date, UTC), target_id, agent_id, results, up (slow ones included), slow, down, agent_error, covered_secs (the
intervals of up and down results, added up), responses, response_sum, response_min, response_max, failures (counts of
the outcomes 3 to 12; null where down is 0), buckets and counts (the histogram of response times). Histograms are merged
by adding the counts of each bucket; `percentile(buckets, counts, share)` gives a percentile within 5 %.
`hourly` and `daily` are what `roll_up` writes, a function of the owner: reading them misses what is marked. `floors`
has the times below which nothing is taken any more, as what came before may have been dropped (`webmon retention`).

`uptime_hourly`, `uptime_daily`, `latest` and `view` are for people: names instead of numbers, percentages, percentiles.

`fleet` (kind, name) is how each agent and sink is, as it said last (`at`): version, what waits, when its certificate
ends, and of sinks dead letters with the newest reason.

Alarms are what the alarm log of Kafka says, written by `webmon alarm` (webmon/alarm/records.py says each field):
- `episodes` (id) is one time that a condition held for a subject: open while `closed` is null. `since` and `ended` are
  by the checks, `opened` and `closed` by the judge.
- `notices` (id, episode) is what a channel was to be told of one, and what became of that.
- `silences`, `maintenance` and `announcements` (id) are what people ordered, in force from `begins` to `until`; a
  maintenance with a `name` is a window of the rules file.
- `alarm_position` is one row: up to where the log is in these tables.
`webmon retention` removes what has been over for longer than days are kept, and the notices with their episodes.
"""

import dataclasses
from typing import Final

from psycopg2 import sql

from webmon.errors import UserError

TABLES: Final = (
    *("targets", "target_history", "agents", "series", "contexts", "errors"),
    *("marks", "hourly", "daily", "floors", "migrations", "fleet"),
    *("episodes", "notices", "silences", "maintenance", "announcements", "alarm_position"),
)
"""All that hold data beside the hypertable `metrics`."""
VIEWS: Final = ("hours", "days", "view", "latest", "uptime_hourly", "uptime_daily")
_OTHERS: Final = (
    # Types and functions.
    *("outcome", "outcome_of", "bucket_of", "percentile", "of_rows", "of_hours", "roll_up"),
    # Constraints.
    *("errors_key", "errors_key2", "hourly_key", "daily_key"),
    # For the time of an upgrade.
    "old_errors",
)
_SUFFIXES: Final = {what: f"_{what}" for what in (*TABLES, *VIEWS, *_OTHERS)} | {
    "metrics_key": "_key",
    "metrics_key2": "_key2",
    "old_metrics": "_old",
}
"""What stands behind the hypertable's name in each other one."""
_LONGEST_SUFFIX: Final = max(map(len, _SUFFIXES.values()))
_NAME_BYTES: Final = 63
"""Where PostgreSQL cuts a name off without a word (NAMEDATALEN - 1)."""


@dataclasses.dataclass(frozen=True)
class Tables:
    """The names of one set of tables, from the hypertable's own."""

    metrics: str

    def __post_init__(self) -> None:
        """Refuse a name from which the others could not be made.

        Raises:
            UserError: it is too long in bytes.
        """
        if len(self.metrics.encode()) > _NAME_BYTES - _LONGEST_SUFFIX:
            raise UserError(
                f"POSTGRES_TABLE is {self.metrics!r}, {len(self.metrics.encode())} bytes long; right would be at most "
                f"{_NAME_BYTES - _LONGEST_SUFFIX}, as the names of its view and its other tables are made from it"
            )

    def name(self, what: str) -> str:
        """Give a name by what stands for it in SQL texts, such as `targets`; `metrics` is the hypertable itself."""
        return self.metrics if what == "metrics" else self.metrics + _SUFFIXES[what]

    @property
    def names(self) -> dict[str, str]:
        """Every name."""
        return {what: self.name(what) for what in ("metrics", *_SUFFIXES)}

    def fill(self, statement: str, *, with_values: bool = False, **parts: sql.Composable) -> sql.Composed:
        """Put names and other parts in an SQL text's places: `{metrics}`, or `{metrics_name}` for it as a string.

        `with_values` is for a statement that is executed with values: the driver looks for % in its names too then.
        """
        names = self.names
        if with_values:
            names = {name: value.replace("%", "%%") for name, value in names.items()}
        quoted = {name: sql.Identifier(value) for name, value in names.items()}
        # create_hypertable takes a name as text, quoted as in SQL.
        as_text = {f"{name}_name": sql.Literal('"' + value.replace('"', '""') + '"') for name, value in names.items()}
        return sql.SQL(statement).format(**quoted, **as_text, **parts)

"""What a year of results costs the one who asks: 1,000 targets, one check a minute, 3 vantages, in the real store.

The rollups by day are complete; those by hour and the rows are there for every day with a failure (one target-day in
a hundred) and for the last days, as that is all that the commands read. Each figure is the best of several runs of the
whole command, start of Python included.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.bench.figures import Bench, Figure
from tests.integration.services import find
from tests.integration.stage import Stage

TARGETS: Final = 1000
VANTAGES: Final = 3
DAYS: Final = 365
RUNS: Final = 3

# @NAME@ is put in below. Numbers of targets, agents and series are those that the rows compute; the last agent is a
# vantage that went long ago.
_WHO: Final = (
    """
INSERT INTO {t_targets} (target, url, labels, described_at, first_seen, last_seen)
SELECT format('site-%s', n), format('https://site-%s.example/', n),
    jsonb_build_object('team', format('team %s', n % 12)), now(), now() - INTERVAL '400 days', now()
FROM generate_series(1, @TARGETS@) AS n
""",
    """
INSERT INTO {t_agents} (agent, first_seen, last_seen)
SELECT format('vantage%s', n), now() - INTERVAL '400 days', now() FROM generate_series(1, @VANTAGES@ + 1) AS n
""",
    """
INSERT INTO {t_series} (target_id, agent_id)
SELECT t.id, a.id FROM {t_targets} AS t CROSS JOIN {t_agents} AS a ORDER BY 1, 2
""",
    """
INSERT INTO {t_contexts} (interval_secs, redirects, body_truncated, fingerprint)
VALUES (60, 0, false, gen_random_uuid())
""",
)
_DAILY: Final = """
INSERT INTO {t_daily} (response_sum, day, target_id, agent_id, results, up, slow, down, agent_error, covered_secs,
    responses, response_min, response_max, failures, buckets, counts)
SELECT 210, (now() AT TIME ZONE 'UTC')::date - d.n, t.id, a.id, 1440,
    CASE WHEN @IS_BAD@ THEN 1380 ELSE 1440 END, 5, CASE WHEN @IS_BAD@ THEN 60 ELSE 0 END, 0, 86400, 1440, 0.1, 1.05,
    CASE WHEN @IS_BAD@ THEN @FAILURES@ END,
    '{{-24,-23,-22,-21,-20,-19,-18,-17,-16,-12,-5,0}}', '{{20,80,200,340,300,200,140,80,40,30,5,5}}'
FROM generate_series(@DAYS@ + 1, 1, -1) AS d (n) CROSS JOIN {t_targets} AS t CROSS JOIN {t_agents} AS a
WHERE a.id <= @VANTAGES@ OR d.n > @DAYS@ - 14
"""
_HOURLY: Final = """
INSERT INTO {t_hourly} (hour, response_sum, target_id, agent_id, results, up, slow, down, agent_error, covered_secs,
    responses, response_min, response_max, failures, buckets, counts)
SELECT @MIDNIGHT@ + h.n * INTERVAL '1 hour', 9, t.id, a.id, 60, CASE WHEN @IS_BAD@ AND h.n = 10 THEN 0 ELSE 60 END, 0,
    CASE WHEN @IS_BAD@ AND h.n = 10 THEN 60 ELSE 0 END, 0, 3600, 60, 0.1, 0.5,
    CASE WHEN @IS_BAD@ AND h.n = 10 THEN @FAILURES@ END, '{{-24,-23,-22,-21,-20,-19}}', '{{2,8,20,20,8,2}}'
FROM generate_series(@DAYS@ + 1, 0, -1) AS d (n) CROSS JOIN generate_series(0, 23) AS h (n)
CROSS JOIN {t_targets} AS t CROSS JOIN {t_agents} AS a
WHERE a.id <= @VANTAGES@ AND @IS_KEPT@
    AND @MIDNIGHT@ + h.n * INTERVAL '1 hour' < now()
"""
_ROW: Final = """
INSERT INTO {t} (time, series_id, context_id, delay_secs, total_secs, response_secs, dns_secs, connect_secs, tls_secs,
    first_byte_secs, transfer_secs, body_bytes, outcome, http_status)
SELECT hour + m.n * INTERVAL '1 minute' + s.agent_id * INTERVAL '17 seconds', s.id, 1, 0.001, 0.2, 0.15, 0.01, 0.02,
    0.04, 0.06, 0.01, 5000, outcome, 200
"""
_ROWS: Final = (
    # Around each failure.
    """@ROW@
FROM (
    SELECT t.id AS target_id, CASE WHEN h.n = 10 THEN 4 ELSE 1 END AS outcome,
        @MIDNIGHT@ + h.n * INTERVAL '1 hour' AS hour
    FROM generate_series(@DAYS@ + 1, 1, -1) AS d (n) CROSS JOIN {t_targets} AS t
    CROSS JOIN generate_series(9, 11) AS h (n)
    WHERE @IS_BAD@
) AS bad
CROSS JOIN generate_series(0, 59) AS m (n) JOIN {t_series} AS s USING (target_id)
WHERE s.agent_id <= @VANTAGES@
ON CONFLICT DO NOTHING
""",
    # The last two hours of all, and the last hour of the vantage that is gone.
    """@ROW@
FROM (
    SELECT date_trunc('hour', now(), 'UTC') - h.n * INTERVAL '1 hour' AS hour, 1 AS outcome
    FROM generate_series(0, 1) AS h (n)
) AS last
CROSS JOIN generate_series(0, 59) AS m (n) CROSS JOIN {t_series} AS s
WHERE s.agent_id <= @VANTAGES@ AND hour + m.n * INTERVAL '1 minute' < now() - INTERVAL '1 minute'
ON CONFLICT DO NOTHING
""",
    """@ROW@
FROM (SELECT @MIDNIGHT@ + INTERVAL '5 hours' AS hour, 1 AS outcome FROM (SELECT @DAYS@ - 14) AS d (n)) AS gone
CROSS JOIN generate_series(0, 59) AS m (n) CROSS JOIN {t_series} AS s
WHERE s.agent_id > @VANTAGES@
""",
)
_ERRORS: Final = """
INSERT INTO {t_errors} (time, series_id, error) SELECT time, series_id, 'Connection refused' FROM {t} WHERE outcome = 4
"""
# The hour that runs is always marked.
_MARKS: Final = """
INSERT INTO {t_marks} (hour, agent_id)
SELECT date_trunc('hour', now(), 'UTC'), id FROM {t_agents} WHERE id <= @VANTAGES@
"""
_PARTS: Final = {
    "ROW": _ROW.strip(),
    "TARGETS": str(TARGETS),
    "VANTAGES": str(VANTAGES),
    "DAYS": str(DAYS),
    "MIDNIGHT": "(date_trunc('day', now(), 'UTC') - d.n * INTERVAL '24 hours')",
    # A failure of an hour at all vantages, on one target-day of a hundred.
    "IS_BAD": "((t.id * 31 + d.n) % 100 = 0)",
    "FAILURES": "'{{0,60,0,0,0,0,0,0,0,0}}'::integer[]",
    "IS_KEPT": "(d.n <= 2 OR d.n IN (7, 30, 90) OR d.n >= @DAYS@ OR @IS_BAD@)",
}


def fill(stage: Stage, days: int = DAYS, *, every_hour: bool = False) -> None:
    """Put the year, or so many days, into a store that init has just made; the hourly rollups of all if asked."""
    parts = _PARTS | {"DAYS": str(days)} | ({"IS_KEPT": "true"} if every_hour else {})
    for statement in (*_WHO, _DAILY, _HOURLY, *_ROWS, _ERRORS, _MARKS):
        while "@" in statement:
            statement = re.sub("@([A-Z_]+)@", lambda found: parts[found[1]], statement)  # noqa: PLW2901
        stage.sql(statement)
    for table in ("{t_daily}", "{t_hourly}", "{t}", "{t_errors}", "{t_series}", "{t_targets}", "{t_marks}"):
        stage.sql(f"VACUUM ANALYZE {table}")


_ASKED: Final = (
    ("uptime of a year", ("uptime", "--since", "365d"), 1.0),
    ("uptime of a year by label", ("uptime", "--since", "365d", "--by", "label=team"), None),
    ("uptime of 30 days", ("uptime", "--since", "30d"), None),
    ("status", ("status",), None),
    ("slowest of a day", ("slowest", "--since", "1d"), None),
    ("slowest of 30 days", ("slowest", "--since", "30d"), None),
    ("incidents of a week", ("incidents", "--since", "7d"), None),
    ("incidents of a year", ("incidents", "--since", "365d"), None),
)


def _figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as directory:
        stage = Stage(find(), Path(directory))
        try:
            stage.init()
            fill(stage)
            env_file = stage.env_file("report")
            for name, asked, bar in _ASKED:
                yield Figure(name, min(_seconds(asked, env_file) for _ in range(RUNS)), "s", at_most=bar)
        finally:
            stage.remove()


def _seconds(asked: tuple[str, ...], env_file: Path) -> float:
    began = time.monotonic()
    program = str(Path(sys.executable).with_name("webmon"))
    subprocess.run([program, *asked, "--env-file", str(env_file)], stdout=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


BENCH: Final = Bench(_figures, dict)

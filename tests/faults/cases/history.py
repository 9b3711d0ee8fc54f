"""Days that come late: a backlog replayed across chunks while retention drops what is older."""

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.faults.case import Run, case
from tests.faults.lab import OUTBOX, await_
from tests.integration.stage import recent
from webmon.check.result import CheckResult, encode

_DAYS: Final = 10
"""Of the backlog, each a chunk."""
_KEPT_DAYS: Final = 11
"""What retention leaves while it is replayed."""
_OLD_DAYS: Final = range(12, 20)
_REPLAY_SECS: Final = 180.0
_FILL: Final = """
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=20)
with db:
    db.executemany(
        "INSERT INTO results (key, value) VALUES (?, ?)",
        ((line["target"].encode(), json.dumps(line).encode()) for line in map(json.loads, sys.stdin)),
    )
"""
_RETENTION: Final = f"runuser -u webmon-init -- env POSTGRES_KEEP_ROWS_DAYS={_KEPT_DAYS} webmon retention"
_COUNT: Final = (
    "SELECT count(*) FROM {t} AS m JOIN {t_series} AS s ON s.id = m.series_id "
    "JOIN {t_targets} AS t ON t.id = s.target_id WHERE starts_with(t.target, %s)"
)


@case(15, "a backlog of ten days replayed across many chunks while retention runs")
def replayed(run: Run) -> None:
    lab = run.lab
    agent = run.random.choice(lab.agents)
    # An earlier run's; and a floor is never lowered by the product itself.
    lab.sql("DELETE FROM {t_floors}")
    try:
        old = f"old-{run.prefix}"
        older = [recent(target=f"{old}1", agent=agent, time=at, scheduled_at=at, interval=3600.0) for at in _hours()]
        lab.product.publish(older)
        await_(lambda: lab.sql(_COUNT, old)[0][0] == len(older), "the rows that retention is to drop", 60)
        targets = [f"{run.prefix}late-{number}" for number in range(run.times(20))]
        lines = "".join(f"{json.dumps(json.loads(encode(r)))}\n" for r in _backlog(targets, agent))
        lab.on(agent, "systemctl stop webmon-agent")
        lab.on(agent, f"runuser -u webmon-agent -- python3 -c '{_FILL}' {OUTBOX}", lines)
        lab.on(agent, "systemctl start webmon-agent")
        wanted = len(lines.splitlines())
        passes = 0
        deadline = time.monotonic() + _REPLAY_SECS
        while lab.sql(_COUNT, f"{run.prefix}late-")[0][0] < wanted and time.monotonic() < deadline:
            lab.on(lab.database, _RETENTION)
            passes += 1
        lab.on(lab.database, _RETENTION)
        left = int(lab.sql(_COUNT, old)[0][0])
        run.expect(left == 0, f"{left} rows are left that retention was to drop")
        run.expect(passes > 1, "retention did not run while the backlog was replayed")
        run.note(f"{wanted} results of {_DAYS} days; retention ran {passes} times meanwhile")
    finally:
        lab.sql("DELETE FROM {t_floors}")


def _hours() -> list[datetime]:
    now = datetime.now(UTC)
    return [now - timedelta(days=days, hours=hours) for days in _OLD_DAYS for hours in range(24)]


def _backlog(targets: list[str], agent: str) -> Iterator[CheckResult]:
    """Give the results of ten days, one every five minutes, the oldest first."""
    now = datetime.now(UTC)
    for minutes in range(_DAYS * 1440, 10, -5):
        for number, target in enumerate(targets):
            at = now - timedelta(minutes=minutes, seconds=number)
            url = f"https://{target}.example/"
            yield recent(target=target, url=url, agent=agent, time=at, scheduled_at=at, interval=300.0)

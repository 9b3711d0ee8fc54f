"""The last hours of one target, for the operator's chart: the only question that a view asks the database.

It is bounded: one at a time, some seconds, some thousand results; and an answer is given again for a few seconds.
"""

import threading
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from webmon.check.result import Outcome
from webmon.errors import UserError
from webmon.page.newest import finite
from webmon.page.snapshot import Chart, Phases, Point, Target
from webmon.settings import Postgres
from webmon.store import postgres, reader
from webmon.store.names import Tables
from webmon.store.reader import Session

STATEMENT_SECS: Final = 3.0
WAIT_SECS: Final = 2.0
"""How long a question waits for the one before it."""
KEEP_SECS: Final = 5.0
MOST_POINTS: Final = 5000
"""Of all vantages; of more, the newest."""
MOST_ERRORS: Final = 20
_MOST_KEPT: Final = 50

_POINTS: Final = """
SELECT a.agent, m.time, m.outcome, m.response_secs, m.dns_secs, m.connect_secs, m.tls_secs, m.first_byte_secs,
    m.transfer_secs, e.error
FROM {targets} AS t
JOIN {series} AS s ON s.target_id = t.id
JOIN {agents} AS a ON a.id = s.agent_id
CROSS JOIN LATERAL (
    SELECT * FROM {metrics} AS m WHERE m.series_id = s.id AND m.time >= %(since)s AND m.time <= %(until)s
    ORDER BY m.time DESC LIMIT %(most)s
) AS m
LEFT JOIN {errors} AS e
    ON e.series_id = m.series_id AND e.time = m.time AND e.time >= %(since)s AND e.time <= %(until)s
WHERE t.target = %(target)s ORDER BY m.time DESC LIMIT %(most)s
"""
_OUTCOMES: Final = tuple(Outcome)


class Charts:
    """Answers, each in the thread of who asks."""

    def __init__(self, settings: Postgres, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take the way to the database; nothing is connected yet."""
        self._settings = settings
        self._tables = Tables(settings.table)
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, float], tuple[float, Chart]] = {}

    def __call__(self, target: Target, seconds: float) -> Chart:
        """Give the results of the last so many seconds.

        Raises:
            UserError: the database refuses us, or is away or slow; or others ask.
        """
        if not self._lock.acquire(timeout=WAIT_SECS):
            raise UserError("others ask for charts at the moment; try again")
        try:
            asked = target.name, seconds
            now = self._clock()
            self._kept = {key: kept for key, kept in self._kept.items() if now - kept[0] <= KEEP_SECS}
            if asked not in self._kept:
                if len(self._kept) >= _MOST_KEPT:
                    self._kept = {}
                self._kept[asked] = now, self._ask(*asked)
            return self._kept[asked][1]
        finally:
            self._lock.release()

    def _ask(self, target: str, seconds: float) -> Chart:
        with postgres.session(
            self._settings, application="webmon-page-chart", autocommit=False, reads_only=True
        ) as connection:
            reader.prepare(connection)
            with reader.moment(connection, self._tables, statement_secs=STATEMENT_SECS) as session:
                return read(session, target, seconds)


def read(session: Session, target: str, seconds: float) -> Chart:
    """Read the results of the last so many seconds, and the last errors of them."""
    until = session.now()
    since = until - timedelta(seconds=seconds)
    asked = {"target": target, "since": since, "until": until, "most": MOST_POINTS}
    chart = Chart(since=since, until=until)
    for agent, moment, place, response, dns, connect, tls, first_byte, transfer, error in session.each(_POINTS, asked):
        outcome = _OUTCOMES[place - 1]
        phases = Phases(finite(dns), finite(connect), finite(tls), finite(first_byte), finite(transfer))
        chart.vantages.setdefault(agent, []).append(Point(moment, outcome, finite(response), phases))
        if error is not None and len(chart.errors) < MOST_ERRORS:
            chart.errors.append((moment, agent, outcome.value, error))
    # Found from the newest on, so that the oldest of too many are left out.
    chart.vantages = {agent: points[::-1] for agent, points in sorted(chart.vantages.items())}
    return chart

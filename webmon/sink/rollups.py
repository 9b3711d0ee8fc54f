"""The worker of a sink that keeps the rollups."""

import logging
import time
from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from prometheus_client.core import Metric
from psycopg2.extensions import connection as Connection  # noqa: N812

from webmon.daemon.metrics import age, counter, gauge
from webmon.settings import Postgres
from webmon.sink.worker import Worker
from webmon.store.names import Tables
from webmon.store.rollups import Aside, Bucket, BucketError, roll_up

_log = logging.getLogger(__name__)

PASS_SECS: Final = 2.0
"""Rest between two looks at the marks."""
_STATEMENT_SECS: Final = 120
_RUNNING_SECS: Final = 60.0
_RUNNING_MARKS: Final = 10_000
"""The hour that runs is marked all the time, so whoever reads it computes it from its rows. It is rolled up early, and
at most once in _RUNNING_SECS, only where so many marks are there that reading them would cost."""

_NAMED: Final = "SELECT agent FROM {agents} WHERE id = %s"
_MANY: Final = "SELECT count(*) FROM (SELECT FROM {marks} LIMIT %s) AS waiting"


class Rollups(Worker):
    """A thread that rolls up what the sinks marked; of several sinks one at a time does it."""

    def __init__(self, settings: Postgres, *, pass_secs: float = PASS_SECS) -> None:
        """Take the settings and the rest between two looks; nothing is connected and no thread runs yet."""
        super().__init__("rollups", settings, pass_secs=pass_secs, statement_secs=_STATEMENT_SECS)
        self._running_at = time.monotonic() + _RUNNING_SECS
        self.rolled = 0
        """Buckets (hours of an agent) rolled up since the start."""
        self._aside = Aside()

    def metrics(self) -> Iterator[Metric]:
        """Give how far it is; any thread may ask."""
        yield counter("webmon_sink_rollups_total", "Hours of an agent that were rolled up", self.rolled)
        failed = "Hours of an agent that cannot be rolled up for what is in them, and are tried again later"
        yield gauge("webmon_sink_rollups_failed", failed, len(self._aside))
        looked = "Time since the worker last looked for rollups to do"
        yield gauge("webmon_sink_rollups_age_seconds", looked, age(self.passed_at))

    def _pass(self) -> None:
        """Roll up every closed hour that is marked, and the one that runs where it has become costly to read."""
        connection = self._open()
        before = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        if time.monotonic() >= self._running_at:
            self._running_at = time.monotonic() + _RUNNING_SECS
            with connection, connection.cursor() as cursor:
                cursor.execute(self._tables.fill(_MANY, with_values=True), (_RUNNING_MARKS,))
                if cursor.fetchone() == (_RUNNING_MARKS,):
                    # Checks may be up to an hour ahead.
                    before += timedelta(hours=3)

        def roll(most: int, aside: Collection[Bucket]) -> int | None:
            return roll_up(connection, self._tables, before=before, most=most, aside=aside)

        def tell(error: BucketError) -> None:
            _tell(connection, self._tables, error)

        for rolled in self._aside.roll_up_all(roll, tell, lambda: not self._stop.is_set()):
            self.rolled += rolled


def _tell(connection: Connection, tables: Tables, error: BucketError) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(tables.fill(_NAMED, with_values=True), (error.bucket.agent_id,))
        row = cursor.fetchone()
    agent = row[0] if row else f"number {error.bucket.agent_id}"
    _log.warning(
        "rollups: the hour of %(hour)s of the agent %(agent)s cannot be rolled up, and is tried again later: %(cause)s",
        {"hour": f"{error.bucket.hour.astimezone(UTC):%Y-%m-%d %H:%M} UTC", "agent": agent, "cause": error},
    )

"""Rolling up: marked hours are computed from their rows, and their days from the hours."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime
from typing import Final, NamedTuple

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from webmon.store.names import Tables
from webmon.store.postgres import is_content_fault

MOST_BUCKETS: Final = 64
"""Hours of an agent in one transaction: some seconds' work at most."""
_FIRST_REST_SECS: Final = 60.0
_LONGEST_REST_SECS: Final = 6 * 3600.0
"""Rests of a bucket that fails for what is in it; each is twice the one before."""


class Bucket(NamedTuple):
    """An hour of an agent."""

    hour: datetime
    agent_id: int


class BucketError(Exception):
    """A bucket that cannot be rolled up for what is in it; says which, and why in one line."""

    def __init__(self, bucket: Bucket, reason: str) -> None:
        """Take both."""
        super().__init__(reason)
        self.bucket = bucket


_CHOOSE: Final = """
SELECT DISTINCT hour, agent_id FROM {marks}
WHERE hour < %s AND (hour, agent_id) NOT IN (SELECT * FROM unnest(%s::timestamptz[], %s::integer[]))
ORDER BY hour, agent_id LIMIT %s
"""
_ROLL_UP: Final = "SELECT {roll_up}(%s::timestamptz[], %s::integer[], %s)"


def roll_up(
    connection: Connection,
    tables: Tables,
    *,
    before: datetime,
    wait: bool = False,
    most: int = MOST_BUCKETS,
    aside: Collection[Bucket] = (),
) -> int | None:
    """Roll up the oldest marked hours that begin before a time, and their days, in one transaction.

    The owner's function does it (webmon/store/schema/0006_rollups_of_the_owner.sql), one caller at a time. Until the
    commit everybody reads marks and rows; what comes meanwhile brings a mark of its own, which stays.

    Args:
        connection: one that does not commit by itself.
        tables: the set of tables.
        before: hours from this time on are left alone.
        wait: wait for another who rolls up, instead of leaving it to them.
        most: how many buckets at most.
        aside: buckets that are left alone.

    Returns:
        How many buckets (hours of an agent) were rolled up; None where another is at it.

    Raises:
        BucketError: of one bucket alone: what is in it cannot be rolled up, as a sum has no place in its column.
        psycopg2.Error: the database refused, or is away; of several buckets also what one of them holds.
    """
    with connection, connection.cursor() as cursor:
        chosen = marked(cursor, tables, before=before, most=most, aside=aside)
        if not chosen:
            return 0
        try:
            return roll_up_these(cursor, tables, chosen, wait=wait)
        except psycopg2.Error as error:
            if most > 1 or not is_content_fault(error):
                raise
            # Its text alone: what PostgreSQL adds is the whole statement.
            reason = error.diag.message_primary or " ".join(str(error).split())
            raise BucketError(chosen[0], reason) from error


def marked(
    cursor: Cursor, tables: Tables, *, before: datetime, most: int | None = None, aside: Collection[Bucket] = ()
) -> list[Bucket]:
    """Give the oldest marked buckets that begin before a time, as `roll_up` has it; all where there is no bound.

    Raises:
        psycopg2.Error: the database refused, or is away.
    """
    left = [bucket.hour for bucket in aside], [bucket.agent_id for bucket in aside]
    cursor.execute(tables.fill(_CHOOSE, with_values=True), (before, *left, most))
    return [Bucket(*row) for row in cursor.fetchall()]


def roll_up_these(cursor: Cursor, tables: Tables, buckets: Sequence[Bucket], *, wait: bool) -> int | None:
    """Roll up those of some buckets that are marked; give how many they were, None where another is at it.

    Raises:
        psycopg2.Error: the database refused, or is away, or what is in a bucket cannot be rolled up.
    """
    asked = [bucket.hour for bucket in buckets], [bucket.agent_id for bucket in buckets]
    cursor.execute(tables.fill(_ROLL_UP, with_values=True), (*asked, wait))
    row = cursor.fetchone()
    assert row is not None
    count: int | None = row[0]
    return count


class Aside:
    """Rolls up bucket by bucket where one of several fails for what is in it, and leaves that one alone for a while.

    Its marks stay: whoever reads that hour computes it from its rows.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a clock, in seconds."""
        self._clock = clock
        self._rests: dict[Bucket, tuple[float, float]] = {}
        """When each is tried again, and its rest before that."""

    def __len__(self) -> int:
        """Give how many there are."""
        return len(self._rests)

    def roll_up_all(
        self,
        roll: Callable[[int, Collection[Bucket]], int | None],
        told: Callable[[BucketError], None],
        goes_on: Callable[[], bool] = lambda: True,
    ) -> Iterator[int]:
        """Roll up until nothing is left, or another is at it; give how many buckets each time.

        Args:
            roll: is `roll_up` with these, `most` and `aside`, and the rest as the caller has it.
            told: is called for each bucket that is set aside for the first time.
            goes_on: false where it is to stop.

        Raises:
            psycopg2.Error: the database refused, or is away.
        """
        began = self._clock()
        most = MOST_BUCKETS
        while goes_on():
            resting = [bucket for bucket, (again_at, _) in self._rests.items() if again_at > began]
            try:
                rolled = roll(most, resting)
            except BucketError as error:
                self._set_aside(error, told)
            except psycopg2.Error as error:
                if most == 1 or not is_content_fault(error):
                    raise
                most //= 2
            else:
                if rolled is None:
                    return
                yield rolled
                if rolled < most:
                    # What was tried again and did not fail is rolled up.
                    self._rests = {bucket: rest for bucket, rest in self._rests.items() if bucket in resting}
                    return
                most = min(MOST_BUCKETS, most * 2)

    def _set_aside(self, error: BucketError, told: Callable[[BucketError], None]) -> None:
        _, before = self._rests.get(error.bucket, (0.0, 0.0))
        rest = min(_LONGEST_REST_SECS, before * 2) or _FIRST_REST_SECS
        self._rests[error.bucket] = self._clock() + rest, rest
        if not before:
            told(error)

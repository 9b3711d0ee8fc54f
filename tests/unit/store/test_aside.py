"""Hours that cannot be rolled up are set aside alone; the database is in memory."""

import itertools
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from psycopg2 import errors

from webmon.store.rollups import MOST_BUCKETS, Aside, Bucket, BucketError

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ALL = [Bucket(NOON + timedelta(hours=hour), agent) for hour in range(40) for agent in range(5)]


class OutOfRangeError(errors.NumericValueOutOfRange):
    """What PostgreSQL says of a sum that has no place in its column."""

    pgcode = "22003"


class Marks:
    """Marked hours, of which some fail."""

    def __init__(self, *bad: Bucket) -> None:
        self.now = 0.0
        self.marked = list(ALL)
        self.bad = set(bad)
        self.told: list[Bucket] = []
        self.asked = 0
        self.aside = Aside(clock=lambda: self.now)

    def roll(self, most: int, aside: Collection[Bucket]) -> int:
        self.asked += 1
        chosen = [bucket for bucket in self.marked if bucket not in aside][:most]
        if self.bad.intersection(chosen):
            raise BucketError(chosen[0], "out of range") if most == 1 else OutOfRangeError("out of range")
        self.marked = [bucket for bucket in self.marked if bucket not in chosen]
        return len(chosen)

    def pass_once(self) -> int:
        return sum(self.aside.roll_up_all(self.roll, lambda error: self.told.append(error.bucket)))


def test_an_hour_that_fails_stops_no_other() -> None:
    marks = Marks(ALL[0], ALL[77], ALL[199])
    assert marks.pass_once() == len(ALL) - 3
    assert marks.marked == marks.told == [ALL[0], ALL[77], ALL[199]]
    assert len(marks.aside) == 3
    assert marks.asked < 60


def test_it_is_told_once_and_tried_again_after_rests_that_grow() -> None:
    marks = Marks(ALL[3])
    tries = []
    while marks.now < 86_400:
        before = marks.asked
        marks.pass_once()
        if marks.asked > before + 1:
            tries.append(marks.now)
        marks.now += 30
    rests = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert rests == [60, 120, 240, 480, 960, 1920, 3840, 7680, 15_360, 21_600, 21_600]
    assert marks.told == [ALL[3]]


def test_one_that_has_become_well_is_rolled_up_and_no_longer_counted() -> None:
    marks = Marks(ALL[3])
    marks.pass_once()
    marks.bad.clear()
    marks.pass_once()
    assert (marks.marked, len(marks.aside)) == ([ALL[3]], 1)
    marks.now += 60
    marks.pass_once()
    assert (marks.marked, len(marks.aside)) == ([], 0)


def test_a_database_that_is_away_is_no_fault_of_an_hour() -> None:
    def away(_most: int, _aside: Collection[Bucket]) -> int:
        raise psycopg2.OperationalError("gone")

    aside = Aside()
    with pytest.raises(psycopg2.OperationalError):
        list(aside.roll_up_all(away, lambda _: None))
    assert len(aside) == 0


def test_a_pass_takes_as_many_at_once_as_it_may() -> None:
    marks = Marks()
    assert list(marks.aside.roll_up_all(marks.roll, lambda _: None)) == [MOST_BUCKETS] * 3 + [len(ALL) % MOST_BUCKETS]

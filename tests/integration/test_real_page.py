"""The page's snapshots from a real database: the same numbers as the commands that report, to the digit."""

import contextlib
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tests.integration.stage import Stage
from tests.integration.test_real_reports import check as check_of_day
from tests.integration.test_real_reports import put, roll_up
from webmon.check.result import CheckResult, Outcome
from webmon.page.memory import Memory
from webmon.page.snapshot import WINDOWS, Snapshot
from webmon.report import uptime
from webmon.report.choice import By
from webmon.store import postgres, reader
from webmon.store.names import Tables
from webmon.store.reader import Session

NOW: Final = datetime.now(UTC)
UP, SLOW, DOWN, OURS = Outcome.UP, Outcome.SLOW, Outcome.TIMEOUT, Outcome.AGENT_ERROR


def check(target: str, agent: str, ago: timedelta, outcome: Outcome = UP, **changes: Any) -> CheckResult:
    """Give a result of some time ago."""
    return check_of_day(target, agent, NOW - ago, outcome, **changes)


@contextlib.contextmanager
def session(stage: Stage) -> Iterator[Session]:
    """Give one moment of the database, as a reader."""
    settings = stage.settings("report").postgres
    with contextlib.closing(postgres.connect(settings, application="test", autocommit=False)) as connection:
        reader.prepare(connection)
        with reader.moment(connection, Tables(stage.table), statement_secs=30) as moment:
            yield moment


def agrees(memory: Memory, moment: Session) -> Snapshot:
    """Read a snapshot; its uptimes must be those of `webmon uptime` in the same moment."""
    before = moment.statements
    found = memory.read(moment)
    assert moment.statements - before <= 8
    for length in WINDOWS:
        _, lines = uptime.read(moment, since=timedelta(days=length), until=None, patterns=None, by=By("target"))
        ours = {one.name: next(w.tally for w in one.uptime if w.days == length) for one in found.targets}
        for line in lines:
            tally = ours[line.group or ""]
            assert (tally.up, tally.slow, tally.down, tally.agent_error) == (
                line.up,
                line.slow,
                line.down,
                line.agent_error,
            ), (line.group, length)
            assert (tally.uptime, tally.watched) == (line.uptime, line.coverage), (line.group, length)
    for number, day in enumerate(found.targets[0].days):
        since = datetime.combine(day.day, datetime.min.time(), UTC)
        until = min(since + timedelta(days=1), found.as_of)
        _, lines = uptime.read(moment, since=since, until=until, patterns=None, by=By("target"))
        for line in lines:
            days = {one.day: one.tally for target in found.targets if target.name == line.group for one in target.days}
            tally = days.get(day.day)
            assert (tally.uptime if tally else None) == line.uptime, (number, line.group)
            assert (tally.watched if tally else 0.0) == line.coverage
    return found


def random_results(chance: random.Random, number: int) -> list[CheckResult]:
    """Give results of the last year, most of them of the last days and around midnight."""
    found = []
    for _ in range(number):
        length = chance.choice([1, 1, 2, 2, 8, 31, 80, 89])
        ago = timedelta(seconds=chance.uniform(0, length * 86_400))
        if chance.random() < 0.2:
            midnight = (NOW - ago).replace(hour=0, minute=0, second=0, microsecond=0)
            ago = NOW - midnight + timedelta(microseconds=chance.choice([-1, 0, 1]))
        if ago.total_seconds() < 0:
            continue
        outcome = chance.choice([UP, UP, UP, SLOW, DOWN, OURS])
        response = None if outcome in (DOWN, OURS) else chance.choice([0.001, 0.25, 2.5])
        interval = chance.choice([30, 60, 600, 3600])
        found.append(
            check(
                chance.choice(["one", "two"]),
                chance.choice("ab"),
                ago,
                outcome,
                interval=interval,
                response_time=response,
            )
        )
    return found


def test_uptimes_and_days_are_those_of_the_command_whatever_comes_late(stage: Stage) -> None:
    chance = random.Random(11)
    memory = Memory(10)
    for _ in range(4):
        put(stage, random_results(chance, 150))
        with session(stage) as moment:
            agrees(memory, moment)
        roll_up(stage)
        with session(stage) as moment:
            agrees(memory, moment)

"""The planned windows of the rules file as the log has them, for history and page."""

from datetime import UTC, datetime, timedelta

import pytest

from webmon.alarm import planned
from webmon.alarm.history_rows import row_of
from webmon.alarm.maintenance import Maintenance, Once
from webmon.alarm.match import Match
from webmon.alarm.moments import as_milliseconds
from webmon.alarm.quiet import matches
from webmon.alarm.records import Maintenance as Record

NOW = datetime(2026, 11, 29, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def window(match: Match, *, lasts: timedelta = 2 * HOUR) -> Maintenance:
    """Give one that begins in an hour."""
    return Maintenance("backups", Once(NOW + HOUR, NOW + HOUR + lasts), match)


def plan(known: dict[str, Record], *windows: Maintenance, at: datetime = NOW) -> list[Record]:
    """Let a log have them, and give it."""
    for order in list(planned.orders(windows, known, as_milliseconds(at))):
        known[order.key] = order
    return list(known.values())


@pytest.mark.parametrize(
    "match",
    [
        Match(),
        Match(("db-*",)),
        Match(("db-*", "web-*")),
        Match(("{db}",)),
        Match((), {"env": "prod"}),
        Match((), {"env": "prod", "team": "db"}),
        Match(("db-*", "ü, [ab]"), {"env": "a=b", 'team"': "{}"}),
        Match(tuple(f"{'db' * 20}-{number}" for number in range(500)), {"env": "prod"}),
    ],
    ids=str,
)
def test_a_window_is_in_the_log_for_whom_it_is_in_the_rules(match: Match) -> None:
    records = plan({}, window(match))
    assert all(row_of(record).values[2] == record.match for record in records), "the history has all of it"
    names = ["db-1", "web-1", "x", "{db}", "ü, a", "db-*, web-*", f"{'db' * 20}-1", f"{'db' * 20}-499"]
    for name in names:
        for labels in ({}, {"env": "prod"}, {"env": "prod", "team": "db"}, {"env": "a=b", 'team"': "{}"}):
            assert any(matches(record.match, name, labels) for record in records) == match.fits(name, labels), name


def test_what_one_pattern_or_one_label_says_is_written_as_a_release_before_reads_it() -> None:
    said = [Match(("db-*",)), Match((), {"env": "prod"}), Match()]
    assert [plan({}, window(match))[0].match for match in said] == ["db-*", "env=prod", "*"]


def test_what_somebody_orders_for_no_name_and_no_label_is_for_nobody() -> None:
    for text in ("{}", '{"names":[]}', '{"names":"x"}', '{"name":["x"]}', "{", '{"names":["\ud800"]}'):
        assert not matches(text, "x", {})


@pytest.mark.parametrize(("lasts", "until"), [(None, 2.5), (HOUR, 2.5), (1.75 * HOUR, 2.75), (3 * HOUR, 4)])
def test_what_was_maintenance_stays_so_when_its_window_is_taken_away_or_made_another(
    lasts: timedelta | None, until: float
) -> None:
    log: dict[str, Record] = {}
    plan(log, window(Match()))
    later = [window(Match(), lasts=lasts)] if lasts else []
    [record] = plan(log, *later, at=NOW + 2.5 * HOUR)
    assert record.begins == as_milliseconds(NOW + HOUR)
    assert record.until == as_milliseconds(NOW + until * HOUR)
    assert plan(log, *later, at=NOW + 3.75 * HOUR) == [record]


def test_a_window_that_is_taken_away_before_it_begins_is_none() -> None:
    log: dict[str, Record] = {}
    plan(log, window(Match()))
    [record] = plan(log)
    assert record.until == record.begins

"""Incidents from what each vantage saw."""

from datetime import UTC, datetime, timedelta
from typing import Any

from webmon.render import lines
from webmon.report.choice import Target
from webmon.report.downtime import _see_what_is_open
from webmon.report.incidents import COLUMNS, Incident, State, merge
from webmon.report.status import STALE_INTERVALS
from webmon.report.stretches import Run, Stretch, join

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW = NOON + timedelta(hours=2)
TARGETS = {number: Target(number, f"site{number}", "", {}, NOON) for number in (1, 2)}


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def run(first: float, last: float, *outcomes: int, series_id: int = 1) -> Run:
    return Run(series_id, at(first), at(last), bool(outcomes), list(outcomes))


def stretch(
    began: float, ended: float | None, agent: str = "a", *, last: float | None = None, **changes: Any
) -> Stretch:
    made = Stretch(1, at(began), at(began if last is None else last), {6}, ended=None if ended is None else at(ended))
    values = {"target_id": 1, "agent": agent} | changes
    for name, value in values.items():
        setattr(made, name, value)
    return made


def ends(incidents: list[Incident]) -> list[tuple[datetime, datetime | None, State]]:
    return [(incident.began, incident.ended, incident.state) for incident in incidents]


def test_a_stretch_ends_with_the_first_that_is_up_and_goes_on_over_silence() -> None:
    (found,) = join([run(0, 5, 6), run(300, 310, 3, 6), run(311, 320)])
    assert (found.began, found.last_failure, found.ended, found.outcomes) == (at(0), at(310), at(311), {3, 6})


def test_series_are_apart_and_a_second_failure_is_a_second_stretch() -> None:
    found = join([run(0, 1, 6), run(2, 3), run(4, 5, 6), run(1, 2, 6, series_id=2)])
    assert [(s.series_id, s.began, s.ended) for s in found] == [(1, at(0), at(2)), (1, at(4), None), (2, at(1), None)]


def test_stretches_that_overlap_are_one_incident_and_neighbours_are_not() -> None:
    found = merge([stretch(0, 10), stretch(2, 4, "b"), stretch(9, 12, "c"), stretch(13, 14)], TARGETS, NOW)
    assert ends(found) == [(at(0), at(12), State.ENDED), (at(13), at(14), State.ENDED)]
    assert found[0].vantages == ["a", "b", "c"]
    assert len(merge([stretch(0, 10), stretch(5, 8, target_id=2)], TARGETS, NOW)) == 2


def test_a_stretch_that_begins_in_the_very_moment_in_which_another_ends_is_of_the_same_incident() -> None:
    (found,) = merge([stretch(0, 10), stretch(10, 12, "b")], TARGETS, NOW)
    assert ends([found]) == [(at(0), at(12), State.ENDED)]
    assert found.vantages == ["a", "b"]


def test_a_vantage_is_silent_when_more_than_its_intervals_have_passed_and_not_when_just_as_many_have() -> None:
    class Database:
        """Says that the checks were due once a minute."""

        def rows(self, *_: object) -> list[tuple[int, float]]:
            return [(1, 60.0)]

    session: Any = Database()
    for silence, is_open in ((60.0 * STALE_INTERVALS, True), (60.0 * STALE_INTERVALS + 1, False)):
        unended = stretch(0, None)
        _see_what_is_open(session, [unended], at(0) + timedelta(seconds=silence))
        assert unended.is_open is is_open


def test_an_incident_is_open_while_one_vantage_says_so_and_unknown_where_the_last_that_saw_it_is_silent() -> None:
    assert ends(merge([stretch(0, 10), stretch(5, None, "b", is_open=True)], TARGETS, NOW)) == [
        (at(0), None, State.OPEN)
    ]
    (unknown,) = merge([stretch(0, 10), stretch(5, None, "b", last=20)], TARGETS, NOW)
    assert (unknown.state, unknown.ended, unknown.seconds) == (State.UNKNOWN, None, 1200)
    (ended,) = merge([stretch(0, 30), stretch(5, None, "b", last=20)], TARGETS, NOW)
    assert (ended.state, ended.ended) == (State.ENDED, at(30))


def test_the_table_says_when_how_long_and_who() -> None:
    incidents = merge(
        [stretch(0, 10), stretch(2, 4, "b"), stretch(60, None, last=61), stretch(0, 1440, target_id=2)], TARGETS, NOW
    )
    for incident in incidents:
        incident.watching = ["a", "b"]
    assert lines(COLUMNS, incidents) == [
        "TARGET  BEGAN             ENDED               LASTED  SEEN BY    OUTCOME  FIRST ERROR",
        "site1   2026-11-01 12:00  12:10               10 min  2 of 2     timeout",
        "site1   2026-11-01 13:00  unknown           >= 1 min  1 of 2: a  timeout",
        "site2   2026-11-01 12:00  2026-11-02 12:00       1 d  1 of 2: a  timeout",
    ]

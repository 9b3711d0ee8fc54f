"""An outage is told once each way, with the cause that it has now, and tries come less and less often."""

import logging

import pytest

from webmon.daemon.outage import TELL_SECS, Outage


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now = 5000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def outage(clock: Clock) -> Outage:
    return Outage("waiting for the database", "no longer waiting for the database", clock=clock)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_an_outage_is_said_when_it_begins_and_when_it_ends(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        outage.ends()
        for _ in range(5):
            outage.begins("connection\nrefused")
            assert outage.lasts
            clock.now += 8
        outage.ends()
        outage.ends()
    assert not outage.lasts
    assert said(caplog) == [
        "waiting for the database: connection refused",
        "no longer waiting for the database after 40 s",
    ]


def test_whoever_asks_is_told_the_present_cause_and_not_the_first(outage: Outage) -> None:
    assert (str(outage), outage.cause) == ("", "")
    outage.begins("connection refused")
    outage.begins("the password is wrong")
    assert str(outage) == "waiting for the database: the password is wrong"
    outage.begins("connection refused")
    assert outage.cause == "connection refused"
    outage.ends()
    assert (str(outage), outage.cause) == ("", "")


def test_a_new_cause_that_waiting_may_mend_is_logged_when_the_outage_lasts(
    outage: Outage, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    outage.begins("it is silent")
    clock.now += TELL_SECS - 1
    outage.begins("connection refused")
    assert len(caplog.records) == 1
    clock.now += 2
    outage.begins("it is silent")
    assert len(caplog.records) == 1
    outage.begins("connection refused")
    outage.begins("connection refused")
    assert said(caplog)[1:] == ["waiting for the database: connection refused"]


def test_a_new_cause_that_needs_a_person_is_logged_at_once(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    outage.begins("connection refused")
    for _ in range(3):
        outage.begins("the password is wrong", lasting=True)
        outage.begins("connection refused")
    assert said(caplog)[1:] == ["waiting for the database: the password is wrong"]


def test_a_second_outage_of_the_same_cause_is_said_again(outage: Outage, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        outage.begins("connection refused")
        outage.ends()
    assert said(caplog).count("waiting for the database: connection refused") == 2


def test_it_is_counted_and_measured_while_it_lasts_and_afterwards(outage: Outage, clock: Clock) -> None:
    assert (outage.count, outage.seconds) == (0, 0)
    outage.begins("gone")
    clock.now += 30
    assert (outage.count, outage.seconds) == (1, 30)
    outage.ends()
    clock.now += 100
    outage.begins("gone again")
    clock.now += 5
    assert (outage.count, outage.seconds) == (2, 35)


def test_the_journal_gets_what_is_given_beside_the_cause(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("not publishing", "publishing again", beside="; %(waiting)d wait", clock=clock)
    outage.begins("100 % lost", waiting=4)
    outage.ends(waiting=0)
    assert said(caplog) == ["not publishing: 100 % lost; 4 wait", "publishing again after 0 s; 0 wait"]
    assert caplog.records[0].args == {"cause": "100 % lost", "waiting": 4}


def test_tries_double_their_distance_up_to_a_bound_and_start_anew_with_the_next_outage(outage: Outage) -> None:
    outage.begins("gone")
    waits = [outage.next_wait() for _ in range(12)]
    assert all(0.5 * bound <= wait <= bound for wait, bound in zip(waits[:4], (1, 2, 4, 8), strict=True))
    assert all(7.5 <= wait <= 15 for wait in waits[5:])
    assert len(set(waits[5:])) > 1, "a fleet comes back as one"
    outage.ends()
    outage.begins("gone again")
    assert outage.next_wait() <= 1

"""An absence is said once each way, and tries come less and less often."""

import logging

import pytest

from webmon.sink.outage import Outage


def test_an_outage_is_said_when_it_begins_and_when_it_ends(caplog: pytest.LogCaptureFixture) -> None:
    outage = Outage("the database")
    with caplog.at_level(logging.INFO):
        outage.ends()
        for _ in range(5):
            outage.begins("connection\nrefused")
            assert outage.lasts
        outage.ends()
        outage.ends()
    assert not outage.lasts
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "waiting for the database: connection refused"
    assert second.startswith("no longer waiting for the database, after 0 s")


def test_tries_double_their_distance_up_to_a_bound_and_start_anew_with_the_next_outage() -> None:
    outage = Outage("Kafka")
    outage.begins("gone")
    waits = [outage.next_wait() for _ in range(12)]
    assert all(0.5 * bound <= wait <= bound for wait, bound in zip(waits[:5], (1, 2, 4, 8, 16), strict=True))
    assert all(15 <= wait <= 30 for wait in waits[6:])
    outage.ends()
    outage.begins("gone again")
    assert outage.next_wait() <= 1

"""Two real Alertmanagers of one cluster are told what lasts and what ended, and tell it on."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.alertmanager import Cluster
from tests.receiver import Receiver
from tests.waiting import wait_until
from webmon.alarm.channels import Alertmanager
from webmon.alarm.notice import Notice, Seen
from webmon.alarm.senders.alertmanager import AlertmanagerSender

NOTICE = Notice(
    key="0d8c7f6e-3f5b-5f0e-9d5e-2f3c8f6a1b2c",
    episode="b54adc00-67f9-5f3e-8a0e-7b6f5a4d3c2b",
    event="opened",
    condition="down",
    severity="critical",
    target="shop\r\n<b>\0",
    url="https://shop.example.org/",
    labels={"team-a": "ä", "9": "x", "team_a": "y", "none": " "},
    since=datetime.now(UTC) - timedelta(minutes=3),
    seen=(Seen("oslo", "timeout", "not done within 4 s"),),
    failing=1,
    vantages=1,
)


class Told:
    """A cluster, what it tells on, and our sender."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.receiver = stack.enter_context(Receiver())
        self.cluster = stack.enter_context(Cluster(folder, self.receiver.url))
        self.sender = stack.enter_context(closing(AlertmanagerSender(Alertmanager(self.cluster.urls))))

    def statuses(self) -> list[tuple[str, str]]:
        """Give status and name of all that was told on."""
        told = [json.loads(request.body) for request in self.receiver.requests]
        return [(alert["status"], alert["labels"]["alertname"]) for one in told for alert in one["alerts"]]

    def names(self, number: int) -> set[str]:
        """Give the names of the alerts that last, as one peer has them."""
        return {alert["labels"]["alertname"] for alert in self.cluster.alerts(number)}


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    with ExitStack() as stack:
        yield Told(tmp_path, stack)


def test_what_lasts_is_told_once_and_its_ending_too_through_the_loss_of_a_peer(told: Told) -> None:
    for _ in range(3):
        assert told.sender.post([NOTICE], watchdog=True).state == "taken"
    for peer in range(2):
        assert told.names(peer) == {"WebmonDown", "WebmonWatchdog"}
    wait_until(lambda: ("firing", "WebmonDown") in told.statuses(), "the alert was told on")

    (alert,) = (one for one in told.cluster.alerts(0) if one["labels"]["alertname"] == "WebmonDown")
    assert alert["labels"] == {
        "alertname": "WebmonDown",
        "condition": "down",
        "target": "shop <b>",
        "_9": "x",
        "team_a": "y",
        **{name: "ä" for name in alert["labels"] if name.startswith("team_a_")},
    }
    assert alert["annotations"]["severity"] == "critical"

    told.cluster.stop(0)
    answer = told.sender.post([replace(NOTICE, severity="warning")], watchdog=True)
    assert answer.state == "taken"
    ended = replace(NOTICE, event="ended", until=datetime.now(UTC))
    assert told.sender.post([ended], watchdog=True).state == "taken"
    wait_until(lambda: ("resolved", "WebmonDown") in told.statuses(), "its ending was told on")
    assert told.names(1) == {"WebmonWatchdog"}

    told.cluster.stop(1)
    assert told.sender.post([ended]).state == "again"
    # Whatever the two told on, it was one alert.
    assert {name for _, name in told.statuses()} == {"WebmonDown", "WebmonWatchdog"}


def test_a_label_or_a_count_that_changes_makes_no_second_alert(told: Told) -> None:
    assert told.sender.post([NOTICE]).state == "taken"
    assert told.sender.post([replace(NOTICE, failing=0, seen=(), what="another", event="reminder")]).state == "taken"
    assert [len(told.cluster.alerts(peer)) for peer in range(2)] == [1, 1]

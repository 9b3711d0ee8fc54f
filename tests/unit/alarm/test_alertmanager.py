"""What Alertmanager is told: alerts that last, labels that it takes, and each of its peers."""

import json
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.receiver import TAKEN, Receiver, hang, status
from tests.sockets import free_port
from webmon.alarm.channels import Alertmanager
from webmon.alarm.notice import Notice
from webmon.alarm.senders.alertmanager import AlertmanagerSender, alert, label_names

NOW = datetime(2026, 11, 28, 15, 0, tzinfo=UTC)


def test_an_episode_that_lasts_is_told_until_two_minutes_ahead(notice: Notice) -> None:
    told = alert(notice, NOW)
    assert told["labels"] == {
        "alertname": "WebmonDown",
        "condition": "down",
        "target": "shop",
        "team": "shop",
        "tier": "gold",
    }
    assert (told["startsAt"], told["endsAt"]) == ("2026-11-28T14:00:03+00:00", "2026-11-28T15:02:00+00:00")
    assert told["annotations"]["summary"] == "DOWN shop: timeout (3 of 3 vantages)"
    assert told["annotations"]["severity"] == "critical"
    assert told["generatorURL"] == "https://webmon.example.org/alarms/b54adc00"


def test_what_an_alert_is_known_by_never_changes(notice: Notice) -> None:
    later = replace(notice, severity="warning", failing=2, seen=(), event="reminder", what="another error")
    ended = replace(notice, event="ended", until=NOW - timedelta(minutes=1))
    first = alert(notice, NOW)
    for other in (later, ended):
        told = alert(other, NOW)
        assert (told["labels"], told["startsAt"]) == (first["labels"], first["startsAt"])
    assert alert(ended, NOW)["endsAt"] == "2026-11-28T14:59:00+00:00"


def test_labels_get_names_that_prometheus_takes_each_its_own() -> None:
    named = label_names(
        {"team": "a", "a-b": "1", "a_b": "2", "a.b": "3", "9lives": "4", "__meta": "5", "empty": " ", "target": "6"},
        taken=("target",),
    )
    assert {name: value for name, value in named.items() if value in ("a", "2", "4", "5")} == {
        "team": "a",
        "a_b": "2",
        "_9lives": "4",
        "meta": "5",
    }
    assert sorted(named.values()) == ["1", "2", "3", "4", "5", "6", "a"]
    assert "target" not in named


@given(st.dictionaries(st.text(min_size=1, max_size=20), st.text(alphabet="ab", min_size=1), max_size=10))
def test_no_two_labels_become_one(labels: dict[str, str]) -> None:
    named = label_names(labels, taken=("alertname",))
    assert sorted(named.values()) == sorted(labels.values())
    assert all(name.isascii() and name.isidentifier() and name != "alertname" for name in named)


def test_every_peer_is_told_and_one_that_takes_it_is_enough(notice: Notice) -> None:
    with Receiver(status(200)) as one, Receiver(status(503, {"Retry-After": "9"})) as two, Receiver() as three:
        way = Alertmanager((one.url, two.url + "api/v2/alerts", three.url + "prefix/"))
        with closing(AlertmanagerSender(way)) as sender:
            assert sender.post([notice], watchdog=True).state == "taken"
    assert [receiver.requests[0].path for receiver in (one, two, three)] == [
        "/api/v2/alerts",
        "/api/v2/alerts",
        "/prefix/api/v2/alerts",
    ]
    names = [told["labels"]["alertname"] for told in json.loads(two.requests[0].body)]
    assert names == ["WebmonDown", "WebmonWatchdog"]


@pytest.mark.parametrize(
    ("codes", "state", "after"), [((503, 400), "again", 9.0), ((400, 302), "failed", None), ((400, 200), "taken", None)]
)
def test_where_no_peer_takes_it_the_best_answer_counts(
    codes: tuple[int, int], state: str, after: float | None, notice: Notice
) -> None:
    behaviours = [status(code, {"Retry-After": "9"} if code == 503 else {}) for code in codes]
    with ExitStack() as stack:
        peers = [stack.enter_context(Receiver(behaviour)) for behaviour in behaviours]
        way = Alertmanager(tuple(peer.url for peer in peers))
        answer = stack.enter_context(closing(AlertmanagerSender(way))).send(notice)
    assert (answer.state, answer.after) == (state, after)


def test_peers_that_hang_are_waited_for_side_by_side(notice: Notice) -> None:
    with Receiver(hang) as one, Receiver(hang) as two, Receiver(hang) as three, Receiver() as well:
        way = Alertmanager(tuple(peer.url for peer in (one, two, three, well)))
        with closing(AlertmanagerSender(way, deadline=2.0)) as sender:
            begin = time.monotonic()
            assert sender.send(notice).state == "taken"
            assert time.monotonic() - begin < 4
    assert well.requests[0].at < time.time() - 1.0  # before the others were given up


def test_a_peer_that_asks_to_be_left_alone_holds_no_other_back(notice: Notice) -> None:
    with Receiver(status(429, {"Retry-After": "3600"})) as one:
        way = Alertmanager((one.url, f"http://127.0.0.1:{free_port()}/"))
        with closing(AlertmanagerSender(way)) as sender:
            answer = sender.send(notice)
    assert (answer.state, answer.after) == ("again", None)


def test_who_asks_to_be_left_alone_for_no_time_is_asked_at_once(notice: Notice) -> None:
    one, two = (Receiver(status(429, {"Retry-After": after})) for after in ("3600", "0"))
    with one, two, closing(AlertmanagerSender(Alertmanager((one.url, two.url)))) as sender:
        assert sender.send(notice).after == 0.0


def test_all_requests_to_a_peer_are_done_in_one_deadline(notice: Notice) -> None:
    def slow(handler: Any) -> None:
        time.sleep(0.4)
        TAKEN(handler)

    many = [replace(notice, target=f"site-{number}") for number in range(1501)]
    with ExitStack() as stack:
        receiver = stack.enter_context(Receiver(slow, slow, slow, hang))
        sender = AlertmanagerSender(Alertmanager((receiver.url,)), deadline=1.0)
        stack.enter_context(closing(sender))
        begin = time.monotonic()
        assert sender.post(many).state == "again"
        # With a deadline for each there would be a fourth, which hangs.
        assert len(receiver.requests) <= 3
        assert time.monotonic() - begin < 2


def test_a_thousand_alerts_are_told_in_requests_that_it_takes(notice: Notice) -> None:
    many = [replace(notice, target=f"site-{number}") for number in range(1001)]
    with Receiver() as receiver, closing(AlertmanagerSender(Alertmanager((receiver.url,)))) as sender:
        assert sender.post(many).state == "taken"
    assert [len(json.loads(request.body)) for request in receiver.requests] == [500, 500, 1]

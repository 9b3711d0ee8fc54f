import json
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.faults.told import Down, Telling, Told, judge, not_in_history, read
from webmon.alarm.conditions import Condition

START = datetime(2026, 11, 28, 12, tzinfo=UTC)
CHANNELS = ("first", "second")
SITES = ("c21-a", "c21-b")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def telling(event: str = "opened", seconds: float = 5.0, channel: str = "first", **other: Any) -> Telling:
    given: dict[str, Any] = {
        "at": at(seconds),
        "channel": channel,
        "sender": "10.76.0.13",
        "key": f"{other.get('episode', 'e1')}-{channel}-{event}",
        "episode": "e1",
        "event": event,
        "condition": Condition.DOWN,
        "subject": "c21-a",
        "since": at(1),
    }
    return Telling(**(given | other))


def by_both(event: str, seconds: float, **other: Any) -> list[Telling]:
    return [telling(event, seconds, channel, **other) for channel in CHANNELS]


def told(tellings: list[Telling], *downs: Down, may_fail: bool = False) -> Told:
    return judge(tellings, downs, CHANNELS, prefix="c21-", may_fail=lambda _name, _at: may_fail)


def one_down(*, together: bool = False) -> Down:
    return Down(frozenset(SITES if together else SITES[:1]), at(0), at(20), together=together)


TOLD = [*by_both("opened", 5), *by_both("ended", 25)]


def test_a_failure_that_every_channel_was_told_of_with_its_ending_is_well() -> None:
    assert told(TOLD, one_down()).faults({}) == []


def test_a_notice_that_calls_a_site_down_while_it_was_up_is_wrong() -> None:
    assert told(TOLD).faults({}) == ["2 notices call a site down that was up"]
    later = [telling(since=at(60), seconds=65, episode="e2")]
    assert told([*TOLD, *later], one_down()).wrong == 1
    other = [telling(subject="c21-b", episode="e2")]
    assert told([*TOLD, *other], one_down()).wrong == 1


def test_whatever_is_told_of_a_site_that_was_up_is_wrong_and_a_group_too() -> None:
    for condition in (Condition.PARTIAL, Condition.NO_DATA, Condition.FLAPPING, Condition.SLOW):
        assert told([telling(condition=condition)]).wrong == 1
    assert told([telling(condition=Condition.MANY_DOWN, subject="*")]).wrong == 1
    assert told([telling("over")]).wrong == 1


def test_what_is_told_of_hostile_sites_of_another_case_and_of_our_own_trouble_calls_none_down() -> None:
    assert told([telling(), telling(condition=Condition.MANY_DOWN, subject="*")], may_fail=True).wrong == 0
    assert told([telling(subject="c20-a")]).wrong == 0
    assert told([telling(condition=Condition.MONITOR, subject="kafka")]).wrong == 0


def test_a_channel_that_was_not_told_of_a_failure_or_its_ending_is_counted() -> None:
    assert told([], one_down()).faults({}) == ["4 notices of sites that were down did not come"]
    assert told(TOLD[1:], one_down()).untold == 1
    assert told(TOLD[:-1], one_down()).untold == 1


def test_one_message_of_what_is_over_tells_both() -> None:
    assert told(by_both("over", 60), one_down()).untold == 0


def test_the_ending_of_what_lasts_is_missed_by_nobody() -> None:
    assert told(TOLD[:2], Down(frozenset(SITES[:1]), at(0))).untold == 0


def test_sites_of_one_host_are_told_by_one_of_them_or_as_many() -> None:
    many = {"condition": Condition.MANY_DOWN, "subject": "host=one", "episode": "e2"}
    assert told([*by_both("opened", 5), *by_both("ended", 25, **many)], one_down(together=True)).faults({}) == []
    assert told([], one_down(together=True)).untold == 4


def test_what_comes_again_is_known_by_its_key() -> None:
    again = told([*TOLD, TOLD[0]], one_down())
    assert again.faults({}) == ["1 notices came again"]
    assert again.faults({}, may_repeat=True) == []
    doubled = told([*TOLD, TOLD[0]._replace(key="another")], one_down())
    assert doubled.faults({}, may_repeat=True) == ["1 notices came again under another key"]


def test_a_vantage_with_a_fault_of_its_own_is_told_once_by_its_name() -> None:
    silent = by_both("opened", 70, condition=Condition.VANTAGE_SILENT, subject="agent1")
    found = told(silent)
    assert found.vantages == {"agent1 silent": 1}
    assert found.faults({"agent1": True}) == []
    assert found.faults({}) == ["told as agent1 silent, which it was not"]
    twice = told([*silent, *by_both("opened", 90, condition=Condition.VANTAGE_SILENT, subject="agent1", episode="e2")])
    assert twice.faults({"agent1": True}) == ["told 2 times: agent1 silent"]


def test_a_fault_of_a_vantage_that_lasts_must_be_told_and_a_short_one_may() -> None:
    assert told([]).faults({"agent1": True}) == ["agent1 is not told to be at fault"]
    assert told([]).faults({"agent1": False}) == []


def test_the_end_of_a_fault_of_before_is_not_told_of_this_case() -> None:
    assert told([telling("ended", condition=Condition.VANTAGE_SILENT, subject="agent1")]).vantages == {}


def test_what_was_told_and_is_not_in_the_history_as_sent_is_named() -> None:
    rows = [("e1", channel, event) for channel in CHANNELS for event in ("opened", "ended")]
    assert not_in_history(TOLD, rows) == []
    assert not_in_history(TOLD, rows[:-1]) == ["ended of e1 by second"]


def test_a_message_is_read_with_all_that_it_tells() -> None:
    brief = {
        "episode": "e2",
        "event": "opened",
        "condition": "down",
        "target": "c21-b",
        "since": "2026-11-28T12:00:01+00:00",
    }
    message = brief | {"episode": "e1", "target": "c21-a", "key": "k", "others": [brief]}
    line = json.dumps({"at": at(5).timestamp(), "from": "10.76.0.13", "to": "first", "message": message})
    assert read([line]) == [telling(key="k"), telling(key="k", episode="e2", subject="c21-b")]
    assert told(read([line])).messages == 1

"""What is told of webmon itself: when it begins, when it is over, and nothing of what can't be seen."""

from datetime import UTC, datetime, timedelta
from typing import Any

from webmon.alarm.around import Seen
from webmon.alarm.own import Own
from webmon.alarm.partitions import SilentPartition

NOW = 1_800_000_000_000
MINUTE = 60_000
DAY = 86_400


def look(own: Own, now: int = NOW, **seen: Any) -> dict[str, str]:
    usual: dict[str, Any] = {
        "silent": 0,
        "lag": 0,
        "seen": None,
        "undelivered": {"mail": 0},
        "refused": {},
        "certificate_ends": None,
        "rollups": None,
        "topic": "results",
        "silent_partitions": {},
    }
    return {trouble.name: trouble.detail for trouble in own.look(now, **(usual | seen))}


def told(own: Own, now: int = NOW, **seen: Any) -> dict[str, str]:
    return {name: detail for name, detail in look(own, now, **seen).items() if detail}


def test_a_kafka_that_is_away_is_told_after_a_minute_and_of_what_it_says_nothing_is_known() -> None:
    own = Own()
    assert told(own, silent=59_000) == {}
    assert told(own, silent=MINUTE, lag=MINUTE) == {"kafka": "Kafka was not heard of for 1 min"}
    assert "results" not in look(own, silent=MINUTE)


def test_a_judge_that_is_behind_is_told_if_it_does_not_catch_up() -> None:
    own = Own()
    assert told(own, lag=40_000) == {}
    assert told(own, NOW + 15_000, lag=50_000) == {"judge": "results are judged 50 s late"}
    assert told(own, NOW + 16_000, lag=1_000) == {}
    assert told(own, NOW + 17_000, lag=40_000) == {}


def test_results_that_are_not_stored_after_a_minute_are_told_and_only_then() -> None:
    own = Own()
    begin = NOW / 1000
    for secs in (0, 30, 59):
        assert told(own, NOW + secs * 1000, seen=Seen(begin + secs, {0: 10 + secs}, {0: 5})) == {}
    late = told(own, NOW + 61_000, seen=Seen(begin + 61, {0: 80}, {0: 7}))
    assert late == {"results": "3 results are not stored after 60 s: is a sink running?"}
    assert look(own, NOW + 62_000, seen=Seen(begin + 62, {0: 80}, {0: 80}))["results"] == ""
    assert "results" not in look(own, NOW + 63_000, seen=Seen(begin + 63, {0: 80}, None)), "not to be seen"


def test_dead_letters_that_come_are_told_until_none_came_for_ten_minutes() -> None:
    own = Own()
    begin = NOW / 1000
    assert told(own, seen=Seen(begin, {}, dead=7)) == {}, "those of before are no news"
    assert "3 new messages" in told(own, NOW + 5_000, seen=Seen(begin + 5, {}, dead=10))["dead letters"]
    assert "dead letters" in told(own, NOW + 9 * MINUTE, seen=Seen(begin + 540, {}, dead=10))
    assert told(own, NOW + 11 * MINUTE, seen=Seen(begin + 660, {}, dead=10)) == {}


def test_a_channel_that_takes_nothing_for_five_minutes_or_refuses_is_told() -> None:
    own = Own()
    assert told(own, undelivered={"mail": NOW - 4 * MINUTE}) == {}
    late = told(own, undelivered={"mail": NOW - 5 * MINUTE, "hook": 0})
    assert late == {"channel mail": "a message was not delivered for 5 min"}
    assert told(own, refused={"gone": "refused: no such channel"}) == {"channel gone": "refused: no such channel"}
    assert look(own, refused={"mail": ""})["channel mail"] == ""


def test_a_certificate_of_our_own_is_told_a_week_before_its_end() -> None:
    own = Own()
    now = datetime.fromtimestamp(NOW / 1000, UTC)
    assert told(own, certificate_ends=now + timedelta(days=8)) == {}
    assert told(own, certificate_ends=now + timedelta(days=3)) == {
        "certificate": "our certificate for Kafka ends in 3 d"
    }
    assert told(own, certificate_ends=now - timedelta(days=1)) == {"certificate": "our certificate for Kafka has ended"}


def test_a_partition_in_which_nothing_comes_is_told_by_its_number() -> None:
    silent = {2: SilentPartition(targets=20, since=NOW - 2 * MINUTE)}
    assert told(Own(), silent_partitions=silent) == {
        "partition 2": "nothing comes in partition 2 of topic results, in which 20 targets are, for 2 min"
    }


def test_what_is_not_to_be_seen_neither_begins_nor_ends_anything() -> None:
    own = Own()
    assert look(own).keys() == {"kafka", "judge", "channel mail"}
    assert look(own, rollups="")["rollups"] == ""

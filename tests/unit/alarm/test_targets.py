"""When a target's conditions open and end."""

from typing import Any

import pytest

from tests.unit.alarm.world import DAY, HOUR, MINUTE, SECOND, START, PlainRules, World
from webmon.alarm.conditions import Condition, Conditions
from webmon.alarm.judge import Listed
from webmon.alarm.votes import need
from webmon.check.result import Outcome

# down


def test_one_vantage_alone_opens_down_after_as_many_failures_in_a_row_as_confirm_says() -> None:
    world = World(confirm=3)
    world.rounds(3, "u")
    world.rounds(2, "f")
    assert world.open() is None
    world.fail()
    assert world.said() == ["opened shop down"]


def test_three_vantages_confirm_by_themselves_within_an_interval() -> None:
    world = World(confirm=3)
    world.rounds(3, "uuu")
    begun = world.now
    world.rounds(1, "fff")
    episode = world.open()
    assert episode is not None
    assert (episode.since, episode.opened) == (begun, begun + 40 * SECOND)
    assert [seen.vantage for seen in episode.seen] == ["a", "b", "c"]
    assert episode.seen[0].outcome == "timeout"
    assert episode.voters == 3


def test_three_vantages_tell_within_a_minute_and_50_seconds_on_average() -> None:
    delays = []
    for outage in range(0, 60, 3):
        world = World(agree=2, confirm=3)
        begun = world.now + outage * SECOND + 1
        for second in range(0, 180, 20):
            world.now = START + second * SECOND
            vantage = "abc"[second // 20 % 3]
            world.check(vantage=vantage, outcome=Outcome.UP if world.now < begun else Outcome.CONNECT_ERROR)
        delays.append(world.told[0][0] - begun)
    assert max(delays) <= 60 * SECOND
    assert sum(delays) / len(delays) <= 52 * SECOND


def test_a_vantage_that_always_failed_and_a_blip_of_another_open_nothing() -> None:
    world = World(confirm=3, partial_after=10**9)
    world.rounds(200, "fuu")
    world.fail(vantage="b")
    world.wait(20 * SECOND)
    world.up(vantage="b")
    world.rounds(5, "fuu")
    assert world.said() == []


def test_it_is_counted_from_when_enough_failed_and_one_for_each_that_failed_before() -> None:
    world = World(confirm=3, partial_after=10**9)
    world.rounds(50, "fuu")
    began = world.now
    world.rounds(1, "f", interval=60)
    world.fail(vantage="b")
    assert world.open() is None
    world.fail(vantage="b", at=world.now + 1)
    episode = world.open()
    assert episode is not None
    assert episode.since == began, "the failure of the first that counted for it"


def test_down_ends_after_as_many_ups_as_recover_says_with_the_begin_of_the_first() -> None:
    world = World(confirm=3, recover=3)
    world.rounds(2, "fff")
    assert world.open() is not None
    began = world.now
    world.rounds(1, "uuu")
    assert world.open() is not None
    world.up()
    [episode] = world.judge.episodes()
    # The second up made it fewer than agree: from there on they count.
    assert (episode.ended, episode.closed) == (began + 20 * SECOND, began + 60 * SECOND)
    assert world.said() == ["opened shop down", "ended shop down"]


def test_a_vantage_that_always_saw_it_up_does_not_end_it_at_once() -> None:
    world = World(confirm=3, recover=3)
    world.rounds(10, "ffu")
    assert world.open() is not None
    world.up(vantage="a")
    assert world.open() is not None


def test_a_failure_before_it_has_recovered_begins_the_count_anew() -> None:
    world = World(confirm=2, recover=3)
    world.rounds(2, "f")
    world.rounds(2, "u")
    world.rounds(1, "f")
    world.rounds(2, "u")
    assert world.open() is not None
    world.up()
    assert world.open() is None


@pytest.mark.parametrize(
    ("agree", "voters", "expected"),
    [
        ("majority", 0, 0),
        ("majority", 1, 1),
        ("majority", 2, 2),
        ("majority", 3, 2),
        ("majority", 4, 3),
        ("all", 3, 3),
        ("any", 3, 1),
        ("any", 0, 0),
        (2, 3, 2),
        (3, 2, 2),
        (3, 0, 0),
    ],
)
def test_so_many_of_the_fresh_vantages_must_fail(agree: str | int, voters: int, expected: int) -> None:
    assert need(agree, voters) == expected  # type: ignore[arg-type] # a parameter's text is any text


def test_a_vantage_that_is_not_fresh_any_more_has_no_vote() -> None:
    world = World(confirm=3, no_data_after=10**9)
    world.rounds(3, "uuu")
    world.rounds(3, {"a": Outcome.TIMEOUT})  # b and c send nothing: after 150 s a is the only one
    assert world.open() is None
    world.rounds(3, {"a": Outcome.TIMEOUT})
    assert world.open() is not None


def test_an_agent_error_neither_votes_nor_breaks_a_row() -> None:
    world = World(confirm=3)
    world.rounds(2, "f")
    world.check(outcome=Outcome.AGENT_ERROR)
    world.wait(MINUTE)
    world.fail()
    assert world.open() is not None
    world = World(confirm=3)
    world.rounds(20, {"a": Outcome.AGENT_ERROR})
    assert world.open() is None


def test_a_certificate_that_ends_soon_is_no_downtime() -> None:
    world = World(confirm=1)
    world.rounds(5, {"a": Outcome.CERTIFICATE_EXPIRING}, ends=START + 30 * DAY)
    assert world.said() == ["opened shop certificate"]


def test_while_nobody_votes_down_neither_opens_nor_ends() -> None:
    world = World(confirm=1, recover=1, no_data_after=10**9)
    world.fail()
    world.wait(HOUR)
    assert world.open() is not None


def test_the_next_outage_is_another_episode_also_where_a_vantage_never_saw_it_up() -> None:
    world = World(confirm=2, recover=1, agree=2, partial_after=10**9)
    world.fail(vantage="a", interval=3600)
    world.wait(SECOND)
    world.fail(vantage="b")
    world.wait(MINUTE)
    world.up(vantage="b")
    world.wait(MINUTE)
    world.fail(vantage="b")
    first, second = (e for e in world.judge.episodes() if e.condition is Condition.DOWN)
    assert first.ended is not None
    assert second.since >= first.ended
    assert second.id != first.id


# What is late


def test_a_repeat_and_what_is_older_than_the_newest_of_its_vantage_change_nothing() -> None:
    world = World(confirm=2)
    begun = world.now
    world.fail()
    world.fail(at=begun)
    world.fail(at=begun - 1)
    assert world.open() is None


def test_a_result_that_is_older_than_three_intervals_and_5_minutes_on_arrival_wakes_nobody() -> None:
    world = World(confirm=1)
    world.fail(at=world.now - 5 * MINUTE - 1)
    assert world.open() is None
    world.fail(interval=3600, at=world.now - 3 * HOUR)
    assert world.open() is not None


def test_a_clock_that_was_once_ahead_makes_no_history_of_what_comes_after() -> None:
    world = World(confirm=2)
    world.up(at=world.now + HOUR)
    world.wait(MINUTE)
    world.rounds(2, "f")
    assert world.open() is not None


# partial


def test_some_that_fail_but_fewer_than_agree_are_told_after_a_while_and_end_at_once() -> None:
    world = World(partial_after=600)
    world.rounds(2, "uuu")
    begun = world.now
    world.rounds(9, "fuu")
    assert world.said() == []
    world.rounds(2, "fuu")
    [episode] = world.judge.episodes()
    assert (episode.condition, episode.severity, episode.since) == (Condition.PARTIAL, "warning", begun)
    assert [seen.vantage for seen in episode.seen] == ["a"]
    world.rounds(1, "uuu")
    assert world.said() == ["opened shop partial", "ended shop partial"]


def test_partial_becomes_down() -> None:
    world = World(partial_after=60)
    world.rounds(4, "fuu")
    world.rounds(2, "fff")
    assert world.said() == ["opened shop partial", "opened shop down", "ended shop partial"]
    assert [episode.reason for episode in world.judge.episodes()] == ["down", ""]


# slow


def test_slow_opens_when_enough_vantages_were_slow_in_a_row_and_ends_when_as_many_were_not() -> None:
    world = World(slow_checks=3)
    slow = {"a": Outcome.SLOW, "b": Outcome.SLOW, "c": Outcome.UP}
    world.rounds(3, "uuu")
    world.rounds(2, slow)
    assert world.said() == []
    world.rounds(1, slow)
    assert world.said() == ["opened shop slow"]
    world.rounds(2, "uuu")
    assert world.said() == ["opened shop slow"]
    world.rounds(1, "uuu")
    assert world.said() == ["opened shop slow", "ended shop slow"]


def test_one_that_is_slow_from_time_to_time_is_not_slow_in_a_row() -> None:
    world = World(slow_checks=2)
    for _ in range(5):
        world.rounds(1, {"a": Outcome.SLOW})
        world.rounds(1, "u")
    assert world.said() == []


def test_slow_is_not_down() -> None:
    world = World(confirm=1, slow_checks=10)
    world.rounds(5, {"a": Outcome.SLOW})
    assert world.said() == []


# certificate


def days(world: World, number: int, *, ends: int, vantages: str = "a") -> None:
    """Let days pass with a check every hour."""
    for _ in range(number * 24):
        for vantage in vantages:
            world.up(vantage=vantage, ends=ends, interval=3600)
        world.now += HOUR
        world.tick()


def test_a_certificate_is_told_at_each_step_critical_at_the_last_and_ends_with_a_later_one() -> None:
    world = World(certificate_days=(21, 7, 3, 1), no_data_after=10**9)
    ends = START + 23 * DAY
    days(world, 3, ends=ends)
    assert world.said() == ["opened shop certificate"]
    days(world, 15, ends=ends)
    assert world.said() == ["opened shop certificate", "changed shop certificate"]
    episode = world.open(Condition.CERTIFICATE)
    assert episode is not None
    assert (episode.days, episode.severity) == (7, "warning")
    days(world, 4, ends=ends)
    assert (episode.days, episode.severity) == (1, "critical")
    assert world.said().count("changed shop certificate") == 3
    world.up(ends=ends + 90 * DAY, interval=3600)
    assert world.said()[-1] == "ended shop certificate"


def test_nodes_that_serve_the_old_and_the_new_in_turn_end_it_only_when_all_saw_the_new() -> None:
    world = World()
    old, new = START + 5 * DAY, START + 90 * DAY
    for vantage in "ab":
        world.up(vantage=vantage, ends=old)
    assert world.said() == ["opened shop certificate"]
    world.wait(MINUTE)
    world.up(vantage="a", ends=new)
    world.up(vantage="b", ends=old)
    assert world.open(Condition.CERTIFICATE) is not None
    world.wait(MINUTE)
    world.up(vantage="b", ends=new)
    assert world.open(Condition.CERTIFICATE) is None


def test_a_target_that_has_no_certificate_any_more_has_none_to_be_told_of() -> None:
    world = World(certificate_days=(21, 7))
    for vantage in "ab":
        world.up(vantage=vantage, ends=START + 8 * DAY, interval=86400)
    world.wait(MINUTE)
    insecure: dict[str, Any] = {"url": "http://shop.example.org/", "interval": 86400}
    world.up(vantage="a", **insecure)
    # Another may not have the new list yet, and who fails knows nothing of certificates.
    assert world.open(Condition.CERTIFICATE) is not None
    world.wait(MINUTE)
    world.fail(vantage="b", **insecure)
    assert world.open(Condition.CERTIFICATE) is not None
    world.wait(MINUTE)
    world.up(vantage="b", **insecure)
    [episode] = world.judge.episodes()
    assert (episode.ended, episode.reason) == (world.now, "no certificate")
    world.now += DAY
    world.up(vantage="a", **insecure)
    world.wait(MINUTE)
    assert world.said() == ["opened shop certificate", "ended shop certificate"]


def test_another_judge_does_not_take_a_failure_for_a_target_without_a_certificate() -> None:
    world = World(confirm=10)
    world.up(ends=START + 8 * DAY)
    world.wait(MINUTE)
    world.restart(seen=False)
    world.fail()
    assert world.said() == ["opened shop certificate"]
    world.wait(MINUTE)
    world.up(url="http://shop.example.org/")
    assert world.said() == ["opened shop certificate", "ended shop certificate"]


def test_steps_that_are_long_beside_the_lifetime_of_a_certificate_are_left_out() -> None:
    world = World()
    world.up(ends=START + 2 * DAY)
    world.wait(MINUTE)
    world.up(ends=START + 6 * DAY)  # seen to be renewed, for six days
    assert world.said() == ["opened shop certificate", "ended shop certificate"]


# no_data


def test_a_target_of_which_nothing_comes_is_told_until_a_result_comes() -> None:
    world = World(no_data_after=300)
    world.up("other", "b", interval=3600)
    world.up()
    last = world.now
    world.wait(150 * SECOND + 299 * SECOND)
    assert world.open(Condition.NO_DATA) is None
    world.wait(SECOND)
    episode = world.open(Condition.NO_DATA)
    assert episode is not None
    assert (episode.since, episode.severity) == (last, "critical")
    assert "opened shop no_data" not in world.said(), "it hangs under its vantage's message"
    world.up()
    assert world.open(Condition.NO_DATA) is None


def test_a_target_without_data_whose_vantage_sends_of_others_is_told_by_itself() -> None:
    world = World(no_data_after=300)
    world.up()
    for _ in range(10):
        world.up("other")
        world.wait(MINUTE)
    assert world.said() == ["opened shop no_data"]
    world.fail()
    assert world.said() == ["opened shop no_data", "ended shop no_data"]


def test_silence_does_not_count_while_the_judge_is_behind_or_stood_still() -> None:
    world = World(no_data_after=300)
    for name in ("shop", "other"):
        world.up(name)
    world.lag = 40 * SECOND
    world.wait(HOUR)
    world.lag = 0
    world.wait(3 * MINUTE)
    assert world.said() == []
    world.now += HOUR
    world.wait(3 * MINUTE)
    assert world.said() == []


def test_a_target_of_the_list_that_no_vantage_ever_saw_is_told() -> None:
    world = World(no_data_after=300)
    world.judge.list_targets([Listed("shop", "https://shop.example.org/", {}, 60)], at=world.now)
    world.wait(7 * MINUTE)
    assert world.said() == []
    world.wait(MINUTE)
    assert world.said() == ["opened shop no_data"]


def test_a_target_that_was_taken_from_the_list_is_missed_by_nobody_and_what_was_told_ends() -> None:
    world = World(confirm=1)
    world.fail()
    world.judge.list_targets([], at=world.now)
    world.up("other")
    for _ in range(10):
        world.up("other")
        world.wait(MINUTE)
    assert world.said() == ["opened shop down", "ended shop down"]
    assert [e.reason for e in world.judge.episodes() if e.subject == "shop"] == ["removed"]


def test_a_target_of_the_list_that_nobody_checks_is_missed_for_longer_than_a_week_and_its_vantage_too() -> None:
    world = World(no_data_after=300, remind=2 * 86400)
    listed = [Listed(name, f"https://{name}.example.org/", {}, 3600) for name in ("shop", "other", "never")]
    world.judge.list_targets(listed, at=world.now)
    world.up("shop", "b", interval=3600)
    for _ in range(9 * 24):
        world.up("other", interval=3600)
        world.hours(1)
    assert not [text for text in world.said() if "never" in text and ("ended" in text or "over" in text)]
    assert world.open(Condition.NO_DATA, "never") is not None
    assert world.open(Condition.NO_DATA) is not None
    assert world.said().count("opened shop no_data") == 1, "its vantage, which it hung under, is missed no more"
    world.judge.list_targets(listed[1:2], at=world.now)
    world.wait(MINUTE)
    assert [world.said().count(f"ended {name} no_data") for name in ("shop", "never")] == [1, 1]


# flapping


def test_a_target_that_comes_and_goes_is_one_message_and_its_end_tells_how_it_is() -> None:
    world = World(confirm=1, recover=1, flap_count=3, flap_within=3600, flap_quiet=1800, group_secs=0)
    for _ in range(6):
        world.rounds(1, "f")
        world.rounds(1, "u")
    assert world.said() == [
        *["opened shop down", "ended shop down"] * 2,
        "opened shop flapping",
    ]
    world.rounds(35, "u")
    assert world.said()[5:] == ["ended shop flapping"]
    ended = [e for e in world.judge.episodes() if e.condition is Condition.FLAPPING]
    assert ended[0].detail == "it is up"


def test_what_is_down_when_it_flaps_no_more_is_told_from_then_on() -> None:
    world = World(confirm=1, recover=1, flap_count=2, flap_quiet=600, group_secs=0)
    world.rounds(1, "f")
    world.rounds(1, "u")
    world.rounds(12, "f")
    assert world.said()[2:] == ["opened shop flapping", "ended shop flapping", "opened shop down"]
    world.rounds(1, "u")
    assert world.said()[-1] == "ended shop down"


def test_conditions_of_a_target_are_those_of_its_rule_and_change_with_the_rules() -> None:
    rules = PlainRules(named={"gold": Conditions(confirm=1)})
    world = World(rules)
    world.fail("gold")
    world.fail("shop")
    assert world.said() == ["opened gold down"]
    world.judge.change_rules(PlainRules(Conditions(confirm=2)))
    assert world.said() == ["opened gold down"]
    world.wait(MINUTE)
    world.fail("shop")
    assert world.said() == ["opened gold down", "opened shop down"]

"""A partition of the results that can't be written is our own trouble, and no target's."""

import pytest

from tests.unit.alarm.world import MINUTE, SECOND, World
from webmon.alarm.conditions import Condition
from webmon.alarm.judge import Listed
from webmon.check.result import Outcome

FIRST = [f"site{number}" for number in range(6)]
OTHER = [f"other{number}" for number in range(6)]
TOLD = ["opened partition 2 monitor", "ended partition 2 monitor"]


def begin(world: World, *names: str) -> None:
    """Let all targets be heard of, those of the first kind in partition 2; only names, where there are some."""
    world.partition_of = dict.fromkeys(FIRST, 2) | dict.fromkeys(OTHER, 1)
    minutes(world, 2, *(names or (*FIRST, *OTHER)))


def minutes(world: World, count: int, *names: str, vantages: str = "ab") -> None:
    """Let vantages check targets once a minute."""
    for _ in range(count):
        for vantage in vantages:
            for name in names:
                world.up(name, vantage)
            world.wait(MINUTE // len(vantages))


def test_a_partition_in_which_nothing_comes_is_told_once_and_none_of_its_targets() -> None:
    world = World()
    begin(world)
    minutes(world, 20, *OTHER)
    assert world.said() == TOLD[:1]
    assert world.judge.silent_partitions()[2].targets == len(FIRST)
    for name in FIRST:
        episode = world.open(Condition.NO_DATA, name)
        assert episode is not None
        assert episode.held == "partition"
    minutes(world, 20, *FIRST, *OTHER)
    assert world.said() == TOLD


def test_targets_get_their_time_when_their_partition_gives_again_before_they_are_told_silent() -> None:
    world = World()
    begin(world)
    minutes(world, 10, *OTHER)
    minutes(world, 7, *FIRST[1:], *OTHER)
    assert world.said() == TOLD
    minutes(world, 1, *FIRST[1:], *OTHER)
    assert world.said() == [*TOLD, "opened site0 no_data"]


def test_a_target_that_falls_silent_in_a_partition_that_gives_is_told() -> None:
    world = World()
    begin(world)
    minutes(world, 10, *FIRST[2:], *OTHER)
    assert sorted(world.said()) == ["opened site0 no_data", "opened site1 no_data"]


def test_a_target_that_is_alone_in_its_partition_is_told_as_that_is_no_sign_against_the_partition() -> None:
    world = World()
    begin(world, FIRST[0], *OTHER)
    minutes(world, 10, *OTHER)
    assert world.said() == ["opened site0 no_data"]


def test_a_target_that_was_silent_for_long_is_no_sign_against_its_partition() -> None:
    world = World()
    begin(world, *FIRST[:2], *OTHER)
    minutes(world, 10, FIRST[1], *OTHER)
    minutes(world, 10, *OTHER)
    assert world.said() == ["opened site0 no_data", "opened site1 no_data"]


def test_targets_that_are_seldom_checked_say_nothing_of_their_partition_before_their_time() -> None:
    world = World()
    world.partition_of = {"often": 2, "seldom": 2, "other": 1}
    for _ in range(2):
        world.up("often", interval=60)
        world.up("seldom", interval=3600)
        minutes(world, 1, "other", vantages="a")
    minutes(world, 10, "other", vantages="a")
    assert world.said() == ["opened often no_data"]


def test_where_all_partitions_are_silent_it_is_the_vantages_who_are() -> None:
    world = World()
    begin(world)
    world.wait(20 * MINUTE)
    assert world.said() == ["opened a vantage_silent", "opened b vantage_silent"]


def test_targets_that_only_a_silent_vantage_checks_are_no_sign_against_their_partition() -> None:
    world = World()
    world.partition_of = dict.fromkeys(FIRST, 2) | dict.fromkeys(OTHER, 1)
    for _ in range(2):
        minutes(world, 1, *FIRST, *OTHER, vantages="a")
        minutes(world, 1, *OTHER, vantages="b")
    minutes(world, 20, *OTHER, vantages="b")
    assert world.said() == ["opened a vantage_silent"]


def test_a_vantage_that_sends_again_gets_the_time_to_send_of_each_target() -> None:
    world = World(no_data_after=60)
    for name in FIRST:
        world.up(name)
    world.wait(20 * MINUTE)
    told = ["opened a vantage_silent", "ended a vantage_silent"]
    assert world.said() == told[:1]
    world.up(FIRST[0])
    world.restart()
    for name in FIRST[1:-1]:
        world.wait(10 * SECOND)
        world.up(name)
    minutes(world, 2, *FIRST[:-1], vantages="a")
    assert world.said() == told
    minutes(world, 1, *FIRST[:-1], vantages="a")
    assert world.said() == [*told, f"opened {FIRST[-1]} no_data"]


def test_what_was_kept_for_a_partition_comes_late_and_tells_nothing_that_was_not_so() -> None:
    world = World(recover=1, confirm=1)
    begin(world)
    kept = []
    for _ in range(10):
        kept.append(world.now)
        minutes(world, 1, *OTHER)
    for at in kept:
        for name in FIRST:
            # What is older than five minutes on its arrival is history.
            is_history = world.now - at > 5 * MINUTE
            world.check(name, "a", Outcome.TIMEOUT if is_history else Outcome.UP, at=at)
            world.up(name, "b", at=at)
        world.wait(SECOND)
    minutes(world, 10, *FIRST, *OTHER)
    assert world.said() == TOLD


@pytest.mark.parametrize("seen", [True, False], ids=["in the window", "before the window"])
def test_another_judge_knows_a_silent_partition_and_when_it_gave_again(seen: bool) -> None:
    world = World()
    begin(world)
    minutes(world, 20, *OTHER)
    world.restart(seen=seen)
    minutes(world, 10, *OTHER)
    assert world.said() == TOLD[:1]
    minutes(world, 1, FIRST[0], *OTHER)
    world.restart(seen=seen)
    minutes(world, 3, FIRST[0], *OTHER)
    assert world.said() == TOLD
    minutes(world, 10, *FIRST, *OTHER)
    assert world.said() == TOLD


def test_a_judge_that_takes_over_before_anything_is_told_knows_the_partition_by_what_it_reads() -> None:
    world = World()
    begin(world)
    minutes(world, 3, *OTHER)
    world.restart()
    minutes(world, 20, *OTHER)
    assert world.said() == TOLD[:1]


def test_a_target_whose_partition_nobody_knows_is_told() -> None:
    world = World()
    begin(world, *OTHER)
    world.judge.list_targets([Listed(name, "", {}, 60) for name in [*FIRST[:1], *OTHER]], at=world.now)
    minutes(world, 10, *OTHER)
    assert world.said() == ["opened site0 no_data"]


def test_keys_that_move_to_other_partitions_leave_no_trouble_behind() -> None:
    world = World()
    begin(world)
    minutes(world, 5, *FIRST, *OTHER)
    world.partition_of |= dict.fromkeys(FIRST, 5)
    minutes(world, 20, *FIRST, *OTHER)
    assert world.said() == []
    minutes(world, 20, *OTHER)
    assert world.said() == ["opened partition 5 monitor"]
    world.partition_of |= dict.fromkeys(FIRST, 6)
    minutes(world, 20, *FIRST, *OTHER)
    assert world.said() == ["opened partition 5 monitor", "ended partition 5 monitor"]


def test_a_partition_is_judged_by_the_targets_that_are_left_in_it() -> None:
    world = World()
    begin(world)
    world.partition_of |= dict.fromkeys(FIRST[2:], 5)
    minutes(world, 20, *FIRST[2:], *OTHER)
    assert world.said() == TOLD[:1]
    assert world.judge.silent_partitions()[2].targets == 2


def test_what_others_gave_in_a_partition_before_they_moved_tells_that_its_silent_targets_are_so_of_themselves() -> None:
    world = World()
    begin(world)
    minutes(world, 4, *FIRST[2:], *OTHER)
    world.partition_of |= dict.fromkeys(FIRST[2:], 5)
    minutes(world, 10, *FIRST[2:], *OTHER)
    assert sorted(world.said()) == ["opened site0 no_data", "opened site1 no_data"]


def test_a_silent_partition_whose_targets_are_all_taken_off_the_list_is_no_trouble_any_more() -> None:
    world = World()
    begin(world)
    minutes(world, 10, *OTHER)
    world.judge.list_targets([Listed(name, "", {}, 60) for name in OTHER], at=world.now)
    minutes(world, 1, *OTHER)
    assert world.said() == TOLD

"""What is told of a vantage, so that it is not told of the targets."""

from tests.unit.alarm.world import MINUTE, SECOND, World
from webmon.alarm.conditions import Condition
from webmon.alarm.judge import Listed
from webmon.check.result import Outcome

SITES = [f"site{number}" for number in range(8)]


def minutes(world: World, number: int, *, failing: dict[str, Outcome], vantages: str = "abc") -> None:
    """Let each vantage check each target once a minute; some fail whatever they look at."""
    for _ in range(number):
        for place, site in enumerate(SITES):
            for vantage in vantages:
                world.check(site, vantage, failing.get(vantage, Outcome.UP))
            world.wait(7 * SECOND if place else 11 * SECOND)


def test_a_vantage_that_fails_what_others_see_up_is_told_once_and_of_no_target() -> None:
    world = World(agree="any", confirm=2)
    minutes(world, 3, failing={})
    minutes(world, 5, failing={"a": Outcome.CONNECT_ERROR})
    assert world.said() == ["opened a vantage_at_fault"]
    minutes(world, 4, failing={})
    assert world.said() == ["opened a vantage_at_fault", "ended a vantage_at_fault"]


def test_its_votes_do_not_count_meanwhile_and_those_of_the_others_do() -> None:
    world = World(agree="majority", confirm=2)
    minutes(world, 2, failing={})
    minutes(world, 3, failing={"a": Outcome.CONNECT_ERROR})
    world.fail("site0", "b")
    assert world.open(subject="site0") is None, "with a it would be two"
    world.wait(SECOND)
    world.fail("site0", "c")
    assert world.open(subject="site0") is not None


def test_targets_that_all_see_fail_are_no_fault_of_who_sees_it_first() -> None:
    world = World(confirm=3, many=10**9)
    minutes(world, 2, failing={})
    for vantage in "abc":
        for site in SITES:
            world.fail(site, vantage)
            world.wait(SECOND)
        world.wait(12 * SECOND)
    world.wait(MINUTE)
    assert not any("vantage" in text for text in world.said())
    assert all(world.open(subject=site) for site in SITES)


def test_targets_that_come_back_are_no_fault_of_who_sees_it_last() -> None:
    world = World(confirm=3, many=10**9)
    down = dict.fromkeys("abc", Outcome.TIMEOUT)
    minutes(world, 2, failing=down)
    for vantage in "bc":
        for site in SITES:
            world.up(site, vantage)
            world.wait(SECOND)
    assert not any("vantage" in text for text in world.said())


def test_fewer_than_half_or_fewer_than_five_of_its_targets_are_no_fault_of_a_vantage() -> None:
    world = World(partial_after=10**9)
    minutes(world, 2, failing={})
    for _ in range(3):
        for site in SITES[:4]:
            world.fail(site, "a")
        for site in SITES[4:]:
            world.up(site, "a")
        for site in SITES:
            world.up(site, "b")
        world.wait(MINUTE)
    assert world.said() == []


def test_a_vantage_that_has_only_errors_of_its_own_is_told_after_five_minutes() -> None:
    world = World(no_data_after=10**9)
    minutes(world, 2, failing={})
    minutes(world, 5, failing={"a": Outcome.AGENT_ERROR})
    assert world.said() == []
    minutes(world, 2, failing={"a": Outcome.AGENT_ERROR})
    assert world.said() == ["opened a vantage_at_fault"]
    minutes(world, 4, failing={})
    assert world.said()[1:] == ["ended a vantage_at_fault"]


def test_a_clock_that_is_ahead_is_named_and_its_results_are_judged_at_their_arrival() -> None:
    world = World(confirm=2)
    for _ in range(2):
        world.fail(at=world.now + 40 * SECOND)
        world.wait(MINUTE)
    episode = world.open(Condition.VANTAGE_AT_FAULT, "a")
    assert episode is not None
    assert episode.detail == "its clock is 40 s ahead"
    assert world.open() is not None
    for _ in range(7):
        world.fail()
        world.wait(MINUTE)
    assert world.open(Condition.VANTAGE_AT_FAULT, "a") is None


def test_a_vantage_that_sends_nothing_is_told_until_it_sends() -> None:
    world = World()
    minutes(world, 2, failing={})
    last = world.now - 7 * SECOND
    minutes(world, 3, failing={}, vantages="bc")
    assert world.said() == []
    minutes(world, 1, failing={}, vantages="bc")
    assert world.said() == ["opened a vantage_silent"]
    episode = world.open(Condition.VANTAGE_SILENT, "a")
    assert episode is not None
    assert (episode.severity, episode.since) == ("warning", last)
    world.up("site0", "a")
    assert world.said() == ["opened a vantage_silent", "ended a vantage_silent"]


def test_a_silent_vantage_is_missed_by_its_shortest_interval_whatever_else_it_checks() -> None:
    world = World()
    world.up("often", "a", interval=3)
    world.up("seldom", "a", interval=3600)
    world.up("often", "b", interval=3600)
    world.wait(66 * SECOND)
    assert world.said() == []
    world.wait(3 * SECOND)
    assert world.said() == ["opened a vantage_silent"]


def test_a_vantage_that_goes_on_without_its_most_frequent_targets_is_not_silent() -> None:
    world = World()
    for number in range(3):
        world.up(f"seldom{number}", "a", interval=900)
        world.up(f"seldom{number}", "b", interval=900)
    world.up("often", "a", interval=3)
    world.wait(30 * SECOND)
    world.up("seldom0", "a", interval=900)
    world.wait(4 * MINUTE)
    assert world.said() == []


def test_a_target_that_is_taken_off_the_list_makes_no_vantage_silent() -> None:
    world = World()
    listed = [Listed(name, f"https://{name}/", {}, interval) for name, interval in (("often", 3), ("seldom", 900))]
    world.judge.list_targets(listed, at=world.now)
    for vantage in ("a", "b"):
        world.up("seldom", vantage, interval=900)
        world.up("often", vantage, interval=3)
    world.judge.list_targets(listed[1:], at=world.now)
    world.wait(10 * MINUTE)
    assert world.said() == []


def test_the_last_vantage_that_falls_silent_is_critical_and_its_targets_hang_under_it() -> None:
    world = World(no_data_after=60)
    minutes(world, 2, failing={}, vantages="a")
    world.wait(20 * MINUTE)
    assert world.said() == ["opened a vantage_silent"]
    episode = world.open(Condition.VANTAGE_SILENT, "a")
    assert episode is not None
    assert episode.severity == "critical"
    hanging = world.open(Condition.NO_DATA, "site0")
    assert hanging is not None
    assert hanging.under == episode.id
    world.restart()
    world.wait(10 * MINUTE)
    assert world.said() == ["opened a vantage_silent"]


def test_a_vantage_that_is_silent_for_a_week_was_taken_away() -> None:
    world = World()
    minutes(world, 1, failing={})
    minutes(world, 5, failing={}, vantages="bc")
    assert world.open(Condition.VANTAGE_SILENT, "a") is not None
    for _ in range(7 * 24 + 1):
        for site in SITES:
            for vantage in "bc":
                world.up(site, vantage, interval=3600)
        world.now += 3600 * SECOND
        world.tick()
    assert world.open(Condition.VANTAGE_SILENT, "a") is None
    assert world.said().count("ended a vantage_silent") == 1


def test_results_that_come_too_late_make_no_vantage_speak() -> None:
    world = World()
    minutes(world, 1, failing={})
    for _ in range(6):
        world.check("site0", "a", at=world.now - 20 * MINUTE)
        minutes(world, 1, failing={}, vantages="bc")
    assert world.said() == ["opened a vantage_silent"]

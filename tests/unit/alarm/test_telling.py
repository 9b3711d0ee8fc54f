"""Who is told what, and when: groups, parents, maintenance, silences, people, receivers."""

from collections.abc import Callable, Mapping

import pytest

from tests.unit.alarm.world import DAY, HOUR, MINUTE, SECOND, OneWindow, PlainRules, World
from webmon.alarm.conditions import Condition, Conditions, Step
from webmon.alarm.match import Match
from webmon.alarm.records import Maintenance, Silence
from webmon.check.result import Outcome

ONE = Conditions(confirm=1, recover=1)


def silence(world: World, match: str, length: int, number: str = "1") -> None:
    world.take(world.judge.order(Silence(id=number, match=match, begins=world.now, until=world.now + length)))


def maintenance(world: World, match: str, length: int) -> None:
    world.take(world.judge.order(Maintenance(id="m", match=match, begins=world.now, until=world.now + length)))


# Groups of a channel


def test_the_first_is_told_at_once_and_what_fails_soon_after_as_one_message() -> None:
    world = World(PlainRules(Conditions(confirm=1, recover=1, group_secs=30, many=10**9)))
    for number in range(4):
        world.fail(f"site{number}")
        world.wait(SECOND)
    assert world.messages == [("mail", ("opened site0 down",))]
    world.wait(30 * SECOND)
    assert world.messages[1:] == [("mail", tuple(f"opened site{n} down" for n in (1, 2, 3)))]


def test_a_target_waits_for_no_longer_than_its_own_group_secs_whatever_others_have() -> None:
    def gathered_for(seconds: float) -> Conditions:
        return Conditions(confirm=1, group_secs=seconds, many=100, no_data_after=10**9)

    world = World(PlainRules(gathered_for(1800), named={"gold": gathered_for(0), "silver": gathered_for(30)}))
    for number in range(3):
        world.fail(f"bronze{number}", interval=86400)
    world.fail("silver", interval=86400)
    world.fail("gold", interval=86400)
    assert world.said() == ["opened bronze0 down", "opened silver down", "opened gold down"]
    world.restart()
    world.fail("bronze3", interval=86400)
    world.wait(30 * MINUTE - SECOND)
    assert len(world.said()) == 3
    world.wait(SECOND)
    assert world.messages[3:] == [("mail", tuple(f"opened bronze{number} down" for number in (1, 2, 3)))]


def test_an_ending_within_the_group_is_one_message_with_both_times() -> None:
    world = World(PlainRules(Conditions(confirm=1, recover=1, group_secs=30)))
    world.fail("first")
    world.fail("second")
    world.wait(5 * SECOND)
    world.up("second")
    world.wait(30 * SECOND)
    assert world.said() == ["opened first down", "over second down"]


def test_each_channel_that_all_routes_name_is_told_and_steps_follow() -> None:
    rules = PlainRules(ONE, steps=(Step(0, ("mail", "chat")), Step(600, ("pager",))))
    world = World(rules)
    world.fail()
    assert world.said("chat") == world.said("mail") == ["opened shop down"]
    world.wait(599 * SECOND)
    assert world.said("pager") == []
    world.wait(2 * SECOND)
    assert world.said("pager") == ["opened shop down"]
    world.up()
    assert [world.said(channel)[-1] for channel in ("mail", "chat", "pager")] == ["ended shop down"] * 3


# Steps, acknowledgement, reminders


def test_steps_run_from_when_a_receiver_took_the_first_message() -> None:
    world = World(PlainRules(ONE, steps=(Step(0, ("mail",)), Step(60, ("pager",)))))
    world.away = {"mail"}
    world.fail(interval=86400)
    world.wait(5 * MINUTE)
    assert world.said("pager") == []
    world.away = set()
    world.tick()
    world.wait(59 * SECOND)
    assert world.said("pager") == []
    world.wait(SECOND)
    assert world.said("pager") == ["opened shop down"]


def test_steps_wait_no_longer_than_5_minutes_for_receivers_that_take_nothing() -> None:
    world = World(PlainRules(ONE, steps=(Step(0, ("mail",)), Step(60, ("pager",)))))
    world.away = {"mail"}  # it may be what is down
    world.fail(interval=86400)
    world.wait(6 * MINUTE - SECOND)
    assert world.said("pager") == []
    world.wait(SECOND)
    assert world.said("pager") == ["opened shop down"]


def test_a_first_step_that_tells_nobody_is_waited_for_all_the_same() -> None:
    world = World(PlainRules(ONE, steps=(Step(0, ()), Step(600, ("pager",)))))
    maintenance(world, "shop", HOUR)
    world.fail(interval=86400)
    world.wait(HOUR + 5 * MINUTE)
    world.restart()
    world.wait(5 * MINUTE - SECOND)
    assert world.told == [], "after is counted from when it might have been told"
    world.wait(SECOND)
    assert world.said("pager") == ["opened shop down"]
    world.up(interval=86400)
    assert world.said("pager") == ["opened shop down", "ended shop down"]


def test_of_what_was_over_or_acknowledged_before_the_only_step_nobody_is_told() -> None:
    world = World(PlainRules(ONE, steps=(Step(0, ()), Step(600, ("pager",)))))
    for name in ("over", "acknowledged"):
        world.fail(name, interval=86400)
    episode = world.open(subject="acknowledged")
    assert episode is not None
    world.take(world.judge.acknowledge(episode.id, by="ann", at=world.now))
    world.wait(5 * MINUTE)
    world.up("over", interval=86400)
    world.wait(HOUR)
    assert world.told == []


def by_severity(warning: tuple[Step, ...], critical: tuple[Step, ...]) -> World:
    """Give a world with a certificate that passed a step six days ago, and just now the last one."""

    def routes(labels: Mapping[str, str], severity: str, condition: str) -> tuple[Step, ...]:
        return critical if severity == "critical" else warning

    world = World(PlainRules(Conditions(certificate_days=(7, 1), no_data_after=10**9), routes=routes))
    world.up(ends=world.now + 7 * DAY, interval=86400 * 30)
    world.wait(2 * HOUR)
    world.now += 6 * DAY - 2 * HOUR - SECOND
    world.tick()
    world.told.clear()
    world.wait(SECOND)
    return world


def test_who_is_told_after_a_while_of_what_became_critical_is_so_from_when_it_became_that() -> None:
    ops, pager, lead = ("ops",), ("pager",), ("lead",)
    world = by_severity((Step(0, ops), Step(3600, lead)), (Step(0, ops), Step(300, pager), Step(3600, lead)))
    assert sorted(channel for _, channel, _, _, _ in world.told) == ["lead", "ops"]
    world.wait(2 * MINUTE)
    world.restart()
    world.wait(3 * MINUTE - SECOND)
    assert world.said("pager") == []
    world.wait(HOUR)
    assert world.said("pager") == ["opened shop certificate"]
    assert world.said("lead") == ["opened shop certificate", "changed shop certificate"]


def test_a_step_that_only_what_is_critical_has_is_not_due_at_once_as_it_lasts_for_long() -> None:
    world = by_severity((Step(0, ("ops",)),), (Step(0, ("ops",)), Step(3600, ("pager",))))
    world.wait(HOUR - SECOND)
    assert world.said("pager") == []
    world.wait(SECOND)
    assert world.said("pager") == ["opened shop certificate"]


def test_who_was_not_told_of_the_opening_is_not_told_of_the_ending() -> None:
    world = World(PlainRules(ONE, steps=(Step(0, ("mail",)), Step(600, ("pager",)))))
    world.fail(interval=86400)
    world.wait(MINUTE)
    world.up(interval=86400)
    world.wait(HOUR)
    assert world.said("pager") == []


def test_an_acknowledgement_stops_steps_and_reminders_of_that_episode_alone() -> None:
    world = World(
        PlainRules(
            Conditions(confirm=1, recover=1, remind=3600, no_data_after=10**9),
            steps=(Step(0, ("mail",)), Step(600, ("pager",))),
        )
    )
    world.fail("shop", interval=86400)
    world.wait(MINUTE)
    world.fail("bank", interval=86400)
    episode = world.open()
    assert episode is not None
    world.take(world.judge.acknowledge(episode.id, by="ann", note="on it", at=world.now))
    world.take(world.judge.acknowledge("unknown", by="ann", at=world.now))
    world.wait(2 * HOUR)
    assert world.said("pager") == ["opened bank down", "reminder bank down"]
    assert world.said()[2:] == ["reminder bank down"]
    world.up("shop", interval=86400)
    assert world.said()[-1] == "ended shop down"


def test_it_is_reminded_from_the_last_told_message_and_not_in_silence() -> None:
    world = World(PlainRules(Conditions(confirm=1, recover=1, remind=3600, no_data_after=10**9)))
    world.fail(interval=86400)
    world.wait(HOUR - SECOND)
    assert len(world.said()) == 1
    world.wait(SECOND)
    assert world.said() == ["opened shop down", "reminder shop down"]
    silence(world, "shop", 3 * HOUR)
    world.wait(3 * HOUR - SECOND)
    assert len(world.said()) == 2
    world.wait(HOUR)
    assert world.said()[2:] == ["reminder shop down"]


def test_a_receiver_that_is_away_gets_no_heap_of_reminders() -> None:
    world = World(PlainRules(Conditions(confirm=1, recover=1, remind=600, no_data_after=10**9)))
    world.fail(interval=86400)
    world.away = {"mail"}
    world.wait(5 * HOUR)
    world.away = set()
    world.tick()
    assert world.said() == ["opened shop down", "reminder shop down"]


# Receivers


def test_what_ended_before_a_receiver_took_it_is_one_message_there_and_two_elsewhere() -> None:
    world = World(PlainRules(ONE, steps=(Step(0, ("mail", "chat")),)))
    world.away = {"mail"}
    world.fail(interval=86400)
    world.wait(30 * MINUTE)
    world.up(interval=86400)
    world.away = set()
    world.wait(MINUTE)
    assert world.said("mail") == ["over shop down"]
    assert world.said("chat")[0::2] == ["opened shop down"]
    assert world.said("chat")[-1] == "ended shop down"


def test_an_opening_that_was_taken_just_as_it_was_given_up_gets_its_ending() -> None:
    world = World(PlainRules(ONE))
    world.away = {"mail"}
    world.fail()
    [message] = world.judge.due(world.now)
    world.wait(SECOND)
    world.up()
    world.take(world.judge.sent([n.id for n in message.notices], at=world.now))
    world.away = set()
    world.tick()
    assert world.said() == ["ended shop down"]


def test_a_channel_that_refuses_is_replaced_by_its_fallback_which_gets_the_ending() -> None:
    world = World(PlainRules(ONE))
    world.away = {"mail"}
    world.fail()
    [message] = world.judge.due(world.now)
    world.take(world.judge.failed([n.id for n in message.notices], at=world.now, fallback="hook"))
    world.tick()
    assert world.said("hook") == ["opened shop down"]
    world.wait(MINUTE)
    world.up()
    assert world.said("hook") == ["opened shop down", "ended shop down"]
    assert world.judge.due(world.now) == [], "who refused the opening is not told of the ending"


def test_two_channels_that_refuse_have_their_one_fallback_told_once() -> None:
    world = World(PlainRules(ONE, steps=(Step(0, ("mail", "chat")),)))
    world.away = {"mail", "chat"}
    world.fail()
    for message in world.judge.due(world.now):
        world.take(world.judge.failed([n.id for n in message.notices], at=world.now, fallback="hook"))
        world.tick()
    assert world.said("hook") == ["opened shop down"]


def test_an_ending_goes_where_the_opening_went() -> None:
    world = World(PlainRules(ONE))
    world.away = {"mail"}
    world.fail()
    [message] = world.judge.due(world.now)
    world.take(world.judge.sent([n.id for n in message.notices], at=world.now, to="shop@example.org"))
    world.judge.change_rules(PlainRules(ONE, steps=(Step(0, ("other",)),)))
    world.wait(SECOND)
    world.up()
    [message] = world.judge.due(world.now)
    assert (message.channel, message.notices[0].event, message.notices[0].to) == ("mail", "ended", "shop@example.org")


def test_a_notice_is_sent_once_more_by_order_as_what_it_is_now() -> None:
    world = World(PlainRules(ONE))
    world.fail()
    [notice] = world.judge.notices()
    world.take(world.judge.resend(notice.id, at=world.now))
    world.tick()
    assert world.said() == ["opened shop down", "opened shop down"]
    world.wait(MINUTE)
    world.up()
    world.take(world.judge.resend(notice.id, at=world.now))
    world.wait(MINUTE)
    assert world.said()[2:] == ["ended shop down", "over shop down"]


# Maintenance and silence


def test_what_begins_and_ends_in_maintenance_is_never_told() -> None:
    world = World(PlainRules(ONE))
    maintenance(world, "shop", HOUR)
    world.fail()
    world.wait(MINUTE)
    world.up()
    world.wait(2 * HOUR)
    assert "down" not in " ".join(world.said())


def test_what_is_still_down_after_maintenance_is_told_then() -> None:
    window = OneWindow("sh*", World().now, World().now + HOUR)
    world = World(PlainRules(Conditions(confirm=1, recover=1, no_data_after=10**9), maintenance=(window,)))
    world.fail(interval=86400)
    begun = world.now
    world.wait(HOUR - SECOND)
    assert world.said() == []
    world.wait(SECOND)
    assert world.said() == ["opened shop down"]
    episode = world.open()
    assert episode is not None
    assert episode.since == begun


def test_a_told_opening_gets_its_ending_told_at_once_in_maintenance_and_in_silence() -> None:
    for order in (maintenance, silence):
        world = World(PlainRules(ONE))
        world.fail()
        world.wait(MINUTE)
        order(world, "shop", HOUR)
        world.up()
        assert world.said() == ["opened shop down", "ended shop down"]
        world.fail()
        world.wait(MINUTE)
        assert len(world.said()) == 2


@pytest.mark.parametrize("is_over_early", [False, True])
def test_a_further_step_of_a_certificate_waits_for_the_end_of_maintenance_and_silence(is_over_early: bool) -> None:
    for order in (maintenance, silence):
        world = World(PlainRules(Conditions(certificate_days=(7, 3, 1), no_data_after=10**9)))
        ends = world.now + 3 * DAY + HOUR
        world.up(ends=ends, interval=86400 * 30)
        world.wait(MINUTE)
        order(world, "shop", 2 * DAY + 2 * HOUR)
        world.wait(2 * HOUR)
        episode = world.open(Condition.CERTIFICATE)
        assert episode is not None
        assert episode.days == 3
        world.restart()
        world.wait(MINUTE)
        assert world.said() == ["opened shop certificate"]
        if is_over_early:
            order(world, "shop", 0)
        else:
            world.now += 2 * DAY - HOUR
            world.wait(2 * HOUR)
        world.wait(SECOND)
        expected = ["opened shop certificate", "changed shop certificate"]
        assert world.said() == expected, "two that were passed meanwhile are one"
        world.restart()
        world.wait(MINUTE)
        assert world.said() == expected


def test_a_certificate_that_is_renewed_in_maintenance_is_told_to_be_so_and_of_no_step() -> None:
    world = World(PlainRules(Conditions(certificate_days=(7, 3, 1), no_data_after=10**9)))
    world.up(ends=world.now + 3 * DAY + HOUR, interval=86400 * 30)
    maintenance(world, "shop", DAY)
    world.wait(2 * HOUR)
    world.up(ends=world.now + 90 * DAY, interval=86400 * 30)
    assert world.said() == ["opened shop certificate", "ended shop certificate"]
    world.now += DAY
    world.wait(SECOND)
    assert len(world.said()) == 2


def told_as_partial(order: Callable[[World, str, int], None], length: int) -> World:
    """Give a world where some see it fail, which was told; then nothing is told for a while, and all see it fail."""
    world = World(PlainRules(Conditions(partial_after=60, remind=0)))
    world.rounds(4, "fuu")
    order(world, "shop", length)
    world.rounds(3, "fff")
    assert world.open() is not None
    return world


@pytest.mark.parametrize("order", [maintenance, silence])
def test_what_was_told_as_partial_and_is_down_in_maintenance_only_is_told_to_be_well(
    order: Callable[[World, str, int], None],
) -> None:
    world = told_as_partial(order, HOUR)
    world.restart()
    assert world.said() == ["opened shop partial"], "it is not told as down"
    world.rounds(2, "fuu")
    assert world.said() == ["opened shop partial"], "which is what was told last"
    world.rounds(2, "fff")
    assert world.open() is not None
    world.rounds(1, "uuu")
    assert world.said() == ["opened shop partial", "ended shop partial"]
    [partial] = [e for e in world.judge.episodes() if e.condition is Condition.PARTIAL]
    assert partial.reason == ""
    world.rounds(60, "uuu")
    assert len(world.said()) == 2


@pytest.mark.parametrize("order", [maintenance, silence])
def test_what_was_told_as_partial_and_is_still_down_after_maintenance_is_told_as_down(
    order: Callable[[World, str, int], None],
) -> None:
    world = told_as_partial(order, 10 * MINUTE)
    world.rounds(10, "fff")
    assert world.said() == ["opened shop partial", "opened shop down", "ended shop partial"]
    [partial] = [e for e in world.judge.episodes() if e.condition is Condition.PARTIAL]
    assert partial.reason == "down"
    world.rounds(3, "uuu")
    assert world.said()[3:] == ["ended shop down"]


def test_what_is_partial_and_then_down_in_maintenance_is_told_as_down_alone_after_it() -> None:
    world = World(PlainRules(Conditions(partial_after=60, remind=0)))
    world.rounds(1, "uuu")
    maintenance(world, "shop", 20 * MINUTE)
    world.rounds(4, "fuu")
    assert world.open(Condition.PARTIAL) is not None
    world.rounds(20, "fff")
    assert world.said() == ["opened shop down"]


def test_a_silence_by_label_holds_back_and_its_end_tells_what_is_open_and_untold() -> None:
    world = World(PlainRules(Conditions(confirm=1, recover=1, no_data_after=10**9)))
    silence(world, "team=shop", HOUR)
    world.fail("shop", labels={"team": "shop"}, interval=86400)
    world.fail("bank", labels={"team": "bank"}, interval=86400)
    world.wait(MINUTE)
    assert world.said() == ["opened bank down"]
    silence(world, "team=shop", 0)  # the same id again: it ends now
    world.wait(SECOND)
    assert world.said() == ["opened bank down", "opened shop down"]


@pytest.mark.parametrize("name", ["http://[2001:db8::1]/", "shop [eu]", "shop?id=[1-3]*"])
def test_a_whole_name_is_meant_also_where_it_looks_like_a_pattern(name: str) -> None:
    for order in (maintenance, silence):
        world = World(PlainRules(ONE))
        order(world, name, HOUR)
        world.fail(name)
        world.fail("bank")
        world.wait(MINUTE)
        assert world.said() == ["opened bank down"]
        assert Match((name,)).fits(name, {})
        assert not Match((name,)).fits("bank", {})


# depends_on


def child_of(parent: str) -> PlainRules:
    return PlainRules(ONE, named={"child": Conditions(confirm=1, recover=1, depends_on=(parent,))})


def test_a_child_is_not_told_while_its_parent_is_down_and_after_it_with_its_own_since() -> None:
    world = World(child_of("router"))
    world.fail("router")
    world.wait(SECOND)
    world.fail("child")
    begun = world.now
    for _ in range(3):
        world.wait(MINUTE)
        world.fail("router")
        world.fail("child")
    assert world.said() == ["opened router down"]
    world.wait(SECOND)
    world.up("router")
    world.wait(MINUTE)
    assert world.said()[1:] == ["ended router down", "opened child down"]
    episode = world.open(subject="child")
    assert episode is not None
    assert episode.since == begun


def test_a_child_that_comes_back_while_its_parent_is_down_is_never_told() -> None:
    world = World(child_of("router"))
    world.fail("router")
    world.fail("child")
    world.wait(SECOND)
    world.up("child")
    world.wait(MINUTE)
    world.up("router")
    world.wait(MINUTE)
    assert world.said() == ["opened router down", "ended router down"]


def test_a_child_waits_for_the_next_look_at_its_parent_and_is_told_if_that_is_up() -> None:
    world = World(child_of("router"))
    world.up("router")
    world.wait(10 * SECOND)
    world.fail("child")
    world.wait(40 * SECOND)
    assert world.said() == []
    world.up("router")
    world.wait(SECOND)
    assert world.said() == ["opened child down"]


def test_a_child_waits_two_intervals_of_its_parent_at_most_for_what_is_not_confirmed() -> None:
    rules = child_of("router")
    rules.named["router"] = Conditions(confirm=100)
    world = World(rules)
    world.fail("router")
    world.fail("child")
    world.wait(MINUTE)
    world.fail("router")
    world.wait(59 * SECOND)
    assert world.said() == []
    world.wait(SECOND)
    assert world.said() == ["opened child down"]


def test_a_child_of_an_unknown_parent_is_told_at_once() -> None:
    world = World(child_of("nobody"))
    world.fail("child")
    assert world.said() == ["opened child down"]


# many_down


def hundred(world: World, outcome: Outcome, *, first: int = 0) -> None:
    for number in (*range(first, 100), *range(first)):
        world.check(f"site{number}", outcome=outcome, labels={"host": "one"})
        world.now += 200
    world.tick()


def test_a_hundred_sites_of_one_host_are_two_messages_each_way() -> None:
    world = World(PlainRules(ONE))
    for number in range(300):
        world.up(f"else{number}", labels={"host": f"h{number}"})
    hundred(world, Outcome.UP)
    world.wait(MINUTE)
    hundred(world, Outcome.TIMEOUT)
    assert world.messages[0] == ("mail", ("opened site0 down",))
    world.wait(30 * SECOND)
    assert world.said() == ["opened site0 down", "opened host=one many_down"]
    hundred(world, Outcome.UP)
    world.wait(MINUTE)
    assert len(world.messages) <= 4
    assert world.said()[2] == "ended site0 down"
    assert world.said()[3] == "ended host=one many_down"


def test_many_that_come_back_one_after_the_other_are_two_messages_whichever_is_the_last() -> None:
    world = World(PlainRules(ONE))
    for number in range(300):
        world.up(f"else{number}", labels={"host": f"h{number}"})
    hundred(world, Outcome.TIMEOUT)
    world.wait(MINUTE)
    hundred(world, Outcome.UP, first=1)
    world.wait(MINUTE)
    assert world.said()[2:] == ["ended site0 down", "ended host=one many_down"]


def many_of_which_two_stay_down() -> World:
    """Give a world where six sites were down for an hour, and the first four came back just now."""
    world = World(PlainRules(Conditions(confirm=1, recover=1, no_data_after=10**9)))
    for number in range(6):
        world.fail(f"site{number}", interval=86400)
    world.wait(HOUR)
    for number in range(4):
        world.up(f"site{number}", interval=86400)
    return world


def test_of_many_the_few_that_fail_on_are_told_once_the_others_had_time_to_come_back_too() -> None:
    world = many_of_which_two_stay_down()
    world.wait(20 * SECOND)
    assert "ended * many_down" not in world.said()
    # More of them are down again: it is not over.
    world.fail("site1", interval=86400)
    world.wait(20 * SECOND)
    assert "ended * many_down" not in world.said()
    world.up("site1", interval=86400)
    world.wait(40 * SECOND)
    assert world.messages[-1] == ("mail", ("ended * many_down", "opened site4 down", "opened site5 down"))


def test_a_judge_that_takes_over_ends_many_of_which_few_are_left() -> None:
    world = many_of_which_two_stay_down()
    world.restart()
    world.wait(MINUTE)
    assert world.messages[-1] == ("mail", ("ended * many_down", "opened site4 down", "opened site5 down"))


def test_the_end_of_many_names_those_that_are_still_down_which_are_told_singly_from_then_on() -> None:
    world = World(PlainRules(Conditions(confirm=1, recover=1, no_data_after=10**9)))
    names = [f"site{number}" for number in range(6)]
    for name in names:
        world.fail(name, interval=86400)
        world.wait(SECOND)
    assert world.said() == ["opened site0 down", "opened * many_down"]
    [group] = [e for e in world.judge.episodes() if e.condition is Condition.MANY_DOWN]
    assert group.detail == "5 of 5 targets failed within 60 s: site0, site1, site2, site3, site4"
    world.wait(10 * MINUTE)
    for name in names[:4]:
        world.up(name, interval=86400)
    world.wait(30 * SECOND)
    assert world.messages[-1] == ("mail", ("ended * many_down", "opened site4 down", "opened site5 down"))
    [group] = [e for e in world.judge.episodes() if e.condition is Condition.MANY_DOWN]
    assert group.detail == "still failing: site4, site5"
    world.wait(MINUTE)
    world.up("site4", interval=86400)
    assert world.said()[-1] == "ended site4 down"


def test_what_fails_later_while_many_are_down_hangs_under_it() -> None:
    world = World(PlainRules(Conditions(confirm=1, recover=1, no_data_after=10**9)))
    for number in range(6):
        world.fail(f"site{number}", interval=86400)
    world.wait(HOUR)
    world.fail("late", interval=86400)
    world.wait(MINUTE)
    assert "opened late down" not in world.said()
    world.up("late", interval=86400)
    world.wait(MINUTE)
    assert not any("late" in text for text in world.said())


def test_everybody_whom_a_single_one_would_be_told_to_is_told_of_many() -> None:
    def routes(labels: Mapping[str, str], severity: str, condition: str) -> tuple[Step, ...]:
        return (Step(0, (labels.get("team", "mail"),)),)

    world = World(PlainRules(ONE, routes=routes))
    for number in range(6):
        world.fail(f"site{number}", labels={"team": "shop" if number % 2 else "bank"})
        world.wait(SECOND)
    for channel in ("mail", "shop", "bank"):
        assert "opened * many_down" in world.said(channel)


def with_pagers(labels: Mapping[str, str], severity: str, condition: str) -> tuple[Step, ...]:
    """Route what has a team to it and later to its pager, and the rest to the mail."""
    if condition != "down" or "team" not in labels:
        return (Step(0, ("mail",)),)
    return Step(0, ("mail",)), Step(600, (f"{labels['team']}-pager",))


def test_many_are_told_to_whom_a_single_one_would_be_told_later_until_somebody_has_them_in_hand() -> None:
    for is_acknowledged in (False, True):
        world = World(PlainRules(ONE, routes=with_pagers))
        for number in range(6):
            world.fail(f"site{number}", labels={"team": "shop" if number % 2 else "bank"}, interval=86400)
        world.wait(SECOND)
        world.up("site0", labels={"team": "bank"}, interval=86400)  # which was told by itself
        [group] = [e for e in world.judge.episodes() if e.condition is Condition.MANY_DOWN]
        if is_acknowledged:
            world.take(world.judge.acknowledge(group.id, by="ann", at=world.now))
        world.wait(10 * MINUTE - 2 * SECOND)
        assert world.said("shop-pager") == world.said("bank-pager") == []
        world.restart()
        world.wait(2 * SECOND)
        expected = [] if is_acknowledged else ["opened * many_down"]
        assert world.said("shop-pager") == world.said("bank-pager") == expected
        for number in range(1, 6):
            labels = {"team": "shop" if number % 2 else "bank"}
            world.up(f"site{number}", labels=labels, interval=86400)
        world.wait(MINUTE)
        assert world.said("shop-pager")[1:] == (["ended * many_down"] if expected else [])


def test_whom_one_that_joins_many_later_would_be_told_to_later_is_told_so_long_after_that() -> None:
    world = World(PlainRules(ONE, routes=with_pagers))
    for number in range(6):
        world.fail(f"site{number}", labels={"team": "shop"}, interval=86400)
    world.wait(30 * MINUTE)
    world.fail("late", labels={"team": "bank"}, interval=86400)
    world.wait(10 * MINUTE - 2 * SECOND)
    assert world.said("bank-pager") == []
    world.wait(2 * SECOND)
    assert world.said("bank-pager") == ["opened * many_down"]
    assert world.said("shop-pager").count("opened * many_down") == 1


def test_planned_maintenance_of_many_is_no_alarm() -> None:
    world = World(PlainRules(Conditions(confirm=1, recover=1, no_data_after=10**9)))
    maintenance(world, "site*", HOUR)
    for number in range(10):
        world.fail(f"site{number}", interval=86400)
    world.wait(HOUR - SECOND)
    assert world.said() == []


def test_many_that_fail_over_more_than_a_minute_are_told_singly() -> None:
    world = World(PlainRules(Conditions(confirm=1, recover=1, no_data_after=10**9)))
    for number in range(10):
        world.fail(f"site{number}", interval=86400)
        world.wait(20 * SECOND)
    assert not any("many_down" in text for text in world.said())


# Our own trouble


def test_own_trouble_is_told_once_each_way_and_waits_for_no_group() -> None:
    world = World(PlainRules(ONE))
    world.fail()
    for _ in range(2):
        world.take(world.judge.monitor("sink", is_open=True, detail="no result stored for 60 s", at=world.now))
    world.tick()
    assert world.messages[1:] == [("mail", ("opened sink monitor",))]
    world.wait(MINUTE)
    world.take(world.judge.monitor("sink", is_open=False, detail="", at=world.now))
    world.take(world.judge.monitor("kafka", is_open=False, detail="", at=world.now))
    world.tick()
    assert world.said()[2:] == ["ended sink monitor"]

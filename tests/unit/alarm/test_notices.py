"""From records to what a person reads: what it is, since when, whom it follows."""

from datetime import UTC, datetime

from tests.unit.alarm.world import MINUTE, PlainRules, World
from webmon.alarm.conditions import Conditions
from webmon.alarm.notice import Notice
from webmon.alarm.notices import Notices
from webmon.alarm.senders import message

ONE = Conditions(confirm=1, recover=1, no_data_after=10**9)


def said(world: World, page: str | None = None) -> list[Notice]:
    """Give what would be sent now."""
    notices = Notices(world.judge.book, page)
    made = [notices.of(due, datetime.fromtimestamp(world.now / 1000, UTC)) for due in world.judge.due(world.now)]
    return [one for one in made if one is not None]


def test_an_opening_says_who_saw_what_and_how_it_is_acknowledged() -> None:
    world = World(PlainRules(ONE))
    world.away = {"mail"}
    world.fail()
    (one,) = said(world, "https://page.example.org/")
    assert message.subject(one) == "DOWN shop: timeout (1 of 1 vantage)"
    assert one.acknowledge == f"webmon alarms ack {one.episode} --by NAME"
    assert one.link == f"https://page.example.org/episode/{one.episode}"
    assert one.thread is None
    assert one.until is None


def test_an_ending_follows_the_message_of_its_opening_and_asks_for_nothing() -> None:
    world = World(PlainRules(ONE))
    world.fail(interval=86400)
    world.wait(5 * MINUTE)
    world.away = {"mail"}
    world.up(interval=86400)
    (one,) = said(world)
    opening = next(notice for notice in world.judge.notices() if notice.event == "opened")
    assert one.thread == opening.group
    assert one.acknowledge is None
    assert one.link is None
    assert message.subject(one) == "UP shop: was down for 5 min"


def test_what_it_was_before_is_told_where_that_is_known() -> None:
    world = World(PlainRules(ONE))
    world.fail(interval=86400)
    world.wait(MINUTE)
    world.up(interval=86400)
    world.wait(20 * MINUTE)
    world.away = {"mail"}
    world.fail(interval=86400)
    (one,) = said(world)
    assert one.before == "up for 20 min"


def test_several_are_one_message_with_the_key_of_their_group() -> None:
    world = World(PlainRules(Conditions(confirm=1, recover=1, no_data_after=10**9, group_secs=30)))
    world.away = {"mail"}
    for name in ("first", "second", "third"):
        world.fail(name)
    world.wait(MINUTE)
    first, second = said(world)
    assert (first.target, first.others) == ("first", ())
    assert [second.target, *(other.target for other in second.others)] == ["second", "third"]


def test_a_certificate_says_when_it_ends() -> None:
    world = World(PlainRules(ONE))
    world.away = {"mail"}
    world.up(ends=world.now + 3 * 86_400_000 - MINUTE)
    (one,) = said(world)
    assert one.what == "ends in 2 d"


def test_an_alertmanager_is_told_all_that_lasts_and_what_ended_of_late() -> None:
    world = World(PlainRules(ONE))
    world.fail("lasts", interval=86400)
    world.fail("ended", interval=86400)
    world.wait(MINUTE)
    world.up("ended", interval=86400)
    world.wait(MINUTE)
    notices = Notices(world.judge.book, None)

    def lasting() -> dict[str, bool]:
        now = datetime.fromtimestamp(world.now / 1000, UTC)
        return {one.target: one.is_over for one in notices.lasting("mail", frozenset(), now, 300)}

    assert lasting() == {"lasts": False, "ended": True}
    world.wait(6 * MINUTE)
    assert lasting() == {"lasts": False}
    assert notices.lasting("other", frozenset(), datetime.now(UTC), 300) == []


def test_what_ended_without_getting_well_is_not_called_up() -> None:
    world = World(PlainRules(ONE))
    world.fail(interval=60)
    world.away = {"mail"}
    world.judge.list_targets([], at=world.now)
    world.wait(10 * MINUTE)
    (one,) = (one for one in said(world) if one.condition == "down")
    assert message.subject(one).startswith("OVER shop: it was taken from the list; was down for ")

"""Another judge takes over, the same judge was away: told once, and never forgotten."""

from typing import Any

import pytest

from tests.unit.alarm.world import DAY, HOUR, MINUTE, SECOND, START, PlainRules, World, result
from webmon.alarm.conditions import Condition, Conditions, Step
from webmon.alarm.judge import Judge, Listed
from webmon.alarm.records import Maintenance, Silence, read
from webmon.check.result import Outcome

ONE = Conditions(confirm=1, recover=1, no_data_after=10**9)


def test_a_judge_that_takes_over_tells_nothing_again_and_tells_the_ending() -> None:
    world = World(PlainRules(ONE))
    world.fail()
    world.restart()
    world.wait(MINUTE)
    assert world.said() == ["opened shop down"]
    world.up()
    assert world.said() == ["opened shop down", "ended shop down"]
    world.restart()
    world.wait(MINUTE)
    assert len(world.said()) == 2


@pytest.mark.parametrize("behind", range(1, 7))
def test_what_the_log_has_already_is_judged_again_without_effect(behind: int) -> None:
    world = World(PlainRules(Conditions(confirm=2, recover=2)))
    for letter in "uffuuf":
        world.rounds(1, letter)
    before = dict(world.log)
    world.restart(position=world.offset - behind)
    assert world.log == before
    assert world.said() == ["opened shop down", "ended shop down"]


def test_a_row_goes_on_where_the_judge_before_left_it() -> None:
    world = World(PlainRules(Conditions(confirm=3)))
    world.rounds(2, "u")
    begun = world.now
    world.rounds(2, "f")
    world.restart()
    world.fail()
    episode = world.open()
    assert episode is not None
    assert episode.since == begun


def test_what_was_due_and_not_sent_is_sent_by_the_next_judge() -> None:
    world = World(PlainRules(ONE))
    world.away = {"mail"}
    world.fail("first")
    world.fail("second")
    world.restart()
    world.away = set()
    world.wait(MINUTE)
    assert world.said() == ["opened first down", "opened second down"]


@pytest.mark.parametrize("why", ["maintenance", "silence", "parent", "flapping", "many"])
def test_what_is_held_back_stays_so_and_is_told_when_it_is_over(why: str) -> None:
    rules = PlainRules(ONE)
    if why == "parent":
        rules = PlainRules(ONE, named={"shop": Conditions(confirm=1, recover=1, depends_on=("router",))})
    if why == "flapping":
        rules = PlainRules(Conditions(confirm=1, recover=1, flap_count=1, flap_quiet=3600, no_data_after=10**9))
    world = World(rules)
    day: dict[str, Any] = {"interval": 86400}
    if why in ("maintenance", "silence"):
        order = {"maintenance": Maintenance, "silence": Silence}[why]
        world.take(world.judge.order(order(id="1", match="shop", begins=world.now, until=world.now + HOUR)))
    if why == "parent":
        world.fail("router", **day)
    for number in range(6 if why == "many" else 0):
        world.fail(f"site{number}", **day)
    world.fail(**day)
    world.restart()
    world.wait(HOUR - SECOND)
    assert "opened shop down" not in world.said()
    if why == "parent":
        world.up("router", **day)
    for number in range(6 if why == "many" else 0):
        world.up(f"site{number}", **day)
    world.wait(MINUTE)
    assert world.said().count("opened shop down") == 1
    world.restart()
    world.up(**day)
    world.wait(MINUTE)
    assert world.said().count("ended shop down") == 1


def test_a_restart_loses_no_acknowledgement_step_or_reminder() -> None:
    conditions = Conditions(confirm=1, recover=1, no_data_after=10**9, remind=3600)
    world = World(PlainRules(conditions, steps=(Step(0, ("mail",)), Step(600, ("pager",)))))
    world.fail("shop", interval=86400)
    world.fail("bank", interval=86400)
    episode = world.open()
    assert episode is not None
    world.take(world.judge.acknowledge(episode.id, by="ann", at=world.now))
    world.restart()
    world.wait(10 * MINUTE + 31 * SECOND)
    assert world.said("pager") == ["opened bank down"]
    world.restart()
    world.wait(2 * HOUR)
    assert {text for text in world.said() if "reminder" in text} == {"reminder bank down"}


def test_a_fault_of_a_vantage_goes_on_through_a_restart() -> None:
    world = World(PlainRules(Conditions(agree="any", confirm=2)))
    for outcome in [Outcome.UP] * 2 + [Outcome.CONNECT_ERROR] * 2:
        for number in range(6):
            for vantage in "abc":
                world.check(f"site{number}", vantage, outcome if vantage == "a" else Outcome.UP)
            world.wait(10 * SECOND)
    assert world.said() == ["opened a vantage_at_fault"]
    world.restart(seen=False)
    for number in range(6):
        for vantage in "abc":
            world.check(f"site{number}", vantage, Outcome.CONNECT_ERROR if vantage == "a" else Outcome.UP)
        world.wait(10 * SECOND)
    assert world.said() == ["opened a vantage_at_fault"]


@pytest.mark.parametrize("receiver", ["there", "away"])
@pytest.mark.parametrize("written", range(5))
def test_a_judge_that_dies_between_the_records_of_a_change_loses_no_message(receiver: str, written: int) -> None:
    for event in ("opened", "ended"):
        world = World(PlainRules(ONE, steps=(Step(0, ("mail", "chat")),)))
        if event == "ended":
            if receiver == "away":
                world.away = {"mail", "chat"}
            world.fail()
            world.wait(MINUTE)
        outcome = Outcome.TIMEOUT if event == "opened" else Outcome.UP
        world.offset += 1
        one = result(outcome=outcome, at=world.now)
        world.results.append((one, world.now, world.offset))
        world.take(world.judge.result(one, world.now, partition=0, offset=world.offset)[:written])
        world.away = set()
        world.restart(position=world.offset - 1)
        world.wait(MINUTE)
        if event == "opened" or receiver == "there":
            expected = ["opened shop down", "ended shop down"]
            assert world.said("mail") == world.said("chat") == expected[: 1 if event == "opened" else 2]
        else:
            assert world.said("mail") == world.said("chat") == ["over shop down"]


def day_by_day(world: World, days: int) -> None:
    """Let another target be checked each hour meanwhile."""
    for _ in range(days * 24):
        world.up("other", interval=3600)
        world.hours(1)


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_target_whose_last_result_the_next_judge_did_not_read_is_missed_from_then_on(is_listed: bool) -> None:
    world = World(PlainRules(Conditions(remind=0, certificate_days=(21,))))
    world.up(interval=86400, ends=world.now + 20 * DAY)
    world.restart(seen=False)
    if is_listed:
        listed = [Listed(name, f"https://{name}.example.org/", {}, 86400) for name in ("shop", "other")]
        world.judge.list_targets(listed, at=world.now)
    day_by_day(world, 2)
    assert world.said() == ["opened shop certificate"], "it is checked once a day"
    day_by_day(world, 1)
    assert world.said() == ["opened shop certificate", "opened shop no_data"]


def test_a_target_whose_last_result_the_next_judge_did_not_read_is_missed_as_any_once_it_gave_one() -> None:
    world = World(confirm=1)
    world.fail()
    world.restart(seen=False)
    for _ in range(3):
        world.up("other")
        world.fail()
        world.wait(MINUTE)
    for _ in range(8):
        world.up("other")
        world.wait(MINUTE)
    assert "opened shop no_data" in world.said()


def test_a_target_that_is_gone_ends_after_a_week_also_where_another_judge_took_over() -> None:
    world = World(PlainRules(Conditions(remind=2 * 86400)))
    world.up()
    for _ in range(10):
        world.up("other")
        world.wait(MINUTE)
    assert world.said() == ["opened shop no_data"]
    world.restart(seen=False)
    day_by_day(world, 8)
    assert world.said() == ["opened shop no_data", *["reminder shop no_data"] * 3, "ended shop no_data"]


def renewed_often(world: World, hours: int, *, lives: int, every: int) -> int:
    """Let two vantages see a target whose certificate lives and is renewed after so many hours; give the last's end.

    The second sees each one ten minutes after the first.
    """
    ends = dict.fromkeys("ab", START + lives * HOUR)
    for ten_minutes in range(hours * 6):
        for place, vantage in enumerate("ab"):
            if ten_minutes >= place and (ten_minutes - place) % (every * 6) == 0:
                ends[vantage] = world.now - place * 10 * MINUTE + lives * HOUR
            world.up(vantage=vantage, ends=ends[vantage], interval=600)
        world.now += 10 * MINUTE
        world.tick()
    return ends["a"]


@pytest.mark.parametrize(("lives", "every"), [(24, 16), (6 * 24, 3 * 24)])
def test_another_judge_knows_how_long_a_certificate_lives_that_only_the_one_before_saw_come(
    lives: int, every: int
) -> None:
    world = World(no_data_after=10**9)
    renewed_often(world, every * 3 // 2, lives=lives, every=every)
    assert world.said()[-1] == "ended shop certificate", "of the first one, of which nobody knows how long it lives"
    told = len(world.said())
    for _ in range(every):
        world.results = world.results[-8:]
        world.restart()
        world.now += HOUR
        world.tick()
        ends = world.results[-1][0].tls_not_after
        assert ends is not None
        for vantage in "ab":
            world.up(vantage=vantage, ends=round(ends.timestamp() * 1000), interval=600)
    assert world.said()[told:] == []


def test_what_is_known_of_a_certificate_leaves_the_log_once_it_has_ended() -> None:
    world = World(no_data_after=10**9)
    ends = renewed_often(world, 48, lives=24, every=16)
    [key] = [key for key in world.log if key.startswith("certificates/")]
    while world.now < ends + DAY:
        assert key in world.log
        world.now += HOUR
        world.tick()
    world.now += HOUR
    world.tick()
    assert key not in world.log


def test_a_log_without_what_is_known_of_certificates_is_read_and_all_their_steps_count() -> None:
    world = World(no_data_after=10**9)
    ends = renewed_often(world, 40, lives=24, every=16)
    told = len(world.said())
    world.log = {key: value for key, value in world.log.items() if not key.startswith("certificates/")}
    world.results = world.results[-2:]
    world.restart()
    world.up(ends=ends, interval=600)
    assert world.said()[told:] == ["opened shop certificate"]


# While nobody judged


def away(world: World, *outcomes: Outcome) -> None:
    """Let nobody judge for ten minutes, and a judge then catch up with what came meanwhile."""
    begun = world.now
    world.now += 10 * MINUTE
    world.judge = Judge(world.rules, now=world.now)
    world.judge.restore(list(world.log.items()))
    end = world.now
    for place, outcome in enumerate(outcomes):
        world.now = begun + (place + 1) * MINUTE
        world.offset += 1
        one = result(outcome=outcome, at=world.now)
        world.results.append((one, world.now, world.offset))
        world.take(world.judge.result(one, world.now, partition=0, offset=world.offset))
    world.now = end
    world.tick()


def test_what_began_and_ended_while_nobody_judged_is_one_message_that_says_so() -> None:
    world = World(PlainRules(ONE))
    away(world, Outcome.UP, Outcome.TIMEOUT, Outcome.TIMEOUT, Outcome.UP)
    assert world.said() == ["over shop down"]
    [episode] = world.judge.episodes()
    assert episode.late
    assert episode.ended is not None
    assert episode.ended - episode.since == 2 * MINUTE


def test_what_is_still_so_is_told_with_its_true_since() -> None:
    world = World(PlainRules(ONE))
    begun = world.now
    away(world, Outcome.UP, Outcome.TIMEOUT)
    assert world.said() == ["opened shop down"]
    episode = world.open()
    assert episode is not None
    assert episode.since == begun + 2 * MINUTE
    assert episode.late


def test_a_told_opening_whose_end_came_while_nobody_judged_is_ended() -> None:
    world = World(PlainRules(ONE))
    world.fail()
    away(world, Outcome.UP)
    assert world.said() == ["opened shop down", "ended shop down"]


def test_a_judge_that_stays_behind_tells_all_the_same() -> None:
    world = World(PlainRules(ONE))
    world.lag = 45 * SECOND
    world.wait(2 * MINUTE)
    came = world.now - world.lag
    world.take(world.judge.result(result(outcome=Outcome.TIMEOUT, at=came), came, partition=0, offset=1))
    world.wait(59 * SECOND)
    assert world.said() == [], "it may be over as soon as the rest is read"
    world.wait(SECOND)
    assert world.said() == ["opened shop down"]


# The log


def test_the_same_events_give_the_same_records() -> None:
    logs = []
    for _ in range(2):
        world = World(PlainRules(Conditions(confirm=2, recover=2)))
        for letter in ("uuu", "fff", "fuf", "uuu", "uuu", "ffu"):
            world.rounds(2, letter)
        logs.append(world.log)
    assert logs[0] == logs[1]
    assert len(logs[0]) >= 3


def test_what_is_over_for_a_day_leaves_the_log() -> None:
    world = World(PlainRules(ONE))
    world.fail(interval=86400)
    world.up(at=world.now + 1, interval=86400)
    assert len(world.log) == 3
    for _ in range(26):
        world.now += HOUR
        world.tick()
    assert world.log == {}
    assert world.judge.episodes() == []


def test_records_of_others_are_left_alone_and_a_removed_one_is_none() -> None:
    world = World(PlainRules(ONE))
    world.fail()
    pairs = [*world.log.items(), ("position", b"{}"), ("epoch", b"7")]
    assert {record.key for record in read(pairs)} == set(world.log)
    key = next(iter(world.log))
    assert key not in {record.key for record in read([*pairs, (key, None)])}


def test_the_window_has_room_for_the_longest_row() -> None:
    world = World(PlainRules(Conditions(confirm=5, partial_after=600)))
    world.up(interval=60)
    assert world.judge.window() == (60 * (5 + 2.5) + 600) * 1000
    assert world.open(Condition.DOWN) is None

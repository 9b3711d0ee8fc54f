"""The schedule: fixed slots, spread and kept; the tests own the clock."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webmon.agent.schedule import PAUSE, SECOND, Due, Schedule, offset, slot_after
from webmon.check.target import Target

MINUTE = 60 * SECOND
NOW = 1_760_000_000 * SECOND


def make_target(name: str, interval: float = 60) -> Target:
    return Target(name=name, url=f"http://{name}/", interval=interval, timeout=min(15, interval))


class Clock:
    """A wall clock and a monotonic clock, which go on only when they are told to."""

    def __init__(self, schedule: Schedule, wall: int = NOW) -> None:
        self.schedule = schedule
        self.wall = wall
        self.monotonic = 5 * SECOND
        schedule.look(self.wall, self.monotonic)

    def take(self) -> Due | None:
        return self.schedule.take(self.wall, self.monotonic)

    def run(self, until: int, *, hanging: frozenset[str] = frozenset()) -> list[Due]:
        """Go on in steps of a second at most, and do at once what is due, but for those that hang."""
        done = []
        while self.wall < until:
            upcoming = self.schedule.next_slot()
            step = min(SECOND, until - self.wall, max(1, (upcoming or until) - self.wall))
            self.wall += step
            self.monotonic += step
            while (due := self.take()) is not None:
                done.append(due)
                if due.target.name not in hanging:
                    self.schedule.done(due.target.name)
        return done


def make(*targets: Target, agent: str = "here") -> Clock:
    schedule = Schedule(agent)
    schedule.replace(targets, NOW)
    return Clock(schedule)


@given(st.integers(0, 2**60), st.integers(1, 10**12), st.integers(0, 10**12))
def test_the_next_slot_is_the_first_one_later_than_now(now: int, interval: int, at: int) -> None:
    slot = slot_after(now, interval, at)
    assert now < slot <= now + interval
    assert (slot - at) % interval == 0


@given(st.text(), st.text(), st.integers(1, 10**12))
def test_an_offset_lies_within_the_interval_and_never_changes(target: str, agent: str, interval: int) -> None:
    assert 0 <= offset(target, agent, interval) < interval
    assert offset(target, agent, interval) == offset(target, agent, interval)


def test_the_offset_of_a_target_is_for_ever() -> None:
    assert offset("https://example.org/", "agent1", MINUTE) == 24_146_522


def test_targets_are_spread_over_the_interval() -> None:
    seconds = Counter(offset(f"http://{n}/", "here", MINUTE) // SECOND for n in range(6000))
    assert len(seconds) == 60
    assert max(seconds.values()) < 150  # 100 on average


def test_two_vantages_are_interleaved() -> None:
    apart = [offset(f"http://{n}/", "one", MINUTE) - offset(f"http://{n}/", "two", MINUTE) for n in range(1000)]
    assert sum(abs(a) < SECOND for a in apart) < 70  # a thirtieth on average


def test_every_slot_is_kept_to_the_microsecond() -> None:
    clock = make(make_target("a"), make_target("b", 10))
    done = clock.run(NOW + 10 * MINUTE)
    slots = [due.slot for due in done if due.target.name == "b"]
    assert len(slots) == 60
    assert {later - earlier for earlier, later in itertools.pairwise(slots)} == {10 * SECOND}
    assert Counter(due.target.name for due in done)["a"] == 10
    assert (clock.schedule.kept, clock.schedule.missed) == (70, 0)


def test_a_slot_is_the_same_after_a_restart() -> None:
    before = {due.slot for due in make(make_target("a")).run(NOW + 5 * MINUTE)}
    schedule = Schedule("here")
    schedule.replace([make_target("a")], NOW + 2 * MINUTE)
    after = {due.slot for due in Clock(schedule, NOW + 2 * MINUTE).run(NOW + 5 * MINUTE)}
    assert after <= before


def test_the_moment_of_a_slot_is_exact() -> None:
    due = Due(make_target("a"), 1_760_000_000_123_457)
    assert due.scheduled_at.isoformat() == "2025-10-09T08:53:20.123457+00:00"


def test_a_target_is_never_checked_twice_at_once() -> None:
    clock = make(make_target("slow"), make_target("quick"))
    done = clock.run(NOW + 5 * MINUTE, hanging=frozenset({"slow"}))
    assert Counter(due.target.name for due in done) == {"slow": 1, "quick": 5}
    assert clock.schedule.missed == 4
    clock.schedule.done("slow")
    assert Counter(due.target.name for due in clock.run(NOW + 6 * MINUTE)) == {"slow": 1, "quick": 1}


def test_the_slot_that_came_first_is_taken_first() -> None:
    clock = make(*(make_target(str(n)) for n in range(20)))
    for _ in range(30):
        clock.wall += SECOND
        clock.monotonic += SECOND
        clock.schedule.look(clock.wall, clock.monotonic)
    slots = []
    while (due := clock.take()) is not None:
        slots.append(due.slot)
    assert slots == sorted(slots)
    assert len(slots) > 5


def test_a_late_slot_is_kept_until_the_next_one_is_due_and_missed_then() -> None:
    clock = make(make_target("a", 10))
    for _ in range(40):
        clock.wall += SECOND
        clock.monotonic += SECOND
        clock.schedule.look(clock.wall, clock.monotonic)
    due = clock.take()
    assert due is not None
    assert clock.wall - due.slot < 10 * SECOND
    assert clock.schedule.missed == 3
    assert clock.take() is None


@pytest.mark.parametrize("suspended", [False, True], ids=["SIGSTOP", "suspended host"])
def test_a_pause_ends_without_a_burst(suspended: bool) -> None:
    clock = make(*(make_target(str(n)) for n in range(100)))
    clock.run(NOW + MINUTE)
    clock.wall += 10 * MINUTE
    clock.monotonic += 0 if suspended else 10 * MINUTE
    assert clock.take() is None
    assert clock.schedule.missed == 1000
    assert len(clock.run(clock.wall + MINUTE)) == 100


def test_a_short_hiccup_costs_no_slot() -> None:
    clock = make(*(make_target(str(n)) for n in range(100)))
    clock.wall += PAUSE - SECOND
    clock.monotonic += PAUSE - SECOND
    late = 0
    while clock.take() is not None:
        late += 1
    assert late > 0
    assert clock.schedule.missed == 0


def test_a_clock_set_back_an_hour_does_not_stop_the_checks() -> None:
    clock = make(make_target("a"))
    clock.run(NOW + 5 * MINUTE)
    clock.wall -= 60 * MINUTE
    assert len(clock.run(clock.wall + 5 * MINUTE)) == 5
    assert clock.schedule.missed == 0


def test_a_new_list_neither_misses_nor_doubles_the_slots_of_those_that_stay() -> None:
    stays = make_target("stays")
    clock = make(stays, make_target("goes"))
    done = clock.run(NOW + 2 * MINUTE)
    clock.schedule.replace([stays, make_target("comes")], clock.wall)
    done += clock.run(NOW + 4 * MINUTE)
    assert Counter(due.target.name for due in done) == {"stays": 4, "goes": 2, "comes": 2}
    slots = [due.slot for due in done if due.target.name == "stays"]
    assert {later - earlier for earlier, later in itertools.pairwise(slots)} == {MINUTE}


def test_a_target_that_changed_is_checked_as_it_is_now() -> None:
    clock = make(make_target("a"))
    moved = Target(name="a", url="http://elsewhere/", interval=60, timeout=15)
    clock.schedule.replace([moved], clock.wall)
    assert [due.target.url for due in clock.run(NOW + MINUTE)] == ["http://elsewhere/"]


def test_a_target_whose_check_runs_is_not_begun_again_by_a_new_list() -> None:
    clock = make(make_target("a"))
    assert len(clock.run(NOW + MINUTE, hanging=frozenset({"a"}))) == 1
    clock.schedule.replace([make_target("a", 10)], clock.wall)
    assert clock.run(clock.wall + MINUTE) == []


held = st.tuples(st.integers(1, 3), st.integers(0, 100), st.integers(1, 100)).map(
    lambda drawn: (drawn[0] * 20, drawn[1] % (drawn[0] * 20), drawn[2])
)
"""An interval of 20, 40 or 60 units, an offset below it, and how long a check takes."""


lists = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)


@given(st.lists(st.tuples(lists, st.integers(1, 90)), min_size=1, max_size=6), st.sampled_from([0, 20]))
def test_reloads_neither_miss_nor_double_a_slot_of_targets_that_stay(
    reloads: list[tuple[list[str], int]], takes: int
) -> None:
    """Whatever the lists and the moments, also while checks run: every slot of a target in the list, once."""
    schedule = Schedule("here")
    wall = NOW
    ends: dict[str, int] = {}
    seen: list[tuple[str, int]] = []
    owed: set[tuple[str, int]] = set()
    schedule.look(wall, wall)
    for names, seconds in reloads:
        schedule.replace([make_target(name) for name in names], wall)
        until = wall + seconds * SECOND
        for name in names:
            at = offset(name, "here", MINUTE)
            owed |= {(name, slot) for slot in range(slot_after(wall, MINUTE, at), until + 1, MINUTE)}
        while wall < until:
            wall = min(wall + SECOND, until, max(wall + 1, schedule.next_slot() or until))
            for name in [name for name, end in ends.items() if end <= wall]:
                schedule.done(name)
                del ends[name]
            while (due := schedule.take(wall, wall)) is not None:
                seen.append((due.target.name, due.slot))
                if takes:
                    ends[due.target.name] = wall + takes * SECOND
                else:
                    schedule.done(due.target.name)
    assert len(seen) == len(set(seen))
    assert set(seen) == owed
    assert schedule.missed == 0


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(-7200, 7200), st.integers(0, 7200)), max_size=3))
def test_no_step_of_a_clock_and_no_pause_makes_a_burst_or_stops_the_checks(jumps: list[tuple[int, int]]) -> None:
    """Each step is what the wall clock jumps by, and how long the process stood still; a minute of peace follows it."""
    clock = make(*(make_target(str(n)) for n in range(5)))
    for step, still in jumps:
        clock.wall += (step + still) * SECOND
        clock.monotonic += still * SECOND
        clock.schedule.look(clock.wall, clock.monotonic)
        began = clock.wall
        done = clock.run(clock.wall + MINUTE)
        assert Counter(due.target.name for due in done) <= Counter({str(n): 2 for n in range(5)})
        assert {due.target.name for due in done} == {str(n) for n in range(5)}
        # A step of a second or less, and a short pause, leave slots that are late and still kept.
        assert all(due.slot > began - 5 * SECOND for due in done)


def test_no_targets_are_no_slots() -> None:
    clock = make()
    assert clock.schedule.next_slot() is None
    assert clock.take() is None

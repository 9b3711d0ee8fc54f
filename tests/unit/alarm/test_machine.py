"""Any order of results, repeats, late ones, silences, maintenance, vantages that come and go, receivers, restarts."""

import functools
import itertools
from collections.abc import Callable
from typing import Any, Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.unit.alarm.world import HOUR, MINUTE, SECOND, START, PlainRules, World, result
from webmon.alarm.conditions import Condition, Conditions, Step
from webmon.alarm.judge import Judge
from webmon.alarm.records import Episode, Maintenance, Notice, Silence, read
from webmon.check.result import CheckResult, Outcome

SITES: Final = [f"site{number}" for number in range(6)]
VANTAGES: Final = ["a", "b", "c"]
OUTCOMES: Final = [Outcome.UP, Outcome.TIMEOUT, Outcome.TIMEOUT, Outcome.SLOW, Outcome.AGENT_ERROR]
INTERVAL: Final = 60
FRESH: Final = 150 * SECOND
PLAIN: Final = Conditions(
    confirm=3,
    recover=2,
    partial_after=120,
    slow_checks=2,
    no_data_after=60,
    flap_count=3,
    flap_within=3600,
    flap_quiet=600,
    remind=900,
    group_secs=30,
)
NAMED: Final = {
    "site1": Conditions(confirm=1, recover=1, agree="any", no_data_after=600, flap_quiet=600, depends_on=("site0",)),
    "site2": Conditions(confirm=4, recover=3, agree="all", flap_quiet=600),
    "site3": Conditions(confirm=2, recover=2, agree=2, flap_quiet=600),
}
RULES: Final = PlainRules(PLAIN, NAMED, steps=(Step(0, ("mail", "chat")), Step(120, ("pager",))))


class PlainDown:
    """When a target is down, in the plainest words: all results are kept, and all are looked at each second."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self.results: dict[str, list[tuple[int, int, Outcome]]] = {}
        """Begin, arrival and outcome, by vantage, in their order."""
        self.count = self.ups = 0
        self.is_open = False

    def see(self, vantage: str, raw: int, arrived: int, outcome: Outcome) -> bool:
        """Take a result, if it is news; tell whether it is."""
        begun = min(raw, arrived)
        known = self.results.setdefault(vantage, [])
        if arrived - begun > 5 * MINUTE or (known and (begun < known[-1][0] or raw == self.raw[vantage])):
            return False
        self.raw[vantage] = raw
        known.append((begun, arrived, outcome))
        return True

    raw: dict[str, int]

    def look(self, now: int, at_fault: set[str], came: tuple[str, Outcome] | None = None) -> None:
        """Compare what is so with what was so."""
        votes = {}
        for vantage, results in self.results.items():
            last = next((one for one in reversed(results) if one[2] is not Outcome.AGENT_ERROR), None)
            if last is not None and now - last[1] <= FRESH and vantage not in at_fault:
                votes[vantage] = last[2] is Outcome.TIMEOUT
        agree, fresh, failing = self.conditions.agree, len(votes), sum(votes.values())
        needed = {"majority": fresh // 2 + 1, "all": fresh, "any": 1}.get(str(agree), agree)
        is_vote = came is not None and came[0] in votes and came[1] is not Outcome.AGENT_ERROR
        if fresh and failing >= min(int(needed), fresh):
            self.ups = 0
            if self.count == 0:
                self.count = failing
            elif is_vote and came is not None and came[1] is Outcome.TIMEOUT:
                self.count += 1
            self.is_open = self.is_open or self.count >= self.conditions.confirm
            return
        self.count = 0
        if not fresh or not self.is_open:
            self.ups = 0
        elif is_vote and came is not None and came[1] is not Outcome.TIMEOUT:
            self.ups += 1
            if self.ups >= self.conditions.recover:
                self.is_open, self.ups = False, 0


class Judging(RuleBasedStateMachine):
    """One judge, whose log, messages and openings are looked at after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(RULES)
        self.world.partition_of = {name: number % 2 for number, name in enumerate(SITES)}
        self.models = {name: PlainDown(RULES.for_target(name, "", {})) for name in SITES}
        for model in self.models.values():
            model.raw = {}
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.orders = itertools.count()
        self.judged: set[str] = set()
        self._listen()

    def _listen(self) -> None:
        """Note each call, so that all can be judged again."""
        judge = self.world.judge
        for name in ("result", "tick", "order", "acknowledge", "sent", "failed", "monitor"):
            setattr(judge, name, functools.partial(self._noted, name, getattr(judge, name)))

    def _noted(self, name: str, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.calls.append((name, args, kwargs))
        return call(*args, **kwargs)

    def at_fault(self) -> set[str]:
        return {
            e.subject
            for e in self.world.judge.episodes()
            if e.is_open and e.condition is Condition.VANTAGE_AT_FAULT and e.excludes
        }

    def arrive(self, one: CheckResult) -> None:
        world = self.world
        world.offset += 1
        before = self.at_fault()
        world.publish(one)
        raw = round(one.time.timestamp() * 1000)
        is_news = self.models[one.target].see(one.agent, raw, world.now, one.outcome)
        self.see_that_nobody_at_fault_told(before)
        if self.at_fault() != before:
            for model in self.models.values():
                model.look(world.now, self.at_fault())
        if is_news:
            self.models[one.target].look(world.now, self.at_fault(), (one.agent, one.outcome))

    def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            before = self.at_fault()
            self.world.wait(SECOND)
            self.see_that_nobody_at_fault_told(before)
            for model in self.models.values():
                model.look(self.world.now, self.at_fault())

    def see_that_nobody_at_fault_told(self, before: set[str]) -> None:
        """Nothing is told of a site by a vantage that is at fault."""
        guilty = before & self.at_fault()
        for episode in self.world.judge.episodes():
            if episode.id in self.judged:
                continue
            self.judged.add(episode.id)
            if episode.condition in (Condition.DOWN, Condition.PARTIAL, Condition.SLOW):
                assert not guilty & {seen.vantage for seen in episode.seen}

    @rule(site=st.sampled_from(SITES), vantage=st.sampled_from(VANTAGES), outcome=st.sampled_from(OUTCOMES))
    def a_check_ends(self, site: str, vantage: str, outcome: Outcome) -> None:
        self.arrive(result(site, vantage, outcome, at=self.world.now - 100, interval=INTERVAL))
        self.pass_time(1)

    @rule(vantages=st.sets(st.sampled_from(VANTAGES), min_size=1), failing=st.sets(st.sampled_from(SITES)))
    def vantages_check_all(self, vantages: set[str], failing: set[str]) -> None:
        for vantage in sorted(vantages):
            for site in SITES:
                outcome = Outcome.TIMEOUT if site in failing else Outcome.UP
                self.arrive(result(site, vantage, outcome, at=self.world.now - 100, interval=INTERVAL))
            self.pass_time(5)

    @rule(partition=st.integers(0, 1), minutes=st.integers(4, 12), is_kept=st.booleans())
    def a_partition_takes_nothing(self, partition: int, minutes: int, is_kept: bool) -> None:
        """None of its targets is told silent, also not while what was kept for it comes late."""
        of_it = {name for name, number in self.world.partition_of.items() if number == partition}
        self.vantages_check_all(set(VANTAGES), set())
        begun, kept = self.world.now, []
        for _ in range(minutes):
            for vantage in VANTAGES:
                for site in SITES:
                    one = result(site, vantage, at=self.world.now - 100, interval=INTERVAL)
                    if site in of_it:
                        kept.append(one)
                    else:
                        self.arrive(one)
                self.pass_time(20)
        for one in kept[-20:] if is_kept else ():
            self.arrive(one)
            self.pass_time(1)
        self.pass_time(20)
        assert not [
            notice
            for notice in self.world.judge.notices()
            if notice.event == "opened" and notice.made >= begun and not notice.instead_of
            for episode in [self.world.judge.episode(notice.episode)]
            if episode is not None and episode.condition is Condition.NO_DATA and episode.subject in of_it
        ]

    @rule(minutes=st.integers(1, 4), who=st.sampled_from(VANTAGES), outcome=st.sampled_from(OUTCOMES))
    def a_vantage_goes_its_own_way(self, minutes: int, who: str, outcome: Outcome) -> None:
        for _ in range(minutes):
            for site in SITES:
                for vantage in VANTAGES:
                    seen = outcome if vantage == who else Outcome.UP
                    self.arrive(result(site, vantage, seen, at=self.world.now - 100, interval=INTERVAL))
                self.pass_time(10)

    @rule(site=st.sampled_from(SITES), minutes=st.integers(1, 3))
    def a_site_is_away(self, site: str, minutes: int) -> None:
        for _ in range(minutes):
            for vantage in VANTAGES:
                self.arrive(result(site, vantage, Outcome.TIMEOUT, at=self.world.now - 100, interval=INTERVAL))
                self.pass_time(20)

    @rule(site=st.sampled_from(SITES), who=st.sampled_from(VANTAGES), hours=st.sampled_from([12, 25, 80, 200, 2000]))
    def a_certificate_is_shown(self, site: str, who: str, hours: int) -> None:
        """Its next step, a later one, or, as in all other results, none."""
        ends = self.world.now + hours * HOUR
        self.arrive(result(site, who, at=self.world.now - 100, interval=INTERVAL, ends=ends))
        self.pass_time(1)

    @rule(age=st.integers(0, 900), site=st.sampled_from(SITES), vantage=st.sampled_from(VANTAGES))
    def a_result_comes_late(self, age: int, site: str, vantage: str) -> None:
        self.arrive(result(site, vantage, Outcome.TIMEOUT, at=self.world.now - age * SECOND, interval=INTERVAL))

    @rule(site=st.sampled_from(SITES), vantage=st.sampled_from(VANTAGES), ahead=st.integers(1, 7200))
    def a_clock_is_ahead(self, site: str, vantage: str, ahead: int) -> None:
        self.arrive(result(site, vantage, Outcome.UP, at=self.world.now + ahead * SECOND, interval=INTERVAL))

    @precondition(lambda self: self.world.results)
    @rule(back=st.integers(1, 5))
    def a_result_comes_again(self, back: int) -> None:
        self.arrive(self.world.results[-min(back, len(self.world.results))][0])

    @rule(seconds=st.integers(1, 240))
    def nothing_comes(self, seconds: int) -> None:
        self.pass_time(seconds)

    @rule(match=st.sampled_from(["site*", "site0", "site2", "a", "*"]), minutes=st.integers(1, 5), works=st.booleans())
    def somebody_wants_quiet(self, match: str, minutes: int, works: bool) -> None:
        kind = Maintenance if works else Silence
        until = self.world.now + minutes * MINUTE
        order = kind(id=str(next(self.orders)), match=match, begins=self.world.now, until=until)
        self.world.take(self.world.judge.order(order))

    @precondition(lambda self: self.world.judge.episodes())
    @rule(data=st.data())
    def somebody_has_it_in_hand(self, data: st.DataObject) -> None:
        episode = data.draw(st.sampled_from(self.world.judge.episodes()).map(lambda e: e.id))
        self.world.take(self.world.judge.acknowledge(episode, by="ann", at=self.world.now))

    @rule(channel=st.sampled_from(["mail", "chat", "pager"]))
    def a_receiver_goes_or_comes(self, channel: str) -> None:
        self.world.away ^= {channel}

    @precondition(lambda self: self.world.judge.due(self.world.now))
    @rule(taken=st.booleans())
    def a_receiver_answers(self, taken: bool) -> None:
        message = self.world.judge.due(self.world.now)[0]
        ids = [notice.id for notice in message.notices]
        if taken:
            self.world.take(self.world.judge.sent(ids, at=self.world.now))
        else:
            self.world.take(self.world.judge.failed(ids, at=self.world.now, fallback="hook"))

    @invariant()
    def at_most_one_episode_of_a_condition_is_open(self) -> None:
        records = read(self.world.log.items())
        open_ones = [(e.condition, e.subject) for e in records if isinstance(e, Episode) and e.is_open]
        assert len(open_ones) == len(set(open_ones))

    @invariant()
    def the_log_is_the_state(self) -> None:
        records = {record.key: record for record in read(self.world.log.items())}
        assert records == {r.key: r for r in self.world.judge.episodes() + self.world.judge.notices()} | {
            key: record for key, record in records.items() if not isinstance(record, Episode | Notice)
        }

    @invariant()
    def down_is_what_the_plain_model_says(self) -> None:
        found = {name for name in SITES if self.world.open(Condition.DOWN, name) is not None}
        assert found == {name for name, model in self.models.items() if model.is_open}

    @invariant()
    def a_channel_is_told_in_order_and_once(self) -> None:
        told: dict[tuple[str, str], list[Notice]] = {}
        for notice in self.world.judge.notices():
            told.setdefault((notice.episode, notice.channel), []).append(notice)
        for (number, _), notices in told.items():
            episode = self.world.judge.episode(number)
            assert episode is not None
            waiting = [n for n in notices if n.state == "waiting"]
            assert len(waiting) <= 1
            taken = [n for n in notices if n.state == "sent"]
            openings = [n for n in taken if n.event == "opened"]
            endings = [n for n in taken if n.event in ("ended", "over")]
            assert len(openings) <= 1
            assert len(endings) <= 1
            assert not (openings and any(n.event == "over" for n in taken))
            assert openings or not any(n.event == "ended" and not n.instead_of for n in taken + waiting)
            if openings and not episode.is_open:
                assert endings or waiting or any(n.state == "failed" and n.event == "ended" for n in notices)

    def teardown(self) -> None:
        """Let all be well: then all that was told of is ended and told so."""
        self.world.away = set()
        for _ in range(25):
            for vantage in VANTAGES:
                for site in SITES:
                    self.arrive(result(site, vantage, at=self.world.now - 100, interval=INTERVAL))
                self.pass_time(20)
        left = [(e.condition, e.subject) for e in self.world.judge.episodes() if e.is_open]
        assert left == []
        assert self.world.judge.due(self.world.now + 10 * MINUTE) == []
        self.at_most_one_episode_of_a_condition_is_open()
        self.down_is_what_the_plain_model_says()
        self.a_channel_is_told_in_order_and_once()
        self.judged_again()

    def judged_again(self) -> None:
        """The same events give the same records, ids and all."""
        judge = Judge(RULES, now=START)
        log: dict[str, bytes] = {}
        for key, value in judge.tick(START):
            assert value is None, key
        for name, args, kwargs in self.calls:
            for key, value in getattr(judge, name)(*args, **kwargs):
                if value is None:
                    del log[key]
                else:
                    log[key] = value
        assert log == self.world.log


class TakingOver(Judging):
    """Judges that take over from each other at any time, by the log alone and the results of a window."""

    @initialize()
    def begin(self) -> None:
        self.models = {name: PlainDown(RULES.for_target(name, "", {})) for name in SITES}
        for model in self.models.values():
            model.raw = {}

    @rule(behind=st.integers(0, 10))
    def another_takes_over(self, behind: int) -> None:
        before = dict(self.world.log)
        self.world.restart(position=self.world.offset - behind)
        kept = {key for key in before if key.startswith("episode/")}
        assert kept <= set(self.world.log)
        had_faults = any(e.condition is Condition.VANTAGE_AT_FAULT for e in self.world.judge.episodes())
        for name, model in self.models.items():
            site = self.world.judge._sites.get(name)
            if site is None:
                assert not model.is_open
                continue
            if not had_faults:
                assert (site.count, site.ups) == (model.count, model.ups)
            # From when on a vantage's votes did not count is not read again: rows that it had a part in may differ.
            model.count, model.ups = site.count, site.ups
            model.is_open = Condition.DOWN in site.open if had_faults else model.is_open

    def judged_again(self) -> None:
        """What another judge made of it is not judged by the first."""


BOUNDS: Final = settings(
    max_examples=30,
    stateful_step_count=20,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # to make it small takes minutes, as a step may be an hour
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def test_any_events_in_any_order_are_judged_as_the_plain_model_does_and_told_once() -> None:
    run_state_machine_as_test(Judging, settings=BOUNDS)


def test_any_judge_may_take_over_at_any_time() -> None:
    run_state_machine_as_test(TakingOver, settings=BOUNDS)

"""A replay that passes over what changes nothing tells what the judge tells that sees every result."""

import itertools
import operator
import random
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.alarm.world import PlainRules
from webmon.alarm.conditions import Conditions, Step
from webmon.alarm.past import Seen, Span, Target, merged
from webmon.alarm.records import Silence
from webmon.alarm.replay import Replay, Told
from webmon.check.result import Outcome

BEGIN = datetime(2026, 11, 1, 10, tzinfo=UTC)
UNTIL = BEGIN + timedelta(days=1, hours=12)
SINCE = BEGIN + timedelta(hours=2)
TIME = operator.attrgetter("time")
INTERVAL = 60


@dataclass
class Stored:
    """What a store would give of results in memory; `eventful` is exact, or everything."""

    rows: list[Seen]
    targets: dict[int, Target]
    passes_over: bool = True
    read: int = 0

    def eventful(self, since: datetime, until: datetime) -> Mapping[int, Sequence[Span]]:
        found: dict[int, list[Span]] = defaultdict(list)
        if not self.passes_over:
            return {target: [Span(since, until)] for target in self.targets}
        lead, tail = timedelta(seconds=1.5 * INTERVAL), timedelta(seconds=4.5 * INTERVAL)
        last: dict[tuple[int, str], Seen] = {}
        for row in self.rows:
            before = last.get((row.target, row.agent))
            last[row.target, row.agent] = row
            gap = before is None or row.time - before.time > timedelta(seconds=2.2 * INTERVAL)
            is_other = before is not None and before.tls_not_after != row.tls_not_after
            if row.outcome is not Outcome.UP or gap or is_other:
                found[row.target].append(Span(row.time - lead, row.time + tail))
                if gap and before is not None:
                    found[row.target].append(Span(before.time - lead, before.time + tail))
        for (target, _), row in last.items():
            found[target].append(Span(row.time - lead, row.time + tail))
        return {
            target: [span for span in merged(spans) if span.end > since and span.begin < until]
            for target, spans in found.items()
        }

    def results(self, spans: Sequence[tuple[int, Span]]) -> Iterator[Seen]:
        wanted = defaultdict(list)
        for target, span in spans:
            wanted[target].append(span)
        if not wanted:
            return
        first, last = min(span.begin for _, span in spans), max(span.end for _, span in spans)
        times = self.rows
        for row in times[bisect_left(times, first, key=TIME) : bisect_left(times, last, key=TIME)]:
            if any(span.begin <= row.time < span.end for span in wanted.get(row.target, ())):
                self.read += 1
                yield row


def stored(
    outcome_of: Any, *, targets: int = 3, vantages: int = 3, passes_over: bool = True, ends: Any = lambda *_: None
) -> Stored:
    """Make a day and a half of checks; `outcome_of` gives an outcome, or None for silence."""
    rows = []
    for target, vantage in itertools.product(range(targets), range(vantages)):
        offset = (target * 17 + vantage * 20) % INTERVAL
        moment = BEGIN + timedelta(seconds=offset)
        while moment < UNTIL:
            minute = int((moment - BEGIN).total_seconds() // 60)
            outcome = outcome_of(target, vantage, minute)
            if outcome is not None:
                error = None if outcome.is_up else "no answer"
                shown = ends(target, vantage, minute)
                agent = chr(ord("a") + vantage)
                rows.append(Seen(target, agent, moment, INTERVAL, outcome, None, 0.5, shown, error))
            moment += timedelta(seconds=INTERVAL)
    rows.sort(key=lambda row: row.time)
    known = {}
    for target in range(targets):
        last = max(row.time for row in rows if row.target == target)
        name = f"site{target}"
        known[target] = Target(name, f"https://{name}.example/", {}, last)
    return Stored(rows, known, passes_over)


def told(store: Stored, **conditions: Any) -> list[Told]:
    steps = (Step(0, ("mail",)), Step(600, ("pager",)))
    rules = PlainRules(Conditions(**conditions), steps=steps)
    quiet = conditions.pop("quiet", ())
    return Replay(rules, store, since=SINCE, until=UNTIL, quiet=quiet).run()


def said(found: list[Told]) -> list[tuple[str, str, str, str, datetime]]:
    return sorted((one.channel, one.event, one.condition, one.subject, one.since) for one in found)


def minutes(one: Told) -> float:
    return (one.at - BEGIN) / timedelta(minutes=1)


def the_same(outcome_of: Any, **given: Any) -> list[Told]:
    """Replay with passing over and without; give what was told, which must be the same, at the same times."""
    conditions = given.pop("conditions", {})
    short, whole = stored(outcome_of, **given), stored(outcome_of, passes_over=False, **given)
    found, expected = told(short, **conditions), told(whole, **conditions)
    assert said(found) == said(expected)
    by_id = {one.id: one.at for one in expected}
    # Ten seconds, and the thirty in which messages are gathered, which begin with the first of them.
    differing = [one for one in found if abs(one.at - by_id[one.id]) > timedelta(seconds=41)]
    assert differing == []
    assert short.read < whole.read / 2
    return found


def up_but(*exceptions: Any) -> Any:
    def outcome_of(target: int, vantage: int, minute: int) -> Outcome | None:
        for targets, vantages, begin, end, outcome in exceptions:
            if target in targets and vantage in vantages and begin <= minute < end:
                found: Outcome | None = outcome
                return found
        return Outcome.UP

    return outcome_of


ALL = range(9)


def test_an_outage_is_told_with_its_times_and_what_is_calm_is_not_read() -> None:
    found = the_same(up_but(([1], ALL, 600, 640, Outcome.TIMEOUT)))
    assert [(one.event, one.channel, one.subject) for one in found] == [
        ("opened", "mail", "site1"),
        ("opened", "pager", "site1"),
        ("ended", "mail", "site1"),
        ("ended", "pager", "site1"),
    ]
    assert [round(minutes(one)) for one in found] == [601, 611, 641, 641]


def test_a_blip_tells_nothing_and_blips_in_all_places_are_passed() -> None:
    chosen = random.Random(7)
    blips = {(chosen.randrange(3), chosen.randrange(3), chosen.randrange(130, 2000)) for _ in range(60)}

    def outcome_of(target: int, vantage: int, minute: int) -> Outcome:
        return Outcome.TIMEOUT if (target, vantage, minute) in blips else Outcome.UP

    assert the_same(outcome_of) == []


@pytest.mark.parametrize(
    ("outcome", "conditions"),
    [(Outcome.SLOW, {"slow"}), (Outcome.CERTIFICATE_EXPIRING, set()), (Outcome.AGENT_ERROR, {"no_data"})],
)
def test_what_lasts_and_is_no_failure_is_told_alike(outcome: Outcome, conditions: set[str]) -> None:
    found = the_same(up_but(([0], ALL, 300, 500, outcome), ([1], [1], 100, 900, outcome)))
    assert {one.condition for one in found} == conditions


def test_silence_of_a_target_of_a_vantage_and_over_midnight_is_seen() -> None:
    midnight = 14 * 60
    found = the_same(
        up_but(
            ([0], ALL, 300, 320, None),
            (ALL, [2], 500, 520, None),
            ([1], ALL, midnight, midnight + 300, None),
            (ALL, [0], midnight - 1, midnight + 400, None),
        )
    )
    conditions = {(one.condition, one.subject) for one in found}
    assert {("no_data", "site0"), ("no_data", "site1"), ("vantage_silent", "c"), ("vantage_silent", "a")} <= conditions


def test_a_vantage_that_fails_alone_is_at_fault_and_one_with_an_own_error_here_sees_others() -> None:
    found = the_same(
        up_but((ALL, [0], 400, 460, Outcome.TIMEOUT), ([2], [1], 700, 760, Outcome.AGENT_ERROR)), targets=6
    )
    assert {(one.condition, one.subject) for one in found} == {("vantage_at_fault", "a")}


def test_a_certificate_is_told_at_its_steps_while_all_is_up_and_its_renewal_ends_it() -> None:
    first, second = UNTIL + timedelta(days=6, hours=12), UNTIL + timedelta(days=80)

    def ends(target: int, vantage: int, minute: int) -> datetime | None:
        return None if target else first if minute < 1500 else second

    found = the_same(up_but(), ends=ends)
    assert [(one.event, one.condition, one.subject) for one in found if one.channel == "mail"] == [
        ("changed", "certificate", "site0"),
        ("ended", "certificate", "site0"),
    ]


def test_what_goes_on_at_midnight_flaps_or_depends_on_another_is_told_alike() -> None:
    flaps = tuple(([0], ALL, 700 + 12 * turn, 705 + 12 * turn, Outcome.READ_ERROR) for turn in range(7))
    found = the_same(up_but(*flaps, ([1], ALL, 830, 850, Outcome.TIMEOUT)), conditions={"flap_count": 3})
    assert {(one.condition, one.subject) for one in found} == {
        ("down", "site0"),
        ("flapping", "site0"),
        ("down", "site1"),
    }


def test_a_target_that_was_taken_from_the_list_is_not_missed_and_one_that_came_is() -> None:
    found = the_same(up_but(([0], ALL, 700, 9999, None), ([1], ALL, 0, 400, None), ([1], ALL, 900, 940, None)))
    assert {(one.condition, one.subject) for one in found} == {("no_data", "site1")}


def test_random_days_are_told_alike() -> None:
    for seed in (3, 6, 10):
        chosen = random.Random(seed)
        worst = [Outcome.TIMEOUT, Outcome.SLOW, Outcome.AGENT_ERROR, Outcome.DNS_ERROR, None]
        exceptions = []
        for _ in range(8):
            begin = chosen.randrange(0, 2100)
            length = chosen.choice([1, 2, 3, 5, 12, 40, 200])
            targets = chosen.choice([[0], [1], [2, 3], ALL])
            vantages = chosen.choice([[0], [1], [0, 1], ALL])
            exceptions.append((targets, vantages, begin, begin + length, chosen.choice(worst)))
        try:
            the_same(up_but(*exceptions), targets=4)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {exceptions}") from error


def test_what_people_silenced_is_not_told() -> None:
    store = stored(up_but(([1], ALL, 600, 640, Outcome.TIMEOUT)))
    begins, until = (round((BEGIN + timedelta(minutes=at)).timestamp() * 1000) for at in (500, 700))
    silence = Silence(id="s", match="site1", begins=begins, until=until)
    rules = PlainRules(Conditions())
    assert Replay(rules, store, since=SINCE, until=UNTIL, quiet=[silence]).run() == []

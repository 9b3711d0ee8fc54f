"""What a batch tells of its targets and agents, whatever the order of its results; the tables are in memory."""

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest

from webmon.check.result import CheckResult, Outcome
from webmon.sink import allowance
from webmon.sink import dimensions_sql as sql
from webmon.sink.dimensions import Dimensions
from webmon.store.counts import COUNT

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def check(minutes: float, **changes: object) -> CheckResult:
    values: dict[str, Any] = {
        "target": "shop",
        "url": "https://shop.example/",
        "agent": "here",
        "scheduled_at": at(minutes),
        "time": at(minutes),
        "interval": 60.0,
        "outcome": Outcome.UP,
        "total_time": 0.25,
    }
    return CheckResult(**(values | changes))


class Target(NamedTuple):
    """A row of the table of targets."""

    id: int
    url: str
    labels: str
    described_at: datetime
    first_seen: datetime
    last_seen: datetime


class Tables:
    """The small tables, and a cursor on them: they answer the statements of webmon.sink.dimensions_sql."""

    def __init__(self) -> None:
        self.targets: dict[str, Target] = {}
        self.agents: dict[str, tuple[int, datetime, datetime]] = {}
        self.contexts: dict[str, int] = {}
        """The number of each fingerprint."""
        self.told: list[tuple[str, datetime, datetime]] = []
        """Each span of a target that was told: its first result, and its newest."""
        self._answer: list[tuple[Any, ...]] = []
        self._numbers = itertools.count(1)
        self._does: dict[str, Callable[..., list[tuple[Any, ...]]]] = {
            sql.FIND_TARGETS: lambda names: [(name, *self.targets[name]) for name in names if name in self.targets],
            sql.ADD_TARGETS: self._add_targets,
            sql.SEE_TARGETS: self._see_targets,
            sql.FIND_AGENTS: lambda names: [(name, *self.agents[name]) for name in names if name in self.agents],
            sql.ADD_AGENTS: self._add_agents,
            sql.SEE_AGENTS: self._see_agents,
            sql.FIND_SERIES: lambda _, *pairs: [
                (*pair, 100 * pair[0] + pair[1], True) for pair in zip(*pairs, strict=True)
            ],
            sql.FIND_CONTEXTS: lambda _, fingerprints: [
                (fingerprint, self.contexts.setdefault(fingerprint, len(self.contexts) + 1), True)
                for fingerprint in dict.fromkeys(fingerprints)
            ],
            COUNT: lambda: [(1, 1, 1, 1)],
        }

    def execute(self, _: Any, statement: str, values: tuple[Any, ...] | None) -> None:
        self._answer = self._does[statement](*(values or ()))

    def _add_targets(self, *columns: list[Any]) -> list[tuple[Any, ...]]:
        for name, url, labels, first, _, last in zip(*columns, strict=True):
            self.targets[name] = Target(next(self._numbers), url, labels, last, first, last)
        return []

    def _see_targets(self, *columns: list[Any]) -> list[tuple[Any, ...]]:
        for name, url, labels, first, _, last in zip(*columns, strict=True):
            self.told.append((name, first, last))
            row = self.targets[name]
            if last >= row.described_at:
                row = row._replace(url=url, labels=labels, described_at=last)
            self.targets[name] = row._replace(first_seen=min(row.first_seen, first), last_seen=max(row.last_seen, last))
        return []

    def _add_agents(self, *columns: list[Any]) -> list[tuple[Any, ...]]:
        for name, first, last in zip(*columns, strict=True):
            self.agents[name] = (next(self._numbers), first, last)
        return []

    def _see_agents(self, *columns: list[Any]) -> list[tuple[Any, ...]]:
        for name, first, last in zip(*columns, strict=True):
            number, since, until = self.agents[name]
            self.agents[name] = (number, min(since, first), max(until, last))
        return []

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self._answer

    def fetchone(self) -> tuple[Any, ...]:
        return self._answer[0]


class Session:
    """One sink's memory of the tables."""

    def __init__(self, tables: Tables) -> None:
        self._cursor: Any = tables
        self._dimensions = Dimensions(tables.execute)

    def look_up(self, *results: CheckResult) -> list[tuple[int, int]]:
        return self._dimensions.look_up(self._cursor, results)

    def over(self, *results: CheckResult) -> list[int]:
        """Give the places of those that bring too much that is new."""
        return list(self._dimensions.over(self._cursor, results)) if self._dimensions.has_an_agent_over else []


@pytest.mark.parametrize("order", list(itertools.permutations([0, 1, 2])), ids=str)
def test_a_batch_tells_the_first_and_the_newest_of_its_results_in_whatever_order_they_came(
    order: tuple[int, ...],
) -> None:
    tables = Tables()
    batch = [check(0, url="https://old.example/"), check(5), check(9, url="https://new.example/", labels={"a": "b"})]
    Session(tables).look_up(*(batch[place] for place in order))
    shop = tables.targets["shop"]
    assert (shop.url, shop.labels) == ("https://new.example/", '{"a": "b"}')
    assert (shop.first_seen, shop.last_seen, shop.described_at) == (at(0), at(9), at(9))
    assert tables.agents["here"][1:] == (at(0), at(9))
    assert tables.told == [("shop", at(0), at(9))]


def test_a_late_batch_moves_the_first_time_back_and_leaves_the_newest_description() -> None:
    tables = Tables()
    session = Session(tables)
    session.look_up(check(60, url="https://new.example/"))
    session.look_up(check(3), check(1), check(2))
    shop = tables.targets["shop"]
    assert (shop.url, shop.first_seen, shop.last_seen) == ("https://new.example/", at(1), at(60))


def test_a_batch_that_tells_nothing_new_of_a_target_is_not_told() -> None:
    tables = Tables()
    session = Session(tables)
    session.look_up(check(0))
    told = len(tables.told)
    session.look_up(check(30), check(20))
    assert len(tables.told) == told
    session.look_up(check(61))
    assert tables.targets["shop"].last_seen == at(61)


LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


@pytest.mark.parametrize("year", [1, 1677, 2026, 2241, 2243, 9999])
def test_certificates_that_end_a_microsecond_apart_are_two_contexts(year: int) -> None:
    ends = [LAST.replace(year=year) + timedelta(microseconds=number) for number in (0, 1, 2, 3, 999_998, 999_999)]
    numbers = Session(Tables()).look_up(*(check(place, tls_not_after=end) for place, end in enumerate(ends)))
    assert len({context for _, context in numbers}) == len(ends)


@pytest.mark.parametrize(
    ("ends", "fingerprint"),
    [
        (None, "cf13fc24-0431-a9e7-ddb0-f87bb8fcb00c"),
        (NOON, "71ec05d7-cb19-e9f6-a074-f957f961d077"),
        (NOON + timedelta(microseconds=123_457), "dc80435f-0db8-2e0e-2d56-2a30911d876a"),
        (LAST, "02099f93-ccce-763a-74a6-3933bad4b07d"),
    ],
)
def test_a_context_that_was_stored_goes_on_to_be_found(ends: datetime | None, fingerprint: str) -> None:
    tables = Tables()
    Session(tables).look_up(check(0, http_version="1.1", tls_not_after=ends))
    assert list(tables.contexts) == [fingerprint]


def test_an_agent_that_brought_enough_brings_no_more_names_and_goes_on_with_those_that_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(allowance, "NAMES", 10)
    tables = Tables()
    session = Session(tables)
    session.look_up(check(0, agent="other"))
    session.look_up(*(check(0, target=f"t{number}") for number in range(11)))
    again = [
        check(1, target="t3"),
        check(1, target="new"),
        check(1, target="new", agent="other"),
        check(1, target="t3", url="https://other.example/"),
        check(1, target="t3", labels={"a": "b"}),
    ]
    assert session.over(*again) == [1, 3, 4]
    # A sink that was started again counts anew.
    assert Session(tables).over(*again) == []


def test_agents_that_describe_a_target_differently_bring_each_description_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowance, "NAMES", 10)
    session = Session(Tables())
    for minute in range(50):
        one = check(minute, url=f"https://{minute % 2}.example/")
        session.look_up(one)
        assert session.over(one) == []

"""Who gets which copies when a broker joins or leaves (playbooks/filters/assignment.py), by what its tools print."""

from collections import Counter
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.filters import load

assignment = load("assignment")
DESCRIBED: Final = """\
Topic: webmon-results\tTopicId: d2Z1c3Rhbm90aGVyb25lAA\tPartitionCount: 2\tReplicationFactor: 2\tConfigs: segment.bytes=1
\tTopic: webmon-results\tPartition: 0\tLeader: 1\tReplicas: 1,2\tIsr: 2,1\tElr: \tLastKnownElr: 
\tTopic: webmon-results\tPartition: 1\tLeader: none\tReplicas: 3,1,2\tIsr: 2\tElr: 1\tLastKnownElr: \tAdding Replicas: 3\tRemoving Replicas: 1
"""  # noqa: E501, W291  # as it is printed
QUORUM: Final = """\
NodeId\tDirectoryId           \tLogEndOffset\tLag\tLastFetchTimestamp\tLastCaughtUpTimestamp\tStatus  \t
1     \tJ5pXsuTvR-2o7cS2YYyjhw\t1000        \t0  \t1764403200000     \t1764403200000        \tLeader  \t
2     \t-b8y0TRgRnSAHvNfbDy2Vg\t995         \t5  \t1764403199900     \t1764403199900        \tFollower\t
4     \tAAAAAAAAAAAAAAAAAAAAAA\t0           \t1000\t1764403199900     \t-1                   \tObserver\t
"""


def described(**topics: list[list[int]]) -> list[dict[str, Any]]:
    """Give partitions that are well, by the brokers of each."""
    return [
        {
            "topic": topic,
            "partition": number,
            "leader": of[0],
            "replicas": of,
            "isr": of,
            "removing": [],
            "moves": False,
        }
        for topic, partitions in topics.items()
        for number, of in enumerate(partitions)
    ]


def after(found: list[dict[str, Any]], planned: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the partitions as they are once a plan is carried out."""
    changed = {(one["topic"], one["partition"]): one["replicas"] for one in planned["plan"]["partitions"]}
    replicas = [changed.get((one["topic"], one["partition"]), one["replicas"]) for one in found]
    return [one | {"replicas": of, "isr": of, "leader": of[0]} for one, of in zip(found, replicas, strict=True)]


def shares(found: list[dict[str, Any]], brokers: list[int], *, topic: str = "", led: bool = False) -> list[int]:
    """Count the copies of each broker, of a topic or of all; or what it leads."""
    of = [one["replicas"][:1] if led else one["replicas"] for one in found if topic in ("", one["topic"])]
    counts = Counter(broker for replicas in of for broker in replicas)
    return [counts[broker] for broker in brokers]


def test_what_kafka_prints_of_partitions_is_read() -> None:
    names = ("partition", "leader", "replicas", "isr", "removing", "moves")
    found = assignment.partitions(DESCRIBED)
    assert [one["topic"] for one in found] == ["webmon-results"] * 2
    assert [tuple(one[name] for name in names) for one in found] == [
        (0, 1, [1, 2], [2, 1], [], False),
        (1, None, [3, 1, 2], [2], [1], True),
    ]


def test_a_voter_that_was_gone_before_there_was_this_leader_is_one_all_the_same() -> None:
    gone = (
        QUORUM
        + "3     \tuilGygQ67aH6BSfq3boz9g\t-1          \t1001\t-1                \t-1                   \tFollower\t\n"
    )
    assert assignment.voters(gone)[-1] == {"id": 3, "directory": "uilGygQ67aH6BSfq3boz9g", "lag": 1001, "votes": True}


def test_what_kafka_prints_of_the_quorum_is_read() -> None:
    assert assignment.voters(QUORUM) == [
        {"id": 1, "directory": "J5pXsuTvR-2o7cS2YYyjhw", "lag": 0, "votes": True},
        {"id": 2, "directory": "-b8y0TRgRnSAHvNfbDy2Vg", "lag": 5, "votes": True},
        {"id": 4, "directory": "AAAAAAAAAAAAAAAAAAAAAA", "lag": 1000, "votes": False},
    ]


def test_a_broker_that_joins_gets_its_share_and_nothing_else_moves() -> None:
    found = described(results=[[1, 2, 3], [2, 3, 1], [3, 1, 2], [1, 3, 2]], letters=[[2, 1, 3]], alarms=[[3, 2, 1]])
    planned = assignment.plan(found, [1, 2, 3, 4], 3)
    then = after(found, planned)
    assert shares(then, [1, 2, 3, 4], topic="results") == [3, 3, 3, 3]
    assert sorted(shares(then, [1, 2, 3, 4])) == [4, 4, 5, 5]
    assert planned["moved"] == shares(then, [4])[0], "all that moves goes to the new one"
    assert max(shares(then, [1, 2, 3, 4], topic="results", led=True)) == 1


def test_a_broker_that_leaves_has_nothing_in_the_end_and_only_its_copies_move() -> None:
    found = described(results=[[1, 2, 3], [2, 3, 4], [3, 4, 1], [4, 1, 2]])
    planned = assignment.plan(found, [1, 3, 4], 3)
    then = after(found, planned)
    assert shares(then, [1, 2, 3, 4]) == [4, 0, 4, 4]
    assert planned["moved"] == 3
    assert planned["told"][0] == "results-0: 1,2,3 -> 1,3,4"


def test_what_one_broker_had_alone_gets_copies_on_those_that_join() -> None:
    found = described(results=[[1], [1], [1]])
    then = after(found, assignment.plan(found, [1, 2, 3], 3))
    assert [sorted(one["replicas"]) for one in then] == [[1, 2, 3]] * 3
    assert shares(then, [1, 2, 3], led=True) == [1, 1, 1]


def test_where_all_have_their_share_nothing_is_planned() -> None:
    found = described(results=[[1, 2, 3], [2, 3, 1], [3, 1, 2]], letters=[[1, 2, 3]])
    assert assignment.plan(found, [1, 2, 3], 3) == {"plan": {"version": 1, "partitions": []}, "told": [], "moved": 0}


def test_leaders_alone_are_told_as_what_moves_no_data() -> None:
    found = described(results=[[1, 2], [1, 2], [1, 2], [1, 2]])
    planned = assignment.plan(found, [1, 2], 1)
    assert planned["moved"] == 0
    assert planned["told"] == [f"results-{number}: 1,2 -> 2,1 (who leads it)" for number in (0, 1)]


@st.composite
def clusters(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[int]]:
    """Draw brokers with partitions in any order, and the brokers that are to have them."""
    before = draw(st.lists(st.integers(1, 9), min_size=1, max_size=6, unique=True))
    brokers = draw(st.lists(st.integers(1, 9), min_size=1, max_size=6, unique=True))
    topics = {}
    for name in draw(st.lists(st.sampled_from("abcd"), max_size=4, unique=True)):
        copies = draw(st.integers(1, min(3, len(before), len(brokers))))
        replicas = st.lists(st.sampled_from(before), min_size=copies, max_size=copies, unique=True)
        topics[name] = draw(st.lists(replicas, min_size=1, max_size=12))
    return described(**topics), brokers


@given(clusters(), st.integers(1, 3))
def test_whatever_there_is_each_broker_gets_its_share_and_no_copy_is_missing(
    cluster: tuple[list[dict[str, Any]], list[int]], copies: int
) -> None:
    found, brokers = cluster
    then = after(found, assignment.plan(found, brokers, copies))
    for one, was in zip(then, found, strict=True):
        assert len(set(one["replicas"])) == len(one["replicas"])
        assert set(one["replicas"]) <= set(brokers)
        assert len(one["replicas"]) == min(max(len(was["replicas"]), copies), len(brokers))
    for topic in {one["topic"] for one in found} | {""}:
        counts = shares(then, brokers, topic=topic)
        assert max(counts) - min(counts) <= 1
    assert assignment.plan(then, brokers, copies)["told"] == [], "once it is done there is nothing more to do"


@pytest.mark.parametrize(
    ("brokers", "leaving", "told"),
    [
        ([], [], "the group kafka has no host"),
        (
            ["a", "b", "c"],
            ["x"],
            "brokers_leave names x, which is no host of the group kafka; right would be of a, b, c",
        ),
        (["a"], ["a"], "a can't leave: no broker would be left"),
        (["a", "b", "c"], ["b"], "b can't leave: a and c would be left, and two lose their quorum with one"),
    ],
)
def test_who_can_not_be_meant_is_told(brokers: list[str], leaving: list[str], told: str) -> None:
    [fault] = assignment.naming_faults(brokers, leaving)
    assert fault.startswith(told)


def test_who_can_be_meant_has_no_fault_but_with_a_limit() -> None:
    four = ["a", "b", "c", "d"]
    assert assignment.naming_faults(four, []) == assignment.naming_faults(four, ["d"]) == []
    assert assignment.naming_faults(["a", "b", "c"], ["b", "c"]) == []
    assert assignment.naming_faults(four, ["d"], is_limited=True) == [
        "all brokers take part when one joins or leaves; right would be no --limit"
    ]


def test_no_broker_goes_that_copies_need_and_topic_and_numbers_are_told() -> None:
    found = described(results=[[1, 2, 3], [2, 3, 1]], letters=[[1, 2]])
    assert assignment.leaving_faults(found, {1: "kafka1", 2: "kafka2"}, {3: "kafka3"}, []) == [
        "results has 3 copies of each partition, and without kafka3 there would be 2 (kafka1, kafka2); right "
        "would be another broker in its place first"
    ]
    assert assignment.leaving_faults(found, {1: "kafka1", 2: "kafka2", 4: "kafka4"}, {3: "kafka3"}, []) == []


def test_what_a_run_that_was_broken_off_moves_has_no_more_copies_than_it_will_have() -> None:
    found = described(results=[[4, 1, 3, 2]])
    found[0] |= {"moves": True, "removing": [2]}
    assert assignment.leaving_faults(found, {1: "kafka1", 3: "kafka3", 4: "kafka4"}, {2: "kafka2"}, []) == []


def test_a_broker_that_is_gone_for_good_can_leave_where_others_have_all_of_it() -> None:
    found = described(results=[[1, 2], [3, 1]], letters=[[3]])
    for one in found:
        one["isr"] = [number for number in one["isr"] if number != 3]
    names = {1: "kafka1", 2: "kafka2"}
    assert assignment.leaving_faults(found, names, {3: "kafka3"}, [3]) == [
        "kafka3 does not answer, and nobody else has all of letters-0; right would be to start it again"
    ]
    assert assignment.leaving_faults(found[:2], names, {3: "kafka3"}, [3]) == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, []),
        ({"leader": None}, ["1 partitions have no leader: results-0"]),
        ({"moves": True}, ["1 partitions are moving: results-0"]),
        ({"isr": [1]}, ["1 partitions lack a copy that is in sync: results-0"]),
        ({"replicas": [1, 3], "isr": [3, 1]}, ["1 partitions are still with a broker that goes: results-0"]),
    ],
)
def test_what_has_yet_to_come_is_told(change: dict[str, Any], told: list[str]) -> None:
    found = described(results=[[1, 2]])
    assert assignment.awaited([found[0] | change], [3]) == told


def test_of_many_partitions_some_are_named() -> None:
    found = described(results=[[1, 2]] * 7)
    [told] = assignment.awaited([one | {"leader": None} for one in found])
    assert told.endswith("results-0, results-1, results-2, results-3, results-4 and 2 more")


def test_a_partition_is_led_by_the_first_of_its_brokers() -> None:
    found = described(results=[[1, 2], [2, 1]])
    assert assignment.is_led_as_planned(found)
    assert not assignment.is_led_as_planned([found[0], found[1] | {"leader": 1}])

"""Sharing a list between instances: each target on exactly one, and few move when one more comes."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmon.check.target import Target
from webmon.settings import Shard
from webmon.targets.shard import mine, owner

names = st.text(min_size=1, max_size=20)
counts = st.integers(1, 50)


def make_targets(count: int) -> tuple[Target, ...]:
    return tuple(Target(name=f"t{n}", url="http://a/", interval=60, timeout=15) for n in range(count))


@given(st.sets(names, max_size=30), st.integers(1, 8))
def test_every_target_is_on_exactly_one_instance(listed: set[str], instances: int) -> None:
    targets = tuple(Target(name=name, url="http://a/", interval=60, timeout=15) for name in sorted(listed))
    parts = [mine(targets, Shard(instance, instances)) for instance in range(1, instances + 1)]
    assert sorted(target.name for part in parts for target in part) == sorted(listed)


@given(names, counts)
def test_a_target_stays_where_it_is_or_goes_to_the_instance_that_came(name: str, instances: int) -> None:
    assert owner(name, instances + 1) in (owner(name, instances), instances + 1)


@pytest.mark.parametrize("instances", [2, 3, 10])
def test_one_more_instance_takes_its_share(instances: int) -> None:
    listed = [f"https://shop{n}.example.org/" for n in range(4000)]
    moved = sum(owner(name, instances) != owner(name, instances + 1) for name in listed)
    assert moved == pytest.approx(4000 / (instances + 1), rel=0.2)


@pytest.mark.parametrize("instances", [2, 5])
def test_the_instances_have_about_as_much_to_do(instances: int) -> None:
    shares = Counter(owner(f"t{n}", instances) for n in range(5000))
    assert len(shares) == instances
    assert max(shares.values()) < 1.15 * min(shares.values())


def test_the_owner_is_the_same_after_a_restart_and_on_every_host() -> None:
    assert [owner(f"t{n}", 5) for n in range(8)] == [5, 1, 2, 3, 1, 1, 3, 5]


def test_the_order_of_the_list_is_kept() -> None:
    part = mine(make_targets(20), Shard(1, 2))
    assert list(part) == sorted(part, key=lambda target: int(target.name[1:]))
    assert mine(make_targets(3), Shard(1, 1)) == make_targets(3)

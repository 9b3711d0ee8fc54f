"""Percentiles from histograms."""

import math
from collections import Counter
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webmon.report.choice import By, Target
from webmon.report.slowest import Responses, responses
from webmon.report.span import Span

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
SPAN = Span(NOON, NOON)
TARGETS = {1: Target(1, "shop", "", {"team": "a"}, NOON), 2: Target(2, "docs", "", {"team": "a"}, NOON)}


def bucket(seconds: float) -> int:
    return math.floor(math.log(seconds) / math.log(1.1)) if seconds else -32768


@given(st.lists(st.floats(1e-6, 100) | st.just(0.0), min_size=1), st.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_within_5_percent_of_the_exact_one(times: list[float], share: float) -> None:
    found = Responses(None, SPAN, least=min(times), most=max(times), histogram=Counter(map(bucket, times)))
    exact = sorted(times)[math.ceil(share * len(times)) - 1]
    assert found.percentile(share) == pytest.approx(exact, rel=0.05)


def test_histograms_of_a_group_are_added_and_the_slowest_comes_first() -> None:
    rows = [
        *((1, "a", 0, 10, None, None), (1, "a", None, 2, 1.0, 1.05), (1, "b", 0, 5, None, None)),
        *((1, "b", None, 0, 1.01, 1.09), (2, "a", 20, 1, None, None), (2, "a", None, 1, 7.0, 7.0)),
    ]
    docs, shop = responses(rows, TARGETS, SPAN, By("target"))
    assert (docs.group, docs.count, docs.percentile(0.5)) == ("docs", 1, 7.0)
    assert (shop.group, shop.count, shop.slow, shop.least, shop.most) == ("shop", 15, 2, 1.0, 1.09)
    (team,) = responses(rows, TARGETS, SPAN, By("label", "team"))
    assert (team.group, team.count, team.percentile(0.99)) == ("a", 16, 7.0)

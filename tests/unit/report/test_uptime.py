"""What was found, grouped into lines of uptime and coverage."""

from datetime import UTC, datetime, timedelta

import pytest

from webmon.report.choice import By, Target, like
from webmon.report.span import Span
from webmon.report.uptime import Agent, Counts, uptimes

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
HOUR = Span(NOON, NOON + timedelta(hours=1))
LONG_AGO = NOON - timedelta(days=100)
TARGETS = {
    1: Target(1, "shop", "https://shop/", {"team": "a"}, LONG_AGO),
    2: Target(2, "docs", "https://docs/", {}, NOON + timedelta(minutes=30)),
}
AGENTS = {7: Agent(7, "x", LONG_AGO), 8: Agent(8, "y", LONG_AGO)}


def counts(target_id: int = 1, agent_id: int = 7, *, up: int = 60, down: int = 0, covered: float = 3600) -> Counts:
    return Counts(target_id, agent_id, up, 0, down, 0, covered, up, up * 0.25)


def test_a_vantage_owes_results_from_the_first_one_of_the_target_on() -> None:
    (line,) = (u for u in uptimes([counts(2, covered=1800)], TARGETS, AGENTS, HOUR, By("target")) if u.group == "docs")
    assert (line.uptime, line.coverage) == (1.0, 1.0)


def test_coverage_counts_each_vantage_and_none_makes_up_for_another() -> None:
    found = [counts(covered=7200), counts(agent_id=8, covered=1800)]
    lines = {line.group: line for line in uptimes(found, TARGETS, AGENTS, HOUR, By("target"))}
    assert lines["shop"].coverage == 0.75
    assert (lines["docs"].uptime, lines["docs"].coverage, lines["docs"].response_mean) == (None, 0.0, None)


def test_the_lowest_uptime_comes_first_and_what_was_not_checked_last() -> None:
    found = [counts(agent_id=8), counts(down=1)]
    by_agent = uptimes(found, TARGETS, {**AGENTS, 9: Agent(9, "gone", LONG_AGO)}, HOUR, By("agent"))
    assert [line.group for line in by_agent] == ["x", "y", "gone"]
    by_label = uptimes(found, TARGETS, AGENTS, HOUR, By("label", "team"))
    assert [(line.group, line.uptime) for line in by_label] == [("a", 120 / 121), (None, None)]


@pytest.mark.parametrize("text", ["", "Target", "label", "label=", "target=x", "team"])
def test_by_is_target_agent_or_label_with_its_key(text: str) -> None:
    with pytest.raises(ValueError, match="right would be target, agent or label=KEY"):
        By.parse(text)
    assert By.parse("label=a=b") == By("label", "a=b")
    assert By.parse("label=team").head == "TEAM"


def test_a_pattern_has_stars_and_question_marks_and_nothing_else_is_special() -> None:
    assert like("a*b?") == "a%b_"
    assert like("100%_\\") == "100\\%\\_\\\\"

"""What was seen since the start, with sites that a test is and a clock that it gives."""

from collections.abc import Mapping
from typing import Any

from tests.unit.alarm.world import MINUTE, SECOND, START, result
from webmon.alarm.conditions import Step
from webmon.alarm.ruleset import Route, Ruleset
from webmon.alarm.senders import message
from webmon.check.result import CheckResult, Outcome
from webmon.check.target import Target as Checked
from webmon.page.model import State
from webmon.page.snapshot import Target
from webmon.watch.memory import Memory, Turn

EVERY = 10 * SECOND


def memory(*names: str, channels: tuple[str, ...] = ("mail",), said: Mapping[str, Any] | None = None) -> Memory:
    listed = [Checked(name=name, url=f"https://{name}.example.org/", interval=10, timeout=5) for name in names]
    rules = Ruleset(routes=(Route((Step(0.0, channels),)),), targets=said or {})
    return Memory(listed, rules, now=START)


def after(seen: Memory, seconds: int, outcome: Outcome | None = Outcome.UP, *names: str, **more: Any) -> Turn:
    """Let time pass until so many seconds after the start, and these targets be checked then."""
    now = START + seconds * SECOND
    checks: list[tuple[CheckResult, int]] = []
    if outcome is not None:
        asked = names or [one.name for one in targets(seen)]
        checks = [(result(name, "here", outcome, at=now, interval=10, **more), now) for name in asked]
    return seen.turn(checks, now)


def targets(seen: Memory) -> list[Target]:
    snapshot = seen.look().snapshot
    assert snapshot is not None
    return snapshot.targets


def states(turn: Turn) -> list[tuple[str, State]]:
    return [(one.target.name, one.state) for one in turn.changed]


def test_a_change_of_state_is_told_once_and_what_goes_on_is_not() -> None:
    seen = memory("shop")
    assert states(after(seen, 0, None)) == []
    assert states(after(seen, 1)) == [("shop", State.UP)]
    assert states(after(seen, 11)) == []
    assert states(after(seen, 21, Outcome.TIMEOUT, error="no answer")) == [("shop", State.DOWN)]
    assert states(after(seen, 31, Outcome.TIMEOUT, error="no answer")) == []
    assert states(after(seen, 41)) == [("shop", State.UP)]
    assert targets(seen)[0].uptime[0].tally.uptime == 3 / 5


def test_our_own_fault_is_neither_up_nor_down() -> None:
    seen = memory("shop")
    after(seen, 1)
    assert states(after(seen, 11, Outcome.AGENT_ERROR, error="vantage cut off")) == [("shop", State.UNKNOWN)]
    assert targets(seen)[0].uptime[0].tally.uptime == 1.0


def test_of_a_target_of_which_nothing_comes_any_more_nothing_is_known_after_five_minutes() -> None:
    seen = memory("shop")
    after(seen, 1)
    assert states(after(seen, 300, None)) == []
    assert states(after(seen, 301, None)) == [("shop", State.UNKNOWN)]


def test_what_changed_is_in_the_order_of_time() -> None:
    seen = memory("a", "b")
    late, early = (result(name, "here", at=START + at) for name, at in (("a", 900), ("b", 100)))
    assert states(seen.turn([(late, START + 1000), (early, START + 1000)], START + SECOND)) == [
        ("b", State.UP),
        ("a", State.UP),
    ]


def test_an_alarm_says_what_it_would_have_said_once_to_all_and_its_ending_too() -> None:
    seen = memory("shop", channels=("mail", "pager"))
    told = []
    for place, outcome in enumerate([Outcome.TIMEOUT] * 3 + [Outcome.UP] * 3):
        told += after(seen, 1 + 10 * place, outcome).told
    for second in range(60, 100):
        told += after(seen, second, None).told
    assert [(one.channels, message.subject(one.notice)) for one in told] == [
        (("mail", "pager"), "DOWN shop: timeout (1 of 1 vantage)"),
        (("mail", "pager"), "UP shop: was down for 30 s"),
    ]
    assert "url           https://shop.example.org/\n" in message.text(told[0].notice)
    assert seen.told == told


def test_the_conditions_that_hold_now_are_known_of_each_target() -> None:
    seen = memory("shop", "news")
    for place in range(3):
        after(seen, 1 + 10 * place, Outcome.TIMEOUT, "shop")
    page = after(seen, 22, None).page
    conditions = {one.target.name: [episode.condition for episode in one.episodes] for one in page.targets}
    assert conditions == {"shop": ["down"], "news": []}


def test_what_fails_together_is_told_as_one_message() -> None:
    seen = memory("a", "b", "c")
    told = []
    for second in range(1, 60):
        outcome = Outcome.TIMEOUT if second % 10 == 1 else None
        told += after(seen, second, outcome).told
    subjects = [message.subject(one.notice) for one in told]
    assert subjects[0] == "DOWN a: timeout (1 of 1 vantage)"
    assert subjects[1:] == ["DOWN b and 1 other: timeout (1 of 1 vantage)"]


def test_what_the_targets_file_says_of_its_alarms_counts() -> None:
    seen = memory("shop", said={"shop": {"confirm": 1}})
    assert [one.notice.event for one in after(seen, 1, Outcome.TIMEOUT).told] == ["opened"]


def test_a_certificate_that_ends_soon_says_when() -> None:
    seen = memory("shop")
    told = after(seen, 1, ends=START + 5 * 24 * 60 * MINUTE).told
    assert [message.subject(one.notice) for one in told] == ["CERTIFICATE shop: ends in 4 d"]

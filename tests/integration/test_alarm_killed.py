"""kill -9 at any point and any moment: nothing is lost, and what comes twice comes with the same key."""

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from tests.integration.alarms import Alarms
from tests.integration.killed import POINTS
from tests.integration.stage import Stage
from tests.receiver import Receiver
from tests.waiting import wait_until
from webmon.alarm.log import POSITION
from webmon.check.result import Outcome

UP, DOWN = Outcome.UP, Outcome.TIMEOUT
KILLS = int(os.environ.get("ALARM_KILLS", "3"))
"""At random moments: 200 of them are a proof, a few a reminder."""

CASES = [
    *((point, "opened") for point in (*POINTS, "in-send")),
    ("before-send", "ended"),
    ("in-send", "ended"),
]


@pytest.fixture(scope="module")
def alarms(judged_stage: Stage) -> Iterator[Alarms]:
    with Receiver() as receiver:
        yield Alarms(judged_stage, receiver)


@pytest.fixture(autouse=True)
def _nobody_is_left(alarms: Alarms) -> Iterator[None]:
    yield
    alarms.end()


def keys(alarms: Alarms, target: str) -> list[tuple[str, str]]:
    """Give event and key of each message of a target."""
    return [(one["event"], one["key"]) for one in alarms.of(target)]


@pytest.mark.parametrize(("point", "event"), CASES)
def test_a_judge_that_is_killed_at_a_point_loses_nothing(alarms: Alarms, point: str, event: str) -> None:
    target = f"{point}-{event}"
    if event == "ended":
        calm = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
        calm.wait_for_line("judging")
        alarms.publish(UP, DOWN, target=target)
        alarms.wait(lambda: alarms.said(target) == ["opened " + target], "the opening")
        wait_until(lambda: alarms.noted(target, "sent") == ["opened"], "the opening noted as sent")
        calm.stop(signal.SIGKILL)
    if point == "in-send":
        victim = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
        alarms.receiver.behaviours.append(lambda _: victim.process.kill())
    else:
        program = [sys.executable, "-m", "tests.integration.killed", point, "alarm"]
        victim = alarms.start(program=program, KAFKA_ALARM_GROUP_ID=alarms.group())
    victim.wait_for_line("judging")
    alarms.publish(*([UP, DOWN] if event == "opened" else [UP]), target=target)
    victim.process.wait(20)
    assert victim.process.returncode == -signal.SIGKILL
    next_one = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
    next_one.wait_for_line("judging")
    alarms.wait(lambda: f"{event} {target}" in alarms.said(target), "what was due")
    if event == "opened":
        alarms.publish(UP, target=target)
    alarms.wait(lambda: f"ended {target}" in alarms.said(target), "the ending")
    told = keys(alarms, target)
    assert len(set(told)) == 2, told
    doubles = [one for one, count in Counter(told).items() if count > 1]
    assert doubles == ([] if point in ("before-write", "after-write", "before-send") else doubles[:1]), told
    assert [one[0] for one in dict.fromkeys(told)] == ["opened", "ended"]
    # Else the next one begins with what this one left.
    wait_until(lambda: "ended" in alarms.noted(target, "sent"), "the ending noted as sent")


def flip(alarms: Alarms, target: str, chance: random.Random) -> datetime:
    """Let a target go down and come up again; give when it went down."""
    began = alarms.publish(DOWN, target=target)
    time.sleep(chance.uniform(0.05, 0.6))
    alarms.publish(UP, target=target)
    time.sleep(chance.uniform(0.05, 0.6))
    return began


def kill_at_random(alarms: Alarms, chance: random.Random) -> None:
    """Let judges be killed one after the other, at random moments, also in the midst of taking over."""
    for _ in range(KILLS):
        judge = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
        if chance.random() < 0.8:
            judge.wait_for_line("judging")
        time.sleep(chance.uniform(0.0, 1.5))
        judge.stop(signal.SIGKILL)


def test_judges_that_are_killed_at_any_moment_lose_nothing(alarms: Alarms) -> None:
    seed, before = random.randrange(10**6), len(alarms.told())
    targets = [f"flips{number}" for number in range(3)]
    downs: dict[str, set[datetime]] = {target: set() for target in targets}
    over = threading.Event()
    first = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
    first.wait_for_line("judging")
    wait_until(lambda: POSITION in alarms.log(), "a place to go on from")
    first.stop(signal.SIGKILL)
    for target in targets:
        alarms.publish(UP, target=target)

    def go_on(target: str, chance: random.Random) -> None:
        while not over.is_set():
            downs[target].add(flip(alarms, target, chance))

    with ThreadPoolExecutor() as pool:
        flipping = [pool.submit(go_on, target, random.Random(seed + place)) for place, target in enumerate(targets)]
        kill_at_random(alarms, random.Random(seed))
        over.set()
        for flips in flipping:
            flips.result()
    alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
    for target, when in downs.items():

        def untold(target: str = target, when: set[datetime] = when) -> set[datetime]:
            ended = [one for one in alarms.of(target) if one["event"] in ("ended", "over")]
            return when - {datetime.fromisoformat(one["since"]) for one in ended}

        # Of many kills much is left to tell: as long as it goes on it is waited for.
        left, deadline = len(when), time.monotonic() + 30
        while missing := untold():
            if len(missing) < left:
                left, deadline = len(missing), time.monotonic() + 30
            assert time.monotonic() < deadline, (seed, len(missing), sorted(missing)[:20])
            time.sleep(0.1)
        episodes: dict[str, dict[str, None]] = {}
        for one in alarms.of(target):
            episodes.setdefault(one["episode"], {})[one["event"]] = None
        ways = Counter(" ".join(events) for events in episodes.values())
        # The kill fell into the send of an opening, and all was well before another judged.
        unnoted = ways.pop("opened over", 0)
        assert ways.keys() <= {"opened ended", "over"}, (seed, ways)
        assert unnoted <= KILLS, seed
    # A message comes again only for a kill, and then under its key.
    assert max(Counter(one["key"] for one in alarms.told()[before:]).values()) <= 1 + KILLS, seed

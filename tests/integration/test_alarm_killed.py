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

import pytest

from tests.integration.alarms import Alarms
from tests.integration.killed import POINTS
from tests.integration.stage import Stage
from tests.receiver import Receiver
from tests.waiting import wait_until
from webmon.check.result import Outcome

UP, DOWN = Outcome.UP, Outcome.TIMEOUT
KILLS = int(os.environ.get("ALARM_KILLS", "6"))
"""At random moments: 200 of them are a proof, a few a reminder."""


@pytest.fixture(scope="module")
def alarms(shared_stage: Stage) -> Iterator[Alarms]:
    with Receiver() as receiver:
        yield Alarms(shared_stage, receiver)


@pytest.fixture(autouse=True)
def _nobody_is_left(alarms: Alarms) -> Iterator[None]:
    yield
    alarms.end()


def keys(alarms: Alarms, target: str) -> list[tuple[str, str]]:
    """Give event and key of each message of a target."""
    return [(one["event"], one["key"]) for one in alarms.told() if one["target"] == target]


@pytest.mark.parametrize("event", ["opened", "ended"])
@pytest.mark.parametrize("point", [*POINTS, "in-send"])
def test_a_judge_that_is_killed_at_a_point_loses_nothing(alarms: Alarms, point: str, event: str) -> None:
    target = f"{point}-{event}"
    if event == "ended":
        calm = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
        calm.wait_for_line("judging")
        alarms.publish(UP, DOWN, target=target)
        alarms.wait(lambda: alarms.said(target) == ["opened " + target], "the opening")
        wait_until(lambda: alarms.is_noted(target), "the opening noted as sent")
        calm.stop(signal.SIGKILL)
    if point == "in-send":
        victim = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
        alarms.receiver.behaviours.append(lambda _: victim.process.kill())
    else:
        # The first write is the epoch's.
        count = "2" if point.endswith("write") else "1"
        program = [sys.executable, "-m", "tests.integration.killed", point, count, "alarm"]
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


def flips(alarms: Alarms, target: str, seconds: float, chance: random.Random) -> int:
    """Let a target go down and come up again, now and then, for so long; give how often it was down."""
    until, downs = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        downs += 1
        for outcome in (DOWN, UP):
            alarms.publish(outcome, target=target)
            time.sleep(chance.uniform(0.05, 0.6))
    return downs


def test_judges_that_are_killed_at_any_moment_lose_nothing(alarms: Alarms) -> None:
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    targets = [f"flips{number}" for number in range(3)]
    downs = Counter[str]()
    over = threading.Event()

    def flip(target: str, own: random.Random) -> None:
        alarms.publish(UP, target=target)
        while not over.is_set():
            downs[target] += flips(alarms, target, 1.0, own)

    with ThreadPoolExecutor() as pool:
        flipping = [pool.submit(flip, target, random.Random(seed + place)) for place, target in enumerate(targets)]
        for _ in range(KILLS):
            judge = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
            if chance.random() < 0.8:  # else in the midst of taking over
                judge.wait_for_line("judging")
            time.sleep(chance.uniform(0.0, 1.5))
            judge.stop(signal.SIGKILL)
        over.set()
        for one in flipping:
            one.result()
    last = alarms.start(KAFKA_ALARM_GROUP_ID=alarms.group())
    last.wait_for_line("judging")
    for target in targets:

        def is_told(target: str = target) -> bool:
            told = Counter(event for event, _ in set(keys(alarms, target)))
            return told["ended"] + told["over"] == downs[target]

        alarms.wait(is_told, f"{downs[target]} times down of {target} told (seed {seed})", 40)
        told = keys(alarms, target)
        episodes = {one["episode"]: [] for one in alarms.told() if one["target"] == target}
        for one in alarms.told():
            if one["target"] == target and one["event"] not in episodes[one["episode"]]:
                episodes[one["episode"]].append(one["event"])
        assert all(events in (["opened", "ended"], ["over"]) for events in episodes.values()), (seed, episodes)
        doubles = sum(count - 1 for count in Counter(told).values())
        assert doubles <= KILLS, seed

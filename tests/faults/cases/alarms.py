"""What happens to those who tell people, while there is something to tell."""

import statistics
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg2
import yaml

from tests.faults import told
from tests.faults.case import FAST_SECS, GROUP_SECS, TIMEOUT_SECS, Run, case
from tests.faults.cases.database import UNIT
from tests.faults.lab import CHANNELS, HOST_PORT, SITE_PORT, Lab, await_
from webmon.alarm.conditions import Condition

_DEAD_SECS: Final = 15.0
"""Another judge tells so long after the death of the first."""
_FROZEN_SECS: Final = 30.0
"""And so long after its host froze."""
_BACK_SECS: Final = 60.0
"""What is due is told so long after its receiver is back."""
_HISTORY_SECS: Final = 60.0
_TOLD_SECS: Final = 90.0
"""Longer nothing is waited for; what a case promises is less."""
_MOST_MESSAGES: Final = 2
_ALONE: Final = 3
_JUDGES_SECS: Final = 60.0


@case(21, "the active judge killed while sites fail")
def judge_killed(run: Run) -> None:
    lab = run.lab
    run.judges_killed = True
    latest: list[float] = []
    for names in _some(run, run.times(5, least=2)):
        active = _await_active(lab)
        down = run.goes_down(names)
        # Before they are confirmed, between two messages, or when all was told.
        run.at_random(FAST_SECS + GROUP_SECS)
        lab.on(active, "systemctl kill -s KILL webmon-alarm; systemctl stop webmon-alarm")
        latest.append(_told_in_time(run, down, active, _DEAD_SECS))
        run.comes_up(down)
        run.await_told(down, _TOLD_SECS, endings=True)
        lab.on(active, "systemctl start webmon-alarm")
    run.note(f"{len(latest)} kills; told by the other at the latest {max(latest):.1f} s after one")


@case(22, "the host of the active judge frozen while sites fail, and thawed")
def judge_frozen(run: Run) -> None:
    """Its sink is frozen with it, so that rows wait for the group's other one, too."""
    lab = run.lab
    run.judges_killed = True
    latest: list[float] = []
    for names in _some(run, run.times(3, least=1)):
        active = _await_active(lab)
        address = lab.address(active)
        down = run.goes_down(names)
        run.at_random(FAST_SECS)
        lab.program("freeze", active)
        try:
            latest.append(_told_in_time(run, down, active, _FROZEN_SECS))
            run.sleep(run.secs(60, least=5))
        finally:
            lab.program("thaw", active)
        woken = datetime.now(UTC)
        run.comes_up(down)
        run.await_told(down, _TOLD_SECS, endings=True)
        sent = [one for one in run.tellings() if one.sender == address and one.at > woken]
        run.expect(not sent, f"the judge that woke sent {len(sent)} notices")
        await_(lambda host=active: lab.is_standing_by(host), f"{active} standing by", _JUDGES_SECS)  # type: ignore[misc]
    run.note(f"told by the other at the latest {max(latest):.1f} s after a freeze")


@case(23, "database away for 5 minutes while sites fail")
def database_away(run: Run) -> None:
    lab = run.lab
    before = _delay_alone(run, 0)
    lab.on(lab.database, f"systemctl kill -s KILL {UNIT}; systemctl stop {UNIT}")
    over = datetime.now(UTC) + timedelta(seconds=run.secs(300, least=40))
    delays: list[float] = []
    try:
        while datetime.now(UTC) < over:
            delays.append(_delay_alone(run, len(delays) + 1))
    finally:
        lab.on(lab.database, f"systemctl start {UNIT}")
    run.ends_fault()
    secs = await_(lambda: _has_all(run), "a complete history", _HISTORY_SECS)
    run.note(
        f"{len(delays)} failures told after {max(delays):.1f} s at most, before it {before:.1f} s; "
        f"history complete {secs:.0f} s after the start"
    )
    run.expect(max(delays) <= FAST_SECS, f"a failure was told only after {max(delays):.1f} s")


@case(24, "the receiver of alarms away for 30 minutes")
def receiver_away(run: Run) -> None:
    lab = run.lab
    before, over, lasts = (run.names[place : place + 1] for place in range(3))
    told_before = run.goes_down(before)
    run.await_told(told_before, _TOLD_SECS)
    away = datetime.now(UTC)
    lab.on(lab.web, "systemctl stop webmon-fault-receiver")
    try:
        run.comes_up(told_before)
        was = run.goes_down(over)
        # So that it is confirmed, and its ending, too.
        run.sleep(2 * FAST_SECS)
        run.comes_up(was)
        run.sleep(2 * FAST_SECS)
        still = run.goes_down(lasts)
        run.sleep(max(2 * FAST_SECS, run.secs(1800) - (datetime.now(UTC) - away).total_seconds()))
    finally:
        lab.on(lab.web, "systemctl start webmon-fault-receiver")
    back = datetime.now(UTC)
    came = [
        *run.await_told(told_before, _TOLD_SECS, endings=True),
        *run.await_told(was, _TOLD_SECS),
        *run.await_told(still, _TOLD_SECS),
    ]
    secs = (max(one.at for one in came) - back).total_seconds()
    run.note(f"away for {(back - away).total_seconds():.0f} s; all told {secs:.0f} s after it was back")
    run.expect(secs <= _BACK_SECS, f"told only {secs:.0f} s after the receiver was back")
    run.comes_up(still)
    run.await_told(still, _TOLD_SECS, endings=True)
    of_it = [one for one in run.tellings() if one.subject in over]
    run.expect(
        [one.event for one in of_it] == ["over"] * len(CHANNELS),
        f"what was over by then was told as {', '.join(f'{one.event} by {one.channel}' for one in of_it)}",
    )


@case(25, "a hundred sites of one host down and up")
def host_down(run: Run) -> None:
    lab = run.lab
    names = [f"{run.prefix}host-{number:03d}" for number in range(100)]
    lab.watch_list(_list_with_a_host(run, names))
    await_(lambda: run.has_rows_of(names), "rows of all sites of the host", 60)
    # When a site is looked at next is chance.
    alone = statistics.fmean(_delay_alone(run, number) for number in range(_ALONE))
    down = told.Down(frozenset(names), datetime.now(UTC), together=True)
    run.downs.append(down)
    lab.on(lab.web, "systemctl stop webmon-fault-host")
    try:
        first = run.await_told(down, _TOLD_SECS)
        run.sleep(run.interval + TIMEOUT_SECS + 2 * GROUP_SECS)
    finally:
        lab.on(lab.web, "systemctl start webmon-fault-host")
    down.until = datetime.now(UTC)
    run.await_told(down, _TOLD_SECS, endings=True)
    run.sleep(run.interval + TIMEOUT_SECS + 2 * GROUP_SECS)
    tellings = run.tellings()
    earliest = (min(one.at for one in first) - down.since).total_seconds()
    run.expect(earliest <= alone, f"the first of many was told after {earliest:.1f} s, one alone after {alone:.1f} s")
    for way, came in (
        ("down", [one for one in tellings if down.since <= one.at < down.until]),
        ("up", [one for one in tellings if one.at >= down.until]),
    ):
        for channel in CHANNELS:
            count = len({one.key for one in came if one.channel == channel})
            run.expect(count <= _MOST_MESSAGES, f"{count} messages by {channel} as the host went {way}")
        counts = [len({one.key for one in came if one.channel == channel}) for channel in CHANNELS]
        run.note(f"{way}: {max(counts)} messages a channel")
    run.expect(any(one.condition is Condition.MANY_DOWN for one in tellings), "nobody was told that they are many")
    run.note(f"the first told after {earliest:.1f} s, one alone after {alone:.1f} s")


def _has_all(run: Run) -> bool:
    """Tell whether the history has all that was told."""
    ours = [one for one in run.tellings() if one.subject.startswith(run.prefix)]
    try:
        return not told.not_in_history(ours, run.lab.history_of(run.prefix))
    except psycopg2.OperationalError:  # the database is not there yet
        return False


def _some(run: Run, turns: int) -> list[list[str]]:
    """Give three sites for each turn: fewer than would be told as many."""
    return [run.names[3 * turn : 3 * turn + 3] for turn in range(turns)]


def _await_active(lab: Lab) -> str:
    """Wait until one judges and the others stand by; give its host."""
    await_(
        lambda: (active := lab.active_judge()) and all(lab.is_standing_by(one) for one in lab.judges if one != active),
        "a judge, and another that stands by",
        _JUDGES_SECS,
    )
    active = lab.active_judge()
    assert active is not None
    return active


def _told_in_time(run: Run, down: told.Down, gone: str, within: float) -> float:
    """Expect that all is told although a judge is gone now; give how late the other told the last."""
    at = datetime.now(UTC)
    came = run.await_told(down, _TOLD_SECS)
    must = max(at + timedelta(seconds=within), down.since + timedelta(seconds=FAST_SECS + GROUP_SECS))
    late = max((one.at - must).total_seconds() for one in came)
    run.expect(late <= 0, f"told {late:.1f} s too late after {gone} was gone")
    by_the_other = [(one.at - at).total_seconds() for one in came if one.sender != run.lab.address(gone)]
    return max(by_the_other, default=0.0)


def _delay_alone(run: Run, number: int) -> float:
    """Let one site fail by itself and serve again; give the seconds until all channels were told that it fails."""
    down = run.goes_down(run.names[number : number + 1])
    came = run.await_told(down, _TOLD_SECS)
    run.comes_up(down)
    run.await_told(down, _TOLD_SECS, endings=True)
    # What comes soon after a message waits for others.
    run.sleep(GROUP_SECS)
    return (max(one.at for one in came) - down.since).total_seconds()


def _list_with_a_host(run: Run, names: Sequence[str]) -> str:
    """Give a targets file with the plain sites, and others that are one host."""
    targets = [
        {"name": name, "url": f"http://{run.lab.web}:{port}/{name}", "labels": {"host": host}}
        for host, port, group in (("plain", SITE_PORT, run.names), ("one", HOST_PORT, names))
        for name in group
    ]
    defaults = {"interval": run.interval, "timeout": TIMEOUT_SECS}
    return str(yaml.safe_dump({"defaults": defaults, "targets": targets}, width=1000))

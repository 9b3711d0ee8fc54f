"""What happens to the agents: kills, power cuts, full disks, corrupt files, clocks that step."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from tests.faults.case import SILENT_SECS, Run, case
from tests.faults.lab import OUTBOX, await_

_STATE = "/var/lib/webmon-agent"
_BALLAST = f"{_STATE}/ballast"
_DISK_MB = 64
_STOP = "systemctl stop webmon-agent webmon-fault-recorder"
_START = "systemctl start webmon-agent webmon-fault-recorder"
_ONTO_SMALL = f"""
set -e; {_STOP}
cp -a {_STATE} {_STATE}.kept
mount -t tmpfs -o size={_DISK_MB}m,mode=0700 small {_STATE}
cp -a {_STATE}.kept/. {_STATE}/
{_START}
"""
_BACK = f"""
set -e; {_STOP}; rm -f {_BALLAST}
rm -rf {_STATE}.kept; cp -a {_STATE} {_STATE}.kept
umount {_STATE}
rm -rf {_STATE}/*; cp -a {_STATE}.kept/. {_STATE}/; rm -rf {_STATE}.kept
{_START}
"""
_CLOCK = "/run/webmon-fault-clock"
_DROP_IN = "/run/systemd/system/webmon-agent.service.d/fault-clock.conf"
_AHEAD_SECS, _BACK_SECS = 20, 3600
"""Further ahead a sink takes nothing."""


@case(13, "agents killed at random moments, and the power of one's host cut", short=True)
def killed(run: Run) -> None:
    lab = run.lab
    times = run.times(20, least=4)
    for _ in range(times):
        agent = run.random.choice(lab.agents)
        run.at_random()
        lab.on(agent, "systemctl kill -s KILL webmon-agent")
        # At once, where systemd's own restarts would come later and later.
        lab.on(agent, "systemctl restart webmon-agent")
    cut = run.random.choice(lab.agents)
    # It is away for about as long as one may be silent.
    run.at_fault = {cut: False}
    run.at_random()
    lab.program("cut", cut)
    run.sleep(run.secs(60, least=5))
    lab.program("start", cut)
    run.note(f"{times} kills; the power of {cut} cut")


@case(16, "an agent's disk full, then its outbox corrupt")
def bad_disk(run: Run) -> None:
    lab = run.lab
    agent = run.random.choice(lab.agents)
    run.at_fault = {agent: False}
    with _small_disk(run, agent), lab.blackhole([agent], lab.brokers):
        lab.on(agent, f"dd if=/dev/zero of={_BALLAST} bs=64k status=none || true")
        began = datetime.now(UTC)
        said = "results wait in memory"
        await_(lambda: said in lab.journal(agent, "webmon-agent", began), "the agent saying that its disk is full", 90)
        run.sleep(run.secs(60, least=5))
        run.expect(lab.is_active(agent, "webmon-agent"), "the agent is down while its disk is full")
        memory = lab.resident_mb(agent, "webmon-agent")
        lab.on(agent, f"rm {_BALLAST}")
        said_again = "can be used again"
        await_(lambda: said_again in lab.journal(agent, "webmon-agent", began), "the agent going on with its disk", 90)
        run.note(f"{agent}: {memory:.0f} MB of memory with its disk full")
    _corrupt(run, agent)


@contextlib.contextmanager
def _small_disk(run: Run, agent: str) -> Iterator[None]:
    """Put an agent's state on a disk of a few megabytes; what waits on it in the end is delivered first."""
    lab = run.lab
    lab.on(agent, _ONTO_SMALL)
    try:
        yield
        # What was put there while it was full or after must arrive, from there.
        await_(lambda: run.is_fresh([agent]), "fresh rows from the small disk", 120)
    finally:
        lab.on(agent, _BACK)


def _corrupt(run: Run, agent: str) -> None:
    """Spoil the outbox's file of an agent that was killed: it goes on with a new one, and keeps the old one aside."""
    lab = run.lab
    await_(lambda: run.is_fresh([agent]), "fresh rows before the outbox is spoilt", 60)
    began = datetime.now(UTC)
    lab.on(agent, "systemctl kill -s KILL webmon-agent; systemctl stop webmon-agent")
    # What waits there is lost, and said to be. The recorder does not know what it had not moved from the old file yet,
    # and what was made before it found the new one: each is a second, in which a target is checked once at most.
    waiting = lab.waiting(agent, run.prefix)
    run.allowed = {"missing": waiting, "that no agent made": 2 * len(run.names)}
    run.note(f"{agent}: {waiting} results waited in the outbox that was spoilt")
    lab.on(
        agent,
        f"rm -f {OUTBOX}-wal {OUTBOX}-shm; head -c 16384 /dev/urandom | dd of={OUTBOX} conv=notrunc status=none; "
        "systemctl start webmon-agent",
    )
    await_(lambda: "is corrupt" in lab.journal(agent, "webmon-agent", began), "the agent saying that it is corrupt", 60)
    await_(lambda: run.is_fresh([agent]), "fresh rows with a new outbox", 60)
    lab.on(agent, f"ls {_STATE}/*corrupt*")


@case(17, "the clock that an agent sees stepped by 20 s ahead, and by an hour back")
def stepped(run: Run) -> None:
    """Step it by libfaketime: hosts share the machine's clock, which nobody may set."""
    lab = run.lab
    agent = next(host for host in lab.agents)
    secs = run.secs(100, least=8)
    # Results that are an hour old when they come are history: the vantage sends nothing of now.
    run.at_fault = {agent: secs >= SILENT_SECS}
    lab.on(
        agent, "dpkg -s faketime > /dev/null 2>&1 || (apt-get update -q && apt-get install -qy faketime)", timeout=180
    )
    library = lab.on(agent, "dpkg -L libfaketime | grep -m1 'libfaketimeMT.so.1$'").strip()
    drop_in = (
        f"[Service]\nEnvironment=LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={_CLOCK} FAKETIME_NO_CACHE=1 "
        "FAKETIME_DONT_FAKE_MONOTONIC=1 FAKETIME_DISABLE_SHM=1\n"
    )
    _set_clock(run, agent, 0)
    lab.on(agent, f"mkdir -p $(dirname {_DROP_IN}) && cat > {_DROP_IN} && systemctl daemon-reload", drop_in)
    try:
        lab.on(agent, "systemctl restart webmon-agent")
        await_(lambda: run.is_fresh([agent]), "fresh rows of an agent with a clock of its own", 60)
        other = [host for host in lab.agents if host != agent]
        for step in (_AHEAD_SECS, 0, -_BACK_SECS, 0):
            _set_clock(run, agent, step)
            before = run.count()
            run.sleep(secs)
            seen = lab.newest(run.prefix)[agent] - datetime.now(UTC)
            run.note(f"the clock at {step:+d} s: the newest row of {agent} is of {seen.total_seconds():+.0f} s")
            run.expect(run.count() > before, f"no rows at {step:+d} s")
            if step > 0:
                run.expect(abs(seen - timedelta(seconds=step)) < timedelta(seconds=15), "the step did not show")
            run.expect(run.is_fresh(other), f"rows of the other agent are not fresh at {step:+d} s")
    finally:
        lab.on(agent, f"rm -f {_DROP_IN} {_CLOCK} && systemctl daemon-reload && systemctl restart webmon-agent")


def _set_clock(run: Run, agent: str, step: int) -> None:
    """Set how far the agent's clock is ahead; in one go, as it reads the file all the time."""
    run.lab.on(agent, f"echo '{step:+d}s' > {_CLOCK}.new && chmod 644 {_CLOCK}.new && mv {_CLOCK}.new {_CLOCK}")

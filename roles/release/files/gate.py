"""Have this host's services run the current release, and tell whether they work with it.

It restarts each service of this host whose process is of another release, sinks and judges before agents, and waits
until each has shown that it works: it is up, was not restarted again, and since its start Kafka acknowledged results of
an agent, a sink put rows into the database; and what waits is little, or grows less. An agent with no check to make in
that time, and a sink that finds nothing on its topic, have only to stay up; so have a judge, as another may have what
is to be judged, and a page, once they have said how they are.

With a KIND (sink, alarm, agent, page) it restarts nothing, and watches the services of that kind: after a change of
their settings.

All that it sees is what `systemctl status` shows: services tell systemd how they are, also where their metrics are off.
It prints a line for each service, or for those that do not work, with the end of what they said; its exit status is 1
then. It runs on the host, with the host's own Python, and uses nothing of the releases that it judges.
"""

import dataclasses
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

CURRENT: Final = Path("/opt/webmon/current")
WANTED: Final = Path("/etc/systemd/system/multi-user.target.wants")
"""What is enabled: the services that this host is to run."""

SETTLE_SECS: Final = 10.0
"""How long a service must be up at least: some fall over only when they have begun to work."""
GRACE_SECS: Final = 30.0
"""How long an agent may take from the start of a check to Kafka's acknowledgement."""
AGENT_SECS: Final = 120.0
"""How long the first check of an agent is waited for at most; what checks once an hour proves nothing sooner."""
SINK_SECS: Final = 90.0
"""How long a sink may take to join its group and store its first batch."""
IDLE_SECS: Final = 20.0
"""How long a sink must find nothing on its topic."""
OTHER_SECS: Final = 90.0
"""How long a judge or a page may take to begin: one reads its log, the other the database."""
LACKS: Final = re.compile(r"; waiting for Kafka\b|no snapshot yet")
"""Without these a judge or a page does nothing; a judge tells people while its database or a receiver is away."""
KINDS: Final = ("sink", "alarm", "agent", "page")
"""Who reads what the agents of its release write comes before them."""
BEFORE_SECS: Final = 60.0
"""How long before the watch a service may have been restarted, and have said what is wrong."""
LITTLE: Final = 1000
"""What may wait without growing less: results on their way."""
JOURNAL_LINES: Final = 15
UP: Final = ("active", "reloading")

# As `webmon agent` and `webmon sink` say it in their status: Agent.status() and State.summary().
AGENT_STATUS: Final = re.compile(
    r"(?P<targets>\d+) targets, (?P<rate>\S+) checks/s; slots kept (?P<kept>\d+), missed \d+; "
    r"outbox (?P<waiting>\d+) results; last acknowledgement (?:none yet|(?P<ago>\d+) s ago)"
)
SINK_STATUS: Final = re.compile(
    r"(?P<rows>\d+) rows stored, (?P<repeats>\d+) repeats, (?P<dead>\d+) dead letters, "
    r"(?P<waiting>\d+) waiting on the topic"
)


@dataclasses.dataclass(frozen=True)
class Reading:
    """A service at one moment."""

    at: float
    """Seconds since the watch began."""
    up_secs: float
    active: bool
    state: str
    run: str
    """Which run of the service this is."""
    status: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a service works, and what shows it."""

    works: bool
    text: str


class Watch:
    """Judges one service by readings, one after the other."""

    def __init__(self, unit: str) -> None:
        """Begin with none."""
        self.unit = unit
        self._first: Reading | None = None
        self._waiting: int | None = None
        kinds = {"webmon-agent": self._agent, "webmon-sink": self._sink}
        self._judge = kinds.get(re.split("[@.]", unit)[0], self._other)

    def look(self, reading: Reading) -> Verdict | None:
        """Take the next reading; give the verdict, or None where another is needed."""
        self._first = self._first or reading
        if not reading.active:
            return Verdict(works=False, text=f"is not up: {reading.state}")
        if reading.run != self._first.run:
            return Verdict(works=False, text=f"fell over and was restarted, {reading.at:.0f} s after the change")
        return self._judge(reading)

    def _agent(self, reading: Reading) -> Verdict | None:
        said = AGENT_STATUS.match(reading.status)
        if said is None:
            return self._late(reading, AGENT_SECS, "has not said how it is")
        targets, rate, kept = int(said["targets"]), float(said["rate"]), int(said["kept"])
        # Among n targets with r checks a second together, one has an interval of n/r seconds or less.
        interval = targets / rate if rate else 0.0
        if not targets:
            return self._settled(reading, SETTLE_SECS, "no target is its own")
        if not kept and interval > AGENT_SECS:
            return self._settled(reading, AGENT_SECS, "none of its checks was due")
        if lack := next(self._lacks_of_agent(said, interval), None):
            return self._late(reading, min(interval, AGENT_SECS) + GRACE_SECS, lack)
        return self._settled(reading, SETTLE_SECS, f"{kept} checks, Kafka acknowledged a result {said['ago']} s ago")

    def _lacks_of_agent(self, said: re.Match[str], interval: float) -> Iterator[str]:
        if not int(said["kept"]):
            yield "has not made a check"
        if said["ago"] is None:
            yield "Kafka acknowledged no result"
        elif int(said["ago"]) > interval + GRACE_SECS:
            yield f"Kafka acknowledged the last result {said['ago']} s ago"
        if not self._grows_less(int(said["waiting"])):
            yield f"{said['waiting']} results wait in its outbox, and no fewer"
        if "; not " in said.string:
            yield "is not well"

    def _sink(self, reading: Reading) -> Verdict | None:
        said = SINK_STATUS.match(reading.status)
        if said is None:
            return self._late(reading, SINK_SECS, "has not joined its group")
        if lack := next(self._lacks_of_sink(said), None):
            return self._late(reading, SINK_SECS, lack)
        if stored := int(said["rows"]) + int(said["repeats"]):
            shows = f"{stored} results stored, {said['waiting']} wait on the topic"
            return self._settled(reading, SETTLE_SECS, shows)
        return self._settled(reading, IDLE_SECS, "there is nothing on the topic to store")

    def _lacks_of_sink(self, said: re.Match[str]) -> Iterator[str]:
        stored, dead, waiting = int(said["rows"]) + int(said["repeats"]), int(said["dead"]), int(said["waiting"])
        if "; waiting for " in said.string:
            yield "waits for a neighbour"
        if dead > stored:
            yield f"took {dead} messages for dead letters and {stored} for results"
        if not self._grows_less(waiting):
            yield f"{waiting} messages wait on the topic, and no fewer"
        if waiting and not stored:
            yield f"stored no result, and {waiting} wait on the topic"

    def _other(self, reading: Reading) -> Verdict | None:
        if not reading.status:
            return self._late(reading, OTHER_SECS, "has not said how it is")
        if LACKS.search(reading.status):
            return self._late(reading, OTHER_SECS, "waits for a neighbour")
        return self._settled(reading, SETTLE_SECS, reading.status)

    def _grows_less(self, waiting: int) -> bool:
        if self._waiting is None:
            self._waiting = waiting
        return waiting <= LITTLE or waiting < self._waiting

    @staticmethod
    def _settled(reading: Reading, seconds: float, shows: str) -> Verdict | None:
        return Verdict(works=True, text=f"works: {shows}") if reading.up_secs >= seconds else None

    @staticmethod
    def _late(reading: Reading, seconds: float, lacks: str) -> Verdict | None:
        if reading.at < seconds:
            return None
        return Verdict(works=False, text=f"{lacks} in {seconds:.0f} s; it says: {reading.status or 'nothing'}")


def main() -> int:
    """Restart what is of another release, watch all of them, and tell; 1 where one does not work."""
    kinds = sys.argv[1:]
    units = services(kinds or KINDS)
    began = time.time() - (BEFORE_SECS if kinds else 0)
    failed: dict[str, Verdict] = {}
    for unit in units:
        if not kinds and not runs_current(unit):
            print(f"restarted {unit}", flush=True)
            if systemctl("restart", unit).returncode:
                failed[unit] = Verdict(works=False, text="does not start")
    found = failed or watch(units, read)
    for unit, verdict in found.items():
        print(f"{unit} {verdict.text}")
        if not verdict.works:
            print("\n".join(journal(unit, began)))
    return 0 if all(verdict.works for verdict in found.values()) else 1


def watch(units: Sequence[str], read: Callable[[str, float], Reading]) -> Mapping[str, Verdict]:
    """Give the verdict on each, or those on the first that do not work."""
    watches = [Watch(unit) for unit in units]
    found: dict[str, Verdict] = {}
    began = time.monotonic()
    while len(found) < len(watches):
        for one in watches:
            verdict = one.look(read(one.unit, began)) if one.unit not in found else None
            if verdict is not None:
                found[one.unit] = verdict
        if failed := {unit: verdict for unit, verdict in found.items() if not verdict.works}:
            return failed
        if len(found) < len(watches):
            time.sleep(0.5)
    return found


def services(kinds: Sequence[str]) -> list[str]:
    """Give the services of some kinds that this host is to run."""
    return [unit.name for kind in kinds for unit in sorted(WANTED.glob(f"webmon-{kind}*.service"))]


def runs_current(unit: str) -> bool:
    """Tell whether a service is up with a process of the current release: its Python stands in the release's directory.

    One that systemd is just starting again is not: its start is not ours to judge.
    """
    shown = properties(unit)
    try:
        python = Path("/proc", shown["MainPID"], "cmdline").read_bytes().partition(b"\0")[0].decode()
    except OSError:
        return False
    if shown["ActiveState"] not in UP:
        return False
    return Path(python).is_relative_to(CURRENT.resolve())


def read(unit: str, began: float) -> Reading:
    """Ask systemd how a service is."""
    shown, now = properties(unit), time.monotonic()
    state = shown["ActiveState"]
    return Reading(
        at=now - began,
        up_secs=now - int(shown["ActiveEnterTimestampMonotonic"]) / 1e6,
        active=state in UP,
        state=f"{state} ({shown['SubState']}), result {shown['Result']}",
        run=shown["InvocationID"],
        status=shown["StatusText"],
    )


def properties(unit: str) -> dict[str, str]:
    """Give what systemd knows of a service."""
    names = "ActiveState,SubState,Result,InvocationID,MainPID,StatusText,ActiveEnterTimestampMonotonic"
    shown = systemctl("show", unit, f"--property={names}").stdout
    return dict(line.split("=", 1) for line in shown.splitlines())


def journal(unit: str, since: float) -> list[str]:
    """Give the end of what a service and systemd said of it since a moment."""
    # What it wrote last, as it died, may not be there yet.
    subprocess.run(["journalctl", "--sync"], capture_output=True, check=False)
    command = ["journalctl", f"--unit={unit}", f"--since=@{since:.0f}", f"--lines={JOURNAL_LINES}"]
    command += ["--no-pager", "--no-hostname", "--quiet", "--output=short"]
    said = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False).stdout
    return said.splitlines() or ["its journal has nothing of it"]


def systemctl(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run systemctl."""
    return subprocess.run(["systemctl", *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())

"""What happens to the database, and on the way to it."""

import contextlib
import time
from collections.abc import Iterator

from tests.faults.case import Run, case
from tests.faults.cases.sinks import assert_lived_on, pids
from tests.faults.lab import Lab, await_

UNIT = "postgresql@17-main"
DATA = "/var/lib/postgresql/17/main"
SILENT_SECS = 45
"""After so long a sink gives up a database that says nothing (webmon.sink.run)."""


def _told_of_the_database(run: Run) -> int:
    """Count the sinks that said what they wait for."""
    lab = run.lab
    return sum("waiting for the database: " in lab.journal(sink, "webmon-sink", run.began) for sink in lab.sinks)


@case(6, "PostgreSQL killed in mid-batch, down 5 minutes", short=True)
def killed_in_mid_batch(run: Run) -> None:
    """Sinks wait with a batch in hand; one of them is killed before the database is back."""
    lab, before = run.lab, pids(run)
    with run.held_batches():
        lab.on(lab.database, f"systemctl kill -s KILL {UNIT}; systemctl stop {UNIT}")
    run.sleep(run.secs(300, least=20))
    run.expect(_told_of_the_database(run) == len(lab.sinks), "a sink did not say that it waits for the database")
    assert_lived_on(run, before)
    # The batch in its hand is nowhere else but on the topic.
    lab.on(lab.sinks[0], "systemctl kill -s KILL webmon-sink; systemctl restart webmon-sink")
    lab.on(lab.database, f"systemctl start {UNIT}")
    run.ends_fault()


@case(7, "pg_terminate_backend in a loop for 1 minute")
def terminated(run: Run) -> None:
    lab, before = run.lab, pids(run)
    ended, until = 0, time.monotonic() + run.secs(60, least=15)
    query = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'webmon_sink'"
    while time.monotonic() < until:
        ended += int(lab.psql(query))
        run.at_random(0.5)
    run.note(f"{ended} sessions ended")
    run.expect(ended > 10, f"only {ended} sessions were ended")
    assert_lived_on(run, before)


@case(8, "database's disk full for 1 minute, then freed")
def disk_full(run: Run) -> None:
    lab = run.lab
    with _small_disk(lab):
        await_(run.is_fresh, "fresh rows from the small disk", 60)
        before = pids(run)
        fill = f"dd if=/dev/zero of={DATA}/filler bs=1M; dd if=/dev/zero of={DATA}/filler2 bs=4k"
        lab.on(lab.database, f"({fill}) 2>/dev/null; test $(df --output=avail {DATA} | tail -1) = 0")
        full = time.monotonic()
        await_(lambda: _told_of_the_database(run), "a sink that says what it waits for", 90)
        run.sleep(max(1.0, run.secs(60, least=20) - (time.monotonic() - full)))
        said = "".join(lab.journal(sink, "webmon-sink", run.began) for sink in lab.sinks)
        run.expect("No space left on device" in said, "no sink said what is wrong with the database")
        lab.on(lab.database, f"rm {DATA}/filler {DATA}/filler2; systemctl reset-failed {UNIT}; systemctl start {UNIT}")
        run.ends_fault()
        freed = time.monotonic()
        await_(lambda: run.is_fresh(since=run.fault_over), "fresh rows once there is room", run.recover_within)
        run.note(f"fresh {time.monotonic() - freed:.0f} s after there was room")
        assert_lived_on(run, before)
        run.expect("dead letter: " not in said, "good results became dead letters")


@contextlib.contextmanager
def _small_disk(lab: Lab) -> Iterator[None]:
    """Let the database's files be on a file system of their own with little room, and afterwards where they were."""
    at = lab.database
    lab.on(
        at,
        f"""set -e
        systemctl stop {UNIT}
        mv {DATA} {DATA}.disk
        mkdir -m 700 {DATA} && chown postgres: {DATA}
        room=$(($(du -sm {DATA}.disk | cut -f1) + 100))
        mount -t tmpfs -o size=${{room}}M,mode=700,uid=postgres,gid=postgres small {DATA}
        cp -a {DATA}.disk/. {DATA}/
        systemctl start {UNIT}""",
    )
    try:
        yield
    finally:
        lab.on(
            at,
            f"""set -e
            systemctl stop {UNIT}
            rm -f {DATA}/filler {DATA}/filler2
            rm -rf {DATA}.disk && cp -a {DATA} {DATA}.disk
            umount {DATA} && rmdir {DATA} && mv {DATA}.disk {DATA}
            systemctl start {UNIT}""",
        )


@case(9, "sinks to database blackholed for 2 minutes")
def blackholed(run: Run) -> None:
    lab, before = run.lab, pids(run)
    with lab.blackhole(lab.sinks, [lab.database]):
        run.sleep(run.secs(120, least=SILENT_SECS + 15))
        run.expect(_told_of_the_database(run) == len(lab.sinks), "a sink did not say that it waits for the database")
    assert_lived_on(run, before)

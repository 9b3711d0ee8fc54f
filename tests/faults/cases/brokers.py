"""What happens to the brokers."""

from collections.abc import Sequence

from tests.faults.case import Run, case
from tests.faults.lab import await_

MOST_GROWTH_MB = 24.0
"""By which a process may grow while Kafka is away: 2,000 records in flight and what it reads of its outbox at once."""


@case(11, "all brokers down for 10 minutes", short=True)
def all_down(run: Run) -> None:
    lab = run.lab
    run.gap_may_be = run.interval
    programs = [(agent, "webmon-agent") for agent in lab.agents] + [(sink, "webmon-sink") for sink in lab.sinks]
    before = {program: lab.resident_mb(*program) for program in programs}
    # The hard way; stopped too, or the unit would start it again.
    lab.everywhere(lab.brokers, "systemctl kill -s KILL kafka; systemctl stop kafka")
    most = dict(before)
    left = run.secs(600, least=30)
    while left > 0:
        run.sleep(min(5.0, left))
        left -= 5.0
        most = {program: max(mb, lab.resident_mb(*program)) for program, mb in most.items()}
    waiting = sum(lab.waiting(agent, run.prefix) for agent in lab.agents)
    run.expect(waiting > 0, "no result waited in the outboxes")
    lab.everywhere(lab.brokers, "systemctl start kafka")
    grown = {f"{unit} of {host}": most[host, unit] - before[host, unit] for host, unit in programs}
    run.note(f"{waiting} results waited; memory grew by {max(grown.values()):.1f} MB at most")
    for program, mb in grown.items():
        run.expect(mb <= MOST_GROWTH_MB, f"{program} grew by {mb:.0f} MB")


@case(12, "three brokers restarted one after the other, and one killed hard")
def rolling(run: Run) -> None:
    lab = run.lab
    run.gap_may_be = run.interval
    for broker in lab.brokers:
        lab.on(broker, "systemctl restart kafka")
        _await_whole(run, lab.brokers)
    killed = run.random.choice(lab.brokers)
    lab.on(killed, "systemctl kill -s KILL kafka; systemctl stop kafka")
    others = [broker for broker in lab.brokers if broker != killed]
    try:
        secs = await_(run.is_fresh, f"fresh rows of every agent without {killed}", 60)
        run.note(f"{killed} killed: rows were fresh {secs:.0f} s later, by {' and '.join(others)}")
        run.sleep(run.secs(60))
        run.expect(run.is_fresh(), f"rows are not fresh while {killed} is down")
    finally:
        lab.on(killed, "systemctl start kafka")
    _await_whole(run, lab.brokers)


def _await_whole(run: Run, brokers: Sequence[str]) -> None:
    """Wait until every copy of every partition is in sync."""
    await_(
        lambda: run.lab.product.copies_in_sync() == len(brokers), "all copies of all partitions in sync", 300, every=1
    )

"""What happens to the sinks."""

from tests.faults.case import Run, case


@case(1, "sink killed between database commit and offset commit, and at random moments, 20 times", short=True)
def killed(run: Run) -> None:
    lab, caught = run.lab, 0
    times = run.times(20, least=4)
    for number in range(times):
        sink = run.random.choice(lab.sinks)
        if number % 2:
            run.at_random()
            lab.on(sink, "systemctl kill -s KILL webmon-sink")
        else:
            caught += _killed_between_the_commits(run, sink)
        # At once, where systemd's own restarts would come later and later.
        lab.on(sink, "systemctl restart webmon-sink")
    run.note(f"{times} kills; between the commits, {caught} messages were stored and not committed")
    run.expect(caught, "no kill came between the two commits")


def _killed_between_the_commits(run: Run, sink: str) -> int:
    """Drop what the sink sends to Kafka: it still stores what it has, and can't commit the offsets; then kill it."""
    lab = run.lab
    run.at_random(1.5)
    with lab.blackhole([sink], lab.brokers, one_way=True):
        run.sleep(2.5)
        lab.on(sink, "systemctl kill -s KILL webmon-sink")
        return lab.uncommitted_but_stored()

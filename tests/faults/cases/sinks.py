"""What happens to the sinks."""

from collections.abc import Sequence

from tests.faults.case import Run, case
from tests.faults.lab import CaseError, Lab, await_
from tests.lab.steps import say

NO_WATCHDOG = "/run/systemd/system/webmon-sink.service.d/fault.conf"
SESSION_SECS = 10
"""After so long the group takes a silent sink for dead (webmon.kafka.client.consumer_args)."""


@case(1, "sink killed between the commits, and at random, 20 times", short=True)
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
    run.note(f"{times} kills; between the two commits {caught} messages were stored and not committed")
    run.expect(caught, "no kill came between the two commits")


def _killed_between_the_commits(run: Run, sink: str) -> int:
    """Drop what the sink sends to Kafka: it still stores what it has, and can't commit the offsets; then kill it."""
    lab = run.lab
    run.at_random(1.5)
    with lab.blackhole([sink], lab.brokers, one_way=True):
        run.sleep(2.5)
        lab.on(sink, "systemctl kill -s KILL webmon-sink")
        return lab.uncommitted_but_stored(run.prefix)


@case(2, "SIGTERM in mid-batch")
def ended_in_mid_batch(run: Run) -> None:
    lab = run.lab
    given_back = "the batch in hand did not end"
    for number in range(run.times(6, least=2)):
        # Shorter than a sink gives its batch (15 s), and longer than the server gives the statement (30 s): until then
        # it may be carried out although the sink is gone.
        held_for = 35.0 if number % 2 else 3.0
        with run.held_batches():
            run.at_random(0.5)
            lab.everywhere(lab.sinks, "systemctl restart --no-block webmon-sink")
            run.sleep(held_for)
        await_(lambda: all(lab.is_active(sink, "webmon-sink") for sink in lab.sinks), "sinks that run", 60)
    said = "".join(lab.journal(sink, "webmon-sink", run.began) for sink in lab.sinks)
    run.note(f"{said.count('stopped: ')} ended with their batch, {said.count(given_back)} gave it back")
    run.expect("stopped: " in said and given_back in said, "not both: a batch that ended and one that was given back")
    run.expect("status=9/KILL" not in said, "systemd had to kill a sink")


@case(3, "all sinks bounced three times, clean, then hard")
def bounced(run: Run) -> None:
    lab = run.lab
    for command in (
        "systemctl restart webmon-sink",
        "systemctl kill -s KILL webmon-sink; systemctl restart webmon-sink",
    ):
        for _ in range(3):
            run.at_random(4)
            lab.everywhere(lab.sinks, command)


@case(4, "sink stopped past max.poll.interval (310 s), then continued")
def zombie(run: Run) -> None:
    """Stop one in mid-batch, whose statement ends meanwhile, then at a random moment."""
    lab = run.lab
    sink = run.random.choice(lab.sinks)
    # systemd would end it after 60 s; the harm that it might do is what is looked for.
    lab.on(sink, f"mkdir -p $(dirname {NO_WATCHDOG}); printf '[Service]\\nWatchdogSec=0\\n' > {NO_WATCHDOG}")
    try:
        lab.on(sink, "systemctl daemon-reload && systemctl restart webmon-sink")
        await_(run.is_fresh, "fresh rows", 60)
        pid = _pid(lab, sink)
        with run.held_batches():
            lab.on(sink, "systemctl kill -s STOP webmon-sink")
            run.sleep(1)
        _continue_late(run, sink, run.secs(310, least=2.5 * SESSION_SECS))
        run.at_random()
        lab.on(sink, "systemctl kill -s STOP webmon-sink")
        _continue_late(run, sink, 2.5 * SESSION_SECS)
        run.expect(_pid(lab, sink) == pid, "the sink that was stopped did not live on")
    finally:
        lab.on(sink, f"rm -f {NO_WATCHDOG}; systemctl daemon-reload; systemctl kill -s CONT webmon-sink || true")
        lab.on(sink, "systemctl restart webmon-sink")


def _continue_late(run: Run, sink: str, seconds: float) -> None:
    lab = run.lab
    run.sleep(seconds)
    others = [other for other in lab.sinks if other != sink]
    run.expect(not others or run.is_fresh(), "no other sink took over")
    lab.on(sink, "systemctl kill -s CONT webmon-sink")
    await_(lambda: _has_partitions(lab, sink), f"{sink} is given partitions again", 60)


def _has_partitions(lab: Lab, sink: str) -> bool:
    ask = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9465/metrics', timeout=5).read().decode())"
    try:
        told = lab.on(sink, f'python3 -c "{ask}"')
    except CaseError as error:
        say(f"      {sink}: no metrics: {str(error).splitlines()[-1]}")
        return False
    return any(line.startswith("webmon_sink_partitions ") and not line.endswith(" 0.0") for line in told.splitlines())


def _pid(lab: Lab, sink: str) -> str:
    return lab.on(sink, "systemctl show -P MainPID webmon-sink").strip()


def assert_lived_on(run: Run, before: Sequence[str]) -> None:
    """Expect that no sink ended since its process was asked for."""
    run.expect(pids(run) == list(before), "a sink did not live through it")


def pids(run: Run) -> list[str]:
    """Give the process of every sink."""
    return [_pid(run.lab, sink) for sink in run.lab.sinks]

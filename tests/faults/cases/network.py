"""What happens to the network of agents, and what answers on it."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

import yaml

from tests.faults.case import SILENT_SECS, TIMEOUT_SECS, Run, case
from tests.faults.lab import SITE_PORT, await_
from tests.hostile import HOSTILE
from webmon.check.result import Outcome

_HOSTILE_SECS: Final = 1.5
_COVERAGE: Final = """
SELECT sum(h.results), sum(h.down), sum(h.agent_error), sum(h.covered_secs)
FROM {t_hours} AS h JOIN {t_targets} AS t ON t.id = h.target_id JOIN {t_agents} AS a ON a.id = h.agent_id
WHERE starts_with(t.target, %s) AND a.agent = %s
"""


@case(19, "an agent's host cut off from the network for 10 minutes", short=True)
def cut_off(run: Run) -> None:
    lab = run.lab
    run.gap_may_be = run.interval
    agent = run.random.choice(lab.agents)
    others = [host for host in lab.agents if host != agent]
    began = datetime.now(UTC)
    secs = run.secs(600, least=30)
    run.at_fault = {agent: secs >= SILENT_SECS}
    lab.program("net", agent, "off")
    try:
        run.sleep(secs)
        run.expect(run.is_fresh(others), "rows of the other agents are not fresh")
        run.expect(not run.is_fresh([agent]), f"{agent} is not cut off")
        waiting = lab.waiting(agent, run.prefix)
    finally:
        lab.program("net", agent, "on")
    ended = datetime.now(UTC)
    run.expect(waiting > 0, "no result waited in the outbox")
    await_(lambda: lab.waiting(agent, run.prefix) < len(run.names), "the outbox of the time without network", 120)
    await_(lambda: run.is_fresh([agent]), f"fresh rows of {agent}", 60)
    # At the edges a check may still have reached its site, or end on the other side.
    edge = TIMEOUT_SECS + run.interval
    rows = [
        (key, outcome)
        for key, outcome in lab.rows(run.prefix)
        if key.agent == agent and edge <= (key.time - began).total_seconds() <= (ended - began).total_seconds() - edge
    ]
    kinds = {outcome for _, outcome in rows}
    run.expect(kinds == {Outcome.AGENT_ERROR}, f"rows of the time without network are {sorted(kinds)}")
    results, down, errors, covered = map(float, lab.sql(_COVERAGE, run.prefix, agent)[0])
    run.note(
        f"{waiting} results came late, {len(rows)} of them agent_error; coverage {covered / results / run.interval:.0%}"
    )
    run.expect(down == 0, f"{down:.0f} results of {agent} are down in the rollups")
    run.expect(
        abs(covered - (results - errors) * run.interval) < 1, f"the rollups cover {covered} s with {errors:.0f} errors"
    )


@case(14, "hostile servers among healthy targets")
def hostile(run: Run) -> None:
    lab = run.lab
    run.gap_may_be = run.interval
    run.is_healthy = lambda key: key.target in run.names
    gateway = f"{lab.address(lab.web).rpartition('.')[0]}.1"
    with _served(gateway) as urls:
        defaults = {"interval": run.interval, "timeout": TIMEOUT_SECS}
        plain = [{"name": name, "url": f"http://{lab.web}:{SITE_PORT}/{name}"} for name in run.names]
        others = {f"{run.prefix}{'-'.join(name.split())}": url for name, url in urls.items()}
        listed = plain + [{"name": name, "url": url, "timeout": _HOSTILE_SECS} for name, url in others.items()]
        lab.watch_list(yaml.safe_dump({"defaults": defaults, "targets": listed}, width=1000))
        run.sleep(run.secs(300, least=30))
        rows = lab.rows(run.prefix)
        told = {name: {outcome for key, outcome in rows if key.target == name} for name in others}
        lab.watch(run.names, run.interval)
    silent = sorted(name for name, outcomes in told.items() if not outcomes)
    run.expect(not silent, f"no row of {', '.join(silent)}")
    ours = sorted(name for name, outcomes in told.items() if Outcome.AGENT_ERROR in outcomes)
    run.expect(not ours, f"said to be our own trouble: {', '.join(ours)}")
    run.note(f"{len(others)} hostile servers beside {len(run.names)} sites")


@contextlib.contextmanager
def _served(address: str) -> Iterator[dict[str, str]]:
    """Let everything that sites do to those who watch them happen on this machine; give the URLs."""
    with contextlib.ExitStack() as stack:
        yield {name: stack.enter_context(hostile.server(address)).url for name, hostile in HOSTILE.items()}

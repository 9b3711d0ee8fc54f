"""A new release comes host by host and loses nothing, and goes again; a broken one stops at the first host."""

from collections import Counter
from pathlib import Path

import pytest

from tests.e2e.lab import Lab
from tests.e2e.test_lab import AGENTS, missing_slots, newest, now
from tests.lab.release import changed_release
from tests.waiting import wait_until

UPGRADE, ROLLBACK = "playbooks/upgrade.yml", "playbooks/rollback.yml"
HOSTS = ("db1", "sink1", *AGENTS)


@pytest.fixture(scope="module")
def better(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A release that works, and says another version."""
    return changed_release(
        tmp_path_factory.mktemp("better"), "cli/__init__.py", ('f"webmon {__version__}"', 'f"webmon {__version__}+"')
    )


@pytest.fixture(scope="module")
def silent(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """A release whose agents start, check, and never send anything."""
    return changed_release(tmp_path_factory.mktemp("silent"), "agent/run.py", ("self._publisher.start()", "pass"))


def current(lab: Lab) -> dict[str, str]:
    """Give the release of each host, without its Python."""
    links = {host: lab.on(host, "readlink /opt/webmon/current").strip() for host in HOSTS}
    return {host: Path(link).name.rpartition("-")[0] for host, link in links.items()}


def runs(lab: Lab, host: str, unit: str) -> str:
    """Tell which run of a service this is, and of which release its process is."""
    shown = lab.on(host, f"systemctl show {unit} -p InvocationID,MainPID --value")
    pid = next(value for value in shown.split() if value.isdecimal())
    return shown + lab.on(host, f"tr '\\0' ' ' </proc/{pid}/cmdline")


def gaps(lab: Lab, since: str) -> list[list[str]]:
    """Give the slots that were not kept."""
    return [row[:2] for row in missing_slots(lab, AGENTS, since)]


def test_a_look_at_an_upgrade_changes_nothing_and_tells_from_what_to_what(lab: Lab, better: tuple[str, ...]) -> None:
    before = current(lab)
    out = lab.output(UPGRADE, "--check", "--diff", *better)
    assert f"{before['agent1']}-py3.13 -> " in out
    assert current(lab) == before


def test_an_upgrade_reaches_every_host_and_loses_no_result(lab: Lab, better: tuple[str, ...]) -> None:
    before, since = current(lab), now(lab)
    recap = lab.play(UPGRADE, *better)
    assert recap.keys() >= set(HOSTS)
    assert {counts[1:] for counts in recap.values()} == {(0, 0)}
    after = current(lab)
    assert len(set(before.values()) | set(after.values())) == 2
    assert all(before[host] != after[host] for host in HOSTS)
    assert lab.on("agent3", "webmon --version").strip().endswith("+")
    others = [("sink1", "webmon-sink"), ("sink1", "webmon-alarm"), ("db1", "webmon-alarm"), ("sink1", "webmon-page")]
    for host, unit in [*others, *((agent, "webmon-agent") for agent in AGENTS)]:
        assert f"/{after[host]}-py" in runs(lab, host, unit)

    back = now(lab)
    wait_until(lambda: newest(lab, back) == set(AGENTS), "results of every vantage after the upgrade", 60)
    # A slot that fell into the restart of its agent, two seconds, may be missing; none may that was kept.
    missing = gaps(lab, since)
    assert len({(target, agent) for target, agent in missing}) == len(missing), missing
    for agent in AGENTS:
        status = lab.on(agent, "systemctl show webmon-agent -p StatusText --value")
        assert "missed 0; outbox" in status
        assert "dropped" not in status


def test_an_upgrade_that_is_done_changes_nothing(lab: Lab, better: tuple[str, ...]) -> None:
    before = [runs(lab, "sink1", "webmon-sink"), runs(lab, "agent1", "webmon-agent")]
    assert set(lab.play(UPGRADE, *better).values()) == {(0, 0, 0)}
    assert [runs(lab, "sink1", "webmon-sink"), runs(lab, "agent1", "webmon-agent")] == before


def test_site_leaves_the_release_that_runs_and_says_so(lab: Lab) -> None:
    before = current(lab)
    out = lab.output("playbooks/site.yml", "--limit", "agent2", "--tags", "install")
    assert f"runs release {before['agent2']}-py3.13; this checkout has" in out.replace("\n", " ")
    assert "playbooks/upgrade.yml" in out
    assert current(lab) == before


def test_a_broken_release_stops_at_the_first_host_which_goes_back(lab: Lab, silent: tuple[str, ...]) -> None:
    before, since = current(lab), now(lab)
    others = {agent: runs(lab, agent, "webmon-agent") for agent in AGENTS[1:]}
    done = lab.try_play(UPGRADE, "--limit", "agents", *silent)
    assert done.returncode != 0
    assert "agent1 does not work with release " in done.stdout
    assert "webmon-agent.service Kafka acknowledged no result in 40 s; it says: 15 targets" in done.stdout
    assert "Started webmon-agent.service" in done.stdout, "the end of its journal"
    assert f"It is back on {before['agent1']}-py3.13, and works." in " ".join((done.stdout + done.stderr).split())
    assert current(lab) == before
    assert {agent: runs(lab, agent, "webmon-agent") for agent in others} == others
    # What it measured meanwhile waited in the outbox.
    back = now(lab)
    wait_until(lambda: newest(lab, back) == set(AGENTS), "results of every vantage", 30)
    # But for the slots that fell into one of its two restarts; the others were not touched.
    wait_until(
        lambda: (
            max(Counter((target, agent) for target, agent in gaps(lab, since)).values(), default=0) <= 2
            and all(agent == "agent1" for _, agent in gaps(lab, since))
        ),
        "no gap but those of two restarts",
        30,
    )


def test_a_rollback_refuses_a_release_that_is_not_there_before_any_host_is_touched(lab: Lab) -> None:
    before = current(lab)
    done = lab.try_play(ROLLBACK, "-e", "release=0.0.9")
    assert done.returncode != 0
    assert "agent1 has no release 0.0.9-py3.13; right would be one of" in " ".join(done.stdout.split())
    assert current(lab) == before


def test_a_rollback_brings_every_host_back_once(lab: Lab) -> None:
    before = current(lab)
    recap = lab.play(ROLLBACK)
    assert recap.keys() >= set(HOSTS)
    assert {counts[1:] for counts in recap.values()} == {(0, 0)}
    after = current(lab)
    assert all(before[host] != after[host] for host in HOSTS)
    assert not lab.on("agent1", "webmon --version").strip().endswith("+")
    assert set(lab.play(ROLLBACK).values()) == {(0, 0, 0)}
    assert current(lab) == after
    back = now(lab)
    wait_until(lambda: newest(lab, back) == set(AGENTS), "results of every vantage", 30)

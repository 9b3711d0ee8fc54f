"""A changed .env or unit of services comes host by host; one that does not work goes no further than one host."""

from tests.e2e.lab import Lab
from tests.e2e.test_lab import AGENTS, newest, now
from tests.e2e.test_upgrade import runs
from tests.lab.demo import recap
from tests.waiting import wait_until

AGENTS_PLAYBOOK = "playbooks/agents.yml"
MEMORY = ("-e", "agent_memory_max=300M")
"""Which stands in the unit alone."""
TOPIC = ("-e", "webmon_kafka_topic=webmon-nobodys")
"""Well said, and no agent may write there."""


def settings(lab: Lab, host: str) -> str:
    """Give what the agent of a host has: its .env and unit, and who may read which file."""
    shown = "cat .env /etc/systemd/system/webmon-agent.service; find . -printf '%p %U %m\\n' | sort"
    return lab.on(host, f"cd /etc/webmon/agent; {shown}")


def test_a_unit_that_works_stays_and_the_services_of_other_hosts_are_not_touched(lab: Lab) -> None:
    before = {host: (settings(lab, host), runs(lab, host, "webmon-agent")) for host in AGENTS}
    once = {"agent2": (2, 0, 0)}  # the unit, and the restart
    assert lab.play(AGENTS_PLAYBOOK, "--check", "--limit", "agent2", *MEMORY) == once
    assert settings(lab, "agent2") == before["agent2"][0]

    out = lab.output(AGENTS_PLAYBOOK, "--limit", "agent2", *MEMORY)
    assert "TASK [component : Watch them as long as it takes]" in out
    assert recap(out)["agent2"] == once["agent2"]
    after = {host: (settings(lab, host), runs(lab, host, "webmon-agent")) for host in AGENTS}
    assert {host for host in AGENTS if after[host] != before[host]} == {"agent2"}
    assert "\nMemoryMax=300M\n" in after["agent2"][0]
    assert after["agent2"][1] != before["agent2"][1]

    assert lab.play(AGENTS_PLAYBOOK, "--limit", "agent2") == once
    assert settings(lab, "agent2") == before["agent2"][0]


def test_with_what_does_not_work_the_first_host_gets_env_and_unit_back_and_no_other_host_is_touched(
    lab: Lab,
) -> None:
    before = {host: settings(lab, host) for host in AGENTS}
    others = {host: runs(lab, host, "webmon-agent") for host in AGENTS[1:]}
    done = lab.try_play(AGENTS_PLAYBOOK, *TOPIC, *MEMORY)
    assert done.returncode != 0
    said = " ".join((done.stdout + done.stderr).split())
    assert "webmon-agent.service Kafka acknowledged no result" in said
    assert "agent1 does not work with its new settings of agent: what it said is above." in said
    assert "It has its former ones again, and works." in said
    assert {host: settings(lab, host) for host in AGENTS} == before
    assert {host: runs(lab, host, "webmon-agent") for host in others} == others
    back = now(lab)
    wait_until(lambda: newest(lab, back) == set(AGENTS), "results of every vantage", 30)

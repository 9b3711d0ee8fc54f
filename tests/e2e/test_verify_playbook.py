"""playbooks/verify.yml: what is not well on any host is told in one list, with what to do, and the run fails."""

from tests.e2e.lab import Lab

PLAYBOOK = "playbooks/verify.yml"


def test_settings_that_others_may_read_are_found_and_the_others_are_looked_over_all_the_same(lab: Lab) -> None:
    lab.on("agent2", "chmod 644 /etc/webmon/agent/.env")
    try:
        done = lab.try_play(PLAYBOOK)
    finally:
        lab.on("agent2", "chmod 600 /etc/webmon/agent/.env")
    assert done.returncode != 0
    [line] = [line for line in done.stdout.splitlines() if "webmon-" in line and " FAILED " in line]
    assert "agent2 webmon-agent.service: FAILED settings: /etc/webmon/agent/.env" in line
    assert "chmod 600 /etc/webmon/agent/.env" in line
    for service in (
        "agent1 webmon-agent.service",
        "agent3 webmon-agent.service",
        "sink1 webmon-report",
        "db1 webmon-init",
    ):
        assert f"{service}: " in done.stdout

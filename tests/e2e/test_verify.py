"""What an operator sees of `playbooks/verify.yml` and `webmon doctor`, where all is well and where it is not."""

import re

from tests.e2e.lab import Lab


def test_on_a_finished_lab_everything_is_well_and_nothing_is_more_than_it_should_be(lab: Lab) -> None:
    done = lab.try_play("playbooks/verify.yml")
    assert done.returncode == 0, done.stdout
    for host in ("db1", "sink1", "agent1", "agent2", "agent3"):
        assert re.search(rf"\b{host}: (\d+) of \1 well", done.stdout), done.stdout


def test_what_is_not_well_is_told_with_host_and_remedy_and_the_others_are_looked_over_all_the_same(lab: Lab) -> None:
    lab.on("agent2", "chmod 644 /etc/webmon/agent/.env")
    lab.on("agent3", "echo '  - ftp://nonsense/' >> /etc/webmon/agent/targets/targets.yml")
    try:
        done = lab.try_play("playbooks/verify.yml")
    finally:
        lab.on("agent2", "chmod 600 /etc/webmon/agent/.env")
        lab.on("agent3", "sed -i '$d' /etc/webmon/agent/targets/targets.yml")
    assert done.returncode != 0
    settings, targets = [line for line in done.stdout.splitlines() if ": FAILED " in line]
    assert "agent2 agent: FAILED settings: /etc/webmon/agent/.env" in settings
    assert "chmod 600 /etc/webmon/agent/.env" in settings
    assert "agent3 agent: FAILED targets: /etc/webmon/agent/targets/targets.yml:" in targets
    assert "ftp://nonsense/" in targets
    for host in ("db1", "sink1", "agent1"):
        assert re.search(rf"\b{host}: (\d+) of \1 well", done.stdout), done.stdout


def test_the_doctor_looks_over_a_whole_host_only_for_root_and_one_component_for_its_user(lab: Lab) -> None:
    out = lab.on("sink1", "webmon doctor")
    assert [line for line in out.splitlines() if line.endswith(":")] == ["sink:", "report:", "alarm:", "page:"]
    assert "FAILED" not in out
    refused = lab.try_on("agent1", "runuser -u webmon-agent -- webmon doctor")
    assert refused.returncode == 2
    assert "needs root" in refused.stderr
    assert "FAILED" not in lab.on("agent1", "runuser -u webmon-agent -- webmon doctor agent")

"""playbooks/targets.yml: a changed list reaches every agent by a reload, one with a fault reaches no host."""

from pathlib import Path

from tests.e2e.lab import Lab
from tests.waiting import wait_until

AGENTS = ("agent1", "agent2", "agent3")
PLAYBOOK = "playbooks/targets.yml"


def processes(lab: Lab) -> dict[str, str]:
    """Give the agents' process ids."""
    return {host: lab.on(host, "systemctl show webmon-agent --property=MainPID --value") for host in AGENTS}


def test_a_changed_list_reaches_every_agent_and_restarts_none(lab: Lab, targets: Path) -> None:
    before = processes(lab)
    targets.write_text(
        targets.read_text() + "  - {name: one-more, url: 'http://web1/one-more', interval: 2, timeout: 1}\n"
    )
    assert lab.play(PLAYBOOK, "--limit", "agent1").keys() == {"agent1"}
    assert {host: found[0] > 0 for host, found in lab.play(PLAYBOOK).items()} == {
        "agent1": False,
        "agent2": True,
        "agent3": True,
    }

    def seen_by() -> set[str]:
        return {
            vantage["agent"] for line in lab.status() if line["target"] == "one-more" for vantage in line["vantages"]
        }

    wait_until(lambda: seen_by() == set(AGENTS), "results of the new target from every vantage", 60)
    assert processes(lab) == before


def test_a_list_with_a_fault_is_refused_before_any_host_is_touched(lab: Lab, targets: Path) -> None:
    targets.write_text(targets.read_text() + "  - {name: bad, url: 'ftp://web1/'}\n")
    line = len(targets.read_text().splitlines())
    done = lab.try_play(PLAYBOOK)
    assert done.returncode != 0
    assert f"{targets}:{line}: target 'bad': url is 'ftp://web1/': right would be http://HOST/" in done.stdout
    assert "Put the targets on the host" not in done.stdout
